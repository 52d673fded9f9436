// SPDX-License-Identifier: Apache-2.0
//! Follows all kinds, of which only metadata are kept.

use super::graph::Object;
use super::kinds::{Kind, Kinds};
use super::{Controller, FIRST};
use crate::controller::CHANGES;
use crate::view::{Owner, nullable, read};
use berth_cluster_client::{
    Change, Informer, Item, ObjectError, Pool, Resource, Subscription, View,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is kept of an object: there is one of these for each that the cluster has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owned {
    metadata: Bonds,
}

/// Of its metadata, who owns it and what holds it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Bonds {
    #[serde(deserialize_with = "nullable")]
    owner_references: Arc<Vec<Owner>>,
    #[serde(deserialize_with = "nullable")]
    finalizers: Arc<Vec<String>>,
    deletion_timestamp: Option<IgnoredAny>,
}

impl View for Owned {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json)
    }

    fn share(&mut self, pool: &mut Pool) {
        let Bonds { owner_references, finalizers, .. } = &mut self.metadata;
        *owner_references = pool.part(std::mem::take(owner_references));
        *finalizers = pool.part(std::mem::take(finalizers));
    }
}

fn object(kind: &Kind, item: &Item<Owned>) -> Object {
    let bonds = &item.view.metadata;
    let deleted = bonds.deletion_timestamp.is_some();
    let held = |name: &str| deleted && bonds.finalizers.iter().any(|one| one == name);
    Object {
        api_version: kind.api_version().into(),
        kind: kind.kind.as_str().into(),
        namespace: item.id.namespace.clone(),
        name: item.id.name.clone(),
        owners: Arc::clone(&bonds.owner_references),
        deleted,
        foreground: held("foregroundDeletion"),
        orphans: held("orphan"),
    }
}

impl Controller {
    /// Follows what is new among the kinds, and no longer what is not there. False if nobody says which there are.
    pub(super) async fn discover(self: &Arc<Self>, first: bool) -> bool {
        let kinds = match Kinds::ask(&self.context.api).await {
            Ok(kinds) => kinds,
            Err(error) => {
                tracing::warn!(%error, "it is not known which kinds there are");
                return false;
            }
        };
        let mut wanted: BTreeMap<String, Kind> =
            kinds.all().map(|kind| (kind.collection(), kind.clone())).collect();
        {
            let mut state = self.state();
            state.kinds = kinds;
            state.followed.retain(|path, task| {
                let stays = wanted.remove(path).is_some();
                if !stays {
                    task.abort();
                }
                stays
            });
        }
        let begun: Vec<_> =
            wanted.into_iter().map(|(path, kind)| (path, self.begin(kind))).collect();
        let end = tokio::time::Instant::now() + FIRST;
        for (path, (kind, informer, mut changes)) in begun {
            if first {
                if tokio::time::timeout_at(end, informer.synced()).await.is_err() {
                    tracing::warn!(path, "the objects of this kind are not known yet");
                }
                // What is there is taken in before anything is decided: who waits for what it owns has to know it.
                let mut some = std::iter::from_fn(|| changes.try_next()).collect();
                self.take(&kind, &mut some);
            }
            let controller = Arc::clone(self);
            let task =
                tokio::spawn(async move { controller.follow(kind, informer, changes).await });
            self.state().followed.insert(path, task.abort_handle());
        }
        true
    }

    fn begin(&self, kind: Kind) -> (Kind, Informer<Owned>, Subscription<Owned>) {
        let resource = Resource::new(&kind.group, &kind.version, &kind.plural);
        let seed = kind.plural.len() as u64;
        let informer = Informer::start(self.context.api.clone(), resource, seed);
        let changes = informer.subscribe();
        (kind, informer, changes)
    }

    async fn follow(
        self: Arc<Self>,
        kind: Kind,
        informer: Informer<Owned>,
        mut changes: Subscription<Owned>,
    ) {
        let mut some = Vec::new();
        while changes.next_many(&mut some, CHANGES).await > 0 {
            self.take(&kind, &mut some);
        }
        drop(informer);
    }

    fn take(&self, kind: &Kind, some: &mut Vec<Change<Owned>>) {
        let mut tasks = Vec::new();
        let mut state = self.state();
        for Change { before, after } in some.drain(..) {
            match (before, after) {
                (_, Some(after)) => {
                    tasks.extend(state.graph.set(&after.id.uid, object(kind, &after)));
                }
                (Some(before), None) => tasks.extend(state.graph.remove(&before.id.uid)),
                (None, None) => {}
            }
        }
        drop(state);
        self.add(tasks);
    }
}
