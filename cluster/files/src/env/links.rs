// SPDX-License-Identifier: Apache-2.0
//! What containers are told of Services by their environment (upstream's `getServiceEnvVarMap` and `pkg/kubelet/envvars`): the address and port,
//! and for each port what Docker's links used to say.

use super::Variables;
use crate::pod;
use crate::sources::ServiceLink;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// Of all Services in the pod's namespace if it wants that, and of `default/kubernetes` in any case.
pub(super) fn of(pod: &Pod, services: &[ServiceLink]) -> Variables {
    let all = pod::spec(pod).enable_service_links.unwrap_or(true);
    let mut chosen = BTreeMap::new();
    for service in services {
        if service.namespace == "default" && service.name == "kubernetes" {
            chosen.entry(service.name.as_str()).or_insert(service);
        } else if service.namespace == pod::namespace(pod) && all {
            chosen.insert(service.name.as_str(), service);
        }
    }
    let mut variables = Variables::new();
    for service in chosen.values() {
        put(service, &mut variables);
    }
    variables
}

fn put(service: &ServiceLink, variables: &mut Variables) {
    let Some(first) = service.ports.first() else { return };
    let prefix = in_capitals(&service.name);
    let mut put = |name: String, value: String| variables.insert(name, value);
    put(format!("{prefix}_SERVICE_HOST"), service.address.clone());
    put(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for port in service.ports.iter().filter(|port| !port.name.is_empty()) {
        let name = format!("{prefix}_SERVICE_PORT_{}", in_capitals(&port.name));
        put(name, port.port.to_string());
    }
    for (at, port) in service.ports.iter().enumerate() {
        let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
        let lower = protocol.to_ascii_lowercase();
        let address = if service.address.contains(':') {
            format!("[{}]", service.address)
        } else {
            service.address.clone()
        };
        let url = format!("{lower}://{address}:{}", port.port);
        if at == 0 {
            put(format!("{prefix}_PORT"), url.clone());
        }
        let link = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
        put(format!("{link}_PROTO"), lower);
        put(format!("{link}_PORT"), port.port.to_string());
        put(format!("{link}_ADDR"), service.address.clone());
        put(link, url);
    }
}

fn in_capitals(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}
