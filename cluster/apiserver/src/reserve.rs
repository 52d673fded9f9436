// SPDX-License-Identifier: Apache-2.0
//! Addresses and ports of services: a key of the store for each that is taken, written in the transaction of its service. Two
//! services cannot have the same, whichever server they were written by. In the same way a lease has its epoch, see `epoch`.

use crate::ask::Ask;
use crate::epoch;
use crate::server::Inner;
use crate::write::meta_text;
use berth_cluster_api::kinds::service::allocate::{Allocation, Taken, plan, release};
use berth_cluster_api::registry::Part;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_store::{Body, Compare, Meta, Op};
use std::net::Ipv4Addr;

/// What keys of addresses and ports begin with. No kind is stored there.
const PREFIX: &str = "reserved/";

/// What goes into the transaction beside the object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reserved {
    pub(crate) compares: Vec<Compare>,
    pub(crate) ops: Vec<Op>,
}

/// Whether a conflict is about one of these keys: then others were faster, and a new plan is to be made.
pub(crate) fn is_reservation(key: &str) -> bool {
    key.starts_with(PREFIX)
}

fn ip_key(ip: Ipv4Addr) -> String {
    format!("{PREFIX}ip/{ip}")
}

fn port_key(port: u16) -> String {
    format!("{PREFIX}port/{port}")
}

fn of_services(ask: &Ask) -> bool {
    &*ask.kind.stored_as == "services" && ask.part() == Part::Main
}

/// Gives a service what it needs, and a lease its epoch.
pub(crate) fn reserve(
    server: &Inner,
    ask: &Ask,
    old: Option<&Map>,
    new: &mut Map,
) -> Result<Reserved, Refusal> {
    if epoch::of_leases(ask) {
        return Ok(epoch::moved(server, ask, meta_text(new, "name"), Some(new)));
    }
    if !of_services(ask) {
        return Ok(Reserved::default());
    }
    let there = |key: String| server.store.latest(&key).is_some();
    let taken = Taken { ip: &|ip| there(ip_key(ip)), port: &|port| there(port_key(port)) };
    let mut chance = |below: u64| server.environment.random() % below.max(1);
    let name = meta_text(new, "name").to_owned();
    let plan = plan(&server.ranges, old, new, taken, &mut chance);
    let plan = plan.map_err(|refused| refused.refusal(&name))?;
    let owner = format!("{}/{name}", ask.namespace());
    Ok(written(server, &plan, &owner))
}

/// Gives back what a service or lease that goes away holds.
pub(crate) fn give_back(server: &Inner, ask: &Ask, old: &Map) -> Reserved {
    if epoch::of_leases(ask) {
        return epoch::moved(server, ask, meta_text(old, "name"), None);
    }
    if &*ask.kind.stored_as != "services" {
        return Reserved::default();
    }
    written(server, &release(old), "")
}

fn written(server: &Inner, plan: &Allocation, owner: &str) -> Reserved {
    let mut all = Reserved::default();
    let ips = plan.ips_taken.iter().map(|ip| ip_key(*ip));
    for key in ips.chain(plan.ports_taken.iter().map(|port| port_key(*port))) {
        all.compares.push(Compare { key: key.clone(), revision: 0 });
        all.ops.push(Op::Put { key, body: body(owner), meta: Meta::default() });
    }
    let ips = plan.ips_released.iter().map(|ip| ip_key(*ip));
    for key in ips.chain(plan.ports_released.iter().map(|port| port_key(*port))) {
        // What is not there needs not be given back: an address outside of today's range.
        if let Some(entry) = server.store.latest(&key) {
            all.compares.push(Compare { key: key.clone(), revision: entry.revision });
            all.ops.push(Op::Delete { key });
        }
    }
    all
}

fn body(owner: &str) -> Body {
    let head = "{\"resourceVersion\":\"";
    let text = format!("{head}\",\"owner\":{}}}", berth_cluster_json::Value::from(owner));
    let hole = u32::try_from(head.len()).unwrap_or(u32::MAX);
    Body { bytes: text.into_bytes().into(), hole }
}
