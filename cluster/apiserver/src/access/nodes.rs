// SPDX-License-Identifier: Apache-2.0
//! What nodes' agents may: the graph of what pods use, kept up to date by watches of the store. It is built when the first agent asks,
//! since a cluster without agents needs none, and brought up to date before each question: what an agent was shown by a watch counts
//! when it asks.

use berth_cluster_auth::node::{Authorizer, Class, Opinion};
use berth_cluster_auth::rbac::Attributes;
use berth_cluster_json::Value;
use berth_cluster_store::{Entry, Event, Interest, Store, Watch};
use futures_util::FutureExt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

/// Bytes of events that may wait. Each request takes those that there are, and each event is of a request: more than a burst never
/// waits. If that is too much everything is read anew.
const BUDGET: usize = 64 << 20;

/// What is followed, and as what.
const FOLLOWED: [(&str, Class); 3] = [
    ("pods/", Class::Pod),
    ("persistentvolumes/", Class::Volume),
    ("storage.k8s.io/volumeattachments/", Class::Attachment),
];

/// The authorizer of nodes, up to date.
#[derive(Debug)]
pub(super) struct Nodes {
    store: Store,
    /// One for each that is followed; none before the first question.
    watches: Mutex<Option<Vec<Watch>>>,
    authorizer: RwLock<Authorizer>,
}

impl Nodes {
    pub(super) fn new(store: Store) -> Self {
        Self { store, watches: Mutex::default(), authorizer: RwLock::default() }
    }

    /// Whether the agent of a node may do what is asked.
    pub(super) fn decide(&self, node: &str, asked: &Attributes<'_>) -> Opinion {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut watches);
        drop(watches);
        self.authorizer.read().unwrap_or_else(PoisonError::into_inner).decide(node, asked)
    }

    /// Takes what there is, so that not much waits for the next question; unless somebody does it already.
    pub(super) fn keep_up(&self) {
        if let Ok(mut watches) = self.watches.try_lock()
            && watches.is_some()
        {
            self.catch_up(&mut watches);
        }
    }

    fn catch_up(&self, slot: &mut MutexGuard<'_, Option<Vec<Watch>>>) {
        let whole = slot.as_mut().is_some_and(|watches| {
            FOLLOWED.iter().zip(watches).all(|((prefix, class), watch)| {
                loop {
                    match watch.next().now_or_never() {
                        None => break true,
                        Some(Ok(event)) => self.take(&event, prefix, *class),
                        Some(Err(_)) => break false,
                    }
                }
            })
        });
        if !whole {
            **slot = self.begin();
        }
    }

    fn graph(&self) -> RwLockWriteGuard<'_, Authorizer> {
        self.authorizer.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything anew, and watches from there.
    fn begin(&self) -> Option<Vec<Watch>> {
        let mut new = Authorizer::default();
        let mut watches = Vec::new();
        for (prefix, class) in FOLLOWED {
            let listing = self.store.list(prefix, None, None, 0, &|_| true).ok()?;
            for entry in &listing.entries {
                put(&mut new, class, entry);
            }
            let interest = Interest { prefix: prefix.to_owned(), ..Interest::default() };
            watches.push(self.store.watch(interest, listing.revision, BUDGET).ok()?);
        }
        *self.graph() = new;
        Some(watches)
    }

    fn take(&self, event: &Event, prefix: &str, class: Class) {
        if event.deleted {
            let key = &event.entry.key[prefix.len()..];
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            self.graph().graph.remove(class, namespace, name);
        } else if !uses_the_same(event, class) {
            put(&mut self.graph(), class, &event.entry);
        }
    }
}

/// Whether a pod is bound as it was, and has no containers that were added since: what else it uses never changes.
fn uses_the_same(event: &Event, class: Class) -> bool {
    let Some(before) = event.before.as_ref().filter(|_| class == Class::Pod) else { return false };
    let now = &event.entry;
    let text = std::str::from_utf8(&now.bytes).unwrap_or_default();
    now.meta.uid == before.meta.uid
        && node(now) == node(before)
        && (node(now).is_empty() || !text.contains("\"ephemeralContainers\""))
}

fn node(pod: &Entry) -> &str {
    pod.meta.field("spec.nodeName").unwrap_or_default()
}

fn put(authorizer: &mut Authorizer, class: Class, entry: &Entry) {
    // Most pods of a burst are not bound yet, and need not be read.
    let unbound = class == Class::Pod && node(entry).is_empty();
    let object = if unbound { None } else { crate::shape::parse(&entry.bytes).ok() };
    let Some(object) = object.map(Value::Object) else {
        let key = entry.key.split_once('/').map_or("", |(_, rest)| rest);
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        authorizer.graph.remove(class, namespace, name);
        return;
    };
    match class {
        Class::Pod => authorizer.graph.put_pod(&object),
        Class::Volume => authorizer.graph.put_volume(&object),
        _ => authorizer.graph.put_attachment(&object),
    }
}
