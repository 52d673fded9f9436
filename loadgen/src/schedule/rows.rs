// SPDX-License-Identifier: Apache-2.0
//! The rows by name: a workload, and how it travels where the row fixes that.

use super::phase::Shape;
use berth_scheduler_workload::Row;

/// Pods a message unless said otherwise.
pub const BATCH: usize = 256;
/// Pods on their way at most unless said otherwise.
pub const WINDOW: usize = 1_024;
/// Unary calls on their way unless said otherwise.
pub const IN_FLIGHT: usize = 64;
/// Uids in a `Release` call unless said otherwise.
pub const RELEASE_BATCH: usize = 64;

/// Whether specs travel, or numbers of registered templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SpecForm {
    /// Each pod carries its whole spec, at least 300 bytes
    Full,
    /// Pods name a registered template
    Template,
}

impl SpecForm {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Template => "template",
        }
    }
}

/// How requests travel in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mode {
    /// Stream or unary calls.
    pub shape: Shape,
    /// Pods a second; `None`: closed loop.
    pub rate: Option<f64>,
    /// Specs or templates.
    pub spec: SpecForm,
    /// The service keeps a journal on disk.
    pub durable: bool,
}

/// What is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Pods come and others go.
    Row(Row),
    /// Room is made for pods of high priority.
    Preemption {
        /// Whether budgets lie over those that may have to go.
        budgets: bool,
    },
}

impl Work {
    /// Its name, which is that of the row that fixes nothing else.
    pub fn name(self) -> String {
        match self {
            Self::Row(row) => row.name(),
            Self::Preemption { budgets: false } => "preemption".to_owned(),
            Self::Preemption { budgets: true } => "preemption-budgets".to_owned(),
        }
    }
}

/// A row: what is placed, and how it travels.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, as in `--row`.
    pub name: String,
    /// The workload.
    pub work: Work,
    /// The way; `None`: as the flags say.
    pub fixed: Option<Mode>,
    /// What it shows.
    pub about: &'static str,
}

/// All rows, in the order of the table.
pub fn all() -> Vec<Scenario> {
    let rows = Row::ALL.into_iter().chain([Row::Unschedulable]).map(Work::Row);
    let preemption = [false, true].map(|budgets| Work::Preemption { budgets });
    let table = rows.chain(preemption).map(|work| Scenario {
        name: work.name(),
        work,
        fixed: None,
        about: about(work),
    });
    table.chain(service_rows()).collect()
}

/// The row of that name.
pub fn by_name(name: &str) -> Option<Scenario> {
    all().into_iter().find(|row| row.name == name)
}

/// Rows that measure the service: 100 classes at random, travelling in different ways.
fn service_rows() -> Vec<Scenario> {
    let stream = |batch| Shape::Stream { batch, window: WINDOW };
    let unary = Shape::Unary { in_flight: IN_FLIGHT, release_batch: RELEASE_BATCH };
    let full = |shape| Mode { shape, rate: None, spec: SpecForm::Full, durable: false };
    let at = |rate, durable| Mode { rate: Some(rate), durable, ..full(unary) };
    let template = Mode { spec: SpecForm::Template, ..full(stream(BATCH)) };
    let durable = Mode { durable: true, ..full(stream(BATCH)) };
    let row = |name: &str, fixed, about| Scenario {
        name: format!("grpc-classes-100-{name}"),
        work: Work::Row(Row::Classes(100)),
        fixed: Some(fixed),
        about,
    };
    vec![
        row("batch-256", full(stream(256)), "whole specs, 256 pods a message"),
        row("batch-1", full(stream(1)), "whole specs, one pod a message, 1,024 on their way"),
        row("template", template, "registered templates, 256 pods a message"),
        row("unary-64", full(unary), "unary calls, 64 at a time"),
        row("unary-rate-2000", at(2_000.0, false), "unary calls, 2,000 a second (open loop)"),
        row("unary-rate-10000", at(10_000.0, false), "unary calls, 10,000 a second (open loop)"),
        row("durable-batch-256", durable, "with a journal: an answer comes after the disk has it"),
        row("durable-unary-rate-2000", at(2_000.0, true), "with a journal, 2,000 calls a second"),
    ]
}

fn about(work: Work) -> &'static str {
    let row = match work {
        Work::Row(row) => row,
        Work::Preemption { budgets: false } => return "room made for pods of high priority",
        Work::Preemption { budgets: true } => return "the same, with ten disruption budgets",
    };
    match row {
        Row::Basic => "one class, no constraints",
        Row::DefaultSpread => "owned by a ReplicaSet, selected by a Service: spread by default",
        Row::NodeAffinity => "required node affinity",
        Row::SpreadZone => "hard spread over zones",
        Row::SpreadZoneHostname => "hard spread over zones and nodes",
        Row::Affinity(1) => "required affinity to a zone",
        Row::AntiAffinity(1) => "required anti-affinity on nodes",
        Row::PreferredAffinity(1) => "preferred affinity on nodes",
        Row::PreferredAntiAffinity(1) => "preferred anti-affinity on nodes",
        Row::Affinity(_)
        | Row::AntiAffinity(_)
        | Row::PreferredAffinity(_)
        | Row::PreferredAntiAffinity(_) => "the same, apps whose terms match each other",
        Row::Classes(_) => "classes at random, each with its requests, labels, owner and spread",
        Row::NeverSeenLabels => "each pod with a label of its own that no selector reads",
        Row::NeverSeenRequests => "each pod with requests of its own",
        Row::Unschedulable => "no node will do; refusals with counts per rule",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let rows = all();
        for row in &rows {
            assert_eq!(by_name(&row.name).as_ref(), Some(row));
            assert_eq!(rows.iter().filter(|other| other.name == row.name).count(), 1);
        }
        assert!(by_name("grpc-classes-100-batch-256").is_some());
        assert_eq!(by_name("no-such-row"), None);
    }
}
