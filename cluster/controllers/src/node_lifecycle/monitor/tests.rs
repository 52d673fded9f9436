// SPDX-License-Identifier: Apache-2.0
//! Clusters of nodes, some of which fall silent.

use super::*;
use berth_cluster_client::{Id, View};
use serde_json::json;

const SECOND: i64 = 1_000_000;

fn node(name: &str, zone: &str, ready: &str, driven: bool) -> KnownNode {
    let taint = json!([{ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }]);
    let object = json!({
        "metadata": { "labels": { "topology.kubernetes.io/zone": zone } },
        "spec": { "taints": if driven { taint } else { json!([]) } },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] },
    });
    let id = Id { name: name.into(), uid: name.to_owned(), ..Id::default() };
    Arc::new(Item { id, view: Node::read(object.to_string().as_bytes()).unwrap() })
}

/// A cluster in which nodes of which `lives` says so renew their leases, and what is decided comes to be.
struct World {
    monitor: Monitor,
    nodes: Vec<(String, String, String, bool)>,
    now: i64,
    /// By how much the wall's clock is set forward.
    set: i64,
    /// As of when nodes are shown, where that is not now.
    shown: Option<i64>,
}

impl World {
    fn new(zones: &[(&str, usize)]) -> Self {
        let nodes = zones.iter().flat_map(|(zone, count)| {
            (0..*count).map(move |number| {
                (format!("{zone}{number:03}"), (*zone).to_owned(), "True".to_owned(), false)
            })
        });
        Self {
            monitor: Monitor::new(Duration::from_secs(40)),
            nodes: nodes.collect(),
            now: 0,
            set: 0,
            shown: None,
        }
    }

    fn run(&mut self, seconds: i64, lives: impl Fn(&str) -> bool) {
        for _ in 0..seconds / 5 {
            self.now += 5 * SECOND;
            for (name, _, ready, driven) in &mut self.nodes {
                if lives(name) {
                    "True".clone_into(ready);
                    *driven = false;
                }
            }
            let nodes: Vec<_> = self
                .nodes
                .iter()
                .map(|(name, zone, ready, driven)| node(name, zone, ready, *driven))
                .collect();
            let (steady, shown) = (self.now, self.shown.unwrap_or(self.now));
            let now = Moment { wall: Micros(self.now + self.set), steady, shown };
            let renewed = |name: &str| lives(name).then_some(now.wall);
            for action in self.monitor.look(&nodes, renewed, now) {
                match action {
                    Action::Lost { node, .. } => self.of(&node).2 = "Unknown".to_owned(),
                    Action::Drive { node, drive: Drive::Out } => self.of(&node).3 = true,
                    Action::Drive { node, drive: Drive::Not } => self.of(&node).3 = false,
                    _ => {}
                }
            }
        }
    }

    fn of(&mut self, node: &KnownNode) -> &mut (String, String, String, bool) {
        self.nodes.iter_mut().find(|(name, ..)| *name == node.id.name).unwrap()
    }

    fn lost(&self) -> usize {
        self.nodes.iter().filter(|(_, _, ready, _)| ready != "True").count()
    }

    fn driven(&self) -> usize {
        self.nodes.iter().filter(|(.., driven)| *driven).count()
    }
}

#[test]
fn a_silent_node_is_lost_after_its_time_and_comes_back() {
    let mut world = World::new(&[("a", 10)]);
    world.run(20, |_| true);
    world.run(40, |name| name != "a003");
    assert_eq!(world.lost(), 0);
    world.run(15, |name| name != "a003");
    assert_eq!((world.lost(), world.driven()), (1, 1));
    world.run(20, |_| true);
    assert_eq!((world.lost(), world.driven()), (0, 0));
}

#[test]
fn pods_of_one_node_in_ten_seconds_are_driven_out() {
    let mut world = World::new(&[("a", 100)]);
    world.run(20, |_| true);
    let lives = |name: &str| name >= "a020";
    world.run(50, lives);
    assert_eq!(world.lost(), 20);
    let before = world.driven();
    world.run(100, lives);
    assert_eq!(world.driven() - before, 10);
}

#[test]
fn of_an_ill_zone_few_or_none_are_driven_out() {
    let ill = |name: &str| name >= "a060" && !name.starts_with('b') || name >= "b006";
    // 60 of 100 in a: one in a hundred seconds. 6 of 10 in b: none.
    let mut world = World::new(&[("a", 100), ("b", 10)]);
    world.run(20, |_| true);
    world.run(50, ill);
    assert_eq!(world.lost(), 66);
    let before = world.driven();
    world.run(500, ill);
    assert_eq!(world.driven() - before, 5);
    assert!(world.nodes.iter().all(|(name, .., driven)| !driven || name.starts_with('a')));
}

#[test]
fn where_all_nodes_are_lost_it_is_rather_us_who_are() {
    let mut world = World::new(&[("a", 5), ("b", 5)]);
    world.run(20, |_| true);
    world.run(55, |name| name != "a000");
    assert_eq!(world.driven(), 1);
    world.run(200, |_| false);
    assert_eq!((world.lost(), world.driven()), (10, 0), "what was driven out before is let be");
    world.run(30, |name| name.starts_with('a'));
    assert_eq!(world.lost(), 5);
    world.run(300, |name| name.starts_with('a'));
    assert_eq!(world.driven(), 5, "one zone alone is driven out");
}

#[test]
fn a_clock_that_is_set_loses_no_node_and_hides_none() {
    for hours in [1, -1] {
        let mut world = World::new(&[("a", 10)]);
        world.run(20, |_| true);
        world.set = hours * 3_600 * SECOND;
        world.run(600, |_| true);
        assert_eq!((world.lost(), world.driven()), (0, 0), "{hours} hours");
        world.run(55, |name| name != "a003");
        assert_eq!((world.lost(), world.driven()), (1, 1), "{hours} hours");
    }
}

#[test]
fn who_hears_nothing_of_the_api_takes_nobody_for_lost() {
    let mut world = World::new(&[("a", 10)]);
    world.run(20, |_| true);
    world.shown = Some(world.now);
    world.run(600, |_| false);
    assert_eq!((world.lost(), world.driven()), (0, 0));
    world.shown = None;
    world.run(50, |name| name != "a003");
    assert_eq!(world.lost(), 1, "who is silent when all are heard again");
}
