// SPDX-License-Identifier: Apache-2.0
//! `recovery`: what a service with a large state takes of memory and disk, and how soon it is back after it was killed.
//!
//! Time counts from before the process is started until it has answered a call. Disk is what the files of the journal take, as
//! the file system says, read while the load runs.

pub mod disk;
pub mod report;

use crate::cli::recovery::RecoveryArgs;
use crate::error::Error;
use crate::report::json;
use crate::schedule::encode;
use crate::schedule::load::Load;
use crate::schedule::names::{NAMESPACE, Uid};
use crate::schedule::phase::{Phase, Shape, Until};
use crate::schedule::rows::{BATCH, WINDOW};
use crate::schedule::run::run_number;
use crate::schedule::server::Server;
use crate::schedule::source::{Crowded, Source};
use crate::schedule::target::{Client, Tls, connect};
use crate::schedule::{runtime, session, stream};
use crate::{Verdict, progress};
use berth_proto::raw::ScheduleRequest;
use berth_proto::v1;
use berth_scheduler_workload::specs::{labels, plain};
use berth_scheduler_workload::{Row, Workload};
use disk::Gauge;
use indicatif::ProgressBar;
use prost::Message;
use report::{Report, Restart};
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// Pods in one call that is about waiting ones, and classes of them.
const CHUNK: u64 = 1_000;
const WAITING_CLASSES: u64 = 100;
/// How long they wait: longer than any run.
const PATIENCE_MS: i64 = 24 * 3_600 * 1_000;

/// Fills, kills, starts again, compares.
pub fn run(args: &RecoveryArgs, command: &str, out: &mut dyn Write) -> Result<Verdict, Error> {
    let folder = TempDir::new().map_err(Error::Folder)?;
    let data = args.data.as_deref().unwrap_or(folder.path());
    let bar = progress::bar(1_000, "");
    let report = runtime(1)?.block_on(Box::pin(measure(args, data, &bar)))?;
    bar.finish_and_clear();
    write!(out, "{}", report::text(&report)).map_err(Error::Output)?;
    if let Some(path) = &args.json {
        json::write(path, command, &report::figures(&report))?;
    }
    Ok(Verdict::failed_if(!report.violations.is_empty()))
}

async fn measure(args: &RecoveryArgs, data: &Path, bar: &ProgressBar) -> Result<Report, Error> {
    let mut server = Server::start(Some(data))?;
    let mut client = Box::pin(connect(server.address(), &Tls::default())).await?;
    session::make_ready(&mut client, false, true).await?;
    let gauge = Gauge::start(data);
    let mut load = Load::new(source(args), 1, run_number());
    let mut report = Report { nodes: args.nodes, ..Report::default() };
    let began = Instant::now();
    bar.set_message("fill");
    session::register(&mut client, &load).await?;
    if !args.told {
        drive(&mut client, &mut load, args.pods, false, bar).await?;
    }
    wait_for_room(&mut client, args.waiting).await?;
    report.fill = began.elapsed();
    bar.set_message("place and release");
    drive(&mut client, &mut load, args.churn, true, bar).await?;
    report.before = stats(&mut client).await?;
    report.usage = server.usage().unwrap_or_default();
    report.disk = gauge.stop();
    for _ in 0..args.restarts {
        bar.set_message("killed; back");
        // Killed, not stopped: nothing is written at the end.
        drop((client, server));
        let began = Instant::now();
        server = Server::start(Some(data))?;
        client = Box::pin(connect(server.address(), &Tls::default())).await?;
        let after = stats(&mut client).await?;
        let took = began.elapsed();
        let usage = server.usage().unwrap_or_default();
        check(&report.before, &after, &mut report.violations);
        report.restarts.push(Restart { took, usage });
    }
    bar.set_message("compare");
    give_up(&mut client, args.waiting).await?;
    session::compare(&mut client, &mut load).await?;
    report.violations.extend(load.books.violations().notes());
    if load.tally.refused > 0 {
        report.violations.push(format!("{} pods were refused", load.tally.refused));
    }
    drop(client);
    server.stop().await?;
    Ok(report)
}

fn source(args: &RecoveryArgs) -> Box<dyn Source> {
    let row = if args.classes > 1 { Row::Classes(args.classes) } else { Row::Basic };
    let workload = Workload::new(row, args.nodes, 0);
    if args.told { Box::new(Crowded::new(workload, args.pods)) } else { Box::new(workload) }
}

/// Places so many pods.
async fn drive(
    client: &mut Client,
    load: &mut Load,
    pods: u64,
    paired: bool,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let shape = Shape::Stream { batch: BATCH, window: WINDOW };
    let phase = Phase { shape, rate: None, paired, until: Until::Pods(pods) };
    Box::pin(stream::run(client, load, &phase, (BATCH, WINDOW), bar)).await.map(drop)
}

/// Sends pods that find no room, to wait for it.
async fn wait_for_room(client: &mut Client, pods: u64) -> Result<(), Error> {
    for from in (0..pods).step_by(usize::try_from(CHUNK).unwrap_or(1)) {
        let pods = (from..pods.min(from + CHUNK)).map(waiting).collect();
        let mode = Some(v1::schedule_options::Mode::QueueForMs(PATIENCE_MS));
        let options = Some(v1::ScheduleOptions { mode, ..v1::ScheduleOptions::default() });
        let request = v1::ScheduleRequest { options, pods }.encode_to_vec();
        let answer = client.schedule(ScheduleRequest(request.into())).await;
        let answer = answer.map_err(Error::call("Schedule"))?.into_inner();
        let answer = v1::ScheduleResponse::decode(answer.0);
        let results = answer.map(|answer| answer.results).unwrap_or_default();
        let queued = |result: &&v1::PodResult| {
            matches!(result.outcome, Some(v1::pod_result::Outcome::Queued(_)))
        };
        if let Some(other) = results.iter().find(|result| !queued(result)) {
            return Err(Error::Setup(format!("a pod without room was answered by {other:?}")));
        }
    }
    Ok(())
}

/// Cancels the pods that wait, so that what is left is what the books hold.
async fn give_up(client: &mut Client, pods: u64) -> Result<(), Error> {
    for from in (0..pods).step_by(usize::try_from(CHUNK).unwrap_or(1)) {
        let uids = (from..pods.min(from + CHUNK)).map(waiting_uid).collect();
        let answer = client.cancel(v1::CancelRequest { uids }).await;
        let unknown = answer.map_err(Error::call("Cancel"))?.into_inner().unknown;
        if let Some(uid) = unknown.first() {
            return Err(Error::Setup(format!("pod {uid} waited, and is not known")));
        }
    }
    Ok(())
}

fn waiting_uid(serial: u64) -> String {
    Uid::new(u32::MAX, serial).as_str().to_owned()
}

/// A pod that waits for a node of a pool that is not there.
fn waiting(serial: u64) -> v1::PodRequest {
    let class = serial % WAITING_CLASSES;
    let pool = format!("pool-{class}");
    let spec = berth_scheduler_model::pod::PodSpec {
        node_selector: labels(&[("pool", &pool)]),
        ..plain(&[("app", "waits")])
    };
    v1::PodRequest {
        uid: waiting_uid(serial),
        namespace: NAMESPACE.to_owned(),
        name: format!("waiting-{serial}"),
        what: Some(v1::pod_request::What::Spec(encode::spec(&spec))),
    }
}

async fn stats(client: &mut Client) -> Result<v1::StatsResponse, Error> {
    let stats = client.stats(v1::StatsRequest {}).await.map_err(Error::call("Stats"))?;
    Ok(stats.into_inner())
}

/// The same nodes, pods and revision.
fn check(before: &v1::StatsResponse, after: &v1::StatsResponse, violations: &mut Vec<String>) {
    let queued = |stats: &v1::StatsResponse| {
        stats.queued_active + stats.queued_backoff + stats.queued_unschedulable
    };
    let what = |stats: &v1::StatsResponse| {
        let v1::StatsResponse { revision, nodes, pods, .. } = *stats;
        (revision, nodes, pods, queued(stats))
    };
    let (before, after) = (what(before), what(after));
    if before != after {
        violations.push(format!(
            "revision, nodes, pods, waiting: {before:?} before the kill, {after:?} after it"
        ));
    }
}
