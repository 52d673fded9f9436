// SPDX-License-Identifier: Apache-2.0
//! The task that sends events.

use super::book::{Book, Job};
use super::lanes::Lanes;
use super::{Counts, Told, form};
use crate::api::{Api, CallError, Media};
use crate::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Posts under way.
const AT_A_TIME: usize = 16;
/// Events that are taken out of the queue before earlier ones are sent: enough that one object's do not hold up the others'.
const HELD: usize = 4_096;
/// How often one is tried, the first pause, which doubles, and the longest; client-go tries twelve times, each 10 s later.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Taken out of the queue at once.
const BATCH: usize = 64;

/// Sends until nobody records any more and all is sent.
pub(super) async fn run(
    api: Api,
    mut book: Book,
    clock: Clock,
    mut from: mpsc::Receiver<Told>,
    counts: Arc<Counts>,
) {
    let component: Arc<str> = book.component().into();
    let mut lanes = Lanes::default();
    let mut tasks = JoinSet::new();
    let mut flushes: Vec<oneshot::Sender<()>> = Vec::new();
    let mut told = Vec::with_capacity(BATCH);
    let mut open = true;
    loop {
        while tasks.len() < AT_A_TIME
            && let Some(job) = lanes.next()
        {
            tasks.spawn(send(api.clone(), Arc::clone(&component), job));
        }
        if lanes.held() == 0 {
            for flush in flushes.drain(..) {
                // Who does not wait any more need not know.
                flush.send(()).unwrap_or_default();
            }
            if !open {
                return;
            }
        }
        // What comes after a flush waits for it: so it ends.
        let takes = open && flushes.is_empty() && lanes.held() < HELD;
        tokio::select! {
            biased;
            Some(done) = tasks.join_next() => match done {
                Ok(Sent { about, error }) => {
                    lanes.done(&about);
                    if let Some(error) = error {
                        let failed = counts.failed.fetch_add(1, Ordering::Relaxed) + 1;
                        if counts.warns(clock.micros()) {
                            tracing::warn!(failed, error, "an event could not be sent");
                        }
                    }
                }
                // Nobody stops these tasks but the end of the runtime.
                Err(error) => return tracing::error!(%error, "events are not sent any more"),
            },
            count = from.recv_many(&mut told, BATCH), if takes => {
                open = count > 0;
                let now = Instant::now();
                for one in told.drain(..) {
                    match one {
                        Told::Event(happening) => book.take(*happening, now).into_iter().for_each(|job| lanes.push(job)),
                        Told::Flush(done) => flushes.push(done),
                    }
                }
            }
        }
    }
}

/// What became of one.
struct Sent {
    about: Arc<str>,
    error: Option<String>,
}

async fn send(api: Api, component: Arc<str>, job: Job) -> Sent {
    let mut pause = PAUSE;
    let mut error = None;
    for tried in 1..=TRIES {
        let attempt = timeout(PATIENCE, once(&api, &component, &job)).await;
        let (text, again) = match attempt {
            Ok(Ok(())) => (None, None),
            // It was made by a try whose answer was lost.
            Ok(Err(CallError::Refused { code: 409, .. })) if tried > 1 => (None, None),
            Ok(Err(error)) => (Some(error.to_string()), worth(&error)),
            Err(_) => (Some("no answer in time".to_owned()), Some(Duration::ZERO)),
        };
        error = text;
        match again {
            Some(least) if tried < TRIES => sleep(pause.max(least).min(PAUSE_MAX)).await,
            _ => break,
        }
        pause *= 2;
    }
    Sent { about: job.about, error }
}

async fn once(api: &Api, component: &str, job: &Job) -> Result<(), CallError> {
    let told = &job.event;
    let namespace = &told.happening.about.namespace;
    if let Some(series) = job.series {
        let path = form::path(namespace, Some(&told.name));
        match api.patch(&path, Media::Merge, form::again(series)).await {
            // It has been removed since, by age or by somebody: it is told anew.
            Err(CallError::Refused { code: 404, .. }) => {}
            answer => return answer.map(drop),
        }
    }
    let event = form::event(component, &told.name, &told.happening, job.series);
    api.post(&form::path(namespace, None), event).await.map(drop)
}

/// Whether another try may succeed, and after how long at the earliest.
fn worth(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Lost { .. } => Some(Duration::ZERO),
        CallError::Refused { code: 429 | 500..=599, retry_after, .. } => {
            Some(Duration::from_secs(retry_after.unwrap_or(0)))
        }
        CallError::Refused { .. } => None,
    }
}
