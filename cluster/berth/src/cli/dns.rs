// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth dns`.

use berth_cluster_edge_dns::Range;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

const DNS_HELP: &str = "\
Examples:
  berth dns --kubeconfig dns.kubeconfig --listen 10.244.0.1:53 --service-ip 10.96.0.10 --reverse 10.96.0.0/16,10.244.0.0/16
        names of services, endpoints and pods of that cluster; all others are asked for where /etc/resolv.conf says
  berth dns --kubeconfig F --listen 127.0.0.1:5353 --upstream 192.168.7.1:53
        on a port that any user may take; see what it says with  dig @127.0.0.1 -p 5353 kubernetes.default.svc.cluster.local

The user of the file has to read services, endpointslices and namespaces (and pods, with --pods verified). While the API is away
everything is answered as it was.";

/// Flags of `dns`.
#[derive(Debug, clap::Args)]
#[command(after_help = DNS_HELP)]
pub(crate) struct DnsArgs {
    /// The cluster, and the user as whom it is read
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,

    /// Where it answers, over UDP and TCP, with commas; each address by itself, since one that stands for all could answer from a wrong one
    #[arg(long, value_name = "ADDRS", value_delimiter = ',', required = true, value_parser = super::address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// The cluster's domain
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub(crate) domain: String,

    /// Where everything is asked for that is not the cluster's, with commas [default: the name servers of /etc/resolv.conf]
    #[arg(long, value_name = "ADDRS", value_delimiter = ',', value_parser = super::address)]
    pub(crate) upstream: Vec<SocketAddr>,

    /// Networks of services and pods, with commas: the names of their addresses are answered from here
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', value_parser = range)]
    pub(crate) reverse: Vec<Range>,

    /// Addresses at which pods reach it: those of ns.dns.DOMAIN, with commas
    #[arg(long, value_name = "IPS", value_delimiter = ',')]
    pub(crate) service_ip: Vec<IpAddr>,

    /// Whose names such as 10-1-0-7.NAMESPACE.pod.DOMAIN are answered
    #[arg(long, value_enum, default_value_t = PodNames::Insecure, value_name = "WHOSE")]
    pub(crate) pods: PodNames,

    /// Seconds for which others may keep an answer
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) ttl: u32,

    /// Where /metrics, /livez and /readyz are served [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = super::address)]
    pub(crate) metrics: Option<SocketAddr>,
}

/// Whose names pods have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PodNames {
    /// Nobody's
    Disabled,
    /// Any address, if the namespace is there
    Insecure,
    /// Those of pods that have the address in that namespace: all pods are followed
    Verified,
}

fn range(text: &str) -> Result<Range, String> {
    text.parse().map_err(|error: berth_cluster_edge_dns::SettingsError| error.to_string())
}
