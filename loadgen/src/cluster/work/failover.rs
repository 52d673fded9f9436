// SPDX-License-Identifier: Apache-2.0
//! Two schedulers, one of which leads: it is killed under load, again and again, and no pod may be bound twice or lost.

use super::{check, furnish, make_nodes, open, tell};
use crate::api::found::Found;
use crate::api::process::{Home, Process};
use crate::api::storm::Latencies;
use crate::cluster::Bench;
use crate::cluster::creators::{Made, create};
use crate::cluster::objects::pod_key;
use crate::cluster::rows::{Constraint, Row};
use crate::cluster::subject::ready;
use crate::cluster::watcher::Watcher;
use crate::error::Error;
use crate::report::count;
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What comes before the URL of a scheduler's metrics.
const METRICS: &str = "metrics ";
/// How its metrics say that it leads.
const LEADS: &str = "leader_election_master_status{";
/// How long it may take until one leads: a Lease is left alone for 15 s after its holder was last heard of.
const ELECTION: Duration = Duration::from_mins(1);
/// How long the load goes on between a recovery and the next kill.
const CALM: Duration = Duration::from_secs(3);

/// A scheduler that runs.
struct Scheduler {
    process: Process,
    metrics: String,
}

/// The schedulers, and what it takes to start more.
struct Schedulers<'a> {
    home: &'a Home,
    flags: Vec<String>,
    running: Vec<Scheduler>,
    started: usize,
}

/// Row `failover`.
pub async fn run(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    let nodes = bench.nodes(row);
    let home = bench.home()?;
    let apiserver = home.start().await?;
    let door = ready(&home, &home.admin()?).await?;
    make_nodes(bench, &door, nodes).await?;
    let mut wire = open(&door).await?;
    let shape = furnish(&mut wire, nodes, true).await?;
    let mut schedulers = Schedulers::start(bench, &home).await?;
    let watcher = Watcher::open(&door).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut pace = bench.pace(u64::MAX, watcher.began);
    pace.rate = Some(bench.rate(row));
    let (flag, from) = (Arc::clone(&stop), door.clone());
    let load = tokio::spawn(async move {
        create(&from, pace, Some(flag), move |number| shape.pod(number)).await
    });
    bench.step("kills", bench.args.kills);
    let kills = schedulers.kill_often(bench, &watcher).await;
    stop.store(true, Ordering::Relaxed);
    let made = load.await.map_err(|error| Error::Api(format!("the load ended: {error}")))??;
    let kills = kills?;
    let bound = made.times.len() as u64;
    bench.step("pods", bound);
    watcher.reaches("bound", bound, &bench.bar, |books| books.bound).await?;

    let (pending, all) = waits(&made, &watcher, &kills);
    tell(
        found,
        &[
            ("kills", count(kills.len() as u64), "1"),
            ("pods", count(bound), "1"),
            ("pending_at_kills", count(pending.count()), "1"),
            ("pending_p99_us", pending.us(0.99), "us"),
            ("bound_p99_us", all.us(0.99), "us"),
            ("refused", count(made.refused), "1"),
        ],
    );
    check(&door, &watcher, Constraint::None, found).await?;
    drop(watcher);
    for scheduler in schedulers.running {
        scheduler.process.stop().await?;
    }
    apiserver.stop().await
}

/// How long pods took that were pending at a kill; and all.
fn waits(made: &Made, watcher: &Watcher, kills: &[Duration]) -> (Latencies, Latencies) {
    let books = watcher.books();
    let (mut pending, mut all) = (Latencies::default(), Latencies::default());
    for (number, at) in &made.times {
        let Some(bound) = books.times(&pod_key(*number)).0 else { continue };
        let took = bound.saturating_sub(*at);
        all.add(took);
        if kills.iter().any(|kill| at <= kill && *kill < bound) {
            pending.add(took);
        }
    }
    (pending, all)
}

impl<'a> Schedulers<'a> {
    /// Two of them; one leads when this returns.
    async fn start(bench: &Bench<'_>, home: &'a Home) -> Result<Self, Error> {
        let kubeconfig = home.path().join("pki/kubeconfig").display().to_string();
        let mut flags = vec!["scheduler".to_owned(), "--kubeconfig".to_owned(), kubeconfig];
        flags.extend(["--metrics", "127.0.0.1:0"].map(str::to_owned));
        if bench.args.quick {
            for (flag, time) in
                [("lease-duration", "3s"), ("renew-deadline", "2s"), ("retry-period", "500ms")]
            {
                flags.extend([format!("--leader-elect-{flag}"), time.to_owned()]);
            }
        }
        let mut all = Self { home, flags, running: Vec::new(), started: 0 };
        all.more()?;
        all.more()?;
        all.leading().await?;
        Ok(all)
    }

    fn more(&mut self) -> Result<(), Error> {
        let log = format!("scheduler-{}.log", self.started);
        self.started += 1;
        let flags: Vec<&OsStr> = self.flags.iter().map(OsStr::new).collect();
        let (process, lines) = self.home.launch(&log, &flags, METRICS)?;
        let line = lines.last().and_then(|line| line.strip_prefix(METRICS)).unwrap_or_default();
        let address = line.trim().trim_start_matches("http://");
        let metrics = address.split('/').next().unwrap_or_default().to_owned();
        self.running.push(Scheduler { process, metrics });
        Ok(())
    }

    /// Which of them leads.
    async fn leading(&self) -> Result<usize, Error> {
        let began = Instant::now();
        while began.elapsed() < ELECTION {
            for (at, scheduler) in self.running.iter().enumerate() {
                let page = page(&scheduler.metrics).await?;
                if page.lines().any(|line| line.starts_with(LEADS) && line.ends_with(" 1")) {
                    return Ok(at);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Error::Api(format!("no scheduler leads after {} s", ELECTION.as_secs())))
    }

    /// Kills the leading one, again and again; returns when each was killed.
    async fn kill_often(
        &mut self,
        bench: &Bench<'_>,
        watcher: &Watcher,
    ) -> Result<Vec<Duration>, Error> {
        let mut kills = Vec::new();
        for _ in 0..bench.args.kills {
            tokio::time::sleep(bench.short(CALM)).await;
            let leading = self.leading().await?;
            let killed = self.running.swap_remove(leading);
            kills.push(watcher.began.elapsed());
            killed.process.kill();
            self.more()?;
            // All that was there at the kill has to be bound before the next one counts.
            let seen = watcher.books().seen;
            let hidden = indicatif::ProgressBar::hidden();
            watcher.reaches("bound", seen, &hidden, |books| books.bound).await?;
            bench.bar.inc(1);
        }
        Ok(kills)
    }
}

/// The metrics of a scheduler, as text.
async fn page(address: &str) -> Result<String, Error> {
    let failed = |source| Error::Dial { address: address.to_owned(), source };
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.map_err(failed)?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).await.map_err(failed)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
