// SPDX-License-Identifier: Apache-2.0
//! Budgets of disruptions: how many of their pods may be evicted now. What a budget's status has to be is decided in [`plan`]; here it is
//! written. Upstream's disruption controller also marks pods that were to go and stayed; this one tells an event of them.

pub mod plan;

use crate::context::{Context, body, said, unless_gone};
use crate::controller::{self, CHANGES};
use crate::events::{Type, about};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::{BUDGETS, collection};
use crate::queue::{Key, Outcome};
use crate::view::budget::{Budget, BudgetStatus};
use crate::view::{Owner, Pod, selects, value};
use berth_cluster_client::{Change, Item, clock};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Budgets that are worked on at a time.
const AT_ONCE: usize = 4;

#[derive(Debug)]
struct State {
    /// By namespace.
    budgets: Index<Budget>,
    /// By namespace.
    pods: Index<Pod>,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut budgets = begin(context.informers.budgets()).await;
    let mut pods = begin(context.informers.pods()).await;
    context.informers.replica_sets().synced().await;
    context.informers.deployments().synced().await;
    let state = State { budgets: Index::new(index::namespace), pods: Index::new(index::namespace) };
    let controller = Controller::new(context, state);
    while let Some(change) = pods.try_next() {
        controller.state().pods.apply(&change);
    }
    let intake = async {
        let (mut some, mut some_pods) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                count = budgets.next_many(&mut some, CHANGES) => if count == 0 { return },
                count = pods.next_many(&mut some_pods, CHANGES) => if count == 0 { return },
            }
            for change in some.drain(..) {
                controller.state().budgets.apply(&change);
                change.after.iter().for_each(|budget| controller.work.add(index::key(budget)));
            }
            some_pods.drain(..).for_each(|change| controller.pod_changed(&change));
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

impl Controller {
    /// Budgets look at a pod that comes to be theirs, is theirs, or was.
    fn pod_changed(&self, change: &Change<Pod>) {
        let mut state = self.state();
        state.pods.apply(change);
        for pod in change.before.iter().chain(&change.after) {
            let labels = &pod.view.metadata.labels;
            for budget in state.budgets.members(&pod.id.namespace) {
                if selects(&budget.view.spec.selector, labels) {
                    self.work.add(index::key(budget));
                }
            }
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let (budget, pods) = {
            let state = self.state();
            let Some(budget) = state.budgets.get(&key) else { return Outcome::Done };
            let mut pods = state.pods.group(&key.namespace);
            pods.retain(|pod| selects(&budget.view.spec.selector, &pod.view.metadata.labels));
            (budget, pods)
        };
        let (about, now) = (about(BUDGETS, &budget), self.context.now());
        let recorder = &self.context.recorder;
        if pods.is_empty() {
            let text = "No matching pods found".to_owned();
            recorder.record(&about, Type::Normal, "NoPods", "Sync", text);
        }
        let wanted = if plan::asks_for_scale(&budget.view.spec) {
            self.wanted(&pods).await
        } else {
            Ok(i64::try_from(pods.len()).unwrap_or(i64::MAX))
        };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(why) => {
                let text = format!("Failed to calculate the number of expected pods: {why}");
                let reason = "CalculateExpectedPodCountFailed";
                recorder.record(&about, Type::Warning, reason, "Sync", text);
                let status = plan::failed(&budget.view, &why, now);
                let outcome = self.write(&key, &budget, &status).await;
                // What is missing may only not be seen yet.
                return if matches!(outcome, Outcome::Done) {
                    Outcome::Again(None)
                } else {
                    outcome
                };
            }
        };
        let plan = plan::plan(&budget.view, &pods, wanted, now);
        for pod in &plan.stayed {
            let text = format!("Pod {pod} was expected to be deleted but it was not");
            recorder.record(&about, Type::Warning, "NotDeleted", "Sync", text);
        }
        let outcome = self.write(&key, &budget, &plan.status).await;
        match (outcome, plan.again) {
            (Outcome::Done, Some(again)) => {
                let pause = u64::try_from(again.0.saturating_sub(now.0)).unwrap_or(0);
                Outcome::After(Duration::from_micros(pause))
            }
            (outcome, _) => outcome,
        }
    }

    /// How many pods are wanted of all that these belong to; why that is not known.
    async fn wanted(&self, pods: &[Arc<Item<Pod>>]) -> Result<i64, String> {
        let mut all: BTreeMap<String, i64> = BTreeMap::new();
        for pod in pods {
            let Some(owner) = pod.view.metadata.controller() else { continue };
            if all.contains_key(&owner.uid) {
                continue;
            }
            let scale = self.scale(&pod.id.namespace, owner).await;
            let (uid, replicas) = scale.map_err(|why| {
                let name = &pod.id.name;
                why.unwrap_or_else(|| format!("found no controllers for pod \"{name}\""))
            })?;
            all.insert(uid, replicas);
        }
        Ok(all.values().sum())
    }

    /// Who says how many pods there are to be, and how many: the owner, or a ReplicaSet's Deployment.
    async fn scale(&self, namespace: &str, owner: &Owner) -> Result<(String, i64), Option<String>> {
        let informers = &self.context.informers;
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let plural = match (group, owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                let set = informers.replica_sets().get(namespace, &owner.name);
                let set = set.filter(|set| set.id.uid == owner.uid).ok_or(None)?;
                let above = set.view.metadata.controller().filter(|one| one.kind == "Deployment");
                let Some(above) = above else { return Ok((owner.uid.clone(), set.view.replicas)) };
                let above = informers.deployments().get(namespace, &above.name).ok_or(None)?;
                return Ok((above.id.uid.clone(), above.view.spec.replicas.unwrap_or(1)));
            }
            ("apps", "StatefulSet") => "statefulsets",
            ("", "ReplicationController") => "replicationcontrollers",
            _ => return Err(None),
        };
        let path = collection(&owner.api_version, namespace, plural);
        let scale = self.context.api.get(&format!("{path}/{}/scale", owner.name)).await;
        let scale = scale.map_err(|error| Some(said(&error)))?;
        let scale: Value = serde_json::from_slice(&scale).unwrap_or_default();
        Ok((owner.uid.clone(), scale["spec"]["replicas"].as_i64().unwrap_or(0)))
    }

    async fn write(&self, key: &Key, budget: &Item<Budget>, status: &BudgetStatus) -> Outcome {
        if *status == budget.view.status {
            return Outcome::Done;
        }
        let mut object = value(&budget.view.json);
        object["apiVersion"] = BUDGETS.version.into();
        object["kind"] = BUDGETS.kind.into();
        object["status"] = written(status);
        let path = BUDGETS.status(&key.namespace, &key.name);
        // With the version that it was seen at: an eviction meanwhile has charged another one.
        match unless_gone(self.context.api.put(&path, body(&object)).await) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::failed(key, &error),
        }
    }
}

fn written(status: &BudgetStatus) -> Value {
    let conditions = status.conditions.iter().map(|one| {
        let since = one.last_transition_time.unwrap_or_default();
        json!({
            "type": one.kind, "status": one.status, "reason": one.reason, "message": one.message,
            "lastTransitionTime": clock::seconds(since.0),
            "observedGeneration": status.observed_generation,
        })
    });
    let mut object = json!({
        "observedGeneration": status.observed_generation,
        "disruptionsAllowed": status.disruptions_allowed,
        "currentHealthy": status.current_healthy,
        "desiredHealthy": status.desired_healthy,
        "expectedPods": status.expected_pods,
        "conditions": conditions.collect::<Value>(),
    });
    if !status.disrupted_pods.is_empty() {
        let pods = status.disrupted_pods.iter();
        let pods = pods.map(|(name, at)| (name.clone(), Value::from(clock::seconds(at.0))));
        object["disruptedPods"] = Value::Object(pods.collect());
    }
    object
}
