// SPDX-License-Identifier: Apache-2.0
//! Kernel parameters that a pod may set: those of its own namespaces that harm nobody else (upstream's `SafeSysctlAllowlist`, v1.33).

use crate::error::SandboxError;
use crate::pod;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// By name, with dots.
pub(crate) fn sysctls(pod: &Pod) -> Result<BTreeMap<String, String>, SandboxError> {
    let spec = pod::spec(pod);
    let mut sysctls = BTreeMap::new();
    for sysctl in pod::security(pod).sysctls.as_deref().unwrap_or_default() {
        let name = dotted(&sysctl.name);
        if !SAFE.contains(&name.as_str()) {
            return Err(SandboxError::Sysctl { name });
        }
        if name.starts_with("net.") && spec.host_network == Some(true) {
            return Err(SandboxError::HostSysctl { name, what: "net" });
        }
        if name.starts_with("kernel.shm") && spec.host_ipc == Some(true) {
            return Err(SandboxError::HostSysctl { name, what: "ipc" });
        }
        sysctls.insert(name, sysctl.value.clone());
    }
    Ok(sysctls)
}

/// `net/ipv4/x` is `net.ipv4.x`: who writes the first sign as a slash means it as the divider.
fn dotted(name: &str) -> String {
    let first = name.find(['.', '/']);
    if first.is_none_or(|at| name.as_bytes()[at] == b'.') {
        return name.to_owned();
    }
    let swapped = name.chars().map(|c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    });
    swapped.collect()
}
