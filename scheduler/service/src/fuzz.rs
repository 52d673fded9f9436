// SPDX-License-Identifier: Apache-2.0
//! What fuzzers run, and tests with random bytes where there is no fuzzer: each takes any bytes and panics if something is wrong.
//!
//! Bytes that mean nothing end at the first check. So they are also taken as edits of a message or batch that is good.

use crate::convert::{self, Change, Violation};
use crate::sequencer::{Cursor, Options, Restore, Sequencer, Steps};
use berth_proto::raw::request::Parts;
use berth_proto::raw::result::ResponseWriter;
use berth_proto::raw::{ScheduleRequest, StreamRequest};
use berth_proto::v1;
use prost::Message;

const NOW: u64 = 1_700_000_000_000;
const HOLD_MS: u64 = 60_000;

fn new() -> Sequencer<u32> {
    Sequencer::new(options())
}

fn options() -> Options {
    let engine = berth_scheduler_core::Options::default();
    Options { engine, nomination_hold_ms: HOLD_MS }
}

/// Bytes edit what is good: two say where, one what stands there then; what comes beyond the end is appended.
fn edited(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % (bytes.len() + 8);
        match bytes.get_mut(at) {
            Some(byte) => *byte = edit[2],
            None => bytes.push(edit[2]),
        }
    }
    bytes
}

fn texts<M: FromIterator<(String, String)>>(pairs: &[(&str, &str)]) -> M {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn spec() -> v1::PodSpec {
    let requests = texts(&[("cpu", "500m"), ("memory", "1Gi")]);
    let resources = Some(v1::ResourceRequirements { requests, ..Default::default() });
    let container = v1::Container { name: "app".into(), resources, ..Default::default() };
    v1::PodSpec {
        labels: texts(&[("app", "web")]),
        node_selector: texts(&[("zone", "a")]),
        containers: vec![container],
        priority: 3,
        ..Default::default()
    }
}

fn pods() -> Vec<v1::PodRequest> {
    let pod = |name: &str| v1::PodRequest {
        uid: format!("uid-{name}"),
        namespace: "ns".into(),
        name: name.into(),
        what: Some(v1::pod_request::What::Spec(spec())),
    };
    vec![pod("a"), pod("b")]
}

fn updates() -> Vec<v1::Update> {
    let node = |name: &str| v1::Node {
        name: name.into(),
        labels: texts(&[("zone", "a")]),
        allocatable: texts(&[("cpu", "4"), ("memory", "8Gi"), ("pods", "3")]),
        ..Default::default()
    };
    let what = [v1::update::What::Node(node("n0")), v1::update::What::Node(node("n1"))];
    what.map(|what| v1::Update { what: Some(what) }).into()
}

fn apply(sequencer: &mut Sequencer<u32>, request: v1::ApplyRequest) {
    let read = |update: v1::Update| -> Result<(v1::Update, Change), Violation> {
        Ok((update.clone(), convert::update(update)?))
    };
    let count = request.updates.len();
    let changes = request.updates.into_iter().map(read).collect();
    let answer = sequencer.apply(NOW, changes, request.all_or_nothing);
    assert!(answer.errors.len() <= count, "an update has one error at most");
}

/// Bytes are a request, or edits of one: it is read, worked on and answered; each pod gets its result, and no node more pods than
/// it has places.
///
/// # Panics
/// If not.
pub fn requests(bytes: &[u8]) {
    let options = Some(v1::ScheduleOptions { lease_ms: 5, ..Default::default() });
    let whole = v1::ScheduleRequest { options, pods: pods() }.encode_to_vec();
    let release = vec!["uid-a".to_owned(), "nobody".to_owned()];
    let stream = v1::StreamRequest { id: 7, release, pods: pods(), ..Default::default() };
    for message in [bytes.to_vec(), edited(&whole, bytes), edited(&stream.encode_to_vec(), bytes)] {
        let mut sequencer = new();
        apply(&mut sequencer, v1::ApplyRequest { updates: updates(), all_or_nothing: true });
        schedule(&mut sequencer, &message);
        let mut later = Vec::new();
        sequencer.take_round(Vec::new(), &mut later);
        while sequencer.tick(NOW + 10, 16) {}
        let nodes = sequencer.list_nodes(&v1::ListNodesRequest::default()).nodes;
        assert!(nodes.iter().all(|node| node.pods <= 3), "a node has more pods than places");
    }
}

fn schedule(sequencer: &mut Sequencer<u32>, message: &[u8]) {
    let mut parts = Parts::default();
    let message = bytes::Bytes::copy_from_slice(message);
    if ScheduleRequest(message.clone()).read(&mut parts).is_ok() {
        let mut writer = ResponseWriter::schedule();
        sequencer.schedule(NOW, &message, &parts, None, true, &mut writer);
        let answer = v1::ScheduleResponse::decode(writer.finish(sequencer.revision()));
        let results = answer.map(|answer| answer.results.len());
        assert_eq!(results, Ok(parts.pods.len()), "each pod has its result");
    }
    if StreamRequest(message.clone()).read(&mut parts).is_ok() {
        let release = parts.release.iter().map(|uid| uid.text(&message));
        sequencer.release(release, |_| {});
        let mut writer = ResponseWriter::stream(parts.id);
        sequencer.schedule(NOW, &message, &parts, Some(&1), false, &mut writer);
        let answer = v1::StreamResponse::decode(writer.finish(sequencer.revision()));
        let results = answer.map(|answer| answer.results.len());
        assert_eq!(results, Ok(parts.pods.len()), "each pod has its result");
    }
}

/// Bytes are updates of the cluster, or edits of some: each is applied or refused, and what was applied can be asked for.
///
/// # Panics
/// If not.
pub fn changes(bytes: &[u8]) {
    let good = v1::ApplyRequest { updates: updates(), all_or_nothing: false }.encode_to_vec();
    for message in [bytes.to_vec(), edited(&good, bytes)] {
        let Ok(request) = v1::ApplyRequest::decode(&*message) else { continue };
        let mut sequencer = new();
        apply(&mut sequencer, request);
        let stats = sequencer.stats();
        let nodes = sequencer.list_nodes(&v1::ListNodesRequest::default()).nodes;
        assert_eq!(nodes.len().min(1_000), (stats.nodes as usize).min(1_000), "nodes are listed");
        back_again(&mut sequencer);
    }
}

/// Bytes are a batch of the journal, or edits of one: it is taken in or refused; and what was taken in comes back from a snapshot
/// as it is.
///
/// # Panics
/// If not.
pub fn records(bytes: &[u8]) {
    let mut sequencer = new();
    apply(&mut sequencer, v1::ApplyRequest { updates: updates(), all_or_nothing: true });
    let request = v1::ScheduleRequest { options: None, pods: pods() }.encode_to_vec();
    schedule(&mut sequencer, &request);
    let batches = sequencer.take_round(Vec::new(), &mut Vec::new());
    let good = batches.first().map_or(&[][..], |(_, records)| records);
    for batch in [bytes.to_vec(), edited(good, bytes)] {
        if let Ok(mut restored) = restore(&[batch]) {
            back_again(&mut restored);
        }
    }
}

fn restore(batches: &[Vec<u8>]) -> Result<Sequencer<u32>, String> {
    let mut restore = Restore::new(options());
    let (mut ahead, mut steps) = (restore.ahead(), Steps::default());
    for batch in batches {
        ahead.read(batch, &mut steps)?;
        restore.take(&mut steps)?;
    }
    Ok(restore.finish())
}

/// Writes the state down and takes it back.
fn back_again(sequencer: &mut Sequencer<u32>) {
    let mut slices = Vec::new();
    let mut cursor: Cursor = sequencer.begin_snapshot();
    loop {
        let mut slice = Vec::new();
        let done = sequencer.slice(&mut cursor, &mut slice, 3);
        slices.push(slice);
        if done {
            break;
        }
    }
    let restored = restore(&slices).map(|restored| counts(&restored));
    assert_eq!(restored, Ok(counts(sequencer)), "what was written is read");
}

fn counts(sequencer: &Sequencer<u32>) -> (u64, u32, u32, u32) {
    let stats = sequencer.stats();
    (stats.revision, stats.nodes, stats.pods, stats.leased)
}
