// SPDX-License-Identifier: Apache-2.0
//! Where objects of a kind are in the API.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What may not stand in a segment of a path.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// A kind in the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Its group and version, empty group as `v1`.
    pub(crate) version: &'static str,
    /// Its name.
    pub(crate) kind: &'static str,
    /// Its name in the plural.
    pub(crate) plural: &'static str,
}

const fn place(version: &'static str, kind: &'static str, plural: &'static str) -> Place {
    Place { version, kind, plural }
}

pub(crate) const PODS: Place = place("v1", "Pod", "pods");
pub(crate) const NODES: Place = place("v1", "Node", "nodes");
pub(crate) const SERVICES: Place = place("v1", "Service", "services");
pub(crate) const ENDPOINTS: Place = place("v1", "Endpoints", "endpoints");
pub(crate) const SLICES: Place = place("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
pub(crate) const BUDGETS: Place = place("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets");
pub(crate) const LEASES: Place = place("coordination.k8s.io/v1", "Lease", "leases");
pub(crate) const REPLICA_SETS: Place = place("apps/v1", "ReplicaSet", "replicasets");
pub(crate) const CERTIFICATES: Place =
    place("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests");
pub(crate) const DEPLOYMENTS: Place = place("apps/v1", "Deployment", "deployments");

impl Place {
    /// The group; empty for the core's.
    pub(crate) fn group(&self) -> &'static str {
        self.version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The version, without the group.
    pub(crate) fn bare_version(&self) -> &'static str {
        self.version.rsplit('/').next().unwrap_or_default()
    }

    /// The path of all of a namespace; of all there are, or those without a namespace, if it is empty.
    pub(crate) fn all(&self, namespace: &str) -> String {
        collection(self.version, namespace, self.plural)
    }

    /// The path of one.
    pub(crate) fn one(&self, namespace: &str, name: &str) -> String {
        object(self.version, namespace, self.plural, name)
    }

    /// The path of its status.
    pub(crate) fn status(&self, namespace: &str, name: &str) -> String {
        format!("{}/status", self.one(namespace, name))
    }
}

/// The path of a collection.
pub(crate) fn collection(version: &str, namespace: &str, plural: &str) -> String {
    let root = if version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        "" => format!("{root}/{version}/{plural}"),
        namespace => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
    }
}

/// The path of an object.
pub(crate) fn object(version: &str, namespace: &str, plural: &str, name: &str) -> String {
    let name = utf8_percent_encode(name, SEGMENT);
    format!("{}/{name}", collection(version, namespace, plural))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(PODS.one("n", "a"), "/api/v1/namespaces/n/pods/a");
        assert_eq!(NODES.status("", "a"), "/api/v1/nodes/a/status");
        assert_eq!(SLICES.all("n"), "/apis/discovery.k8s.io/v1/namespaces/n/endpointslices");
        assert_eq!(
            object("rbac.authorization.k8s.io/v1", "", "clusterroles", "a b:c"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%20b:c"
        );
        assert_eq!(
            (SLICES.group(), SLICES.bare_version(), PODS.group()),
            ("discovery.k8s.io", "v1", "")
        );
    }
}
