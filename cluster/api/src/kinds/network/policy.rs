// SPDX-License-Identifier: Apache-2.0
//! Network policies: who may talk to pods, and whom they may talk to.

use crate::field::{Errors, Path};
use crate::kinds::access::{count_generation, make, or_set_missing};
use crate::kinds::pod::each;
use crate::kinds::view::{View, items};
use crate::kinds::workload::selector_text;
use crate::registry::{Part, Rules};
use crate::{Map, cells, meta, names};
use berth_cluster_json::{Value, json};
use core::net::IpAddr;

#[derive(Debug)]
pub(super) struct Policy;

/// Rules of each direction, and where they name whom they are about.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

fn port(port: &Value, path: &Path, errors: &mut Errors) {
    let known = ["TCP", "UDP", "SCTP"];
    if let Some(protocol) = port.at("protocol").as_str().filter(|it| !known.contains(it)) {
        errors.not_supported(&path.child("protocol"), protocol, &known);
    }
    let (end, at) = (port.int("endPort"), path.child("endPort"));
    match port.at("port") {
        Value::Null => {
            if let Some(end) = end {
                errors.invalid(&at, end, "may not be specified when `port` is not specified");
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                errors.invalid(&at, end, "may not be specified when `port` is non-numeric");
            }
            each(names::port_name(name), &path.child("port"), name, errors);
        }
        number => {
            let number = number.as_i64().unwrap_or(0);
            numbered(number, &path.child("port"), errors);
            if let Some(end) = end {
                if end < number {
                    // Upstream shows the other number.
                    errors.invalid(&at, number, "must be greater than or equal to `port`");
                }
                numbered(end, &at, errors);
            }
        }
    }
}

fn numbered(port: i64, path: &Path, errors: &mut Errors) {
    for why in names::port_number(port) {
        errors.invalid(path, port, why);
    }
}

fn selector(of: &Value, field: &str, loose: bool, path: &Path, errors: &mut Errors) {
    if let Some(selector) = of.map(field) {
        meta::validate_selector(selector, loose, &path.child(field), errors);
    }
}

fn peer(peer: &Value, loose: bool, path: &Path, errors: &mut Errors) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        selector(peer, field, loose, path, errors);
    }
    let block = peer.at("ipBlock");
    let others = selectors.iter().any(|field| peer.has(field));
    if !block.is_null() {
        self::block(block, &path.child("ipBlock"), errors);
        if others {
            errors.forbidden(path, "may not specify both ipBlock and another peer");
        }
    } else if !others {
        errors.required(path, "must specify a peer");
    }
}

/// A network's first address and the length of its mask.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// Whether `inner` is a part of `outer`, and not all of it.
fn is_part(inner: (IpAddr, u32), outer: (IpAddr, u32)) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(four) => (u128::from(u32::from(four)), 32),
        IpAddr::V6(six) => (u128::from(six), 128),
    };
    let ((a, width), (b, other)) = (bits(inner.0), bits(outer.0));
    let rest = width - outer.1.min(width);
    let head = |address: u128| address.checked_shr(rest).unwrap_or(0);
    width == other && head(a) == head(b) && inner.1 > outer.1
}

fn block(block: &Value, path: &Path, errors: &mut Errors) {
    let wrong = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let (cidr, at) = (block.text("cidr"), path.child("cidr"));
    if cidr.is_empty() {
        errors.required(&at, "");
        return;
    }
    let Some(outer) = network(cidr).filter(|_| names::is_cidr(cidr)) else {
        errors.invalid(&at, cidr, wrong);
        return;
    };
    for (index, text) in block.list("except").iter().filter_map(Value::as_str).enumerate() {
        let at = path.child("except").index(index);
        match network(text).filter(|_| names::is_cidr(text)) {
            None => errors.invalid(&at, text, wrong),
            Some(inner) if !is_part(inner, outer) => {
                errors.invalid(&at, text, "must be a strict subset of `cidr`");
            }
            Some(_) => {}
        }
    }
}

fn whole(object: &Map, loose: bool, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    selector(spec, "podSelector", loose, &path, errors);
    for (direction, peers) in DIRECTIONS {
        for (index, rule) in spec.list(direction).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, one) in rule.list("ports").iter().enumerate() {
                port(one, &path.child("ports").index(index), errors);
            }
            for (index, one) in rule.list(peers).iter().enumerate() {
                peer(one, loose, &path.child(peers).index(index), errors);
            }
        }
    }
    let (types, at) = (spec.list("policyTypes"), path.child("policyTypes"));
    if types.len() > 2 {
        errors.invalid(&at, types.to_vec(), "may not specify more than two policyTypes");
        return;
    }
    let known = ["Ingress", "Egress"];
    for (index, one) in types.iter().filter_map(Value::as_str).enumerate() {
        if !known.contains(&one) {
            errors.not_supported(&at.index(index), one, &known);
        }
    }
}

/// Whether the selector has values that labels cannot have.
fn is_loose(object: &Map) -> bool {
    let mut errors = Errors::new();
    selector(object.at("spec"), "podSelector", false, &Path::default(), &mut errors);
    !errors.is_empty()
}

impl Rules for Policy {
    fn default(&self, object: &mut Map) {
        let Some(spec) = make(object, "spec") else { return };
        for (direction, _) in DIRECTIONS {
            for rule in items(spec, direction) {
                items(rule, "ports").for_each(|port| or_set_missing(port, "protocol", "TCP"));
            }
        }
        if spec.list("policyTypes").is_empty() {
            let both = !spec.list("egress").is_empty();
            let types = if both { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            spec.insert("policyTypes".to_owned(), types);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        count_generation(new, old, &["spec"]);
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        whole(object, false, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        // Upstream looks at the whole twice.
        for _ in 0..2 {
            whole(new, is_loose(old), errors);
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let selector = match selector_text(object.at("spec").at("podSelector")) {
            text if text.is_empty() => "<none>".to_owned(),
            text => text,
        };
        vec![cells::name(object), selector.into(), cells::age(object, now)]
    }
}
