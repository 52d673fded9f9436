// SPDX-License-Identifier: Apache-2.0
//! Which data path a service takes, and which source address its endpoints see: the best that is right, and why.
//!
//! What excludes the fast path (feature x path):
//!
//! | asked for | proxy | fast | because |
//! |---|---|---|---|
//! | `proxy_in`, `proxy_out` | yes | no | the kernel forwards packets; the header is bytes in a connection |
//! | `timeouts.first_byte` | yes | no | the kernel does not see what a packet answers |
//! | `timeouts.idle`, `timeouts.age_max` | yes | no | the kernel's entries end with the connection |
//! | all else | yes | yes | |
//!
//! Which source address (topology x source), where the host can do it at all:
//!
//! | replies of endpoints | fast | proxy |
//! |---|---|---|
//! | come back through this node | each flow | keep, if the host allows it |
//! | go past it on layer 2, or are not known to come back | each flow | masquerade |
//!
//! On the fast path `auto` stays `auto`: where client and endpoint are is known when a flow begins, and decided for each
//! (`berth_balancer_fast::topology` has the cells).
//!
//! Addresses (kind x path): one that an interface of the host has, loopback addresses among them, is served by a listener on the proxy
//! path; a loopback address cannot be forwarded at all.
//!
//! What is asked for by name and cannot be had is a problem of the configuration, never silently something else.

use berth_balancer_core::model::{DataPath, ProxyProtocol, Settings, SourceAddress};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// What the host and the data plane can do. Each `Err` says why not, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// The fast path.
    pub fast: Result<(), String>,
    /// The proxy path with the client's address.
    pub proxy_keep: Result<(), String>,
    /// Where replies of endpoints go.
    pub replies: Replies,
    /// Addresses that the host's interfaces have.
    pub own: BTreeSet<IpAddr>,
}

impl Default for Available {
    fn default() -> Self {
        Self {
            fast: Err("the data plane has no fast path on this host".to_owned()),
            proxy_keep: Err(
                "the data plane does not keep source addresses on the proxy path".to_owned()
            ),
            replies: Replies::Unknown,
            own: BTreeSet::new(),
        }
    }
}

impl Available {
    /// The first of a service's addresses that is the host's own.
    #[must_use]
    pub fn own_of(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Option<IpAddr> {
        addresses.into_iter().find(|at| at.is_loopback() || self.own.contains(at))
    }
}

/// Where replies of endpoints go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// Back through this node: it is the endpoints' router.
    ThroughNode,
    /// Past it: clients and endpoints share a network.
    Past,
    /// Nobody knows.
    Unknown,
}

/// What a service takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// [`DataPath::Fast`] or [`DataPath::Proxy`].
    pub path: DataPath,
    /// Why this path.
    pub path_because: String,
    /// [`SourceAddress::Keep`], [`SourceAddress::Masquerade`], or [`SourceAddress::Auto`] where each flow has its own.
    pub source: SourceAddress,
    /// Why this source address.
    pub source_because: String,
}

/// A wish that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cannot {
    /// The field: `path` or `source`.
    pub field: &'static str,
    /// Why.
    pub because: String,
}

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.because)
    }
}

/// The best that is right for a service; `own` is one of its addresses that is the host's own ([`Available::own_of`]).
///
/// # Errors
/// What was asked for by name and cannot be had.
pub fn choose(
    settings: &Settings,
    own: Option<IpAddr>,
    available: &Available,
) -> Result<Taken, Cannot> {
    let (path, path_because) = path(settings, own, available)?;
    let (source, source_because) = source(settings.source, path, available)?;
    Ok(Taken { path, path_because, source, source_because })
}

fn path(
    settings: &Settings,
    own: Option<IpAddr>,
    available: &Available,
) -> Result<(DataPath, String), Cannot> {
    let needs = needs_proxy(settings);
    match settings.path {
        DataPath::Proxy => Ok((DataPath::Proxy, "asked for".to_owned())),
        DataPath::Fast => match (needs, &available.fast) {
            (Some(feature), _) => {
                let because =
                    format!("fast does not go with {feature}: only the proxy path has it");
                Err(Cannot { field: "path", because })
            }
            (None, Err(why)) => {
                let because = format!("fast cannot be had: {why}; auto takes what there is");
                Err(Cannot { field: "path", because })
            }
            (None, Ok(())) => match own {
                Some(own) => {
                    let because = format!("fast does not go with {own}, which the host itself has");
                    Err(Cannot { field: "path", because })
                }
                None => Ok((DataPath::Fast, "asked for".to_owned())),
            },
        },
        DataPath::Auto => Ok(match (needs, &available.fast) {
            (Some(feature), _) => (DataPath::Proxy, format!("only the proxy path has {feature}")),
            (None, Err(why)) => (DataPath::Proxy, why.clone()),
            (None, Ok(())) => match own {
                Some(own) => (DataPath::Proxy, format!("the host itself has {own}")),
                None => (DataPath::Fast, "nothing asked for needs the proxy".to_owned()),
            },
        }),
    }
}

/// The first feature asked for that only the proxy has.
fn needs_proxy(settings: &Settings) -> Option<&'static str> {
    let asked = [
        ("proxy_in", settings.proxy_in != ProxyProtocol::Off),
        ("proxy_out", settings.proxy_out != ProxyProtocol::Off),
        ("timeouts.first_byte", settings.timeouts.first_byte_ns.is_some()),
        ("timeouts.idle", settings.timeouts.idle_ns.is_some()),
        ("timeouts.age_max", settings.timeouts.age_ns_max.is_some()),
    ];
    asked.into_iter().find(|(_, asked)| *asked).map(|(feature, _)| feature)
}

fn source(
    asked: SourceAddress,
    path: DataPath,
    available: &Available,
) -> Result<(SourceAddress, String), Cannot> {
    // The kernel forwards with either address; the proxy connects anew, and needs leave to speak as another.
    let can = match path {
        DataPath::Fast => Ok(&()),
        DataPath::Proxy | DataPath::Auto => available.proxy_keep.as_ref(),
    };
    match asked {
        SourceAddress::Masquerade => Ok((SourceAddress::Masquerade, "asked for".to_owned())),
        SourceAddress::Keep => match can {
            Err(why) => {
                let because =
                    format!("keep cannot be had: {why}; proxy_out: v2 tells endpoints the address");
                Err(Cannot { field: "source", because })
            }
            Ok(&()) => Ok((SourceAddress::Keep, "asked for".to_owned())),
        },
        SourceAddress::Auto if path == DataPath::Fast => {
            let because = "each flow's is kept if its replies come back through this node";
            Ok((SourceAddress::Auto, because.to_owned()))
        }
        SourceAddress::Auto => Ok(match (can, available.replies) {
            (Err(why), _) => (SourceAddress::Masquerade, why.clone()),
            (Ok(&()), Replies::ThroughNode) => {
                let because = "replies come back through this node";
                (SourceAddress::Keep, because.to_owned())
            }
            (Ok(&()), Replies::Past) => {
                let because =
                    "clients and endpoints share a network: replies would go past this node";
                (SourceAddress::Masquerade, because.to_owned())
            }
            (Ok(&()), Replies::Unknown) => {
                let because = "replies are not known to come back through this node";
                (SourceAddress::Masquerade, because.to_owned())
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_balancer_core::model::Timeouts;

    fn host(fast: bool, keep: bool, replies: Replies) -> Available {
        let can = |yes: bool, why: &str| if yes { Ok(()) } else { Err(why.to_owned()) };
        let own = BTreeSet::from([IpAddr::from([192, 0, 2, 7])]);
        Available { fast: can(fast, "no root"), proxy_keep: can(keep, "no leave"), replies, own }
    }

    fn check(settings: &Settings, available: &Available) -> String {
        check_at(settings, "10.96.0.1", available)
    }

    fn check_at(settings: &Settings, address: &str, available: &Available) -> String {
        match choose(settings, available.own_of([address.parse().unwrap()]), available) {
            Err(cannot) => format!("cannot {}", cannot.field),
            Ok(taken) => format!("{:?} {:?}", taken.path, taken.source).to_lowercase(),
        }
    }

    fn asked(path: DataPath, source: SourceAddress) -> Settings {
        Settings { path, source, ..Settings::default() }
    }

    #[test]
    fn every_cell_of_topology_and_source() {
        use DataPath::{Auto, Fast, Proxy};
        use Replies::{Past, ThroughNode, Unknown};
        use SourceAddress::{Auto as Any, Keep, Masquerade};
        for (path, source, fast, keep, replies, want) in [
            (Auto, Any, true, true, ThroughNode, "fast auto"),
            (Auto, Any, true, true, Past, "fast auto"),
            (Auto, Any, true, true, Unknown, "fast auto"),
            (Auto, Any, true, false, ThroughNode, "fast auto"),
            (Auto, Any, false, true, ThroughNode, "proxy keep"),
            (Auto, Any, false, true, Past, "proxy masquerade"),
            (Auto, Any, false, false, ThroughNode, "proxy masquerade"),
            (Auto, Any, false, false, Unknown, "proxy masquerade"),
            (Auto, Keep, true, false, Unknown, "fast keep"),
            (Auto, Keep, false, true, Unknown, "proxy keep"),
            (Auto, Keep, false, false, ThroughNode, "cannot source"),
            (Auto, Masquerade, true, true, ThroughNode, "fast masquerade"),
            (Proxy, Any, true, true, ThroughNode, "proxy keep"),
            (Proxy, Any, true, false, ThroughNode, "proxy masquerade"),
            (Proxy, Keep, true, false, ThroughNode, "cannot source"),
            (Fast, Any, true, false, Past, "fast auto"),
            (Fast, Keep, true, false, Past, "fast keep"),
            (Fast, Any, false, true, ThroughNode, "cannot path"),
        ] {
            let (settings, host) = (asked(path, source), host(fast, keep, replies));
            assert_eq!(check(&settings, &host), want, "{path:?} {source:?} {host:?}");
        }
    }

    #[test]
    fn every_cell_of_feature_and_path() {
        let plain = Settings::default();
        let first_byte_ns = Some(1);
        let timeouts = Timeouts { first_byte_ns, ..Timeouts::default() };
        let first_byte = Settings { timeouts, ..plain.clone() };
        let proxy_in = Settings { proxy_in: ProxyProtocol::V2, ..plain.clone() };
        let proxy_out = Settings { proxy_out: ProxyProtocol::V1, ..plain.clone() };
        let idle = Timeouts { idle_ns: Some(1), ..Timeouts::default() };
        let idle = Settings { timeouts: idle, ..plain.clone() };
        let host = host(true, true, Replies::ThroughNode);
        for (settings, auto, fast) in [
            (plain, "fast auto", "fast auto"),
            (idle, "proxy keep", "cannot path"),
            (first_byte, "proxy keep", "cannot path"),
            (proxy_in, "proxy keep", "cannot path"),
            (proxy_out, "proxy keep", "cannot path"),
        ] {
            assert_eq!(check(&settings, &host), auto);
            let settings = Settings { path: DataPath::Fast, ..settings };
            assert_eq!(check(&settings, &host), fast);
        }
    }

    #[test]
    fn every_cell_of_address_and_path() {
        let host = host(true, false, Replies::Unknown);
        for (address, auto, fast) in [
            ("10.96.0.1", "fast auto", "fast auto"),
            ("192.0.2.7", "proxy masquerade", "cannot path"),
            ("127.0.0.1", "proxy masquerade", "cannot path"),
            ("::1", "proxy masquerade", "cannot path"),
        ] {
            let settings = Settings::default();
            assert_eq!(check_at(&settings, address, &host), auto, "{address}");
            let settings = Settings { path: DataPath::Fast, ..settings };
            assert_eq!(check_at(&settings, address, &host), fast, "{address}");
        }
    }

    #[test]
    fn what_is_taken_says_why() {
        let taken = choose(&Settings::default(), None, &host(false, false, Replies::Unknown));
        let taken = taken.expect("auto always takes something");
        assert_eq!((&*taken.path_because, &*taken.source_because), ("no root", "no leave"));
    }
}
