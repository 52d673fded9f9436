// SPDX-License-Identifier: Apache-2.0
//! Does what is decided of an object. What is deleted is looked at in the API before: what the graph has may be old.

use super::graph::{Object, Task};
use super::kinds::Kind;
use super::plan::{self, Facts, Fate};
use super::{Controller, PERIOD};
use crate::context::{body, unless_gone};
use crate::events::{Reference, Type};
use crate::queue::Outcome;
use crate::view::{Meta, Owner};
use berth_cluster_client::{CallError, Id, Media};
use serde::Deserialize;
use serde_json::{Value, json};

/// An object as the API has it now.
struct Live {
    id: Id,
    meta: Meta,
}

#[derive(Deserialize)]
struct Whole<T> {
    metadata: T,
}

impl Controller {
    async fn live(&self, path: &str) -> Result<Option<Live>, CallError> {
        let answer = match self.context.api.get(path).await {
            Err(error) if error.code() == Some(404) => return Ok(None),
            answer => answer?,
        };
        let id = serde_json::from_slice::<Whole<Id>>(&answer);
        let meta = serde_json::from_slice::<Whole<Meta>>(&answer);
        Ok(id.ok().zip(meta.ok()).map(|(id, meta)| Live { id: id.metadata, meta: meta.metadata }))
    }

    fn kind(&self, api_version: &str, kind: &str) -> Option<Kind> {
        self.state().kinds.find(api_version, kind).cloned()
    }

    /// Whether an object goes.
    pub(super) async fn attempt(&self, uid: &str) -> Result<Outcome, CallError> {
        let Some(object) = self.state().graph.get(uid).cloned() else { return Ok(Outcome::Done) };
        let Some(kind) = self.kind(&object.api_version, &object.kind) else {
            return Ok(Outcome::Done);
        };
        if object.foreground {
            return self.wait_or_end(uid, &object, &kind).await;
        }
        if object.deleted || object.owners.is_empty() {
            return Ok(Outcome::Done);
        }
        // As long as the graph has all owners and none waits, nothing is asked.
        let clear = {
            let state = self.state();
            object.owners.iter().all(|owner| {
                state.graph.owner(&object, owner).is_some_and(|owner| !owner.foreground)
            })
        };
        if clear {
            return Ok(Outcome::Done);
        }
        let path = kind.path(&object.namespace, &object.name);
        let Some(live) = self.live(&path).await?.filter(|live| live.id.uid == uid) else {
            return Ok(Outcome::Done);
        };
        let mut owners = Vec::new();
        let mut unseen = false;
        for owner in live.meta.owner_references.iter() {
            match self.owner(&object, &kind, owner).await? {
                Some((state, seen)) => {
                    owners.push(state);
                    unseen |= !seen;
                }
                // A kind that nobody knows now may be known later.
                None => return Ok(Outcome::Again(None)),
            }
        }
        let held = |name: &str| live.meta.finalizers.iter().any(|one| one == name);
        let dependents = self.state().graph.dependents(uid);
        let facts = Facts {
            has_dependents: !dependents.is_empty(),
            dependent_waits: dependents.iter().any(|(_, one)| one.foreground),
            foreground: held("foregroundDeletion"),
            orphans: held("orphan"),
        };
        self.carry_out(&path, &live, &owners, plan::fate(&owners, facts)).await?;
        // Of an owner that the graph does not have nobody would tell the end.
        Ok(if unseen { Outcome::After(PERIOD) } else { Outcome::Done })
    }

    async fn carry_out(
        &self,
        path: &str,
        live: &Live,
        owners: &[plan::Owner],
        fate: Fate,
    ) -> Result<(), CallError> {
        match fate {
            Fate::Stays => Ok(()),
            Fate::Disowned => {
                let all = live.meta.owner_references.iter().zip(owners);
                let kept = all.filter(|(_, state)| **state == plan::Owner::Solid);
                let kept: Vec<&Owner> = kept.map(|(owner, _)| owner).collect();
                self.owned_by(path, live, &kept).await.map(drop)
            }
            Fate::Goes { policy, unblock } => {
                let mut version = live.id.resource_version.to_string();
                if unblock {
                    version = self.let_go(path, live).await?;
                }
                let options = json!({
                    "propagationPolicy": policy.name(),
                    "preconditions": { "uid": live.id.uid, "resourceVersion": version },
                });
                unless_gone(self.context.api.delete(path, Some(body(&options))).await)
            }
        }
    }

    /// How an owner is, and whether its end would be told; none if its kind is not known.
    async fn owner(
        &self,
        object: &Object,
        kind: &Kind,
        owner: &Owner,
    ) -> Result<Option<(plan::Owner, bool)>, CallError> {
        let (known, elsewhere) = {
            let graph = &self.state().graph;
            (graph.owner(object, owner).map(|one| one.foreground), graph.elsewhere(object, owner))
        };
        match known {
            Some(true) => return Ok(Some((plan::Owner::Waits, true))),
            Some(false) => return Ok(Some((plan::Owner::Solid, true))),
            None => {}
        }
        let Some(of_owner) = self.kind(&owner.api_version, &owner.kind) else { return Ok(None) };
        // What is in no namespace cannot be owned by what is in one; nobody knows in which to look, so it stays.
        if of_owner.namespaced && elsewhere {
            self.tell_elsewhere(object, owner);
        }
        if of_owner.namespaced && !kind.namespaced {
            return Ok(Some((plan::Owner::Solid, true)));
        }
        let path = of_owner.path(&object.namespace, &owner.name);
        let live = self.live(&path).await?.filter(|live| live.id.uid == owner.uid);
        Ok(Some(match live {
            None => (plan::Owner::Absent, true),
            Some(live) => {
                let waits = live.meta.finalizers.iter().any(|one| one == "foregroundDeletion");
                let waits = live.meta.deleted() && waits;
                (if waits { plan::Owner::Waits } else { plan::Owner::Solid }, false)
            }
        }))
    }

    fn tell_elsewhere(&self, object: &Object, owner: &Owner) {
        let Owner { api_version, kind, name, uid, .. } = owner;
        let namespace = &object.namespace;
        let text = format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace \"{namespace}\""
        );
        let about = Reference {
            api_version: object.api_version.to_string(),
            kind: object.kind.to_string(),
            namespace: namespace.to_string(),
            name: object.name.to_string(),
            ..Reference::default()
        };
        self.context.recorder.record(
            &about,
            Type::Warning,
            "OwnerRefInvalidNamespace",
            "Collect",
            text,
        );
    }

    /// An object waits for those that it owns, or ends.
    async fn wait_or_end(
        &self,
        uid: &str,
        object: &Object,
        kind: &Kind,
    ) -> Result<Outcome, CallError> {
        let blocking = self.state().graph.blocking(uid);
        if !blocking.is_empty() {
            let tasks = blocking.into_iter().filter(|(_, one)| !one.foreground);
            self.add(tasks.map(|(uid, _)| Task::Delete(uid)).collect());
            if self.state().graph.waits_for_itself(uid) {
                self.unblock(uid, object, kind).await?;
            }
            return Ok(Outcome::Done);
        }
        self.release(uid, object, kind, "foregroundDeletion").await?;
        Ok(Outcome::Done)
    }

    /// Nobody waits for an object any more that is in a circle of such as wait for each other.
    async fn unblock(&self, uid: &str, object: &Object, kind: &Kind) -> Result<(), CallError> {
        let path = kind.path(&object.namespace, &object.name);
        let live = self.live(&path).await?.filter(|live| live.id.uid == uid);
        let blocks =
            |live: &Live| live.meta.owner_references.iter().any(|owner| owner.block_owner_deletion);
        match live.filter(blocks) {
            Some(live) => self.let_go(&path, &live).await.map(drop),
            None => Ok(()),
        }
    }

    /// An object's owners do not wait for it. Returns its version.
    async fn let_go(&self, path: &str, live: &Live) -> Result<String, CallError> {
        let mut all = live.meta.owner_references.to_vec();
        for owner in &mut all {
            owner.block_owner_deletion = false;
        }
        self.owned_by(path, live, &all.iter().collect::<Vec<_>>()).await
    }

    /// What an object owns is let go.
    pub(super) async fn orphan(&self, uid: &str) -> Result<Outcome, CallError> {
        let (object, dependents) = {
            let graph = &self.state().graph;
            (graph.get(uid).cloned(), graph.dependents(uid))
        };
        let Some(object) = object.filter(|object| object.orphans) else { return Ok(Outcome::Done) };
        for (uid_of_dependent, dependent) in dependents {
            let Some(kind) = self.kind(&dependent.api_version, &dependent.kind) else { continue };
            let path = kind.path(&dependent.namespace, &dependent.name);
            let live = self.live(&path).await?.filter(|live| live.id.uid == uid_of_dependent);
            let Some(live) = live else { continue };
            let all = &live.meta.owner_references;
            let kept: Vec<&Owner> = all.iter().filter(|owner| owner.uid != uid).collect();
            if kept.len() < all.len() {
                self.owned_by(&path, &live, &kept).await?;
            }
        }
        if let Some(kind) = self.kind(&object.api_version, &object.kind) {
            self.release(uid, &object, &kind, "orphan").await?;
        }
        Ok(Outcome::Done)
    }

    /// An object has these owners from now on. Returns its version.
    async fn owned_by(
        &self,
        path: &str,
        live: &Live,
        owners: &[&Owner],
    ) -> Result<String, CallError> {
        let owners: Value = owners.iter().map(|owner| {
            json!({
                "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
                "controller": owner.controller, "blockOwnerDeletion": owner.block_owner_deletion,
            })
        }).collect();
        let version = &live.id.resource_version;
        let patch =
            json!({ "metadata": { "resourceVersion": version, "ownerReferences": owners } });
        let answer = self.context.api.patch(path, Media::Merge, body(&patch)).await?;
        let changed = serde_json::from_slice::<Whole<Id>>(&answer);
        Ok(changed.map(|whole| whole.metadata.resource_version.into()).unwrap_or_default())
    }

    /// A finalizer of an object is done.
    async fn release(
        &self,
        uid: &str,
        object: &Object,
        kind: &Kind,
        finalizer: &str,
    ) -> Result<(), CallError> {
        let path = kind.path(&object.namespace, &object.name);
        let live = self.live(&path).await?.filter(|live| live.id.uid == uid);
        let Some(live) = live else { return Ok(()) };
        let kept: Vec<&String> =
            live.meta.finalizers.iter().filter(|one| *one != finalizer).collect();
        if kept.len() == live.meta.finalizers.len() {
            return Ok(());
        }
        let patch = json!({
            "metadata": { "resourceVersion": live.id.resource_version, "finalizers": kept },
        });
        unless_gone(self.context.api.patch(&path, Media::Merge, body(&patch)).await)
    }
}
