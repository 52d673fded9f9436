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

/// All that is followed. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Feed {
    inputs: UnboundedReceiver<Input>,
    claims: Informer<Seen<view::Claims>>,
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

    async fn state<K: State>(&mut self) -> Informer<Seen<K>> {
        let informer = self.inform::<K>();
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
        // Pods are many: their list goes on while the others are read.
        let pods = start.inform::<PodKind>();
        start.state::<view::Namespaces>().await;
        start.state::<view::Services>().await;
        start.state::<view::ReplicationControllers>().await;
        start.state::<view::ReplicaSets>().await;
        start.state::<view::StatefulSets>().await;
        start.state::<view::Budgets>().await;
        start.state::<view::StorageClasses>().await;
        start.state::<view::CsiDrivers>().await;
        start.state::<view::CsiNodes>().await;
        start.state::<view::Capacities>().await;
        start.state::<view::Attachments>().await;
        start.state::<view::Volumes>().await;
        let claims = start.state::<view::Claims>().await;
        start.state::<view::Nodes>().await;
        pods.synced().await;
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
        Self { inputs, claims, _tasks: start.tasks }
    }

    /// Claims as they are.
    pub(crate) fn claims(&self) -> &Informer<Seen<view::Claims>> {
        &self.claims
    }

    /// Appends what there is, at most so much; waits for something if there is nothing.
    pub(crate) async fn next_many(&mut self, inputs: &mut Vec<Input>, most: usize) -> usize {
        self.inputs.recv_many(inputs, most).await
    }
}
