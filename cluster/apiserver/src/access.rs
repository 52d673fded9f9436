// SPDX-License-Identifier: Apache-2.0
//! May they: what nodes' agents may, then roles and bindings of the store, compiled, and brought up to date before each question. A
//! role that was acknowledged counts for the next request.

mod nodes;

use berth_cluster_auth::node::{Opinion, node_of};
use berth_cluster_auth::rbac::{Attributes, Decision, Index};
use berth_cluster_auth::user::MASTERS;
use berth_cluster_json::Value;
use berth_cluster_store::{Entry, Interest, Store, Watch};
use futures_util::FutureExt;
use nodes::Nodes;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

const PREFIX: &str = "rbac.authorization.k8s.io/";
const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/clusterroles/";
/// Changes of roles are few and are read before each request: this many bytes never wait.
const BUDGET: usize = 256 << 20;

/// Roles and bindings, as they are.
#[derive(Debug)]
pub(crate) struct Access {
    store: Store,
    watch: Mutex<Option<Watch>>,
    index: RwLock<Index>,
    nodes: Nodes,
}

impl Access {
    pub(crate) fn new(store: Store) -> Self {
        let nodes = Nodes::new(store.clone());
        Self { store, watch: Mutex::new(None), index: RwLock::new(Index::default()), nodes }
    }

    /// Whether it is allowed: by what nodes may, or by roles.
    pub(crate) fn allowed(&self, asked: &Attributes<'_>) -> Decision {
        let mut why = String::new();
        match node_of(asked.user) {
            Some(node) if !asked.user.is_in(MASTERS) => match self.nodes.decide(node, asked) {
                Opinion::Allowed => return Decision { allowed: true, reason: String::new() },
                Opinion::None(reason) => why = reason,
            },
            _ => self.nodes.keep_up(),
        }
        let decision = self.index().allowed(asked);
        if decision.allowed { decision } else { Decision { allowed: false, reason: why } }
    }

    /// All roles and bindings, up to date.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut watch);
        drop(watch);
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn catch_up(&self, slot: &mut Option<Watch>) {
        let mut roles = false;
        while let Some(watch) = slot {
            match watch.next().now_or_never() {
                None => break,
                Some(Ok(event)) => {
                    roles |= event.entry.key.starts_with(CLUSTER_ROLES);
                    self.take(&event.entry, event.deleted);
                }
                Some(Err(_)) => *slot = None,
            }
        }
        if slot.is_none() {
            *slot = self.begin();
        } else if roles {
            self.aggregate();
        }
    }

    /// Reads everything anew, and watches from there.
    fn begin(&self) -> Option<Watch> {
        let listing = self.store.list(PREFIX, None, None, 0, &|_| true).ok()?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Index::default();
        for entry in &listing.entries {
            self.take(entry, false);
        }
        self.aggregate();
        let interest = Interest { prefix: PREFIX.to_owned(), ..Interest::default() };
        self.store.watch(interest, listing.revision, BUDGET).ok()
    }

    fn take(&self, entry: &Entry, deleted: bool) {
        let mut parts = entry.key[PREFIX.len()..].split('/');
        let kind = match parts.next() {
            Some("roles") => "Role",
            Some("clusterroles") => "ClusterRole",
            Some("rolebindings") => "RoleBinding",
            Some("clusterrolebindings") => "ClusterRoleBinding",
            _ => return,
        };
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match (deleted, serde_json::from_slice::<Value>(&entry.bytes)) {
            (false, Ok(object)) => index.put(kind, &object),
            _ => match second {
                Some(name) => index.remove(kind, first, name),
                None => index.remove(kind, "", first),
            },
        }
    }

    /// Compiles the ClusterRoles that are made of others.
    fn aggregate(&self) {
        let Ok(listing) = self.store.list(CLUSTER_ROLES, None, None, 0, &|_| true) else { return };
        let read = |entry: &std::sync::Arc<Entry>| serde_json::from_slice(&entry.bytes).ok();
        let all: Vec<Value> = listing.entries.iter().filter_map(read).collect();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for role in all.iter().filter(|role| role["aggregationRule"].is_object()) {
            index.put_aggregated(role, &all);
        }
    }
}
