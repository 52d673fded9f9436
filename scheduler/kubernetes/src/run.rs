// SPDX-License-Identifier: Apache-2.0
//! The shell: feeds the books, and makes the calls that they ask for, many at a time.

use crate::books::{Answer, Books, Refused, Shown, Step, Victim};
use crate::calls;
use crate::feed::{Feed, Input};
use berth_cluster_client::events::{Recorder, Reference, Type};
use berth_cluster_client::{Api, Clock};
use berth_scheduler_core::{Backoff, Engine, Options as EngineOptions, QueueSizes, Tick};
use berth_scheduler_model::Str;
use berth_scheduler_model::profile::Profile;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Changes that are taken in at a time, and decisions that are made before others are looked at.
const MANY: usize = 1_024;
const DECISIONS: usize = 64;

/// How a scheduler is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The profiles, chosen by a pod's `schedulerName`.
    pub profiles: Vec<Profile>,
    /// How refused pods back off.
    pub backoff: Backoff,
    /// Orders nodes of equal score.
    pub seed: u64,
    /// Seeds hash tables; random in production.
    pub hash_seed: u64,
    /// Bindings under way at a time; more are decided on when one is done.
    pub binding: usize,
    /// Conditions and evictions under way at a time, each.
    pub telling: usize,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::default()],
            backoff: Backoff::default(),
            seed: 0,
            hash_seed: 0,
            binding: 256,
            telling: 16,
            clock: Clock::Machine,
        }
    }
}

/// Counts of a scheduler, since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Pods that were bound.
    pub bound: AtomicU64,
    /// Bindings that were refused.
    pub refused: AtomicU64,
    /// Times that no node would do.
    pub unschedulable: AtomicU64,
    /// Pods that were evicted for others.
    pub evicted: AtomicU64,
    active: AtomicU64,
    backoff: AtomicU64,
    waiting: AtomicU64,
    gated: AtomicU64,
}

impl Stats {
    fn sizes(&self, sizes: QueueSizes) {
        for (to, size) in [
            (&self.active, sizes.active),
            (&self.backoff, sizes.backoff),
            (&self.waiting, sizes.unschedulable),
            (&self.gated, sizes.gated),
        ] {
            to.store(size as u64, Ordering::Relaxed);
        }
    }

    /// Pods that wait, by upstream's names of the queues.
    pub fn pending(&self) -> [(&'static str, u64); 4] {
        let get = |from: &AtomicU64| from.load(Ordering::Relaxed);
        [
            ("active", get(&self.active)),
            ("backoff", get(&self.backoff)),
            ("unschedulable", get(&self.waiting)),
            ("gated", get(&self.gated)),
        ]
    }
}

/// A scheduler that runs. Dropping it stops it at once: what is under way is done or not, and the API shows it.
#[derive(Debug)]
pub struct Scheduler {
    task: JoinHandle<()>,
    stats: Arc<Stats>,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scheduler {
    /// Starts to schedule. `events` records what happened, if it is to be recorded.
    pub fn start(api: Api, options: Options, events: Option<Recorder>) -> Self {
        let stats = Arc::new(Stats::default());
        let task = tokio::spawn(run(api, options, events, Arc::clone(&stats)));
        Self { task, stats }
    }

    /// What it has done.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }
}

/// What came of a call.
enum Done {
    Bound(Str, Answer),
    Told(Str, bool),
    Evicted(Str, bool),
}

struct Running {
    api: Api,
    options: Options,
    events: Option<Recorder>,
    stats: Arc<Stats>,
    books: Books,
    began: Instant,
    calls: JoinSet<()>,
    done: UnboundedSender<Done>,
    binding: usize,
    telling: usize,
    evicting: usize,
    victims: std::collections::VecDeque<Victim>,
}

async fn run(api: Api, options: Options, events: Option<Recorder>, stats: Arc<Stats>) {
    let mut feed = Feed::start(api.clone(), options.seed).await;
    let engine = Engine::new(EngineOptions {
        seed: options.seed,
        hash_seed: options.hash_seed,
        profiles: options.profiles.clone(),
        backoff: options.backoff,
        vector: berth_scheduler_host::vector(),
        ..EngineOptions::default()
    });
    let (done, mut answers) = unbounded_channel();
    let mut running = Running {
        books: Books::new(engine, options.backoff),
        api,
        options,
        events,
        stats,
        began: Instant::now(),
        calls: JoinSet::new(),
        done,
        binding: 0,
        telling: 0,
        evicting: 0,
        victims: std::collections::VecDeque::new(),
    };
    let mut inputs: Vec<Input> = Vec::new();
    loop {
        // Answers first: what they free is what is decided on next.
        while let Ok(one) = answers.try_recv() {
            running.answered(one);
        }
        let more = running.decide();
        let wake = running.wake();
        let count = tokio::select! {
            biased;
            count = feed.next_many(&mut inputs, MANY) => count,
            Some(one) = answers.recv() => { running.answered(one); continue }
            () = tokio::task::yield_now(), if more => continue,
            () = until(wake), if !more => continue,
        };
        if count == 0 {
            return;
        }
        let now = running.now();
        for input in inputs.drain(..) {
            running.books.take(now, input);
        }
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

impl Running {
    fn now(&self) -> Tick {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(Tick::MAX)
    }

    /// When there may be something to decide although nothing happens.
    fn wake(&self) -> Option<Instant> {
        let tick = self.books.next_tick()?;
        // What is full is woken by an answer.
        (self.binding < self.options.binding)
            .then(|| self.began + Duration::from_millis(tick.max(1)))
    }

    /// Decides on some pods; whether there may be more to decide on now.
    fn decide(&mut self) -> bool {
        let now = self.now();
        let mut more = false;
        for _ in 0..DECISIONS {
            more = self.binding < self.options.binding;
            if !more {
                break;
            }
            match self.books.next(now) {
                Some(Step::Bind { pod, node }) => self.bind(pod, node),
                Some(Step::Evict(victim)) => self.victims.push_back(victim),
                None => {
                    more = false;
                    break;
                }
            }
        }
        while self.telling < self.options.telling
            && let Some(refused) = self.books.next_tell()
        {
            self.tell(refused);
        }
        while self.evicting < self.options.telling
            && let Some(victim) = self.victims.pop_front()
        {
            self.evict(victim);
        }
        self.stats.sizes(self.books.engine().queue_sizes());
        more
    }

    fn answered(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Bound(uid, answer) => {
                self.binding -= 1;
                self.books.answered(now, &uid, answer);
            }
            Done::Told(uid, done) => {
                self.telling -= 1;
                self.books.told(&uid, done);
            }
            Done::Evicted(uid, gone) => {
                self.evicting -= 1;
                if !gone {
                    self.books.stays(&uid);
                }
            }
        }
        while self.calls.try_join_next().is_some() {}
    }

    fn bind(&mut self, pod: Shown, node: Str) {
        self.binding += 1;
        let (api, done, events) = (self.api.clone(), self.done.clone(), self.events.clone());
        let stats = Arc::clone(&self.stats);
        self.calls.spawn(async move {
            let (answer, error) = calls::bind(&api, &pod, &node).await;
            match answer {
                Answer::Bound => {
                    stats.bound.fetch_add(1, Ordering::Relaxed);
                    let id = &pod.id;
                    let text =
                        format!("Successfully assigned {}/{} to {node}", id.namespace, id.name);
                    record(events.as_ref(), &pod, Type::Normal, "Scheduled", "Binding", text);
                }
                Answer::Refused => {
                    stats.refused.fetch_add(1, Ordering::Relaxed);
                    let text = error.map(|error| error.to_string()).unwrap_or_default();
                    tracing::warn!(
                        pod = pod.id.name,
                        namespace = pod.id.namespace,
                        error = text,
                        "a binding was refused"
                    );
                    record(
                        events.as_ref(),
                        &pod,
                        Type::Warning,
                        "FailedScheduling",
                        "Binding",
                        text,
                    );
                }
            }
            drop(done.send(Done::Bound(pod.view.0.pod.uid.clone(), answer)));
        });
    }

    fn tell(&mut self, refused: Refused) {
        if refused.tried {
            self.stats.unschedulable.fetch_add(1, Ordering::Relaxed);
        }
        let text = refused.message.to_string();
        record(
            self.events.as_ref(),
            &refused.pod,
            Type::Warning,
            "FailedScheduling",
            "Scheduling",
            text,
        );
        if !refused.change {
            return;
        }
        self.telling += 1;
        let (api, done, now) = (self.api.clone(), self.done.clone(), self.options.clock.micros());
        self.calls.spawn(async move {
            let told = calls::tell(&api, &refused, now).await;
            if let Err(error) = &told {
                tracing::debug!(%error, "a pod could not be told why it waits");
            }
            drop(done.send(Done::Told(refused.pod.view.0.pod.uid.clone(), told.is_ok())));
        });
    }

    fn evict(&mut self, victim: Victim) {
        self.evicting += 1;
        let (api, done, now) = (self.api.clone(), self.done.clone(), self.options.clock.micros());
        let (events, stats) = (self.events.clone(), Arc::clone(&self.stats));
        self.calls.spawn(async move {
            let evicted = calls::evict(&api, &victim, now).await;
            match &evicted {
                Ok(()) => {
                    stats.evicted.fetch_add(1, Ordering::Relaxed);
                    let text =
                        format!("Preempted by pod {} on node {}", victim.by.id.uid, victim.node);
                    record(
                        events.as_ref(),
                        &victim.pod,
                        Type::Normal,
                        "Preempted",
                        "Preempting",
                        text,
                    );
                }
                Err(error) => tracing::warn!(%error, "a pod could not be evicted"),
            }
            let uid = victim.pod.view.0.pod.uid.clone();
            drop(done.send(Done::Evicted(uid, evicted.is_ok())));
        });
    }
}

fn record(
    events: Option<&Recorder>,
    pod: &Shown,
    kind: Type,
    reason: &str,
    action: &str,
    text: String,
) {
    if let Some(events) = events {
        let about = Reference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: pod.id.namespace.clone(),
            name: pod.id.name.clone(),
            uid: pod.id.uid.clone(),
            resource_version: pod.id.resource_version.clone(),
        };
        events.record(&about, kind, reason, action, text);
    }
}
