// SPDX-License-Identifier: Apache-2.0
//! The rows by name.

use std::time::Duration;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Many clients make objects.
    Create,
    /// One client makes objects.
    CreateOne,
    /// Many clients read objects.
    Get,
    /// One client reads objects.
    GetOne,
    /// Many clients change objects.
    Patch,
    /// One client lists many objects, all and selected.
    List,
    /// A mixture at a fixed rate.
    Mixed,
    /// Many watchers of the same.
    FanOut,
    /// Many watchers, each of its own.
    Routing,
    /// Starts.
    Start,
    /// Nothing is done.
    Idle,
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
    /// Whether it has to start the server, so that one that runs does not do.
    pub starts: bool,
}

/// All rows, in the order of the table.
pub const ALL: [Row; 11] = [
    row("create-64", Work::Create, "64 clients make ConfigMaps of 1 KiB, beside etcd's own puts"),
    row(
        "create-1",
        Work::CreateOne,
        "one client does, beside append and fdatasync of as many bytes",
    ),
    row("get-64", Work::Get, "64 clients read them, beside a server that only has the bytes"),
    row("get-1", Work::GetOne, "one client does"),
    row("patch-64", Work::Patch, "64 clients change 1,000 of them by merge patches"),
    row(
        "list",
        Work::List,
        "10,000 pods of 4 KB to the last byte, beside a server that only has the bytes; 10 of them by label",
    ),
    row(
        "mixed",
        Work::Mixed,
        "5,000 Secrets, 200 requests a second: 50 % get, 28 % patch, 20 % create and delete, 2 % list all",
    ),
    row(
        "fan-out",
        Work::FanOut,
        "1,000 watchers of the same: deliveries a second, and latency at half of that",
    ),
    row(
        "routing",
        Work::Routing,
        "5,000 watchers of a node's pods each, 2,000 writes a second, beside 10 watchers",
    ),
    Row {
        starts: true,
        ..row("start", Work::Start, "to ready, empty and with 150,000 objects, stopped and killed")
    },
    Row { starts: true, ..row("idle", Work::Idle, "memory and CPU when nothing is asked") },
];

const fn row(name: &'static str, work: Work, about: &'static str) -> Row {
    Row { name, work, about, starts: false }
}

/// The row of that name.
pub fn by_name(name: &str) -> Option<Row> {
    ALL.into_iter().find(|row| row.name == name)
}

/// Sizes of loads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// How long a round is that has no size of its own.
    pub round: Duration,
    /// How long a load runs before it is measured.
    pub warm_up: Duration,
    /// Clients of a storm.
    pub clients: usize,
    /// ConfigMaps that are read and changed.
    pub objects: u64,
    /// Pods that are listed.
    pub pods: u64,
    /// Secrets of the mixture.
    pub secrets: u64,
    /// How long a round of the mixture is.
    pub mixed: Duration,
    /// Watchers of the same.
    pub watchers: usize,
    /// Nodes whose pods are watched.
    pub nodes: usize,
    /// Writes a second beside those watchers.
    pub writes: f64,
    /// Objects in the store of a start.
    pub stored: u64,
    /// How long nothing is asked.
    pub idle: Duration,
}

/// Bytes of ConfigMaps and Secrets.
pub const SMALL: usize = 1_024;
/// Bytes of pods.
pub const LARGE: usize = 4_096;
/// Requests of the mixture a second.
pub const MIXED_RATE: f64 = 200.0;
/// Watchers of nodes to compare with, which are those that get all events.
pub const FEW: usize = 10;

impl Sizes {
    /// As the rows say.
    pub fn whole(round: Duration) -> Self {
        Self {
            round,
            warm_up: Duration::from_millis(300),
            clients: 64,
            objects: 1_000,
            pods: 10_000,
            secrets: 5_000,
            mixed: round.max(Duration::from_secs(10)),
            watchers: 1_000,
            nodes: 5_000,
            writes: 2_000.0,
            stored: 150_000,
            idle: Duration::from_secs(10),
        }
    }

    /// For a first look.
    pub fn quick() -> Self {
        Self {
            round: Duration::from_millis(200),
            warm_up: Duration::from_millis(50),
            clients: 8,
            objects: 20,
            pods: 100,
            secrets: 50,
            mixed: Duration::from_millis(500),
            watchers: 60,
            nodes: 120,
            writes: 200.0,
            stored: 300,
            idle: Duration::from_millis(300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        for row in ALL {
            assert_eq!(by_name(row.name), Some(row));
        }
        assert_eq!(by_name("create"), None);
    }
}
