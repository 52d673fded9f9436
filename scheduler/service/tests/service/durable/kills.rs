// SPDX-License-Identifier: Apache-2.0
//! A service that is killed again and again under load, beside one that never is.
//!
//! Messages go over one stream, some on their way at any time; the files of the journal are small, so that kills also meet
//! snapshots, and segments that come and go. After a kill what was not answered is sent again, in the same order. Each answer has
//! to be that of the service that is never killed; after each kill every pod has to be where it was acknowledged to be, and no
//! other pod be there; and at the end 10,000 decisions more have to be the same.

use super::node_of;
use crate::fixture::{Client, apply_nodes, client, connect, cpu, pod, start};
use berth_proto::v1;
use berth_scheduler_journal::Options as Sizes;
use berth_scheduler_service::{Builder, Server};
use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::Stream;

/// Messages on their way.
const WINDOW: usize = 16;
/// Pods of a message.
const PODS: u64 = 8;
/// A message releases the pods of the one so many before it: they were acknowledged before it is sent.
const LIFE: u64 = 400;

fn durable(folder: &Path) -> Builder {
    let sizes = Sizes { segment_bytes: 256 << 10, floor_bytes: 1 << 20 };
    Server::builder().data(folder).journal(sizes)
}

/// Not a test: the service that is started and killed below.
#[test]
fn child() {
    let Ok(folder) = env::var("BERTH_SERVICE_CHILD") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = start(durable(Path::new(&folder))).await;
        println!("address {}", server.address());
        std::future::pending::<()>().await;
    });
}

/// The service as a process, and a client of it.
async fn spawn(folder: &Path) -> (Child, Client) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "durable::kills::child", "--nocapture"])
        .env("BERTH_SERVICE_CHILD", folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the service starts");
        // The harness writes the test's name before it.
        if let Some((_, address)) = line.split_once("address ") {
            let address: SocketAddr = address.parse().unwrap();
            return (child, connect(address).await);
        }
    }
}

/// Messages for a stream, as they are made.
struct Outgoing(mpsc::UnboundedReceiver<v1::StreamRequest>);

impl Stream for Outgoing {
    type Item = v1::StreamRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// An open stream.
struct Line {
    send: mpsc::UnboundedSender<v1::StreamRequest>,
    receive: Streaming<v1::StreamResponse>,
}

impl Line {
    async fn open(client: &mut Client) -> Result<Self, tonic::Status> {
        let (send, messages) = mpsc::unbounded_channel();
        let receive = client.schedule_stream(Outgoing(messages)).await?.into_inner();
        Ok(Self { send, receive })
    }

    fn send(&self, message: &v1::StreamRequest) {
        // An end that is gone is noticed by the answer that does not come.
        drop(self.send.send(message.clone()));
    }

    /// The next answer: its message, and the nodes of its pods.
    async fn answer(&mut self) -> Option<(u64, Vec<String>)> {
        let answer = self.receive.message().await.ok()??;
        assert_eq!(answer.not_accepted, None);
        Some((answer.id, answer.results.iter().map(|result| node_of(result).0).collect()))
    }
}

fn uids(serial: u64) -> Vec<String> {
    (0..PODS).map(|n| format!("u{serial}-{n}")).collect()
}

/// Message number `serial`.
fn message(serial: u64) -> v1::StreamRequest {
    let amount = ["1m", "5m", "20m"][usize::try_from(serial % 3).unwrap()];
    let pods = uids(serial).iter().map(|uid| pod(uid, cpu(amount))).collect();
    let release = serial.checked_sub(LIFE).map(uids).unwrap_or_default();
    v1::StreamRequest { id: serial, release, pods, ..Default::default() }
}

/// Both services.
struct Pair {
    steady: Line,
    killed: Line,
    serial: u64,
    /// Messages that the killed one has not answered, with the answers of the steady one.
    open: VecDeque<(u64, Vec<String>)>,
    /// What was acknowledged: the node of each pod.
    placed: BTreeMap<String, String>,
}

impl Pair {
    /// Sends the next message, to both.
    async fn next(&mut self) {
        let message = message(self.serial);
        self.steady.send(&message);
        self.killed.send(&message);
        let (id, nodes) = self.steady.answer().await.unwrap();
        assert_eq!(id, self.serial);
        self.open.push_back((id, nodes));
        self.serial += 1;
    }

    /// Takes an answer of the killed one; `false`: there comes none.
    async fn take(&mut self) -> bool {
        let Some((id, nodes)) = self.killed.answer().await else { return false };
        let (wanted, same) = self.open.pop_front().unwrap();
        assert_eq!((id, &nodes), (wanted, &same), "message {id}");
        for uid in id.checked_sub(LIFE).map(uids).unwrap_or_default() {
            self.placed.remove(&uid).unwrap();
        }
        self.placed.extend(uids(id).into_iter().zip(nodes));
        true
    }

    /// Load until the killed one answers no more.
    async fn until_killed(&mut self) {
        loop {
            while self.open.len() < WINDOW {
                self.next().await;
            }
            if !self.take().await {
                return;
            }
        }
    }

    /// Sends again what was not answered.
    async fn again(&mut self) {
        for (id, _) in &self.open {
            self.killed.send(&message(*id));
        }
        while !self.open.is_empty() {
            assert!(self.take().await, "the service lives");
        }
    }
}

async fn list(client: &mut Client) -> BTreeMap<String, String> {
    let (mut pods, mut page_token) = (BTreeMap::new(), String::new());
    loop {
        let request = v1::ListPodsRequest { page_token, ..Default::default() };
        let page = client.list_pods(request).await.unwrap().into_inner();
        for pod in page.pods {
            assert_eq!(pods.insert(pod.uid, pod.node), None, "a pod is listed once");
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pods;
        }
    }
}

/// The number of the last snapshot in a journal's folder: how many there were.
fn snapshots(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let number = |name: String| name.strip_prefix("snapshot-")?.parse().ok();
    names.filter_map(number).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_change_no_decision() {
    let rounds: u64 = env::var("BERTH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let server = start(Server::builder()).await;
    let mut steady = client(&server).await;
    apply_nodes(&mut steady, 50, "100").await;
    let (mut child, mut killed) = spawn(folder.path()).await;
    apply_nodes(&mut killed, 50, "100").await;
    let mut pair = Pair {
        steady: Line::open(&mut steady).await.unwrap(),
        killed: Line::open(&mut killed).await.unwrap(),
        serial: 0,
        open: VecDeque::new(),
        placed: BTreeMap::new(),
    };
    let mut unanswered = 0;
    for round in 0..rounds {
        // Also before the first answer, and long enough for snapshots to be under way.
        let kill_after = Duration::from_millis(1 + round * 37 % 256);
        let killer = tokio::spawn(async move {
            tokio::time::sleep(kill_after).await;
            child.start_kill().unwrap();
            child.wait().await.unwrap();
        });
        pair.until_killed().await;
        killer.await.unwrap();
        unanswered += pair.open.len();
        (child, killed) = spawn(folder.path()).await;
        pair.killed = Line::open(&mut killed).await.unwrap();
        pair.again().await;
        assert_eq!(list(&mut killed).await, pair.placed, "round {round}");
    }
    let (asked, snapshots) = (pair.serial, snapshots(folder.path()));
    println!(
        "{rounds} kills, {asked} messages of {PODS}, {unanswered} sent again, {snapshots} snapshots"
    );
    // A test without load, or without snapshots, would show nothing.
    assert!(asked > rounds * 20 && unanswered > 0, "{asked} messages, {unanswered} sent again");
    assert!(rounds < 100 || snapshots > rounds / 20, "{snapshots} snapshots");
    // The 10,000 decisions that follow are the same.
    for _ in 0..10_000 / PODS {
        pair.next().await;
        assert!(pair.take().await);
    }
    assert_eq!(list(&mut steady).await, pair.placed);
    drop(pair);
    server.stop().await;
}
