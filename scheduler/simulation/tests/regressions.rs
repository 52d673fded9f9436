// SPDX-License-Identifier: Apache-2.0
//! What random runs found, as short as it can be told.

use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels, NodeSelector, Operator, Requirement};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{Pod, PodAffinityTerm, PodSpec};
use berth_scheduler_model::requests::{Requests, Resources};
use berth_scheduler_model::volume::{
    AccessModes, Disk, PersistentVolume, PersistentVolumeClaim, PodVolume, StorageClass,
};
use berth_scheduler_simulation::{Question, Scenario, Step, replay};
use std::sync::Arc;

fn text(text: &str) -> Str {
    Str::from(text)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn node(name: &str) -> Node {
    Node {
        labels: labels(&[("kubernetes.io/hostname", name), ("zone", "z")]),
        allocatable: Resources { cpu: 1_000, memory: 1 << 30, ..Resources::default() },
        pods: 10,
        ..Node::new(name)
    }
}

fn there(name: &str) -> Step {
    Step::Apply(Event::Node(Box::new(node(name))))
}

fn cpu(milli: i64) -> Requests {
    let plain = Resources { cpu: milli, ..Resources::default() };
    Requests { plain, non_zero_cpu: milli, usage_cpu: milli, ..Requests::default() }
}

fn spec() -> PodSpec {
    PodSpec { requests: cpu(600), containers: 1, ..PodSpec::default() }
}

fn pod(uid: &str, spec: PodSpec) -> Pod {
    Pod {
        uid: text(uid),
        namespace: text("ns"),
        name: text(uid),
        spec: Arc::new(spec),
        node: None,
        nominated: None,
        started: None,
        terminating: false,
        preempted: false,
    }
}

fn nominated(uid: &str, node: &str, spec: PodSpec) -> Step {
    let pod = Pod { nominated: Some(text(node)), ..pod(uid, spec) };
    Step::Apply(Event::Pod(Box::new(pod)))
}

fn ask(spec: &PodSpec) -> Vec<Step> {
    [Question::Decision, Question::Verdict, Question::Preemption]
        .map(|question| Step::Ask(pod("ask", spec.clone()), question))
        .into()
}

fn agree(steps: &[Step]) {
    let outcome = replay(&Scenario::plain(), steps);
    let difference = outcome.err().map(|(at, difference)| format!("step {at}: {difference}"));
    assert_eq!(difference, None);
}

fn claim(name: &str, once: bool) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        namespace: text("ns"),
        name: text(name),
        uid: text(name),
        owner: None,
        class: Some(text("sc")),
        volume: None,
        bind_completed: false,
        selected_node: None,
        lost: false,
        terminating: false,
        request: 1,
        access: AccessModes { read_write_once_pod: once, ..AccessModes::default() },
        selector: None,
        block: false,
    }
}

fn volume() -> Step {
    let volume = PersistentVolume {
        name: text("pv"),
        labels: Labels::default(),
        capacity: 1,
        access: AccessModes::default(),
        class: text("sc"),
        claim: None,
        node_affinity: None,
        csi: None,
        block: false,
        available: true,
        terminating: false,
    };
    Step::Apply(Event::Volume(Box::new(volume)))
}

fn storage(provisioner: &str, once: bool) -> Vec<Step> {
    let class = StorageClass {
        name: text("sc"),
        provisioner: text(provisioner),
        wait_for_consumer: true,
        allowed_topologies: NodeSelector::default(),
    };
    [Event::Class(class), Event::Claim(Box::new(claim("c", once)))].map(Step::Apply).into()
}

/// Makes no volumes.
const NOBODY: &str = "kubernetes.io/no-provisioner";

fn uses(claim: &str) -> PodSpec {
    let volumes = vec![PodVolume::Claim { name: text(claim), ephemeral: false }];
    PodSpec { volumes, ..spec() }
}

#[test]
fn a_pod_nominated_to_a_node_that_is_not_there_counts_when_it_comes() {
    let mut steps = vec![nominated("p", "n", spec()), there("n")];
    steps.extend(ask(&spec()));
    steps.push(Step::Apply(Event::NodeGone(text("n"))));
    steps.push(there("n"));
    steps.extend(ask(&spec()));
    agree(&steps);
}

#[test]
fn nobody_is_evicted_for_a_pod_that_is_refused_before_nodes_are_looked_at() {
    let low = Pod { node: Some(text("n")), ..pod("low", spec()) };
    let mut steps = vec![there("n"), Step::Apply(Event::Pod(Box::new(low)))];
    steps.extend(ask(&PodSpec { priority: 10, ..uses("not there") }));
    agree(&steps);
}

#[test]
fn a_nominated_pod_changes_what_preemption_may_do() {
    let selector = |key: &str| {
        let exists = Requirement { key: text(key), operator: Operator::Exists, values: Vec::new() };
        Some(LabelSelector { requirements: vec![exists] })
    };
    let term = |key: &str| PodAffinityTerm {
        selector: selector(key),
        namespaces: vec![text("ns")],
        namespace_selector: None,
        topology_key: text("zone"),
    };
    // With the nominated pod its affinity holds and its anti-affinity does not; without it the affinity does not.
    let waits = PodSpec { labels: labels(&[("near", ""), ("far", "")]), ..PodSpec::default() };
    let asks = PodSpec {
        affinity_required: vec![term("near")],
        anti_affinity_required: vec![term("far")],
        ..PodSpec::default()
    };
    let mut steps = vec![nominated("p", "n", waits), there("n")];
    steps.extend(ask(&asks));
    agree(&steps);
}

#[test]
fn a_pod_that_changes_keeps_the_volume_assumed_for_its_claim() {
    let changed = Pod { node: Some(text("n")), terminating: true, ..pod("p", uses("c")) };
    let mut steps = storage(NOBODY, false);
    steps.push(Step::Apply(Event::Claim(Box::new(claim("d", false)))));
    steps.push(volume());
    steps.extend([there("n"), Step::Place(pod("p", uses("c")))]);
    steps.push(Step::Apply(Event::Pod(Box::new(changed))));
    steps.push(there("m"));
    // The other claim finds no volume now: this one is taken, and none can be made.
    steps.extend(ask(&uses("c")));
    steps.extend(ask(&uses("d")));
    agree(&steps);
}

#[test]
fn a_nominated_pod_is_a_user_of_its_claim_for_one_pod() {
    let disk = PodVolume::Disk(Disk::Ebs { id: text("disk") });
    let asks = PodSpec { volumes: vec![disk, uses("c").volumes[0].clone()], ..PodSpec::default() };
    let mut steps = storage(NOBODY, true);
    steps.extend([nominated("p", "n", uses("c")), there("n")]);
    steps.extend(ask(&asks));
    agree(&steps);
}

#[test]
fn a_claim_that_a_pod_names_twice_gets_one_volume_and_gives_it_back() {
    let mut twice = uses("c");
    twice.volumes.push(twice.volumes[0].clone());
    let mut steps = storage("driver", false);
    steps.extend([volume(), there("n"), Step::Place(pod("p", twice))]);
    steps.push(Step::Apply(Event::PodGone { uid: text("p") }));
    let nobody = StorageClass {
        name: text("sc"),
        provisioner: text(NOBODY),
        wait_for_consumer: true,
        allowed_topologies: NodeSelector::default(),
    };
    steps.push(Step::Apply(Event::Class(nobody)));
    steps.push(Step::Apply(Event::Claim(Box::new(claim("d", false)))));
    steps.extend(ask(&uses("c")));
    steps.extend(ask(&uses("d")));
    agree(&steps);
}

#[test]
fn what_is_assumed_of_a_claim_ends_with_the_last_of_its_pods() {
    let mut steps = storage("driver", false);
    steps.extend([there("n"), Step::Place(pod("p", uses("c")))]);
    steps.push(Step::Ask(pod("q", uses("c")), Question::Choice));
    // A volume is being made for the first pod still: no other node will do.
    steps.push(there("m"));
    steps.extend(ask(&uses("c")));
    steps
        .extend([Step::Place(pod("r", uses("c"))), Step::Apply(Event::PodGone { uid: text("p") })]);
    steps.extend(ask(&uses("c")));
    steps.push(Step::Apply(Event::PodGone { uid: text("r") }));
    steps.extend(ask(&uses("c")));
    agree(&steps);
}

#[test]
fn a_pod_is_one_user_of_a_claim_that_it_names_twice() {
    let mut twice = uses("c");
    twice.volumes.push(twice.volumes[0].clone());
    let mut steps = storage("driver", true);
    steps.extend([there("n"), Step::Place(pod("p", twice)), Step::Settle]);
    steps.extend(ask(&PodSpec { priority: 10, ..uses("c") }));
    agree(&steps);
}
