// SPDX-License-Identifier: Apache-2.0
//! Flags of `schedule`.

use super::values::{nodes, number, within};
use crate::schedule::rows::SpecForm;
use crate::schedule::target::Tls;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Each row fills a cluster to --fill percent, then places pods and releases, for each, another one drawn at
random. The service runs as a process beside this one, started and stopped for each row, unless --connect
names one. Every answer is checked: no node is overcommitted, no hard constraint broken, no pod refused that
a node would take; at the end the service's own lists are compared. `--list-rows` shows the rows.

Examples:
  berth-loadgen schedule
        all rows: 5,000 nodes, three seconds each
  berth-loadgen schedule --row basic --row classes-100 --in-process
        two rows, and beside them the engine alone, without gRPC
  berth-loadgen schedule --row classes-100 --batch 1 --spec template
        one pod a message, by registered template
  berth-loadgen schedule --row classes-100 --unary --in-flight 64
        a call for each pod
  berth-loadgen schedule --row classes-100 --unary --rate 2000
        2,000 calls a second whatever the answers; latency counts from when a call was due
  berth-loadgen schedule --row classes-100 --durable
        with a journal: answers come after they are on disk
  berth-loadgen schedule --connect http://127.0.0.1:7301 --row basic
        a running service (it must be empty, or --replace empties it)
  berth-loadgen schedule --trace DIR --trace-nodes 20
        a production cluster's pods by their own times, on twenty of its machines
  berth-loadgen schedule --trace DIR --speed 100000
        the same at 100,000 times its speed; pods that find no room wait in the service's queue
  berth-loadgen schedule --html report.html --json report.json
        also a page with plots, and figures for machines

A row fails if a pod is refused (but in the row `unschedulable`) or a check finds a violation.";

/// Flags of `schedule`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ScheduleArgs {
    /// Row to run; may be given several times [default: all]
    #[arg(long = "row", value_name = "NAME")]
    pub rows: Vec<String>,

    /// List the rows and stop
    #[arg(long)]
    pub list_rows: bool,

    /// Nodes of the cluster
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = nodes)]
    pub nodes: usize,

    /// Fill the cluster to so many percent of its dominant resource first
    #[arg(long, default_value = "70", value_name = "PERCENT", value_parser = percent)]
    pub fill: usize,

    /// Decides which pods come and go; the same seed gives the same load
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,

    /// How the load travels.
    #[command(flatten)]
    pub way: WayArgs,

    /// How long each row is measured
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = seconds)]
    pub duration: f64,

    /// Measure so many pods instead of a time
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub pods: Option<u64>,

    /// How long each row runs before it is measured
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS", value_parser = seconds)]
    pub warm_up: f64,

    /// Threads of this program; the service has its own
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,

    /// Also run the engine alone, in this process, and print it beside
    #[arg(long)]
    pub in_process: bool,

    /// A trace instead of rows.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Which service.
    #[command(flatten)]
    pub target: TargetArgs,

    /// Where the figures go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Flags of the service's process.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Folder of the journal
    #[arg(long)]
    pub data: Option<PathBuf>,

    /// Threads for the connections
    #[arg(long)]
    pub threads: Option<u8>,
}

/// How the load travels.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "How the load travels")]
pub struct WayArgs {
    /// Pods a message of the stream [default: 256]
    #[arg(long, value_name = "N", value_parser = batch, conflicts_with = "unary")]
    pub batch: Option<usize>,

    /// Pods on their way on the stream at most [default: 1024]
    #[arg(long, value_name = "N", conflicts_with = "unary")]
    pub window: Option<usize>,

    /// A call for each pod instead of a stream
    #[arg(long)]
    pub unary: bool,

    /// Calls on their way at most [default: 64]
    #[arg(long, value_name = "N", requires = "unary")]
    pub in_flight: Option<usize>,

    /// Uids in one Release call; with 1 each placement's release is a call of its own [default: 64]
    #[arg(long, value_name = "N", value_parser = batch, requires = "unary")]
    pub release_batch: Option<usize>,

    /// Send each pod's whole spec, or register templates [default: full]
    #[arg(long, value_name = "FORM")]
    pub spec: Option<SpecForm>,

    /// Send so many pods a second whatever the answers (open loop) [default: closed loop]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,

    /// Let the service keep a journal, in a folder that is removed afterwards
    #[arg(long)]
    pub durable: bool,

    /// Let the service keep its journal here, one folder a row
    #[arg(long, value_name = "DIR", conflicts_with = "connect")]
    pub data: Option<PathBuf>,
}

/// A trace instead of rows.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "A trace instead of rows")]
pub struct TraceArgs {
    /// Replay a trace: a folder with a list of nodes and lists of pods (*_node_list_*.csv, *_pod_list_*.csv)
    #[arg(long, value_name = "DIR", conflicts_with_all = ["rows", "in_process", "batch", "unary", "rate", "pods"])]
    pub trace: Option<PathBuf>,

    /// The list of pods [default: openb_pod_list_default.csv]
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub pods_file: Option<String>,

    /// So many times the trace's own speed [default: as fast as answers come, in the trace's order]
    #[arg(long, value_name = "N", requires = "trace", value_parser = speed)]
    pub speed: Option<f64>,

    /// Drop pods that no node takes at once, instead of letting them wait until the trace ends them
    #[arg(long, requires = "trace")]
    pub drop: bool,

    /// Keep so many of the trace's nodes, evenly chosen: a tighter cluster for the same pods
    #[arg(long, value_name = "N", requires = "trace")]
    pub trace_nodes: Option<usize>,
}

/// Which service.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which service")]
pub struct TargetArgs {
    /// Use the service at this address (http:// or https://) instead of starting one
    #[arg(long, value_name = "URL")]
    pub connect: Option<String>,

    /// Remove what the service holds before each row
    #[arg(long, requires = "connect")]
    pub replace: bool,

    /// Certificates of the authority that signed the service's (PEM)
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub tls_ca: Option<PathBuf>,

    /// This client's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The name in the service's certificate, if not that of the address
    #[arg(long, value_name = "NAME", requires = "connect")]
    pub tls_name: Option<String>,
}

/// Where the figures go.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where the figures go")]
pub struct OutputArgs {
    /// Write the figures here, for machines
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write a page with plots here
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl TargetArgs {
    /// How to secure the connection.
    pub fn tls(&self) -> Tls {
        Tls {
            authority: self.tls_ca.clone(),
            identity: self.tls_cert.clone().zip(self.tls_key.clone()),
            name: self.tls_name.clone(),
        }
    }
}

fn percent(text: &str) -> Result<usize, String> {
    let text = text.strip_suffix('%').unwrap_or(text);
    within(number(text)?, 5, 95)
}

fn batch(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, berth_proto::raw::request::ENTRIES_MAX)
}

fn seconds(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.0, 86_400.0)
}

fn speed(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.001, 1e9)
}

fn rate(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.1, 1e7)
}
