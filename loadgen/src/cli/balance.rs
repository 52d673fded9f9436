// SPDX-License-Identifier: Apache-2.0
//! Flags of `balance`.

use super::schedule::OutputArgs;
use super::values::{number, within};
use crate::balance::backend::process::Wanted;
use crate::balance::client::Upheaval;
use crate::balance::rows::Sizes;
use crate::balance::subject::Column;
use std::net::IpAddr;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Loads balancers with the same load, in turn, and prints what each does a second and what of the machine it takes
for it. Client and backends are built in: every request names its service and carries a nonce, and a wrong
service, a wrong byte, a broken connection or a request without an answer fails the run, and so does a column
that was not served by its own path, as seen from outside of the balancer. `--list-rows` shows the rows; a table
at the end says which of Berth's promises are met.

As root, client, balancer and backends stand in three network namespaces (berth-PID-client, -node, -backend),
which are removed again; else all are on the loopback device, and nft, whose rules would touch the host's own, is
left out. Peers are started with the configurations in loadgen/peers, HAProxy with all of 1 and 2 threads,
spliced or not; ratios are to the best of them for each figure. Nothing else should run meanwhile: CPU is that
of the whole machine.

Examples:
  berth-loadgen balance --against haproxy,nginx,nft,direct
        all rows, five repetitions each, medians
  berth-loadgen balance --against haproxy,direct --rows tcp-short,tcp-keepalive
        two rows against two others
  berth-loadgen balance --rows hold --hold 500,10,100,2,200
        held connections through reloads, changes and upgrades, in small
  berth-loadgen balance --against haproxy,nginx,nft,direct --quick
        all rows, a first look
  berth-loadgen balance --against direct --row latency --rate 20000 --duration 5
        20,000 requests a second whatever the answers; latency counts from when a request was due
  berth-loadgen balance --only haproxy,nginx --row tcp-idle --idle 1000,4000
        the peers alone
  berth-loadgen balance --against haproxy --row latency --html report.html --json report.json
        also a page with plots, and figures for machines

Peers on Debian: apt install haproxy nginx-light libnginx-mod-stream nftables";

/// Flags of `balance`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct BalanceArgs {
    /// Rows to run; may be given several times [default: all]
    #[arg(long = "rows", visible_alias = "row", value_name = "NAME,...", value_delimiter = ',')]
    pub rows: Vec<String>,

    /// List the rows and stop
    #[arg(long)]
    pub list_rows: bool,

    /// Measure these beside ours: haproxy, nginx, nft, direct (no balancer)
    #[arg(long, value_name = "PEER,...", value_delimiter = ',', value_parser = peer)]
    pub against: Vec<Column>,

    /// Measure these alone: any of proxy, fast, haproxy, nginx, nft, direct
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', value_parser = column, conflicts_with = "against")]
    pub only: Vec<Column>,

    /// The balancer to measure [default: berth, beside this program]
    #[arg(long, value_name = "FILE")]
    pub berth: Option<PathBuf>,

    /// Fail if a peer that is asked for is not installed, instead of leaving it out
    #[arg(long)]
    pub require_peers: bool,

    /// A first look: three short repetitions of small loads. Its ratios mean little
    #[arg(long, conflicts_with_all = ["repetitions", "duration", "warm_up", "idle", "held", "changes"])]
    pub quick: bool,

    /// How often each is measured (latencies three times as often, steered rows once); medians are printed
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = repetitions)]
    pub repetitions: usize,

    /// How long each repetition is measured
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = seconds)]
    pub duration: f64,

    /// How long each repetition runs before it is measured
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS", value_parser = warm_up)]
    pub warm_up: f64,

    /// Use the loopback device also as root
    #[arg(long)]
    pub loopback: bool,

    /// Sizes of the loads.
    #[command(flatten)]
    pub load: LoadArgs,

    /// Where the figures go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Sizes of the loads.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sizes of the loads")]
pub struct LoadArgs {
    /// Connections of the rows that ask again when they are answered
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = connections)]
    pub connections: usize,

    /// Requests a second of row latency
    #[arg(long, default_value_t = 8_000.0, value_name = "N", value_parser = rate)]
    pub rate: f64,

    /// Connections of row latency
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = connections)]
    pub open_connections: usize,

    /// Held connections of row tcp-idle, at the first and the second look at the memory
    #[arg(long, default_value = "1000,8000", value_name = "FEW,MANY", value_parser = idle)]
    pub idle: (usize, usize),

    /// Connections that are held in row change
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = connections)]
    pub held: usize,

    /// Changes in row change
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = repetitions)]
    pub changes: usize,

    /// Row hold: held connections, reloads, endpoint changes, replaced processes, new connections a second
    #[arg(long, default_value = "8000,100,1000,10,500", value_name = "N,N,N,N,RATE", value_parser = upheaval)]
    pub hold: Upheaval,

    /// Row drain: how often an endpoint leaves, and new connections a second
    #[arg(long, default_value = "1000,200", value_name = "N,RATE", value_parser = drain)]
    pub drain: (usize, f64),

    /// Row crowd: services, and changes of one endpoint
    #[arg(long, default_value = "10000,1000", value_name = "N,N", value_parser = crowd)]
    pub crowd: (u16, usize),
}

/// Flags of the backends' process.
#[derive(Debug, Clone, clap::Args)]
pub struct BackendsArgs {
    /// Where to listen
    pub address: IpAddr,
    /// The services: NUMBER:PROTOCOL:ENDPOINTS
    #[arg(value_parser = Wanted::read)]
    pub services: Vec<Wanted>,
}

/// Flags of the process that sweeps up.
#[derive(Debug, Clone, clap::Args)]
pub struct SweepArgs {
    /// Namespaces to remove
    pub namespaces: Vec<String>,
}

impl BalanceArgs {
    /// The sizes of the loads.
    pub fn sizes(&self) -> Sizes {
        let sizes = Sizes {
            connections: self.load.connections,
            rate: self.load.rate,
            open_connections: self.load.open_connections,
            idle: self.load.idle,
            changes: (self.load.held, self.load.changes),
            upheaval: self.load.hold,
            drain: self.load.drain,
            crowd: self.load.crowd,
        };
        if self.quick { sizes.quick() } else { sizes }
    }

    /// How often each is measured.
    pub fn repetitions(&self) -> usize {
        if self.quick { 3 } else { self.repetitions }
    }

    /// Seconds before it is measured, and while it is.
    pub fn times(&self) -> (f64, f64) {
        if self.quick { (0.2, 0.5) } else { (self.warm_up, self.duration) }
    }

    /// What is measured, in the order of the table.
    pub fn columns(&self) -> Vec<Column> {
        let ours = [Column::Proxy, Column::Fast];
        let wanted = |column: &Column| {
            if self.only.is_empty() {
                ours.contains(column) || self.against.contains(column)
            } else {
                self.only.contains(column)
            }
        };
        Column::ALL.into_iter().filter(wanted).collect()
    }
}

fn column(text: &str) -> Result<Column, String> {
    let names = Column::ALL.map(Column::name).join(", ");
    Column::named(text).ok_or_else(|| format!("there is {names}"))
}

fn peer(text: &str) -> Result<Column, String> {
    let names = Column::PEERS.map(Column::name).join(", ");
    let column = Column::named(text).filter(|column| Column::PEERS.contains(column));
    column.ok_or_else(|| format!("there is {names}"))
}

fn repetitions(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, 1_000)
}

fn seconds(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.05, 3_600.0)
}

fn warm_up(text: &str) -> Result<f64, String> {
    within(number(text)?, 0.0, 60.0)
}

/// Bounded by the client's source ports and descriptors.
fn connections(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, 50_000)
}

fn rate(text: &str) -> Result<f64, String> {
    within(number(text)?, 1.0, 1e6)
}

/// The numbers of a list with commas between them.
fn list<const N: usize>(text: &str, what: &str) -> Result<[usize; N], String> {
    let numbers: Result<Vec<usize>, String> = text.split(',').map(number).collect();
    numbers?.try_into().map_err(|_| format!("{N} numbers with commas between them: {what}"))
}

fn float(value: usize) -> f64 {
    crate::report::count(value as u64)
}

fn upheaval(text: &str) -> Result<Upheaval, String> {
    let [held, reloads, changes, upgrades, rate] =
        list(text, "connections, reloads, changes, upgrades, new connections a second")?;
    let held = within(held, 1, 50_000)?;
    let per_second = float(within(rate, 1, 10_000)?);
    Ok(Upheaval { held, reloads, changes, upgrades, per_second })
}

fn drain(text: &str) -> Result<(usize, f64), String> {
    let [removals, rate] = list(text, "removals, new connections a second")?;
    Ok((within(removals, 1, 1_000_000)?, float(within(rate, 1, 10_000)?)))
}

fn crowd(text: &str) -> Result<(u16, usize), String> {
    let [services, changes] = list(text, "services, changes")?;
    let services = u16::try_from(within(services, 1, 50_000)?).unwrap_or(u16::MAX);
    Ok((services, within(changes, 1, 1_000_000)?))
}

fn idle(text: &str) -> Result<(usize, usize), String> {
    let (few, many) = text.split_once(',').ok_or("two numbers with a comma between them")?;
    let (few, many) = (connections(few)?, connections(many)?);
    if few >= many {
        return Err("the second number must be larger".to_owned());
    }
    Ok((few, many))
}
