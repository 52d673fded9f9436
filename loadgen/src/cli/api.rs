// SPDX-License-Identifier: Apache-2.0
//! Flags of `api`.

use super::schedule::OutputArgs;
use super::values::{number, within};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
For each row an apiserver is started on an empty store (`berth apiserver --store sled:DIR`), loaded, and stopped.
All is as it would be used: over TLS, as a user whose role gives it what the row needs and no more, with admission,
and writes are on disk before they are answered. Where a row has something to be held against (the disk alone, etcd,
bytes that need no server) both are measured in turn, round by round; the table shows medians, the least and the most,
and the median of the rounds' ratios. Every answer's status is checked, and events are checked for gaps and order.

Examples:
  berth-loadgen api
        all rows, five rounds each
  berth-loadgen api --row create-64 --row create-1
        two rows; `--list-rows` shows all
  berth-loadgen api --quick
        all rows, small and short: whether it works, not how fast it is
  berth-loadgen api --server target/release/berth --data /mnt/disk
        another server, and its store on another disk
  berth-loadgen api --row get-64 --connect https://127.0.0.1:6443 --kubeconfig kubeconfig
        a server that runs; rows that have to start one are left out
  berth-loadgen api --html report.html --json report.json
        also a page with plots, and figures for machines

On Debian: apt install etcd-server (rows that are held against etcd say so where it is not installed). Nothing else
should run meanwhile: load and server share the machine.

A row fails if an answer has another status than wanted, or an event is lost. Speed alone fails nothing.";

/// Flags of `api`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ApiArgs {
    /// Rows to run; may be given several times [default: all]
    #[arg(long = "row", visible_alias = "rows", value_name = "NAME,...", value_delimiter = ',')]
    pub rows: Vec<String>,

    /// List the rows and stop
    #[arg(long)]
    pub list_rows: bool,

    /// How often each row is measured; medians are printed
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = rounds)]
    pub rounds: usize,

    /// How long each round of a row that has no size of its own is measured
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = seconds)]
    pub duration: f64,

    /// A first look: one short round of small loads. Its figures mean little
    #[arg(long, conflicts_with_all = ["rounds", "duration"])]
    pub quick: bool,

    /// Threads of this program; the server has its own
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,

    /// Fail if something to be held against is not installed, instead of leaving it out
    #[arg(long)]
    pub require_peers: bool,

    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Where the figures go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which server")]
pub struct ServerArgs {
    /// The program to start [default: berth, beside this program]
    #[arg(long, value_name = "FILE", conflicts_with = "connect")]
    pub server: Option<PathBuf>,

    /// Keep the stores below this folder, on a disk [default: the folder for temporary files]
    #[arg(long, value_name = "DIR", conflicts_with = "connect")]
    pub data: Option<PathBuf>,

    /// A server that runs
    #[arg(long, value_name = "URL", value_parser = url, requires = "kubeconfig")]
    pub connect: Option<String>,

    /// Who to be there: a user that may make a namespace, and all in it
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub kubeconfig: Option<PathBuf>,
}

/// Flags of the process that only has the bytes.
#[derive(Debug, Clone, clap::Args)]
pub struct BytesArgs {
    /// The folder with the answer, the certificate and its key
    pub folder: PathBuf,
}

fn rounds(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, 1_000)
}

fn seconds(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.05, 3_600.0)
}

fn url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").ok_or("must begin with https://")?;
    let rest = rest.trim_end_matches('/');
    match rest.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(format!("https://{rest}")),
        _ => Err("must name a port, as in https://127.0.0.1:6443".to_owned()),
    }
}
