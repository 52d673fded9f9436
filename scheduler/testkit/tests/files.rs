// SPDX-License-Identifier: Apache-2.0
//! Reading of files, plain and packed, and what the comparison says of a scheduler that is wrong.

use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_testkit::{
    Oracle, PreemptionVerdict, Record, Report, Step, Verdict, open, read,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use std::path::Path;

/// A scheduler that never finds anything.
#[derive(Default)]
struct Blind {
    bound: usize,
}

impl Oracle for Blind {
    fn reset(&mut self, _: Profile) {}
    fn apply(&mut self, event: Event) {
        self.bound += usize::from(matches!(event, Event::Pod(pod) if pod.node.is_some()));
    }
    fn verdict(&mut self, _: &Pod) -> Verdict {
        Verdict::default()
    }
    fn preempt(&mut self, _: &Pod) -> Option<PreemptionVerdict> {
        None
    }
}

fn records(text: &str) -> Vec<Result<Record, String>> {
    read("some.jsonl", Cursor::new(text.to_owned().into_bytes()))
        .expect("it can be opened")
        .map(|record| record.map_err(|error| error.to_string()))
        .collect()
}

fn case() -> Value {
    json!({
        "name": "one", "features": ["f"],
        "nodes": [{"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1"}}}],
        "pods": [], "namespaces": [], "profile": {"schedulerName": "default-scheduler"},
        "pod": {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"nodeName": "n"}},
        "expect": {
            "feasible": ["n"], "rejected": {}, "scores": {"n": {"TaintToleration": 100}},
            "total": {"n": 300},
        },
    })
}

#[test]
fn a_pending_pods_node_name_is_a_wish() {
    let Some(Ok(Record::Case(case))) = records(&case().to_string()).into_iter().next() else {
        panic!("a case")
    };
    assert_eq!((case.pod.node.as_deref(), case.pod.spec.node_name.as_deref()), (None, Some("n")));
    assert_eq!(case.events.len(), 1);
}

#[test]
fn packed_files_are_read_like_plain_ones() {
    let text = format!("{}\n\n{}\n", case(), case());
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).expect("memory takes it");
    let packed = packer.finish().expect("memory takes it");
    let names = |bytes: Vec<u8>| -> Vec<String> {
        read("x", Cursor::new(bytes))
            .expect("it can be opened")
            .map(|record| record.expect("it can be read").name().to_owned())
            .collect()
    };
    assert_eq!(names(text.into_bytes()), ["one", "one"]);
    assert_eq!(names(packed), ["one", "one"]);
}

#[test]
fn errors_name_file_and_line() {
    let mut wrong_plugin = case();
    wrong_plugin["expect"]["scores"]["n"] = json!({"Luck": 1});
    let mut wrong_node = case();
    wrong_node["nodes"][0]["status"]["allocatable"]["cpu"] = json!("-1");
    let mut wrong_profile = case();
    wrong_profile["profile"] = json!({"name": "x"});
    let text = format!("{}\n{wrong_plugin}\n{wrong_node}\nno json\n{wrong_profile}", case());
    let errors: Vec<String> = records(&text).into_iter().filter_map(Result::err).collect();
    assert_eq!(errors[0], "some.jsonl:2: expect.scores[n]: \"Luck\" is not known");
    assert_eq!(
        errors[1],
        "some.jsonl:3: nodes[0]: status.allocatable[cpu]: a quantity must not be negative"
    );
    assert!(errors[2].starts_with("some.jsonl:4: expected "), "{}", errors[2]);
    assert!(errors[3].starts_with("some.jsonl:5: profile: name: unknown field"), "{}", errors[3]);
    let missing = open("no/such/file").expect_err("there is none").to_string();
    assert!(missing.starts_with("no/such/file:0: "), "{missing}");
}

#[test]
fn a_history_keeps_track_of_its_pods() {
    let pod = |name: &str, phase: &str| {
        json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"a": "1"}},
            "spec": {"nodeName": "n"}, "status": {"phase": phase}})
    };
    let sequence = json!({
        "name": "s", "profile": {}, "pods": [pod("old", "Running"), pod("done", "Failed")],
        "templates": [{"metadata": {"namespace": "ns"}, "spec": {}}],
        "events": [
            {"op": "schedule", "name": "new", "template": 0, "expect":
                {"feasible": 1, "max": 1, "distinct": 1, "best": ["n"], "hash": "", "bound": "n"}},
            {"op": "label", "kind": "Pod", "namespace": "ns", "name": "new", "labels": {"b": "2"}},
            {"op": "update", "kind": "Pod", "object": pod("old", "Succeeded")},
            {"op": "delete", "kind": "Pod", "namespace": "ns", "name": "old"},
            {"op": "delete", "kind": "Pod", "namespace": "ns", "name": "new"},
            {"op": "delete", "kind": "Node", "name": "n"},
        ],
    });
    let Some(Ok(Record::Sequence(sequence))) = records(&sequence.to_string()).into_iter().next()
    else {
        panic!("a sequence")
    };
    assert_eq!(sequence.events.len(), 1, "what failed is not there");
    let steps = &sequence.steps;
    let Step::Apply(Event::Pod(labelled)) = &steps[1] else { panic!("{:?}", steps[1]) };
    assert_eq!((labelled.node.as_deref(), &*labelled.uid), (Some("n"), "u-new"));
    assert_eq!(labelled.spec.labels.get("b").map(|v| &**v), Some("2"));
    let gone: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Apply(Event::PodGone { uid }) => Some(&**uid),
            _ => None,
        })
        .collect();
    assert_eq!(gone, ["old", "u-new"]);
    assert_eq!(steps.len(), 5);
}

#[test]
fn every_difference_is_told() {
    let mut report = Report::default();
    for record in records(&case().to_string()) {
        report.compare(&record.expect("it can be read"), &mut Blind::default());
    }
    assert_eq!((report.agreed, report.total, report.is_agreed()), (0, 1, false));
    let told = report.to_string();
    for part in [
        "one: the set of feasible nodes is {}, upstream says {\"n\"}",
        "one: score of \"n\" is None, upstream says Some({TaintToleration: 100})",
        "one: total of \"n\" is None, upstream says Some(300)",
        "one: decided total of \"n\"",
        "0 of 1 verdicts agree",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

/// What a scheduler that finds nothing gets right of a file.
fn blind(file: &str) -> (Report, Blind) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/oracle").join(file);
    let (mut report, mut scheduler) = (Report::default(), Blind::default());
    for record in open(path).expect("the test data can be opened") {
        report.compare(&record.expect("the test data can be read"), &mut scheduler);
    }
    (report, scheduler)
}

#[test]
fn a_scheduler_that_finds_nothing_agrees_with_nothing_but_vain_preemptions() {
    let (report, scheduler) = blind("sequences.jsonl.gz");
    assert_eq!((report.agreed, report.total), (0, 9_917));
    assert!(scheduler.bound > 8_723, "what upstream bound is bound all the same");
    let (report, _) = blind("preemption.jsonl.gz");
    assert_eq!((report.agreed, report.total), (73, 300));
}
