// SPDX-License-Identifier: Apache-2.0
//! What holds for all services: the node on which this is, and what its operator allows. Plain data.

use berth_balancer_core::model::{Cidr, Name, Node};
use berth_balancer_service::wanted::Common;
use std::net::IpAddr;
use std::str::FromStr;

/// The node, and what is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The node's name.
    pub node: Option<Name>,
    /// Its zone.
    pub zone: Option<Name>,
    /// Its addresses on which node ports are served.
    pub addresses: Vec<IpAddr>,
    /// Services may have `externalIPs`. Off: who may write a Service could take any address that is routed here (CVE-2020-8554).
    pub external_ips: bool,
}

impl Around {
    /// The same for the balancer.
    pub(crate) fn common(&self) -> Common {
        let node = Node {
            name: self.node.clone(),
            zone: self.zone.clone(),
            addresses: self.addresses.clone(),
            // Ports of pods on the node are any; those of Services are checked by the API.
            node_ports: None,
        };
        Common { node, pools: Vec::new(), external_ips: self.external_ips }
    }
}

/// On which of the node's addresses node ports are served (`nodePortAddresses` of kube-proxy).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NodePorts {
    /// All that the host's interfaces have, the loopback's among them.
    #[default]
    All,
    /// Those that the Node object tells.
    Primary,
    /// Those of the host's in these ranges.
    Ranges(Vec<Cidr>),
}

/// Why a text does not say on which addresses node ports are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortsError(String);

impl std::fmt::Display for NodePortsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: `all`, `primary`, or ranges with commas (192.168.0.0/16)", self.0)
    }
}

impl std::error::Error for NodePortsError {}

impl FromStr for NodePorts {
    type Err = NodePortsError;

    fn from_str(text: &str) -> Result<Self, NodePortsError> {
        match text {
            "" | "all" => Ok(Self::All),
            "primary" => Ok(Self::Primary),
            ranges => {
                let ranges = ranges.split(',').map(|range| range.trim().parse());
                let ranges: Result<Vec<Cidr>, _> = ranges.collect();
                ranges.map(Self::Ranges).map_err(|_| NodePortsError(text.to_owned()))
            }
        }
    }
}

impl NodePorts {
    /// The addresses, of those of the host and those that the Node object tells; sorted. Version 4 alone.
    #[must_use]
    pub fn choose(&self, host: &[IpAddr], node: &[IpAddr]) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = match self {
            Self::All => host.to_vec(),
            Self::Primary => node.iter().take(1).copied().collect(),
            Self::Ranges(ranges) => {
                let inside = |ip: &&IpAddr| ranges.iter().any(|range| range.contains(**ip));
                host.iter().filter(inside).copied().collect()
            }
        };
        all.retain(IpAddr::is_ipv4);
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The addresses of the host's interfaces, but for those that the balancer itself makes, and those that live on one link.
pub(crate) fn of_host() -> Vec<IpAddr> {
    let read = || {
        let mut routes = berth_balancer_host::route::Routes::open()?;
        let ours: Vec<u32> = {
            let links = routes.links()?;
            let ours = links.iter().filter(|link| link.name.starts_with("berth"));
            ours.map(|link| link.index).collect()
        };
        let all = routes.addresses()?;
        let all = all.into_iter().filter(|one| !ours.contains(&one.link));
        Ok::<_, std::io::Error>(all.map(|one| one.destination).collect::<Vec<IpAddr>>())
    };
    let mut all = read().unwrap_or_else(|error| {
        tracing::warn!(%error, "the host's addresses are not told: node ports are served on none");
        Vec::new()
    });
    all.retain(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(_) => false,
    });
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ports_are_served_where_the_operator_says() {
        let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let host = ips(&["192.168.7.2", "127.0.0.1", "10.0.0.7", "fd00::1"]);
        let node = ips(&["10.0.0.7", "203.0.113.5"]);
        for (text, want) in [
            ("all", &["10.0.0.7", "127.0.0.1", "192.168.7.2"][..]),
            ("primary", &["10.0.0.7"]),
            ("10.0.0.0/8, 127.0.0.0/8", &["10.0.0.7", "127.0.0.1"]),
            ("172.16.0.0/12", &[]),
        ] {
            assert_eq!(
                text.parse::<NodePorts>().unwrap().choose(&host, &node),
                ips(want),
                "{text}"
            );
        }
        assert!("10.0.0.0".parse::<NodePorts>().unwrap_err().to_string().contains("primary"));
    }
}
