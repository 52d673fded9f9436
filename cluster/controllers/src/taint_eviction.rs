// SPDX-License-Identifier: Apache-2.0
//! Pods leave nodes whose taints they do not stand, at once or after the time that they do. When that is, is decided in [`plan`]; here it
//! is done.

pub mod plan;

use crate::context::{Context, body, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::PODS;
use crate::queue::{Key, Outcome};
use crate::view::{Node, Pod, Taint};
use berth_cluster_client::{CallError, Change, Item, Media, clock};
use plan::{Felt, Stay, felt, stay};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pods that are worked on at a time (upstream's number).
const AT_ONCE: usize = 8;

#[derive(Debug)]
struct State {
    nodes: Index<Node>,
    /// By node.
    pods: Index<Pod>,
    /// The taints of nodes that drive pods out.
    felt: BTreeMap<String, Vec<Felt>>,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut nodes = begin(context.informers.nodes()).await;
    let mut pods = begin(context.informers.pods()).await;
    let state = State {
        nodes: Index::new(|_| Vec::new()),
        pods: Index::new(|pod| vec![pod.view.spec.node_name.clone()]),
        felt: BTreeMap::new(),
    };
    let controller = Controller::new(context, state);
    while let Some(change) = nodes.try_next() {
        controller.node_changed(&change);
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
            some_pods.drain(..).for_each(|change| controller.pod_changed(&change));
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

/// The taints that drive pods out.
fn driving(node: &Node) -> Vec<&Taint> {
    node.spec.taints.iter().filter(|taint| taint.effect == "NoExecute").collect()
}

impl Controller {
    fn node_changed(&self, change: &Change<Node>) {
        let mut state = self.state();
        state.nodes.apply(change);
        let taints = |node: &Option<Arc<Item<Node>>>| -> Vec<Taint> {
            node.iter().flat_map(|node| driving(&node.view)).cloned().collect()
        };
        if taints(&change.before) == taints(&change.after) {
            return;
        }
        let name = change.before.as_ref().map(|node| &node.id.name);
        let known = name.and_then(|name| state.felt.remove(name.as_str())).unwrap_or_default();
        if let Some(node) = &change.after {
            let (wall, now) = (self.context.now(), self.work.now());
            let felt = felt(&known, &driving(&node.view), wall, now);
            state.felt.insert(node.id.name.to_string(), felt);
            let pods = state.pods.group(&node.id.name);
            for pod in &pods {
                self.work.add(index::key(pod));
            }
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let mut state = self.state();
        state.pods.apply(change);
        let Some(pod) = &change.after else { return };
        let node = state.nodes.get(&Key::new("", &pod.view.spec.node_name));
        let spec =
            |pod: &Item<Pod>| (pod.view.spec.node_name.clone(), pod.view.spec.tolerations.clone());
        let same = change.before.as_ref().is_some_and(|before| spec(before) == spec(pod));
        if !same && node.is_some_and(|node| !driving(&node.view).is_empty()) {
            self.work.add(index::key(pod));
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let (pod, felt) = {
            let state = self.state();
            let Some(pod) = state.pods.get(&key) else { return Outcome::Done };
            let Some(felt) = state.felt.get(&pod.view.spec.node_name).cloned() else {
                return Outcome::Done;
            };
            (pod, felt)
        };
        if pod.view.metadata.deleted() {
            return Outcome::Done;
        }
        let now = i64::try_from(self.work.now().as_micros()).unwrap_or(i64::MAX);
        match stay(&felt, &pod.view.spec.tolerations) {
            Stay::Ever => Outcome::Done,
            Stay::Until(at) if at > now => {
                let left = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
                Outcome::After(Duration::from_micros(left))
            }
            Stay::Until(_) => match self.evict(&pod).await {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::failed(&key, &error),
            },
        }
    }

    async fn evict(&self, pod: &Item<Pod>) -> Result<(), CallError> {
        let text = format!("Marking for deletion Pod {}/{}", pod.id.namespace, pod.id.name);
        let about = about(PODS, pod);
        self.context.recorder.record(&about, Type::Normal, "TaintManagerEviction", "Delete", text);
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": clock::seconds(self.context.now().0),
        });
        let patch =
            json!({ "metadata": { "uid": pod.id.uid }, "status": { "conditions": [condition] } });
        let path = PODS.status(&pod.id.namespace, &pod.id.name);
        // A conflict is no success: if another pod has its name, that is seen before the next try.
        unless_gone(self.context.api.patch(&path, Media::Strategic, body(&patch)).await)?;
        let options = json!({ "preconditions": { "uid": pod.id.uid } });
        let path = PODS.one(&pod.id.namespace, &pod.id.name);
        unless_gone(self.context.api.delete(&path, Some(body(&options))).await)
    }
}
