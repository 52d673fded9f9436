// SPDX-License-Identifier: Apache-2.0
//! Reading a pod.

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, Volume};
use std::collections::BTreeSet;
use std::sync::LazyLock;

static NOTHING: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);
static NO_CONTEXT: LazyLock<PodSecurityContext> = LazyLock::new(PodSecurityContext::default);

pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap_or(&NOTHING)
}

pub(crate) fn security(pod: &Pod) -> &PodSecurityContext {
    spec(pod).security_context.as_ref().unwrap_or(&NO_CONTEXT)
}

pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// As upstream names a pod in its messages.
pub(crate) fn described(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// Init containers, then the others.
pub(crate) fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    init_containers(pod).iter().chain(&spec(pod).containers)
}

pub(crate) fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

/// Whether an init container goes on beside the others (KEP-753).
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub(crate) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    containers(pod).find(|container| container.name == name)
}

/// The volumes that some container mounts: the others are not made, as upstream does not make them.
pub(crate) fn mounted_volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let mut names = BTreeSet::new();
    for container in containers(pod) {
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let devices = container.volume_devices.as_deref().unwrap_or_default();
        names.extend(mounts.iter().map(|mount| mount.name.as_str()));
        names.extend(devices.iter().map(|device| device.name.as_str()));
    }
    let volumes = spec(pod).volumes.as_deref().unwrap_or_default();
    volumes.iter().filter(move |volume| names.contains(volume.name.as_str()))
}

/// The claim of a volume that has one. That of an ephemeral volume is called after pod and volume.
pub(crate) fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    let claim = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
    let ephemeral = || format!("{}-{}", name(pod), volume.name);
    claim.or_else(|| volume.ephemeral.as_ref().map(|_| ephemeral()))
}
