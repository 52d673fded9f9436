// SPDX-License-Identifier: Apache-2.0
//! Nodes that are lost: they are marked, their pods are no longer ready, and taints drive the pods out, slowly and not if it is the network
//! that fails. What is to be done is decided in [`monitor`] and [`taints`]; here it is done.

pub mod monitor;
pub mod taints;

use crate::context::{Context, body, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::{NODES, PODS};
use crate::queue::{Key, Outcome};
use crate::replica_set::written_condition;
use crate::view::{Condition, Lease, Micros, Node, Pod, Taint};
use berth_cluster_client::{CallError, Change, Item, Media, clock};
use monitor::{Action, Moment, Monitor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Nodes that are written at a time.
const AT_ONCE: usize = 16;
/// How often all nodes are looked at (upstream's number).
const PERIOD: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct State {
    nodes: Index<Node>,
    /// By node.
    pods: Index<Pod>,
    monitor: Monitor,
    /// Nodes whose pods are to be driven out, or kept for now.
    driven: BTreeMap<String, taints::Drive>,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut nodes = begin(context.informers.nodes()).await;
    let mut pods = begin(context.informers.pods()).await;
    context.informers.leases().synced().await;
    let state = State {
        nodes: Index::new(|_| Vec::new()),
        pods: Index::new(|pod| vec![pod.view.spec.node_name.clone()]),
        monitor: Monitor::new(context.settings.node_grace),
        driven: BTreeMap::new(),
    };
    let controller = Controller::new(context, state);
    while let Some(change) = nodes.try_next() {
        controller.node_changed(&change);
    }
    while let Some(change) = pods.try_next() {
        controller.state().pods.apply(&change);
    }
    let intake = async {
        let (mut some, mut some_pods) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                count = nodes.next_many(&mut some, CHANGES) => if count == 0 { return },
                count = pods.next_many(&mut some_pods, CHANGES) => if count == 0 { return },
            }
            some.drain(..).for_each(|change| controller.node_changed(&change));
            let mut state = controller.state();
            some_pods.drain(..).for_each(|change| state.pods.apply(&change));
        }
    };
    let watch = async {
        loop {
            controller.look().await;
            tokio::time::sleep(PERIOD).await;
        }
    };
    let both = async {
        tokio::select! { biased; () = intake => {}, () = watch => {} }
    };
    // All that a look at every node needs is in it.
    Box::pin(Arc::clone(&controller).run(AT_ONCE, both, Controller::taint)).await;
}

impl Controller {
    fn node_changed(&self, change: &Change<Node>) {
        self.state().nodes.apply(change);
        if let Some(node) = &change.after {
            self.work.add(index::key(node));
        }
    }

    /// Looks at all nodes.
    async fn look(&self) {
        let leases = self.context.informers.leases();
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let steady = micros(self.work.now());
        let age = leases.age().max(self.context.informers.nodes().age());
        let shown = steady.saturating_sub(micros(age));
        let now = Moment { wall: self.context.now(), steady, shown };
        let actions = {
            let mut state = self.state();
            let nodes: Vec<_> = state.nodes.all().cloned().collect();
            let renewed = |node: &str| {
                leases
                    .get("kube-node-lease", node)
                    .and_then(|lease: Arc<Item<Lease>>| lease.view.spec.renew_time)
            };
            state.monitor.look(&nodes, renewed, now)
        };
        for action in actions {
            if let Err(error) = self.act(action).await {
                tracing::info!(%error, "a node is looked at again later");
            }
        }
    }

    async fn act(&self, action: Action) -> Result<(), CallError> {
        match action {
            Action::Lost { node, conditions } => self.lost(&node, &conditions).await,
            Action::Unready { node } => self.unready(&node).await,
            Action::Drive { node, drive } => {
                self.state().driven.insert(node.id.name.to_string(), drive);
                self.work.add(index::key(&node));
                Ok(())
            }
            Action::Forget { name } => {
                self.state().driven.remove(&name);
                Ok(())
            }
            Action::Tell { node, reason, text } => {
                let about = about(NODES, &node);
                self.context.recorder.record(&about, Type::Normal, reason, "Update", text);
                Ok(())
            }
        }
    }

    /// A node says no more how it is.
    async fn lost(&self, node: &Item<Node>, conditions: &[Condition]) -> Result<(), CallError> {
        let conditions: Value = conditions.iter().map(written_condition).collect();
        let patch = json!({ "status": { "conditions": conditions } });
        let path = NODES.status("", &node.id.name);
        unless_gone(self.context.api.patch(&path, Media::Strategic, body(&patch)).await)
    }

    /// The pods of a lost node serve nobody.
    async fn unready(&self, node: &Item<Node>) -> Result<(), CallError> {
        let pods = self.state().pods.group(&node.id.name);
        let now = clock::seconds(self.context.now().0);
        for pod in pods.iter().filter(|pod| pod.view.ready()) {
            let patch = json!({
                "metadata": { "uid": pod.id.uid },
                "status": { "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": now }] },
            });
            let path = PODS.status(&pod.id.namespace, &pod.id.name);
            match self.context.api.patch(&path, Media::Strategic, body(&patch)).await {
                // Another pod has its name.
                Err(error) if error.code() == Some(409) => {}
                result => unless_gone(result)?,
            }
            let text = "Node is not ready".to_owned();
            let about = about(PODS, pod);
            self.context.recorder.record(&about, Type::Warning, "NodeNotReady", "Update", text);
        }
        Ok(())
    }

    /// A node's taints are those that its conditions and its loss ask for.
    async fn taint(self: Arc<Self>, key: Key) -> Outcome {
        let (node, drive) = {
            let state = self.state();
            let Some(node) = state.nodes.get(&key) else { return Outcome::Done };
            (node, state.driven.get(key.name.as_str()).copied().unwrap_or_default())
        };
        let Some(wanted) = taints::wanted(&node.view, drive, self.context.now()) else {
            return Outcome::Done;
        };
        let patch = json!({
            "metadata": { "resourceVersion": node.id.resource_version },
            "spec": { "taints": wanted.iter().map(written).collect::<Value>() },
        });
        let path = NODES.one("", &key.name);
        match unless_gone(self.context.api.patch(&path, Media::Merge, body(&patch)).await) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::failed(&key, &error),
        }
    }
}

/// A taint as it is written.
fn written(taint: &Taint) -> Value {
    let mut value = json!({ "key": taint.key, "effect": taint.effect });
    if !taint.value.is_empty() {
        value["value"] = taint.value.as_str().into();
    }
    if let Some(Micros(at)) = taint.time_added {
        value["timeAdded"] = clock::seconds(at).into();
    }
    value
}
