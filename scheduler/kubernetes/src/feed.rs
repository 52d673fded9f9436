// SPDX-License-Identifier: Apache-2.0
//! Informers of all kinds that matter, and their changes in one queue.

use crate::view::{self, Kind, PodKind, PodView, Seen, State};
use berth_cluster_client::{Api, Change, Informer, Resource};
use berth_scheduler_model::objects::Event;
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

struct Start {
    api: Api,
    seed: u64,
    tasks: JoinSet<()>,
    to: UnboundedSender<Input>,
}

impl Start {
    fn inform<K: Kind>(&mut self) -> Informer<Seen<K>> {
        let (group, version, plural) = K::RESOURCE;
        self.seed = self.seed.wrapping_add(1);
        Informer::start(self.api.clone(), Resource::new(group, version, plural), self.seed)
    }

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
    /// Follows everything, and waits until what is there is known. Pods come last: nothing is decided without the nodes, and
    /// what counts on them.
    pub(crate) async fn start(api: Api, seed: u64) -> Self {
        let (to, inputs) = unbounded_channel();
        let mut start = Start { api, seed, tasks: JoinSet::new(), to };
        // All lists are under way at a time: until they are there, nobody schedules.
        let pods = start.inform::<PodKind>();
        let namespaces = start.inform::<view::Namespaces>();
        let services = start.inform::<view::Services>();
        let controllers = start.inform::<view::ReplicationControllers>();
        let replica_sets = start.inform::<view::ReplicaSets>();
        let stateful_sets = start.inform::<view::StatefulSets>();
        let budgets = start.inform::<view::Budgets>();
        let classes = start.inform::<view::StorageClasses>();
        let drivers = start.inform::<view::CsiDrivers>();
        let csi_nodes = start.inform::<view::CsiNodes>();
        let capacities = start.inform::<view::Capacities>();
        let attachments = start.inform::<view::Attachments>();
        let volumes = start.inform::<view::Volumes>();
        let claims = start.inform::<view::Claims>();
        let nodes = start.inform::<view::Nodes>();
        start.state(namespaces).await;
        start.state(services).await;
        start.state(controllers).await;
        start.state(replica_sets).await;
        start.state(stateful_sets).await;
        start.state(budgets).await;
        start.state(classes).await;
        start.state(drivers).await;
        start.state(csi_nodes).await;
        start.state(capacities).await;
        start.state(attachments).await;
        let volumes = start.state(volumes).await;
        let claims = start.state(claims).await;
        let nodes = start.state(nodes).await;
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
