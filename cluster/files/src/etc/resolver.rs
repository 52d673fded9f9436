// SPDX-License-Identifier: Apache-2.0
//! `/etc/resolv.conf`: read from the host, and made for a pod (upstream's `pkg/kubelet/network/dns`).

use crate::facts::Facts;
use crate::pod;
use core::net::IpAddr;
use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};
use std::fmt;

/// What a resolver reads: name servers (`MAXNS` of glibc), and upstream's bounds of domains to search.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2_048;
/// How many dots a name must have to be looked up as it is first, in a pod that searches the cluster.
const NDOTS: &str = "ndots:5";
/// Docker's own name server, which answers within containers only, and knows nothing of the cluster.
const DOCKER: &str = "127.0.0.11";
/// The reason of events about this file.
const REASON: &str = "DNSConfigForming";

/// What a `resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolver {
    /// Addresses of name servers, to be asked in this order.
    pub servers: Vec<String>,
    /// Domains to search.
    pub searches: Vec<String>,
    /// Options, such as `ndots:5`.
    pub options: Vec<String>,
}

impl Resolver {
    /// Reads a `resolv.conf`, as resolvers do: comments and what is unknown count for nothing, and the last line of domains counts.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    let whole = |domain: &str| match domain.strip_suffix('.') {
                        Some(domain) if !domain.is_empty() => domain.to_owned(),
                        _ => domain.to_owned(),
                    };
                    resolver.searches = words.map(whole).collect();
                }
                Some("options") => add(&mut resolver.options, words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }
}

impl fmt::Display for Resolver {
    /// As the file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.searches.is_empty() {
            writeln!(f, "search {}", self.searches.join(" "))?;
        }
        for server in &self.servers {
            writeln!(f, "nameserver {server}")?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

/// Of a pod, as its `dnsPolicy` and `dnsConfig` say.
pub(super) fn of(pod: &Pod, facts: &Facts, warnings: &mut Vec<(&'static str, String)>) -> Resolver {
    let spec = pod::spec(pod);
    let host_network = spec.host_network == Some(true);
    let (cluster, host) = match spec.dns_policy.as_deref() {
        Some("None") => (false, false),
        Some("Default") => (false, true),
        Some("ClusterFirstWithHostNet") => (true, false),
        // What the API does not allow is the default, which means the host's on the host's network.
        _ => (!host_network, host_network),
    };
    let mut resolver = Resolver::default();
    if cluster && facts.cluster_dns.is_empty() {
        let text = format!(
            "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. \
             Falling back to \"Default\" policy.",
            pod::described(pod)
        );
        warnings.push(("MissingClusterDNS", text));
    }
    if cluster && !facts.cluster_dns.is_empty() {
        resolver.servers.clone_from(&facts.cluster_dns);
        resolver.searches = searches(pod, facts);
        resolver.options.push(NDOTS.to_owned());
    } else if cluster || host {
        resolver = facts.resolver.clone();
        // What answers on the host's loopback is not there in a network of one's own.
        let reachable = |server: &String| {
            let loopback = server.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
            server != DOCKER && (host_network || !loopback)
        };
        resolver.servers.retain(reachable);
    }
    if let Some(config) = &spec.dns_config {
        merge(&mut resolver, config);
    }
    limit(&mut resolver, warnings);
    resolver
}

/// The pod's namespace, all namespaces, the cluster, and then what the host searches.
fn searches(pod: &Pod, facts: &Facts) -> Vec<String> {
    let domain = &facts.cluster_domain;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        let namespace = pod::namespace(pod);
        let own = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        add(&mut searches, own.into_iter());
    }
    add(&mut searches, facts.resolver.searches.iter().cloned());
    searches
}

fn merge(resolver: &mut Resolver, config: &PodDNSConfig) {
    // A line break would add a line of somebody's choice, and a blank a word.
    let word = |text: &String| -> String {
        text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect()
    };
    add(&mut resolver.servers, config.nameservers.iter().flatten().map(word));
    resolver.servers.retain(|server| server != DOCKER);
    add(&mut resolver.searches, config.searches.iter().flatten().map(word));
    for option in config.options.iter().flatten() {
        let name = option.name.as_ref().map(word).unwrap_or_default();
        let value = option.value.as_ref().map(word).filter(|value| !value.is_empty());
        let text = value.map_or_else(|| name.clone(), |value| format!("{name}:{value}"));
        let same = |other: &String| other.split(':').next() == Some(name.as_str());
        match resolver.options.iter_mut().find(|other| same(other)) {
            Some(other) => *other = text,
            None => resolver.options.push(text),
        }
    }
}

/// Appends what is not there yet.
fn add(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for text in more {
        if !text.is_empty() && !list.contains(&text) {
            list.push(text);
        }
    }
}

/// Cuts to what resolvers read, and tells so.
fn limit(resolver: &mut Resolver, warnings: &mut Vec<(&'static str, String)>) {
    if resolver.servers.len() > SERVERS_MAX {
        resolver.servers.truncate(SERVERS_MAX);
        let text = format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            resolver.servers.join(" ")
        );
        warnings.push((REASON, text));
    }
    let before = resolver.searches.len();
    resolver.searches.truncate(SEARCHES_MAX);
    while resolver.searches.iter().map(|domain| domain.len() + 1).sum::<usize>()
        > SEARCH_CHARS_MAX + 1
    {
        resolver.searches.pop();
    }
    if resolver.searches.len() < before {
        let text = format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            resolver.searches.join(" ")
        );
        warnings.push((REASON, text));
    }
}
