// SPDX-License-Identifier: Apache-2.0
//! The state at the end, as lists show it: what nodes have against what their pods ask for, and where groups of pods are.

use super::rows::Constraint;
use hashbrown::{HashMap, HashSet};
use serde_json::Value;

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;
type Set<K> = HashSet<K, foldhash::fast::FixedState>;

/// The label that holds a pod's group together.
pub const GROUP: &str = "example.com/group";
/// The label of zones.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Thousandths of a core, thousandths of a byte, pods.
type Amounts = [u128; 3];
const NAMES: [&str; 3] = ["cpu", "memory", "pods"];

#[derive(Debug, Default)]
struct Node {
    allocatable: Amounts,
    used: Amounts,
    zone: String,
}

/// Nodes with what is on them.
#[derive(Debug, Default)]
pub struct Rooms {
    nodes: Map<String, Node>,
    /// Pods of a group by node.
    groups: Map<String, Map<String, usize>>,
    /// Pods that are on no node.
    pub pending: u64,
    /// Pods.
    pub pods: u64,
    strangers: Vec<String>,
}

impl Rooms {
    /// One more node.
    pub fn node(&mut self, node: &Value) {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let allocatable = NAMES.map(|what| amount(&node["status"]["allocatable"][what]));
        let zone = node["metadata"]["labels"][ZONE].as_str().unwrap_or_default().to_owned();
        self.nodes.insert(name.to_owned(), Node { allocatable, used: [0; 3], zone });
    }

    /// One more pod; nodes come first.
    pub fn pod(&mut self, pod: &Value) {
        self.pods += 1;
        let Some(on) = pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty()) else {
            self.pending += 1;
            return;
        };
        let phase = &pod["status"]["phase"];
        if phase == "Succeeded" || phase == "Failed" {
            return;
        }
        let Some(node) = self.nodes.get_mut(on) else {
            let name = &pod["metadata"]["name"];
            self.strangers.push(format!("{name} is on {on}, which is no node"));
            return;
        };
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        for container in containers {
            let requests = &container["resources"]["requests"];
            node.used[0] += amount(&requests["cpu"]);
            node.used[1] += amount(&requests["memory"]);
        }
        node.used[2] += 1_000;
        if let Some(group) = pod["metadata"]["labels"][GROUP].as_str() {
            let group = self.groups.entry_ref(group).or_default();
            *group.entry_ref(on).or_default() += 1;
        }
    }

    /// Nodes whose pods ask for more than they have.
    pub fn overcommits(&self) -> Vec<String> {
        let mut faults = self.strangers.clone();
        for (name, node) in &self.nodes {
            for (at, what) in NAMES.iter().enumerate() {
                let (used, most) = (node.used[at], node.allocatable[at]);
                if used > most {
                    faults.push(format!(
                        "{name} has {most} of {what} (in thousandths), and its pods ask for {used}"
                    ));
                }
            }
        }
        faults.sort_unstable();
        faults
    }

    /// Groups that are not where they have to be.
    pub fn misplaced(&self, constraint: Constraint) -> Vec<String> {
        let mut faults: Vec<String> =
            self.groups.iter().filter_map(|(name, on)| self.fault(constraint, name, on)).collect();
        faults.sort_unstable();
        faults
    }

    fn fault(&self, constraint: Constraint, name: &str, on: &Map<String, usize>) -> Option<String> {
        let zone = |node: &String| self.nodes.get(node).map_or("", |node| &*node.zone);
        match constraint {
            Constraint::None => None,
            Constraint::Affinity => {
                let zones: Set<&str> = on.keys().map(zone).collect();
                (zones.len() > 1).then(|| format!("group {name} is in {} zones", zones.len()))
            }
            Constraint::AntiAffinity => {
                let node = on.iter().filter(|(_, pods)| **pods > 1).map(|(node, _)| node).min()?;
                Some(format!("{node} has {} pods of group {name}", on[node]))
            }
            Constraint::Spread => {
                let mut zones: Map<&str, usize> = Map::default();
                for (name, node) in &self.nodes {
                    *zones.entry(&*node.zone).or_default() += on.get(name).unwrap_or(&0);
                }
                let nodes = self.nodes.keys().map(|name| *on.get(name).unwrap_or(&0));
                let (over_zones, over_nodes) = (skew(zones.into_values()), skew(nodes));
                (over_zones > 1 || over_nodes > 1).then(|| {
                    format!("group {name} has a skew of {over_zones} over zones, {over_nodes} over nodes")
                })
            }
        }
    }
}

/// The most less the least.
fn skew(counts: impl Iterator<Item = usize>) -> usize {
    let (least, most) = counts.fold((usize::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
    most.saturating_sub(least)
}

/// A quantity in thousandths; what is none counts as nothing.
fn amount(quantity: &Value) -> u128 {
    let text = match quantity {
        Value::Number(number) => return u128::from(number.as_u64().unwrap_or(0)) * 1_000,
        other => other.as_str().unwrap_or_default(),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u128 = text[..digits].parse().unwrap_or(0);
    number
        * match &text[digits..] {
            "m" => 1,
            "k" => 1_000_000,
            "M" => 1_000_000_000,
            "G" => 1_000_000_000_000,
            "Ki" => 1_000 << 10,
            "Mi" => 1_000 << 20,
            "Gi" => 1_000 << 30,
            "Ti" => 1_000 << 40,
            _ => 1_000,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rooms() -> Rooms {
        let mut rooms = Rooms::default();
        for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
            let allocatable = json!({"cpu": "1", "memory": "1Gi", "pods": "2"});
            rooms.node(&json!({"metadata": {"name": name, "labels": {ZONE: zone}}, "status": {"allocatable": allocatable}}));
        }
        rooms
    }

    fn pod(node: &str, cpu: &str, memory: &str) -> Value {
        let requests = json!({"cpu": cpu, "memory": memory});
        json!({"metadata": {"name": "p", "labels": {GROUP: "g"}},
            "spec": {"nodeName": node, "containers": [{"resources": {"requests": requests}}]}})
    }

    #[test]
    fn quantities_are_read() {
        for (text, want) in [("2", 2_000), ("250m", 250), ("1Ki", 1_024_000), ("", 0)] {
            assert_eq!(amount(&json!(text)), want, "{text}");
        }
        assert_eq!(amount(&json!(3)), 3_000);
        assert_eq!(amount(&json!("128Gi")), 128_000 << 30);
    }

    #[test]
    fn a_full_node_is_none_with_too_much() {
        let mut rooms = rooms();
        rooms.pod(&pod("n1", "500m", "512Mi"));
        rooms.pod(&pod("n1", "500m", "512Mi"));
        rooms.pod(&pod("", "9", "9Gi"));
        assert_eq!(rooms.overcommits(), [""; 0]);
        assert_eq!((rooms.pods, rooms.pending), (3, 1));
    }

    #[test]
    fn each_overcommit_is_found() {
        for (pods, what) in [
            (vec![pod("n1", "501m", "1"), pod("n1", "500m", "1")], "cpu"),
            (vec![pod("n1", "1m", "1Gi"), pod("n1", "1m", "1")], "memory"),
            (vec![pod("n1", "1m", "1"); 3], "pods"),
            (vec![pod("n9", "1m", "1")], "no node"),
        ] {
            let mut rooms = rooms();
            for pod in &pods {
                rooms.pod(pod);
            }
            let faults = rooms.overcommits();
            assert!(faults.len() == 1 && faults[0].contains(what), "{what}: {faults:?}");
        }
    }

    #[test]
    fn groups_in_the_wrong_place_are_found() {
        use Constraint::{Affinity, AntiAffinity, Spread};
        let faults = |nodes: &[&str], constraint| {
            let mut rooms = rooms();
            for node in nodes {
                rooms.pod(&pod(node, "1m", "1"));
            }
            rooms.misplaced(constraint).len()
        };
        assert_eq!(faults(&["n1", "n2"], Affinity), 0);
        assert_eq!(faults(&["n1", "n3"], Affinity), 1);
        assert_eq!(faults(&["n1", "n3"], AntiAffinity), 0);
        assert_eq!(faults(&["n1", "n1"], AntiAffinity), 1);
        assert_eq!(faults(&["n1", "n3"], Spread), 0);
        assert_eq!(faults(&["n1", "n2"], Spread), 1, "two more in zone a than in b");
        assert_eq!(
            faults(&["n3", "n3", "n1", "n2"], Spread),
            0,
            "one domain may be ahead by one, not more"
        );
        assert_eq!(faults(&["n1", "n3", "n3"], Spread), 1, "n3 is two ahead of n2");
    }
}
