// SPDX-License-Identifier: Apache-2.0
//! A node's agent writes what is its own, and only of that what is its to say (upstream's NodeRestriction).

use super::{Admission, Operation, Request};
use crate::ask::Ask;
use crate::server::Inner;
use crate::write::{meta_text, metadata};
use berth_cluster_api::registry::Subresource;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_auth::node::{Class, LEASES, node_of, of_pod};
use berth_cluster_json::Value;
use std::collections::BTreeSet;

const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels of Kubernetes' own that an agent may set.
const LABELS: [&str; 10] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
];
/// Domains below which an agent may set any label.
const DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Where only administrators set labels.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// What an agent tells of a claim.
const OF_CLAIM: [&str; 4] =
    ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];

#[derive(Debug)]
pub(crate) struct NodeRestriction;

/// A write by a node's agent.
struct Write<'a> {
    server: &'a Inner,
    node: &'a str,
    ask: &'a Ask,
    operation: Operation,
    old: Option<&'a Map>,
    new: &'a Map,
}

impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn admit_below(&self, server: &Inner, ask: &Ask, sent: &Map) -> Result<(), Refusal> {
        let Some(node) = node_of(&ask.user) else { return Ok(()) };
        let write = Write { server, node, ask, operation: Operation::Create, old: None, new: sent };
        write.named()?;
        match (&*ask.kind.stored_as, ask.sub) {
            ("pods", Some(Subresource::Eviction)) => write.evict(&write.pod(&ask.target.name)?),
            ("serviceaccounts", Some(Subresource::Token)) => write.token(),
            _ => write.whole(),
        }
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let Request { ask, operation, old } = *request;
        let Some(node) = node_of(&ask.user) else { return Ok(()) };
        let write = Write { server, node, ask, operation, old, new: object };
        write.named()?;
        write.whole()
    }
}

impl Write<'_> {
    fn named(&self) -> Result<(), Refusal> {
        if self.node.is_empty() {
            return self.no(format!("could not determine node from user {:?}", self.ask.user.name));
        }
        Ok(())
    }

    fn whole(&self) -> Result<(), Refusal> {
        match (&*self.ask.kind.stored_as, self.ask.sub) {
            ("pods", None) => self.pod_itself(),
            ("pods", Some(Subresource::Status)) => self.pod_status(),
            // The pod that goes, once its eviction was let through.
            ("pods", Some(Subresource::Eviction)) => self.evict(self.old.unwrap_or(self.new)),
            ("pods", Some(other)) => self.no(format!(
                "unexpected pod subresource {:?}, only 'status' and 'eviction' are allowed",
                other.name()
            )),
            ("nodes", _) => self.node(),
            ("persistentvolumeclaims", Some(Subresource::Status)) => self.claim_status(),
            ("persistentvolumeclaims", _) => self.no("may only update PVC status"),
            ("coordination.k8s.io/leases", _) => self.lease(),
            ("storage.k8s.io/csinodes", _) if self.name() != self.node => {
                self.no("can only access CSINode with the same name as the requesting node")
            }
            _ => Ok(()),
        }
    }

    /// 403, about the object.
    fn no<T>(&self, why: impl AsRef<str>) -> Result<T, Refusal> {
        let kind = &self.ask.kind;
        let mut name = self.name();
        if name.is_empty() {
            name = meta_text(self.new, "generateName");
        }
        let name = if name.is_empty() { "Unknown" } else { name };
        Err(Refusal::forbidden(&kind.group, &kind.plural, name, why.as_ref()))
    }

    /// The object's name; of a new one, what it says itself.
    fn name(&self) -> &str {
        let of_path = self.ask.target.name.as_str();
        if of_path.is_empty() { meta_text(self.old.unwrap_or(self.new), "name") } else { of_path }
    }

    fn pod(&self, name: &str) -> Result<Map, Refusal> {
        let key = format!("pods/{}/{name}", self.ask.namespace());
        let entry = self.server.store.latest(&key);
        let entry = entry.ok_or_else(|| Refusal::not_found("", "pods", name))?;
        crate::shape::parse(&entry.bytes)
    }

    fn is_own(&self, pod: &Map) -> bool {
        pod.get("spec").is_some_and(|spec| spec["nodeName"] == self.node)
    }

    fn pod_itself(&self) -> Result<(), Refusal> {
        let node = self.node;
        match self.operation {
            Operation::Create => self.mirror(),
            Operation::Delete if self.is_own(self.old.unwrap_or(self.new)) => Ok(()),
            Operation::Delete => {
                self.no(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            Operation::Update => self.no(format!(
                "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
            )),
        }
    }

    /// A new pod: one that stands for a pod of the agent's own, and uses nothing of the cluster.
    fn mirror(&self) -> Result<(), Refusal> {
        let (node, pod) = (self.node, self.new);
        let annotations = metadata(pod).and_then(|meta| meta.get("annotations"));
        if annotations.is_none_or(|all| all[MIRROR].is_null()) {
            return self.no(format!(
                "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
            ));
        }
        if !self.is_own(pod) {
            return self.no(format!(
                "node {node:?} can only create pods with spec.nodeName set to itself"
            ));
        }
        self.owned_by_node()?;
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        let used = of_pod(meta_text(pod, "name"), spec);
        for (class, what) in [
            (Class::Account, "a service account"),
            (Class::Secret, "secrets"),
            (Class::ConfigMap, "configmaps"),
        ] {
            if used.iter().any(|(of, _)| *of == class) {
                return self.no(format!("node {node:?} can not create pods that reference {what}"));
            }
        }
        let volumes = spec["volumes"].as_array().map_or(&[][..], Vec::as_slice);
        let sources = volumes.iter().filter_map(|one| one["projected"]["sources"].as_array());
        if sources.flatten().any(|source| !source["clusterTrustBundle"].is_null()) {
            return self.no(format!(
                "node {node:?} can not create pods that reference clustertrustbundles"
            ));
        }
        if used.iter().any(|(of, _)| *of == Class::Claim) {
            return self.no(format!(
                "node {node:?} can not create pods that reference persistentvolumeclaims"
            ));
        }
        Ok(())
    }

    /// The new pod goes with the node's object, and with nothing else.
    fn owned_by_node(&self) -> Result<(), Refusal> {
        let node = self.node;
        let owners = metadata(self.new).and_then(|meta| meta.get("ownerReferences"));
        let owners = owners.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let [owner] = owners else {
            let one = if owners.is_empty() { "an" } else { "a single" };
            return self.no(format!(
                "node {node:?} can only create pods with {one} owner reference set to itself"
            ));
        };
        if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
            return self.no(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        if owner["controller"] != true {
            return self.no(format!(
                "node {node:?} can only create pods with a controller owner reference set to itself"
            ));
        }
        if owner["blockOwnerDeletion"] == true {
            return self.no(format!(
                "node {node:?} must not set blockOwnerDeletion on an owner reference"
            ));
        }
        let entry = self.server.store.latest(&format!("nodes/{node}"));
        let entry = entry.ok_or_else(|| Refusal::not_found("", "nodes", node))?;
        let uid = owner["uid"].as_str().unwrap_or_default();
        if uid != entry.meta.uid {
            let own = &entry.meta.uid;
            return self.no(format!("node {node} UID mismatch: expected {uid} got {own}"));
        }
        Ok(())
    }

    fn pod_status(&self) -> Result<(), Refusal> {
        let (node, Some(old)) = (self.node, self.old) else { return Ok(()) };
        if !self.is_own(old) {
            return self.no(format!(
                "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
            ));
        }
        if !changed_labels(self.new, Some(old)).is_empty() {
            return self.no(format!("node {node:?} cannot update labels through pod status"));
        }
        let claims = |pod: &Map| {
            let claims = pod.get("status").map(|status| status["resourceClaimStatuses"].clone());
            claims.filter(|claims| claims.as_array().is_some_and(|all| !all.is_empty()))
        };
        if claims(self.new) != claims(old) {
            return self.no(format!("node {node:?} cannot update resource claim statues"));
        }
        Ok(())
    }

    fn evict(&self, pod: &Map) -> Result<(), Refusal> {
        if self.is_own(pod) {
            return Ok(());
        }
        let node = self.node;
        self.no(format!("node {node} can only evict pods with spec.nodeName set to itself"))
    }

    fn claim_status(&self) -> Result<(), Refusal> {
        let (node, Some(old)) = (self.node, self.old) else { return Ok(()) };
        let rest = |claim: &Map| {
            let mut claim = claim.clone();
            if let Some(status) = claim.get_mut("status").and_then(Value::as_object_mut) {
                status.retain(|field, _| !OF_CLAIM.contains(&field.as_str()));
            }
            // A status in which nothing else was is as none.
            claim.retain(|field, value| {
                field != "status" || value.as_object().is_some_and(|status| !status.is_empty())
            });
            if let Some(meta) = claim.get_mut("metadata").and_then(Value::as_object_mut) {
                meta.retain(|field, value| {
                    !["resourceVersion", "managedFields"].contains(&field.as_str())
                        && !value.is_null()
                });
            }
            claim
        };
        if rest(self.new) == rest(old) {
            return Ok(());
        }
        self.no(format!(
            "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
        ))
    }

    fn node(&self) -> Result<(), Refusal> {
        let (node, name) = (self.node, self.name());
        if name != node {
            return self.no(format!("node {node:?} is not allowed to modify node {name:?}"));
        }
        let source = |node: &Map| node.get("spec").map(|spec| spec["configSource"].clone());
        let source = |node: &Map| source(node).filter(|source| !source.is_null());
        match (self.operation, self.old) {
            (Operation::Create, _) => {
                if source(self.new).is_some() {
                    return self.no(format!(
                        "node {node:?} is not allowed to create pods with a non-nil configSource"
                    ));
                }
                let labels = forbidden_labels(self.new, None);
                if !labels.is_empty() {
                    return self.no(format!(
                        "node {node:?} is not allowed to set the following labels: {labels}"
                    ));
                }
                Ok(())
            }
            (Operation::Update, Some(old)) => {
                if source(self.new).is_some() && source(self.new) != source(old) {
                    return self.no(format!(
                        "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                    ));
                }
                self.same_node(old)
            }
            _ => Ok(()),
        }
    }

    /// An agent does not choose what may run on its node, nor whom it goes with.
    fn same_node(&self, old: &Map) -> Result<(), Refusal> {
        let node = self.node;
        let items =
            |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let taints = |of: &Map| items(of.get("spec").map(|spec| &spec["taints"]));
        if taints(self.new) != taints(old) {
            return self.no(format!("node {node:?} is not allowed to modify taints"));
        }
        let owners = |of: &Map| items(metadata(of).and_then(|meta| meta.get("ownerReferences")));
        if owners(self.new) != owners(old) {
            return self.no(format!("node {node:?} is not allowed to modify ownerReferences"));
        }
        let labels = forbidden_labels(self.new, Some(old));
        if !labels.is_empty() {
            return self.no(format!("is not allowed to modify labels: {labels}"));
        }
        Ok(())
    }

    fn lease(&self) -> Result<(), Refusal> {
        if self.ask.namespace() != LEASES {
            return self.no(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        if self.name() != self.node {
            return self.no("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    /// A token is for a pod of the node, by name and uid.
    fn token(&self) -> Result<(), Refusal> {
        let reference = self.new.get("spec").map_or(&Value::Null, |spec| &spec["boundObjectRef"]);
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let (name, uid) = (text("name"), text("uid"));
        if text("apiVersion") != "v1" || text("kind") != "Pod" || name.is_empty() {
            return self.no("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return self.no("node requested token with a pod binding without a uid");
        }
        let pod = self.pod(name)?;
        if uid != meta_text(&pod, "uid") {
            return self.no(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ));
        }
        if !self.is_own(&pod) {
            return self.no("node requested token bound to a pod scheduled on a different node");
        }
        Ok(())
    }
}

/// Names of labels that differ.
fn changed_labels<'a>(new: &'a Map, old: Option<&'a Map>) -> BTreeSet<&'a str> {
    let labels = |of: &'a Map| metadata(of).and_then(|meta| meta.get("labels")?.as_object());
    let (new, old) = (labels(new), old.and_then(labels));
    let names = new.into_iter().chain(old).flatten().map(|(name, _)| name.as_str());
    let value = |of: Option<&'a Map>, name: &str| of.and_then(|all| all.get(name));
    names.filter(|name| value(new, name) != value(old, name)).collect()
}

/// Of the labels that differ those that are not an agent's to set.
fn forbidden_labels(new: &Map, old: Option<&Map>) -> String {
    let of = |domain: &str, parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|head| head.ends_with('.'))
    };
    let forbidden = changed_labels(new, old).into_iter().filter(|label| {
        let domain = label.split_once('/').map_or("", |(domain, _)| domain);
        let kubernetes = of(domain, "kubernetes.io") || of(domain, "k8s.io");
        let own = LABELS.contains(label) || DOMAINS.iter().any(|one| of(domain, one));
        of(domain, RESTRICTED) || (kubernetes && !own)
    });
    forbidden.collect::<Vec<_>>().join(", ")
}
