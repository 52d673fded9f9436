// SPDX-License-Identifier: Apache-2.0
//! What is wrong with how a pod resolves names.

use super::checks::each;
use crate::field::{Errors, Path};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;
use core::net::IpAddr;

const ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// The settings of DNS.
pub(super) fn dns(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = spec.at("dnsConfig");
    let servers = config.list("nameservers");
    let at = path.child("nameservers");
    if spec.text("dnsPolicy") == "None" {
        if config.is_null() {
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.required(&at, why);
            return;
        }
    }
    if servers.len() > 3 {
        errors.invalid(&at, servers, "must not have more than 3 nameservers");
    }
    for (i, text) in servers.iter().filter_map(Value::as_str).enumerate() {
        address(text, &at.index(i), errors);
    }
    let searches = config.list("searches");
    if searches.len() > 32 {
        let why = "must not have more than 32 search paths";
        errors.invalid(&path.child("searches"), searches, why);
    }
    for (i, text) in searches.iter().filter_map(Value::as_str).enumerate() {
        let name = text.strip_suffix('.').unwrap_or(text);
        each(names::dns_subdomain(name, false), &path.child("searches").index(i), name, errors);
    }
    for (i, option) in config.list("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&path.child("options").index(i), "must not be empty");
        }
    }
}

fn address(text: &str, path: &Path, errors: &mut Errors) {
    if text.parse::<IpAddr>().is_err() {
        errors.invalid(path, text, ADDRESS);
    }
}

/// Names that stand in the file of hosts.
pub(super) fn host_aliases(spec: &Value, path: &Path, errors: &mut Errors) {
    for (i, alias) in spec.list("hostAliases").iter().enumerate() {
        let path = path.index(i);
        address(alias.text("ip"), &path.child("ip"), errors);
        for name in alias.list("hostnames").iter().filter_map(Value::as_str) {
            each(names::dns_subdomain(name, false), &path.child("hostnames"), name, errors);
        }
    }
}
