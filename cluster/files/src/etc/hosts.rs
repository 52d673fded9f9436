// SPDX-License-Identifier: Apache-2.0
//! `/etc/hosts`, in the form that a kubelet writes.

use crate::error::SandboxError;
use crate::facts::Facts;
use crate::pod;
use k8s_openapi::api::core::v1::Pod;
use std::fmt::Write;

const OWN: &str = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";
const HOST: &str = "# Kubernetes-managed hosts file (host network).\n";

/// Of a pod with these addresses; on the host's network, the host's file.
pub(super) fn of(pod: &Pod, facts: &Facts, addresses: &[String]) -> Result<String, SandboxError> {
    let mut text = String::new();
    let written = if pod::spec(pod).host_network == Some(true) {
        write!(text, "{HOST}{}", facts.hosts)
    } else {
        let (name, domain) = super::hostname(pod, &facts.cluster_domain)?;
        text.push_str(OWN);
        addresses.iter().try_for_each(|address| match &domain {
            Some(domain) => writeln!(text, "{address}\t{name}.{domain}\t{name}"),
            None => writeln!(text, "{address}\t{name}"),
        })
    };
    written.expect("a String takes what it is given");
    let aliases = pod::spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        // A line break would add a line of somebody's choice.
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let line = format!("{}\t{names}", alias.ip);
        text.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
        text.push('\n');
    }
    Ok(text)
}
