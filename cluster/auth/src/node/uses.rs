// SPDX-License-Identifier: Apache-2.0
//! What pods and volumes use that an agent has to read for them.

use super::Class;
use berth_cluster_json::Value;
use std::collections::BTreeSet;

/// Kinds of volumes whose `secretRef` names a Secret.
const BY_REFERENCE: [&str; 7] =
    ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"];

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// The objects of its namespace that a pod of this name and spec uses, each once.
pub fn of_pod(name: &str, spec: &Value) -> BTreeSet<(Class, String)> {
    let mut all = Used::default();
    all.add(Class::Account, &spec["serviceAccountName"]);
    for secret in list(spec, "imagePullSecrets") {
        all.add(Class::Secret, &secret["name"]);
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(spec, containers) {
            all.container(container);
        }
    }
    for volume in list(spec, "volumes") {
        all.volume(name, volume);
    }
    all.0
}

#[derive(Default)]
struct Used(BTreeSet<(Class, String)>);

impl Used {
    fn add(&mut self, class: Class, name: &Value) {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            self.0.insert((class, name.to_owned()));
        }
    }

    fn container(&mut self, container: &Value) {
        for source in list(container, "envFrom") {
            self.add(Class::Secret, &source["secretRef"]["name"]);
            self.add(Class::ConfigMap, &source["configMapRef"]["name"]);
        }
        for variable in list(container, "env") {
            let from = &variable["valueFrom"];
            self.add(Class::Secret, &from["secretKeyRef"]["name"]);
            self.add(Class::ConfigMap, &from["configMapKeyRef"]["name"]);
        }
    }

    fn volume(&mut self, pod: &str, volume: &Value) {
        self.add(Class::Secret, &volume["secret"]["secretName"]);
        self.add(Class::ConfigMap, &volume["configMap"]["name"]);
        for source in list(&volume["projected"], "sources") {
            self.add(Class::Secret, &source["secret"]["name"]);
            self.add(Class::ConfigMap, &source["configMap"]["name"]);
        }
        self.add(Class::Secret, &volume["azureFile"]["secretName"]);
        self.add(Class::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
        for kind in BY_REFERENCE {
            self.add(Class::Secret, &volume[kind]["secretRef"]["name"]);
        }
        self.add(Class::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if volume["ephemeral"].is_object() {
            let own = format!("{pod}-{}", volume["name"].as_str().unwrap_or_default());
            self.add(Class::Claim, &own.into());
        }
    }
}

/// The Secrets, by namespace and name, that an agent needs for a volume. Those of a driver's controller are not among them.
pub(super) fn of_volume(volume: &Value) -> BTreeSet<(String, String)> {
    let spec = &volume["spec"];
    let claim = spec["claimRef"]["namespace"].as_str().unwrap_or_default();
    let mut all = BTreeSet::new();
    let mut add = |namespace: &Value, name: &Value| {
        // One that names no namespace means the claim's.
        let namespace = namespace.as_str().filter(|one| !one.is_empty()).unwrap_or(claim);
        if let Some(name) = name.as_str().filter(|one| !one.is_empty()) {
            all.insert((namespace.to_owned(), name.to_owned()));
        }
    };
    let azure = &spec["azureFile"];
    add(&azure["secretNamespace"], &azure["secretName"]);
    for kind in BY_REFERENCE {
        let secret = &spec[kind]["secretRef"];
        add(&secret["namespace"], &secret["name"]);
    }
    for field in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
        let secret = &spec["csi"][field];
        add(&secret["namespace"], &secret["name"]);
    }
    all
}
