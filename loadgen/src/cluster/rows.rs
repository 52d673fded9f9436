// SPDX-License-Identifier: Apache-2.0
//! The rows by name.

/// What pods ask of where they go, beside room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// Nothing.
    None,
    /// To be in the zone of their group: required affinity.
    Affinity,
    /// Not to be on a node with another of their group: required anti-affinity.
    AntiAffinity,
    /// Hard spread of their group over zones and over nodes.
    Spread,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Pods are made as fast as answers come, on nodes that only exist in the API.
    Bind(Constraint),
    /// Pods are made at a fixed rate.
    Paced,
    /// Everything is on, until pods run.
    Run,
    /// A Deployment grows, and changes.
    Deploy,
    /// A full namespace is deleted.
    Namespace,
    /// Nothing is done.
    Idle,
    /// Many pods are there.
    Memory,
    /// The leading scheduler is killed.
    Failover,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name, as in `--row`.
    pub name: &'static str,
    /// What is measured.
    pub work: Work,
    /// What it shows.
    pub about: &'static str,
    /// Nodes.
    pub nodes: u32,
    /// Pods; of `namespace` half are ConfigMaps, of `failover` it is so many a second.
    pub pods: u64,
    /// Whether it takes so long that it only runs if it is asked for.
    pub long: bool,
}

/// All rows, in the order of the table.
pub const ALL: [Row; 13] = [
    row(
        "bind",
        Work::Bind(Constraint::None),
        5_000,
        10_000,
        "from the first POST to the last binding: Services, owners, default spread; 16 clients",
    ),
    row("bind-paced", Work::Paced, 5_000, 20_000, "2,000 pods a second for 10 s, whatever happens"),
    row(
        "affinity",
        Work::Bind(Constraint::Affinity),
        5_000,
        10_000,
        "as bind; a third of the pods with required affinity to the zone of their group",
    ),
    row(
        "anti-affinity",
        Work::Bind(Constraint::AntiAffinity),
        5_000,
        10_000,
        "as bind; a third with anti-affinity by hostname in groups of up to 100",
    ),
    row(
        "spread",
        Work::Bind(Constraint::Spread),
        5_000,
        10_000,
        "as bind; a third with hard spread over zones and hostnames",
    ),
    row("run", Work::Run, 5_000, 10_000, "simulated nodes, all controllers: until pods run"),
    row(
        "deploy",
        Work::Deploy,
        5_000,
        10_000,
        "a Deployment from 0 to all its replicas with their endpoints, then a new template",
    ),
    row(
        "namespace",
        Work::Namespace,
        1_000,
        10_000,
        "a namespace full of pods and ConfigMaps is deleted",
    ),
    row("idle", Work::Idle, 100, 1_000, "CPU and memory when pods run and nothing is asked"),
    long("bind-50k", Work::Bind(Constraint::None), 5_000, 50_000, "as bind, ten pods to a node"),
    long("bind-30k-nodes", Work::Bind(Constraint::None), 30_000, 10_000, "as bind, many nodes"),
    long("memory", Work::Memory, 5_000, 50_000, "what all of it takes when all are bound"),
    row(
        "failover",
        Work::Failover,
        5_000,
        500,
        "two schedulers, 500 pods each second; the leading one is killed again and again",
    ),
];

const fn row(name: &'static str, work: Work, nodes: u32, pods: u64, about: &'static str) -> Row {
    Row { name, work, about, nodes, pods, long: false }
}

const fn long(name: &'static str, work: Work, nodes: u32, pods: u64, about: &'static str) -> Row {
    Row { long: true, ..row(name, work, nodes, pods, about) }
}

/// The row of that name.
pub fn by_name(name: &str) -> Option<Row> {
    ALL.into_iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        for row in ALL {
            assert_eq!(by_name(row.name), Some(row));
        }
        assert_eq!(by_name("bound"), None);
    }
}
