// SPDX-License-Identifier: Apache-2.0
//! Does what is decided of a Deployment.

use super::plan::{self, Observed, Plan};
use super::sets::Set;
use super::{Controller, conditions, hash};
use crate::context::{body, said, unless_gone};
use crate::events::{Type, about};
use crate::index;
use crate::place::{DEPLOYMENTS, REPLICA_SETS};
use crate::queue::{Key, Outcome};
use crate::replica_set::written_condition;
use crate::template;
use crate::view::{Deployment, DeploymentStatus, ReplicaSet, selects, value};
use berth_cluster_client::{CallError, Item, Media};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What the newest ReplicaSet's creation came to.
enum Made {
    Yes,
    /// Its name is another's.
    Taken,
    No(CallError),
}

impl Controller {
    pub(super) async fn carry_out(&self, key: &Key, observed: &Observed) -> Outcome {
        let deployment = &observed.deployment;
        if plan::selects_all(&deployment.view) {
            let text = "This deployment is selecting all pods. A non-empty selector is required.";
            self.tell(deployment, Type::Warning, "SelectingAll", text.to_owned());
        }
        let plan = plan::plan(observed);
        if let Some(set) = &plan.create {
            let mut status = deployment.view.status.clone();
            match self.create(key, deployment, set).await {
                Made::Yes => {}
                Made::Taken => {
                    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                    return match self.write_status(deployment, &status, None).await {
                        Ok(()) => Outcome::Again(None),
                        Err(error) => Outcome::failed(key, &error),
                    };
                }
                Made::No(error) => {
                    return self.not_made(key, observed, set, status, &error).await;
                }
            }
        }
        match self.apply(key, deployment, &plan).await {
            Err(error) => Outcome::failed(key, &error),
            // Half a second more than is left, so that it is over then.
            Ok(()) => plan.after.map_or(Outcome::Done, |after| {
                Outcome::After(after.saturating_add(Duration::from_secs(1)))
            }),
        }
    }

    async fn apply(
        &self,
        key: &Key,
        deployment: &Item<Deployment>,
        plan: &Plan,
    ) -> Result<(), CallError> {
        for set in &plan.update {
            self.update(key, deployment, set).await?;
        }
        for set in &plan.delete {
            let path = REPLICA_SETS.one(&set.id.namespace, &set.id.name);
            let options = json!({
                "preconditions": { "uid": set.id.uid, "resourceVersion": set.id.resource_version },
            });
            unless_gone(self.context.api.delete(&path, Some(body(&options))).await)?;
        }
        if plan.status.is_some() || plan.revision.is_some() {
            let status = plan.status.as_ref().unwrap_or(&deployment.view.status);
            self.write_status(deployment, status, plan.revision.as_deref()).await?;
        }
        Ok(())
    }

    fn tell(&self, deployment: &Item<Deployment>, kind: Type, reason: &str, text: String) {
        let action = if reason == "ScalingReplicaSet" { "Scale" } else { "Sync" };
        self.context.recorder.record(&about(DEPLOYMENTS, deployment), kind, reason, action, text);
    }

    async fn not_made(
        &self,
        key: &Key,
        observed: &Observed,
        set: &Set,
        mut status: DeploymentStatus,
        error: &CallError,
    ) -> Outcome {
        let deployment = &observed.deployment;
        // No namespace that is on its way out gets anything new; its end will end this.
        if said(error).contains("because it is being terminated") {
            return Outcome::Done;
        }
        let text = format!("Failed to create new replica set \"{}\": {}", set.name, said(error));
        conditions::not_made(&deployment.view.spec, &mut status, &text, observed.now);
        if status != deployment.view.status
            && let Err(error) = self.write_status(deployment, &status, None).await
        {
            return Outcome::failed(key, &error);
        }
        self.tell(deployment, Type::Warning, "FailedCreate", text);
        Outcome::failed(key, error)
    }

    fn wrote(&self, key: &Key, name: &str, answer: &[u8]) {
        let object: Value = serde_json::from_slice(answer).unwrap_or_default();
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let set = Key::new(&key.namespace, name);
        let mut state = self.state();
        state.written.wrote(key, set.clone(), version, self.work.now());
        // The informer may have been faster than the answer.
        if let Some(known) = state.sets.get(&set) {
            state.written.seen(key, &set, &known.id.resource_version);
        }
    }

    async fn create(&self, key: &Key, deployment: &Item<Deployment>, set: &Set) -> Made {
        let object = fresh(deployment, set);
        let path = REPLICA_SETS.all(&key.namespace);
        match self.context.api.post(&path, body(&object)).await {
            Ok(answer) => self.wrote(key, &set.name, &answer),
            Err(error) if error.code() == Some(409) => {
                let path = REPLICA_SETS.one(&key.namespace, &set.name);
                let answer = match self.context.api.get(&path).await {
                    Ok(answer) => answer,
                    Err(error) => return Made::No(error),
                };
                let found: Value = serde_json::from_slice(&answer).unwrap_or_default();
                let owners = found["metadata"]["ownerReferences"].as_array();
                let own = owners.into_iter().flatten().any(|owner| {
                    owner["controller"] == true && owner["uid"] == deployment.id.uid.as_str()
                });
                let template = &found["spec"]["template"];
                if !own || !hash::same(template, &deployment.view.spec.template) {
                    return Made::Taken;
                }
                self.wrote(key, &set.name, &answer);
                return Made::Yes;
            }
            Err(error) => return Made::No(error),
        }
        if let Some(text) = &set.told {
            self.tell(deployment, Type::Normal, "ScalingReplicaSet", text.clone());
        }
        Made::Yes
    }

    async fn update(
        &self,
        key: &Key,
        deployment: &Item<Deployment>,
        set: &Set,
    ) -> Result<(), CallError> {
        let Some(item) = &set.item else { return Ok(()) };
        let mut object = value(&item.view.json);
        object["apiVersion"] = REPLICA_SETS.version.into();
        object["kind"] = REPLICA_SETS.kind.into();
        object["metadata"]["annotations"] = json!(set.annotations);
        object["spec"]["replicas"] = set.replicas.into();
        object["spec"]["minReadySeconds"] = set.min_ready_seconds.into();
        let path = REPLICA_SETS.one(&item.id.namespace, &item.id.name);
        let answer = self.context.api.put(&path, body(&object)).await?;
        self.wrote(key, &set.name, &answer);
        if let Some(text) = &set.told {
            self.tell(deployment, Type::Normal, "ScalingReplicaSet", text.clone());
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Item<Deployment>,
        status: &DeploymentStatus,
        revision: Option<&str>,
    ) -> Result<(), CallError> {
        let mut object = value(&deployment.view.json);
        object["apiVersion"] = DEPLOYMENTS.version.into();
        object["kind"] = DEPLOYMENTS.kind.into();
        object["status"] = written(status);
        if let Some(revision) = revision {
            object["metadata"]["annotations"][super::revision::REVISION] = revision.into();
        }
        let path = DEPLOYMENTS.status(&deployment.id.namespace, &deployment.id.name);
        unless_gone(self.context.api.put(&path, body(&object)).await)
    }

    /// Takes ReplicaSets and lets go of others; returns those that are its own now.
    pub(super) async fn claim(
        &self,
        deployment: &Item<Deployment>,
    ) -> Result<Vec<Arc<Item<ReplicaSet>>>, CallError> {
        let (mine, free) = {
            let state = self.state();
            (
                state.sets.group(&index::of(&deployment.id.uid)),
                state.sets.group(&index::orphans(&deployment.id.namespace)),
            )
        };
        let view = &deployment.view;
        if view.metadata.deleted() || plan::selects_all(view) {
            return Ok(mine);
        }
        let fits =
            |set: &Arc<Item<ReplicaSet>>| selects(&view.spec.selector, &set.view.metadata.labels);
        let (mut own, lost): (Vec<_>, Vec<_>) = mine.into_iter().partition(fits);
        let patch = async |set: &Item<ReplicaSet>, owner: Value| {
            let patch = json!({ "metadata": { "uid": set.id.uid, "ownerReferences": [owner] } });
            let path = REPLICA_SETS.one(&set.id.namespace, &set.id.name);
            self.context.api.patch(&path, Media::Strategic, body(&patch)).await
        };
        for set in lost.iter().filter(|set| !set.view.metadata.deleted()) {
            match patch(set, json!({ "$patch": "delete", "uid": deployment.id.uid })).await {
                Err(error) if error.code() == Some(422) => {}
                result => unless_gone(result)?,
            }
        }
        let free: Vec<_> =
            free.into_iter().filter(|set| fits(set) && !set.view.metadata.deleted()).collect();
        if free.is_empty() || !self.lives(deployment).await? {
            return Ok(own);
        }
        for set in free {
            match patch(&set, template::controller(DEPLOYMENTS, &deployment.id)).await {
                Err(error) if error.code() == Some(404) => {}
                Err(error) => return Err(error),
                Ok(_) => own.push(set),
            }
        }
        Ok(own)
    }

    /// Whether it is really there and not on its way out.
    async fn lives(&self, deployment: &Item<Deployment>) -> Result<bool, CallError> {
        let path = DEPLOYMENTS.one(&deployment.id.namespace, &deployment.id.name);
        let fresh = match self.context.api.get(&path).await {
            Err(error) if error.code() == Some(404) => return Ok(false),
            result => result?,
        };
        let fresh: Value = serde_json::from_slice(&fresh).unwrap_or_default();
        let metadata = &fresh["metadata"];
        Ok(metadata["uid"] == deployment.id.uid.as_str() && metadata["deletionTimestamp"].is_null())
    }
}

/// A ReplicaSet that is to be made.
fn fresh(deployment: &Item<Deployment>, set: &Set) -> Value {
    let whole = value(&deployment.view.json);
    let hash = set.name.rsplit('-').next().unwrap_or_default();
    let mut template = whole["spec"]["template"].clone();
    template["metadata"]["labels"][hash::LABEL] = hash.into();
    let mut selector = whole["spec"]["selector"].clone();
    selector["matchLabels"][hash::LABEL] = hash.into();
    json!({
        "apiVersion": REPLICA_SETS.version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": set.name,
            "namespace": deployment.id.namespace,
            "ownerReferences": [template::controller(DEPLOYMENTS, &deployment.id)],
            "labels": template["metadata"]["labels"],
            "annotations": set.annotations,
        },
        "spec": {
            "replicas": set.replicas,
            "minReadySeconds": set.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}

/// A status as it is written.
fn written(status: &DeploymentStatus) -> Value {
    let mut fields = Map::new();
    let counts = [
        ("observedGeneration", status.observed_generation),
        ("replicas", status.replicas),
        ("updatedReplicas", status.updated_replicas),
        ("readyReplicas", status.ready_replicas),
        ("availableReplicas", status.available_replicas),
        ("unavailableReplicas", status.unavailable_replicas),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        fields.insert(name.to_owned(), count.into());
    }
    let pointers = [
        ("terminatingReplicas", status.terminating_replicas),
        ("collisionCount", status.collision_count),
    ];
    for (name, count) in pointers {
        if let Some(count) = count {
            fields.insert(name.to_owned(), count.into());
        }
    }
    if !status.conditions.is_empty() {
        let conditions = status.conditions.iter().map(written_condition).collect();
        fields.insert("conditions".to_owned(), conditions);
    }
    Value::Object(fields)
}
