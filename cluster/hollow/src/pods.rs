// SPDX-License-Identifier: Apache-2.0
//! The task of all pods on all simulated nodes: one informer, one table, so many calls at a time.

use crate::life::{Life, Plan, Step};
use crate::place::{self, Taken};
use crate::pod::Pod;
use crate::shared::Shared;
use crate::{status, wait};
use berth_cluster_client::{CallError, Change, Informer, Item, Media};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause after a failure, which doubles, and the longest; in microseconds.
const PAUSE: i64 = 200_000;
const PAUSE_MAX: i64 = 30_000_000;
/// Changes that are taken at once.
const BATCH: usize = 256;

/// A pod on one of the nodes.
struct Running {
    item: Arc<Item<Pod>>,
    node: u32,
    life: Life,
    /// Its life once the call that is under way has succeeded.
    under_way: Option<Life>,
    /// When it stands in the queue.
    due: Option<i64>,
    /// Calls that failed one after the other.
    failed: u32,
}

/// What became of a call.
enum Came {
    Done,
    /// There is no such pod any more.
    Gone,
    Failed,
}

type Uid = Arc<str>;

/// The task's state.
pub(crate) struct Pods {
    shared: Arc<Shared>,
    informer: Informer<Pod>,
    plan: Plan,
    pods: BTreeMap<Uid, Running>,
    queue: BTreeSet<(i64, Uid)>,
    taken: Vec<Taken>,
    tasks: JoinSet<(Uid, Came)>,
}

impl Pods {
    pub(crate) fn new(shared: Arc<Shared>, informer: Informer<Pod>) -> Self {
        let plan = Plan::from(&shared.options);
        let taken = (0..shared.options.nodes).map(|_| Taken::default()).collect();
        let (pods, queue, tasks) = (BTreeMap::new(), BTreeSet::new(), JoinSet::new());
        Self { shared, informer, plan, pods, queue, taken, tasks }
    }

    /// Until it is stopped; what is under way is brought to its end.
    pub(crate) async fn run(mut self) {
        let mut stop = self.shared.stop.subscribe();
        let mut risen = self.shared.risen.subscribe();
        // Addresses come from the nodes' networks, and those that are taken from all pods.
        let known = async {
            self.shared.nodes.synced().await;
            self.informer.synced().await;
        };
        if wait::unless(&mut stop, known).await.is_none() {
            return;
        }
        let mut changes = self.informer.subscribe();
        let mut some = Vec::with_capacity(BATCH);
        loop {
            self.launch();
            let free = self.tasks.len() < self.shared.options.at_a_time;
            let next = if free { self.next_due() } else { None };
            tokio::select! {
                Some(done) = self.tasks.join_next() => match done {
                    Ok((uid, came)) => self.done(&uid, &came),
                    Err(error) => return tracing::error!(%error, "simulated pods stop"),
                },
                count = changes.next_many(&mut some, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    for change in some.drain(..) {
                        self.changed(change);
                    }
                }
                _ = risen.changed() => self.look_at_all(),
                _ = stop.changed() => break,
                () = wait::until(next) => {}
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn next_due(&self) -> Option<Instant> {
        let (at, _) = self.queue.first()?;
        let wait = u64::try_from(at - self.shared.now()).unwrap_or(0);
        Some(Instant::now() + Duration::from_micros(wait))
    }

    fn changed(&mut self, change: Change<Pod>) {
        let gone = match (&change.before, &change.after) {
            (Some(before), after) => {
                after.as_ref().is_none_or(|after| after.id.uid != before.id.uid).then_some(before)
            }
            (None, _) => None,
        };
        if let Some(gone) = gone {
            self.forget(&gone.id.uid);
        }
        let Some(item) = change.after else { return };
        let (prefix, count) = (&self.shared.options.prefix, self.shared.options.nodes);
        let Some(node) = place::number(prefix, count, &item.view.node) else { return };
        let now = self.shared.now();
        if let Some(running) = self.pods.get_mut(&*item.id.uid) {
            running.life.see(&item.view, now);
            running.item = item;
            let uid = Uid::from(running.item.id.uid.as_str());
            return self.plan_next(&uid);
        }
        let life = Life::new(&item.view, &item.id.uid, &self.plan, now);
        if let (Some(address), false) = (life.address, item.view.host_network) {
            self.taken(node, |taken| taken.take(address));
        }
        let uid = Uid::from(item.id.uid.as_str());
        let running = Running { item, node, life, under_way: None, due: None, failed: 0 };
        self.pods.insert(Arc::clone(&uid), running);
        self.plan_next(&uid);
    }

    fn taken(&mut self, node: u32, change: impl FnOnce(&mut Taken)) {
        if let Some(taken) = usize::try_from(node).ok().and_then(|node| self.taken.get_mut(node)) {
            change(taken);
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some((uid, running)) = self.pods.remove_entry(uid) else { return };
        if let Some(due) = running.due {
            self.queue.remove(&(due, uid));
        }
        let under_way = running.under_way.as_ref().and_then(|life| life.address);
        if let (Some(address), false) =
            (running.life.address.or(under_way), running.item.view.host_network)
        {
            self.taken(running.node, |taken| taken.free(address));
        }
    }

    /// Puts a pod into the queue at its next time, or takes it out.
    fn plan_next(&mut self, uid: &Uid) {
        let Some(running) = self.pods.get_mut(uid) else { return };
        let waits = running.under_way.is_none() && self.shared.is_up(running.node);
        let next = running.life.next(&running.item.view, &self.plan).filter(|_| waits);
        let due = next.map(|(at, _)| match running.failed {
            0 => at,
            // Not at once again, but sooner or later.
            failed => {
                let pause = PAUSE.saturating_mul(1 << failed.min(20)).min(PAUSE_MAX);
                at.max(self.shared.now() + pause)
            }
        });
        if running.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut running.due, due) {
            self.queue.remove(&(before, Arc::clone(uid)));
        }
        if let Some(due) = due {
            self.queue.insert((due, Arc::clone(uid)));
        }
    }

    /// Begins what is due.
    fn launch(&mut self) {
        let now = self.shared.now();
        while self.tasks.len() < self.shared.options.at_a_time
            && self.queue.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, uid)) = self.queue.pop_first()
        {
            self.begin(uid, now);
        }
    }

    fn begin(&mut self, uid: Uid, now: i64) {
        let Some(running) = self.pods.get_mut(&uid) else { return };
        running.due = None;
        let pod = &running.item.view;
        // Who is down does nothing; all of its pods are looked at when it comes up.
        if !self.shared.is_up(running.node) {
            return;
        }
        let Some((_, step)) = running.life.next(pod, &self.plan) else { return };
        let mut life = running.life.after(step, pod, now);
        let name = self.shared.name(running.node);
        let door = self.shared.door(&name);
        let id = &running.item.id;
        let path = format!("/api/v1/namespaces/{}/pods/{}", id.namespace, id.name);
        if step == Step::Remove {
            let options = Bytes::from(format!(
                "{{\"gracePeriodSeconds\":0,\"preconditions\":{{\"uid\":\"{}\"}}}}",
                id.uid
            ));
            running.under_way = Some(life);
            self.tasks.spawn(async move {
                let call = Box::pin(door.delete(&path, Some(options)));
                (uid, came(timeout(PATIENCE, call).await.ok()))
            });
            return;
        }
        let host = place::host(running.node);
        if life.runs() && life.address.is_none() {
            let address = if pod.host_network {
                host
            } else {
                let given = self.shared.nodes.get("", &name).and_then(|node| node.view.network);
                let network = given.unwrap_or_else(|| place::network(running.node));
                address(&mut self.taken, running.node, network)
            };
            // It keeps it though the call may fail.
            running.life.address = Some(address);
            life.address = Some(address);
        }
        let patch = status::patch(pod, &id.uid, &life, host);
        running.under_way = Some(life);
        self.tasks.spawn(async move {
            let path = format!("{path}/status");
            let call = Box::pin(door.patch(&path, Media::Strategic, patch));
            (uid, came(timeout(PATIENCE, call).await.ok()))
        });
    }

    fn done(&mut self, uid: &Uid, came: &Came) {
        let Some(running) = self.pods.get_mut(uid) else { return };
        let Some(life) = running.under_way.take() else { return };
        match came {
            Came::Done => {
                running.failed = 0;
                // What it was told meanwhile stays told.
                let told = std::mem::replace(&mut running.life, life);
                running.life.keep(&told);
            }
            // The informer will say so.
            Came::Gone => return,
            Came::Failed => running.failed += 1,
        }
        self.plan_next(uid);
    }

    /// Pods of nodes that came up go on.
    fn look_at_all(&mut self) {
        let all: Vec<Uid> = self.pods.keys().cloned().collect();
        for uid in all {
            self.plan_next(&uid);
        }
    }
}

fn address(all: &mut [Taken], node: u32, network: Ipv4Addr) -> Ipv4Addr {
    let taken = usize::try_from(node).ok().and_then(|node| all.get_mut(node));
    taken.map_or(network, |taken| taken.next(network))
}

fn came(answer: Option<Result<Bytes, CallError>>) -> Came {
    match answer {
        Some(Ok(_)) => Came::Done,
        Some(Err(CallError::Refused { code: 404, .. })) => Came::Gone,
        Some(Err(error)) => {
            tracing::info!(%error, "a simulated pod tries again later");
            Came::Failed
        }
        None => Came::Failed,
    }
}
