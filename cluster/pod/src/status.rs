// SPDX-License-Identifier: Apache-2.0
//! The status of the pod, as the machine knows it.

mod conditions;
pub(crate) mod containers;
pub(crate) mod phase;

use crate::machine::Machine;
use crate::reasons::pod;
use crate::spec::Kind;
use crate::time::stamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};

/// The status by now. What others write into it stays.
pub(crate) fn of(machine: &Machine) -> PodStatus {
    let (old, theirs) = (&machine.shown, &machine.spec.status);
    let listed = |init: bool| {
        let chosen = machine
            .containers
            .iter()
            .filter(|container| (container.spec.kind != Kind::Regular) == init);
        let listed: Vec<_> = chosen.map(|container| containers::of(machine, container)).collect();
        (!listed.is_empty()).then_some(listed)
    };
    let mut status = PodStatus {
        container_statuses: listed(false),
        init_container_statuses: listed(true),
        observed_generation: machine.spec.generation,
        qos_class: Some(machine.spec.qos.clone()),
        start_time: Some(stamp(machine.started_at)),
        // Others write these.
        ephemeral_container_statuses: theirs.ephemeral_container_statuses.clone(),
        nominated_node_name: theirs.nominated_node_name.clone(),
        resize: theirs.resize.clone(),
        resource_claim_statuses: theirs.resource_claim_statuses.clone(),
        ..PodStatus::default()
    };
    status.phase = Some(phase::of(machine, &status).to_owned());
    (status.reason, status.message) = (None, None);
    if status.phase == old.phase {
        (status.reason, status.message) = (old.reason.clone(), old.message.clone());
    } else if let Some((reason, message)) = machine.stop.as_ref().and_then(|stop| stop.failure())
        && phase::is_terminal(status.phase.as_deref())
    {
        (status.reason, status.message) = (Some(reason.to_owned()), Some(message.to_owned()));
    }
    addresses(machine, &mut status);
    status.conditions = Some(conditions::of(machine, &status));
    status
}

fn addresses(machine: &Machine, status: &mut PodStatus) {
    let (hosts, old) = (&machine.node.host_ips, &machine.shown);
    (status.host_ip, status.host_ips) = (old.host_ip.clone(), old.host_ips.clone());
    (status.pod_ip, status.pod_ips) = (old.pod_ip.clone(), old.pod_ips.clone());
    if let Some(first) = hosts.first() {
        status.host_ip = Some(first.clone());
        status.host_ips = Some(hosts.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    }
    let own = &machine.sandbox.addresses;
    let own = if machine.spec.host_network && own.is_empty() { hosts } else { own };
    if let Some(first) = own.first() {
        status.pod_ip = Some(first.clone());
        status.pod_ips = Some(own.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    }
}

/// Whether the pod ends well, as far as can be seen.
pub(crate) fn succeeds(machine: &Machine) -> bool {
    let mut regular =
        machine.containers.iter().filter(|container| container.spec.kind == Kind::Regular);
    let failed = machine.stop.as_ref().is_some_and(|stop| stop.failure().is_some());
    !failed
        && regular
            .all(|container| container.ended.as_ref().is_some_and(|ended| ended.exit.code == 0))
}

/// The reason of the conditions of a pod that ends so.
pub(crate) fn end_reason(succeeded: bool) -> &'static str {
    if succeeded { pod::COMPLETED } else { pod::FAILED }
}
