// SPDX-License-Identifier: Apache-2.0
//! Flags of `oracle`.

use std::path::PathBuf;

const AFTER_HELP: &str = "\
A file holds one JSON object a line: a pod on a cluster, a history of a cluster, or a preemption, each with
kube-scheduler's verdict. Everything is compared: the feasible nodes, each rejection with its reasons, each
score and total, the victims. Kinds may be mixed; gzip is recognised by its content.

Examples:
  berth-loadgen oracle cases.jsonl.gz sequences.jsonl.gz preemption.jsonl.gz
  berth-loadgen oracle --show 3 cases.jsonl

Exit status: 0 all agree; 1 at least one disagreement; 2 a file cannot be read (the message has file and line).";

/// Flags of `oracle`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct OracleArgs {
    /// Files of verdicts, plain or gzip
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Print at most this many differences of each file; the rest is counted
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub show: usize,

    /// Order of nodes with equal totals; verdicts do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,

    /// Also write the counts here, for machines
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
