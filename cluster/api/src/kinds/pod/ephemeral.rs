// SPDX-License-Identifier: Apache-2.0
//! Containers that come into a pod that runs, to look at it, and stay: what is wrong with them, and with a change of them.

use super::spec;
use crate::Map;
use crate::field::{Errors, Path, Problem};
use crate::kinds::access::{keep, make, map};
use crate::kinds::view::View;
use berth_cluster_json::{Text, Value};

/// Marks pods that a kubelet made of its own files, of which the server only has an image.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Fields of containers that these may not have, in the order in which upstream finds them.
const FORBIDDEN: [&str; 8] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

const WHY: &str = "cannot be set for an Ephemeral Container";

/// The ephemeral containers of a spec.
pub(super) fn containers(owner: &Value, path: &Path, errors: &mut Errors) {
    let all = ["containers", "initContainers"].iter().flat_map(|list| owner.list(list));
    let others: Vec<&str> = all.map(|one| one.text("name")).collect();
    let mut names = others.clone();
    for (i, one) in owner.list("ephemeralContainers").iter().enumerate() {
        let path = path.index(i);
        spec::container(one, owner, &path, errors);
        let name = one.text("name");
        if names.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        names.push(name);
        let target = one.text("targetContainerName");
        if !target.is_empty() && !others.contains(&target) {
            let at = path.child("targetContainerName");
            errors.add(Problem::NotFound, &at, &target.into(), "");
        }
        for field in FORBIDDEN {
            if !is_empty(one.at(field)) {
                errors.forbidden(&path.child(field), WHY);
            }
        }
        mounts(one, &path.child("volumeMounts"), errors);
    }
}

/// Whether a field says nothing; `resources` is always shown.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Parts of volumes are mounted for as long as the pod lives, which is too long for these.
fn mounts(one: &Value, path: &Path, errors: &mut Errors) {
    for (i, mount) in one.list("volumeMounts").iter().enumerate() {
        for field in ["subPath", "subPathExpr"] {
            if !mount.text(field).is_empty() {
                errors.forbidden(&path.index(i).child(field), WHY);
            }
        }
    }
}

/// Keeps all of `old` but what says which object is meant, and the ephemeral containers.
pub(super) fn prepare(new: &mut Map, old: &Map) {
    let (none, mut kept) = (Map::new(), old.clone());
    if let Some(meta) = make(&mut kept, "metadata") {
        for field in ["name", "namespace", "uid", "resourceVersion"] {
            keep(meta, map(new, "metadata").unwrap_or(&none), field);
        }
    }
    if let Some(spec) = make(&mut kept, "spec") {
        keep(spec, map(new, "spec").unwrap_or(&none), "ephemeralContainers");
    }
    *new = kept;
}

/// What is wrong with a change: those that are there may neither change nor go.
pub(super) fn update(new: &Map, old: &Map, errors: &mut Errors) {
    if old.at("metadata").at("annotations").has(MIRROR) {
        // Upstream writes the path of the whole object so.
        errors.forbidden(&Path::new("[]"), "static pods do not support ephemeral containers");
        return;
    }
    let path = Path::new("spec");
    spec::spec(new.at("spec"), &path, errors);
    let (path, field) = (path.child("ephemeralContainers"), "ephemeralContainers");
    for before in old.at("spec").list(field) {
        let name = before.text("name");
        let after = new.at("spec").list(field).iter().rfind(|one| one.text("name") == name);
        let Some(after) = after else {
            let why = format!("existing ephemeral containers {name:?} may not be removed\n");
            errors.forbidden(&path, why);
            continue;
        };
        if after != before {
            let why = format!("existing ephemeral containers {name:?} may not be changed\n");
            errors.forbidden(&path, why + &difference(before, after));
        }
    }
}

/// The fields that differ. Upstream's own form of this is told to be of no lasting shape.
fn difference(before: &Value, after: &Value) -> String {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return String::new();
    };
    let added = new.keys().filter(|field| !old.contains_key(*field));
    let mut fields: Vec<&Text> = old.keys().chain(added).collect();
    fields.sort();
    let lines = fields.into_iter().filter(|field| before.at(field) != after.at(field));
    let line = |field: &Text, mark: &str, of: &Value| {
        if of.has(field) { format!("{mark} {field}: {}\n", of.at(field)) } else { String::new() }
    };
    lines.map(|field| line(field, "-", before) + &line(field, "+", after)).collect()
}

#[cfg(test)]
mod tests {
    use crate::Map;
    use crate::field::Errors;
    use crate::kinds::pod::PodRules;
    use crate::registry::{Part, Rules, Subresource};
    use berth_cluster_json::{Value, json};

    const PART: Part = Part::Other(Subresource::EphemeralContainers);

    fn pod(ephemeral: &Value) -> Map {
        let mut pod = json!({
            "metadata": { "name": "p", "generation": 1 },
            "spec": {
                "containers": [{ "name": "c", "image": "i" }],
                "volumes": [{ "name": "v", "emptyDir": {} }],
                "ephemeralContainers": ephemeral,
            },
        });
        let pod = pod.as_object_mut().unwrap();
        PodRules.default(pod);
        pod.clone()
    }

    /// The pod with other ephemeral containers, and what is wrong with them.
    fn changed(old: &Map, ephemeral: &Value) -> (Map, Errors) {
        let (mut new, mut errors) = (pod(ephemeral), Errors::new());
        new["metadata"]["resourceVersion"] = "7".into();
        new["metadata"]["labels"] = json!({ "a": "b" });
        new["spec"]["containers"][0]["image"] = "other".into();
        PodRules.prepare_update(&mut new, old, PART);
        PodRules.validate_update(&new, old, PART, &mut errors);
        (new, errors)
    }

    #[test]
    fn only_the_ephemeral_containers_of_a_pod_change() {
        let old = pod(&json!([]));
        let one = json!([{ "name": "e", "image": "x", "targetContainerName": "c" }]);
        let (new, errors) = changed(&old, &one);
        assert_eq!(errors, Errors::new());
        let mut wanted = pod(&one);
        wanted["metadata"] = json!({ "name": "p", "generation": 2, "resourceVersion": "7" });
        assert_eq!(new, wanted);
    }

    #[test]
    fn those_that_are_there_neither_change_nor_go() {
        let old = pod(&json!([{ "name": "e", "image": "x" }, { "name": "f", "image": "x" }]));
        let (_, errors) = changed(&old, &json!([{ "name": "f", "image": "y", "tty": true }]));
        let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        let wanted = [
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n",
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"f\" may not be changed\n\
             - image: \"x\"\n+ image: \"y\"\n+ tty: true\n",
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn they_are_no_servers() {
        let one = json!({
            "name": "c",
            "image": "x",
            "targetContainerName": "none",
            "ports": [{ "containerPort": 80 }],
            "resources": { "limits": { "cpu": "1" } },
            "livenessProbe": { "exec": { "command": ["x"] } },
            "volumeMounts": [{ "name": "v", "mountPath": "/v", "subPath": "a" }],
        });
        let (_, errors) = changed(&pod(&json!([])), &json!([one]));
        let all: Vec<&str> = errors.0.iter().map(|one| one.path.as_str()).collect();
        let at = |field: &str| format!("spec.ephemeralContainers[0].{field}");
        let fields = [
            "name",
            "targetContainerName",
            "ports",
            "resources",
            "livenessProbe",
            "volumeMounts[0].subPath",
        ];
        assert_eq!(all, fields.map(at));
    }

    #[test]
    fn images_of_a_kubelets_own_pods_have_none() {
        let mut old = pod(&json!([]));
        old["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
        let (_, errors) = changed(&old, &json!([{ "name": "e", "image": "x" }]));
        let wanted = "[]: Forbidden: static pods do not support ephemeral containers";
        assert_eq!(errors.text(), wanted);
    }
}
