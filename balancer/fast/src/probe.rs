// SPDX-License-Identifier: Apache-2.0
//! What of the fast path this host has, and why not the rest.

use crate::address::Version;
use crate::conntrack::{Conntrack, Events};
use crate::end::Probes;
use crate::nft::Nft;
use crate::owner::Owner;
use crate::queue::Queue;
use crate::rules::{self, ToUser};
use std::fmt;
use std::io;

/// What is missing, or switched off.
#[derive(Debug)]
#[non_exhaustive]
pub enum Missing {
    /// No queue can be opened: not root, or no `NETFILTER_NETLINK_QUEUE`.
    Queue(io::Error),
    /// Rules cannot be made: no nf_tables, or neither a queue expression nor the target `NFQUEUE`.
    Rules(io::Error),
    /// The table of flows cannot be read: no `NF_CT_NETLINK`.
    Flows(io::Error),
    /// No events of flows: no `NF_CONNTRACK_EVENTS`, or `nf_conntrack_events` is 0.
    Events,
    /// No raw sockets: no `CAP_NET_RAW`.
    Raw(io::Error),
    /// The host does not forward (`net.ipv4.ip_forward` is 0): only endpoints on the host itself are reached.
    Forwarding,
    /// The host does not forward IPv6 (`net.ipv6.conf.all.forwarding` is 0).
    Forwarding6,
}

impl Missing {
    /// Without it there is no fast path at all.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Forwarding | Self::Forwarding6 | Self::Events)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(why) => {
                write!(f, "packets cannot be queued ({why}): needs root and NFQUEUE")
            }
            Self::Rules(why) => {
                write!(f, "rules cannot be made ({why}): needs nf_tables with NFQUEUE")
            }
            Self::Flows(why) => {
                write!(f, "flows cannot be read ({why}): needs conntrack's netlink")
            }
            Self::Events => {
                f.write_str("no events of flows: net.netfilter.nf_conntrack_events is 0")
            }
            Self::Raw(why) => write!(f, "no raw sockets ({why}): needs CAP_NET_RAW"),
            Self::Forwarding => f.write_str("the host does not forward: net.ipv4.ip_forward is 0"),
            Self::Forwarding6 => {
                f.write_str("the host does not forward IPv6: net.ipv6.conf.all.forwarding is 0")
            }
        }
    }
}

/// What this host has.
#[derive(Debug, Default)]
pub struct Available {
    /// What is missing; empty if nothing is.
    pub missing: Vec<Missing>,
}

impl Available {
    /// Whether the fast path can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.missing.iter().any(Missing::is_fatal)
    }
}

/// Tries everything that the fast path needs, and leaves nothing behind.
#[must_use]
pub fn probe() -> Available {
    let mut missing = Vec::new();
    match Queue::open(65_000, 64, 1) {
        Err(why) => missing.push(Missing::Queue(why)),
        Ok(queue) => missing.extend(try_rules(queue.number()).err().map(Missing::Rules)),
    }
    let flows = Conntrack::open().and_then(|mut conntrack| conntrack.dump(|_| ()));
    missing.extend(flows.err().map(Missing::Flows));
    let events = Events::open(None).is_ok() && setting("netfilter/nf_conntrack_events") != Some(0);
    missing.extend((!events).then_some(Missing::Events));
    missing.extend(Probes::open().err().map(Missing::Raw));
    let off = |name| setting(name) == Some(0);
    missing.extend(off("ipv4/ip_forward").then_some(Missing::Forwarding));
    missing.extend(off("ipv6/conf/all/forwarding").then_some(Missing::Forwarding6));
    Available { missing }
}

/// Makes the rules in a table of their own that is removed at once; nothing is in its sets, so that no packet is touched.
fn try_rules(number: u16) -> io::Result<()> {
    let mut nft = Nft::open(&format!("berth-probe-{}", std::process::id()))?;
    let to_user = to_user(number)?;
    let owner = Owner::after(None, number, 0);
    let mut batch = nft.batch();
    batch.add_table(Version::V4);
    rules::install(&mut batch, Version::V4, to_user, &owner);
    batch.delete_table(Version::V4);
    nft.commit(batch)
}

/// How packets get to userspace: most kernels of distributions have a queue expression, the others have the target of xtables.
///
/// # Errors
/// It has neither.
pub(crate) fn to_user(number: u16) -> io::Result<ToUser> {
    let mut nft = Nft::open(&format!("berth-trial-{}", std::process::id()))?;
    let counts = setting("netfilter/nf_conntrack_acct").is_some_and(|value| value != 0);
    let mut last = None;
    for (events, native) in [(true, true), (true, false), (false, true), (false, false)] {
        let to_user = ToUser { number, native, events, counts };
        let mut batch = nft.batch();
        rules::try_out(&mut batch, to_user);
        match nft.commit(batch) {
            Ok(()) => return Ok(to_user),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}

fn setting(name: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim().parse().ok()
}
