// SPDX-License-Identifier: Apache-2.0
//! The books on pods: what a watch says of them, in its order, and what of that must never be. No clock and no network: times
//! are told.

use hashbrown::HashMap;
use serde_json::Value;
use std::time::Duration;

/// Faults that are kept in words; all are counted.
const TOLD: usize = 5;

/// A pod as an event shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// `NAMESPACE/NAME`.
    pub name: String,
    /// Which of that name.
    pub uid: String,
    /// Its node.
    pub node: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub leaving: bool,
    /// Whether it is gone.
    pub gone: bool,
}

impl Seen {
    /// Reads an object; `gone` if the event says so.
    pub fn read(pod: &Value, gone: bool) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &pod["metadata"];
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let is_ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
        Self {
            name: format!("{}/{}", text(&meta["namespace"]), text(&meta["name"])),
            uid: text(&meta["uid"]),
            node: pod["spec"]["nodeName"].as_str().map(str::to_owned).filter(|n| !n.is_empty()),
            running: pod["status"]["phase"] == "Running",
            ready: conditions.into_iter().any(is_ready),
            leaving: meta["deletionTimestamp"].is_string(),
            gone,
        }
    }
}

/// What a rolling update must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Pods that are not on their way out, at most.
    pub most: usize,
    /// Pods that are ready and not on their way out, at least.
    pub least: usize,
}

/// What is known of a pod.
#[derive(Debug, Clone, Default)]
struct Pod {
    uid: String,
    node: Option<String>,
    bound: Option<Duration>,
    running: Option<Duration>,
    stays: bool,
    available: bool,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    pods: HashMap<String, Pod, foldhash::fast::FixedState>,
    bounds: Option<Bounds>,
    stay: usize,
    available: usize,
    /// Pods that were seen at all.
    pub seen: u64,
    /// Pods that were seen on a node.
    pub bound: u64,
    /// Pods that were seen running.
    pub running: u64,
    /// When the last of them was seen on its node.
    pub last_bound: Duration,
    /// When the last of them was seen running.
    pub last_running: Duration,
    /// Pods that were seen on a node after they had been on another.
    pub rebound: u64,
    /// The most pods that stayed, and the fewest that were available, since bounds were set.
    pub extremes: (usize, usize),
    /// Faults, all of them.
    pub faults: u64,
    told: Vec<String>,
}

impl Books {
    /// An event that came at this time.
    pub fn event(&mut self, at: Duration, seen: Seen) {
        let Seen { name, uid, node, running, ready, leaving, gone } = seen;
        let stays = !leaving && !gone;
        let pod = self.pods.entry_ref(name.as_str()).or_default();
        if pod.uid != uid {
            // Another one of that name: what the watch said of the first ended with it.
            self.stay -= usize::from(pod.stays);
            self.available -= usize::from(pod.available);
            self.seen += 1;
            *pod = Pod { uid, ..Pod::default() };
        }
        let mut fault = None;
        if pod.node != node {
            if let Some(from) = &pod.node {
                self.rebound += 1;
                let to = node.as_deref().unwrap_or("no node");
                fault = Some(format!("{name} was on {from} and is on {to}"));
            } else {
                self.bound += 1;
                self.last_bound = at;
                pod.bound = Some(at);
            }
            pod.node = node;
        }
        if running && pod.running.is_none() {
            self.running += 1;
            self.last_running = at;
            pod.running = Some(at);
        }
        self.stay = self.stay + usize::from(stays) - usize::from(pod.stays);
        let available = stays && ready;
        self.available = self.available + usize::from(available) - usize::from(pod.available);
        (pod.stays, pod.available) = (stays, available);
        if let Some(fault) = fault {
            self.fault(fault);
        }
        self.keeps_to_bounds();
    }

    /// From now on a rolling update must keep to these; none: there is none.
    pub fn bounds(&mut self, bounds: Option<Bounds>) {
        self.bounds = bounds;
        self.extremes = (self.stay, self.available);
    }

    fn keeps_to_bounds(&mut self) {
        let Some(Bounds { most, least }) = self.bounds else { return };
        let (stay, available) = (self.stay, self.available);
        let (before_most, before_least) = self.extremes;
        self.extremes = (before_most.max(stay), before_least.min(available));
        // Told when it gets worse, not at every event of a breach.
        if stay > most && stay > before_most {
            self.fault(format!("there are {stay} pods, and {most} may be"));
        }
        if available < least && available < before_least {
            self.fault(format!("{available} pods are available, and {least} must be"));
        }
    }

    /// Something must not be.
    pub fn fault(&mut self, what: String) {
        self.faults += 1;
        if self.told.len() < TOLD {
            self.told.push(what);
        }
    }

    /// The first faults, in words.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Pods that stay.
    pub fn staying(&self) -> usize {
        self.stay
    }

    /// When a pod was first seen on a node, and when it first ran.
    pub fn times(&self, name: &str) -> (Option<Duration>, Option<Duration>) {
        self.pods.get(name).map_or((None, None), |pod| (pod.bound, pod.running))
    }

    /// The node that the watch said.
    pub fn node(&self, name: &str) -> Option<&str> {
        self.pods.get(name)?.node.as_deref()
    }
}

#[cfg(test)]
mod tests;
