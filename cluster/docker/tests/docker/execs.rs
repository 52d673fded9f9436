// SPDX-License-Identifier: Apache-2.0
//! Commands in containers, their streams, and their end.

use crate::lab::{HANG, Lab, Node, command, read_all, read_both, shell};
use berth_cluster_docker::{CallError, ContainerSpec, ExecSpec, Streams};
use std::time::Instant;
use tokio::io::AsyncWriteExt;

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

pub(crate) async fn streams_go_both_ways(lab: &Lab) {
    let node = lab.node("streams").await;
    let id = node.shell("streams", 2, "sleep 1000").await;
    let spec = ExecSpec { streams: ALL, ..command("cat; echo err >&2; exit 9") };
    let mut exec = node.engine.exec(&id, &spec).await.unwrap();
    exec.input.write_all(b"in\x00\x01").await.unwrap();
    // The end of the input is not the end of the output.
    exec.input.shutdown().await.unwrap();
    assert_eq!(read_both(&mut exec).await, [b"in\x00\x01".to_vec(), b"err\n".to_vec()]);
    assert_eq!(node.engine.exec_exit(&exec.id, HANG).await.unwrap(), 9);
    assert_eq!(node.sh(&id, "/no/such/program").await.1, 127);
    let spec = ExecSpec { command: vec!["/no/such/program".to_owned()], ..command("") };
    let mut exec = node.engine.exec(&id, &spec).await.unwrap();
    let said = String::from_utf8(read_all(&mut exec).await).unwrap();
    assert!(said.contains("no such file or directory"), "{said}");
    let code = node.engine.exec_exit(&exec.id, HANG).await.unwrap();
    assert!(code == 126 || code == 127, "{code}");
    // Without input its end is there at once.
    assert_eq!(node.sh(&id, "cat; echo end").await.0, "end\n");
    node.engine.kill(&id, "KILL").await.unwrap();
    node.ended(&id).await;
    let error = node.engine.exec(&id, &command("true")).await.unwrap_err();
    assert!(
        matches!(error, CallError::Conflict { ref message, .. } if message.contains("is not running")),
        "{error:?}"
    );
}

pub(crate) async fn a_gigabyte_less_some_arrives_byte_for_byte(lab: &Lab) {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 32;
    let node = lab.node("bulk").await;
    let id = node.shell("bulk", 2, "sleep 1000").await;
    let spec = ExecSpec { streams: ALL, ..command("cat") };
    let mut exec = node.engine.exec(&id, &spec).await.unwrap();
    let mut input = exec.input;
    let byte = |at: usize| u8::try_from((at * 31 + at / 251) % 256).unwrap();
    let write = async {
        for chunk in 0..CHUNKS {
            let bytes: Vec<u8> = (0..CHUNK).map(|at| byte(chunk * CHUNK + at)).collect();
            input.write_all(&bytes).await.unwrap();
        }
        input.shutdown().await.unwrap();
    };
    let read = async {
        let mut at = 0;
        while let Some((_, piece)) = exec.output.next().await.unwrap() {
            for got in &piece {
                assert_eq!(*got, byte(at), "byte {at}");
                at += 1;
            }
        }
        at
    };
    assert_eq!(tokio::join!(write, read).1, CHUNK * CHUNKS);
}

pub(crate) async fn a_terminal_keeps_every_byte_and_has_a_size(lab: &Lab) {
    let node = lab.node("terminal").await;
    let id = node.shell("terminal", 2, "sleep 1000").await;
    let streams = Streams { tty: true, ..ALL };
    let line = "stty raw -echo; printf '\\001\\000\\000\\002ready\\n'; head -c 1 > /dev/null; stty size; printf '\\002'";
    let mut exec = node.engine.exec(&id, &ExecSpec { streams, ..command(line) }).await.unwrap();
    let mut all = Vec::new();
    while !all.ends_with(b"ready\n") {
        let piece = exec.output.next().await.unwrap().expect("it goes on");
        all.extend_from_slice(&piece.1);
    }
    assert_eq!(all, b"\x01\x00\x00\x02ready\n");
    node.engine.resize_exec(&exec.id, 33, 99).await.unwrap();
    // The key that engines keep back by default: they wait for another one to detach.
    exec.input.write_all(b"\x10").await.unwrap();
    assert_eq!(read_all(&mut exec).await, b"33 99\n\x02");
    assert_eq!(node.engine.exec_exit(&exec.id, HANG).await.unwrap(), 0);
}

/// A probe that hangs, with children: one in its group, one in a session of its own, one that nothing can end but SIGKILL.
const HUNG: &str = "trap '' TERM INT HUP; sleep 5000 & setsid sleep 5001 & (trap '' TERM; sleep 5002; sleep 5003) & wait; sleep 5004";

async fn left(node: &Node, id: &str) -> String {
    node.sh(id, "grep -h . /proc/[0-9]*/cmdline 2>/dev/null | grep -a -c '[s]leep.500' || true")
        .await
        .0
}

pub(crate) async fn a_hundred_hung_execs_leave_nothing(lab: &Lab) {
    let node = lab.node("hung").await;
    let id = node.shell("hung", 2, "sleep 1000").await;
    for _ in 0..10 {
        let starts = (0..10).map(|_| async {
            let exec = node.engine.exec(&id, &command(HUNG)).await.unwrap();
            // Its client goes away at once, or it is killed before it has begun in earnest.
            drop((exec.input, exec.output));
            exec.id
        });
        let execs = futures_util::future::join_all(starts).await;
        for exec in &execs {
            assert!(node.engine.exec_state(exec).await.unwrap().running, "it should hang");
        }
        let kills = execs.iter().map(|exec| node.engine.kill_exec(exec));
        for killed in futures_util::future::join_all(kills).await {
            killed.unwrap();
        }
        for exec in &execs {
            let code = node.engine.exec_exit(exec, HANG).await.unwrap();
            assert_eq!(code, 137);
        }
    }
    assert_eq!(left(&node, &id).await, "0\n");
    assert!(node.engine.inspect(&id).await.unwrap().state.pid > 0, "the container runs on");
    // One whose program has ended, and left another behind.
    let mut exec =
        node.engine.exec(&id, &command("sleep 5005 >/dev/null 2>&1 & exit 4")).await.unwrap();
    read_all(&mut exec).await;
    assert_eq!(node.engine.exec_exit(&exec.id, HANG).await.unwrap(), 4);
    assert_eq!(left(&node, &id).await, "1\n");
    node.engine.kill_exec(&exec.id).await.unwrap();
    node.until(&id, "! grep -h . /proc/[0-9]*/cmdline | grep -a -q '[s]leep.500'").await;
    node.engine.kill_exec(&"ab".repeat(32)).await.expect("one that is gone has no processes");
}

pub(crate) async fn an_exec_is_ended_from_within(lab: &Lab) {
    let node = lab.node("within").await;
    let id = node.shell("within", 2, "sleep 1000").await;
    let exec = node.engine.exec(&id, &command(HUNG)).await.unwrap();
    node.until(&id, "grep -h . /proc/[0-9]*/cmdline | grep -a -q '[s]leep.5002'").await;
    node.engine.kill_exec_from_within(&exec.id).await.unwrap();
    assert_eq!(node.engine.exec_exit(&exec.id, HANG).await.unwrap(), 137);
    assert_eq!(left(&node, &id).await, "0\n");
    let view = node.engine.list().await.unwrap();
    assert_eq!((view.left_over.len(), view.containers.len()), (0, 1));
}

pub(crate) async fn input_is_attached(lab: &Lab) {
    let node = lab.node("attach").await;
    let sandbox = node.sandbox("attach", 2).await;
    let line = "read line; echo \"got $line\"; read line || echo end";
    let spec = ContainerSpec { stdin: true, stdin_once: true, ..shell(line) };
    let id = node.container("attach", "c", &sandbox, &spec).await;
    let (mut input, mut output) = node.engine.attach(&id, ALL).await.unwrap();
    node.engine.start(&id).await.unwrap();
    input.write_all(b"word\n").await.unwrap();
    input.shutdown().await.unwrap();
    let (mut all, begun) = (Vec::new(), Instant::now());
    while let Some((_, piece)) = output.next().await.unwrap() {
        all.extend_from_slice(&piece);
        assert!(begun.elapsed() < HANG);
    }
    assert_eq!(all, b"got word\nend\n");
    assert_eq!(node.ended(&id).await, 0);
}
