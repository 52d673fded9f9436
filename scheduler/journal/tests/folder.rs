// SPDX-License-Identifier: Apache-2.0
//! The journal in a real folder, with sled's snapshots, and with a process that is killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use berth_scheduler_journal::snapshot::Chunk;
use berth_scheduler_journal::{Journal, OpenError, Options, Put, Replay, Report};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const OPTIONS: Options = Options { segment_bytes: 64 << 10, floor_bytes: 256 << 10 };

/// The state is a counter, and ballast so that snapshots have several chunks. Batch number N says N.
#[derive(Default)]
struct Counter {
    last: u64,
    ballast: usize,
}

impl Replay for Counter {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.last = self.last.max(number(bytes));
        self.ballast += bytes.len();
        Ok(())
    }

    fn batch(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        if number(bytes) != at {
            return Err(format!("{} instead", number(bytes)));
        }
        self.last = at;
        Ok(())
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn open(
    folder: &Path,
    acknowledge: impl FnMut(u64) + Send + 'static,
) -> Result<(Journal<u64>, Counter, Report), OpenError> {
    let mut acknowledge = acknowledge;
    let mut counter = Counter::default();
    let (journal, report) = Journal::open(
        folder,
        OPTIONS,
        &mut counter,
        Box::new(move |number, result| {
            if let Err(error) = result {
                // A panic would end this thread alone, and the others would wait for it.
                eprintln!("batch {number}: {error}");
                std::process::abort();
            }
            acknowledge(number);
        }),
    )?;
    assert_eq!(counter.last, report.last);
    Ok((journal, counter, report))
}

fn submit(journal: &mut Journal<u64>) {
    let number = journal.number() + 1;
    let mut batch = journal.buffer();
    batch.extend(number.to_le_bytes());
    batch.extend([7; 200]);
    journal.submit(batch, number);
}

/// Writes a snapshot of some chunks, and waits for it.
fn snapshot(journal: &mut Journal<u64>, chunks: usize) {
    let mut snapshot = journal.begin_snapshot().unwrap();
    for _ in 0..chunks {
        let mut chunk = Chunk::new();
        chunk.content().extend(journal.number().to_le_bytes());
        chunk.content().resize(50_000, 1);
        while let Put::Busy(again) = snapshot.put(chunk) {
            chunk = again;
        }
        submit(journal);
    }
    while let Err(again) = journal.finish_snapshot(snapshot) {
        snapshot = again;
    }
    while journal.snapshot_under_way() {
        std::thread::yield_now();
    }
}

#[test]
fn what_was_written_is_there_and_old_segments_go() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _, report) = open(folder.path(), |_| {}).unwrap();
    assert_eq!(report, Report::default());
    for _ in 0..2_000 {
        submit(&mut journal);
    }
    assert!(journal.snapshot_due(1_000));
    snapshot(&mut journal, 40);
    assert!(!journal.snapshot_due(2_000_000));
    assert!(matches!(open(folder.path(), |_| {}), Err(OpenError::InUse)));
    journal.close();
    let (mut journal, counter, report) = open(folder.path(), |_| {}).unwrap();
    assert_eq!((report.last, report.snapshot_start), (2_040, 2_000));
    assert_eq!(counter.ballast as u64, report.snapshot_bytes);
    snapshot(&mut journal, 2);
    journal.close();
    // The snapshot before and the segments before it are gone.
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let count = |prefix| names.iter().filter(|n| n.to_str().unwrap().starts_with(prefix)).count();
    assert_eq!((count("snapshot-"), count("current")), (1, 1));
    assert!(count("log-") <= 4, "{names:?}");
    open(folder.path(), |_| {}).unwrap();
}

#[test]
fn a_damaged_snapshot_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _, _) = open(folder.path(), |_| {}).unwrap();
    for _ in 0..1_000 {
        submit(&mut journal);
    }
    snapshot(&mut journal, 2);
    for _ in 0..1_000 {
        submit(&mut journal);
    }
    journal.close();
    fs::remove_dir_all(folder.path().join("snapshot-00000000000000000001")).unwrap();
    let error = open(folder.path(), |_| {}).err().unwrap().to_string();
    assert!(error.contains("snapshot 1"), "{error}");
}

/// Not a test: the process that `killed_at_any_moment` starts and kills.
#[test]
fn child() {
    let Ok(folder) = env::var("BERTH_JOURNAL_CHILD") else { return };
    let (mut journal, _, _) = open(Path::new(&folder), |number| {
        println!("ack {number}");
        std::io::stdout().flush().unwrap();
    })
    .unwrap();
    loop {
        submit(&mut journal);
        if journal.snapshot_due(1_000) {
            snapshot(&mut journal, 5);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = env::var("BERTH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut acknowledged = 0;
    for round in 0..rounds.unwrap_or(20_u64) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env("BERTH_JOURNAL_CHILD", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first acknowledgement, then 0 to 60 ms.
        let mut ack = |line: &str| {
            if let Some(number) = line.strip_prefix("ack ").and_then(|n| n.parse::<u64>().ok()) {
                acknowledged = number;
                return true;
            }
            false
        };
        while !ack(&lines.next().unwrap().unwrap()) {}
        std::thread::sleep(Duration::from_millis(round * 13 % 61));
        child.kill().unwrap();
        for line in lines {
            ack(&line.unwrap());
        }
        child.wait().unwrap();
        let (journal, counter, _) = open(folder.path(), |_| {}).unwrap();
        assert!(counter.last >= acknowledged, "{} < {acknowledged}", counter.last);
        journal.close();
    }
    assert!(acknowledged > 1_000, "{acknowledged}");
}
