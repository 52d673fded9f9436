// SPDX-License-Identifier: Apache-2.0
//! Logs.

use crate::lab::{Lab, shell};
use berth_cluster_docker::{ContainerSpec, LogFiles, LogLine, LogOptions, Logs, Stream};

async fn all(mut logs: Logs) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while let Some(line) = logs.next().await.unwrap() {
        lines.push(line);
    }
    lines
}

fn numbers(lines: &[LogLine]) -> Vec<u32> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).trim().parse().unwrap()).collect()
}

fn check_run(numbers: &[u32], last: u32) {
    assert_eq!(numbers.last(), Some(&last));
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a line is missing");
}

pub(crate) async fn lines_are_told_across_rotation(lab: &Lab) {
    const LINES: u32 = 20_000;
    let node = lab.node("rotation").await;
    let sandbox = node.sandbox("rotation", 2).await;
    let log = LogFiles { bytes_max: 256 << 10, files_max: 3 };
    let spec = ContainerSpec { log, ..shell(&format!("seq {LINES}")) };
    let id = node.container("rotation", "c", &sandbox, &spec).await;
    node.engine.start(&id).await.unwrap();
    node.ended(&id).await;
    let kept = all(node.engine.logs(&id, &LogOptions::default()).await.unwrap()).await;
    check_run(&numbers(&kept), LINES);
    // More than the one file, less than all.
    assert!(kept.len() > 4_000 && kept.len() < 15_000, "{} lines", kept.len());
    let tail = LogOptions { tail: Some(4_000), ..LogOptions::default() };
    let tail = all(node.engine.logs(&id, &tail).await.unwrap()).await;
    assert_eq!(numbers(&tail), (LINES - 3_999..=LINES).collect::<Vec<_>>());
    let middle = &kept[kept.len() / 2];
    let since = LogOptions { since: Some(middle.time), ..LogOptions::default() };
    let since = all(node.engine.logs(&id, &since).await.unwrap()).await;
    assert!(since.iter().all(|line| line.time >= middle.time) && since.contains(middle));
    check_run(&numbers(&since), LINES);
}

pub(crate) async fn a_terminals_log_and_a_followers_end(lab: &Lab) {
    let node = lab.node("logs").await;
    let sandbox = node.sandbox("logs", 2).await;
    let line = "echo first; echo second >&2; head -c 40000 /dev/zero; echo; sleep 1; printf last";
    for tty in [false, true] {
        let name = if tty { "tty" } else { "plain" };
        let id =
            node.container("logs", name, &sandbox, &ContainerSpec { tty, ..shell(line) }).await;
        node.engine.start(&id).await.unwrap();
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        let lines = all(node.engine.logs(&id, &follow).await.unwrap()).await;
        let first = lines.iter().find(|line| line.bytes.starts_with(b"first")).unwrap();
        assert_eq!(first.bytes, if tty { "first\r" } else { "first" });
        assert!(first.whole);
        let second = if tty { Stream::Stdout } else { Stream::Stderr };
        // Two pipes have no common order.
        let found = lines.iter().find(|line| line.bytes.starts_with(b"second")).unwrap();
        assert_eq!(found.stream, second);
        let zeros: Vec<&LogLine> =
            lines.iter().filter(|line| line.bytes.starts_with(b"\0")).collect();
        let bytes = |line: &&LogLine| line.bytes.split(|byte| *byte == 0).count() - 1;
        assert_eq!(zeros.iter().map(bytes).sum::<usize>(), 40_000);
        assert!(zeros.len() >= 3 && !zeros[0].whole && zeros.last().unwrap().whole);
        let last = lines.last().unwrap();
        assert_eq!((&last.bytes[..], last.whole), (&b"last"[..], false));
        assert_eq!(lines, all(node.engine.logs(&id, &LogOptions::default()).await.unwrap()).await);
        let none = LogOptions { tail: Some(0), ..follow };
        assert_eq!(all(node.engine.logs(&id, &none).await.unwrap()).await, []);
    }
}
