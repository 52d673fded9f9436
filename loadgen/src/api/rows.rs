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
pub const ALL: [Row; 2] = [
    row("create-64", Work::Create, "64 clients make ConfigMaps of 1 KiB, beside etcd's own puts"),
    row(
        "create-1",
        Work::CreateOne,
        "one client does, beside append and fdatasync of as many bytes",
    ),
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
}

/// Bytes of ConfigMaps and Secrets.
pub const SMALL: usize = 1_024;

impl Sizes {
    /// As the rows say.
    pub fn whole(round: Duration) -> Self {
        Self { round, warm_up: Duration::from_millis(300), clients: 64 }
    }

    /// For a first look.
    pub fn quick() -> Self {
        Self { round: Duration::from_millis(200), warm_up: Duration::from_millis(50), clients: 8 }
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
