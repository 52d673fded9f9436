// SPDX-License-Identifier: Apache-2.0
//! What of the host speaks against the shortcut.
//!
//! A client of the namespace passes the host's FORWARD, where exceptions of ours stand; one of the shortcut passes INPUT, and its answers
//! OUTPUT. Who has rules there means something by them, and it is not for a proxy to go round rules of FORWARD either.
//!
//! | what | because |
//! |---|---|
//! | a chain of others at INPUT or OUTPUT that has rules, or drops | it would judge packets that it never saw, and most let in what conntrack knows and nothing else |
//! | one at FORWARD that has rules, unless our exceptions stand before them | it would not judge packets any more that it saw |
//! | `tcp_syncookies` 2, or cookies are sent | what answers a cookie belongs to no socket yet: it goes on into the namespace, which refuses it |
//! | `bridge-nf-pass-vlan-input-dev` 1 | packets of a bridge come as those of a VLAN, and lose their socket |

use berth_balancer_host::address::Version;
use berth_balancer_host::exception::Objections;
use berth_balancer_host::nft::{Base, Nft};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;

/// What the names of all balancers' tables begin with: their rules are about addresses of their own.
const PREFIX: &str = "berth-";

/// How long the namespace has all clients after more came at once than a listener's queue has room for. Each time that the shortcut is
/// tried again a flood may cost others their first half second: of a day of it, three minutes.
const FLOODED: Duration = Duration::from_mins(5);

/// The host's settings that speak against it, each with the value that does.
const SYSCTLS: [(&str, &str); 2] =
    [("net/ipv4/tcp_syncookies", "2"), ("net/bridge/bridge-nf-pass-vlan-input-dev", "1")];

/// A chain of others that speaks against it, for people.
pub(super) fn firewall(
    nft: &mut Nft,
    version: Version,
    objections: Objections,
) -> io::Result<Option<String>> {
    let bases = nft.bases()?;
    let found = bases.iter().find(|base| judges(base, version, objections.forward));
    let named = found.map(|base| {
        let family = match base.family {
            2 => "ip",
            10 => "ip6",
            _ => "inet",
        };
        format!("chain {} of the table {family} {} has rules or drops", base.name, base.table)
    });
    Ok(named.or(objections.because))
}

/// `iptables`: iptables has been asked for its own FORWARD.
fn judges(base: &Base, version: Version, iptables: bool) -> bool {
    const BOTH: u8 = 1;
    let of_version = base.family == BOTH || base.family == version.netfilter();
    // A chain for addresses sees what conntrack does, and ours it does not.
    if !of_version || base.kind == "nat" || base.table.starts_with(PREFIX) {
        return false;
    }
    match base.hook {
        INPUT | OUTPUT => base.rules > 0 || base.drops,
        FORWARD => {
            let known = iptables && base.family != BOTH && base.table == "filter";
            base.rules > 0 && !(known && base.name == "FORWARD")
        }
        _ => false,
    }
}

/// What may change without a word.
#[derive(Debug, Default)]
pub(super) struct Weather {
    cookies: Option<u64>,
    flooded_until: Option<Instant>,
}

impl Weather {
    /// What speaks against it, for people.
    pub(super) fn look(&mut self, now: Instant) -> Option<String> {
        let is = |name: &str, value: &str| {
            fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|is| is.trim() == value)
        };
        let before = std::mem::replace(&mut self.cookies, cookies());
        if let (Some(before), Some(cookies)) = (before, self.cookies)
            && cookies > before
        {
            self.flooded_until = Some(now + FLOODED);
        }
        if let Some((name, value)) = SYSCTLS.iter().find(|(name, value)| is(name, value)) {
            return Some(format!("{} is {value}", name.replace('/', ".")));
        }
        let flooded = self.flooded_until.is_some_and(|until| now < until);
        flooded.then(|| "more clients came at once than there is room for (SYN cookies)".to_owned())
    }
}

/// SYN cookies that the host has sent.
fn cookies() -> Option<u64> {
    let all = fs::read_to_string("/proc/thread-self/net/netstat").ok()?;
    count(&all, "SyncookiesSent")
}

/// A counter of `/proc/net/netstat`: a line of names, then a line of values.
fn count(all: &str, name: &str) -> Option<u64> {
    let mut lines = all.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let (_, value) = names.split(' ').zip(values.split(' ')).find(|(own, _)| *own == name)?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_see_a_hosts_own_packets_speak_against_it() {
        let base = |table: &str, name: &str, hook, rules| Base {
            family: 2,
            table: table.into(),
            name: name.into(),
            kind: "filter".into(),
            hook,
            rules,
            drops: false,
        };
        let check = |base: &Base| judges(base, Version::V4, true);
        let input = base("filter", "INPUT", INPUT, 1);
        assert!(check(&input));
        assert!(check(&Base { rules: 0, drops: true, ..input.clone() }));
        assert!(!check(&Base { rules: 0, ..input.clone() }));
        assert!(!check(&Base { family: 10, ..input.clone() }), "of the other version");
        assert!(check(&Base { family: 1, ..input.clone() }), "of both");
        assert!(!check(&Base { kind: "nat".into(), ..input.clone() }));
        assert!(!check(&Base { table: "berth-fast-main".into(), ..input }));
        assert!(check(&base("own", "output", OUTPUT, 1)));
        assert!(!check(&base("own", "leave", 4, 1)));
        let forward = base("filter", "FORWARD", FORWARD, 1);
        assert!(!check(&forward), "iptables was asked");
        assert!(judges(&forward, Version::V4, false), "it could not be");
        assert!(check(&base("filter", "forward", FORWARD, 1)));
        assert!(!check(&Base { drops: true, ..base("own", "forward", FORWARD, 0) }));
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let all = "TcpExt: A SyncookiesSent B\nTcpExt: 1 17 3\nIpExt: SyncookiesSent\nIpExt: 9\n";
        assert_eq!(count(all, "SyncookiesSent"), Some(17));
        assert_eq!(count(all, "C"), None);
    }
}
