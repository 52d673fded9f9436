// SPDX-License-Identifier: Apache-2.0
//! The document: what holds for all services, and the list of them.

use super::fields::{Fields, Notes};
use super::path::Path;
use super::value::Value;
use super::{service, settings};
use crate::wanted::{Common, LastSettings, Update};
use berth_balancer_core::model::{Node, Settings};

pub(super) fn read(value: &Value, path: &Path<'_>, notes: &Notes, update: &mut Update) {
    let fields = Fields::of(value, path, notes);
    let mut common = Common::default();
    if let Some(value) = fields.get("node") {
        common.node = node(value, &path.field("node"), notes);
    }
    common.pools = fields.parsed_list("load_balancer_pools", RANGE);
    common.external_ips = fields.boolean("allow_external_ips").unwrap_or(false);
    let mut defaults = Settings::default();
    if let Some(value) = fields.get("defaults") {
        let path = path.field("defaults");
        let fields = Fields::of(value, &path, notes);
        settings::read(&fields, &mut defaults);
        fields.end();
    }
    let list = fields.list("services");
    let at = path.field("services");
    update.services.reserve(list.len());
    let mut last = LastSettings::default();
    for (index, value) in list.iter().enumerate() {
        let settings = (&defaults, &mut last);
        update.services.push(service::read(value, &at.index(index), notes, settings));
    }
    update.common = Some(common);
    fields.end();
}

const RANGE: &str = "range of addresses, such as 203.0.113.0/24";

fn node(value: &Value, path: &Path<'_>, notes: &Notes) -> Node {
    let fields = Fields::of(value, path, notes);
    let node = Node {
        name: fields.text("name").map(Into::into),
        zone: fields.text("zone").map(Into::into),
        addresses: fields.parsed_list("addresses", "IP address"),
        node_ports: fields.text("node_ports").and_then(|text| {
            let range = text.split_once('-').and_then(|(first, last)| {
                Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
            });
            if range.is_none() {
                let message = format!("\"{text}\" is no range of ports, such as 30000-32767");
                fields.note("node_ports", message);
            }
            range
        }),
    };
    fields.end();
    node
}
