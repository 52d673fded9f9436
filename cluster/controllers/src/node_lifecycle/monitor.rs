// SPDX-License-Identifier: Apache-2.0
//! Which nodes are lost, and how fast their pods may be driven out. A state machine: it is told what is observed and the time.

use super::taints::{Drive, driven, driving};
use crate::view::{Condition, Micros, Node};
use berth_cluster_client::Item;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a node that never said anything may take (upstream's number).
const STARTUP: i64 = 60_000_000;
/// Microseconds between two nodes of a zone whose pods are driven out: 0.1 a second.
const EVERY: i64 = 10_000_000;
/// The same in a large zone of which much is ill: 0.01 a second.
const EVERY_ILL: i64 = 100_000_000;
/// A zone of more nodes is large (upstream's number).
const LARGE: usize = 50;
/// From so many hundredths on a zone is ill (upstream's number), if more than two nodes are lost.
const ILL_PERCENT: usize = 55;
/// What nodes say of themselves.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// A node that is known.
pub type KnownNode = Arc<Item<Node>>;

/// A moment, by two clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// What time it is: for times in objects. The clock may be set forward or back.
    pub wall: Micros,
    /// Microseconds since any fixed moment, by a clock that nobody sets: for how long something takes. By one that is set all nodes would
    /// be lost at once, or none for as long as it was set back (upstream's times have both clocks in one).
    pub steady: i64,
    /// The same, as of when nodes and leases are shown: where nothing was heard of the API, nothing was heard of nodes either, and who was
    /// silent till then is not known to be silent now.
    pub shown: i64,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Action {
    /// A node's conditions are no longer known.
    Lost {
        /// It.
        node: KnownNode,
        /// The conditions that change.
        conditions: Vec<Condition>,
    },
    /// A lost node's pods are not ready.
    Unready {
        /// It.
        node: KnownNode,
    },
    /// A node's pods are driven out, or no longer.
    Drive {
        /// It.
        node: KnownNode,
        /// Which.
        drive: Drive,
    },
    /// A node is gone.
    Forget {
        /// It.
        name: String,
    },
    /// An event.
    Tell {
        /// About it.
        node: KnownNode,
        /// Why, in a word.
        reason: &'static str,
        /// What.
        text: String,
    },
}

#[derive(Debug)]
struct Health {
    uid: String,
    /// When it was last heard of, by our steady clock.
    heard: i64,
    heartbeat: Option<Micros>,
    renewed: Option<Micros>,
    /// It was told that it is lost.
    told: bool,
    drive: Drive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Well,
    Ill,
    Lost,
}

/// What is known of nodes beside what they say.
#[derive(Debug)]
pub struct Monitor {
    grace: i64,
    health: BTreeMap<String, Health>,
    /// When pods of the next node of a zone may be driven out, and the pause that was counted with.
    next: BTreeMap<String, (i64, Option<i64>)>,
    all_lost: bool,
}

impl Monitor {
    /// One that gives nodes so much time.
    pub fn new(grace: Duration) -> Self {
        let grace = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
        Self { grace, health: BTreeMap::new(), next: BTreeMap::new(), all_lost: false }
    }

    /// Looks at all nodes; `renewed` says when a node last renewed its lease.
    pub fn look(
        &mut self,
        nodes: &[KnownNode],
        renewed: impl Fn(&str) -> Option<Micros>,
        now: Moment,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let names: BTreeSet<&str> = nodes.iter().map(|node| node.id.name.as_str()).collect();
        self.health.retain(|name, _| {
            let stays = names.contains(name.as_str());
            if !stays {
                actions.push(Action::Forget { name: name.clone() });
            }
            stays
        });
        let mut zones: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut lost: Vec<(String, &KnownNode)> = Vec::new();
        for node in nodes {
            self.hear(node, renewed(&node.id.name), now, &mut actions);
            let ready = node.view.condition("Ready").map(|one| one.status.as_str());
            let silent = self.judge(node, now, &mut actions);
            let zone = node.view.zone();
            let counts = zones.entry(zone.clone()).or_default();
            counts.0 += 1;
            if silent || matches!(ready, Some("False" | "Unknown")) {
                counts.1 += 1;
            }
            if silent || ready == Some("Unknown") {
                actions.push(Action::Unready { node: Arc::clone(node) });
            }
            if driving(&node.view).is_some() {
                lost.push((zone, node));
            } else if ready == Some("True") {
                self.drive(node, Drive::AsIs, &mut actions);
            }
        }
        self.drive_out(&zones, &lost, now.steady, &mut actions);
        actions
    }

    /// Whether a node was heard of.
    fn hear(
        &mut self,
        node: &KnownNode,
        renewed: Option<Micros>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let ready = node.view.condition("Ready");
        let heartbeat = ready.and_then(|one| one.last_heartbeat_time);
        let name = &node.id.name;
        if let Some(health) =
            self.health.get_mut(name.as_str()).filter(|one| one.uid == node.id.uid)
        {
            // A condition that we set ourselves does not tell of its node.
            let spoke =
                heartbeat != health.heartbeat && ready.is_some_and(|one| one.status != "Unknown");
            // A renewal from before the last one was made by a clock that was set back: upstream does not count it.
            if spoke || renewed.is_some_and(|at| Some(at) != health.renewed) {
                health.heard = now.steady;
                health.told = false;
            }
            (health.heartbeat, health.renewed) = (heartbeat, renewed.or(health.renewed));
            return;
        }
        // One without any word counts from its creation, not from when we came.
        let age = now.wall.0.saturating_sub(node.view.metadata.created().0).max(0);
        let before = if ready.is_some() { 0 } else { age };
        let heard = now.steady.saturating_sub(before);
        let drive = Drive::AsIs;
        let (uid, told) = (node.id.uid.clone(), false);
        let health = Health { uid, heard, heartbeat, renewed, told, drive };
        self.health.insert(name.to_string(), health);
        let text = format!("Node {name} event: Registered Node {name} in Controller");
        actions.push(Action::Tell { node: Arc::clone(node), reason: "RegisteredNode", text });
    }

    /// Marks a node that was not heard of for too long. True if it is so.
    fn judge(&mut self, node: &KnownNode, now: Moment, actions: &mut Vec<Action>) -> bool {
        let view = &node.view;
        let grace = if view.condition("Ready").is_some() { self.grace } else { STARTUP };
        let heard =
            self.health.get(node.id.name.as_str()).map_or(now.steady, |health| health.heard);
        if now.shown <= heard.saturating_add(grace) {
            return false;
        }
        let at = Some(Micros(now.wall.0 / 1_000_000 * 1_000_000));
        let unknown = |kind: &&str| {
            let old = view.condition(kind);
            if old.is_some_and(|old| old.status == "Unknown") {
                return None;
            }
            let (reason, message) = match old {
                Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
                None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
            };
            let heartbeat = match old {
                Some(old) => old.last_heartbeat_time,
                None => view.metadata.creation_timestamp,
            };
            Some(Condition {
                kind: (*kind).to_owned(),
                status: "Unknown".to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
                last_transition_time: at,
                last_heartbeat_time: heartbeat,
                last_update_time: None,
            })
        };
        let conditions: Vec<Condition> = CONDITIONS.iter().filter_map(unknown).collect();
        // Told once, however often the node has to be marked until that succeeds.
        let tells = view.condition("Ready").is_some_and(|one| one.status == "True");
        let health =
            self.health.get_mut(node.id.name.as_str()).filter(|health| tells && !health.told);
        if let Some(health) = health {
            health.told = true;
            let text = format!("Node {} status is now: NodeNotReady", node.id.name);
            actions.push(Action::Tell { node: Arc::clone(node), reason: "NodeNotReady", text });
        }
        if !conditions.is_empty() {
            actions.push(Action::Lost { node: Arc::clone(node), conditions });
        }
        true
    }

    fn drive(&mut self, node: &KnownNode, drive: Drive, actions: &mut Vec<Action>) {
        if let Some(health) =
            self.health.get_mut(node.id.name.as_str()).filter(|one| one.drive != drive)
        {
            health.drive = drive;
            actions.push(Action::Drive { node: Arc::clone(node), drive });
        }
    }

    /// Which of the lost nodes' pods are driven out now.
    fn drive_out(
        &mut self,
        zones: &BTreeMap<String, (usize, usize)>,
        lost: &[(String, &KnownNode)],
        now: i64,
        actions: &mut Vec<Action>,
    ) {
        let all_lost =
            !zones.is_empty() && zones.values().all(|counts| state(*counts) == Zone::Lost);
        if self.all_lost && !all_lost {
            // We are back: every node gets its time to be heard of.
            self.health.values_mut().for_each(|health| health.heard = now);
            self.next.clear();
        }
        self.all_lost = all_lost;
        if all_lost {
            for (_, node) in lost {
                self.drive(node, Drive::Not, actions);
            }
            return;
        }
        for (zone, node) in lost {
            if driven(&node.view) {
                self.drive(node, Drive::AsIs, actions);
                continue;
            }
            if self
                .health
                .get(node.id.name.as_str())
                .is_some_and(|health| health.drive == Drive::Out)
            {
                continue;
            }
            let counts = zones.get(zone).copied().unwrap_or_default();
            let every = match state(counts) {
                Zone::Well | Zone::Lost => Some(EVERY),
                Zone::Ill if counts.0 > LARGE => Some(EVERY_ILL),
                Zone::Ill => None,
            };
            if self.may(zone, every, now) {
                self.drive(node, Drive::Out, actions);
            } else {
                self.drive(node, Drive::AsIs, actions);
            }
        }
    }

    /// Whether a zone may lose one more now; if it may, it does.
    fn may(&mut self, zone: &str, every: Option<i64>, now: i64) -> bool {
        let next = self.next.entry(zone.to_owned()).or_insert((now, every));
        if next.1 != every {
            *next = (now, every);
        }
        let Some(every) = every else { return false };
        if next.0 > now {
            return false;
        }
        next.0 = now.saturating_add(every);
        true
    }
}

/// How a zone of so many nodes is, of which so many are lost.
fn state((all, lost): (usize, usize)) -> Zone {
    if lost == all && lost > 0 {
        Zone::Lost
    } else if lost > 2 && lost * 100 >= ILL_PERCENT * all {
        Zone::Ill
    } else {
        Zone::Well
    }
}

#[cfg(test)]
mod tests;
