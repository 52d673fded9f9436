// SPDX-License-Identifier: Apache-2.0
//! Pods that wait, and room that is made for them.

use super::fixture::{Fixture, cpu, node, placed_on, pod, refused, update};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_proto::v1::queued::Queue;

fn queued(result: &v1::PodResult) -> &v1::Queued {
    match &result.outcome {
        Some(Outcome::Queued(queued)) => queued,
        other => panic!("not queued: {other:?}"),
    }
}

fn preempting(result: &v1::PodResult) -> &v1::Preempting {
    match &result.outcome {
        Some(Outcome::Preempting(preempting)) => preempting,
        other => panic!("not preempting: {other:?}"),
    }
}

fn urgent(amount: &str) -> v1::PodSpec {
    v1::PodSpec { priority: 100, ..cpu(amount) }
}

#[test]
fn a_pod_that_waits_is_placed_when_there_is_room() {
    let mut at = Fixture::with_nodes(1, "1");
    let results = at.queue(vec![pod("u1", "p1", cpu("1")), pod("u2", "p2", cpu("1"))]);
    assert_eq!(placed_on(&results[0]), "n0");
    let waits = queued(&results[1]);
    assert_eq!(waits.queue(), Queue::Unschedulable);
    assert!(waits.why.as_ref().unwrap().message.contains("Insufficient cpu"));
    // Asked again, it waits still.
    let again = at.queue(vec![pod("u2", "p2", cpu("1"))]);
    assert_eq!(again[0].revision, results[1].revision);
    queued(&again[0]);
    at.release(&["u1"]);
    at.pass(1_000);
    let told = at.told();
    assert_eq!((told.len(), told[0].uid.as_str(), placed_on(&told[0]).as_str()), (1, "u2", "n0"));
}

#[test]
fn at_its_deadline_a_waiting_pod_is_refused() {
    let mut at = Fixture::with_nodes(1, "1");
    at.queue(vec![pod("u1", "p1", cpu("2"))]);
    at.pass(9_999);
    assert!(at.told().is_empty());
    at.pass(1);
    let told = at.told();
    let refusal = refused(&told[0]);
    assert!(refusal.deadline_passed && refusal.message.contains("Insufficient cpu"), "{refusal:?}");
    // It is forgotten.
    assert_eq!(at.cancel(&["u1"]), ["u1"]);
}

#[test]
fn a_cancelled_pod_waits_no_more() {
    let mut at = Fixture::with_nodes(1, "1");
    at.queue(vec![pod("u1", "p1", cpu("2"))]);
    assert!(at.cancel(&["u1"]).is_empty());
    assert!(matches!(at.told()[0].outcome, Some(Outcome::Cancelled(_))));
    assert_eq!(at.cancel(&["u1"]), ["u1"]);
    at.apply(vec![update(v1::update::What::Node(node("big", "8")))], true);
    at.pass(60_000);
    assert_eq!(at.node_of("u1"), None);
}

#[test]
fn a_pod_with_gates_waits_until_it_comes_without_them() {
    let mut at = Fixture::with_nodes(1, "4");
    let gates = |names: &[&str]| {
        let gate = |name: &&str| v1::PodSchedulingGate { name: (*name).into() };
        v1::PodSpec { scheduling_gates: names.iter().map(gate).collect(), ..cpu("1") }
    };
    let result = at.queue(vec![pod("u1", "p1", gates(&["a", "b"]))]).remove(0);
    assert_eq!(queued(&result).queue(), Queue::Gated);
    // Other gates are another spec.
    let result = at.queue(vec![pod("u1", "p1", gates(&["c"]))]).remove(0);
    assert!(matches!(result.outcome, Some(Outcome::Conflict(_))));
    let result = at.queue(vec![pod("u1", "p1", gates(&["b"]))]).remove(0);
    assert_eq!(queued(&result).queue(), Queue::Gated);
    at.queue(vec![pod("u1", "p1", gates(&[]))]);
    at.pass(1);
    assert_eq!(at.node_of("u1").as_deref(), Some("n0"));
}

#[test]
fn room_is_made_and_taken_by_the_pod_it_was_made_for() {
    let mut at = Fixture::with_nodes(1, "2");
    at.place(pod("low", "low", cpu("2")));
    let result = at.place(pod("high", "high", urgent("2")));
    let room = preempting(&result);
    assert_eq!((room.node.as_str(), room.victims[0].uid.as_str()), ("n0", "low"));
    // Asked again, the same; and nobody of lower priority gets the room.
    assert_eq!(preempting(&at.place(pod("high", "high", urgent("2")))), room);
    at.release(&["low"]);
    at.pass(10);
    let told = at.told();
    assert_eq!((told.len(), placed_on(&told[0]).as_str()), (1, "n0"));
    refused(&at.place(pod("late", "late", cpu("2"))));
}

#[test]
fn when_victims_do_not_go_in_time_they_are_spared() {
    let mut at = Fixture::with_nodes(1, "2");
    at.place(pod("low", "low", cpu("2")));
    let options = v1::ScheduleOptions { nomination_hold_ms: 5_000, ..Default::default() };
    let result = at.schedule(options, vec![pod("high", "high", urgent("2"))]).remove(0);
    preempting(&result);
    at.pass(4_999);
    assert!(at.told().is_empty());
    at.pass(1);
    let told = at.told();
    assert!(refused(&told[0]).deadline_passed);
    // It is as if the pod had never come: the next one finds the same.
    let result = at.place(pod("other", "other", urgent("2")));
    assert_eq!(preempting(&result).victims[0].uid, "low");
}

#[test]
fn a_waiting_pod_loses_its_nomination_and_waits_on() {
    let mut at = Fixture::with_nodes(1, "2");
    at.place(pod("low", "low", cpu("2")));
    let mode = Some(v1::schedule_options::Mode::QueueForMs(60_000));
    let options = v1::ScheduleOptions { mode, nomination_hold_ms: 5_000, ..Default::default() };
    let result = at.schedule(options, vec![pod("high", "high", urgent("2"))]).remove(0);
    preempting(&result);
    at.pass(5_000);
    // It tries again at once, and asks for the same room again.
    let told = at.told();
    assert_eq!(preempting(&told[0]).victims[0].uid, "low");
    at.release(&["low"]);
    at.pass(2_000);
    assert_eq!(at.node_of("high").as_deref(), Some("n0"));
}

#[test]
fn a_waiting_pod_that_others_bind_is_told_as_placed() {
    let mut at = Fixture::with_nodes(1, "2");
    at.queue(vec![pod("u1", "p1", cpu("4"))]);
    at.bind("u1", "p1", "n0", cpu("4"));
    let told = at.told();
    assert_eq!(placed_on(&told[0]), "n0");
    at.pass(60_000);
    assert_eq!(at.node_of("u1").as_deref(), Some("n0"));
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let mut at = Fixture::with_nodes(1, "2");
    let queue = Some(v1::schedule_options::Mode::QueueForMs(10));
    for (options, field) in [
        (
            v1::ScheduleOptions { mode: queue, all_or_nothing: true, ..Default::default() },
            "options.allOrNothing",
        ),
        (v1::ScheduleOptions { lease_ms: -1, ..Default::default() }, "options.leaseMs"),
    ] {
        let result = at.schedule(options, vec![pod("u1", "p1", cpu("1"))]).remove(0);
        let Some(Outcome::Invalid(invalid)) = result.outcome else { panic!("{result:?}") };
        assert_eq!(invalid.violations[0].field, field);
    }
}
