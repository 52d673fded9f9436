// SPDX-License-Identifier: Apache-2.0
//! `cluster`: whole clusters under load, of nodes that are simulated or only exist in the API.
//!
//! [`subject`] is the cluster as a process, [`objects`] what is made, [`creators`] who makes it, [`watcher`] the load generator's
//! own watch, [`books`] and [`rooms`] what is checked, [`work`] what the rows do.

pub mod books;
pub mod creators;
pub mod objects;
pub mod rooms;
pub mod rows;
pub mod subject;
pub mod watcher;
pub mod work;

use crate::api::found::Found;
use crate::api::peer::disk;
use crate::api::process::Home;
use crate::api::subject::program;
use crate::balance::backend::process::raise_descriptor_limit;
use crate::cli::cluster::ClusterArgs;
use crate::error::Error;
use crate::report::api::{self as report, Outcome};
use crate::report::{count, html, json};
use crate::schedule::runtime;
use crate::{Verdict, progress};
use creators::Pace;
use indicatif::ProgressBar;
use rows::{Row, Work};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use subject::Cluster;

/// Nodes and pods of a first look.
const QUICK: (u64, u64) = (20, 100);
/// How long a row lasts that has a rate.
const PACED_SECONDS: u64 = 10;
/// By how much waits are shorter in a first look.
const SHORTER: u32 = 10;

/// Runs the rows and prints them.
pub fn run(args: &ClusterArgs, command: &str, out: &mut dyn Write) -> Result<Verdict, Error> {
    if args.list_rows {
        let list = rows::ALL.iter().try_for_each(|row| {
            let long = if row.long { " (takes minutes: only if asked for)" } else { "" };
            writeln!(out, "{:16} {}{long}", row.name, row.about)
        });
        return list.map(|()| Verdict::Passed).map_err(Error::Output);
    }
    let chosen = chosen(args)?;
    let bench = Bench::new(args)?;
    raise_descriptor_limit();
    let runtime = runtime(args.threads)?;
    write!(out, "{}", report::head_alone()).map_err(Error::Output)?;
    let mut outcomes = Vec::new();
    for (at, row) in chosen.iter().enumerate() {
        if bench.bar.is_hidden() {
            eprintln!("[{}/{}] {}", at + 1, chosen.len(), row.name);
        }
        let outcome = runtime.block_on(bench.row(row))?;
        let print = || write!(out, "{}", report::text_alone(&outcome)).and_then(|()| out.flush());
        bench.bar.suspend(print).map_err(Error::Output)?;
        outcomes.push(outcome);
    }
    bench.bar.finish_and_clear();
    if let Some(path) = &args.output.json {
        json::write(path, command, &report::figures(&outcomes))?;
    }
    if let Some(path) = &args.output.html {
        html::write(path, &html::api_page("Clusters under load", command, &outcomes))?;
    }
    Ok(Verdict::failed_if(outcomes.iter().any(|outcome| outcome.broken.is_some())))
}

fn chosen(args: &ClusterArgs) -> Result<Vec<Row>, Error> {
    if args.rows.is_empty() {
        return Ok(rows::ALL.into_iter().filter(|row| !row.long).collect());
    }
    let find =
        |name: &String| rows::by_name(name).ok_or_else(|| Error::UnknownRow { name: name.clone() });
    args.rows.iter().map(find).collect()
}

/// What all rows share.
#[derive(Debug)]
pub struct Bench<'a> {
    args: &'a ClusterArgs,
    program: PathBuf,
    /// How far the step is that is under way.
    pub bar: ProgressBar,
}

impl<'a> Bench<'a> {
    /// As the flags say.
    pub fn new(args: &'a ClusterArgs) -> Result<Self, Error> {
        let program = program(args.server.server.as_deref())?;
        Ok(Self { args, program, bar: progress::bar(0, "") })
    }

    async fn row(&self, row: &Row) -> Result<Outcome, Error> {
        let mut outcome =
            Outcome { name: row.name, about: row.about, found: Found::default(), broken: None };
        self.bar.set_prefix(row.name);
        match work::run(self, row, &mut outcome.found).await {
            Ok(()) => {}
            Err(error) if error.is_about_the_run() => return Err(error),
            Err(error) => outcome.broken = Some(crate::chain(&error)),
        }
        let folder = self.args.server.data.clone().unwrap_or_else(std::env::temp_dir);
        if disk::is_in_memory(&folder) {
            outcome.found.note(
                "the store lies in memory, where fsync costs nothing: give --data DIR on a disk",
            );
        }
        Ok(outcome)
    }

    /// A folder for a cluster.
    pub fn home(&self) -> Result<Home, Error> {
        Home::new(&self.program, self.args.server.data.as_deref())
    }

    /// A cluster with an empty store.
    pub async fn start(&self, simulate: u64, controllers: &str) -> Result<Cluster, Error> {
        self.step("start", 0);
        Cluster::start(self.home()?, simulate, controllers).await
    }

    /// The next step, of so many parts.
    pub fn step(&self, what: &str, parts: u64) {
        self.bar.set_length(parts);
        self.bar.set_position(0);
        self.bar.set_message(format!("{}: {what}", self.bar.prefix()));
    }

    /// Nodes of a row.
    pub fn nodes(&self, row: &Row) -> u64 {
        let whole = u64::from(row.nodes);
        self.args.nodes.unwrap_or(if self.args.quick { QUICK.0 } else { whole })
    }

    /// Pods of a row.
    pub fn pods(&self, row: &Row) -> u64 {
        let whole = match (row.work, self.args.rate) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded by the flag"
            )]
            (Work::Paced, Some(rate)) => rate.ceil() as u64 * PACED_SECONDS,
            _ => row.pods,
        };
        self.args.pods.unwrap_or(if self.args.quick { QUICK.1 } else { whole })
    }

    /// Pods a second of a row that has a rate.
    pub fn rate(&self, row: &Row) -> f64 {
        let whole = match row.work {
            Work::Paced => count(row.pods / PACED_SECONDS),
            _ => count(row.pods),
        };
        self.args.rate.unwrap_or(if self.args.quick { count(QUICK.1) } else { whole })
    }

    /// So many objects, as fast as answers come.
    pub fn pace(&self, count: u64, epoch: Instant) -> Pace {
        Pace { clients: self.args.clients, first: 0, count, rate: None, epoch }
    }

    /// A time, or less of it in a first look.
    pub fn short(&self, time: Duration) -> Duration {
        if self.args.quick { time / SHORTER } else { time }
    }
}
