// SPDX-License-Identifier: Apache-2.0
//! The shell: feeds the books, and makes the calls that they ask for, many at a time.

use crate::books::{Answer, Books, Nomination, Refused, Shown, Step, Victim};
use crate::calls;
use crate::claims::{ClaimError, Decided, Storage, Users};
use crate::feed::{Feed, Followers, Input};
use crate::stats::Stats;
use berth_cluster_client::events::{Recorder, Reference, Type};
use berth_cluster_client::{Api, Clock, Id};
use berth_scheduler_core::{Backoff, Binding, Engine, Options as EngineOptions, Tick};
use berth_scheduler_model::Str;
use berth_scheduler_model::profile::Profile;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Changes that are taken in at a time, and decisions that are made before others are looked at.
const MANY: usize = 1_024;
const DECISIONS: usize = 64;
/// How long bindings that are under way, and events, are waited for at the end.
const STOPPING: Duration = Duration::from_secs(10);

/// How a scheduler is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The profiles, chosen by a pod's `schedulerName`.
    pub profiles: Vec<Profile>,
    /// How refused pods back off.
    pub backoff: Backoff,
    /// Preemption refuses to violate a disruption budget instead of doing it as a last resort.
    pub strict_budgets: bool,
    /// Orders nodes of equal score.
    pub seed: u64,
    /// Seeds hash tables; random in production.
    pub hash_seed: u64,
    /// Bindings under way at a time; more are decided on when one is done.
    pub binding: usize,
    /// Conditions and evictions under way at a time, each.
    pub telling: usize,
    /// How long a pod's claims are waited for (`bindTimeoutSeconds` of VolumeBinding).
    pub claim_patience: Duration,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::default()],
            backoff: Backoff::default(),
            strict_budgets: false,
            seed: 0,
            hash_seed: 0,
            binding: 256,
            telling: 16,
            claim_patience: Duration::from_mins(10),
            clock: Clock::Machine,
        }
    }
}

/// A scheduler that runs. Dropping it stops it at once: what is under way is done or not, and the API shows it.
#[derive(Debug)]
pub struct Scheduler {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scheduler {
    /// Starts to schedule.
    pub fn start(api: Api, options: Options, stats: Arc<Stats>) -> Self {
        Self::with(None, api, options, stats)
    }

    /// Starts to schedule, with what was followed before.
    pub(crate) fn with(
        followers: Option<Followers>,
        api: Api,
        options: Options,
        stats: Arc<Stats>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { task: tokio::spawn(run(followers, api, options, stats, stopped)), stop }
    }

    /// Stops: nothing more is decided, and what is under way is waited for, but not for ever.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        drop(timeout(STOPPING, &mut self.task).await);
    }
}

/// What came of a call.
enum Done {
    Bound { uid: Str, answer: Answer, slot: bool },
    Told(Str, bool),
    Evicted(Str, bool),
}

struct Running {
    api: Api,
    options: Options,
    recorders: Recorders,
    storage: Storage,
    stats: Arc<Stats>,
    books: Books,
    began: Instant,
    calls: JoinSet<()>,
    done: UnboundedSender<Done>,
    binding: usize,
    telling: usize,
    evicting: usize,
    victims: VecDeque<Victim>,
}

async fn run(
    followers: Option<Followers>,
    api: Api,
    options: Options,
    stats: Arc<Stats>,
    mut stop: watch::Receiver<bool>,
) {
    let begin = async {
        let followers = match followers {
            Some(followers) => followers.current(&api, options.seed).await,
            None => Followers::start(&api, options.seed),
        };
        Feed::start(followers).await
    };
    let mut feed = tokio::select! {
        biased;
        feed = begin => feed,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let (done, mut answers) = unbounded_channel();
    let mut running = Running::new(&feed, api, options, stats, done);
    let mut inputs: Vec<Input> = Vec::new();
    // Nothing is decided before all that is there is known: a node whose pods come last looks free.
    let mut unknown = feed.waiting();
    while unknown > 0 {
        unknown -= feed.next_many(&mut inputs, MANY.min(unknown)).await;
        running.take(&mut inputs);
    }
    loop {
        // Answers first: what they free is what is decided on next.
        while let Ok(one) = answers.try_recv() {
            running.answered(one);
        }
        let more = running.decide();
        let wake = running.wake();
        let count = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            count = feed.next_many(&mut inputs, MANY) => count,
            Some(one) = answers.recv() => { running.answered(one); continue }
            () = tokio::task::yield_now(), if more => continue,
            () = until(wake), if !more => continue,
        };
        if count == 0 {
            return;
        }
        running.take(&mut inputs);
    }
    while running.calls.join_next().await.is_some() {}
    running.recorders.flush().await;
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

impl Running {
    fn new(
        feed: &Feed,
        api: Api,
        options: Options,
        stats: Arc<Stats>,
        done: UnboundedSender<Done>,
    ) -> Self {
        let engine = Engine::new(EngineOptions {
            seed: options.seed,
            hash_seed: options.hash_seed,
            profiles: options.profiles.clone(),
            backoff: options.backoff,
            strict_budgets: options.strict_budgets,
            vector: berth_scheduler_host::vector(),
            ..EngineOptions::default()
        });
        Self {
            books: Books::new(engine, options.backoff),
            recorders: Recorders::start(&api, &options),
            storage: Storage {
                api: api.clone(),
                followed: feed.followed().clone(),
                patience: options.claim_patience,
                users: Users::default(),
            },
            api,
            options,
            stats,
            began: Instant::now(),
            calls: JoinSet::new(),
            done,
            binding: 0,
            telling: 0,
            evicting: 0,
            victims: VecDeque::new(),
        }
    }

    fn now(&self) -> Tick {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(Tick::MAX)
    }

    fn take(&mut self, inputs: &mut Vec<Input>) {
        let now = self.now();
        for input in inputs.drain(..) {
            self.books.take(now, input);
        }
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
                Some(Step::Bind { pod, node, since, claims }) if claims.is_empty() => {
                    self.binding += 1;
                    self.bind(pod, node, since, Vec::new());
                }
                // Volumes take their time: nothing else waits for them.
                Some(Step::Bind { pod, node, since, claims }) => {
                    self.bind(pod, node, since, claims);
                }
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
        let engine = self.books.engine();
        self.stats.set_sizes(engine.queue_sizes(), engine.nodes(), engine.pods(), self.binding);
        more
    }

    fn answered(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Bound { uid, answer, slot } => {
                self.binding -= usize::from(slot);
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

    fn bind(&mut self, pod: Shown, node: Str, seen: Tick, claims: Vec<Binding>) {
        let slot = claims.is_empty();
        let waits_since = self.began + Duration::from_millis(seen);
        let (api, done) = (self.api.clone(), self.done.clone());
        let (recorder, stats) = (self.recorders.of(&pod), Arc::clone(&self.stats));
        let (storage, clock) = (self.storage.clone(), self.options.clock);
        self.calls.spawn(async move {
            let began = Instant::now();
            let (answer, failure) = bound(&api, &storage, &pod, &node, claims).await;
            if answer == Answer::Bound {
                stats.add_bound(began.elapsed(), waits_since.elapsed());
                let id = &pod.id;
                let text = format!("Successfully assigned {}/{} to {node}", id.namespace, id.name);
                record(recorder, &pod, Type::Normal, "Scheduled", "Binding", text);
            } else {
                stats.add_refused(began.elapsed());
                let Failure { text, concerns } = failure.unwrap_or_default();
                let Id { name, namespace, .. } = &pod.id;
                tracing::warn!(%namespace, %name, error = text, "a binding was refused");
                if concerns
                    && let Err(error) = calls::give_up(&api, &pod, &text, clock.micros()).await
                {
                    tracing::debug!(%error, "a pod could not be told that it was not bound");
                }
                record(recorder, &pod, Type::Warning, "FailedScheduling", "Scheduling", text);
            }
            let uid = pod.view.0.pod.uid.clone();
            drop(done.send(Done::Bound { uid, answer, slot }));
        });
    }

    fn tell(&mut self, refused: Refused) {
        if refused.tried {
            self.stats.add_unschedulable();
        }
        if matches!(refused.nomination, Nomination::To(_)) {
            self.stats.add_preemption();
        }
        if let Some(message) = &refused.message {
            let (pod, text) = (&refused.pod, message.to_string());
            let recorder = self.recorders.of(pod);
            record(recorder, pod, Type::Warning, "FailedScheduling", "Scheduling", text);
        }
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
            let uid = refused.pod.view.0.pod.uid.clone();
            drop(done.send(Done::Told(uid, told.is_ok())));
        });
    }

    fn evict(&mut self, victim: Victim) {
        self.evicting += 1;
        let (api, done, now) = (self.api.clone(), self.done.clone(), self.options.clock.micros());
        let (recorder, stats) = (self.recorders.of(&victim.by), Arc::clone(&self.stats));
        self.calls.spawn(async move {
            let evicted = calls::evict(&api, &victim, now).await;
            match &evicted {
                Ok(()) => {
                    stats.add_evicted();
                    let (by, node) = (&victim.by.id.uid, &victim.node);
                    let text = format!("Preempted by pod {by} on node {node}");
                    record(recorder, &victim.pod, Type::Normal, "Preempted", "Preempting", text);
                }
                Err(error) => tracing::warn!(%error, "a pod could not be evicted"),
            }
            let uid = victim.pod.view.0.pod.uid.clone();
            drop(done.send(Done::Evicted(uid, evicted.is_ok())));
        });
    }
}

/// Why a pod was not bound.
#[derive(Debug, Default)]
struct Failure {
    text: String,
    /// The pod is there and waits still, so that its status has to say it.
    concerns: bool,
}

/// Binds a pod, after what it needs of storage.
async fn bound(
    api: &Api,
    storage: &Storage,
    pod: &Shown,
    node: &Str,
    bindings: Vec<Binding>,
) -> (Answer, Option<Failure>) {
    if !bindings.is_empty() {
        let decided = Decided { pod: Arc::clone(pod), node: node.to_string(), bindings };
        if pod.view.0.pod.nominated.as_ref() != Some(node)
            && let Err(error) = calls::expect(api, pod, node).await
        {
            tracing::debug!(%error, "it could not be said where a pod is expected");
        }
        // It is large, and rare.
        if let Err(error) = Box::pin(storage.bind(&decided)).await {
            let concerns = !matches!(error, ClaimError::Nobody);
            return (Answer::NoVolume, Some(Failure { text: error.to_string(), concerns }));
        }
    }
    let (answer, error) = calls::bind(api, pod, node).await;
    let failure = error.map(|error| {
        // One that is gone or bound by somebody else needs no words.
        let concerns = !matches!(error.code(), Some(404 | 409));
        Failure { text: error.to_string(), concerns }
    });
    (answer, failure)
}

/// Events are told in the name of the profile that a pod chose.
struct Recorders(Vec<(Str, Recorder)>);

impl Recorders {
    fn start(api: &Api, options: &Options) -> Self {
        let names = options.profiles.iter().map(|profile| profile.name.clone());
        let start = |name: Str| {
            let recorder = Recorder::start(api.clone(), &name, options.clock);
            (name, recorder)
        };
        Self(names.map(start).collect())
    }

    /// The one for a pod.
    fn of(&self, pod: &Shown) -> Option<Recorder> {
        let name = pod.view.0.pod.spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
        let found = self.0.iter().find(|(of, _)| **of == *name);
        found.map(|(_, recorder)| recorder.clone())
    }

    async fn flush(&self) {
        for (_, recorder) in &self.0 {
            recorder.flush().await;
        }
    }
}

fn record(
    recorder: Option<Recorder>,
    pod: &Shown,
    kind: Type,
    reason: &str,
    action: &str,
    text: String,
) {
    let Some(recorder) = recorder else { return };
    let Id { namespace, name, uid, resource_version } = pod.id.clone();
    let about = Reference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: namespace.into(),
        name: name.into(),
        uid,
        resource_version: resource_version.into(),
        field_path: String::new(),
    };
    recorder.record(&about, kind, reason, action, text);
}
