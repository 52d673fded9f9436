// SPDX-License-Identifier: Apache-2.0
//! What the machine needs of a pod, read once.

use crate::image::PullPolicy;
use crate::time::{Millis, SECOND, seconds};
use k8s_openapi::api::core::v1::{self as api, Pod, PodSpec, PodStatus};

/// `terminationGracePeriodSeconds` of a pod that says nothing.
const GRACE: i64 = 30;

/// Which ended containers of a pod are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// All.
    #[default]
    Always,
    /// Those that failed.
    OnFailure,
    /// None.
    Never,
}

/// What part a container has in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It runs to its end before the next one begins.
    Init,
    /// An init container that goes on beside the others (KEP-753).
    Sidecar,
    /// What the pod is there for.
    Regular,
}

/// What is asked of a container again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSpec {
    /// How long after its start it is asked first.
    pub initial_delay: Millis,
    /// How often.
    pub period: Millis,
    /// How long an answer may take.
    pub timeout: Millis,
    /// How many good answers in a row make it good.
    pub success_threshold: u32,
    /// How many bad ones make it bad.
    pub failure_threshold: u32,
    /// The grace of a container that is ended for it; `None` for the pod's.
    pub grace: Option<Millis>,
}

/// A container of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its part.
    pub kind: Kind,
    /// Its image, as it was written.
    pub image: String,
    /// When that is pulled.
    pub pull: PullPolicy,
    /// Whether something runs right after its start.
    pub post_start: bool,
    /// Whether something runs before it is told to end.
    pub pre_stop: bool,
    /// The signal by which it is told; `None` for its image's.
    pub stop_signal: Option<String>,
    /// Startup, liveness and readiness, in the order of [`ProbeKind`](crate::ProbeKind).
    pub probes: [Option<ProbeSpec>; 3],
}

/// A pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Which of its versions this is.
    pub generation: Option<i64>,
    /// Which of its containers are started again.
    pub restart_policy: RestartPolicy,
    /// How long its containers may take to end.
    pub grace: Millis,
    /// How long it may be active.
    pub active_deadline: Option<Millis>,
    /// Whether it has the host's network.
    pub host_network: bool,
    /// The grace of its deletion, if it is being deleted.
    pub deletion: Option<Millis>,
    /// Conditions of others that it needs to be ready.
    pub readiness_gates: Vec<String>,
    /// Init containers and sidecars in their order, then the others.
    pub containers: Vec<ContainerSpec>,
    /// Its class by what it requests.
    pub qos: String,
    /// Its status as the API has it.
    pub status: PodStatus,
}

impl Spec {
    /// Reads a pod. What the API would not have let in is read as if it were not there.
    pub fn read(pod: &Pod) -> Self {
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let meta = &pod.metadata;
        let grace = seconds(spec.termination_grace_period_seconds.unwrap_or(GRACE));
        let deletion_grace = meta.deletion_grace_period_seconds.map_or(grace, seconds);
        let status = pod.status.clone().unwrap_or_default();
        let init = spec.init_containers.iter().flatten().map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            read_container(container, if sidecar { Kind::Sidecar } else { Kind::Init })
        });
        let regular =
            spec.containers.iter().map(|container| read_container(container, Kind::Regular));
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            restart_policy: match spec.restart_policy.as_deref() {
                Some("OnFailure") => RestartPolicy::OnFailure,
                Some("Never") => RestartPolicy::Never,
                _ => RestartPolicy::Always,
            },
            grace,
            active_deadline: spec.active_deadline_seconds.map(seconds),
            host_network: spec.host_network.unwrap_or(false),
            deletion: meta.deletion_timestamp.as_ref().map(|_| deletion_grace),
            readiness_gates: spec
                .readiness_gates
                .iter()
                .flatten()
                .map(|gate| gate.condition_type.clone())
                .collect(),
            containers: init.chain(regular).collect(),
            qos: status.qos_class.clone().unwrap_or_else(|| qos(spec).to_owned()),
            status,
        }
    }

    /// As upstream names a pod in its messages.
    pub(crate) fn described(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }
}

fn read_container(container: &api::Container, kind: Kind) -> ContainerSpec {
    let lifecycle = container.lifecycle.as_ref();
    let image = container.image.clone().unwrap_or_default();
    // An init container that runs to its end is asked nothing: the API refuses such probes and hooks.
    let lasts = kind != Kind::Init;
    let probe = |probe: &Option<api::Probe>| probe.as_ref().filter(|_| lasts).map(read_probe);
    ContainerSpec {
        name: container.name.clone(),
        kind,
        pull: PullPolicy::of(container.image_pull_policy.as_deref(), &image),
        image,
        post_start: lasts && lifecycle.is_some_and(|lifecycle| lifecycle.post_start.is_some()),
        pre_stop: lasts && lifecycle.is_some_and(|lifecycle| lifecycle.pre_stop.is_some()),
        stop_signal: lifecycle.and_then(|lifecycle| lifecycle.stop_signal.clone()),
        probes: [
            probe(&container.startup_probe),
            probe(&container.liveness_probe),
            probe(&container.readiness_probe),
        ],
    }
}

fn read_probe(probe: &api::Probe) -> ProbeSpec {
    // Zero means that nothing was said.
    let or = |value: Option<i32>, default: i32| value.filter(|value| *value > 0).unwrap_or(default);
    let count = |value, default| u32::try_from(or(value, default)).unwrap_or(1);
    ProbeSpec {
        initial_delay: seconds(i64::from(probe.initial_delay_seconds.unwrap_or(0))),
        period: seconds(i64::from(or(probe.period_seconds, 10))),
        timeout: seconds(i64::from(or(probe.timeout_seconds, 1))).max(SECOND),
        success_threshold: count(probe.success_threshold, 1),
        failure_threshold: count(probe.failure_threshold, 3),
        grace: probe.termination_grace_period_seconds.map(seconds),
    }
}

/// The class of a pod of which the API did not say it. Amounts are compared as they were written.
fn qos(spec: &PodSpec) -> &'static str {
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let (mut any, mut guaranteed) = (false, true);
    for container in all {
        for name in ["cpu", "memory"] {
            let resources = container.resources.as_ref();
            let limit = resources.and_then(|all| all.limits.as_ref()?.get(name));
            let request = resources.and_then(|all| all.requests.as_ref()?.get(name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
