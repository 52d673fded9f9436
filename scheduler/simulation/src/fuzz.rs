// SPDX-License-Identifier: Apache-2.0
//! What fuzzers run, and tests with random bytes where there is no fuzzer: each takes any bytes and panics if something is wrong.

use crate::rng::Rng;
use crate::run::run_in;
use crate::scenario::Scenario;
use crate::terms::{self, POD_KEYS, text};
use crate::world::World;
use berth_scheduler_core::{Engine, Options};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, NodeSelector, Operator, Requirement};
use berth_scheduler_model::limits::QUANTITY_MAX;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{Pod, PodAffinityTerm, PodSpec};
use berth_scheduler_model::quantity::{QuantityError, milli, units};
use std::sync::Arc;

/// Bytes choose the events of a small cluster; after each of them engine and naive scheduler must agree about a pod.
///
/// # Panics
/// If they do not, with the steps that matter.
#[expect(clippy::panic, reason = "fuzzers and tests are told so")]
pub fn events(bytes: &[u8]) {
    let mut rng = Rng::from_bytes(bytes);
    let scenario = Scenario::small(&mut rng);
    if let Err(failure) = run_in(World::with_choices(scenario, rng)) {
        panic!("{failure}");
    }
}

/// Bytes are a quantity, or are refused; whole units and thousandths must be of one number, and near what a double says.
///
/// # Panics
/// If they are not.
pub fn quantities(bytes: &[u8]) {
    let Ok(written) = std::str::from_utf8(bytes) else { return };
    match (units(written), milli(written)) {
        (Ok(whole), Ok(thousandths)) => {
            assert!((0..=QUANTITY_MAX).contains(&thousandths), "{written:?}: {thousandths}");
            let rounded = thousandths.div_euclid(1_000) + i64::from(thousandths % 1_000 != 0);
            assert_eq!(whole, rounded, "{written:?} in units and thousandths");
            close_to_double(written, thousandths);
        }
        // A thousandfold is more than what a number may be.
        (Ok(whole), Err(QuantityError::TooLarge)) => {
            assert!(whole > QUANTITY_MAX / 1_000 - 1, "{written:?}: {whole}");
        }
        (Err(of_units), Err(of_milli)) => assert_eq!(of_units, of_milli, "{written:?}"),
        (of_units, of_milli) => unreachable!("{written:?}: {of_units:?}, {of_milli:?}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "only close")]
fn close_to_double(written: &str, thousandths: i64) {
    let split = written.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)));
    let (number, suffix) = written.split_at(split.unwrap_or(written.len()));
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1_024_f64,
        "Mi" => 1_024_f64.powi(2),
        "Gi" => 1_024_f64.powi(3),
        "Ti" => 1_024_f64.powi(4),
        "Pi" => 1_024_f64.powi(5),
        "Ei" => 1_024_f64.powi(6),
        exponent => format!("1{exponent}").parse().expect("what was read has an exponent"),
    };
    let number: f64 = number.parse().expect("what was read has a number");
    let double = if number == 0.0 { 0.0 } else { number * factor * 1_000.0 };
    let distance = thousandths as f64 - double;
    let slack = double * 1e-9;
    assert!((-slack..=1.0 + slack).contains(&distance), "{written:?}: {thousandths}, {double}");
}

/// Bytes choose selectors and labels: what a selector says of labels must be what the engine makes of it, for nodes and for pods.
///
/// # Panics
/// If it is not.
pub fn selectors(bytes: &[u8]) {
    let mut rng = Rng::from_bytes(bytes);
    let mut engine = Engine::new(Options::default());
    while !rng.is_spent() {
        requirements(&mut rng);
        nodes(&mut rng, &mut engine);
        pods(&mut rng, &mut engine);
    }
}

/// Operators in pairs say the opposite.
fn requirements(rng: &mut Rng) {
    let labels = terms::labels(rng, &POD_KEYS, 50, 3);
    let requirement = terms::requirement(rng, &POD_KEYS, 3);
    let opposite = match requirement.operator {
        Operator::In => Operator::NotIn,
        Operator::NotIn => Operator::In,
        Operator::Exists => Operator::DoesNotExist,
        _ => Operator::Exists,
    };
    let opposite = Requirement { operator: opposite, ..requirement.clone() };
    let one = |requirement: Requirement| LabelSelector { requirements: vec![requirement] };
    let (this, that) = (one(requirement.clone()), one(opposite.clone()));
    assert_ne!(this.matches(&labels), that.matches(&labels), "{this:?} and {that:?} on {labels:?}");
    let both = LabelSelector { requirements: vec![requirement, opposite] };
    assert!(!both.matches(&labels), "{both:?} contradicts itself");
}

/// A node selector in the engine.
fn nodes(rng: &mut Rng, engine: &mut Engine) {
    let mut keys = vec![terms::ZONE, terms::REGION];
    keys.extend(terms::NODE_KEYS);
    let mut node = room("n00");
    node.labels = terms::labels(rng, &keys, 50, 3);
    let selector = match rng.below(12) {
        0 => NodeSelector::default(),
        _ => terms::node_selector(rng, 3),
    };
    let expected = selector.matches(&node.name, &node.labels);
    engine.apply(Event::Node(Box::new(node)));
    let spec = PodSpec { node_required: Some(selector.clone()), ..PodSpec::default() };
    let feasible = !engine.survey(&pod("p", &spec)).totals.is_empty();
    assert_eq!(feasible, expected, "{selector:?}");
}

/// A pod selector in the engine: one pod keeps another away if it selects it.
fn pods(rng: &mut Rng, engine: &mut Engine) {
    let node = Node {
        labels: [(text(terms::HOSTNAME), text("n00"))].into_iter().collect(),
        ..room("n00")
    };
    engine.apply(Event::Node(Box::new(node)));
    let labels = terms::labels(rng, &POD_KEYS, 50, 3);
    let there = PodSpec { labels: labels.clone(), ..PodSpec::default() };
    engine.apply(Event::Pod(Box::new(Pod { node: Some(text("n00")), ..pod("there", &there) })));
    let selector = terms::maybe_selector(rng, &POD_KEYS, 3);
    let term = PodAffinityTerm {
        selector: selector.clone(),
        namespaces: vec![text("ns0")],
        namespace_selector: None,
        topology_key: text(terms::HOSTNAME),
    };
    let spec = PodSpec { anti_affinity_required: vec![term], ..PodSpec::default() };
    let feasible = !engine.survey(&pod("p", &spec)).totals.is_empty();
    let selected = selector.as_ref().is_some_and(|selector| selector.matches(&labels));
    assert_eq!(feasible, !selected, "{selector:?} on {labels:?}");
    engine.release("there");
}

fn room(name: &str) -> Node {
    Node { pods: 10, ..Node::new(name) }
}

fn pod(uid: &str, spec: &PodSpec) -> Pod {
    Pod {
        uid: Str::from(uid),
        namespace: text("ns0"),
        name: Str::from(uid),
        spec: Arc::new(spec.clone()),
        node: None,
        nominated: None,
        started: None,
        terminating: false,
        preempted: false,
    }
}
