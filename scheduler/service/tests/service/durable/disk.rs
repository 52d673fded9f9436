// SPDX-License-Identifier: Apache-2.0
//! What the journal takes on disk while pods come and go.

use super::node_of;
use crate::fixture::{Client, apply_nodes, client, cpu, pod, start};
use berth_proto::v1;
use berth_scheduler_journal::Options as Sizes;
use berth_scheduler_service::Server;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pods that are there at any time, and pods of a message.
const LIVE: u64 = 60_000;
const MESSAGE: u64 = 500;
/// So many times all pods are replaced.
const TIMES: u64 = 5;

/// Blocks of a folder, as bytes. Files may vanish meanwhile.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Looks again and again; the most that was there at any time.
struct Gauge {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Gauge {
    fn start(folder: PathBuf) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(bytes(&folder), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, most, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

/// A uid of the usual length.
fn uid(serial: u64) -> String {
    format!("00000000-0000-4000-8000-{serial:012}")
}

async fn place(client: &mut Client, from: u64) {
    let pods = (from..from + MESSAGE).map(|serial| pod(&uid(serial), cpu("1m"))).collect();
    let answer = client.schedule(v1::ScheduleRequest { options: None, pods }).await;
    for result in answer.unwrap().into_inner().results {
        assert!(!node_of(&result).1);
    }
}

async fn snapshot_bytes(client: &mut Client) -> u64 {
    let stats = client.stats(v1::StatsRequest {}).await.unwrap().into_inner();
    stats.journal.unwrap().snapshot_bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_takes_at_most_three_times_the_live_state() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = Sizes { segment_bytes: 256 << 10, floor_bytes: 1 << 20 };
    let server = start(Server::builder().data(folder.path()).journal(sizes)).await;
    let mut client = client(&server).await;
    apply_nodes(&mut client, 100, "100").await;
    for from in (0..LIVE).step_by(usize::try_from(MESSAGE).unwrap()) {
        place(&mut client, from).await;
    }
    // From here on the state stays as large as it is.
    let gauge = Gauge::start(folder.path().to_owned());
    let mut frames = 0;
    let mut snapshots = 0;
    let mut state = snapshot_bytes(&mut client).await;
    for from in (LIVE..LIVE + TIMES * LIVE).step_by(usize::try_from(MESSAGE).unwrap()) {
        let uids = (from - LIVE..from - LIVE + MESSAGE).map(uid).collect();
        client.release(v1::ReleaseRequest { uids }).await.unwrap();
        place(&mut client, from).await;
        frames += 2;
        let now = snapshot_bytes(&mut client).await;
        snapshots += u32::from(now != state);
        state = now;
    }
    let most = gauge.stop();
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{frames} rounds, {snapshots} snapshots of {} MiB, at most {} MiB",
        mib(state),
        mib(most)
    );
    assert!(snapshots >= 3, "{snapshots} snapshots were seen");
    assert!(most <= 3 * state, "{most} bytes were taken by a state of {state}");
    server.stop().await;
}
