// SPDX-License-Identifier: Apache-2.0
//! Does what is decided of a ReplicaSet.

use super::Controller;
use super::plan::{self, Change, Claims, KnownPod, Observed};
use super::status::{self, Failure};
use crate::batch::slow_start;
use crate::context::{body, said, unless_gone};
use crate::events::{Type, about};
use crate::expectations;
use crate::place::{PODS, REPLICA_SETS};
use crate::queue::{Key, Outcome};
use crate::template;
use crate::view::{ReplicaSet, value};
use berth_cluster_client::{CallError, Item, Media};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

impl Controller {
    pub(super) async fn carry_out(self: &Arc<Self>, key: &Key, observed: &Observed) -> Outcome {
        let claims = plan::claims(observed);
        let owned = match self.claim(&observed.set, claims).await {
            Ok(owned) => owned,
            Err(error) => return Outcome::failed(key, &error),
        };
        // A Deployment that counted on those that go would take others away, too.
        let mut going = observed.going.clone();
        let failure = match plan::change(observed, &owned) {
            Change::None => None,
            Change::Create(count) => self.create(key, &observed.set, count).await,
            Change::Delete(pods) => {
                going.extend(pods.iter().map(|pod| pod.id.uid.clone()));
                self.delete(key, &observed.set, pods).await
            }
        };
        let said = failure.as_ref().map(|(failure, _)| failure);
        let wanted = status::status(observed, &owned, &going, said);
        let set = &observed.set.view;
        if wanted != set.status
            && let Err(error) = self.write_status(&observed.set, &status::written(&wanted)).await
        {
            return Outcome::failed(key, &error);
        }
        if let Some((_, error)) = failure {
            return Outcome::failed(key, &error);
        }
        let waits = set.min_ready_seconds > 0
            && wanted.ready_replicas == set.replicas
            && wanted.available_replicas != set.replicas;
        if waits {
            return Outcome::After(Duration::from_secs(set.min_ready_seconds.unsigned_abs()));
        }
        if !observed.settled {
            // What came and went while nothing was shown is never seen: it is not waited for any longer then.
            return Outcome::After(expectations::TIMEOUT + Duration::from_millis(1));
        }
        Outcome::Done
    }

    async fn write_status(&self, set: &Item<ReplicaSet>, status: &Value) -> Result<(), CallError> {
        let mut object = value(&set.view.json);
        object["apiVersion"] = REPLICA_SETS.version.into();
        object["kind"] = REPLICA_SETS.kind.into();
        object["status"] = status.clone();
        let path = REPLICA_SETS.status(&set.id.namespace, &set.id.name);
        unless_gone(self.context.api.put(&path, body(&object)).await)
    }

    /// Takes pods and lets go of others; returns those that are the set's own now.
    async fn claim(
        &self,
        set: &Item<ReplicaSet>,
        claims: Claims,
    ) -> Result<Vec<KnownPod>, CallError> {
        let Claims { adopt, release, keep: mut owned } = claims;
        for pod in &release {
            let patch = json!({ "metadata": {
                "uid": pod.id.uid, "ownerReferences": [{ "$patch": "delete", "uid": set.id.uid }],
            } });
            let path = PODS.one(&pod.id.namespace, &pod.id.name);
            match self.context.api.patch(&path, Media::Strategic, body(&patch)).await {
                // 422: it is another pod of that name, or has lost its owners already
                Err(error) if error.code() == Some(422) => {}
                result => unless_gone(result)?,
            }
        }
        if adopt.is_empty() || !self.lives(set).await? {
            return Ok(owned);
        }
        for pod in adopt {
            let patch = json!({ "metadata": {
                "uid": pod.id.uid, "ownerReferences": [template::controller(REPLICA_SETS, &set.id)],
            } });
            let path = PODS.one(&pod.id.namespace, &pod.id.name);
            match self.context.api.patch(&path, Media::Strategic, body(&patch)).await {
                Err(error) if error.code() == Some(404) => continue,
                result => drop(result?),
            }
            owned.push(pod);
        }
        Ok(owned)
    }

    /// Whether the set is really there and not on its way out: what adopts for one that is gone would lose the pods to the collector.
    async fn lives(&self, set: &Item<ReplicaSet>) -> Result<bool, CallError> {
        let path = REPLICA_SETS.one(&set.id.namespace, &set.id.name);
        let fresh = match self.context.api.get(&path).await {
            Err(error) if error.code() == Some(404) => return Ok(false),
            result => result?,
        };
        let fresh: Value = serde_json::from_slice(&fresh).unwrap_or_default();
        let metadata = &fresh["metadata"];
        Ok(metadata["uid"] == set.id.uid.as_str() && metadata["deletionTimestamp"].is_null())
    }

    async fn create(
        self: &Arc<Self>,
        key: &Key,
        set: &Arc<Item<ReplicaSet>>,
        count: usize,
    ) -> Option<(Failure, CallError)> {
        let expected = u32::try_from(count).unwrap_or(u32::MAX);
        self.state().expectations.expect(key, expected, [].into(), self.work.now());
        let pod = template::pod(&value(&set.view.json)["spec"]["template"], REPLICA_SETS, &set.id);
        let pod = body(&pod);
        let (created, error) = slow_start(count, |_| {
            let (controller, set, pod) = (Arc::clone(self), Arc::clone(set), pod.clone());
            async move { controller.create_one(&set, pod).await }
        })
        .await;
        let error = error?;
        let mut state = self.state();
        for _ in created..count {
            state.expectations.created(key);
        }
        drop(state);
        // No namespace that is on its way out gets anything new; its end will end this.
        if said(&error).contains("because it is being terminated") {
            return None;
        }
        Some((Failure { reason: "FailedCreate", message: said(&error) }, error))
    }

    async fn create_one(&self, set: &Item<ReplicaSet>, pod: bytes::Bytes) -> Result<(), CallError> {
        let (about, recorder) = (about(REPLICA_SETS, set), &self.context.recorder);
        match self.context.api.post(&PODS.all(&set.id.namespace), pod).await {
            Ok(answer) => {
                let name = template::name(&answer);
                let text = format!("Created pod: {name}");
                recorder.record(&about, Type::Normal, "SuccessfulCreate", "Create", text);
                Ok(())
            }
            Err(error) => {
                if !said(&error).contains("because it is being terminated") {
                    let text = format!("Error creating: {}", said(&error));
                    recorder.record(&about, Type::Warning, "FailedCreate", "Create", text);
                }
                Err(error)
            }
        }
    }

    async fn delete(
        self: &Arc<Self>,
        key: &Key,
        set: &Arc<Item<ReplicaSet>>,
        pods: Vec<KnownPod>,
    ) -> Option<(Failure, CallError)> {
        let uids = pods.iter().map(|pod| pod.id.uid.clone()).collect();
        self.state().expectations.expect(key, 0, uids, self.work.now());
        let mut tasks = tokio::task::JoinSet::new();
        for pod in pods {
            let (controller, set, key) = (Arc::clone(self), Arc::clone(set), key.clone());
            tasks.spawn(async move { controller.delete_one(&key, &set, &pod).await });
        }
        let mut first = None;
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                first.get_or_insert(error);
            }
        }
        first.map(|error| (Failure { reason: "FailedDelete", message: said(&error) }, error))
    }

    async fn delete_one(
        &self,
        key: &Key,
        set: &Item<ReplicaSet>,
        pod: &KnownPod,
    ) -> Result<(), CallError> {
        let (about, recorder) = (about(REPLICA_SETS, set), &self.context.recorder);
        let options = json!({ "preconditions": { "uid": pod.id.uid } });
        let path = PODS.one(&pod.id.namespace, &pod.id.name);
        match self.context.api.delete(&path, Some(body(&options))).await {
            Ok(_) => {
                let text = format!("Deleted pod: {}", pod.id.name);
                recorder.record(&about, Type::Normal, "SuccessfulDelete", "Delete", text);
                Ok(())
            }
            Err(error) => {
                self.state().expectations.deleted(key, &pod.id.uid);
                // A conflict is no success: if another one has its name, that is seen before the next try.
                if error.code() == Some(404) {
                    return Ok(());
                }
                let text = format!("Error deleting: {}", said(&error));
                recorder.record(&about, Type::Warning, "FailedDelete", "Delete", text);
                Err(error)
            }
        }
    }
}
