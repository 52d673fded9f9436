// SPDX-License-Identifier: Apache-2.0
//! Each pod runs as a ServiceAccount, and gets its token, the CA and its namespace as files (upstream's ServiceAccount).

use super::{Admission, Operation, Request};
use crate::environment::suffix;
use crate::server::Inner;
use crate::write::{meta_text, metadata};
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::{Value, json};

/// Where programs look for them.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a token holds that comes with a pod; its agent renews it.
const SECONDS: i64 = 3_607;

#[derive(Debug)]
pub(crate) struct ServiceAccount;

impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn awaits(&self, request: &Request<'_>, object: &Map) -> Option<String> {
        let ask = request.ask;
        let pods = &*ask.kind.stored_as == "pods" && ask.sub.is_none();
        let said = object.get("spec").and_then(|spec| spec["serviceAccountName"].as_str());
        // A namespace that was made just now gets this one, and no other, by itself.
        let default = ["", "default"].contains(&said.unwrap_or_default());
        (pods && default && request.operation == Operation::Create)
            .then(|| format!("serviceaccounts/{}/default", ask.namespace()))
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let ask = request.ask;
        let pods = &*ask.kind.stored_as == "pods" && ask.sub.is_none();
        if !pods || request.operation != Operation::Create {
            return Ok(());
        }
        let mirror = metadata(object)
            .and_then(|meta| meta.get("annotations"))
            .is_some_and(|all| !all["kubernetes.io/config.mirror"].is_null());
        if mirror {
            return of_mirror(object);
        }
        let name = meta_text(object, "name").to_owned();
        let Some(Value::Object(spec)) = object.get_mut("spec") else { return Ok(()) };
        let account = account(spec);
        let key = format!("serviceaccounts/{}/{account}", ask.namespace());
        let Some(entry) = server.store.latest(&key) else {
            let why = format!(
                "error looking up service account {}/{account}: serviceaccount {account:?} not found",
                ask.namespace()
            );
            return Err(Refusal::forbidden("", "pods", &name, &why));
        };
        let stored = crate::shape::parse(&entry.bytes)?;
        if mounts(spec, &stored) {
            mount(spec, &format!("kube-api-access-{}", suffix(&*server.environment)));
        }
        if no_items(spec.get("imagePullSecrets"))
            && let Some(secrets) = stored.get("imagePullSecrets")
        {
            spec.insert("imagePullSecrets".to_owned(), secrets.clone());
        }
        Ok(())
    }
}

/// A pod that stands for one of an agent's own uses nothing of the cluster.
fn of_mirror(pod: &Map) -> Result<(), Refusal> {
    let account = pod.get("spec").and_then(|spec| spec["serviceAccountName"].as_str());
    if account.is_some_and(|account| !account.is_empty()) {
        let why = "a mirror pod may not reference service accounts";
        return Err(Refusal::forbidden("", "pods", meta_text(pod, "name"), why));
    }
    Ok(())
}

/// The account's name, which is set in both fields that there are for it.
fn account(spec: &mut Map) -> String {
    let said = spec.get("serviceAccountName").and_then(Value::as_str).unwrap_or_default();
    let name = if said.is_empty() { "default" } else { said }.to_owned();
    for field in ["serviceAccountName", "serviceAccount"] {
        spec.insert(field.to_owned(), name.as_str().into());
    }
    name
}

fn no_items(value: Option<&Value>) -> bool {
    value.and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// Whether the pod wants the files: it says so, or else its account does.
fn mounts(spec: &Map, account: &Map) -> bool {
    let flag = |of: &Map| of.get("automountServiceAccountToken").and_then(Value::as_bool);
    flag(spec).or_else(|| flag(account)).unwrap_or(true)
}

fn mount(spec: &mut Map, volume: &str) {
    let own = |mount: &Value| mount["mountPath"] == FOLDER;
    let mut used = false;
    for list in ["initContainers", "containers"] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if !mounts.iter().any(own) {
                mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": FOLDER }));
                used = true;
            }
        }
    }
    if !used {
        return;
    }
    let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.push(json!({ "name": volume, "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "path": "token", "expirationSeconds": SECONDS } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{
                "path": "namespace",
                "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
            }] } },
        ] } }));
    }
}
