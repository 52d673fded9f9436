// SPDX-License-Identifier: Apache-2.0
//! `api`: storms an apiserver as a raw client does, and measures it beside what its figures are held against.
//!
//! [`wire`] is a connection, [`storm`] many clients, [`subject`] the server under test with its namespace and user, [`peer`] what
//! it is held against, [`work`] what the rows do, [`found`] what came of them.

pub mod found;
pub mod kubeconfig;
pub mod objects;
pub mod peer;
pub mod process;
pub mod rows;
pub mod storm;
pub mod subject;
pub mod wire;
pub mod work;

use crate::balance::backend::process::raise_descriptor_limit;
use crate::balance::usage;
use crate::cli::api::ApiArgs;
use crate::error::Error;
use crate::report::api::{self as report, Outcome};
use crate::report::{html, json};
use crate::schedule::runtime;
use crate::{Verdict, progress};
use found::Found;
use rows::{Row, Sizes};
use std::io::Write;
use std::time::Duration;
use subject::Subject;

/// Runs the rows and prints them.
pub fn run(args: &ApiArgs, command: &str, out: &mut dyn Write) -> Result<Verdict, Error> {
    if args.list_rows {
        let list =
            rows::ALL.iter().try_for_each(|row| writeln!(out, "{:16} {}", row.name, row.about));
        return list.map(|()| Verdict::Passed).map_err(Error::Output);
    }
    let chosen = chosen(args)?;
    if args.server.connect.is_none() {
        subject::program(args.server.server.as_deref())?;
    }
    // The server inherits it: thousands of watchers need as many descriptors.
    raise_descriptor_limit();
    let runtime = runtime(args.threads)?;
    let bar = progress::bar(chosen.len() as u64, "");
    let bench = Bench::new(args);
    write!(out, "{}", report::head()).map_err(Error::Output)?;
    let mut outcomes = Vec::new();
    for row in chosen {
        bar.set_message(row.name);
        progress::tell(&bar, row.name);
        let outcome = runtime.block_on(bench.row(row))?;
        bar.suspend(|| write!(out, "{}", report::text(&outcome)).and_then(|()| out.flush()))
            .map_err(Error::Output)?;
        outcomes.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.output.json {
        json::write(path, command, &report::figures(&outcomes))?;
    }
    if let Some(path) = &args.output.html {
        html::write(path, &html::api_page("An apiserver under load", command, &outcomes))?;
    }
    Ok(Verdict::failed_if(outcomes.iter().any(|outcome| outcome.broken.is_some())))
}

fn chosen(args: &ApiArgs) -> Result<Vec<Row>, Error> {
    if args.rows.is_empty() {
        return Ok(rows::ALL.to_vec());
    }
    let find =
        |name: &String| rows::by_name(name).ok_or_else(|| Error::UnknownRow { name: name.clone() });
    args.rows.iter().map(find).collect()
}

/// What all rows share.
#[derive(Debug)]
pub struct Bench<'a> {
    args: &'a ApiArgs,
    /// Sizes of loads.
    pub sizes: Sizes,
    /// How often each is measured.
    pub rounds: usize,
}

impl<'a> Bench<'a> {
    /// As the flags say.
    pub fn new(args: &'a ApiArgs) -> Self {
        let (sizes, rounds) = if args.quick {
            (Sizes::quick(), 1)
        } else {
            (Sizes::whole(Duration::from_secs_f64(args.duration)), args.rounds)
        };
        Self { args, sizes, rounds }
    }

    /// Runs a row. One that breaks off fails, and the others run all the same; but what is wrong with the run itself ends it.
    async fn row(&self, row: Row) -> Result<Outcome, Error> {
        let mut outcome =
            Outcome { name: row.name, about: row.about, found: Found::default(), broken: None };
        if row.starts && self.args.server.connect.is_some() {
            outcome.found.note("left out: it has to start the server");
            return Ok(outcome);
        }
        let began = Others::now();
        match work::run(self, row.work).await {
            Ok(found) => {
                outcome.found = found;
                if self.args.server.connect.is_none()
                    && let Some(percent) = began.percent()
                    && percent > Others::TOLERATED
                {
                    let note = "other programs took {} % of the machine meanwhile: what is told is not to be trusted";
                    outcome.found.note(note.replace("{}", &format!("{percent:.0}")));
                }
            }
            Err(error) if error.is_about_the_run() => return Err(error),
            Err(error) => outcome.broken = Some(crate::chain(&error)),
        }
        Ok(outcome)
    }

    /// A server with an empty store.
    pub async fn begin(&self, found: &mut Found) -> Result<Subject, Error> {
        let subject = Subject::begin(&self.args.server).await?;
        if subject.own.is_some() && peer::disk::is_in_memory(&subject.disk()) {
            found.note(
                "the store lies in memory, where fsync costs nothing: give --data DIR on a disk",
            );
        }
        Ok(subject)
    }

    /// Who is measured when in a round: ours (true) first in one round, the other first in the next.
    pub fn turns(&self, round: usize) -> [bool; 2] {
        if round.is_multiple_of(2) { [true, false] } else { [false, true] }
    }

    /// Something to be held against is not installed.
    pub fn missing(
        &self,
        found: &mut Found,
        name: &'static str,
        package: &'static str,
    ) -> Result<(), Error> {
        if self.args.require_peers {
            return Err(Error::NoPeer { name, package });
        }
        found.note(format!("{name} is left out: it is not installed (Debian: {package})"));
        Ok(())
    }
}

/// How busy the machine is with what is not ours.
struct Others {
    at: std::time::Instant,
    busy: Option<f64>,
    ours: Option<f64>,
}

impl Others {
    /// Percent of the machine that others may take, interrupts that are nobody's included.
    const TOLERATED: f64 = 15.0;

    fn now() -> Self {
        let (busy, ours) = (usage::busy_seconds(), usage::own_and_ended_seconds());
        Self { at: std::time::Instant::now(), busy, ours }
    }

    /// Since then; our children have to be gone.
    fn percent(&self) -> Option<f64> {
        let now = Self::now();
        let theirs = (now.busy? - self.busy?) - (now.ours? - self.ours?);
        let processors = std::thread::available_parallelism().ok()?.get() as u64;
        let whole = self.at.elapsed().as_secs_f64() * crate::report::count(processors);
        Some(100.0 * theirs / whole)
    }
}
