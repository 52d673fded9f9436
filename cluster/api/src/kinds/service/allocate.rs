// SPDX-License-Identifier: Apache-2.0
//! Addresses of the cluster and ports of nodes that services get.
//!
//! Who writes a service asks for a [`plan`], after its defaults and admission and before it is validated, and keeps one key for
//! each address and each port that is taken. These keys are compared in the transaction that writes the service: where another
//! writer was faster the transaction fails, and a new plan is made. Node ports are kept by their number alone: ports of one service
//! may share a number if their protocols differ, ports of two services may not.

use super::families;
use super::spec::{
    EXTERNAL_NAME, NONE, exposed_on_nodes, gets_node_ports, invalid_texts, is_headless,
    needs_cluster_ip, needs_health_check, node_port, node_ports, path, texts,
};
use super::update;
use crate::field::Errors;
use crate::kinds::access::make;
use crate::kinds::view::{View, items};
use crate::{Map, Refusal};
use berth_cluster_json::{Value, json};
use core::fmt;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

mod ranges;

pub use ranges::{Network, NoNetwork, Ranges};

/// What is taken already, by whomever.
#[derive(Clone, Copy)]
pub struct Taken<'a> {
    /// Whether an address is.
    pub ip: &'a dyn Fn(Ipv4Addr) -> bool,
    /// Whether a port of nodes is.
    pub port: &'a dyn Fn(u16) -> bool,
}

impl fmt::Debug for Taken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}

/// What a service takes, and what it no longer needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Addresses to be taken: the keys must not be there yet.
    pub ips_taken: Vec<Ipv4Addr>,
    /// Addresses that are free again.
    pub ips_released: Vec<Ipv4Addr>,
    /// Ports of nodes to be taken: the keys must not be there yet.
    pub ports_taken: Vec<u16>,
    /// Ports of nodes that are free again.
    pub ports_released: Vec<u16>,
}

/// Why a service does not get what it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Refused {
    /// It asks for what it cannot have.
    Invalid(Errors),
    /// There is nothing left, or upstream knows no better answer.
    Internal(String),
}

impl Refused {
    /// What the client is told. `name` is the service's.
    pub fn refusal(&self, name: &str) -> Refusal {
        match self {
            Self::Invalid(errors) => Refusal::invalid("", "Service", name, errors),
            Self::Internal(why) => Refusal::internal(why),
        }
    }
}

/// Gives `new` the addresses and ports that its type needs, and says what changes hands. `old` is what is to be replaced; none if the
/// service is new. `chance` gives a number below the one that it is given.
pub fn plan(
    ranges: &Ranges,
    old: Option<&Map>,
    new: &mut Map,
    taken: Taken<'_>,
    chance: &mut dyn FnMut(u64) -> u64,
) -> Result<Allocation, Refused> {
    let mut done = Allocation::default();
    let old = old.map(|old| old.at("spec")).filter(|spec| spec.is_object());
    let Some(spec) = make(new, "spec") else { return Ok(done) };
    if let Some(old) = old {
        update::keep_allocated(spec, old);
    }
    update::sync_cluster_ips(spec, old);
    let settled = old.is_some_and(|old| families::is_settled(spec, old));
    families::settle(spec, old).map_err(Refused::Invalid)?;
    if !settled {
        addresses(ranges, old, spec, taken.ip, chance, &mut done)?;
    }
    let mut ports = Ports { range: &ranges.node_ports, taken: taken.port, chance, done: &mut done };
    match old {
        None if exposed_on_nodes(spec) => ports.first(spec)?,
        None => {}
        Some(old) if exposed_on_nodes(spec) => ports.change(spec, old)?,
        Some(old) => ports.release(held_ports(old)),
    }
    ports.health(spec, old)?;
    Ok(done)
}

/// What is free again once a service is gone.
pub fn release(old: &Map) -> Allocation {
    let (spec, mut done) = (old.at("spec"), Allocation::default());
    done.ips_released = held(spec);
    let health = spec.int("healthCheckNodePort").filter(|_| needs_health_check(spec));
    let mut ports: Vec<u16> = held_ports(spec).into_iter().chain(health).filter_map(fit).collect();
    ports.sort_unstable();
    ports.dedup();
    done.ports_released = ports;
    done
}

fn fit(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// The addresses that a service holds.
fn held(spec: &Value) -> Vec<Ipv4Addr> {
    if spec.text("type") == EXTERNAL_NAME || is_headless(spec) {
        return Vec::new();
    }
    texts(spec, "clusterIPs").iter().filter_map(|text| text.parse().ok()).collect()
}

/// The ports of nodes that a service holds. An alias may name some and has none: upstream takes them for its own once it changes its
/// type, so that two services may come to hold one.
fn held_ports(spec: &Value) -> Vec<i64> {
    if exposed_on_nodes(spec) { node_ports(spec) } else { Vec::new() }
}

fn addresses(
    ranges: &Ranges,
    old: Option<&Value>,
    spec: &mut Map,
    taken: &dyn Fn(Ipv4Addr) -> bool,
    chance: &mut dyn FnMut(u64) -> u64,
    done: &mut Allocation,
) -> Result<(), Refused> {
    match old {
        // what it has stays
        Some(old) if needs_cluster_ip(old) => {
            if !needs_cluster_ip(spec) {
                done.ips_released = held(old);
            }
            return Ok(());
        }
        _ if !needs_cluster_ip(spec) || spec.text("clusterIP") == NONE => return Ok(()),
        _ => {}
    }
    let wanted = texts(spec, "clusterIPs").first().map(|text| (*text).to_owned());
    let address = match wanted.filter(|text| !text.is_empty()) {
        Some(text) => wish(ranges.cluster_ips, &text, taken).map_err(|why| {
            let mut errors = Errors::new();
            let why = format!("failed to allocate IP {text}: {why}");
            let all = texts(spec, "clusterIPs");
            invalid_texts(&mut errors, &path("clusterIPs"), "string", &all, why);
            Refused::Invalid(errors)
        })?,
        None => ranges.cluster_ips.pick(taken, chance).ok_or_else(|| {
            Refused::Internal("failed to allocate a serviceIP: range is full".to_owned())
        })?,
    };
    spec.insert("clusterIP".to_owned(), address.to_string().into());
    spec.insert("clusterIPs".to_owned(), json!([address.to_string()]));
    done.ips_taken.push(address);
    Ok(())
}

/// The address that is asked for.
fn wish(
    network: Network,
    text: &str,
    taken: &dyn Fn(Ipv4Addr) -> bool,
) -> Result<Ipv4Addr, &'static str> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) if network.holds(address) && taken(address) => {
            Err("provided IP is already allocated")
        }
        Ok(address) if network.holds(address) => Ok(address),
        _ => Err("the provided network does not match the current range"),
    }
}

/// Ports of nodes while one service gets its own.
struct Ports<'a> {
    range: &'a RangeInclusive<u16>,
    taken: &'a dyn Fn(u16) -> bool,
    chance: &'a mut dyn FnMut(u64) -> u64,
    done: &'a mut Allocation,
}

impl Ports<'_> {
    /// Takes the port that is asked for.
    fn take(&mut self, port: i64) -> Result<(), String> {
        let Some(port) = fit(port).filter(|port| self.range.contains(port)) else {
            let (first, last) = (self.range.start(), self.range.end());
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            ));
        };
        // what this service gives up is free once it is written, and not before
        if (self.taken)(port) || self.done.ports_taken.contains(&port) {
            return Err("provided port is already allocated".to_owned());
        }
        self.done.ports_taken.push(port);
        Ok(())
    }

    /// Takes any port.
    fn next(&mut self) -> Result<u16, &'static str> {
        let mine = &self.done.ports_taken;
        let free = |port: u16| !mine.contains(&port) && !(self.taken)(port);
        let port = ranges::pick_port(self.range, &free, self.chance).ok_or("range is full")?;
        self.done.ports_taken.push(port);
        Ok(port)
    }

    /// Takes the port that the `i`-th port of the service names.
    fn take_named(&mut self, i: usize, port: i64) -> Result<(), Refused> {
        self.take(port).map_err(|why| {
            let mut errors = Errors::new();
            errors.invalid(&path("ports").index(i).child("nodePort"), port, why);
            Refused::Invalid(errors)
        })
    }

    /// Takes any port for one of the service.
    fn take_any(&mut self) -> Result<i64, Refused> {
        let port = self.next();
        port.map(i64::from)
            .map_err(|why| Refused::Internal(format!("failed to allocate a nodePort: {why}")))
    }

    /// The ports of a new service: those of one number share one port of nodes.
    fn first(&mut self, spec: &mut Map) -> Result<(), Refused> {
        let gets = gets_node_ports(spec);
        let mut named: BTreeMap<i64, i64> = BTreeMap::new();
        for port in spec.list("ports") {
            if let (Some(number), Some(wanted)) = (port.int("port"), node_port(port)) {
                named.entry(number).or_insert(wanted);
            }
        }
        let mut given: BTreeMap<i64, i64> = BTreeMap::new();
        for (i, port) in items(spec, "ports").enumerate() {
            let (number, wanted) = (port.int("port").unwrap_or(0), node_port(port));
            if wanted.is_none() && !gets {
                continue;
            }
            let chosen = match (given.get(&number), named.get(&number), wanted) {
                (Some(shared), _, None) => *shared,
                (Some(shared), _, Some(wanted)) if *shared == wanted => wanted,
                (Some(_), _, Some(wanted)) => {
                    self.take_named(i, wanted)?;
                    wanted
                }
                (None, Some(wanted), _) => {
                    self.take_named(i, *wanted)?;
                    *wanted
                }
                (None, None, _) => self.take_any()?,
            };
            given.entry(number).or_insert(chosen);
            port.insert("nodePort".to_owned(), chosen.into());
        }
        Ok(())
    }

    /// The ports of a service that was there: it keeps those that it names again.
    fn change(&mut self, spec: &mut Map, old: &Value) -> Result<(), Refused> {
        let (gets, before) = (gets_node_ports(spec), held_ports(old));
        let (mut asked, mut seen) = (Vec::new(), Vec::new());
        for (i, port) in items(spec, "ports").enumerate() {
            let chosen = match node_port(port) {
                None if !gets => continue,
                None => self.take_any()?,
                Some(wanted) => {
                    if !before.contains(&wanted) && !asked.contains(&wanted) {
                        self.take_named(i, wanted)?;
                        asked.push(wanted);
                    }
                    wanted
                }
            };
            port.insert("nodePort".to_owned(), chosen.into());
            let one = (port.text("protocol").to_owned(), chosen);
            if seen.contains(&one) {
                let (protocol, number) = one;
                return Err(Refused::Internal(format!(
                    "duplicate nodePort: {{{protocol} {number}}}"
                )));
            }
            seen.push(one);
        }
        let now = node_ports(spec);
        self.release(before.into_iter().filter(|port| !now.contains(port)).collect());
        Ok(())
    }

    fn release(&mut self, ports: Vec<i64>) {
        for port in ports.into_iter().filter_map(fit) {
            if !self.done.ports_released.contains(&port) {
                self.done.ports_released.push(port);
            }
        }
    }

    /// The port at which load balancers ask nodes for their health.
    fn health(&mut self, spec: &mut Map, old: Option<&Value>) -> Result<(), Refused> {
        let needed = old.filter(|old| needs_health_check(*old));
        match (needed, needs_health_check(spec)) {
            (None, true) => {}
            (Some(old), false) => {
                self.release(old.int("healthCheckNodePort").into_iter().collect());
                return Ok(());
            }
            _ => return Ok(()),
        }
        let wanted = spec.int("healthCheckNodePort").unwrap_or(0);
        if wanted != 0 {
            return self.take(wanted).map_err(|why| {
                let text = "failed to allocate requested HealthCheck NodePort";
                Refused::Internal(format!("{text} {wanted}: {why}"))
            });
        }
        let port = self.next().map_err(|why| {
            Refused::Internal(format!("failed to allocate a HealthCheck NodePort 0: {why}"))
        })?;
        spec.insert("healthCheckNodePort".to_owned(), port.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
