// SPDX-License-Identifier: Apache-2.0
//! Exec and attach.

use crate::client::{rest, send, until};
use crate::lab::{HANG, World, shell};
use berth_cluster_agent_serve::State;
use berth_cluster_docker::ContainerSpec;
use serde_json::Value;
use std::time::{Duration, Instant};

const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

/// The path of a line of shell.
fn exec(line: &str, streams: &str) -> String {
    let mut options = form_urlencoded::Serializer::new(String::new());
    for word in ["/bin/sh", "-c", line] {
        options.append_pair("command", word);
    }
    format!("/exec/n/p/c?{streams}&{}", options.finish())
}

fn code(status: &Value) -> &str {
    status["details"]["causes"][0]["message"].as_str().unwrap_or("0")
}

pub(crate) async fn commands_end_with_their_codes(world: &World) {
    world.shell("p", 2, "sleep 1000").await;
    for protocol in [V4, V5] {
        let mut socket = world
            .socket(&exec("echo out; echo err >&2; exit 7", "output=1&error=1"), protocol)
            .await;
        let said = rest(&mut socket).await;
        assert_eq!((&*said.out, &*said.err, code(&said.status)), ("out\n", "err\n", "7"));
        assert_eq!(said.status["reason"], "NonZeroExitCode");
        let words = "command terminated with non-zero exit code: exit status 7";
        assert_eq!(said.status["message"], words);
        let mut socket = world.socket(&exec("echo only", "output=1"), protocol).await;
        let said = rest(&mut socket).await;
        assert_eq!((&*said.out, &said.status["status"]), ("only\n", &"Success".into()));
    }
    let mut socket = world.socket("/exec/n/p/u-p/c?output=1&error=1&command=/no/such", V4).await;
    let said = rest(&mut socket).await;
    assert!(matches!(code(&said.status), "126" | "127"), "{said:?}");
    let refused = async |path: &str| {
        let (head, _) = world.upgrade(path, V4).await;
        let (_, body) = world.get(path).await;
        (head.lines().next().unwrap().to_owned(), body)
    };
    let internal = "HTTP/1.1 500 Internal Server Error".to_owned();
    let words = "container not found (\"d\")".to_owned();
    assert_eq!(refused("/exec/n/p/d?output=1&command=true").await, (internal, words));
    let missing = "HTTP/1.1 404 Not Found".to_owned();
    let words = "pod \"p\" does not exist".to_owned();
    assert_eq!(refused("/exec/n/p/other/c?output=1&command=true").await, (missing, words));
    let (_, words) = world.get("/exec/n/p/c?output=1").await;
    assert_eq!(words, "you must specify at least one command for the container");
    let (status, words) = world.get("/exec/n/p/c?command=true").await;
    assert_eq!(
        (status, words.trim()),
        (400, "you must specify at least 1 of stdin, stdout, stderr")
    );
    let (status, words) = world.get("/exec/n/p/c?output=1&command=true").await;
    assert!(status == 400 && words.starts_with("unable to upgrade: "), "{words}");
    world.set("p", State::Terminated { id: None }, None);
    assert_eq!(
        world.get("/exec/n/p/c?output=1&command=true").await.1,
        "container not found (\"c\")"
    );
}

pub(crate) async fn standard_input_has_an_end(world: &World) {
    world.shell("p", 2, "sleep 1000").await;
    // What comes after the end of the input still arrives.
    let line = "cat; sleep 0.3; echo after";
    let mut socket = world.socket(&exec(line, "input=1&output=1"), V5).await;
    let text = "x".repeat(100_000);
    send(&mut socket, 0, text.as_bytes()).await;
    send(&mut socket, 255, &[0]).await;
    let said = rest(&mut socket).await;
    assert_eq!(said.out, format!("{text}after\n"));
    assert_eq!(said.status["status"], "Success");
    // A process that reads nothing does not hold up its session.
    let mut socket = world.socket(&exec("exit 3", "input=1&output=1"), V5).await;
    send(&mut socket, 0, text.as_bytes()).await;
    assert_eq!(code(&rest(&mut socket).await.status), "3");
}

pub(crate) async fn a_terminal_follows_the_clients_size(world: &World) {
    world.shell("p", 2, "sleep 1000").await;
    let line = "stty -echo; echo ready; read line; stty size; exit 4";
    let mut socket = world.socket(&exec(line, "input=1&output=1&tty=1"), V4).await;
    send(&mut socket, 4, br#"{"Width":91,"Height":37}"#).await;
    until(&mut socket, "ready").await;
    send(&mut socket, 4, br#"{"Width":99,"Height":33}"#).await;
    // The size goes by a call of its own: it is not in the order of the input.
    tokio::time::sleep(Duration::from_millis(500)).await;
    send(&mut socket, 0, b"go\n").await;
    let said = rest(&mut socket).await;
    assert!(said.out.contains("33 99"), "{said:?}");
    assert_eq!(code(&said.status), "4");
}

/// A command with a child in its group and one in a session of its own, none of which ends by itself.
const HUNG: &str = "trap '' TERM HUP; sleep 5001 & setsid sleep 5002 & echo begun; sleep 5003";
const NONE_LEFT: &str = "! grep -h . /proc/[0-9]*/cmdline 2>/dev/null | grep -a -q '[s]leep.500'";

pub(crate) async fn a_command_whose_client_is_gone_is_ended(world: &World) {
    let id = world.shell("p", 2, "sleep 1000").await;
    for streams in ["output=1", "input=1&output=1", "input=1&output=1&tty=1"] {
        let mut socket = world.socket(&exec(HUNG, streams), V4).await;
        until(&mut socket, "begun").await;
        assert!(!world.succeeds(&id, NONE_LEFT).await);
        drop(socket);
        world.until(&id, NONE_LEFT).await;
    }
}

pub(crate) async fn a_hundred_sessions_at_once(world: &World) {
    world.shell("p", 2, "sleep 1000").await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        let path = exec("echo here; cat; exit 5", "input=1&output=1");
        let mut socket = world.socket(&path, V5).await;
        until(&mut socket, "here").await;
        sockets.push(socket);
    }
    let figures = world.get("/metrics").await.1;
    assert!(figures.contains("\nberth_agent_server_sessions 100\n"), "{figures}");
    for (at, socket) in sockets.iter_mut().enumerate() {
        send(socket, 0, format!("I am {at}\n").as_bytes()).await;
        send(socket, 255, &[0]).await;
    }
    for (at, mut socket) in sockets.into_iter().enumerate() {
        let said = rest(&mut socket).await;
        assert_eq!((said.out, code(&said.status)), (format!("I am {at}\n"), "5"));
    }
}

pub(crate) async fn a_container_is_attached_to(world: &World) {
    let line =
        "while read line; do echo \"got $line\"; echo err >&2; done; echo end; sleep 0.2; exit 9";
    let spec = ContainerSpec { stdin: true, stdin_once: true, ..shell(line) };
    let id = world.pod("p", 2, &spec).await;
    // Who leaves does not end it.
    let mut socket = world.socket("/attach/n/p/c?output=1", V4).await;
    let mut second = world.socket("/attach/n/p/c?input=1&output=1&error=1", V5).await;
    // The engine attaches after it has answered.
    tokio::time::sleep(Duration::from_millis(500)).await;
    send(&mut second, 0, b"word\n").await;
    assert_eq!(until(&mut socket, "word\n").await, "got word\n");
    drop(socket);
    send(&mut second, 0, b"again\n").await;
    until(&mut second, "got again").await;
    send(&mut second, 255, &[0]).await;
    let said = rest(&mut second).await;
    assert!(said.out.ends_with("end\n"), "{said:?}");
    assert_eq!(said.status["status"], "Success");
    world.ended(&id).await;
    let (status, words) = world.get("/attach/n/p/d?output=1").await;
    assert_eq!((status, &*words), (500, "container not found (\"d\")"));
}

pub(crate) async fn a_server_that_stops_ends_its_commands(world: &World) {
    let id = world.shell("p", 2, "sleep 1000").await;
    let mut socket = world.socket(&exec(HUNG, "output=1"), V4).await;
    until(&mut socket, "begun").await;
    let follow = world
        .open(crate::client::As::Admin, http::Method::GET, "/containerLogs/n/p/c?follow=true")
        .await;
    let begun = Instant::now();
    let serving = world.serving.lock().unwrap().take().unwrap();
    serving.stop().await;
    assert!(begun.elapsed() < HANG / 6, "it waits for sessions that it should end");
    assert!(world.succeeds(&id, NONE_LEFT).await);
    drop(follow);
}
