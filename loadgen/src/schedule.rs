// SPDX-License-Identifier: Apache-2.0
//! `schedule`: loads a scheduling service over gRPC and checks every answer.
//!
//! A row goes through [`session`] (the cluster is registered), then phases of [`stream`] or [`unary`] load (fill, warm up,
//! measure), then the comparison of the service's lists with the books. [`load`] knows what the pods are, whichever way they
//! travel; [`measure`] keeps latencies.

pub mod alone;
pub mod encode;
pub mod ledger;
pub mod load;
pub mod measure;
pub mod names;
pub mod pacer;
pub mod phase;
pub mod place;
pub mod preempt;
pub mod rows;
pub mod run;
pub mod serve;
pub mod server;
pub mod session;
pub mod source;
pub mod stream;
pub mod target;
pub mod unary;

use crate::cli::schedule::ScheduleArgs;
use crate::error::Error;
use crate::report::row::RowReport;
use crate::report::{html, json, table};
use crate::{Verdict, progress};
use rows::{Mode, Scenario, SpecForm, Work};
use run::Plan;
use std::io::Write;
use std::time::Duration;

/// Runs the rows and prints them.
pub fn run(args: &ScheduleArgs, command: &str, out: &mut dyn Write) -> Result<Verdict, Error> {
    if args.list_rows {
        return list(out).map(|()| Verdict::Passed).map_err(Error::Output);
    }
    if let Some(folder) = &args.trace.trace {
        return crate::trace::run(args, folder, command, out);
    }
    let scenarios = chosen(args)?;
    let runtime = runtime(args.threads)?;
    write!(out, "{}", table::head()).map_err(Error::Output)?;
    let bar = progress::bar(1_000, "");
    let mut reports = Vec::new();
    for (scenario, mode) in &scenarios {
        let plan = plan(args, scenario, *mode);
        bar.set_message(scenario.name.clone());
        let report = runtime.block_on(run::row(&plan, &bar));
        let mut report = report.or_else(|error| broken_off(scenario, error))?;
        if args.in_process {
            // After the service has ended, so that both have the machine to themselves.
            report.in_process_per_second = Some(alone::decisions_per_second(&plan));
        }
        bar.suspend(|| write!(out, "{}", table::line(&report)).and_then(|()| out.flush()))
            .map_err(Error::Output)?;
        reports.push(report);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.output.json {
        let figures: Vec<_> = reports.iter().flat_map(RowReport::figures).collect();
        json::write(path, command, &figures)?;
    }
    if let Some(path) = &args.output.html {
        html::write(path, &html::rows_page(command, &reports))?;
    }
    Ok(Verdict::failed_if(!reports.iter().all(RowReport::passed)))
}

fn list(out: &mut dyn Write) -> std::io::Result<()> {
    for row in rows::all() {
        writeln!(out, "{:42} {}", row.name, row.about)?;
    }
    Ok(())
}

/// A row that broke off fails, and the others run all the same; but what is wrong with the run itself ends it.
fn broken_off(scenario: &Scenario, error: Error) -> Result<RowReport, Error> {
    if error.is_about_the_run() {
        return Err(error);
    }
    Ok(RowReport {
        name: scenario.name.clone(),
        about: scenario.about.to_owned(),
        notes: vec![crate::chain(&error)],
        broken_off: true,
        ..RowReport::default()
    })
}

/// The runtime that drives the load.
pub fn runtime(threads: u8) -> Result<tokio::runtime::Runtime, Error> {
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.worker_threads(usize::from(threads)).enable_all().build().map_err(Error::Runtime)
}

/// The rows that were asked for, each with its way.
fn chosen(args: &ScheduleArgs) -> Result<Vec<(Scenario, Mode)>, Error> {
    let scenarios: Result<Vec<Scenario>, Error> = if args.rows.is_empty() {
        // Whether a service that runs already keeps a journal is not up to us.
        let ours = args.target.connect.is_none();
        let durable = |row: &Scenario| row.fixed.is_some_and(|mode| mode.durable);
        Ok(rows::all().into_iter().filter(|row| ours || !durable(row)).collect())
    } else {
        let find = |name: &String| {
            rows::by_name(name).ok_or_else(|| Error::UnknownRow { name: name.clone() })
        };
        args.rows.iter().map(find).collect()
    };
    scenarios?.into_iter().map(|row| mode(args, &row).map(|mode| (row, mode))).collect()
}

/// How a row's load travels: as the row says if it says so, else as the flags say.
fn mode(args: &ScheduleArgs, scenario: &Scenario) -> Result<Mode, Error> {
    let way = &args.way;
    let flags = [
        ("--batch", way.batch.is_some()),
        ("--window", way.window.is_some()),
        ("--unary", way.unary),
        ("--spec", way.spec.is_some()),
        ("--rate", way.rate.is_some()),
    ];
    if let Some(fixed) = scenario.fixed {
        let named = args.rows.contains(&scenario.name);
        return match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) if named => Err(Error::FixedRow {
                row: scenario.name.clone(),
                flag,
                workload: scenario.work.name(),
            }),
            _ => Ok(fixed),
        };
    }
    if way.unary && matches!(scenario.work, Work::Preemption { .. }) {
        return Err(Error::StreamRow { row: scenario.name.clone() });
    }
    let shape = if way.unary {
        phase::Shape::Unary {
            in_flight: way.in_flight.unwrap_or(rows::IN_FLIGHT).max(1),
            release_batch: way.release_batch.unwrap_or(rows::RELEASE_BATCH),
        }
    } else {
        phase::Shape::Stream {
            batch: way.batch.unwrap_or(rows::BATCH),
            window: way.window.unwrap_or(rows::WINDOW),
        }
    };
    let durable = way.durable || way.data.is_some();
    Ok(Mode { shape, rate: way.rate, spec: way.spec.unwrap_or(SpecForm::Full), durable })
}

fn plan<'a>(args: &'a ScheduleArgs, scenario: &'a Scenario, mode: Mode) -> Plan<'a> {
    let until = match args.pods {
        Some(pods) => phase::Until::Pods(pods),
        None => phase::Until::Time(Duration::from_secs_f64(args.duration)),
    };
    Plan {
        scenario,
        mode: Mode { shape: mode.shape.on(args.nodes), ..mode },
        nodes: args.nodes,
        fill: args.fill,
        seed: args.seed,
        warm_up: Duration::from_secs_f64(args.warm_up),
        until,
        target: &args.target,
        data: args.way.data.as_deref(),
    }
}
