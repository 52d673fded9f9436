// SPDX-License-Identifier: Apache-2.0
//! The rows: named workloads, each with the pods that fill the cluster and the pods that then come.

use crate::nodes;
use crate::specs::{
    CPU, HOSTNAME, MEMORY, NAMESPACE, ZONE, group, in_zones, owned, plain, requests, spread, term,
    term_of,
};
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{Group, GroupKind};
use berth_scheduler_model::pod::{Pod, PodSpec};
use std::sync::Arc;

/// A workload by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// One class, no constraints.
    Basic,
    /// Owned by a ReplicaSet, selected by a Service: spread by default.
    DefaultSpread,
    /// Required node affinity to two of three zones.
    NodeAffinity,
    /// Hard spread over zones.
    SpreadZone,
    /// Hard spread over zones and over nodes.
    SpreadZoneHostname,
    /// Required affinity to a zone; so many apps.
    Affinity(usize),
    /// Required anti-affinity on nodes; so many apps.
    AntiAffinity(usize),
    /// Preferred affinity on nodes; so many apps.
    PreferredAffinity(usize),
    /// Preferred anti-affinity on nodes; so many apps.
    PreferredAntiAffinity(usize),
    /// So many classes, each with its own requests, labels, owner and default spread.
    Classes(usize),
    /// Each pod has a label of its own that no selector reads.
    NeverSeenLabels,
    /// Each pod has requests of its own.
    NeverSeenRequests,
    /// No node will do: on a cluster filled with small pods come such that want a whole node.
    Unschedulable,
}

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::Basic,
        Self::DefaultSpread,
        Self::NodeAffinity,
        Self::SpreadZone,
        Self::SpreadZoneHostname,
        Self::Affinity(1),
        Self::AntiAffinity(1),
        Self::PreferredAffinity(1),
        Self::PreferredAntiAffinity(1),
        Self::Affinity(100),
        Self::AntiAffinity(100),
        Self::PreferredAffinity(100),
        Self::PreferredAntiAffinity(100),
        Self::Classes(10),
        Self::Classes(100),
        Self::Classes(1_000),
        Self::NeverSeenLabels,
        Self::NeverSeenRequests,
    ];

    /// The row's name, as in tables and flags.
    #[must_use]
    pub fn name(self) -> String {
        let apps = |name: &str, apps: usize| match apps {
            1 => name.to_owned(),
            n => format!("{name}-{n}"),
        };
        match self {
            Self::Basic => "basic".to_owned(),
            Self::DefaultSpread => "default-spread".to_owned(),
            Self::NodeAffinity => "node-affinity".to_owned(),
            Self::SpreadZone => "spread-zone".to_owned(),
            Self::SpreadZoneHostname => "spread-zone-hostname".to_owned(),
            Self::Affinity(n) => apps("affinity", n),
            Self::AntiAffinity(n) => apps("anti-affinity", n),
            Self::PreferredAffinity(n) => apps("preferred-affinity", n),
            Self::PreferredAntiAffinity(n) => apps("preferred-anti-affinity", n),
            Self::Classes(n) => format!("classes-{n}"),
            Self::NeverSeenLabels => "never-seen-labels".to_owned(),
            Self::NeverSeenRequests => "never-seen-requests".to_owned(),
            Self::Unschedulable => "unschedulable".to_owned(),
        }
    }

    /// The row of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Unschedulable]).find(|row| row.name() == name)
    }
}

/// A row on a cluster of so many nodes.
#[derive(Debug)]
pub struct Workload {
    /// Which row.
    pub row: Row,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Services and controllers.
    pub groups: Vec<Group>,
    /// Pods that are on their nodes from the start and stay.
    pub resident: Vec<Pod>,
    /// Specs that come at random, each as likely as the others.
    specs: Vec<Arc<PodSpec>>,
    /// Pods that fill the cluster to 70 % of its dominant resource, resident ones included.
    pub fill: usize,
    serial: u64,
}

impl Workload {
    /// Lays the row out for `nodes` nodes, filled to `percent` of CPU, the dominant resource.
    #[must_use]
    pub fn new(row: Row, nodes: usize, percent: usize) -> Self {
        let specs = specs(row);
        let mut groups = Vec::new();
        if matches!(row, Row::DefaultSpread | Row::Classes(_)) {
            for i in 0..specs.len() {
                let app = format!("app-{i}");
                groups.push(group(GroupKind::Service, &app, "app", &app));
                groups.push(group(GroupKind::ReplicaSet, &app, "app", &app));
            }
        }
        let resident = match row {
            Row::AntiAffinity(_) => fillers(nodes, percent),
            Row::Affinity(_) => founders(nodes),
            _ => Vec::new(),
        };
        let mean = match row {
            Row::Unschedulable => CPU,
            _ => mean_cpu(&specs),
        };
        let capacity = nodes * usize::try_from(nodes::CPU).expect("small");
        let fill = match row {
            // One to a node at most: seven tenths of them.
            Row::AntiAffinity(_) => nodes * percent / 100,
            _ => capacity * percent / 100 / usize::try_from(mean).expect("small"),
        };
        Self {
            row,
            nodes: (0..nodes).map(nodes::node).collect(),
            groups,
            resident,
            specs,
            fill,
            serial: 0,
        }
    }

    /// Number of specs that come at random.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.specs.len()
    }

    /// The specs that come again and again; none in the rows whose every pod has its own.
    #[must_use]
    pub fn specs(&self) -> &[Arc<PodSpec>] {
        match self.row {
            Row::NeverSeenLabels | Row::NeverSeenRequests => &[],
            _ => &self.specs,
        }
    }

    /// The spec of the next pod; `pick` chooses among equals.
    pub fn next_spec(&mut self, pick: impl FnMut(usize) -> usize) -> Arc<PodSpec> {
        match self.next(pick) {
            Next::Again(index) => self.specs[index].clone(),
            Next::New(spec) => spec,
        }
    }

    /// The same, telling a spec that comes again by its place in [`specs`](Self::specs).
    pub fn next(&mut self, mut pick: impl FnMut(usize) -> usize) -> Next {
        self.serial += 1;
        match self.row {
            Row::NeverSeenLabels => {
                let serial = self.serial.to_string();
                Next::New(Arc::new(plain(&[("app", "app-0"), ("instance", &serial)])))
            }
            Row::NeverSeenRequests => {
                let extra = i64::try_from(self.serial % 1_000_000).expect("small");
                let requests = requests(CPU, MEMORY + extra);
                Next::New(Arc::new(PodSpec { requests, ..(*self.specs[0]).clone() }))
            }
            // Small pods until the cluster is filled, then those that no node takes.
            Row::Unschedulable => Next::Again(usize::from(self.serial > self.fill as u64)),
            _ if self.specs.len() == 1 => Next::Again(0),
            _ => Next::Again(pick(self.specs.len())),
        }
    }
}

/// The spec of a pod that comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// One that comes again and again: its place among them.
    Again(usize),
    /// One that never came before.
    New(Arc<PodSpec>),
}

/// A pod per node that is there from the start, so that a row with one pod to a node also runs on a filled cluster.
fn fillers(nodes: usize, percent: usize) -> Vec<Pod> {
    let share = i64::try_from(percent).expect("small") * nodes::CPU / 100 - CPU;
    let spec = PodSpec { requests: requests(share, MEMORY), ..plain(&[("app", "resident")]) };
    let spec = Arc::new(spec);
    (0..nodes).map(|i| resident(i, "kube-system", &spec)).collect()
}

/// A member per zone that is there from the start: otherwise the first pod decides where all others must go, and one zone
/// cannot take them.
fn founders(nodes: usize) -> Vec<Pod> {
    let spec = Arc::new(plain(&[("app", "founder"), TOGETHER]));
    (0..nodes.min(nodes::ZONES)).map(|i| resident(i, NAMESPACE, &spec)).collect()
}

fn resident(node: usize, namespace: &str, spec: &Arc<PodSpec>) -> Pod {
    let name = Str::from(format!("resident-{node:06}"));
    Pod {
        uid: name.clone(),
        namespace: Str::from(namespace),
        name,
        spec: spec.clone(),
        node: Some(Str::from(nodes::name(node))),
        nominated: None,
        started: None,
        terminating: false,
        preempted: false,
    }
}

/// Apps of one row all carry this label, and their terms select by it: each app's terms match all the others.
const TOGETHER: (&str, &str) = ("tier", "web");

/// Weight of preferred terms: as in kube-scheduler's own benchmark, all weigh alike.
const WEIGHT: i32 = 100;

fn mean_cpu(specs: &[Arc<PodSpec>]) -> i64 {
    let sum: i64 = specs.iter().map(|spec| spec.requests.plain.cpu).sum();
    sum / i64::try_from(specs.len()).expect("few")
}

fn specs(row: Row) -> Vec<Arc<PodSpec>> {
    let app = |i: usize| format!("app-{i}");
    let member = |i: usize| plain(&[("app", &app(i)), TOGETHER]);
    // With many apps each has its own label, and each app's terms name all of them: no two are one class.
    let others = |n: usize, key: &str| match n {
        1 => term(key, TOGETHER),
        n => term_of(key, "app", (0..n).map(app).chain(["founder".to_owned()])),
    };
    let each =
        |n: usize, make: &dyn Fn(usize) -> PodSpec| (0..n).map(|i| Arc::new(make(i))).collect();
    match row {
        Row::Basic | Row::NeverSeenLabels | Row::NeverSeenRequests => {
            each(1, &|_| plain(&[("app", "app-0")]))
        }
        Row::DefaultSpread => each(1, &|_| owned(plain(&[("app", "app-0")]), "app-0")),
        Row::NodeAffinity => {
            each(1, &|_| in_zones(plain(&[("app", "app-0")]), &["zone-0", "zone-1", "zone-2"]))
        }
        Row::SpreadZone => each(1, &|_| PodSpec {
            spread: vec![spread(ZONE, 5, ("app", "app-0"))],
            ..plain(&[("app", "app-0")])
        }),
        Row::SpreadZoneHostname => each(1, &|_| PodSpec {
            spread: vec![spread(ZONE, 5, ("app", "app-0")), spread(HOSTNAME, 5, ("app", "app-0"))],
            ..plain(&[("app", "app-0")])
        }),
        Row::Affinity(n) => {
            each(n, &|i| PodSpec { affinity_required: vec![others(n, ZONE)], ..member(i) })
        }
        Row::AntiAffinity(n) => {
            each(n, &|i| PodSpec { anti_affinity_required: vec![others(n, HOSTNAME)], ..member(i) })
        }
        Row::PreferredAffinity(n) => each(n, &|i| PodSpec {
            affinity_preferred: vec![(WEIGHT, others(n, HOSTNAME))],
            ..member(i)
        }),
        Row::PreferredAntiAffinity(n) => each(n, &|i| PodSpec {
            anti_affinity_preferred: vec![(WEIGHT, others(n, HOSTNAME))],
            ..member(i)
        }),
        Row::Classes(n) => each(n, &|i| {
            let step = i64::try_from(i).expect("small");
            let spec = PodSpec {
                requests: requests(CPU - 50 + step % 101, MEMORY - (100 << 20) + step * (1 << 18)),
                ..plain(&[("app", &app(i))])
            };
            owned(spec, &app(i))
        }),
        Row::Unschedulable => {
            let whole_node =
                PodSpec { requests: requests(nodes::CPU, MEMORY), ..plain(&[("app", "app-1")]) };
            // One zone refuses by affinity, the others by CPU.
            let refused = in_zones(whole_node, &["zone-0", "zone-1"]);
            vec![Arc::new(plain(&[("app", "app-0")])), Arc::new(refused)]
        }
    }
}

/// The namespace that all pods come in.
#[must_use]
pub fn namespace() -> &'static str {
    NAMESPACE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name() {
        for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
            assert_eq!(Row::by_name(&row.name()), Some(row));
        }
        assert_eq!(Row::by_name("basic-2"), None);
    }

    #[test]
    fn pods_fill_the_cluster_to_the_share_asked_for() {
        for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
            let mut workload = Workload::new(row, 100, 70);
            let residents: i64 =
                workload.resident.iter().map(|pod| pod.spec.requests.plain.cpu).sum();
            let filled =
                (0..workload.fill).map(|i| workload.next_spec(|n| i % n).requests.plain.cpu);
            let share = (residents + filled.sum::<i64>()) * 100 / (100 * nodes::CPU);
            assert!((69..=71).contains(&share), "{}: {share} %", row.name());
        }
    }

    #[test]
    fn rows_of_new_specs_never_repeat_one() {
        for row in [Row::NeverSeenLabels, Row::NeverSeenRequests] {
            let mut workload = Workload::new(row, 10, 70);
            let specs: Vec<_> = (0..1_000).map(|_| workload.next_spec(|_| 0)).collect();
            let distinct: std::collections::BTreeSet<_> =
                specs.iter().map(|s| format!("{s:?}")).collect();
            assert_eq!(distinct.len(), 1_000);
        }
    }
}
