// SPDX-License-Identifier: Apache-2.0
//! The scheduler's books: what they do with what the API shows, in which order whatever.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "an object that cannot be read is a failure of the test"
)]

use berth_cluster_client::{Change, Id, Item, View};
use berth_scheduler_core::{Backoff, Engine, Options};
use berth_scheduler_kubernetes::{Answer, Books, Nomination, PodView, Refused, Step};
use berth_scheduler_model::objects::Event;
use berth_scheduler_objects as objects;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Books, and the pods as they were shown last.
struct Case {
    books: Books,
    shown: BTreeMap<String, (Value, Arc<Item<PodView>>)>,
    version: u32,
    now: u64,
}

impl Case {
    fn new() -> Self {
        let backoff = Backoff::default();
        let engine = Engine::new(Options { backoff, ..Options::default() });
        Self { books: Books::new(engine, backoff), shown: BTreeMap::new(), version: 0, now: 0 }
    }

    /// A node with so many milli-CPU.
    fn node(&mut self, name: &str, cpu: u32) {
        let node = json!({
            "metadata": { "name": name },
            "status": { "allocatable": { "cpu": format!("{cpu}m"), "memory": "1Gi", "pods": "10" } },
        });
        let node = objects::node(&node).unwrap();
        self.books.state(self.now, Event::Node(Box::new(node)));
    }

    fn item(&mut self, pod: &Value) -> Arc<Item<PodView>> {
        self.version += 1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let id = Id {
            namespace: "n".into(),
            name: text(&pod["metadata"]["name"]).into(),
            uid: text(&pod["metadata"]["uid"]),
            resource_version: self.version.to_string().into(),
        };
        let view = PodView::read(pod.to_string().as_bytes()).unwrap();
        Arc::new(Item { id, view })
    }

    /// The API shows a pod so.
    fn show(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let known = self.shown.get(name).map(|(value, item)| (value.clone(), Arc::clone(item)));
        let (mut pod, before) = match known {
            Some((value, item)) => (value, Some(item)),
            None => (pod(name, 100), None),
        };
        change(&mut pod);
        let after = self.item(&pod);
        self.shown.insert(name.to_owned(), (pod, Arc::clone(&after)));
        self.books.pod(self.now, &Change { before, after: Some(after) });
    }

    /// A pod is gone.
    fn gone(&mut self, name: &str) {
        let (_, before) = self.shown.remove(name).unwrap();
        self.books.pod(self.now, &Change { before: Some(before), after: None });
    }

    /// All that is to be done now: `a>n1` binds, `!a` evicts.
    fn steps(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(step) = self.books.next(self.now) {
            all.push(match step {
                Step::Bind { pod, node, .. } => format!("{}>{node}", pod.id.name),
                Step::Evict(victim) => format!("!{}", victim.pod.id.name),
            });
        }
        all
    }

    fn tells(&mut self) -> Vec<Refused> {
        std::iter::from_fn(|| self.books.next_tell()).collect()
    }

    /// How many pods count on a node.
    fn on(&self, node: &str) -> u32 {
        let engine = self.books.engine();
        engine.usage_of(engine.find_node(node).unwrap()).1
    }
}

/// Why it waits.
fn said(refused: &Refused) -> &str {
    refused.message.as_deref().unwrap()
}

/// A pod that wants so many milli-CPU.
fn pod(name: &str, cpu: u32) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "n", "uid": format!("uid-{name}") },
        "spec": { "containers": [
            { "name": "c", "image": "i", "resources": { "requests": { "cpu": format!("{cpu}m") } } },
        ] },
        "status": { "phase": "Pending" },
    })
}

fn bound_to(node: &str) -> impl FnOnce(&mut Value) {
    let node = node.to_owned();
    move |pod| pod["spec"]["nodeName"] = node.into()
}

#[test]
fn a_pod_is_bound_once_and_its_room_is_kept_until_the_api_shows_it() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("a", |_| ());
    assert_eq!(case.steps(), ["a>n1"]);
    // Its labels change while it is being bound: nothing is decided anew.
    case.show("a", |pod| pod["metadata"]["labels"] = json!({ "x": "y" }));
    case.show("b", |_| ());
    assert_eq!(case.steps(), [""; 0], "there is no room for b");
    case.books.answered(case.now, "uid-a", Answer::Bound);
    assert_eq!(case.on("n1"), 1);
    case.show("a", bound_to("n1"));
    assert_eq!((case.on("n1"), case.steps().len()), (1, 0));
    case.now += 1_000;
    case.gone("a");
    assert_eq!(case.steps(), ["b>n1"]);
}

#[test]
fn a_refused_binding_gives_the_room_back_and_is_tried_again_later_and_later() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("a", |_| ());
    for wait in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        assert_eq!(case.steps(), ["a>n1"]);
        case.books.answered(case.now, "uid-a", Answer::Refused);
        assert_eq!(case.on("n1"), 0, "nothing is kept for it");
        assert_eq!(case.books.next_tick(), Some(case.now + wait));
        case.now += wait - 1;
        assert_eq!(case.steps(), [""; 0]);
        case.now += 1;
    }
    // While it rests, others have the room.
    assert_eq!(case.steps(), ["a>n1"]);
    case.books.answered(case.now, "uid-a", Answer::Refused);
    case.show("b", |_| ());
    assert_eq!(case.steps(), ["b>n1"]);
    case.gone("a");
    case.now += 100_000;
    assert_eq!(case.steps(), [""; 0], "one that is gone is not tried again");
}

#[test]
fn who_waits_for_the_room_of_a_refused_binding_gets_it() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("a", |_| ());
    assert_eq!(case.steps(), ["a>n1"]);
    case.show("b", |pod| pod["metadata"]["labels"] = json!({ "x": "y" }));
    assert_eq!(case.steps(), [""; 0], "there is no room for b");
    case.now += 600_000;
    case.books.answered(case.now, "uid-a", Answer::Refused);
    assert_eq!(case.steps(), ["b>n1"]);
    case.now += 1_000;
    assert_eq!(case.steps(), [""; 0], "a waits now");
}

#[test]
fn pods_that_others_bind_are_taken_in() {
    let mut case = Case::new();
    case.node("n1", 300);
    case.node("n2", 300);
    case.show("a", |pod| pod["spec"]["schedulerName"] = "another".into());
    assert_eq!(case.steps(), [""; 0], "not ours");
    case.show("a", bound_to("n1"));
    assert_eq!(case.on("n1"), 1);
    // Somebody else binds what we are about to bind elsewhere.
    case.show("b", |_| ());
    let [step] = case.steps().try_into().unwrap();
    let (ours, other) = if step == "b>n1" { ("n1", "n2") } else { ("n2", "n1") };
    case.show("b", bound_to(other));
    case.books.answered(case.now, "uid-b", Answer::Refused);
    let before = u32::from(ours == "n1");
    assert_eq!(case.on(ours), before);
    assert_eq!(case.on(other), 2 - before);
    // More than the node has: it counts all the same, and nothing else goes there.
    case.show("c", bound_to("n1"));
    case.show("d", bound_to("n1"));
    case.show("e", bound_to("n1"));
    case.show("f", |_| ());
    assert_eq!(case.steps(), ["f>n2"]);
    // Its node goes, and comes back.
    case.books.state(case.now, Event::NodeGone("n1".into()));
    case.node("n1", 300);
    assert_eq!(case.on("n1"), if other == "n1" { 5 } else { 4 });
    // What finished has no room any more.
    case.show("c", |pod| pod["status"]["phase"] = "Succeeded".into());
    assert_eq!(case.on("n1"), if other == "n1" { 4 } else { 3 });
}

#[test]
fn whoever_waits_is_told_why_once() {
    let mut case = Case::new();
    case.node("n1", 150);
    for name in ["a", "b", "c"] {
        case.show(name, |_| ());
    }
    assert_eq!(case.steps(), ["a>n1"]);
    let tells = case.tells();
    let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                1 No preemption victims found for incoming pod.";
    let told: Vec<_> =
        tells.iter().map(|one| (&*one.pod.id.name, said(one), one.tried, one.change)).collect();
    assert_eq!(told, [("b", text, true, true), ("c", text, false, true)]);
    // Who comes later waits with them.
    case.show("d", |_| ());
    assert_eq!(case.steps(), [""; 0]);
    assert_eq!(case.tells().iter().map(|one| one.pod.id.name.clone()).collect::<Vec<_>>(), ["d"]);
    for (name, done) in [("b", true), ("c", false), ("d", true)] {
        case.books.told(&format!("uid-{name}"), done);
    }
    // What the condition says comes back, and is no reason to try again.
    let condition = json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": text, "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    case.show("b", |pod| pod["status"]["conditions"] = condition);
    assert_eq!((case.steps().len(), case.tells().len()), (0, 0));
    // A second node, too small: the number changes, and c could not be told the last time.
    case.node("n2", 50);
    case.now += 400_000;
    assert_eq!(case.steps(), [""; 0]);
    let tells = case.tells();
    assert!(
        tells
            .iter()
            .all(|one| said(one).starts_with("0/2 nodes are available: 2 Insufficient cpu."))
    );
    assert_eq!(tells.iter().filter(|one| one.change).count(), 3, "{tells:?}");
}

#[test]
fn a_pod_is_not_bound_while_it_is_told_that_it_cannot_be() {
    let mut case = Case::new();
    case.show("a", |_| ());
    assert_eq!(case.steps(), [""; 0]);
    let [tell] = case.tells().try_into().unwrap();
    assert_eq!(said(&tell), "no nodes available to schedule pods");
    case.node("n1", 150);
    case.now += 20_000;
    assert_eq!((case.steps().len(), case.on("n1")), (0, 1), "it has its place, and is bound later");
    case.books.told("uid-a", true);
    assert_eq!(case.steps(), ["a>n1"]);
    // What was not said yet when a pod gets its place is not said any more.
    case.show("b", |_| ());
    assert_eq!(case.steps(), [""; 0]);
    case.node("n2", 150);
    case.now += 20_000;
    assert_eq!((case.steps(), case.tells().len()), (vec!["b>n2".to_owned()], 0));
}

#[test]
fn a_pod_of_higher_priority_makes_room_and_gets_it() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("low", bound_to("n1"));
    case.show("high", |pod| pod["spec"]["priority"] = 10.into());
    assert_eq!(case.steps(), ["!low"]);
    let [tell] = case.tells().try_into().unwrap();
    assert_eq!(tell.nomination, Nomination::To("n1".into()));
    assert!(said(&tell).starts_with("0/1 nodes are available: 1 Insufficient cpu."));
    case.books.told("uid-high", true);
    case.show("high", |pod| pod["status"]["nominatedNodeName"] = "n1".into());
    // The room is kept for it meanwhile.
    case.show("low", |pod| {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        pod["status"]["conditions"] = json!([{ "type": "DisruptionTarget", "status": "True",
            "reason": "PreemptionByScheduler" }]);
    });
    case.show("small", |pod| {
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "60m".into();
    });
    case.now += 20_000;
    assert_eq!(case.steps(), [""; 0], "whom it waits for is not asked to go twice");
    case.gone("low");
    assert_eq!(case.steps(), ["high>n1"]);
}

#[test]
fn whoever_makes_room_takes_the_nominations_of_lower_priority() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("low", bound_to("n1"));
    case.show("mid", |pod| pod["spec"]["priority"] = 10.into());
    assert_eq!(case.steps(), ["!low"]);
    let [told] = case.tells().try_into().unwrap();
    assert_eq!(told.nomination, Nomination::To("n1".into()));
    // The API does not show it yet, and the victim stays after all.
    case.books.stays("uid-low");
    case.show("high", |pod| pod["spec"]["priority"] = 20.into());
    assert_eq!(case.steps(), ["!low"]);
    let tells = case.tells();
    let told: Vec<_> = tells.iter().map(|one| (&*one.pod.id.name, &one.nomination)).collect();
    assert_eq!(told, [("high", &Nomination::To("n1".into()))], "mid is being told something");
    case.books.told("uid-high", true);
    // What it was told first comes to be shown late, and holds no longer.
    case.show("mid", |pod| pod["status"]["nominatedNodeName"] = "n1".into());
    case.books.told("uid-mid", true);
    let [told] = case.tells().try_into().unwrap();
    assert_eq!((&*told.pod.id.name, &told.nomination), ("mid", &Nomination::Nothing));
    case.books.told("uid-mid", true);
    case.show("mid", |pod| pod["status"]["nominatedNodeName"] = Value::Null);
    case.gone("low");
    case.now += 20_000;
    assert_eq!(case.steps(), ["high>n1"]);
    assert!(case.tells().iter().all(|one| one.nomination == Nomination::AsItIs));
}

#[test]
fn a_nomination_ends_where_nothing_can_come_of_it() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("low", bound_to("n1"));
    case.show("high", |pod| pod["spec"]["priority"] = 10.into());
    assert_eq!(case.steps(), ["!low"]);
    case.tells();
    case.books.told("uid-high", true);
    case.show("high", |pod| pod["status"]["nominatedNodeName"] = "n1".into());
    case.now += 20_000;
    assert_eq!(case.steps(), [""; 0]);
    let kept = |tells: &[Refused]| tells.iter().all(|one| one.nomination == Nomination::AsItIs);
    assert!(kept(&case.tells()), "it waits for its victim");
    case.books.told("uid-high", true);
    // Its node is too small now, with and without its victim.
    case.node("n1", 50);
    case.now += 20_000;
    assert_eq!(case.steps(), [""; 0]);
    let tells = case.tells();
    assert!(tells.iter().any(|one| one.nomination == Nomination::Nothing), "{tells:?}");
    case.books.told("uid-high", true);
    // Until that is shown the pod is not nominated again by what the API shows.
    case.show("high", |pod| pod["metadata"]["labels"] = json!({ "x": "y" }));
    let ix = case.books.engine().find_pod("uid-high").unwrap();
    assert_eq!(case.books.engine().pod(ix).nominated, None);
    case.show("high", |pod| pod["status"]["nominatedNodeName"] = Value::Null);
    // Somebody else may nominate it again.
    case.show("high", |pod| pod["status"]["nominatedNodeName"] = "n1".into());
    let ix = case.books.engine().find_pod("uid-high").unwrap();
    assert!(case.books.engine().pod(ix).nominated.is_some());
}

#[test]
fn where_claims_came_to_nothing_other_nodes_come_first() {
    let mut case = Case::new();
    for name in ["n1", "n2", "n3"] {
        case.node(name, 150);
    }
    case.show("a", |_| ());
    let mut tried = Vec::new();
    for _ in 0..6 {
        case.now += 20_000;
        tried.extend(case.steps());
        case.books.answered(case.now, "uid-a", Answer::NoVolume);
    }
    let [first, second] = [&tried[..3], &tried[3..]].map(|all| {
        let mut all = all.to_vec();
        all.sort();
        all
    });
    assert_eq!(
        (&*first, first.clone()),
        (&["a>n1", "a>n2", "a>n3"].map(str::to_owned)[..], second)
    );
    assert_eq!(case.on("n1") + case.on("n2") + case.on("n3"), 0);
    // A binding that is refused for another reason says nothing of the node.
    case.show("b", |_| ());
    let again = case.steps();
    case.books.answered(case.now, "uid-b", Answer::Refused);
    case.now += 1_000;
    assert_eq!(case.steps(), again);
}

#[test]
fn who_could_not_be_evicted_is_asked_again() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("low", bound_to("n1"));
    case.show("high", |pod| pod["spec"]["priority"] = 10.into());
    assert_eq!(case.steps(), ["!low"]);
    case.now += 20_000;
    assert_eq!(case.steps(), [""; 0], "it is under way");
    case.books.stays("uid-low");
    case.now += 20_000;
    assert_eq!(case.steps(), ["!low"]);
}

#[test]
fn what_is_on_its_way_out_is_not_placed_and_gates_are_waited_for() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("a", |pod| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    case.show("b", |pod| pod["spec"]["schedulingGates"] = json!([{ "name": "g" }]));
    assert_eq!((case.steps().len(), case.tells().len()), (0, 0));
    case.show("b", |pod| pod["spec"]["schedulingGates"] = json!([]));
    assert_eq!(case.steps(), ["b>n1"]);
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    let mut case = Case::new();
    case.node("n1", 150);
    case.show("a", |_| ());
    assert_eq!(case.steps(), ["a>n1"]);
    case.gone("a");
    assert_eq!(case.on("n1"), 0);
    case.show("a", |pod| pod["metadata"]["uid"] = "another".into());
    assert_eq!(case.steps(), ["a>n1"]);
    // What comes of the first one's binding is nothing to the second.
    case.books.answered(case.now, "uid-a", Answer::Refused);
    assert_eq!((case.on("n1"), case.books.next_tick()), (1, None));
}
