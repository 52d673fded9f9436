// SPDX-License-Identifier: Apache-2.0
//! What is kept of a pod.

use berth_cluster_client::{ObjectError, View, clock};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// For how long the containers of a pod run before they end by themselves: `5s`, `1m30s`.
pub const DURATION: &str = "berth.dev/simulated-duration";
/// With which code they end then; 0 if it is not said. Without a duration they end after a second.
pub const EXIT_CODE: &str = "berth.dev/simulated-exit-code";
/// How long they take to end when they are told to.
pub const STOP: &str = "berth.dev/simulated-stop";
/// What the pod uses, such as `cpu=100m,memory=64Mi`.
pub const USAGE: &str = "berth.dev/simulated-usage";

/// When containers that ended are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: Box<str>,
    pub(crate) image: Box<str>,
    /// One that is started before the others, and goes on beside them.
    pub(crate) beside: bool,
}

/// What its status says: how far somebody has brought it.
#[derive(Debug, Default)]
pub(crate) struct Was {
    /// It has an end: Succeeded or Failed.
    pub(crate) ended: bool,
    /// The scheduler's condition is there.
    pub(crate) scheduled: bool,
    /// Times in microseconds since the Unix epoch.
    pub(crate) start: Option<i64>,
    pub(crate) running: Option<i64>,
    /// A container waits to be started again.
    pub(crate) backs_off: bool,
    pub(crate) restarts: u32,
    pub(crate) address: Option<Ipv4Addr>,
}

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) node: Box<str>,
    /// It is to end, within so many seconds.
    pub(crate) ends_within: Option<u32>,
    pub(crate) restart: Restart,
    pub(crate) host_network: bool,
    pub(crate) containers: Box<[Container]>,
    pub(crate) inits: Box<[Container]>,
    /// In microseconds.
    pub(crate) duration: Option<i64>,
    pub(crate) exit_code: Option<u8>,
    pub(crate) stop: Option<i64>,
    pub(crate) usage: Option<Box<str>>,
    pub(crate) was: Was,
}

/// Reads a duration as Go writes it: microseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut all = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "us" | "µs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            "m" => 60e6,
            "h" => 3_600e6,
            _ => return None,
        };
        all += number * unit;
        rest = &rest[end..];
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is less than 2^53")]
    (all < 9e15).then_some(all as i64)
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow, default)]
    status: Status<'a>,
}

type Text<'a> = Cow<'a, str>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(default)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    deletion_grace_period_seconds: Option<u32>,
    #[serde(borrow, default)]
    annotations: Option<BTreeMap<Text<'a>, Text<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow, default)]
    node_name: Text<'a>,
    #[serde(borrow, default)]
    restart_policy: Text<'a>,
    #[serde(default)]
    host_network: bool,
    #[serde(borrow)]
    containers: Vec<SpecContainer<'a>>,
    #[serde(borrow, default)]
    init_containers: Vec<SpecContainer<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecContainer<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    image: Text<'a>,
    #[serde(borrow, default)]
    restart_policy: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow, default)]
    phase: Text<'a>,
    #[serde(borrow, default)]
    start_time: Option<Text<'a>>,
    #[serde(borrow, default, rename = "podIP")]
    pod_ip: Option<Text<'a>>,
    #[serde(borrow, default)]
    conditions: Option<Vec<Condition<'a>>>,
    #[serde(borrow, default)]
    container_statuses: Option<Vec<ContainerStatus<'a>>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    status: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus<'a> {
    #[serde(default)]
    restart_count: u32,
    #[serde(borrow, default)]
    state: State<'a>,
}

#[derive(Default, Deserialize)]
struct State<'a> {
    #[serde(borrow, default)]
    running: Option<Running<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running<'a> {
    #[serde(borrow, default)]
    started_at: Option<Text<'a>>,
}

fn was(status: &Status<'_>) -> Was {
    let conditions = status.conditions.iter().flatten();
    let scheduled = |one: &Condition<'_>| one.kind == "PodScheduled" && one.status == "True";
    let first = status.container_statuses.as_ref().and_then(|all| all.first());
    let running = first.and_then(|one| one.state.running.as_ref());
    let time = |text: &Option<Text<'_>>| text.as_ref().and_then(|text| clock::parse(text));
    let restarts = first.map_or(0, |one| one.restart_count);
    Was {
        ended: ["Succeeded", "Failed"].contains(&&*status.phase),
        scheduled: conditions.into_iter().any(scheduled),
        start: time(&status.start_time),
        running: running.and_then(|running| time(&running.started_at)),
        backs_off: running.is_none() && restarts > 0,
        restarts,
        address: status.pod_ip.as_ref().and_then(|ip| ip.parse().ok()),
    }
}

impl View for Pod {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let object: Object<'_> =
            serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))?;
        let Object { metadata, spec, status } = object;
        let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name));
        let containers = |all: &[SpecContainer<'_>]| {
            let one = |one: &SpecContainer<'_>| Container {
                name: (*one.name).into(),
                image: (*one.image).into(),
                beside: one.restart_policy == "Always",
            };
            all.iter().map(one).collect()
        };
        // One that is not marked has seconds of another meaning.
        let ends = metadata.deletion_timestamp.is_some();
        Ok(Self {
            node: (*spec.node_name).into(),
            ends_within: ends.then(|| metadata.deletion_grace_period_seconds.unwrap_or(0)),
            restart: match &*spec.restart_policy {
                "OnFailure" => Restart::OnFailure,
                "Never" => Restart::Never,
                _ => Restart::Always,
            },
            host_network: spec.host_network,
            containers: containers(&spec.containers),
            inits: containers(&spec.init_containers),
            duration: annotation(DURATION).and_then(|text| duration(text)),
            exit_code: annotation(EXIT_CODE).and_then(|text| text.parse().ok()),
            stop: annotation(STOP).and_then(|text| duration(text)),
            usage: annotation(USAGE).map(|text| (**text).into()),
            was: was(&status),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration("5s"), Some(5_000_000));
        assert_eq!(duration("1m30.5s"), Some(90_500_000));
        assert_eq!(duration("250ms"), Some(250_000));
        for wrong in ["", "5", "s", "5 s", "-5s", "5d", "1e9h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pod_is_read_with_what_its_status_says() {
        let pod = br#"{"metadata":{"name":"p","deletionTimestamp":"2027-01-15T08:00:30Z","deletionGracePeriodSeconds":30,
            "annotations":{"berth.dev/simulated-duration":"5s","berth.dev/simulated-exit-code":"3","a":"\"b\""}},
            "spec":{"nodeName":"sim-00001","restartPolicy":"Never","containers":[{"name":"c","image":"i"}],
            "initContainers":[{"name":"s","image":"j","restartPolicy":"Always"}]},
            "status":{"phase":"Running","startTime":"2027-01-15T08:00:00Z","podIP":"10.1.2.3",
            "conditions":[{"type":"PodScheduled","status":"True"}],
            "containerStatuses":[{"name":"c","restartCount":2,"state":{"running":{"startedAt":"2027-01-15T08:00:01Z"}}}]}}"#;
        let pod = Pod::read(pod).unwrap();
        assert_eq!((&*pod.node, pod.ends_within), ("sim-00001", Some(30)));
        assert_eq!((pod.duration, pod.exit_code), (Some(5_000_000), Some(3)));
        assert_eq!(pod.restart, Restart::Never);
        assert!(pod.inits[0].beside && !pod.containers[0].beside);
        let was = pod.was;
        assert!(was.scheduled && !was.ended && !was.backs_off);
        assert_eq!(was.start, Some(1_800_000_000_000_000));
        assert_eq!((was.running, was.restarts), (Some(1_800_000_001_000_000), 2));
        assert_eq!(was.address, Some(Ipv4Addr::new(10, 1, 2, 3)));
        let pod = Pod::read(br#"{"metadata":{},"spec":{"containers":[]}}"#).unwrap();
        assert_eq!((pod.ends_within, pod.restart), (None, Restart::Always));
    }
}
