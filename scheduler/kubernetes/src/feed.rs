// SPDX-License-Identifier: Apache-2.0
//! Informers of all kinds that matter, and their changes in one queue.

use crate::calls;
use crate::view::{self, Kind, PodView, Seen, State};
use berth_cluster_client::{Api, Change, Informer, Resource};
use berth_scheduler_model::objects::Event;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// Changes that a task hands on at a time.
const MANY: usize = 256;

/// A change of something.
#[derive(Debug)]
pub(crate) enum Input {
    /// Of a pod.
    Pod(Change<PodView>),
    /// Of anything else.
    State(Event),
}

/// What is looked at while claims are waited for.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) claims: Informer<Seen<view::Claims>>,
    pub(crate) volumes: Informer<Seen<view::Volumes>>,
    pub(crate) nodes: Informer<Seen<view::Nodes>>,
    pub(crate) pods: Informer<PodView>,
}

/// All that is followed. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Feed {
    inputs: UnboundedReceiver<Input>,
    followed: Followed,
    _tasks: JoinSet<()>,
}

/// Informers of all kinds that matter. Whoever waits to lead follows already: reading everything anew takes seconds in a large cluster.
#[derive(Debug)]
pub(crate) struct Followers {
    pods: Informer<PodView>,
    namespaces: Informer<Seen<view::Namespaces>>,
    services: Informer<Seen<view::Services>>,
    controllers: Informer<Seen<view::ReplicationControllers>>,
    replica_sets: Informer<Seen<view::ReplicaSets>>,
    stateful_sets: Informer<Seen<view::StatefulSets>>,
    budgets: Informer<Seen<view::Budgets>>,
    classes: Informer<Seen<view::StorageClasses>>,
    drivers: Informer<Seen<view::CsiDrivers>>,
    csi_nodes: Informer<Seen<view::CsiNodes>>,
    capacities: Informer<Seen<view::Capacities>>,
    attachments: Informer<Seen<view::Attachments>>,
    volumes: Informer<Seen<view::Volumes>>,
    claims: Informer<Seen<view::Claims>>,
    nodes: Informer<Seen<view::Nodes>>,
}

/// How long it may take until a new leader's informer shows what the last leader bound. Where nothing happens to pods it may be a minute until a
/// watch says that it shows everything: reading all anew is faster then.
const CURRENT: Duration = Duration::from_millis(500);

fn inform<K: Kind>(api: &Api, seed: &mut u64) -> Informer<Seen<K>> {
    let (group, version, plural) = K::RESOURCE;
    *seed = seed.wrapping_add(1);
    Informer::start(api.clone(), Resource::new(group, version, plural), *seed)
}

impl Followers {
    /// Begins to follow everything, all lists at a time: until they are there, nobody schedules.
    pub(crate) fn start(api: &Api, mut seed: u64) -> Self {
        let seed = &mut seed;
        Self {
            pods: inform(api, seed),
            namespaces: inform(api, seed),
            services: inform(api, seed),
            controllers: inform(api, seed),
            replica_sets: inform(api, seed),
            stateful_sets: inform(api, seed),
            budgets: inform(api, seed),
            classes: inform(api, seed),
            drivers: inform(api, seed),
            csi_nodes: inform(api, seed),
            capacities: inform(api, seed),
            attachments: inform(api, seed),
            volumes: inform(api, seed),
            claims: inform(api, seed),
            nodes: inform(api, seed),
        }
    }

    /// Those, if they show by now every pod that another leader bound before this one led; else new ones. A node on which pods are missing looks
    /// free, and nothing but the leader's own books keeps it from being given away twice.
    pub(crate) async fn current(self, api: &Api, seed: u64) -> Self {
        let shown = match calls::revision_of_pods(api).await {
            Some(revision) => self.pods.reaches(revision, CURRENT).await,
            None => false,
        };
        if shown { self } else { Self::start(api, seed) }
    }
}

struct Start {
    tasks: JoinSet<()>,
    to: UnboundedSender<Input>,
}

impl Start {
    async fn state<K: State>(&mut self, informer: Informer<Seen<K>>) -> Informer<Seen<K>> {
        informer.synced().await;
        let (mut changes, to) = (informer.subscribe(), self.to.clone());
        // What is there comes before what is asked for after it.
        while let Some(change) = changes.try_next() {
            if let Some(event) = event::<K>(change) {
                drop(to.send(Input::State(event)));
            }
        }
        let kept = informer.clone();
        self.tasks.spawn(async move {
            let (_kept, mut some) = (kept, Vec::new());
            while changes.next_many(&mut some, MANY).await > 0 {
                for event in some.drain(..).filter_map(event::<K>) {
                    if to.send(Input::State(event)).is_err() {
                        return;
                    }
                }
            }
        });
        informer
    }
}

/// What a change is to the engine; none if nothing that it reads has changed.
fn event<K: State>(change: Change<Seen<K>>) -> Option<Event> {
    match (change.before, change.after) {
        (Some(before), Some(after)) if before.view.0 == after.view.0 => None,
        (_, Some(after)) => Some(after.view.0.clone()),
        (Some(before), None) => Some(K::gone(&before.id)),
        (None, None) => None,
    }
}

impl Feed {
    /// Waits until what is there is known. Pods come last: nothing is decided without the nodes, and what counts on them.
    pub(crate) async fn start(followers: Followers) -> Self {
        let (to, inputs) = unbounded_channel();
        let mut start = Start { tasks: JoinSet::new(), to };
        start.state(followers.namespaces).await;
        start.state(followers.services).await;
        start.state(followers.controllers).await;
        start.state(followers.replica_sets).await;
        start.state(followers.stateful_sets).await;
        start.state(followers.budgets).await;
        start.state(followers.classes).await;
        start.state(followers.drivers).await;
        start.state(followers.csi_nodes).await;
        start.state(followers.capacities).await;
        start.state(followers.attachments).await;
        let volumes = start.state(followers.volumes).await;
        let claims = start.state(followers.claims).await;
        let nodes = start.state(followers.nodes).await;
        let pods = followers.pods;
        pods.synced().await;
        let followed = Followed { claims, volumes, nodes, pods: pods.clone() };
        let (mut changes, to) = (pods.subscribe(), start.to);
        while let Some(change) = changes.try_next() {
            drop(to.send(Input::Pod(change)));
        }
        start.tasks.spawn(async move {
            let (_informer, mut some) = (pods, Vec::new());
            while changes.next_many(&mut some, MANY).await > 0 {
                for change in some.drain(..) {
                    if to.send(Input::Pod(change)).is_err() {
                        return;
                    }
                }
            }
        });
        Self { inputs, followed, _tasks: start.tasks }
    }

    /// What is there now.
    pub(crate) fn followed(&self) -> &Followed {
        &self.followed
    }

    /// How much there is that was not taken yet.
    pub(crate) fn waiting(&self) -> usize {
        self.inputs.len()
    }

    /// Appends what there is, at most so much; waits for something if there is nothing.
    pub(crate) async fn next_many(&mut self, inputs: &mut Vec<Input>, most: usize) -> usize {
        self.inputs.recv_many(inputs, most).await
    }
}
