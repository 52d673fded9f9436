// SPDX-License-Identifier: Apache-2.0
//! The files below `/etc` that every container of a pod sees: `hosts`, `resolv.conf`, `hostname`.

mod hosts;
mod resolver;

pub use resolver::Resolver;

use crate::error::SandboxError;
use crate::facts::Facts;
use crate::{names, pod};
use k8s_openapi::api::core::v1::Pod;

/// Bytes of a name in the kernel, without and with its end; and of a label in DNS.
const KERNEL_NAME_MAX: usize = 64;
const LABEL_MAX: usize = 63;

/// What the files of a pod hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Etc {
    /// `/etc/hosts`; empty while the pod has no address.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// `/etc/hostname`; empty on the host's network, which has the host's.
    pub hostname: String,
    /// What the user should be told: events of type Warning, as (reason, message).
    pub warnings: Vec<(&'static str, String)>,
}

impl Etc {
    /// Of a pod with these addresses.
    pub fn of(pod: &Pod, facts: &Facts, addresses: &[String]) -> Result<Self, SandboxError> {
        let mut warnings = Vec::new();
        let resolver = resolver::of(pod, facts, &mut warnings);
        let hosts =
            if addresses.is_empty() { String::new() } else { hosts::of(pod, facts, addresses)? };
        let host_network = pod::spec(pod).host_network == Some(true);
        let hostname = if host_network {
            String::new()
        } else {
            kernel_hostname(pod, &facts.cluster_domain)? + "\n"
        };
        Ok(Self { hosts, resolv_conf: resolver.to_string(), hostname, warnings })
    }
}

/// A pod's short name, cut to what DNS has room for, and the domain that its subdomain makes (upstream's `GeneratePodHostNameAndDomain`).
fn hostname(pod: &Pod, cluster_domain: &str) -> Result<(String, Option<String>), SandboxError> {
    let spec = pod::spec(pod);
    let own = spec.hostname.as_deref().filter(|name| !name.is_empty());
    if let Some(name) = own.filter(|name| !names::is_label(name)) {
        return Err(SandboxError::Hostname { name: name.to_owned() });
    }
    let name = own.unwrap_or_else(|| pod::name(pod));
    let cut = name.floor_char_boundary(LABEL_MAX);
    let name = if cut < name.len() { name[..cut].trim_end_matches(['-', '.']) } else { name };
    let usable = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(usable) {
        return Err(SandboxError::Hostname { name: name.to_owned() });
    }
    let subdomain = spec.subdomain.as_deref().filter(|name| !name.is_empty());
    if let Some(name) = subdomain.filter(|name| !names::is_label(name)) {
        return Err(SandboxError::Subdomain { name: name.to_owned() });
    }
    let namespace = pod::namespace(pod);
    let domain = subdomain.map(|sub| format!("{sub}.{namespace}.svc.{cluster_domain}"));
    Ok((name.to_owned(), domain))
}

/// What the pod's kernel calls it: its short name, or the whole one if it wants that (`setHostnameAsFQDN`).
pub(crate) fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, SandboxError> {
    let (name, domain) = hostname(pod, cluster_domain)?;
    match domain {
        Some(domain) if pod::spec(pod).set_hostname_as_fqdn == Some(true) => {
            let name = format!("{name}.{domain}");
            if name.len() > KERNEL_NAME_MAX {
                return Err(SandboxError::LongName { name, max: KERNEL_NAME_MAX });
            }
            Ok(name)
        }
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests;
