// SPDX-License-Identifier: Apache-2.0
//! Recorded answers of a real kube-apiserver against the rules of the kinds: what a POST makes of an object, or says of it.
//!
//! Without a server around them the rules see no unknown fields, no wrong types and no allocated values: such steps are left out, by
//! what their answers are. `testdata/README.md` says where the record comes from.
#![allow(clippy::unwrap_used, reason = "what is recorded has these fields")]

mod record;

use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::kinds::service::allocate;
use berth_cluster_api::registry::{Kind, Part, Subresource};
use berth_cluster_api::{Map, Refusal, kinds, meta, schema};
use berth_cluster_json::{Value, json};
use record::scenarios;
use std::collections::{BTreeMap, BTreeSet};

/// Says of a step that it is of a version that 1.33 has no more. Its first version answers alike.
const OLD_POLICY: &str = "policy/v1beta1 is gone in 1.33: use policy/v1 (selector semantics of an empty selector differ)";
const LIMITS: &str = "LimitRange is not built yet";

/// Scenarios that differ, and why.
const KNOWN: &[(&str, &str)] = &[
    ("default/pod/quantity-canon", "1.20 keeps the plus of an amount"),
    (
        "invalid/meta/namespace-name-long",
        "1.21 and later make a label of the name, which is too long for that, too",
    ),
    ("invalid/pod/sysctl", "1.33 takes slashes between segments, and shows that expression"),
    (
        "invalid/pod/container-probe-portname",
        "1.33 asks for a letter, where 1.20 took a number, too",
    ),
    ("invalid/pod/container-procmount", "1.33 judges procMount; 1.20 drops it"),
    (
        "invalid/pod/container-env-badname",
        "1.33 takes any printable name of a variable but one with =",
    ),
    ("invalid/pod/container-envfrom-prefix", "the same"),
    ("invalid/pod/affinity-pod-topo", "1.33 names the field labelSelector"),
    (
        "invalid/pod/ephemeral-create",
        "1.33 refuses ephemeral containers on creation; 1.20 drops them",
    ),
    ("invalid/lease/neg", "1.33 has repaired the sentence about transitions"),
    ("limitrange/defaults", LIMITS),
    ("limitrange/max-min", LIMITS),
    ("invalid/service/externalip", "1.33 names the ranges of IPv6, too"),
    ("invalid/endpoints/ip", "the same"),
    ("invalid/service/lb-ranges", "1.33 judges each range"),
    ("invalid/service/policy", "1.33 lists the values it knows"),
    ("invalid/service/policy-clusterip", "1.33 asks whether a service is accessible from outside"),
    ("invalid/service/healthport", "1.33 has another sentence"),
    ("invalid/service/targetport", "1.33 asks for a letter, where 1.20 took a number, too"),
    ("invalid/daemonset/zero-unavail", "since 1.22 another number may take its place"),
    ("invalid/networkpolicy/peer", "1.33 has another sentence about networks"),
    ("default/pvc/snapshot-source", "since 1.22 a claim says what it is filled with in two fields"),
    ("default/csidriver/minimal", "1.33 has more fields, and counts generations"),
    ("invalid/csinode/dup", "since 1.21 the whole is looked at once"),
    ("update/service/duplicate-nodeport", "nothing is taken here; tests/services.rs keeps count"),
];

/// The kind and the namespace of a path that objects are created at.
fn target<'a>(kinds: &'a [Kind], path: &str) -> Option<(&'a Kind, String)> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, plural) = match rest {
        ["namespaces", namespace, plural] => (*namespace, *plural),
        [plural] => ("", *plural),
        _ => return None,
    };
    let kind = kinds
        .iter()
        .find(|kind| (&*kind.group, &*kind.version, &*kind.plural) == (group, version, plural))?;
    (kind.namespaced != namespace.is_empty()).then(|| (kind, namespace.to_owned()))
}

fn create(kind: &Kind, namespace: &str, body: &Value) -> Result<Value, Refusal> {
    let mut body = body.clone();
    schema::normalise(&mut body, &kind.schema);
    let mut object: Map = body.as_object().cloned().unwrap_or_default();
    kind.rules.default(&mut object);
    let once = object.clone();
    kind.rules.default(&mut object);
    assert_eq!(object, once, "defaults are set once");
    meta::prepare_create(&mut object, namespace)?;
    let metadata = object["metadata"].as_object_mut().unwrap();
    if !kind.namespaced {
        metadata.remove("namespace");
    }
    let generated = metadata.get("generateName").and_then(Value::as_str).map(str::to_owned);
    if let Some(prefix) =
        generated.filter(|prefix| !prefix.is_empty() && !metadata.contains_key("name"))
    {
        metadata.insert("name".to_owned(), format!("{prefix}abcde").into());
    }
    kind.rules.prepare_create(&mut object);
    if &*kind.kind == "Service" {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let taken = allocate::Taken { ip: &|_| false, port: &|_| false };
        let ranges = allocate::Ranges::default();
        allocate::plan(&ranges, None, &mut object, taken, &mut |_| 0)
            .map_err(|refused| refused.refusal(&name))?;
    }
    let mut errors = Errors::new();
    let metadata = object["metadata"].as_object().unwrap();
    meta::validate(metadata, kind.namespaced, &*kind.rules, &Path::new("metadata"), &mut errors);
    kind.rules.validate(&object, &mut errors);
    kind.rules.validate_create(&object, &mut errors);
    if errors.is_empty() {
        let mut object = object.into();
        schema::normalise(&mut object, &kind.schema);
        return Ok(object);
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Refusal::invalid(&kind.group, &kind.kind, name, &errors))
}

/// Leaves out what the server adds, and what is the same as nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null());
            entries.map(|(name, value)| (name.clone(), plain(value))).collect::<Map>().into()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn stored(value: &Value) -> Value {
    let mut value = plain(value);
    if let Some(metadata) = value["metadata"].as_object_mut() {
        let added = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink"];
        for field in added {
            metadata.remove(field);
        }
        if metadata.contains_key("generateName") {
            metadata.remove("name");
        }
        // Upstream's default admission holds what may be in use.
        let protected = ["kubernetes.io/pv-protection", "kubernetes.io/pvc-protection"];
        let none = |all: &mut Vec<Value>| {
            all.retain(|one| protected.iter().all(|name| one != name));
            all.is_empty()
        };
        if metadata.get_mut("finalizers").and_then(Value::as_array_mut).is_some_and(none) {
            metadata.remove("finalizers");
        }
        // 1.33 counts generations of pods.
        if value["kind"] == "Pod" {
            value["metadata"].as_object_mut().unwrap().remove("generation");
        }
        // 1.21 and later label namespaces with their name.
        if value["kind"] == "Namespace" {
            let metadata = value["metadata"].as_object_mut().unwrap();
            let name = metadata.remove("name");
            let labels = metadata.entry("labels").or_insert(json!({})).as_object_mut().unwrap();
            labels.entry("kubernetes.io/metadata.name").or_insert(name.into());
        }
    }
    match value["kind"].as_str() {
        // Fields that are later than the record.
        Some("StatefulSet") => {
            let spec = value["spec"].as_object_mut().unwrap();
            spec.remove("persistentVolumeClaimRetentionPolicy");
            value["status"].as_object_mut().unwrap().remove("availableReplicas");
        }
        Some("DaemonSet") => {
            let rolling = value["spec"].pointer_mut("/updateStrategy/rollingUpdate");
            if let Some(rolling) = rolling.and_then(Value::as_object_mut) {
                rolling.remove("maxSurge");
            }
        }
        Some("Pod") => without_admission(value["spec"].as_object_mut().unwrap()),
        Some("Node") => without_taint(value["spec"].as_object_mut().unwrap()),
        _ => {}
    }
    if value["kind"] == "Service" {
        let later = [
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
            "allocateLoadBalancerNodePorts",
        ];
        value["spec"].as_object_mut().unwrap().retain(|field, _| !later.contains(&field.as_str()));
    }
    value
}

/// Puts what we gave in the place of what the recorded server gave.
fn given(wanted: &mut Value, got: &Value) {
    match wanted {
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| given(value, &got[name])),
        Value::Array(all) => {
            all.iter_mut().enumerate().for_each(|(i, value)| given(value, &got[i]));
        }
        Value::String(text) if text.starts_with("$ip") || text.starts_with("$port") => {
            *wanted = got.clone();
        }
        _ => {}
    }
}

/// Leaves out what upstream's default admission adds to a pod: its priority, and tolerations for five minutes.
fn without_admission(spec: &mut Map) {
    spec.remove("priority");
    spec.remove("preemptionPolicy");
    if let Some(tolerations) = spec.get_mut("tolerations").and_then(Value::as_array_mut) {
        let added = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
        tolerations.retain(|one| {
            one["tolerationSeconds"] != 300 || added.iter().all(|key| one["key"] != *key)
        });
        if tolerations.is_empty() {
            spec.remove("tolerations");
        }
    }
}

/// Leaves out that a new node is not ready, which upstream's default admission says.
fn without_taint(spec: &mut Map) {
    if let Some(taints) = spec.get_mut("taints").and_then(Value::as_array_mut) {
        taints.retain(|one| one["key"] != "node.kubernetes.io/not-ready");
        if taints.is_empty() {
            spec.remove("taints");
        }
    }
}

/// Paths at which two values differ, with both.
fn paths(wanted: &Value, got: &Value, at: &str) -> Vec<String> {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&berth_cluster_json::Text> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            let of = |map: &Map, name: &str| map.get(name).cloned().unwrap_or(null.clone());
            names
                .iter()
                .flat_map(|name| paths(&of(a, name), &of(b, name), &format!("{at}.{name}")))
                .collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.flat_map(|(index, (a, b))| paths(a, b, &format!("{at}[{index}]"))).collect()
        }
        _ if wanted == got => Vec::new(),
        _ => vec![format!("{at}: wanted {wanted}, got {got}")],
    }
}

fn differs(step: &Value, made: &Result<Value, Refusal>) -> Option<String> {
    let (status, answer) =
        (step["response"]["status"].as_u64().unwrap(), &step["response"]["body"]);
    let marked = step["differs_in_1_33"].as_str().is_some_and(|why| why != OLD_POLICY);
    match (status, made) {
        (200 | 201, Ok(object)) => {
            let (mut wanted, got) = (stored(answer), stored(object));
            given(&mut wanted, &got);
            (wanted != got && !marked).then(|| paths(&wanted, &got, "").join("\n   "))
        }
        (422, Err(refusal)) => {
            let status: Value = serde_json::from_str(&refusal.to_json()).unwrap();
            let wanted = json!([answer["message"], answer["details"]["causes"]]);
            // What two objects differ in is not shown.
            let wanted = wanted.to_string().replace("$diff", "");
            // The group that two kinds have had since 1.22.
            let wanted = wanted
                .replace("Ingress.extensions ", "Ingress.networking.k8s.io ")
                .replace("NetworkPolicy.extensions ", "NetworkPolicy.networking.k8s.io ");
            let wanted: Value = serde_json::from_str(&wanted).unwrap();
            let got = json!([status["message"], status["details"]["causes"]]);
            (wanted != got && !marked).then(|| paths(&wanted, &got, "").join("\n   "))
        }
        (422, Ok(_)) => Some(format!("made, and should be refused: {}", answer["message"])),
        (200 | 201, Err(refusal)) => Some(format!("refused, and should be made: {refusal}")),
        // Conflicts, broken JSON and the like are the server's.
        _ => None,
    }
}

#[test]
fn what_is_created_and_what_is_refused_is_as_recorded() {
    let kinds = kinds::builtin();
    let (mut compared, mut failed, mut known) = (0, Vec::new(), BTreeSet::new());
    for scenario in scenarios() {
        let name = scenario["name"].as_str().unwrap();
        for step in scenario["steps"].as_array().unwrap() {
            let request = &step["request"];
            let path = request["path"].as_str().unwrap();
            let (Some((kind, namespace)), "POST") =
                (target(&kinds, path), request["method"].as_str().unwrap())
            else {
                continue;
            };
            if request.get("body").is_none() || step.get("setup").is_some() {
                continue;
            }
            compared += 1;
            let Some(difference) = differs(step, &create(kind, &namespace, &request["body"]))
            else {
                continue;
            };
            match KNOWN.iter().find(|(known, _)| *known == name) {
                Some((name, _)) => drop(known.insert(*name)),
                None => failed.push(format!("{name}\n   {}\n   {difference}", request["body"])),
            }
        }
    }
    let stale: Vec<_> = KNOWN.iter().filter(|(name, _)| !known.contains(name)).collect();
    assert!(stale.is_empty(), "no longer different: {stale:?}");
    assert!(failed.is_empty(), "{} of {compared} differ:\n{}", failed.len(), failed.join("\n"));
    assert!(compared > 500, "{compared}");
}

/// Kinds of which recorded updates are compared; those of pods and workloads are, in `pods.rs`.
const UPDATED: [&str; 26] = [
    "namespaces",
    "nodes",
    "leases",
    "events",
    "priorityclasses",
    "poddisruptionbudgets",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "roles",
    "clusterroles",
    "rolebindings",
    "clusterrolebindings",
    "persistentvolumes",
    "persistentvolumeclaims",
    "storageclasses",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "volumeattachments",
    "networkpolicies",
    "ingresses",
    "ingressclasses",
    "runtimeclasses",
    "resourcequotas",
    "limitranges",
];

/// Updates that differ, and why.
const KNOWN_UPDATES: [(&str, &str); 3] = [
    ("update/node/podcidr", "1.33 names the field that may not change, and no more"),
    ("update/node/providerid", "the same"),
    (
        "update/lease/renew",
        "the server itself refuses a PUT without a version, in words of its store",
    ),
];

/// The kind of a path of an object, and the part of it.
fn updated<'a>(kinds: &'a [Kind], path: &str) -> Option<(&'a Kind, String, Part)> {
    let path = path.split('?').next().unwrap();
    let (object, last) = path.rsplit_once('/')?;
    let (object, part) = match last {
        "status" => (object, Part::Status),
        "finalize" => (object, Part::Other(Subresource::Finalize)),
        _ => (path, Part::Main),
    };
    let (kind, _) = target(kinds, object.rsplit_once('/')?.0)?;
    UPDATED.contains(&&*kind.plural).then(|| (kind, object.to_owned(), part))
}

fn update(kind: &Kind, body: &Value, old: &Map, part: Part) -> Result<Value, Refusal> {
    let mut new = body.clone();
    schema::normalise(&mut new, &kind.schema);
    let mut new: Map = new.as_object().cloned().unwrap();
    kind.rules.default(&mut new);
    meta::prepare_update(&mut new, old);
    let metadata = new["metadata"].as_object_mut().unwrap();
    if !metadata.contains_key("resourceVersion") && kind.rules.unconditional_update() {
        metadata.insert("resourceVersion".to_owned(), old["metadata"]["resourceVersion"].clone());
    }
    kind.rules.prepare_update(&mut new, old, part);
    let mut errors = Errors::new();
    let [after, before] = [&new, old].map(|one| one["metadata"].as_object().unwrap());
    meta::validate_update(after, before, &Path::new("metadata"), &mut errors);
    if part == Part::Main {
        kind.rules.validate(&new, &mut errors);
    }
    kind.rules.validate_update(&new, old, part, &mut errors);
    if errors.is_empty() {
        let mut new = new.into();
        schema::normalise(&mut new, &kind.schema);
        return Ok(new);
    }
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    Err(Refusal::invalid(&kind.group, &kind.kind, name, &errors))
}

#[test]
fn what_is_updated_is_as_recorded() {
    let kinds = kinds::builtin();
    let (mut compared, mut failed, mut known) = (0, Vec::new(), BTreeSet::new());
    for scenario in scenarios() {
        let name = scenario["name"].as_str().unwrap();
        let mut held: BTreeMap<String, Map> = BTreeMap::new();
        for step in scenario["steps"].as_array().unwrap() {
            let (request, answer) = (&step["request"], &step["response"]["body"]);
            let (path, method) =
                (request["path"].as_str().unwrap(), request["method"].as_str().unwrap());
            if let (Some((kind, at, part)), "PUT") = (updated(&kinds, path), method)
                && let (Some(old), true) = (held.get(&at), request["body"].is_object())
                && step.get("setup").is_none()
            {
                compared += 1;
                let made = update(kind, &request["body"], old, part);
                if let Some(difference) = differs(step, &made) {
                    match KNOWN_UPDATES.iter().find(|(known, _)| *known == name) {
                        Some((name, _)) => drop(known.insert(*name)),
                        None => failed.push(format!("{name}\n   {path}\n   {difference}")),
                    }
                }
            }
            let at = match updated(&kinds, path) {
                Some((_, at, _)) => at,
                None => format!("{path}/{}", answer["metadata"]["name"].as_str().unwrap_or("")),
            };
            let is_object = updated(&kinds, &at).is_some_and(|it| answer["kind"] == *it.0.kind);
            if let (Some(object), true) = (answer.as_object(), is_object) {
                held.insert(at, object.clone());
            }
        }
    }
    let stale: Vec<_> = KNOWN_UPDATES.iter().filter(|(name, _)| !known.contains(name)).collect();
    assert!(stale.is_empty(), "no longer different: {stale:?}");
    assert!(failed.is_empty(), "{} of {compared} differ:\n{}", failed.len(), failed.join("\n"));
    assert!(compared > 20, "{compared}");
}
