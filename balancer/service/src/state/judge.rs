// SPDX-License-Identifier: Apache-2.0
//! Whether what becomes of an update is right: the core's judgement of the services that are touched, in the words of the source,
//! and what they would take from services that are not.

use super::plan::{Entries, Touched, Touches, addresses};
use super::{Entry, State, Totals};
use crate::problem::Problems;
use crate::wanted::{Common, Origin};
use berth_balancer_core::limits::{BACKENDS_MAX, FRONTENDS_MAX};
use berth_balancer_core::model::{Endpoint, Service};
use berth_balancer_core::{Fault, Place, claims, validate_parts};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

impl State {
    pub(super) fn judge(
        &self,
        touches: &Touches,
        entries: &Entries,
        common: &Common,
        problems: &mut Problems,
    ) {
        let there: Vec<(&Arc<Entry>, &Touched)> = touches
            .services
            .iter()
            .filter_map(|(name, touched)| Some((entries.get(name)?.as_ref()?, touched)))
            .collect();
        let parts: Vec<(&Service, &[Endpoint])> =
            there.iter().map(|(entry, _)| (&entry.service, &*entry.wish.endpoints)).collect();
        if let Err(found) = validate_parts(&common.node, &parts) {
            for problem in found {
                let path = translated(&problem.path, &there);
                problems.note(path, words(&problem.fault));
            }
        }
        for (entry, touched) in &there {
            self.judge_places(entry, touched, touches, common, problems);
        }
        self.judge_paths(&there, touches, problems);
        self.judge_room(entries, problems);
    }

    /// Services that share an address take one path: the host sends packets to an address one way.
    fn judge_paths(
        &self,
        there: &[(&Arc<Entry>, &Touched)],
        touches: &Touches,
        problems: &mut Problems,
    ) {
        let mut seen: BTreeMap<IpAddr, &Entry> = BTreeMap::new();
        for (entry, touched) in there {
            for address in addresses(&entry.service) {
                let others = self.places.of_address(address).filter(|name| !touches.has(name));
                let others = others.filter_map(|name| self.entries.get(name).map(|other| &**other));
                let differs = |other: &&Entry| other.taken.path != entry.taken.path;
                if let Some(other) =
                    seen.get(&address).copied().into_iter().chain(others).find(differs)
                {
                    let message = format!(
                        "\"{}\" has {address} too and is on the other path ({}; here: {}); say path: proxy for both",
                        other.service.name, other.taken.path_because, entry.taken.path_because,
                    );
                    problems.note_waiting(format!("{}.path", touched.origin.path), message);
                }
                seen.insert(address, entry);
            }
        }
    }

    /// Places that a service would take from one that is not touched.
    fn judge_places(
        &self,
        entry: &Entry,
        touched: &Touched,
        touches: &Touches,
        common: &Common,
        problems: &mut Problems,
    ) {
        for claim in claims(&entry.service) {
            let owner = self.places.owner(claim.protocol, claim.at, &common.node);
            let Some(with) = owner.filter(|with| !touches.has(with)).cloned() else { continue };
            let protocol = claim.protocol;
            let fault = match claim.at {
                Place::Address(address) => Fault::Overlap { address, protocol, with },
                Place::Node(port) => Fault::NodePortOverlap { port, protocol, with },
            };
            let path = service_path(&touched.origin, &claim.path.to_string());
            problems.note_waiting(path, words(&fault));
        }
    }

    fn judge_room(&self, entries: &Entries, problems: &mut Problems) {
        let mut totals = self.totals;
        for (name, entry) in entries {
            let new = entry.as_ref().map(|entry| Totals::of(entry)).unwrap_or_default();
            let old = self.entries.get(name).map(|entry| Totals::of(entry)).unwrap_or_default();
            totals.frontends = (totals.frontends + new.frontends).saturating_sub(old.frontends);
            totals.backends = (totals.backends + new.backends).saturating_sub(old.backends);
        }
        if totals.frontends > FRONTENDS_MAX {
            problems.note("services", format!("a table has room for {FRONTENDS_MAX} ports in all"));
        }
        if totals.backends > BACKENDS_MAX {
            let message = format!("a table has room for {BACKENDS_MAX} endpoints in all");
            problems.note("services", message);
        }
    }
}

/// What is wrong, in words that fit all sources.
fn words(fault: &Fault) -> String {
    fault.to_string().replace("_ns_max", "_max").replace("_ns", "")
}

/// A path of the core's configuration in the words of the source.
fn translated(path: &str, there: &[(&Arc<Entry>, &Touched)]) -> String {
    let Some((list, index, rest)) = step(path) else {
        return path.to_owned();
    };
    let Some((entry, touched)) = there.get(index) else { return path.to_owned() };
    match (list, step(rest)) {
        ("services", _) => service_path(&touched.origin, rest),
        ("endpoints", Some(("endpoints", at, rest))) => {
            let name = entry.wish.endpoints.get(at).map(|endpoint| &endpoint.name);
            let own = name.and_then(|name| touched.endpoint_paths.get(name));
            let origin = &touched.origin;
            let base = own.cloned().unwrap_or_else(|| format!("{}.endpoints[{at}]", origin.path));
            join(&base, &endpoint_field(origin, rest))
        }
        _ => join(&touched.origin.path, rest),
    }
}

/// The first step of a path that is an entry of a list: the list, the index, and what follows.
fn step(path: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = path.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    Some((list, index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

fn join(base: &str, rest: &str) -> String {
    if rest.is_empty() { base.to_owned() } else { format!("{base}.{rest}") }
}

/// A field of a service.
fn service_path(origin: &Origin, field: &str) -> String {
    let field = field.strip_prefix("settings.").unwrap_or(field);
    let field = field.replace("_ns_max", "_max").replace("_ns", "");
    let field = field.replace("health_check.probe.path", "health_check.http.path");
    let field = match step(&field) {
        Some(("cluster_ips", 0, _)) if origin.one_address => "address".to_owned(),
        Some(("cluster_ips", at, _)) => format!("addresses[{at}]"),
        Some(("load_balancer_ips", at, _)) => format!("load_balancer[{at}]"),
        Some(("ports", 0, rest)) if origin.one_port => rest.to_owned(),
        _ if field == "cluster_ips" => "address".to_owned(),
        _ => field,
    };
    join(&origin.path, &field)
}

/// A field of an endpoint: where the service has one port, the endpoint says one too.
fn endpoint_field(origin: &Origin, field: &str) -> String {
    match step(field) {
        Some(("ports", 0, rest)) if origin.one_port => rest.to_owned(),
        _ => field.to_owned(),
    }
}
