// SPDX-License-Identifier: Apache-2.0
//! Flags of `cluster`.

use super::schedule::OutputArgs;
use super::values::{number, within};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
For each row a cluster is started on an empty store (`berth up --data DIR`), loaded, checked and stopped. All is on:
TLS, a user with a role of its own, admission, writes that are on disk before they are answered. Objects are made with
one request each, as controllers and tools make them. Pods count when an independent watch shows them: where they
are bound (`bind`), running (`run`), available (`deploy`).

Examples:
  berth-loadgen cluster
        all rows that take less than two minutes
  berth-loadgen cluster --row bind
        10,000 pods on 5,000 nodes; `--list-rows` shows all rows
  berth-loadgen cluster --row bind-paced --rate 500
        500 pods a second for ten seconds: what a pod waits when the cluster is not full to the brim
  berth-loadgen cluster --row bind,run --nodes 100 --pods 2000 --clients 4
        smaller
  berth-loadgen cluster --row failover --kills 20
        the leading scheduler is killed twenty times
  berth-loadgen cluster --quick
        all rows, tiny: whether it works, not how fast it is
  berth-loadgen cluster --data /mnt/disk --html report.html --json report.json
        the store on another disk; also a page, and figures for machines

What is checked of the state at the end, from lists of nodes and pods: no node has more than it can take (cpu, memory,
pods), no pod is left over, groups are where their constraints want them. And of each event on the way: no pod is ever
on a second node; a rolling update keeps to maxSurge and maxUnavailable. A row fails if one of these does not hold.
Speed alone fails nothing. Nothing else should run meanwhile: load and cluster share the machine.";

/// Flags of `cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ClusterArgs {
    /// Rows to run [default: all that take less than two minutes]
    #[arg(long = "row", visible_alias = "rows", value_name = "NAME,...", value_delimiter = ',')]
    pub rows: Vec<String>,

    /// List the rows and stop
    #[arg(long)]
    pub list_rows: bool,

    /// So many nodes, instead of the row's own
    #[arg(long, value_name = "N", value_parser = nodes)]
    pub nodes: Option<u64>,

    /// So many pods, instead of the row's own (replicas of `deploy`, objects of `namespace`)
    #[arg(long, value_name = "N", value_parser = pods)]
    pub pods: Option<u64>,

    /// Clients that make objects, each with a connection
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clients)]
    pub clients: usize,

    /// Pods a second of `bind-paced` (for ten seconds) and `failover` [default: the row's own]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,

    /// How often `failover` kills the leading scheduler
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub kills: u64,

    /// A first look: 20 nodes, 100 pods, short waits. Its figures mean little
    #[arg(long)]
    pub quick: bool,

    /// Threads of this program; the cluster has its own
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,

    /// Which program.
    #[command(flatten)]
    pub server: ProgramArgs,

    /// Where the figures go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which program, and where its data is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which program")]
pub struct ProgramArgs {
    /// The program to start [default: berth, beside this program]
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,

    /// Keep the stores below this folder, on a disk [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

fn nodes(text: &str) -> Result<u64, String> {
    within(number(text)?, 1, 100_000)
}

fn pods(text: &str) -> Result<u64, String> {
    within(number(text)?, 1, 1_000_000)
}

fn clients(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, 1_024)
}

fn rate(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.1, 100_000.0)
}
