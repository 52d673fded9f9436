// SPDX-License-Identifier: Apache-2.0
//! What a step of a case may be, and pods in short.

use crate::expect::{Text, Wanted};
use crate::{DEFAULTS, IMAGE};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One step: a list of one entry in a file. Objects are named `resource/name`, or by a path of the API.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Step {
    /// Creates an object, or some.
    Create(Value),
    /// Creates a pod that is said in short (see [`pod`]), and waits for what it says.
    Pod(Value),
    /// Waits until an object is so.
    Until(Look),
    /// An object is so at once.
    Now(Look),
    /// An object stays so.
    Stays(Look),
    /// Waits until an object is gone.
    Gone(String),
    /// Waits until the log of a pod is so.
    Log(Log),
    /// A command in a container, until it says that.
    Exec(Exec),
    /// A line for kubectl, or its words.
    Kubectl(Kubectl),
    /// A line for the node's shell.
    Node(Shell),
    /// A line for the shell of a machine beside the node.
    Outside(Shell),
    /// A change by a patch.
    Patch(Patch),
    /// A change by reading and writing back; again if another was faster.
    Update(Update),
    /// Any call.
    Call(Call),
    Delete(Delete),
    /// Keeps what stands at a path of an object as a parameter.
    Keep(Keep),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Look {
    pub(crate) of: String,
    #[serde(default)]
    pub(crate) want: Wanted,
    /// Seconds: how long until it is so, or how long it stays so.
    pub(crate) within: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) of: String,
    /// The container.
    pub(crate) c: Option<String>,
    /// More options of the call.
    #[serde(default)]
    pub(crate) options: String,
    pub(crate) want: Text,
    pub(crate) within: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exec {
    pub(crate) of: String,
    pub(crate) c: Option<String>,
    pub(crate) sh: String,
    #[serde(default)]
    pub(crate) want: Text,
    #[serde(default)]
    pub(crate) code: i32,
    /// How long it is tried; once, where it is not said.
    pub(crate) within: Option<f64>,
    /// Keeps what it prints as this parameter.
    pub(crate) keep: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kubectl {
    pub(crate) run: Words,
    pub(crate) stdin: Option<String>,
    #[serde(default)]
    pub(crate) want: Text,
    #[serde(default)]
    pub(crate) code: i32,
    pub(crate) within: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Words {
    Line(String),
    Each(Vec<String>),
}

impl Words {
    pub(crate) fn all(&self) -> Vec<String> {
        match self {
            Self::Line(line) => line.split_whitespace().map(str::to_owned).collect(),
            Self::Each(words) => words.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shell {
    pub(crate) sh: String,
    #[serde(default)]
    pub(crate) want: Text,
    #[serde(default)]
    pub(crate) code: i32,
    pub(crate) within: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    pub(crate) of: String,
    pub(crate) merge: Option<Value>,
    pub(crate) json: Option<Value>,
    pub(crate) strategic: Option<Value>,
    #[serde(default)]
    pub(crate) want: Wanted,
    pub(crate) code: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    pub(crate) of: String,
    /// Where it is written, if that is elsewhere (`.../status`).
    pub(crate) at: Option<String>,
    /// Values for paths.
    pub(crate) set: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) want: Wanted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) of: String,
    pub(crate) body: Option<Value>,
    pub(crate) code: Option<u16>,
    #[serde(default)]
    pub(crate) want: Wanted,
    #[serde(default)]
    pub(crate) text: Text,
    pub(crate) within: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    pub(crate) of: String,
    /// `DeleteOptions`.
    #[serde(default)]
    pub(crate) options: Option<Value>,
    /// Waits until it is gone.
    #[serde(default)]
    pub(crate) wait: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keep {
    pub(crate) of: String,
    pub(crate) path: String,
    #[serde(rename = "as")]
    pub(crate) name: String,
}

/// What a pod in short is waited for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Then {
    /// Until it is ready.
    pub(crate) ready: bool,
    /// Until it has this phase.
    pub(crate) ends: Option<String>,
    /// Until it has succeeded, with this in the log.
    pub(crate) says: Option<Text>,
    /// The same of the log of another container than the first.
    pub(crate) from: Option<String>,
    /// Refused on creation, with this code.
    pub(crate) code: Option<u16>,
}

const THEN: [&str; 5] = ["ready", "ends", "says", "from", "code"];
const OF_METADATA: [&str; 6] =
    ["name", "labels", "annotations", "finalizers", "generateName", "ownerReferences"];
const OF_SPEC: [&str; 20] = [
    "volumes",
    "restartPolicy",
    "initContainers",
    "containers",
    "hostNetwork",
    "hostAliases",
    "hostname",
    "subdomain",
    "dnsPolicy",
    "dnsConfig",
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "nodeName",
    "tolerations",
    "readinessGates",
    "podSecurity",
    "hostPID",
];

/// A pod in short: fields of `metadata` and `spec` stand side by side, `podSecurity` for the pod's own security context, and what else there
/// is belongs to its one container `c`. A container has busybox for an image, and `sh` for a command of a shell. It never starts again, ends
/// at once, and has no token, where nothing else is said.
pub(crate) fn pod(short: &Value) -> Value {
    let (mut metadata, mut spec, mut only) = (Map::new(), Map::new(), Map::new());
    for (key, value) in short.as_object().expect("a pod is an object") {
        let key = key.as_str();
        if key == "podSecurity" {
            spec.insert("securityContext".to_owned(), value.clone());
        } else if OF_METADATA.contains(&key) {
            metadata.insert(key.to_owned(), value.clone());
        } else if OF_SPEC.contains(&key) {
            spec.insert(key.to_owned(), value.clone());
        } else if !THEN.contains(&key) {
            only.insert(key.to_owned(), value.clone());
        }
    }
    if !metadata.contains_key("generateName") {
        metadata.entry("name").or_insert_with(|| json!("p"));
    }
    if !only.is_empty() {
        spec.entry("containers").or_insert_with(|| json!([only]));
    }
    for (key, value) in [
        ("restartPolicy", json!("Never")),
        ("terminationGracePeriodSeconds", json!(1)),
        ("automountServiceAccountToken", json!(false)),
    ] {
        spec.entry(key).or_insert(value);
    }
    for list in ["containers", "initContainers"] {
        for one in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container(one);
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// Makes whole what is said of a container in short.
fn container(one: &mut Value) {
    let Some(all) = one.as_object_mut() else { return };
    if let Some(line) = all.remove("sh") {
        all.insert("command".to_owned(), json!(["sh", "-c", line]));
    }
    all.entry("name").or_insert_with(|| json!("c"));
    all.entry("image").or_insert_with(|| json!(IMAGE));
    if all["image"] == "defaults" {
        all.insert("image".to_owned(), json!(DEFAULTS));
    }
}

/// Pods in short within a template of other objects.
pub(crate) fn whole(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(short) = object.pointer("/spec/template").filter(|one| one.get("spec").is_none()) {
        let mut short = short.clone();
        short["restartPolicy"] = json!("Always");
        let mut full = pod(&short);
        full["metadata"].as_object_mut().unwrap().remove("name");
        let template = json!({"metadata": full["metadata"], "spec": full["spec"]});
        object["spec"]["template"] = template;
    }
    object
}
