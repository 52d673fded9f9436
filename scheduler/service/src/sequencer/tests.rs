// SPDX-License-Identifier: Apache-2.0
//! The sequencer by itself: what the contract says, with time as an argument.

mod durable;
mod fixture;
mod waiting;

use super::Accepting;
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use fixture::{Fixture, cpu, node, placed_on, pod, refused, spec};

#[test]
fn a_repeated_request_gets_the_first_decision() {
    let mut at = Fixture::with_nodes(2, "4");
    let first = at.place(pod("u1", "p1", cpu("1")));
    let node = placed_on(&first);
    assert!(!node.is_empty());
    let revision = at.revision();
    let again = at.place(pod("u1", "p1", cpu("1")));
    assert_eq!(placed_on(&again), node);
    assert_eq!(again.revision, first.revision);
    assert!(matches!(&again.outcome, Some(Outcome::Placed(placed)) if placed.repeated));
    assert_eq!(at.revision(), revision);
}

#[test]
fn a_changed_spec_or_name_under_one_uid_is_a_conflict() {
    let mut at = Fixture::with_nodes(2, "4");
    at.place(pod("u1", "p1", cpu("1")));
    for (request, field) in [
        (pod("u1", "p1", cpu("2")), "spec"),
        (pod("u1", "p2", cpu("1")), "name"),
        (v1::PodRequest { namespace: "other".into(), ..pod("u1", "p1", cpu("1")) }, "namespace"),
    ] {
        let result = at.place(request);
        let Some(Outcome::Conflict(conflict)) = result.outcome else { panic!("{result:?}") };
        assert_eq!(conflict.field, field);
    }
    // The same content in other bytes is the same spec.
    let mut other = cpu("1000m");
    other.labels.insert("a".into(), "b".into());
    at.place(pod("u2", "p2", other.clone()));
    let mut bytes = prost::Message::encode_to_vec(&other);
    bytes.extend(prost::Message::encode_to_vec(&v1::PodSpec { priority: 0, ..Default::default() }));
    bytes.extend([0x20, 0x00]);
    let again = at.place_bytes("u2", "p2", &bytes);
    assert!(matches!(again.outcome, Some(Outcome::Placed(_))), "{again:?}");
}

#[test]
fn one_pods_failure_does_not_touch_the_others() {
    let mut at = Fixture::with_nodes(1, "4");
    let results = at.schedule(
        v1::ScheduleOptions::default(),
        vec![
            pod("u1", "p1", cpu("1")),
            pod("u2", "p2", cpu("-1")),
            pod("", "p3", cpu("1")),
            pod("u4", "p4", cpu("100")),
            v1::PodRequest { what: None, ..pod("u5", "p5", cpu("1")) },
            pod("u6", "p6", cpu("1")),
        ],
    );
    assert_eq!(placed_on(&results[0]), "n0");
    let field = |result: &v1::PodResult| match &result.outcome {
        Some(Outcome::Invalid(invalid)) => invalid.violations[0].field.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(field(&results[1]), "pods[1].spec.containers[0].resources.requests[cpu]");
    assert_eq!(field(&results[2]), "pods[2].uid");
    let refusal = refused(&results[3]);
    assert_eq!(refusal.message, "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!((refusal.rules[0].plugin.as_str(), refusal.rules[0].nodes), ("NodeResourcesFit", 1));
    assert_eq!(field(&results[4]), "pods[4].spec");
    assert_eq!(placed_on(&results[5]), "n0");
}

#[test]
fn all_or_nothing_places_all_or_none() {
    let mut at = Fixture::with_nodes(1, "4");
    let options = v1::ScheduleOptions { all_or_nothing: true, ..Default::default() };
    let batch = |second: &str| {
        vec![pod("u1", "p1", cpu("2")), pod("u2", "p2", cpu(second)), pod("u3", "p3", cpu("1"))]
    };
    let revision = at.revision();
    let results = at.schedule(options, batch("3"));
    assert!(matches!(&results[0].outcome, Some(Outcome::Withdrawn(w)) if w.failed_index == 1));
    assert!(matches!(&results[1].outcome, Some(Outcome::Refused(_))));
    assert!(matches!(&results[2].outcome, Some(Outcome::Withdrawn(_))));
    assert_eq!(at.revision(), revision);
    let results = at.schedule(options, batch("1"));
    assert!(results.iter().all(|result| placed_on(result) == "n0"));
    // The same batch again is answered from memory.
    let again = at.schedule(options, batch("1"));
    assert!(again.iter().all(|r| matches!(&r.outcome, Some(Outcome::Placed(p)) if p.repeated)));
}

#[test]
fn what_is_released_is_free_again() {
    let mut at = Fixture::with_nodes(1, "1");
    assert_eq!(placed_on(&at.place(pod("u1", "p1", cpu("1")))), "n0");
    refused(&at.place(pod("u2", "p2", cpu("1"))));
    assert_eq!(at.release(&["u1", "nobody"]), ["nobody"]);
    assert_eq!(placed_on(&at.place(pod("u2", "p2", cpu("1")))), "n0");
    assert_eq!(at.release(&["u1"]), ["u1"]);
}

#[test]
fn a_lease_that_is_not_confirmed_ends() {
    let mut at = Fixture::with_nodes(1, "2");
    let options = v1::ScheduleOptions { lease_ms: 1_000, ..Default::default() };
    let results = at.schedule(options, vec![pod("u1", "p1", cpu("1")), pod("u2", "p2", cpu("1"))]);
    let Some(Outcome::Placed(placed)) = &results[0].outcome else { panic!("{results:?}") };
    assert_eq!(placed.lease_until_unix_ms, i64::try_from(at.now).unwrap() + 1_000);
    assert_eq!(at.confirm(&["u1", "u3"]), ["u3"]);
    at.pass(999);
    assert!(at.node_of("u2").is_some());
    at.pass(1);
    assert!(at.node_of("u1").is_some());
    assert_eq!(at.node_of("u2"), None);
    assert_eq!(at.confirm(&["u2"]), ["u2"]);
}

#[test]
fn templates_have_one_number_per_content() {
    let mut at = Fixture::with_nodes(1, "4");
    let first = at.sequencer.register_template(&cpu("1")).unwrap();
    assert_eq!(at.sequencer.register_template(&cpu("1")).unwrap(), first);
    let second = at.sequencer.register_template(&cpu("2")).unwrap();
    assert_ne!(first, second);
    let request = |uid: &str, template| v1::PodRequest {
        what: Some(v1::pod_request::What::Template(template)),
        ..pod(uid, uid, spec())
    };
    assert_eq!(placed_on(&at.place(request("u1", first))), "n0");
    // A template and its content are one spec.
    let again = at.place(pod("u1", "u1", cpu("1")));
    assert!(matches!(&again.outcome, Some(Outcome::Placed(placed)) if placed.repeated));
    assert!(at.sequencer.drop_template(first));
    assert!(!at.sequencer.drop_template(first));
    let result = at.place(request("u2", first));
    assert!(matches!(&result.outcome, Some(Outcome::Invalid(_))), "{result:?}");
}

#[test]
fn when_nothing_new_is_taken_earlier_decisions_are_still_answered() {
    let mut at = Fixture::with_nodes(1, "4");
    at.place(pod("u1", "p1", cpu("1")));
    let reason = v1::not_accepted::Reason::DiskFull.into();
    let why = v1::NotAccepted { reason, message: "full".into(), retry_after_ms: 500 };
    at.sequencer.set_accepting(Accepting::No(why.clone()));
    assert_eq!(placed_on(&at.place(pod("u1", "p1", cpu("1")))), "n0");
    let result = at.place(pod("u2", "p2", cpu("1")));
    assert_eq!(result.outcome, Some(Outcome::NotAccepted(why)));
    assert_eq!(at.node_of("u2"), None);
}

#[test]
fn updates_are_applied_one_by_one_or_all_together() {
    let mut at = Fixture::with_nodes(1, "4");
    let updates = || {
        let gone = v1::ObjectKey { kind: "Node".into(), name: "n9".into(), ..Default::default() };
        vec![
            fixture::update(v1::update::What::Node(node("n1", "4"))),
            fixture::update(v1::update::What::Node(node("n2", "-4"))),
            fixture::update(v1::update::What::Gone(gone)),
            v1::Update::default(),
            fixture::update(v1::update::What::Node(node("n0", "4"))),
        ]
    };
    let before = at.revision();
    let answer = at.apply(updates(), true);
    assert_eq!((answer.applied, answer.errors.len(), answer.revision), (0, 3, before));
    let answer = at.apply(updates(), false);
    assert_eq!((answer.applied, answer.errors.len()), (2, 3));
    // The second node is new; the first one is as it was, which is no change.
    assert_eq!(answer.revision, before + 1);
    assert_eq!(answer.errors[0].index, 1);
    assert_eq!(answer.errors[0].field, "node.allocatable[cpu]");
    assert_eq!(answer.errors[1].code, i32::from(v1::update_error::Code::NotFound));
}

#[test]
fn a_pod_that_others_bound_counts_and_is_known() {
    let mut at = Fixture::with_nodes(1, "2");
    at.bind("u1", "p1", "n0", cpu("2"));
    refused(&at.place(pod("u2", "p2", cpu("1"))));
    let repeated = at.place(pod("u1", "p1", cpu("2")));
    assert_eq!(placed_on(&repeated), "n0");
    // Told again, it is no change.
    let revision = at.revision();
    at.bind("u1", "p1", "n0", cpu("2"));
    assert_eq!(at.revision(), revision);
    // On a node that is not there it counts nowhere, until the node is.
    at.bind("u1", "p1", "n7", cpu("2"));
    assert_eq!(placed_on(&at.place(pod("u2", "p2", cpu("1")))), "n0");
    assert_eq!(placed_on(&at.place(pod("u1", "p1", cpu("2")))), "n7");
}

#[test]
fn syncing_replaces_the_state_and_says_what_differed() {
    let mut at = Fixture::with_nodes(3, "4");
    let read = |name: &str, cpu: &str| crate::convert::node(&node(name, cpu)).unwrap();
    let nodes = vec![read("n0", "4"), read("n1", "8"), read("n5", "4")];
    let answer = at.sequencer.sync_nodes(at.now, nodes).unwrap();
    assert_eq!((answer.added, answer.changed), (vec!["n5".to_owned()], vec!["n1".to_owned()]));
    assert_eq!((answer.removed, answer.unchanged_count), (vec!["n2".to_owned()], 1));

    at.bind("u1", "p1", "n0", cpu("1"));
    at.bind("u2", "p2", "n0", cpu("1"));
    let seen = at.revision();
    at.place(pod("u3", "p3", cpu("1")));
    let bound = |uid: &str, node: &str| {
        let mut seen = crate::convert::SeenSpecs::default();
        crate::convert::bound_pod(fixture::bound(uid, uid, node, cpu("1")), &mut seen).unwrap()
    };
    let pods = || vec![bound("u4", "n1")];
    let answer = at.sequencer.sync_pods(at.now, pods(), seen).unwrap();
    assert_eq!(
        (answer.added, answer.removed),
        (vec!["u4".to_owned()], vec!["u1".into(), "u2".into()])
    );
    assert_eq!(answer.kept_count, 1);
    assert!(at.node_of("u3").is_some());
    let answer = at.sequencer.sync_pods(at.now, pods(), 0).unwrap();
    assert_eq!((answer.removed, answer.unchanged_count), (vec!["u3".to_owned()], 1));
}

#[test]
fn explain_says_what_a_placement_would_do() {
    let mut at = Fixture::with_nodes(3, "4");
    at.apply(vec![fixture::update(v1::update::What::Node(node("small", "1")))], false);
    let request = v1::ExplainRequest {
        which: Some(v1::explain_request::Which::Pod(pod("u1", "p1", cpu("2")))),
        top: 2,
        nodes: vec!["small".into()],
        refused_nodes: false,
    };
    let revision = at.revision();
    let answer = at.sequencer.explain(at.now, &request).unwrap().unwrap();
    assert_eq!((answer.feasible, answer.nodes, at.revision()), (3, 4, revision));
    assert_eq!(answer.verdicts.len(), 3);
    assert_eq!(answer.verdicts[0].node, answer.chosen);
    let total: i64 = answer.verdicts[0].scores.iter().map(|s| s.score * s.weight).sum();
    assert_eq!(total, answer.verdicts[0].total);
    assert_eq!(answer.verdicts[2].reasons, ["Insufficient cpu"]);
    // It asks for more than the node has in all.
    assert_eq!(answer.verdicts[2].code, "UnschedulableAndUnresolvable");
    assert_eq!(placed_on(&at.place(pod("u1", "p1", cpu("2")))), answer.chosen);
    let request = v1::ExplainRequest {
        which: Some(v1::explain_request::Which::Uid("nobody".into())),
        ..Default::default()
    };
    assert_eq!(at.sequencer.explain(at.now, &request), Ok(None));
}

#[test]
fn lists_come_in_pages_and_lose_nobody() {
    let mut at = Fixture::with_nodes(25, "100");
    for index in 0..40 {
        at.place(pod(&format!("u{index}"), &format!("p{index}"), cpu("1")));
    }
    let mut names = Vec::new();
    let mut request = v1::ListNodesRequest { page_size: 10, ..Default::default() };
    loop {
        let page = at.sequencer.list_nodes(&request);
        names.extend(page.nodes.into_iter().filter_map(|info| Some(info.node?.name)));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(names.is_sorted());
    assert_eq!(names.len(), 25);
    let mut uids = std::collections::BTreeSet::new();
    let mut request = v1::ListPodsRequest { page_size: 7, ..Default::default() };
    loop {
        let page = at.sequencer.list_pods(&request).unwrap();
        uids.extend(page.pods.into_iter().map(|pod| pod.uid));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(uids.len(), 40);
    let node = at.node_of("u0").unwrap();
    let request = v1::ListPodsRequest { node, ..Default::default() };
    let page = at.sequencer.list_pods(&request).unwrap();
    assert!(page.pods.iter().any(|pod| pod.uid == "u0"));
    let request = v1::ListPodsRequest { page_token: "x".into(), ..Default::default() };
    assert!(at.sequencer.list_pods(&request).is_err());
}
