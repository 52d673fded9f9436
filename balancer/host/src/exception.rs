// SPDX-License-Identifier: Apache-2.0
//! The few rules among those of others: forwarding of our flows is accepted where a firewall drops what it does not know.
//!
//! Docker drops between its networks, and forwards nothing from outside; its chain `DOCKER-USER` is the place for exceptions. Hosts
//! with a policy of DROP and no Docker get the rules at the head of FORWARD. They are written with iptables, since the chain is
//! iptables'; `nft` has no say in it. The comment is the instance's name.

use crate::address::Version;
use std::process::{Command, Stdio};

/// Commands that may have written the host's firewall, one per version of IP and kind of tables; for legacy tables with the list of
/// those that are in use: to ask for one that is not would make it.
const COMMANDS: [(&str, Option<&str>); 4] = [
    ("iptables-nft", None),
    ("ip6tables-nft", None),
    ("iptables-legacy", Some("ip_tables_names")),
    ("ip6tables-legacy", Some("ip6_tables_names")),
];

/// The rules of each firewall that is there.
fn firewalls() -> impl Iterator<Item = (&'static str, String)> {
    COMMANDS.into_iter().filter_map(|(command, names)| {
        if let Some(names) = names {
            let names = std::fs::read_to_string(format!("/proc/thread-self/net/{names}")).ok()?;
            names.lines().find(|name| *name == "filter")?;
        }
        Some((command, output(command, &["-w", "2", "-S"])?))
    })
}

/// An exception for our flows.
#[derive(Debug)]
pub struct Exception {
    comment: String,
    matches: Vec<String>,
}

/// What all instances' names begin with.
const PREFIX: &str = "berth-";

/// Whether a firewall is there whose changes are not told: rules in legacy tables.
#[must_use]
pub fn has_legacy() -> bool {
    has("filter")
}

/// What iptables has to say of a version's packets that come to a socket of this host instead of being forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Objections {
    /// A chain that would see them, or that sees them no longer; for people.
    pub because: Option<String>,
    /// The rules of FORWARD that are kept in nf_tables were read.
    pub forward: bool,
}

impl Objections {
    /// Asks the commands.
    #[must_use]
    pub fn read(version: Version) -> Self {
        let mut all = Self::default();
        let own = |command: &str| command.starts_with("ip6") == (version == Version::V6);
        for (command, rules) in firewalls().filter(|(command, _)| own(command)) {
            let legacy = command.ends_with("legacy");
            all.forward |= !legacy;
            all.because = all.because.or_else(|| objection(&rules, legacy));
            for table in ["mangle", "security"].into_iter().filter(|table| legacy && has(table)) {
                let rules = output(command, &["-w", "2", "-t", table, "-S"]).unwrap_or_default();
                all.because =
                    all.because.or_else(|| judging(&rules, &["INPUT", "OUTPUT", "FORWARD"]));
            }
        }
        all
    }
}

/// Rules of others in FORWARD count if no exception stands before them: what is forwarded through our pair meets them.
fn objection(rules: &str, legacy: bool) -> Option<String> {
    let found = if legacy { judging(rules, &["INPUT", "OUTPUT"]) } else { None };
    found.or_else(|| if chain(rules).is_none() { judging(rules, &["FORWARD"]) } else { None })
}

/// The first of some chains of iptables that drops what it does not know, or has a rule of others.
fn judging(rules: &str, chains: &[&str]) -> Option<String> {
    let judges = |chain: &&&str| {
        let (policy, rule) = (format!("-P {chain} DROP"), format!("-A {chain} "));
        let own = |line: &str| line.contains(PREFIX);
        rules.lines().any(|line| line.trim() == policy || line.starts_with(&rule) && !own(line))
    };
    chains.iter().find(judges).map(|chain| format!("iptables' chain {chain} has rules"))
}

/// Whether a table of legacy rules is in use.
fn has(table: &str) -> bool {
    let in_use = |names: &str| {
        let names = std::fs::read_to_string(format!("/proc/thread-self/net/{names}"));
        names.is_ok_and(|names| names.lines().any(|name| name == table))
    };
    COMMANDS.iter().filter_map(|(_, names)| *names).any(in_use)
}

/// As [`Exception::ensure`] for several, which all are there afterwards.
pub fn ensure(all: &[Exception]) -> bool {
    all.iter().fold(false, |missing, one| one.ensure() | missing)
}

impl Exception {
    /// Accepts what iptables' `matches` say. The comment begins with `berth-`, and no other rule has it.
    #[must_use]
    pub fn new(comment: &str, matches: &[&str]) -> Self {
        let matches = matches.iter().copied().map(str::to_owned).collect();
        Self { comment: comment.to_owned(), matches }
    }

    /// Makes it so that our flows are forwarded. True if the rule was missing somewhere.
    pub fn ensure(&self) -> bool {
        let mut missing = false;
        for (command, rules) in firewalls() {
            let Some(chain) = chain(&rules) else { continue };
            if self.is_first(&rules, chain) {
                continue;
            }
            // It may be there behind a rule that drops.
            if rules.lines().any(|line| self.is_own(line, chain)) {
                drop(output(command, &self.rule("-D", chain)));
            }
            missing |= output(command, &self.rule("-I", chain)).is_some();
        }
        missing
    }

    /// Removes it, wherever it is.
    pub fn remove(&self) {
        for (command, rules) in firewalls() {
            for chain in ["DOCKER-USER", "FORWARD"] {
                for _ in rules.lines().filter(|line| self.is_own(line, chain)) {
                    drop(output(command, &self.rule("-D", chain)));
                }
            }
        }
    }

    /// Whether nothing stands before it in its chain but those of other instances.
    fn is_first(&self, rules: &str, chain: &str) -> bool {
        let start = format!("-A {chain} ");
        let all = rules.lines().filter(|line| line.starts_with(&start));
        let own = |line: &&str| self.is_own(line, chain);
        all.take_while(|line| line.contains(PREFIX)).any(|line| own(&line))
    }

    fn is_own(&self, line: &str, chain: &str) -> bool {
        line.starts_with(&format!("-A {chain} "))
            && line.split_whitespace().any(|word| word.trim_matches('"') == self.comment)
    }

    fn rule<'a>(&'a self, verb: &'a str, chain: &'a str) -> Vec<&'a str> {
        let before = ["-w", "2", verb, chain].into_iter();
        let behind = ["-m", "comment", "--comment", &self.comment, "-j", "ACCEPT"];
        before.chain(self.matches.iter().map(String::as_str)).chain(behind).collect()
    }
}

/// Where the rule goes, if one is needed. Some versions of Docker put the chain that keeps networks apart before `DOCKER-USER` when
/// they are restarted: then at the head of FORWARD.
fn chain(rules: &str) -> Option<&'static str> {
    let has = |line: &str| rules.lines().any(|other| other.trim() == line);
    let mut forward = rules.lines().filter(|line| line.starts_with("-A FORWARD "));
    let first = forward.find(|line| !line.contains(PREFIX)).map(str::trim);
    if first == Some("-A FORWARD -j DOCKER-USER") {
        return Some("DOCKER-USER");
    }
    (has("-N DOCKER-USER") || has("-P FORWARD DROP")).then_some("FORWARD")
}

/// What a command prints, if it is there and succeeds.
fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let run = Command::new(command).args(arguments).stdin(Stdio::null()).output().ok()?;
    run.status.success().then(|| String::from_utf8_lossy(&run.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_judges_packets_to_this_host_or_forwarded_ones_is_named() {
        let check = |rules: &str, legacy| objection(rules, legacy).unwrap_or_default();
        let open = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n";
        assert_eq!(check(open, true), "");
        assert_eq!(check("-P INPUT DROP\n", true), "iptables' chain INPUT has rules");
        assert_eq!(check("-P INPUT DROP\n", false), "", "nf_tables itself tells");
        let rule = format!("{open}-A OUTPUT -d 192.0.2.1/32 -j DROP\n");
        assert_eq!(check(&rule, true), "iptables' chain OUTPUT has rules");
        let rule = format!("{open}-A FORWARD -s 192.0.2.1/32 -j DROP\n");
        assert_eq!(check(&rule, false), "iptables' chain FORWARD has rules");
        // Ours stand before them.
        assert_eq!(check(&format!("{rule}-N DOCKER-USER\n"), false), "");
        assert_eq!(check("-P FORWARD DROP\n", false), "");
    }

    #[test]
    fn the_rule_goes_where_docker_leaves_room_for_it() {
        let docker =
            "-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j X\n";
        assert_eq!(chain(docker), Some("DOCKER-USER"));
        let restarted = "-N DOCKER-USER\n-A FORWARD -j X\n-A FORWARD -j DOCKER-USER\n";
        assert_eq!(chain(restarted), Some("FORWARD"));
        assert_eq!(chain("-P FORWARD DROP\n"), Some("FORWARD"));
        assert_eq!(chain("-P FORWARD ACCEPT\n"), None);
        let exception = Exception::new("berth-fast-a", &[]);
        let line =
            "-A DOCKER-USER -m connmark --mark 0x1 -m comment --comment berth-fast-a -j ACCEPT";
        assert!(exception.is_own(line, "DOCKER-USER"));
        assert!(!exception.is_own(line, "FORWARD"));
        assert!(!Exception::new("berth-fast-ab", &[]).is_own(line, "DOCKER-USER"));
        let behind = format!("-A DOCKER-USER -j DROP\n{line}");
        assert!(exception.is_first(line, "DOCKER-USER"));
        assert!(!exception.is_first(&behind, "DOCKER-USER"));
        let after_another = format!("{}\n{line}", line.replace("fast-a", "fast-b"));
        assert!(exception.is_first(&after_another, "DOCKER-USER"));
        let quoted = line.replace("berth-fast-a", "\"berth-fast-a\"");
        assert!(exception.is_own(&quoted, "DOCKER-USER"));
    }
}
