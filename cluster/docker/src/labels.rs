// SPDX-License-Identifier: Apache-2.0
//! What says whose a container is, and of which pod: its labels together with its name.
//!
//! Labels alone would not do: a container has its image's labels too, and whoever runs an image that was made from one of ours would own
//! one of our containers. So a container is ours if its labels are complete, and its name is the one that they lead to. Every label is
//! always set, for an image could otherwise add one.

use std::collections::BTreeMap;

/// Whose it is.
pub(crate) const AGENT: &str = "io.berth/agent";
pub(crate) const KIND: &str = "io.berth/kind";
const POD_UID: &str = "io.berth/pod-uid";
const POD_NAME: &str = "io.berth/pod-name";
const POD_NAMESPACE: &str = "io.berth/pod-namespace";
const CONTAINER: &str = "io.berth/container";
const ATTEMPT: &str = "io.berth/attempt";
/// What it was made to be, as a digest.
const SPEC: &str = "io.berth/spec";
/// What the agent wants to know again, as one JSON object.
const FACTS: &str = "io.berth/facts";

/// What a sandbox has in place of a container's name, as with the kubelet: no container can be called that.
const POD: &str = "POD";
/// The longest name of a DNS subdomain.
const NAME_MAX: usize = 253;

/// The name of an agent: all that it makes carries it. Two agents on one engine need two names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agent(String);

/// A text that is no name of an agent, or of a pod's part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} does not fit: it has to be a DNS subdomain name of up to 253 signs")]
pub struct NameError {
    /// Of what.
    pub what: &'static str,
    /// The text.
    pub value: String,
}

impl Agent {
    /// Takes the name of a node: a DNS subdomain.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check("the agent's name", name, is_subdomain).map(|()| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What of a pod it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What holds its namespaces.
    Sandbox,
    /// The container of that name.
    Container(String),
}

/// Which part of which pod, in its how manieth attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The pod.
    pub pod: PodRef,
    /// Which part.
    pub part: Part,
    /// 0 for the first.
    pub attempt: u32,
}

impl Identity {
    /// The name that it has on the engine. No part of it holds an underscore, so that no two identities share one.
    pub fn engine_name(&self, agent: &Agent) -> Result<String, NameError> {
        check("the pod's uid", &self.pod.uid, is_uid)?;
        let part = match &self.part {
            Part::Sandbox => POD,
            Part::Container(name) => {
                check("the container's name", name, is_subdomain)?;
                name
            }
        };
        Ok(format!("berth_{}_{part}_{}_{}", agent.0, self.pod.uid, self.attempt))
    }

    /// The labels of it.
    pub(crate) fn labels(
        &self,
        agent: &Agent,
        spec: &str,
        facts: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let (kind, container) = match &self.part {
            Part::Sandbox => ("sandbox", POD),
            Part::Container(name) => ("container", name.as_str()),
        };
        let facts = serde_json::json!(facts).to_string();
        let attempt = self.attempt.to_string();
        let pairs = [
            (AGENT, agent.name()),
            (KIND, kind),
            (POD_UID, &self.pod.uid),
            (POD_NAME, &self.pod.name),
            (POD_NAMESPACE, &self.pod.namespace),
            (CONTAINER, container),
            (ATTEMPT, &attempt),
            (SPEC, spec),
            (FACTS, &facts),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }
}

/// What the labels of one of our containers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) identity: Identity,
    pub(crate) spec: String,
    pub(crate) facts: BTreeMap<String, String>,
}

/// Reads a container's labels. None if it is not this agent's.
pub(crate) fn read(agent: &Agent, name: &str, labels: &BTreeMap<String, String>) -> Option<Read> {
    let get = |key: &str| labels.get(key).map(String::as_str);
    if get(AGENT) != Some(agent.name()) {
        return None;
    }
    let part = match (get(KIND)?, get(CONTAINER)?) {
        ("sandbox", POD) => Part::Sandbox,
        ("container", name) => Part::Container(name.to_owned()),
        _ => return None,
    };
    let pod = PodRef {
        namespace: get(POD_NAMESPACE)?.to_owned(),
        name: get(POD_NAME)?.to_owned(),
        uid: get(POD_UID)?.to_owned(),
    };
    let identity = Identity { pod, part, attempt: get(ATTEMPT)?.parse().ok()? };
    if identity.engine_name(agent).ok()? != name {
        return None;
    }
    let facts = serde_json::from_str(get(FACTS)?).ok()?;
    Some(Read { identity, spec: get(SPEC)?.to_owned(), facts })
}

/// The name of what the agent runs for a moment on the engine, and its labels.
pub(crate) fn helper(agent: &Agent, what: &str) -> (String, BTreeMap<String, String>) {
    let pairs = [(AGENT, agent.name()), (KIND, "helper"), (CONTAINER, what)];
    let labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    (format!("berth_{}__{what}", agent.0), labels)
}

/// Whether it is such a one.
pub(crate) fn is_helper(agent: &Agent, name: &str, labels: &BTreeMap<String, String>) -> bool {
    is_of(helper, agent, name, labels)
}

/// The name of what the agent runs on the engine as long as itself, and its labels.
pub(crate) fn companion(agent: &Agent, what: &str) -> (String, BTreeMap<String, String>) {
    let pairs = [(AGENT, agent.name()), (KIND, "companion"), (CONTAINER, what)];
    let labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    (format!("berth_{}__{what}", agent.0), labels)
}

/// Whether it is such a one.
pub(crate) fn is_companion(agent: &Agent, name: &str, labels: &BTreeMap<String, String>) -> bool {
    is_of(companion, agent, name, labels)
}

fn is_of(
    made: impl Fn(&Agent, &str) -> (String, BTreeMap<String, String>),
    agent: &Agent,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let what = labels.get(CONTAINER).map_or("", String::as_str);
    let (wanted, all) = made(agent, what);
    name == wanted && all.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn check(what: &'static str, value: &str, fits: impl Fn(&str) -> bool) -> Result<(), NameError> {
    let error = || NameError { what, value: value.chars().take(NAME_MAX).collect() };
    fits(value).then_some(()).ok_or_else(error)
}

/// As Kubernetes has it: parts of small letters, digits and dashes, with dots between them.
pub(crate) fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty()
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= NAME_MAX && text.split('.').all(is_part)
}

/// An apiserver's uids are UUIDs, those of pods from files are digests.
fn is_uid(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !text.is_empty() && text.len() <= 128 && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let pod = PodRef { namespace: "n".to_owned(), name: "p".to_owned(), uid: "u-1".to_owned() };
        Identity { pod, part: Part::Container("c".to_owned()), attempt: 3 }
    }

    #[test]
    fn what_was_written_reads_back_and_anything_else_is_foreign() {
        let agent = Agent::new("node-1").unwrap();
        let facts = BTreeMap::from([("ip".to_owned(), "10.0.0.1\n\"ü".to_owned())]);
        for part in [Part::Sandbox, Part::Container("c".to_owned())] {
            let identity = Identity { part, ..identity() };
            let name = identity.engine_name(&agent).unwrap();
            let labels = identity.labels(&agent, "digest", &facts);
            let found = read(&agent, &name, &labels).unwrap();
            assert_eq!((found.identity, &found.facts), (identity, &facts));
            assert_eq!(found.spec, "digest");
            assert_eq!(read(&Agent::new("node-2").unwrap(), &name, &labels), None);
            assert_eq!(read(&Agent::new("node-1").unwrap(), "another", &labels), None);
            for key in labels.keys() {
                let mut fewer = labels.clone();
                fewer.remove(key);
                assert_eq!(read(&agent, &name, &fewer), None, "without {key}");
            }
            for (key, value) in
                [(ATTEMPT, "x"), (ATTEMPT, "4"), (KIND, "helper"), (POD_UID, "v"), (FACTS, "{")]
            {
                let mut other = labels.clone();
                other.insert(key.to_owned(), value.to_owned());
                assert_eq!(read(&agent, &name, &other), None, "{key}={value}");
            }
            assert!(!is_helper(&agent, &name, &labels));
        }
        let (name, labels) = helper(&agent, "reach-1");
        assert!(is_helper(&agent, &name, &labels) && read(&agent, &name, &labels).is_none());
        let (name, labels) = companion(&agent, "data");
        assert!(is_companion(&agent, &name, &labels) && read(&agent, &name, &labels).is_none());
        assert!(!is_helper(&agent, &name, &labels), "it is no leftover");
    }

    #[test]
    fn names_that_could_be_anothers_are_refused() {
        for name in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a/b", "ä", &"a".repeat(254)] {
            assert!(Agent::new(name).is_err(), "{name:?}");
        }
        let agent = Agent::new("a.b-c").unwrap();
        for uid in ["", "a_b", "../x", "a b", "ä", &"a".repeat(129)] {
            let mut identity = identity();
            identity.pod.uid = uid.to_owned();
            assert!(identity.engine_name(&agent).is_err(), "{uid:?}");
        }
        let odd = Identity { part: Part::Container("POD".to_owned()), ..identity() };
        assert!(odd.engine_name(&agent).is_err(), "it would be the sandbox's");
    }
}
