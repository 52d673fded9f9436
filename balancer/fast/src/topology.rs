// SPDX-License-Identifier: Apache-2.0
//! Whose address an endpoint sees: the client's where replies come back through this node, else the node's.
//!
//! A reply must pass this node, since only here the service's address is put back. Pure; `ways` finds out where addresses are.
//!
//! | client | endpoint | replies | source |
//! |---|---|---|---|
//! | the endpoint itself | | would not leave its own stack | node's |
//! | this node | anywhere | to this node's address | kept |
//! | the loopback address | anywhere | would go to the endpoint's own loopback | node's |
//! | anywhere | this node | begin here | kept |
//! | anywhere | behind a router, or on a network of hardware | go their own way | node's |
//! | another network | a bridge or veth of this node | by their default route, which is this node | kept |
//! | same bridge, bridges call netfilter | | pass netfilter on the bridge | kept |
//! | same network otherwise | | go straight to the client on layer 2 | node's |

use crate::route::Hop;
use berth_balancer_core::model::SourceAddress;
use std::fmt;
use std::net::IpAddr;

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The way to it.
    pub hop: Hop,
    /// The interface is a bridge of this host.
    pub bridge: bool,
    /// The interface leads to what runs on this host (bridge, veth, tun), not to a wire.
    pub inside: bool,
}

/// Which source an endpoint sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client's.
    Keep,
    /// The node's.
    Masquerade,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The service asks for it.
    Asked,
    /// The client is the endpoint.
    Hairpin,
    /// The client is on this node.
    FromNode,
    /// The client has a loopback address, which means another host elsewhere.
    FromLoopback,
    /// The endpoint is on this node.
    ToNode,
    /// Replies of the endpoint do not pass this node.
    Elsewhere,
    /// Client and endpoint are on different networks, between which this node is the router.
    Routed,
    /// Both are on one bridge, which calls netfilter.
    BridgeCallsNetfilter,
    /// Both are on one network; replies go straight to the client.
    SameNetwork,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "the service asks for it",
            Self::Hairpin => "the client is the endpoint itself",
            Self::FromNode => "the client is on this node",
            Self::FromLoopback => "a loopback address means another host at the endpoint",
            Self::ToNode => "the endpoint is on this node",
            Self::Elsewhere => "replies of the endpoint do not pass this node",
            Self::Routed => "this node is the router between client and endpoint",
            Self::BridgeCallsNetfilter => "both are on one bridge, which calls netfilter",
            Self::SameNetwork => "both are on one network: replies would go straight to the client",
        })
    }
}

/// Two ends of a flow.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The client.
    pub client: (IpAddr, Place),
    /// The endpoint.
    pub endpoint: (IpAddr, Place),
    /// Frames between two ports of a bridge pass netfilter (`bridge-nf-call-iptables`, `bridge-nf-call-ip6tables`).
    pub bridge_calls_netfilter: bool,
}

/// Which source the endpoint sees, and why.
#[must_use]
pub fn source(wanted: SourceAddress, ends: &Ends) -> (Source, Why) {
    let ((client, from), (endpoint, to)) = (ends.client, ends.endpoint);
    if client == endpoint {
        // Without it the endpoint would talk to itself past every rule: it never works.
        return (Source::Masquerade, Why::Hairpin);
    }
    match wanted {
        SourceAddress::Keep => return (Source::Keep, Why::Asked),
        SourceAddress::Masquerade => return (Source::Masquerade, Why::Asked),
        SourceAddress::Auto => (),
    }
    if client.is_loopback() && !to.hop.local {
        return (Source::Masquerade, Why::FromLoopback);
    }
    if from.hop.local {
        return (Source::Keep, Why::FromNode);
    }
    if to.hop.local {
        return (Source::Keep, Why::ToNode);
    }
    if to.hop.gateway || !to.inside {
        return (Source::Masquerade, Why::Elsewhere);
    }
    match (from.hop.link == to.hop.link, to.bridge && ends.bridge_calls_netfilter) {
        (false, _) => (Source::Keep, Why::Routed),
        (true, true) => (Source::Keep, Why::BridgeCallsNetfilter),
        (true, false) => (Source::Masquerade, Why::SameNetwork),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(link: u32, kind: &str) -> Place {
        Place {
            hop: Hop { link, local: kind == "node", gateway: kind == "router" },
            bridge: kind == "bridge",
            inside: matches!(kind, "bridge" | "veth"),
        }
    }

    fn check(from: (u32, &str), to: (u32, &str), calls: bool) -> (Source, Why) {
        let (client, endpoint) = ("10.0.0.2".parse().unwrap(), "10.0.1.2".parse().unwrap());
        let ends = Ends {
            client: (client, place(from.0, from.1)),
            endpoint: (endpoint, place(to.0, to.1)),
            bridge_calls_netfilter: calls,
        };
        source(SourceAddress::Auto, &ends)
    }

    #[test]
    fn the_source_is_kept_where_replies_come_back() {
        use Source::{Keep, Masquerade};
        assert_eq!(check((1, "bridge"), (1, "bridge"), true), (Keep, Why::BridgeCallsNetfilter));
        assert_eq!(check((1, "bridge"), (1, "bridge"), false), (Masquerade, Why::SameNetwork));
        assert_eq!(check((1, "veth"), (1, "veth"), true), (Masquerade, Why::SameNetwork));
        assert_eq!(check((2, "bridge"), (1, "bridge"), false), (Keep, Why::Routed));
        assert_eq!(check((2, "wire"), (1, "veth"), false), (Keep, Why::Routed));
        assert_eq!(check((2, "router"), (1, "veth"), false), (Keep, Why::Routed));
        assert_eq!(check((1, "node"), (2, "router"), false), (Keep, Why::FromNode));
        assert_eq!(check((2, "bridge"), (3, "wire"), true), (Masquerade, Why::Elsewhere));
        assert_eq!(check((2, "bridge"), (3, "router"), true), (Masquerade, Why::Elsewhere));
        assert_eq!(check((2, "wire"), (1, "node"), true), (Keep, Why::ToNode));
    }

    #[test]
    fn what_is_asked_for_is_done_but_for_the_hairpin() {
        let at = |address: &str| (address.parse().unwrap(), place(1, "bridge"));
        let ends = |client, endpoint| Ends {
            client: at(client),
            endpoint: at(endpoint),
            bridge_calls_netfilter: false,
        };
        let two = ends("10.0.0.2", "10.0.0.3");
        assert_eq!(source(SourceAddress::Keep, &two), (Source::Keep, Why::Asked));
        assert_eq!(source(SourceAddress::Masquerade, &two), (Source::Masquerade, Why::Asked));
        let one = ends("10.0.0.2", "10.0.0.2");
        assert_eq!(source(SourceAddress::Keep, &one), (Source::Masquerade, Why::Hairpin));
        let mut loopback = ends("127.0.0.1", "10.0.0.2");
        loopback.client.1 = place(1, "node");
        let found = source(SourceAddress::Auto, &loopback);
        assert_eq!(found, (Source::Masquerade, Why::FromLoopback));
    }
}
