// SPDX-License-Identifier: Apache-2.0
//! `schedule --trace DIR`: replays what a production cluster was asked for, by its own times.
//!
//! [`read`] reads the folder, [`events`] lays out what happens when, [`replay`] sends it and keeps the books, [`usage`] says how
//! full the cluster was.

pub mod events;
pub mod read;
pub mod replay;
pub mod usage;

use crate::cli::schedule::ScheduleArgs;
use crate::error::Error;
use crate::report::{html, json, trace as report};
use crate::schedule::place::{Journal, Place};
use crate::schedule::run::run_number;
use crate::schedule::{session, target};
use crate::{Verdict, progress};
use std::io::Write;
use std::path::Path;

/// Replays a folder and prints what came of it.
pub fn run(
    args: &ScheduleArgs,
    folder: &Path,
    command: &str,
    out: &mut dyn Write,
) -> Result<Verdict, Error> {
    let flags = &args.trace;
    let mut trace = read::folder(folder, flags.pods_file.as_deref())?;
    if let Some(nodes) = flags.trace_nodes {
        trace.keep_nodes(nodes);
    }
    let runtime = crate::schedule::runtime(args.threads)?;
    let report = runtime.block_on(replayed(args, &trace))?;
    write!(out, "{}", report::text(&report)).map_err(Error::Output)?;
    if let Some(path) = &args.output.json {
        json::write(path, command, &report.figures())?;
    }
    if let Some(path) = &args.output.html {
        html::write(path, &html::trace_page(command, &report))?;
    }
    Ok(Verdict::failed_if(report.violations > 0))
}

async fn replayed(args: &ScheduleArgs, trace: &read::Trace) -> Result<report::TraceReport, Error> {
    let bar = progress::bar(1_000, &trace.name);
    let journal = match (args.way.durable, &args.way.data) {
        (false, None) => Journal::None,
        (true, None) => Journal::Temporary,
        (_, Some(data)) => Journal::In(data.join(&trace.name)),
    };
    let place = Place::new(&args.target, &journal)?;
    let mut client = Box::pin(target::connect(place.address(), &args.target.tls())).await?;
    session::make_ready(&mut client, args.target.replace, args.way.durable).await?;
    session::register_nodes(&mut client, &trace.nodes).await?;
    let mut replay = replay::Replay::new(trace, &args.trace, run_number());
    Box::pin(replay.run(&mut client, &bar)).await?;
    Box::pin(replay.compare(&mut client)).await?;
    bar.finish_and_clear();
    let mut report = replay.report();
    match place.usage() {
        Some((service, _)) => report.resident_mib = Some(service.resident_mib),
        None => session::clear(&mut client).await?,
    }
    drop(client);
    place.leave().await?;
    Ok(report)
}
