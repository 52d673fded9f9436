// SPDX-License-Identifier: Apache-2.0
//! Replays the store's log, event by event, and holds what must hold at every revision. Written apart from the scheduler: it reads the
//! objects' JSON by itself.
//!
//! The names are those of the invariants: SC-1 no node has more than it can take, SC-2 a pod is bound once, SC-4 hard constraints hold
//! when a pod is bound.

use berth_cluster_store::{Event, Interest, Store};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that happened: in order, from the beginning.
pub fn log(store: &Store) -> Vec<Arc<Event>> {
    let mut watch = store.watch(Interest::default(), 0, usize::MAX).expect("nothing is forgotten");
    std::iter::from_fn(|| watch.try_next()).collect()
}

/// The log as text, to be compared with another run's.
pub fn text(log: &[Arc<Event>]) -> String {
    let line = |event: &Arc<Event>| {
        let object = String::from_utf8_lossy(&event.entry.bytes);
        let gone = if event.deleted { "-" } else { "+" };
        format!("{} {gone} {} {object}\n", event.revision, event.entry.key)
    };
    log.iter().map(line).collect()
}

/// What is there at a revision.
#[derive(Debug, Default)]
pub struct State {
    nodes: BTreeMap<String, Value>,
    /// Names of nodes that were there: a pod that is on its way there when its node goes is nobody's mistake.
    gone: BTreeSet<String>,
    pods: BTreeMap<String, Value>,
}

/// Amounts by resource: milli-CPU, bytes, pods, and host ports as one each.
type Amounts = BTreeMap<String, i64>;

/// A quantity in thousandths of CPU, or in units.
pub fn quantity(resource: &str, value: &Value) -> i64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: i64 = number.parse().expect("whole numbers are enough for the tests' objects");
    let milli = if resource == "cpu" { 1_000 } else { 1 };
    match unit {
        "" => number * milli,
        "m" => number,
        "Ki" => number << 10,
        "Mi" => number << 20,
        "Gi" => number << 30,
        other => panic!("the unit {other}"),
    }
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What a pod takes on its node.
fn wanted(pod: &Value) -> Amounts {
    let mut sum = Amounts::from([("pods".to_owned(), 1)]);
    for container in list(pod, "/spec/containers") {
        if let Some(requests) = container.pointer("/resources/requests").and_then(Value::as_object)
        {
            for (name, value) in requests {
                *sum.entry(name.clone()).or_default() += quantity(name, value);
            }
        }
        for port in list(container, "/ports").iter().filter_map(|port| port["hostPort"].as_i64()) {
            *sum.entry(format!("port {port}")).or_default() += 1;
        }
    }
    sum
}

/// What a node can take of a resource.
fn room(node: &Value, resource: &str) -> i64 {
    if resource.starts_with("port ") {
        return 1;
    }
    let value = &node["status"]["allocatable"][resource];
    if value.is_null() { 0 } else { quantity(resource, value) }
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn node_of(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty())
}

/// Whether pod labels have all pairs of a `matchLabels`.
fn matches(labels: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|pairs| pairs.iter().all(|(key, value)| labels[key] == *value))
}

impl State {
    fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Value> {
        self.pods.values().filter(move |pod| node_of(pod) == Some(node) && !is_over(pod))
    }

    /// Of what a node has too little with one more pod.
    fn lacks(&self, node: &str, more: Option<&Value>) -> Option<String> {
        let object = self.nodes.get(node)?;
        let mut sum = Amounts::new();
        for pod in self.on(node).chain(more) {
            for (name, amount) in wanted(pod) {
                *sum.entry(name).or_default() += amount;
            }
        }
        let short = |(name, amount): &(&String, &i64)| **amount > room(object, name);
        sum.iter().find(short).map(|(name, amount)| {
            format!("{node} has {} of {name} and {amount} are taken", room(object, name))
        })
    }

    /// What keeps a pod from a node beside room.
    fn forbids(&self, node: &str, pod: &Value) -> Option<String> {
        let Some(object) = self.nodes.get(node) else {
            let was = self.gone.contains(node);
            return (!was).then(|| format!("there is no {node}"));
        };
        let tolerated = |taint: &Value| {
            list(pod, "/spec/tolerations").iter().any(|one| {
                let key = one["key"].is_null() || one["key"] == taint["key"];
                let effect = one["effect"].is_null() || one["effect"] == taint["effect"];
                key && effect && (one["operator"] == "Exists" || one["value"] == taint["value"])
            })
        };
        let hard = |taint: &&Value| taint["effect"] != "PreferNoSchedule" && !tolerated(taint);
        if let Some(taint) = list(object, "/spec/taints").iter().find(hard) {
            return Some(format!("{node} has the taint {taint}"));
        }
        if object["spec"]["unschedulable"] == true {
            return Some(format!("{node} is unschedulable"));
        }
        let selector = &pod["spec"]["nodeSelector"];
        if !selector.is_null() && !matches(&object["metadata"]["labels"], selector) {
            return Some(format!("{node} does not match {selector}"));
        }
        let apart = |one: &Value, other: &Value| {
            let terms =
                "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
            list(one, terms).iter().any(|term| {
                let same = one["metadata"]["namespace"] == other["metadata"]["namespace"];
                same && matches(&other["metadata"]["labels"], &term["labelSelector"]["matchLabels"])
            })
        };
        let enemy = self.on(node).find(|there| apart(pod, there) || apart(there, pod))?;
        Some(format!("{node} has {}, to keep apart from", enemy["metadata"]["name"]))
    }

    /// The pods that wait although a node would do: none may be left at the end (SC-3).
    pub fn forgotten(&self) -> Vec<String> {
        self.forgotten_where(|_, _| true)
    }

    /// The same, of nodes that something else lets a pod go to.
    pub fn forgotten_where(&self, lets: impl Fn(&Value, &Value) -> bool) -> Vec<String> {
        let waits = |pod: &&Value| {
            node_of(pod).is_none()
                && pod["metadata"]["deletionTimestamp"].is_null()
                && list(pod, "/spec/schedulingGates").is_empty()
        };
        let would_do = |node: &&String, pod: &Value| {
            self.forbids(node, pod).is_none()
                && self.lacks(node, Some(pod)).is_none()
                && lets(pod, &self.nodes[*node])
        };
        let pods = self.pods.values().filter(waits);
        pods.filter_map(|pod| {
            let node = self.nodes.keys().find(|node| would_do(node, pod))?;
            Some(format!("{} waits, and {node} would do", pod["metadata"]["name"]))
        })
        .collect()
    }

    /// The pods that have a node.
    pub fn bound(&self) -> usize {
        self.pods.values().filter(|pod| node_of(pod).is_some()).count()
    }

    /// Takes an event in; what is broken by it.
    fn take(&mut self, event: &Event) -> Vec<String> {
        let mut broken = Vec::new();
        let key = &*event.entry.key;
        let object: Value = serde_json::from_slice(&event.entry.bytes).expect("objects are JSON");
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if object["kind"] == "Node" {
            if event.deleted {
                self.nodes.remove(&name);
                self.gone.insert(name);
            } else {
                self.nodes.insert(name, object);
            }
            return broken;
        }
        if object["kind"] != "Pod" {
            return broken;
        }
        let before = self.pods.remove(key);
        if event.deleted {
            return broken;
        }
        let same = before.filter(|before| before["metadata"]["uid"] == object["metadata"]["uid"]);
        let was = same.as_ref().and_then(node_of).map(str::to_owned);
        if let Some(node) = node_of(&object) {
            match was {
                Some(was) if was != node => {
                    broken.push(format!("SC-2: {name} goes from {was} to {node}"));
                }
                Some(_) => {}
                None => {
                    broken.extend(
                        self.forbids(node, &object).map(|why| format!("SC-4: {name}: {why}")),
                    );
                    let more = self.lacks(node, Some(&object));
                    broken.extend(more.map(|why| format!("SC-1: {name}: {why}")));
                }
            }
        } else if was.is_some() {
            broken.push(format!("SC-2: {name} has lost its node"));
        }
        self.pods.insert(key.to_owned(), object);
        broken
    }
}

/// Replays the log: what is there at the end, and what was broken on the way.
pub fn replay(log: &[Arc<Event>]) -> (State, Vec<String>) {
    let mut state = State::default();
    let mut broken = Vec::new();
    for event in log {
        broken.extend(
            state.take(event).into_iter().map(|what| format!("at {}: {what}", event.revision)),
        );
    }
    (state, broken)
}
