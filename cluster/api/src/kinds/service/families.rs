// SPDX-License-Identifier: Apache-2.0
//! Addresses of a service and their families. The cluster has the family IPv4 and no other.

use super::spec::{
    NONE, exposed_on_nodes, invalid_texts, is_headless, needs_cluster_ip, path, texts,
};
use super::update::same_addresses;
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::{Value, json};

const ONE: &str = "SingleStack";
const BOTH: &str = "RequireDualStack";
const KEPT: &str = "may not change once set";

/// What messages call the type of families.
const FAMILY: &str = "core.IPFamily";

/// The family of an address.
fn family(address: &str) -> &'static str {
    if address.contains(':') { "IPv6" } else { "IPv4" }
}

/// What is wrong with addresses, families and the policy of families, by themselves and together.
pub(super) fn check(spec: &impl View, errors: &mut Errors) {
    if !needs_cluster_ip(spec) {
        return;
    }
    let (at, all) = (path("clusterIPs"), texts(spec, "clusterIPs"));
    match (spec.text("clusterIP"), all.first()) {
        ("", None) => {}
        ("", Some(_)) => {
            let why = "must be empty when `clusterIP` is not specified";
            invalid_texts(errors, &at, "string", &all, why);
        }
        (_, None) => errors.required(&at, ""),
        (address, Some(first)) if address != *first => {
            invalid_texts(errors, &at, "string", &all, "first value must match `clusterIP`");
        }
        _ => {}
    }
    check_families(spec, errors);
    let well_formed = check_addresses(&all, &at, errors);
    if !well_formed {
        return;
    }
    if all.len() > 1 && !matches!(all.as_slice(), [a, b] if family(a) != family(b)) {
        let why = "may specify no more than one IP for each IP family";
        invalid_texts(errors, &at, "string", &all, why);
    }
    if is_headless(spec) {
        return;
    }
    let pairs = all.iter().zip(texts(spec, "ipFamilies")).enumerate();
    for (i, (address, wanted)) in pairs {
        if ["IPv4", "IPv6"].contains(&wanted) && family(address) != wanted {
            let why = format!("expected an {wanted} value as indicated by `ipFamilies[{i}]`");
            errors.invalid(&at.index(i), *address, why);
        }
    }
}

fn check_families(spec: &impl View, errors: &mut Errors) {
    let (at, families) = (path("ipFamilies"), texts(spec, "ipFamilies"));
    for (i, family) in families.iter().enumerate() {
        if !["IPv4", "IPv6"].contains(family) {
            errors.not_supported(&at.index(i), *family, &["IPv4", "IPv6"]);
        }
        if families[..i].contains(family) {
            errors.duplicate(&at.index(i), *family);
        }
    }
    let known = ["PreferDualStack", BOTH, ONE];
    if let Some(policy) = spec.at("ipFamilyPolicy").as_str()
        && !known.contains(&policy)
    {
        errors.not_supported(&path("ipFamilyPolicy"), policy, &known);
    }
}

/// Whether there is nothing but addresses, or `None` alone.
fn check_addresses(all: &[&str], at: &Path, errors: &mut Errors) -> bool {
    let mut well_formed = true;
    for (i, address) in all.iter().enumerate() {
        if i == 0 && *address == NONE {
            if all.len() > 1 {
                well_formed = false;
                let why = "'None' must be the first and only value";
                invalid_texts(errors, at, "string", all, why);
            }
            continue;
        }
        for why in names::ip(address) {
            well_formed = false;
            errors.invalid(&at.index(i), *address, why);
        }
    }
    if all.len() > 2 {
        invalid_texts(errors, at, "string", all, "may only hold up to 2 values");
    }
    well_formed
}

/// Whether an update leaves a service alone that would like two families and has what the cluster could give.
pub(super) fn is_settled(spec: &impl View, old: &impl View) -> bool {
    let prefers = |policy: &Value| policy == "PreferDualStack";
    prefers(spec.at("ipFamilyPolicy"))
        && (old.at("ipFamilyPolicy").is_null() || prefers(old.at("ipFamilyPolicy")))
        && spec.text("type") == old.text("type")
        && (spec.text("type") == "ClusterIP" || exposed_on_nodes(spec))
        && same_addresses(spec, old)
}

/// Fills in families and their policy, or says why that cannot be.
pub(super) fn settle(spec: &mut Map, old: Option<&Value>) -> Result<(), Errors> {
    if !needs_cluster_ip(spec) || old.is_some_and(|old| is_settled(spec, old)) {
        return Ok(());
    }
    // a service without addresses and pods may have any, so that it speaks for both families
    let free = spec.text("clusterIP") == NONE && spec.map("selector").is_none_or(Map::is_empty);
    if !spec.has("ipFamilyPolicy") {
        let before = old.map_or(&Value::Null, |old| old.at("ipFamilyPolicy")).as_str();
        let policy = before.unwrap_or(if free { BOTH } else { ONE });
        spec.insert("ipFamilyPolicy".to_owned(), policy.into());
    }
    let mut errors = Errors::new();
    check(spec, &mut errors);
    done(errors)?;
    let mut errors = Errors::new();
    let mut families = agree(spec, old, &mut errors);
    done(errors)?;
    if families.is_empty() {
        families.push("IPv4".to_owned());
    }
    if free {
        if families.len() < 2 && spec.text("ipFamilyPolicy") != ONE {
            let other = if families == ["IPv4"] { "IPv6" } else { "IPv4" };
            families.push(other.to_owned());
        }
    } else {
        let mut errors = Errors::new();
        configured(spec, &families, &mut errors);
        done(errors)?;
    }
    spec.insert("ipFamilies".to_owned(), json!(families));
    Ok(())
}

fn done(errors: Errors) -> Result<(), Errors> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The families that are said, or follow from the addresses; they have to fit the policy.
fn agree(spec: &mut Map, old: Option<&Value>, errors: &mut Errors) -> Vec<String> {
    let (at, policy) = (path("ipFamilyPolicy"), spec.text("ipFamilyPolicy").to_owned());
    let lists =
        [("clusterIPs", "cluster IP", "cluster IPs"), ("ipFamilies", "IP family", "IP families")];
    for (field, one, _) in lists {
        let Some(before) = old.map(|old| old.list(field)) else { continue };
        let now = spec.list(field);
        if policy == ONE && now == before && now.len() > 1 {
            let first = now[..1].to_vec();
            spec.insert(field.to_owned(), first.into());
        } else if policy != ONE && !now.is_empty() && now.len() < before.len() {
            let why = format!("must be 'SingleStack' to release the secondary {one}");
            errors.invalid(&at, policy.as_str(), why);
        }
    }
    for (field, _, many) in lists {
        if policy == ONE && spec.list(field).len() == 2 {
            let why = format!(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple {many} are specified"
            );
            errors.invalid(&at, policy.as_str(), why);
        }
    }
    let mut families: Vec<String> =
        texts(spec, "ipFamilies").into_iter().map(str::to_owned).collect();
    let addresses = texts(spec, "clusterIPs");
    for (i, address) in addresses.iter().enumerate().skip(families.len()) {
        match family(address) {
            _ if *address == NONE => break,
            "IPv4" => families.push("IPv4".to_owned()),
            other => {
                let why = format!("{other} is not configured on this cluster");
                invalid_texts(errors, &path("clusterIPs").index(i), "string", &addresses, why);
            }
        }
    }
    families
}

fn configured(spec: &Map, families: &[String], errors: &mut Errors) {
    if spec.text("ipFamilyPolicy") == BOTH {
        let why = "this cluster is not configured for dual-stack services";
        errors.invalid(&path("ipFamilyPolicy"), BOTH, why);
    }
    for (i, family) in families.iter().enumerate().filter(|(_, family)| *family != "IPv4") {
        let why = "not configured on this cluster";
        errors.invalid(&path("ipFamilies").index(i), family.as_str(), why);
    }
}

/// Addresses and families stay, unless the service is or was an alias.
pub(super) fn check_update(spec: &Value, old: &Value, errors: &mut Errors) {
    if !needs_cluster_ip(spec) || !needs_cluster_ip(old) {
        return;
    }
    let (was, is) = (is_headless(old), is_headless(spec));
    if !(was && is) {
        let (before, now) = (texts(old, "clusterIPs"), texts(spec, "clusterIPs"));
        let at = path("clusterIPs");
        stay(&before, &now, &at, "string", errors);
        if before.len() > now.len() {
            released(spec, &now, &at, "primary clusterIP", "clusterIP", errors);
        }
    }
    if !was && !is {
        let (before, now) = (texts(old, "ipFamilies"), texts(spec, "ipFamilies"));
        let at = path("ipFamilies");
        stay(&before, &now, &at, FAMILY, errors);
        if before.len() > now.len() {
            released(spec, &now, &at, "primary ipFamily", "ipFamily", errors);
        }
    }
}

/// The first one stays whatever is added or taken away, and all do where nothing is.
fn stay(before: &[&str], now: &[&str], at: &Path, kind: &str, errors: &mut Errors) {
    let few = if before.len() == now.len() { now.len() } else { 1 };
    for (i, (old, new)) in before.iter().zip(now).take(few).enumerate() {
        if old != new {
            // upstream names the first family whichever has changed
            let i = if kind == FAMILY { 0 } else { i };
            invalid_texts(errors, &at.index(i), kind, now, KEPT);
        }
    }
}

fn released(spec: &Value, now: &[&str], at: &Path, first: &str, second: &str, errors: &mut Errors) {
    match now {
        [] => {
            let kind = if second == "clusterIP" { "string" } else { FAMILY };
            invalid_texts(errors, &at.index(0), kind, now, format!("{first} can not be unset"));
        }
        [_] if spec.text("ipFamilyPolicy") != ONE => {
            let why = format!("must be set to 'SingleStack' when releasing the secondary {second}");
            errors.invalid(&path("ipFamilyPolicy"), spec.at("ipFamilyPolicy").clone(), why);
        }
        _ => {}
    }
}
