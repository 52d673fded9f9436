// SPDX-License-Identifier: Apache-2.0
//! Random histories, restored from the log alone and from a snapshot taken while they went on: the state is the same, and so
//! are the decisions that follow.

use super::fixture::{Fixture, bound, cpu, node, options, pod, update};
use crate::sequencer::{Cursor, Restore, Steps};
use berth_proto::v1;

/// A small generator: one seed, one sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn some_spec(random: &mut Random) -> v1::PodSpec {
    let mut spec = cpu(random.pick(&["100m", "500m", "1", "2"]));
    spec.labels.insert("app".into(), random.pick(&["a", "b", "c"]).into());
    spec.priority = i32::try_from(random.below(3)).unwrap() * 10;
    if random.below(4) == 0 {
        spec.topology_spread_constraints.push(v1::TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".into(),
            label_selector: Some(v1::LabelSelector {
                match_labels: [("app".to_owned(), "a".to_owned())].into(),
                ..Default::default()
            }),
            ..Default::default()
        });
    }
    spec
}

fn some_options(random: &mut Random) -> v1::ScheduleOptions {
    let mode = match random.below(4) {
        0 => Some(v1::schedule_options::Mode::QueueForMs(20_000)),
        _ => None,
    };
    let lease_ms = if random.below(4) == 0 { 3_000 } else { 0 };
    v1::ScheduleOptions { mode, lease_ms, nomination_hold_ms: 4_000, ..Default::default() }
}

/// One random step of a history.
fn step(at: &mut Fixture, random: &mut Random, serial: u64) {
    let uid = format!("u{}", random.below(serial + 1));
    let fresh = format!("u{serial}");
    let node_name = format!("n{}", random.below(8));
    match random.below(20) {
        0..=9 => {
            let options = some_options(random);
            let spec = some_spec(random);
            at.schedule(options, vec![pod(&fresh, &fresh, spec)]);
        }
        10..=12 => {
            at.release(&[uid.as_str()]);
        }
        13 => {
            at.confirm(&[uid.as_str()]);
        }
        14 => {
            at.cancel(&[uid.as_str()]);
        }
        15 => {
            let cpu = random.pick(&["2", "4", "8"]);
            at.apply(vec![update(v1::update::What::Node(node(&node_name, cpu)))], true);
        }
        16 => {
            let kind = "Node".to_owned();
            let key = v1::ObjectKey { kind, name: node_name, ..Default::default() };
            at.apply(vec![update(v1::update::What::Gone(key))], false);
        }
        17 => {
            let mut pod = bound(&uid, &uid, &node_name, some_spec(random));
            pod.terminating = random.below(4) == 0;
            at.apply(vec![update(v1::update::What::Pod(pod))], false);
        }
        18 => {
            let selector = v1::LabelSelector {
                match_labels: [("app".to_owned(), "b".to_owned())].into(),
                ..Default::default()
            };
            let budget = v1::DisruptionBudget {
                namespace: "ns".into(),
                name: random.pick(&["x", "y"]).into(),
                selector: Some(selector),
                disruptions_allowed: i32::try_from(random.below(3)).unwrap(),
                ..Default::default()
            };
            at.apply(vec![update(v1::update::What::Budget(budget))], true);
        }
        _ => at.pass(random.below(2_000)),
    }
}

/// Everything a client can see of the state.
type State = (Vec<v1::PodInfo>, Vec<v1::NodeInfo>, u64);

/// Compares piece by piece, lest a difference drowns.
fn assert_same(found: &State, wanted: &State, what: &str) {
    let uids = |state: &State| state.0.iter().map(|pod| pod.uid.clone()).collect::<Vec<_>>();
    assert_eq!(uids(found), uids(wanted), "{what}: pods");
    for (found, wanted) in found.0.iter().zip(&wanted.0) {
        assert_eq!(found, wanted, "{what}");
    }
    for (found, wanted) in found.1.iter().zip(&wanted.1) {
        assert_eq!(found, wanted, "{what}");
    }
    assert_eq!((found.1.len(), found.2), (wanted.1.len(), wanted.2), "{what}: nodes, revision");
}

fn state(at: &Fixture) -> State {
    let request = v1::ListPodsRequest::default();
    let mut pods = at.sequencer.list_pods(&request).unwrap().pods;
    pods.sort_by(|a, b| a.uid.cmp(&b.uid));
    for pod in &mut pods {
        // A pod that waits is tried again at once after a restart.
        if let Some(queued) = &mut pod.queued {
            queued.queue = 0;
        }
    }
    let nodes = at.sequencer.list_nodes(&v1::ListNodesRequest::default()).nodes;
    (pods, nodes, at.revision())
}

fn restore(now: u64, chunks: &[Vec<u8>], batches: &[Vec<u8>]) -> Fixture {
    let mut restore = Restore::new(options());
    let (mut ahead, mut steps) = (restore.ahead(), Steps::default());
    for (at, bytes) in chunks.iter().chain(batches).enumerate() {
        ahead.read(bytes, &mut steps).unwrap();
        // Several batches at a time, or single ones.
        if at % 3 == 0 {
            restore.take(&mut steps).unwrap();
        }
    }
    restore.take(&mut steps).unwrap();
    let mut at = Fixture::new(restore.finish());
    at.now = now;
    at
}

/// The next decisions, asked of both.
fn decide_alike(one: &mut Fixture, other: &mut Fixture, random: &mut Random) {
    for serial in 0..60 {
        let uid = format!("after-{serial}");
        let spec = some_spec(random);
        let results = [&mut *one, &mut *other].map(|at| {
            let mut outcome = at.place(pod(&uid, &uid, spec.clone())).outcome;
            if let Some(v1::pod_result::Outcome::Refused(refused)) = &mut outcome {
                // Words are used again for a second.
                refused.message.clear();
            }
            outcome
        });
        assert_eq!(results[0], results[1], "decision {serial}");
    }
}

#[test]
fn a_restored_state_is_the_same_and_decides_alike() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut at = Fixture::with_nodes(6, "4");
        let mut snapshot: Option<(Cursor, Vec<Vec<u8>>, usize)> = None;
        let begin = 50 + random.below(100);
        for serial in 0..250 {
            step(&mut at, &mut random, serial);
            if serial == begin {
                snapshot = Some((at.sequencer.begin_snapshot(), Vec::new(), at.batches.len()));
            }
            // A slice of a few things now and then, while the history goes on.
            if let Some((cursor, chunks, _)) = &mut snapshot
                && random.below(2) == 0
            {
                let mut chunk = Vec::new();
                at.sequencer.slice(cursor, &mut chunk, 5);
                chunks.push(chunk);
            }
        }
        let (mut cursor, mut chunks, start) = snapshot.unwrap();
        loop {
            let mut chunk = Vec::new();
            let done = at.sequencer.slice(&mut cursor, &mut chunk, 5);
            chunks.push(chunk);
            if done {
                break;
            }
        }
        let want = state(&at);
        let from_log = restore(at.now, &[], &at.batches);
        assert_same(&state(&from_log), &want, &format!("seed {seed}, from the log"));
        let mut from_snapshot = restore(at.now, &chunks, &at.batches[start..]);
        assert_same(&state(&from_snapshot), &want, &format!("seed {seed}, from the snapshot"));
        // Waiting pods are tried at once after a restart, which comes later without one.
        let waiting: Vec<String> =
            want.0.iter().filter(|pod| pod.queued.is_some()).map(|pod| pod.uid.clone()).collect();
        let waiting: Vec<&str> = waiting.iter().map(String::as_str).collect();
        at.release(&waiting);
        from_snapshot.release(&waiting);
        assert_same(&state(&from_snapshot), &state(&at), &format!("seed {seed}, nobody waits"));
        decide_alike(&mut at, &mut from_snapshot, &mut random);
    }
}

#[test]
fn a_restored_service_answers_repeated_requests_as_before() {
    let mut at = Fixture::with_nodes(2, "4");
    let template = at.sequencer.register_template(&cpu("1")).unwrap();
    let first = at.place(pod("u1", "p1", cpu("1")));
    let leased = v1::ScheduleOptions { lease_ms: 5_000, ..Default::default() };
    let second = at.schedule(leased, vec![pod("u2", "p2", cpu("1"))]).remove(0);
    let third = at.queue(vec![pod("u3", "p3", cpu("9"))]).remove(0);
    let mut again = restore(at.now, &[], &at.batches);
    assert_eq!(again.sequencer.register_template(&cpu("1")).unwrap(), template);
    for (before, request) in [
        (first, pod("u1", "p1", cpu("1"))),
        (second, pod("u2", "p2", cpu("1"))),
        (third, pod("u3", "p3", cpu("9"))),
    ] {
        let now = again.place(request);
        assert_eq!(now.revision, before.revision);
        let node = |result: &v1::PodResult| match &result.outcome {
            Some(v1::pod_result::Outcome::Placed(placed)) => {
                (placed.node.clone(), placed.lease_until_unix_ms)
            }
            Some(v1::pod_result::Outcome::Queued(_)) => (String::new(), 0),
            other => panic!("{other:?}"),
        };
        assert_eq!(node(&now), node(&before));
    }
    again.pass(5_000);
    assert_eq!(again.node_of("u2"), None);
    // Revisions go on where they were.
    assert!(again.revision() > at.revision());
}
