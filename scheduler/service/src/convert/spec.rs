// SPDX-License-Identifier: Apache-2.0
//! Pod specs.

use super::Violation;
use super::json::{label_selector, list, map, maybe, node_selector, node_term, or, resources};
use berth_proto::v1;
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::TERMS_MAX;
use berth_scheduler_model::pod::PodSpec;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What names the pod. Its name is read only by specs of which [`depends_on_name`] says so.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// Whether pods of this spec differ by their names: a generic ephemeral volume's claim is called after the pod.
pub fn depends_on_name(spec: &v1::PodSpec) -> bool {
    spec.volumes
        .iter()
        .any(|volume| matches!(volume.source, Some(v1::volume::Source::Ephemeral(_))))
}

/// Reads a spec.
pub fn pod_spec(spec: &v1::PodSpec, names: Names<'_>) -> Result<PodSpec, Violation> {
    let read = berth_scheduler_objects::pod(pod(spec, names)?);
    let object = read.map_err(|error| {
        let violation = Violation::of_object(&error);
        // Labels and the owner stand in the spec here.
        match violation.field.strip_prefix("ownerReferences[0]") {
            Some(rest) => Violation::new(format!("spec.owner{rest}"), violation.message),
            None if violation.field.starts_with("labels") => violation.under("spec"),
            None => violation,
        }
    })?;
    let mut read = std::sync::Arc::unwrap_or_clone(object.pod.spec);
    let at = "spec.nodeName";
    super::check_length(at, &spec.node_name)?;
    read.node_name = (!spec.node_name.is_empty()).then(|| Str::from(spec.node_name.as_str()));
    let at = "spec.requiredNodeFeatures";
    if spec.required_node_features.len() > TERMS_MAX {
        let found = spec.required_node_features.len();
        return Err(Violation::new(
            at,
            format!("{found} entries; at most {TERMS_MAX} are possible"),
        ));
    }
    for feature in &spec.required_node_features {
        super::check_name(at, feature)?;
        read.needs_features.push(Str::from(feature.as_str()));
    }
    read.needs_features.sort();
    read.needs_features.dedup();
    Ok(read)
}

fn pod(spec: &v1::PodSpec, names: Names<'_>) -> Result<Value, Violation> {
    let owner = maybe(spec.owner.as_ref(), |owner| {
        json!([{
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "name": owner.name,
            "controller": true,
        }])
    });
    Ok(json!({
        "metadata": {
            // The uid is none of a spec's affairs, but a pod has one.
            "uid": "-",
            "namespace": names.namespace,
            "name": names.name,
            "labels": map(&spec.labels),
            "ownerReferences": owner,
        },
        "spec": {
            "schedulerName": spec.scheduler_name,
            "priority": spec.priority,
            "preemptionPolicy": spec.preemption_policy,
            "initContainers": list(&spec.init_containers, |c| container(c, spec.host_network)),
            "containers": list(&spec.containers, |c| container(c, spec.host_network)),
            "resources": resources(spec.resources.as_ref()),
            "overhead": map(&spec.overhead),
            "nodeSelector": map(&spec.node_selector),
            "affinity": affinity(spec)?,
            "tolerations": list(&spec.tolerations, toleration),
            "topologySpreadConstraints": list(&spec.topology_spread_constraints, spread),
            "volumes": list(&spec.volumes, volume),
            "schedulingGates": list(&spec.scheduling_gates, |gate| json!({ "name": gate.name })),
            "resourceClaims": list(&spec.resource_claims, |claim| json!({ "name": claim.name })),
            "hostNetwork": spec.host_network,
        },
    }))
}

fn container(container: &v1::Container, host_network: bool) -> Value {
    let port = |port: &v1::ContainerPort| {
        // An API server fills in the host's port of a pod on the host's network.
        let filled = host_network && port.host_port == 0;
        json!({
            "hostPort": if filled { port.container_port } else { port.host_port },
            "protocol": port.protocol,
            "hostIP": port.host_ip,
        })
    };
    json!({
        "name": container.name,
        "image": container.image,
        "resources": resources(container.resources.as_ref()),
        "ports": list(&container.ports, port),
        "restartPolicy": container.restart_policy,
    })
}

fn affinity(spec: &v1::PodSpec) -> Result<Value, Violation> {
    let Some(affinity) = &spec.affinity else { return Ok(Value::Null) };
    let pods = |part: Option<&v1::PodAffinity>, field| {
        part.map_or(Ok(Value::Null), |part| pod_affinity(part, &spec.labels, field))
    };
    Ok(json!({
        "nodeAffinity": maybe(affinity.node_affinity.as_ref(), node_affinity),
        "podAffinity": pods(affinity.pod_affinity.as_ref(), "podAffinity")?,
        "podAntiAffinity": pods(affinity.pod_anti_affinity.as_ref(), "podAntiAffinity")?,
    }))
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn node_affinity(affinity: &v1::NodeAffinity) -> Value {
    let preferred = |term: &v1::PreferredSchedulingTerm| {
        json!({
            "weight": term.weight,
            "preference": maybe(term.preference.as_ref(), node_term),
        })
    };
    json!({
        REQUIRED: maybe(
            affinity.required_during_scheduling_ignored_during_execution.as_ref(),
            node_selector,
        ),
        PREFERRED: list(&affinity.preferred_during_scheduling_ignored_during_execution, preferred),
    })
}

fn pod_affinity(
    affinity: &v1::PodAffinity,
    labels: &BTreeMap<String, String>,
    field: &str,
) -> Result<Value, Violation> {
    let at = |list: &str, index: usize| format!("spec.affinity.{field}.{list}[{index}]");
    let mut required = Vec::new();
    let terms = &affinity.required_during_scheduling_ignored_during_execution;
    for (index, term) in terms.iter().enumerate() {
        required.push(pod_term(term, labels, &at(REQUIRED, index))?);
    }
    let mut preferred = Vec::new();
    let terms = &affinity.preferred_during_scheduling_ignored_during_execution;
    for (index, weighted) in terms.iter().enumerate() {
        let at = at(PREFERRED, index) + ".podAffinityTerm";
        let term = weighted.pod_affinity_term.as_ref();
        let term = term.map_or(Ok(Value::Null), |term| pod_term(term, labels, &at))?;
        preferred.push(json!({ "weight": weighted.weight, "podAffinityTerm": term }));
    }
    Ok(json!({ REQUIRED: required, PREFERRED: preferred }))
}

/// A term, the label keys to match merged into its selector as an API server does when a pod is created.
fn pod_term(
    term: &v1::PodAffinityTerm,
    labels: &BTreeMap<String, String>,
    at: &str,
) -> Result<Value, Violation> {
    let mut selector = term.label_selector.clone();
    let keys = [
        (&term.match_label_keys, "In", "matchLabelKeys"),
        (&term.mismatch_label_keys, "NotIn", "mismatchLabelKeys"),
    ];
    for (keys, operator, field) in keys {
        if keys.len() > TERMS_MAX {
            let message = format!("{} entries; at most {TERMS_MAX} are possible", keys.len());
            return Err(Violation::new(format!("{at}.{field}"), message));
        }
        if !keys.is_empty() && selector.is_none() {
            let message = "needs a labelSelector beside it";
            return Err(Violation::new(format!("{at}.{field}"), message));
        }
        for key in keys {
            // A key that the pod does not have is passed over.
            if let (Some(selector), Some(value)) = (&mut selector, labels.get(key)) {
                selector.match_expressions.push(v1::Requirement {
                    key: key.clone(),
                    operator: operator.to_owned(),
                    values: vec![value.clone()],
                });
            }
        }
    }
    Ok(json!({
        "labelSelector": maybe(selector.as_ref(), label_selector),
        "namespaces": term.namespaces,
        "namespaceSelector": maybe(term.namespace_selector.as_ref(), label_selector),
        "topologyKey": term.topology_key,
    }))
}

fn toleration(toleration: &v1::Toleration) -> Value {
    json!({
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    })
}

fn spread(constraint: &v1::TopologySpreadConstraint) -> Value {
    json!({
        "maxSkew": constraint.max_skew,
        "topologyKey": constraint.topology_key,
        "whenUnsatisfiable": or(&constraint.when_unsatisfiable, "DoNotSchedule"),
        "labelSelector": maybe(constraint.label_selector.as_ref(), label_selector),
        "minDomains": (constraint.min_domains != 0).then_some(constraint.min_domains),
        "nodeAffinityPolicy": constraint.node_affinity_policy,
        "nodeTaintsPolicy": constraint.node_taints_policy,
        "matchLabelKeys": constraint.match_label_keys,
    })
}

fn volume(volume: &v1::Volume) -> Value {
    use v1::volume::Source;
    let (kind, source) = match &volume.source {
        None => ("emptyDir", json!({})),
        Some(Source::PersistentVolumeClaim(claim)) => {
            ("persistentVolumeClaim", json!({ "claimName": claim.claim_name }))
        }
        Some(Source::Ephemeral(_)) => ("ephemeral", json!({})),
        Some(Source::Csi(csi)) => ("csi", json!({ "driver": csi.driver })),
        Some(Source::GcePersistentDisk(disk)) => {
            ("gcePersistentDisk", json!({ "pdName": disk.pd_name, "readOnly": disk.read_only }))
        }
        Some(Source::AwsElasticBlockStore(disk)) => {
            ("awsElasticBlockStore", json!({ "volumeID": disk.volume_id }))
        }
        Some(Source::Iscsi(disk)) => {
            ("iscsi", json!({ "iqn": disk.iqn, "readOnly": disk.read_only }))
        }
        Some(Source::Rbd(disk)) => (
            "rbd",
            json!({
                "monitors": disk.monitors,
                "pool": or(&disk.pool, "rbd"),
                "image": disk.image,
                "readOnly": disk.read_only,
            }),
        ),
        Some(Source::Image(image)) => ("image", json!({ "reference": image.reference })),
    };
    json!({ "name": volume.name, kind: source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_scheduler_model::pod::{Protocol, TaintEffect};

    fn names() -> Names<'static> {
        Names { namespace: "ns", name: "pod-0" }
    }

    fn container(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> v1::Container {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        v1::Container {
            name: "c".into(),
            image: "app".into(),
            resources: Some(v1::ResourceRequirements {
                requests: map(requests),
                limits: map(limits),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn what_an_api_server_fills_in_is_filled_in() {
        let mut app = container(&[("cpu", "100m")], &[("cpu", "1"), ("memory", "1Gi")]);
        app.ports.push(v1::ContainerPort { container_port: 80, ..Default::default() });
        let term = v1::PodAffinityTerm {
            label_selector: Some(v1::LabelSelector::default()),
            topology_key: "zone".into(),
            match_label_keys: vec!["app".into(), "absent".into()],
            ..Default::default()
        };
        let spec = v1::PodSpec {
            labels: [("app".to_owned(), "web".to_owned())].into(),
            containers: vec![app],
            host_network: true,
            affinity: Some(v1::Affinity {
                pod_affinity: Some(v1::PodAffinity {
                    required_during_scheduling_ignored_during_execution: vec![term],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            topology_spread_constraints: vec![v1::TopologySpreadConstraint {
                max_skew: 1,
                topology_key: "zone".into(),
                ..Default::default()
            }],
            tolerations: vec![v1::Toleration {
                key: "gpu".into(),
                operator: "Exists".into(),
                effect: "NoSchedule".into(),
                ..Default::default()
            }],
            required_node_features: vec!["B".into(), "A".into(), "A".into()],
            node_name: "n1".into(),
            ..Default::default()
        };
        let read = pod_spec(&spec, names()).unwrap();
        assert_eq!((read.requests.plain.cpu, read.requests.plain.memory), (100, 1 << 30));
        assert_eq!((read.host_ports[0].port, read.host_ports[0].protocol), (80, Protocol::Tcp));
        assert_eq!(&*read.affinity_required[0].namespaces[0], "ns");
        let selector = read.affinity_required[0].selector.as_ref().unwrap();
        assert_eq!(selector.requirements.len(), 1);
        assert!(read.spread[0].hard && read.spread[0].min_domains.is_none());
        assert_eq!(read.tolerations[0].effect, Some(TaintEffect::NoSchedule));
        assert_eq!(read.needs_features.len(), 2);
        assert_eq!(read.node_name.as_deref(), Some("n1"));
    }

    #[test]
    fn errors_name_the_field_as_the_message_has_it() {
        let check = |spec: v1::PodSpec, field: &str| {
            let violation = pod_spec(&spec, names()).unwrap_err();
            assert_eq!(violation.field, field, "{}", violation.message);
        };
        let containers = vec![container(&[("cpu", "-1")], &[])];
        check(
            v1::PodSpec { containers, ..Default::default() },
            "spec.containers[0].resources.requests[cpu]",
        );
        let owner = Some(v1::OwnerReference { api_version: "v1".into(), ..Default::default() });
        check(v1::PodSpec { owner, ..Default::default() }, "spec.owner.kind");
        let labels = [("a".to_owned(), "x".repeat(600))].into();
        check(v1::PodSpec { labels, ..Default::default() }, "spec.labels[a]");
        let tolerations = vec![v1::Toleration::default(); 1_025];
        check(v1::PodSpec { tolerations, ..Default::default() }, "spec.tolerations");
        let preemption_policy = "Sometimes".into();
        check(v1::PodSpec { preemption_policy, ..Default::default() }, "spec.preemptionPolicy");
    }

    #[test]
    fn an_ephemeral_volume_is_called_after_its_pod() {
        let source = Some(v1::volume::Source::Ephemeral(v1::EphemeralVolumeSource {}));
        let volumes = vec![v1::Volume { name: "scratch".into(), source }];
        let spec = v1::PodSpec { volumes, ..Default::default() };
        assert!(depends_on_name(&spec));
        let read = pod_spec(&spec, names()).unwrap();
        let text = format!("{:?}", read.volumes);
        assert!(text.contains("pod-0-scratch"), "{text}");
    }
}
