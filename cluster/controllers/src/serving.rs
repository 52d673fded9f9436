// SPDX-License-Identifier: Apache-2.0
//! Who serves a Service: what controllers of Endpoints and of EndpointSlices have in common.

mod book;

pub(crate) use book::Book;
pub use book::Place;

use crate::view::service::ServiceSpec;
use crate::view::{Pod, Service, ServicePort};
use berth_cluster_client::Item;
use serde_json::Value;

/// Says of what serves a headless Service that it does.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";

/// Whether a Service has no address of its own.
pub(crate) fn headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip == "None"
}

/// Whether a Service's selector, which is there, takes a pod of its namespace.
pub(crate) fn takes(service: &Item<Service>, pod: &Item<Pod>) -> bool {
    let selector = service.view.spec.selector.as_ref();
    selector.is_some_and(|selector| {
        let labels = &pod.view.metadata.labels;
        service.id.namespace == pod.id.namespace
            && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
    })
}

/// Whether a pod can be listed at all; one on its way out only where that is wanted.
pub(crate) fn listed(pod: &Pod, leaving: bool) -> bool {
    let addressed = !pod.status.pod_ip.is_empty() || !pod.status.pod_ips.is_empty();
    addressed && !pod.terminal() && (leaving || !pod.metadata.deleted())
}

/// The addresses of a pod.
pub(crate) fn addresses(pod: &Pod) -> Vec<&str> {
    if pod.status.pod_ips.is_empty() {
        vec![pod.status.pod_ip.as_str()]
    } else {
        pod.status.pod_ips.iter().map(|one| one.ip.as_str()).collect()
    }
}

/// The number of a Service's port on a pod; none if the pod has none of that name.
pub(crate) fn number(port: &ServicePort, pod: &Pod) -> Option<u16> {
    let name = match &port.target_port {
        Value::Number(number) => return number.as_u64().and_then(|number| number.try_into().ok()),
        Value::String(name) => name,
        _ => return Some(port.port),
    };
    let protocol = |text: &str| if text.is_empty() { "TCP".to_owned() } else { text.to_owned() };
    // An init container that goes on beside the others serves, too.
    let beside = pod.spec.init_containers.iter();
    let beside = beside.filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let mut ports = pod.spec.containers.iter().chain(beside).flat_map(|one| &one.ports);
    let found = ports
        .find(|one| one.name == *name && protocol(&one.protocol) == protocol(&port.protocol))?;
    Some(found.container_port)
}

/// The name of a pod within a Service that names it.
pub(crate) fn hostname(pod: &Item<Pod>, service: &Item<Service>) -> Option<String> {
    let spec = &pod.view.spec;
    let named = !spec.hostname.is_empty()
        && spec.subdomain == service.id.name
        && pod.id.namespace == service.id.namespace;
    named.then(|| spec.hostname.clone())
}
