// SPDX-License-Identifier: Apache-2.0
//! Flags of `recovery`.

use super::values::{nodes, number, within};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Starts a service with a journal, fills it, kills it (SIGKILL) and starts it again on what it left: how long until
it answers, what it takes of memory and disk before and after. Every pod is compared with the client's own books.

Examples:
  berth-loadgen recovery
        1,000,000 placements on 40,000 nodes
  berth-loadgen recovery --churn 3000000
        then three million more, each with the release of another: snapshots and log change over many times
  berth-loadgen recovery --nodes 100000 --pods 1000000 --classes 1000 --told --waiting 100000
        a large cluster whose pods are told of, as after a reconnect, and 100,000 pods that wait

Exit status: 0 everything is back; 1 something is not; 2 the run could not be made.";

/// Flags of `recovery`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RecoveryArgs {
    /// Pods that are placed
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = pods)]
    pub pods: u64,

    /// Nodes of the cluster
    #[arg(long, default_value_t = 40_000, value_name = "N", value_parser = nodes)]
    pub nodes: usize,

    /// Classes of the pods; 1: pods without any constraint
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = classes)]
    pub classes: usize,

    /// Pods that no node takes, and that wait in the queue
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub waiting: u64,

    /// Tell the service where the pods are, evenly over the nodes, instead of asking it
    #[arg(long)]
    pub told: bool,

    /// So many placements more, each with the release of another pod
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub churn: u64,

    /// Start it again so many times
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub restarts: u32,

    /// Keep the journal in this folder, which must be empty, and leave it there
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Also write the figures here, for machines
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn pods(text: &str) -> Result<u64, String> {
    within(number(text)?, 1, 100_000_000)
}

fn classes(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, 1_000_000)
}
