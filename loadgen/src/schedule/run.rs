// SPDX-License-Identifier: Apache-2.0
//! One row: a service, a cluster on it, a load, and what came of it.

use super::load::{Load, Tally};
use super::measure::Measure;
use super::phase::{Phase, Shape, Until};
use super::place::{Journal, Place};
use super::preempt::Preempting;
use super::rows::{BATCH, Mode, Scenario, SpecForm, WINDOW, Work};
use super::server::Usage;
use super::source::{Full, Source};
use super::target::{Client, connect};
use super::{session, stream, unary};
use crate::cli::schedule::TargetArgs;
use crate::error::Error;
use crate::report::row::{Latency, RowReport};
use crate::report::{count, table};
use berth_scheduler_workload::{Row, Workload};
use indicatif::ProgressBar;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is to be run.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The row.
    pub scenario: &'a Scenario,
    /// How the load travels.
    pub mode: Mode,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Percent of it that are filled first.
    pub fill: usize,
    /// Decides which pods come and go.
    pub seed: u64,
    /// How long it runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub until: Until,
    /// Which service.
    pub target: &'a TargetArgs,
    /// Where journals are kept.
    pub data: Option<&'a Path>,
}

/// Reasons of refusals that are printed.
const REASONS_SHOWN: usize = 3;

/// Runs a row.
pub async fn row(plan: &Plan<'_>, bar: &ProgressBar) -> Result<RowReport, Error> {
    let journal = match (plan.mode.durable, plan.data) {
        (false, _) => Journal::None,
        (true, None) => Journal::Temporary,
        (true, Some(data)) => Journal::In(data.join(&plan.scenario.name)),
    };
    let place = Place::new(plan.target, &journal)?;
    let mut client = Box::pin(connect(place.address(), &plan.target.tls())).await?;
    session::make_ready(&mut client, plan.target.replace, plan.mode.durable).await?;
    let mut load = Load::new(source(plan), plan.seed, run_number());
    session::register(&mut client, &load).await?;
    if plan.mode.spec == SpecForm::Template {
        Box::pin(session::register_templates(&mut client, &mut load)).await?;
    }
    let fill = fill(&mut client, &mut load, bar).await?;
    let (before, mut report) = (load.tally.clone(), begin(plan, &load, &fill));
    let measured = measure(&mut client, &mut load, plan, &place, bar).await?;
    session::compare(&mut client, &mut load).await?;
    finish(&mut report, &load, &before, &measured);
    match place.usage() {
        Some((service, _)) => report.resident_mib = Some(service.resident_mib),
        None => session::unregister(&mut client, &load).await?,
    }
    drop(client);
    place.leave().await?;
    Ok(report)
}

/// The one row whose pods are to be refused.
const UNSCHEDULABLE: Work = Work::Row(Row::Unschedulable);

fn source(plan: &Plan<'_>) -> Box<dyn Source> {
    match plan.scenario.work {
        Work::Row(row) => Box::new(Workload::new(row, plan.nodes, plan.fill)),
        Work::Preemption { budgets } => Box::new(Full::new(plan.nodes, budgets)),
    }
}

/// Tells this run's uids from those of an earlier one on the same service.
pub fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.subsec_nanos() ^ std::process::id()
}

/// Fills the cluster, in large messages whatever the row's own shape.
async fn fill(client: &mut Client, load: &mut Load, bar: &ProgressBar) -> Result<Measure, Error> {
    let pods = load.source().fill() as u64;
    let shape = Shape::Stream { batch: BATCH, window: WINDOW };
    let phase = Phase { shape, rate: None, paired: false, until: Until::Pods(pods) };
    stream::run(client, load, &phase, (BATCH, WINDOW), bar).await
}

/// What was measured, and what it took of the service's and of this process's CPU.
struct Measured {
    measure: Measure,
    tally: Tally,
    cpu_seconds: Option<(f64, f64)>,
}

async fn measure(
    client: &mut Client,
    load: &mut Load,
    plan: &Plan<'_>,
    place: &Place,
    bar: &ProgressBar,
) -> Result<Measured, Error> {
    let mut way = Way::new(plan, load);
    let Mode { shape, rate, .. } = plan.mode;
    let paired = plan.scenario.work != UNSCHEDULABLE;
    let mut phase = Phase { shape, rate, paired, until: Until::Time(plan.warm_up) };
    if let Way::Preempt(..) = way {
        // The first ones stay, so that there are some to choose from.
        let some = plan.nodes.div_ceil(10) as u64;
        let first = Phase { rate: None, paired: false, until: Until::Pods(some), ..phase };
        Box::pin(way.run(client, load, &first, bar)).await?;
    }
    Box::pin(way.run(client, load, &phase, bar)).await?;
    phase.until = plan.until;
    let (tally, before) = (load.tally.clone(), place.usage());
    let measure = Box::pin(way.run(client, load, &phase, bar)).await?;
    let cpu_seconds = before.zip(place.usage()).map(|(before, after)| {
        let spent = |before: Usage, after: Usage| after.cpu_seconds - before.cpu_seconds;
        (spent(before.0, after.0), spent(before.1, after.1))
    });
    way.end(load);
    Ok(Measured { measure, tally, cpu_seconds })
}

/// How the load travels, with what it remembers from phase to phase.
enum Way {
    Stream { batch: usize, window: usize },
    Unary { in_flight: usize, release_batch: usize },
    Preempt(Box<Preempting>, (usize, usize)),
}

impl Way {
    fn new(plan: &Plan<'_>, load: &mut Load) -> Self {
        match (plan.scenario.work, plan.mode.shape) {
            (Work::Row(_), Shape::Stream { batch, window }) => Self::Stream { batch, window },
            (Work::Row(_), Shape::Unary { in_flight, release_batch }) => {
                Self::Unary { in_flight, release_batch }
            }
            (Work::Preemption { .. }, shape) => {
                let (batch, window) = match shape {
                    Shape::Stream { batch, window } => (batch, window),
                    Shape::Unary { in_flight, .. } => (1, in_flight),
                };
                // Room is made on one node for one pod: on more than a tenth of them at a time, the choice would be another.
                let window = window.min(plan.nodes.div_ceil(10));
                Self::Preempt(Box::new(Preempting::new(load)), (batch.min(window), window))
            }
        }
    }

    async fn run(
        &mut self,
        client: &mut Client,
        load: &mut Load,
        phase: &Phase,
        bar: &ProgressBar,
    ) -> Result<Measure, Error> {
        match self {
            Self::Stream { batch, window } => {
                Box::pin(stream::run(client, load, phase, (*batch, *window), bar)).await
            }
            Self::Unary { in_flight, release_batch } => {
                let shape = (*in_flight, *release_batch);
                Box::pin(unary::run(client, load, phase, shape, bar)).await
            }
            Self::Preempt(preempting, shape) => {
                Box::pin(preempting.run(client, load, phase, *shape, bar)).await
            }
        }
    }

    /// Leaves all pods to the load.
    fn end(self, load: &mut Load) {
        if let Self::Preempt(mut preempting, _) = self {
            preempting.give_back(load);
        }
    }
}

/// What is known before the measurement.
fn begin(plan: &Plan<'_>, load: &Load, fill: &Measure) -> RowReport {
    RowReport {
        name: plan.scenario.name.clone(),
        about: plan.scenario.about.to_owned(),
        way: way(&plan.mode),
        nodes: plan.nodes,
        filled: load.tally.placed,
        fill_per_second: fill.per_second(load.tally.placed),
        refusals_wanted: plan.scenario.work == UNSCHEDULABLE,
        ..RowReport::default()
    }
}

fn way(mode: &Mode) -> String {
    let mut text = match mode.shape {
        Shape::Stream { batch, window } => {
            format!("stream, {batch} a message, {window} on their way")
        }
        Shape::Unary { in_flight, .. } if mode.rate.is_none() => {
            format!("unary, {in_flight} at a time")
        }
        Shape::Unary { .. } => "unary".to_owned(),
    };
    text.push_str(match mode.spec {
        SpecForm::Full => ", whole specs",
        SpecForm::Template => ", templates",
    });
    if let Some(rate) = mode.rate {
        let _ = write!(text, ", {} a second", table::whole(rate));
    }
    if mode.durable {
        text.push_str(", with a journal");
    }
    text
}

/// Writes down what came of the row.
fn finish(report: &mut RowReport, load: &Load, fill: &Tally, measured: &Measured) {
    let Measured { measure, tally: before, cpu_seconds } = measured;
    let after = &load.tally;
    report.seconds = measure.elapsed().as_secs_f64();
    report.answers = measure.count();
    report.placed = after.placed - before.placed;
    // A pod that was refused while the cluster was filled leaves it emptier than promised.
    report.refused = after.refused;
    report.not_accepted = after.not_accepted;
    report.violations = load.books.violations().total();
    report.latency = Latency::of(measure);
    report.curve = measure.curve();
    report.timeline = measure.timeline();
    report.spec_bytes = load.spec_bytes();
    let answers = count(measure.count().max(1));
    let each = |seconds: f64| seconds * 1e6 / answers;
    report.cpu_us = cpu_seconds.map(|(service, client)| (each(service), each(client)));
    if report.refusals_wanted {
        // Only those while it was filled were not wanted.
        report.refused -= fill.refused;
        if fill.refused > 0 {
            report.violations += fill.refused;
            report.notes.push(format!("{} pods were refused while it was filled", fill.refused));
        }
    }
    tell(report, load);
}

/// Says what went wrong, for people.
fn tell(report: &mut RowReport, load: &Load) {
    let mut reasons: Vec<(&String, &u64)> = load.tally.reasons.iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    for (reason, times) in reasons.iter().take(REASONS_SHOWN) {
        report.notes.push(format!("refused {} times: {reason}", table::thousands(**times)));
    }
    report.notes.extend(load.books.violations().notes());
}
