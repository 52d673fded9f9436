// SPDX-License-Identifier: Apache-2.0
//! What each namespace has: the ServiceAccount `default` and the cluster's CA; and how one that is deleted is emptied and let go.

use super::content::Content;
use crate::local::{CallError, Local};
use crate::resources::Resources;
use crate::server::Server;
use berth_cluster_api::time;
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Entry, Interest, Watch};
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const CA: &str = "kube-root-ca.crt";
/// How soon a namespace is looked at again that is not done: first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));
/// Changes of namespaces, ServiceAccounts and config maps that wait at most, in bytes.
const BUDGET: usize = 64 << 20;

/// What is to be done for namespaces.
pub(super) struct Duties {
    /// Those that are deleted are emptied.
    pub(super) deletion: bool,
    /// Each has a ServiceAccount `default`.
    pub(super) accounts: bool,
    /// Each knows this CA.
    pub(super) ca: Option<String>,
}

struct Controller {
    server: Server,
    local: Local,
    duties: Duties,
    /// Namespaces to look at, with how often it was tried and when to try again.
    due: BTreeMap<String, (u32, Instant)>,
}

/// Runs until it is aborted.
pub(super) async fn run(server: Server, duties: Duties) {
    let local = Local::new(&server);
    let mut controller = Controller { server, local, duties, due: BTreeMap::new() };
    loop {
        if let Some(watches) = controller.begin() {
            controller.follow(watches).await;
        }
        // A watch ended: everything is looked at anew.
        tokio::time::sleep(AGAIN.0).await;
    }
}

impl Controller {
    /// Notes all namespaces, and watches from there.
    fn begin(&mut self) -> Option<[Watch; 3]> {
        let store = &self.server.0.store;
        let listing = store.list("namespaces/", None, None, 0, &|_| true).ok()?;
        for entry in &listing.entries {
            self.due.insert(name(&entry.key).to_owned(), (0, Instant::now()));
        }
        let watch = |prefix: &str| {
            let interest = Interest { prefix: prefix.to_owned(), ..Interest::default() };
            store.watch(interest, listing.revision, BUDGET).ok()
        };
        Some([watch("namespaces/")?, watch("serviceaccounts/")?, watch("configmaps/")?])
    }

    async fn follow(&mut self, [mut namespaces, mut accounts, mut maps]: [Watch; 3]) {
        loop {
            let next = self.due.values().map(|(_, at)| *at).min();
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let noted = tokio::select! {
                event = namespaces.next() => event.map(|event| self.note(&event.entry, "")),
                event = accounts.next() => event.map(|event| self.note(&event.entry, "default")),
                event = maps.next() => event.map(|event| self.note(&event.entry, CA)),
                () = timer => {
                    self.work().await;
                    Ok(())
                }
            };
            if noted.is_err() {
                return;
            }
        }
    }

    /// Notes the namespace of an object, if it is the one of interest.
    fn note(&mut self, entry: &Entry, wanted: &str) {
        let mut parts = entry.key.split('/').skip(1);
        let (namespace, object) = (parts.next().unwrap_or_default(), parts.next());
        if object.unwrap_or_default() == wanted {
            self.due.insert(namespace.to_owned(), (0, Instant::now()));
        }
    }

    async fn work(&mut self) {
        let now = Instant::now();
        let ready: Vec<String> = self
            .due
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in ready {
            let done = match self.reconcile(&name).await {
                Ok(done) => done,
                Err(error) => {
                    tracing::debug!(namespace = name, %error, "not done yet");
                    false
                }
            };
            let tries = self.due.get(&name).map_or(0, |(tries, _)| *tries);
            if done {
                self.due.remove(&name);
            } else {
                let wait = AGAIN.0.saturating_mul(1 << tries.min(10)).min(AGAIN.1);
                self.due.insert(name, (tries + 1, Instant::now() + wait));
            }
        }
    }

    /// Brings a namespace to where it has to be; whether it is there.
    async fn reconcile(&self, name: &str) -> Result<bool, CallError> {
        let Some(entry) = self.server.0.store.get(&format!("namespaces/{name}")) else {
            return Ok(true);
        };
        if entry.meta.deletion.is_some() {
            return if self.duties.deletion { self.empty(name, &entry).await } else { Ok(true) };
        }
        self.equip(name).await?;
        Ok(true)
    }

    async fn equip(&self, namespace: &str) -> Result<(), CallError> {
        let store = &self.server.0.store;
        let all = format!("/api/v1/namespaces/{namespace}");
        let missing = store.get(&format!("serviceaccounts/{namespace}/default")).is_none();
        if self.duties.accounts && missing {
            let account = json!({ "metadata": { "name": "default" } });
            self.make(&format!("{all}/serviceaccounts"), &account).await?;
        }
        let Some(ca) = &self.duties.ca else { return Ok(()) };
        let data = json!({ "ca.crt": ca });
        match store.get(&format!("configmaps/{namespace}/{CA}")) {
            None => {
                let about = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
                             internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
                             Kubernetes clusters.";
                let map = json!({
                    "metadata": { "name": CA, "annotations": { "kubernetes.io/description": about } },
                    "data": data,
                });
                self.make(&format!("{all}/configmaps"), &map).await
            }
            Some(entry) => {
                let map: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
                if map["data"] == data {
                    return Ok(());
                }
                let path = format!("{all}/configmaps/{CA}");
                self.local
                    .call(Method::PATCH, &path, Some(&json!({ "data": data })))
                    .await
                    .map(drop)
            }
        }
    }

    async fn make(&self, path: &str, object: &Value) -> Result<(), CallError> {
        match self.local.call(Method::POST, path, Some(object)).await {
            Err(error) if error.code != 409 => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes what is in a namespace; whether the namespace could go.
    async fn empty(&self, name: &str, entry: &Entry) -> Result<bool, CallError> {
        let namespace: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
        let finalizers = namespace["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|one| one == "kubernetes") {
            // Somebody else is to let it go.
            return Ok(true);
        }
        let resources = self.server.resources();
        let failures = self.delete_all(name, &resources).await;
        let mut content = self.look(name, &resources);
        for why in failures {
            content.failed(why);
        }
        if !content.is_empty() {
            self.tell(name, &namespace, &content).await?;
            return Ok(false);
        }
        let kept: Vec<&Value> = finalizers.iter().filter(|one| *one != "kubernetes").collect();
        let last = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": namespace["metadata"],
            "spec": { "finalizers": kept },
        });
        let path = format!("/api/v1/namespaces/{name}/finalize");
        match self.local.call(Method::PUT, &path, Some(&last)).await {
            Err(error) if error.code != 404 => Err(error),
            _ => Ok(true),
        }
    }

    async fn delete_all(&self, name: &str, resources: &Resources) -> Vec<String> {
        let mut failures = Vec::new();
        for kind in stored(resources) {
            let prefix = format!("{}/{name}/", kind.stored_as);
            let found = self.server.0.store.list(&prefix, None, None, 1, &|_| true);
            if found.is_ok_and(|found| found.entries.is_empty()) {
                continue;
            }
            let root = if kind.group.is_empty() {
                "/api/v1".to_owned()
            } else {
                format!("/apis/{}/{}", kind.group, kind.version)
            };
            let path =
                format!("{root}/namespaces/{name}/{}?propagationPolicy=Background", kind.plural);
            if let Err(error) = self.local.call(Method::DELETE, &path, None).await {
                failures.push(error.to_string());
            }
        }
        failures
    }

    fn look(&self, name: &str, resources: &Resources) -> Content {
        let mut content = Content::default();
        for kind in stored(resources) {
            let prefix = format!("{}/{name}/", kind.stored_as);
            let found = self.server.0.store.list(&prefix, None, None, 0, &|_| true);
            for entry in found.into_iter().flat_map(|found| found.entries) {
                content.add(&kind.group, &kind.plural, &entry);
            }
        }
        content
    }

    async fn tell(
        &self,
        name: &str,
        namespace: &Value,
        content: &Content,
    ) -> Result<(), CallError> {
        let before = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let now = time::seconds(self.server.0.environment.now().seconds).unwrap_or_default();
        let conditions = content.conditions(&before, &now);
        if conditions == before {
            return Ok(());
        }
        let patch = json!({ "status": { "conditions": conditions } });
        let path = format!("/api/v1/namespaces/{name}/status");
        self.local.call(Method::PATCH, &path, Some(&patch)).await.map(drop)
    }
}

/// The name in a key `namespaces/NAME`.
fn name(key: &str) -> &str {
    key.split_once('/').map_or("", |(_, name)| name)
}

/// The kinds that live in namespaces, one for each place where objects are kept.
fn stored(resources: &Resources) -> Vec<Arc<berth_cluster_api::registry::Kind>> {
    let mut seen = BTreeSet::new();
    let namespaced = resources.kinds().filter(|kind| kind.namespaced);
    namespaced.filter(|kind| seen.insert(Arc::clone(&kind.stored_as))).cloned().collect()
}
