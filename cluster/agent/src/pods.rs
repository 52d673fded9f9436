// SPDX-License-Identifier: Apache-2.0
//! Which pods there are: each has a worker of its own, which is told what the API and the engine say.

use crate::admit::{self, Load};
use crate::hands::Hands;
use crate::settings::Stop;
use crate::shared::{Shared, WholePod};
use crate::task::Task;
use crate::worker::{Message, Worker};
use berth_cluster_client::{Change as ApiChange, Informer, Item};
use berth_cluster_docker::{Change, Event, Events, Identity, PodRef, View};
use berth_cluster_pod::{Event as MachineEvent, Millis};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the engine is asked what it has, whatever it told.
const RESYNC: Duration = Duration::from_secs(30);
/// How long after it did not answer it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long after it had something of a pod that nobody looks after. What is asked of the engine when a pod ends may come a little later.
const STRAY: Duration = Duration::from_secs(2);
/// What pods may take beyond their grace when all of them are to end.
const MARGIN: Duration = Duration::from_secs(15);

/// A pod's worker, as seen from here.
#[derive(Debug)]
struct Handle {
    pod: PodRef,
    inbox: mpsc::UnboundedSender<Message>,
    /// It has ended; the API still has the pod.
    done: bool,
}

/// A list of what the engine has.
#[derive(Debug)]
struct Listed {
    found: Arc<View>,
    taken_at: Millis,
}

/// All pods of the node.
#[derive(Debug)]
pub(crate) struct Pods {
    shared: Arc<Shared>,
    informer: Informer<WholePod>,
    workers: BTreeMap<String, Handle>,
    ended: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
    listed: (mpsc::UnboundedSender<Listed>, mpsc::UnboundedReceiver<Listed>),
    /// Whether the engine was away, and what it has now is not known yet.
    away: bool,
    listing: bool,
    /// What the engine had when it was asked last, and when.
    seen: (Arc<View>, Millis),
    /// Pods of which it had something then, and nobody looks after.
    strays: BTreeSet<String>,
}

/// How the agent ends; who asked is told when it has.
pub(crate) type Ending = (Stop, oneshot::Sender<()>);

impl Pods {
    /// Takes over what is there. `first`: what the engine has.
    pub(crate) fn new(
        shared: Arc<Shared>,
        informer: Informer<WholePod>,
        first: View,
        taken_at: Millis,
    ) -> Self {
        Self {
            shared,
            informer,
            workers: BTreeMap::new(),
            ended: mpsc::unbounded_channel(),
            listed: mpsc::unbounded_channel(),
            away: false,
            listing: false,
            seen: (Arc::new(first), taken_at),
            strays: BTreeSet::new(),
        }
    }

    /// Runs until it is to end.
    pub(crate) async fn run(mut self, mut events: Events, mut stop: mpsc::Receiver<Ending>) {
        // Before that nobody knows which pods are orphans.
        self.informer.synced().await;
        let mut changes = self.informer.subscribe();
        self.adopt().await;
        let mut resync = interval(RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        resync.reset();
        loop {
            tokio::select! {
                Some(change) = changes.next() => self.changed(change),
                Some(event) = events.next() => self.happened(event),
                Some(listed) = self.listed.1.recv() => self.look(listed),
                Some(uid) = self.ended.1.recv() => self.worker_ended(&uid),
                _ = resync.tick() => self.list(Duration::ZERO),
                ending = stop.recv() => {
                    let Some((how, told)) = ending else { return };
                    Box::pin(self.end(how, &mut events)).await;
                    // Who asked may have gone.
                    let _ = told.send(());
                    return;
                }
            }
        }
    }

    /// Pods that the engine has, and the API does not; and files and addresses of pods that neither has.
    async fn adopt(&mut self) {
        let (found, _) = self.seen.clone();
        let of_api: BTreeSet<String> =
            self.informer.all().iter().map(|item| item.id.uid.clone()).collect();
        let all = || found.sandboxes.iter().chain(&found.containers);
        let mut known = of_api.clone();
        known.extend(all().map(|seen| seen.identity.pod.uid.clone()));
        for id in &found.left_over {
            if let Err(error) = self.shared.engine.remove(id, true).await {
                tracing::warn!(%error, id, "what an earlier agent left is not removed");
            }
        }
        let shared = Arc::clone(&self.shared);
        let books = Arc::clone(&found);
        let tidied = tokio::task::spawn_blocking(move || tidy(&shared, &books, &known)).await;
        if let Err(error) = tidied {
            tracing::warn!(%error, "files of former pods are left");
        }
        for pod in unknown(&found, |uid| of_api.contains(uid)) {
            self.end_orphan(&found, pod);
        }
    }

    fn end_orphan(&mut self, found: &View, pod: PodRef) {
        tracing::info!(pod = pod.name, "a pod that the API does not have any more ends");
        let (object, uid) = (orphan(found, &pod), pod.uid.clone());
        self.begin(pod, Arc::new(object), None);
        self.tell(&uid, Message::Event(Box::new(MachineEvent::Gone)));
    }

    fn changed(&mut self, change: ApiChange<WholePod>) {
        let uid = |item: &Arc<Item<WholePod>>| item.id.uid.clone();
        let (before, after) = (change.before.as_ref().map(uid), change.after.as_ref().map(uid));
        if let Some(gone) = before.filter(|before| Some(before) != after.as_ref()) {
            self.tell(&gone, Message::Event(Box::new(MachineEvent::Gone)));
            if self.workers.get(&gone).is_some_and(|worker| worker.done) {
                self.workers.remove(&gone);
            }
        }
        let Some(item) = change.after else { return };
        let pod = Arc::clone(&item.view.0);
        if self.workers.contains_key(&item.id.uid) {
            self.tell(&item.id.uid, Message::Pod(pod));
            return;
        }
        let (namespace, name) = (item.id.namespace.to_string(), item.id.name.to_string());
        let reference = PodRef { namespace, name, uid: item.id.uid.clone() };
        let refused = self.admit(&pod);
        self.begin(reference, pod, refused);
    }

    /// Whether the node takes a pod that it does not have yet; if not, why.
    fn admit(&self, pod: &Pod) -> Option<(String, String)> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let (found, _) = &self.seen;
        let runs = found.sandboxes.iter().any(|seen| seen.identity.pod.uid == uid);
        let begun = pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        if runs || begun {
            return None;
        }
        let shown = self.shared.shown();
        let mut load = Load::default();
        for (other, shown) in shown.iter().filter(|(other, _)| *other != uid) {
            let over = matches!(shown.status.phase.as_deref(), Some("Succeeded" | "Failed"));
            // What the API does not have any more has no place any more, though it may not have ended yet.
            if !over && self.is_in_api(&shown.pod, other) {
                load.add(&shown.pod);
            }
        }
        drop(shown);
        let settings = &self.shared.settings;
        let labels = self.shared.own.get("", &settings.node);
        let labels = labels.and_then(|item| item.view.0.metadata.labels.clone());
        let node = admit::Room {
            name: &settings.node,
            labels: labels.as_ref().unwrap_or(&settings.labels),
            amounts: self.shared.facts.allocatable,
            pods_max: settings.pods_max,
        };
        admit::refusal(pod, &load, &node)
    }

    fn is_in_api(&self, pod: &Pod, uid: &str) -> bool {
        let meta = &pod.metadata;
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        let found = self.informer.get(namespace.unwrap_or_default(), name.unwrap_or_default());
        found.is_some_and(|item| item.id.uid == uid)
    }

    fn begin(&mut self, pod: PodRef, object: Arc<Pod>, refused: Option<(String, String)>) {
        let (inbox, messages) = mpsc::unbounded_channel();
        let uid = pod.uid.clone();
        let task = match Task::new(Arc::clone(&self.shared), pod.clone(), Arc::clone(&object)) {
            Ok(task) => Arc::new(task),
            Err(error) => {
                self.shared.tell(&object, "", true, "Failed", error.to_string());
                return;
            }
        };
        if let Some((reason, message)) = &refused {
            self.shared.tell(&object, "", true, reason, message.clone());
        }
        let status = object.status.clone().unwrap_or_default();
        let shown = crate::shared::Shown { pod: object, status, sandbox: None };
        self.shared.shown().insert(uid.clone(), shown);
        task.known().refused = refused;
        let (shared, ended) = (Arc::clone(&self.shared), self.ended.0.clone());
        let (found, taken_at) = self.seen.clone();
        self.workers.insert(uid.clone(), Handle { pod, inbox, done: false });
        tokio::spawn(async move {
            let worker = Worker::new(shared, task, &found, taken_at, messages).await;
            drop(found);
            Box::pin(worker.run()).await;
            // The agent may have ended.
            drop(ended.send(uid));
        });
    }

    fn tell(&self, uid: &str, message: Message) {
        if let Some(worker) = self.workers.get(uid) {
            // One that has ended needs to know nothing.
            drop(worker.inbox.send(message));
        }
    }

    fn worker_ended(&mut self, uid: &str) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.done = true;
        let item = self.informer.get(&worker.pod.namespace, &worker.pod.name);
        if item.is_none_or(|item| item.id.uid != uid) {
            self.workers.remove(uid);
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::List => self.list(Duration::ZERO),
            Event::Gone(error) => {
                tracing::warn!(%error, "the engine is away");
                self.away = true;
                self.shared.engine_up.send_if_modified(|up| std::mem::replace(up, false));
                for uid in self.workers.keys() {
                    self.tell(uid, Message::Event(Box::new(MachineEvent::EngineGone)));
                }
            }
            Event::Container { id, identity, change: Change::Died { exit_code: code }, .. } => {
                let Identity { pod, part, attempt } = identity;
                self.tell(&pod.uid, Message::Died { part, attempt, id, code });
            }
            Event::Container { identity, change: Change::Created, .. }
                if !self.workers.contains_key(&identity.pod.uid) =>
            {
                self.list(STRAY);
            }
            Event::Container { .. } => {}
        }
    }

    /// Asks the engine what it has, after a while, until it says so.
    fn list(&mut self, after: Duration) {
        if self.listing {
            return;
        }
        self.listing = true;
        let (shared, listed) = (Arc::clone(&self.shared), self.listed.0.clone());
        tokio::spawn(async move {
            sleep(after).await;
            loop {
                let taken_at = shared.now();
                match shared.engine.list().await {
                    Ok(found) => {
                        drop(listed.send(Listed { found: Arc::new(found), taken_at }));
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "the engine does not say what it has"),
                }
                sleep(AGAIN).await;
            }
        });
    }

    fn look(&mut self, Listed { found, taken_at }: Listed) {
        self.listing = false;
        let back = std::mem::replace(&mut self.away, false);
        if back {
            tracing::info!("the engine is back");
            self.shared.engine_up.send_replace(true);
        }
        for uid in self.workers.keys() {
            let found = Arc::clone(&found);
            self.tell(uid, Message::Seen { found, taken_at, back });
        }
        self.seen = (Arc::clone(&found), taken_at);
        self.look_for_strays(&found);
    }

    /// What came to be when its pod had ended already, as by a call whose answer was lost. One look may be older than a pod's end: it takes two.
    fn look_for_strays(&mut self, found: &View) {
        let of_api: BTreeSet<String> =
            self.informer.all().iter().map(|item| item.id.uid.clone()).collect();
        let is_known = |uid: &str| self.workers.contains_key(uid) || of_api.contains(uid);
        let strays = unknown(found, is_known);
        let before = std::mem::take(&mut self.strays);
        self.strays = strays.iter().map(|pod| pod.uid.clone()).collect();
        let new = self.strays.difference(&before).count();
        for pod in strays.into_iter().filter(|pod| before.contains(&pod.uid)) {
            self.end_orphan(found, pod);
        }
        if new > 0 {
            self.list(STRAY);
        }
    }

    /// The agent ends.
    async fn end(&mut self, how: Stop, events: &mut Events) {
        let limit = match how {
            Stop::Leave => {
                for uid in self.workers.keys() {
                    self.tell(uid, Message::Leave);
                }
                MARGIN
            }
            Stop::Remove { grace } => {
                let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                self.shared.stop.send_replace(true);
                for uid in self.workers.keys() {
                    self.tell(uid, Message::End(millis));
                }
                grace.saturating_add(MARGIN)
            }
        };
        let end = Instant::now() + limit;
        let mut left: BTreeSet<String> = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.done)
            .map(|(uid, _)| uid.clone())
            .collect();
        while !left.is_empty() {
            tokio::select! {
                Some(uid) = self.ended.1.recv() => { left.remove(&uid); }
                Some(event) = events.next() => self.happened(event),
                Some(listed) = self.listed.1.recv() => self.look(listed),
                () = tokio::time::sleep_until(end) => {
                    tracing::warn!(pods = left.len(), "pods did not end in time");
                    break;
                }
            }
        }
        if how != Stop::Leave {
            self.remove_rest().await;
        }
    }

    /// What is still there is removed without further ado, and the network.
    async fn remove_rest(&self) {
        let engine = &self.shared.engine;
        let rest = engine.list().await.unwrap_or_default();
        let all = rest.containers.iter().chain(&rest.sandboxes).map(|seen| &seen.id);
        for id in all.chain(&rest.left_over) {
            if let Err(error) = engine.remove(id, true).await {
                tracing::warn!(%error, id, "a container is left");
            }
        }
        if let Err(error) = engine.remove_network().await {
            tracing::warn!(%error, "the network of the pods is left");
        }
    }
}

/// Pods that the engine has, and that are not known.
fn unknown(found: &View, is_known: impl Fn(&str) -> bool) -> Vec<PodRef> {
    let all = found.sandboxes.iter().chain(&found.containers).map(|seen| &seen.identity.pod);
    let unknown = all.filter(|pod| !is_known(&pod.uid));
    let by_uid: BTreeMap<&str, &PodRef> = unknown.map(|pod| (pod.uid.as_str(), pod)).collect();
    by_uid.into_values().cloned().collect()
}

/// A pod of which the engine alone knows.
fn orphan(found: &View, pod: &PodRef) -> Pod {
    let own = found.containers.iter().filter(|seen| seen.identity.pod.uid == pod.uid);
    let names: BTreeSet<&str> = own
        .filter_map(|seen| match &seen.identity.part {
            berth_cluster_docker::Part::Container(name) => Some(name.as_str()),
            berth_cluster_docker::Part::Sandbox => None,
        })
        .collect();
    let containers: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let object = json!({
        "metadata": { "namespace": pod.namespace, "name": pod.name, "uid": pod.uid },
        "spec": { "containers": containers },
    });
    serde_json::from_value(object).unwrap_or_default()
}

/// Takes down folders of pods that are not known; gives which are left, and why.
fn swept(shared: &Shared, known: &BTreeSet<String>) -> Vec<String> {
    let own = match shared.root.sweep(known) {
        Ok(swept) => swept.failed.into_iter().map(|(uid, error)| format!("{uid}: {error}")),
        Err(error) => return vec![error.to_string()],
    };
    let own: Vec<String> = own.collect();
    let Some(socket) = shared.settings.hands.as_deref().filter(|_| !own.is_empty()) else {
        return own;
    };
    Hands::new(socket).sweep(known).unwrap_or_else(|error| vec![error.to_string()])
}

/// Folders and addresses of pods that are gone.
fn tidy(shared: &Shared, found: &View, known: &BTreeSet<String>) {
    for what in swept(shared, known) {
        tracing::warn!(what, "the folder of a former pod is left");
    }
    let now = shared.micros();
    for seen in &found.sandboxes {
        for address in crate::view::addresses(seen) {
            let Ok(address) = address.parse() else { continue };
            if let Err(error) = shared.book.adopt(&seen.identity.pod.uid, address, now) {
                tracing::debug!(%error, "an address of the host's, or of a pod that is made anew");
            }
        }
    }
    for uid in shared.book.uids().iter().filter(|uid| !known.contains(*uid)) {
        if let Err(error) = shared.book.give_back(uid, now) {
            tracing::warn!(%error, uid, "the address of a former pod is not given back");
        }
    }
}
