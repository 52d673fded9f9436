// SPDX-License-Identifier: Apache-2.0
//! Ingresses: requests from outside, by host and path.

use super::backend::backend;
use crate::field::{Errors, Path};
use crate::kinds::access::{count_generation, keep, make};
use crate::kinds::pod::each;
use crate::kinds::row::column;
use crate::kinds::view::View;
use crate::registry::{Column, Part, Rules};
use crate::{Map, cells, names};
use berth_cluster_json::{Value, json};
use core::net::IpAddr;
use std::collections::BTreeSet;

/// The annotation by which the class was named before there was a field.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// How many hosts a row shows.
const SHOWN: usize = 3;

#[derive(Debug)]
pub(super) struct Ingress;

/// The columns between the name and the age.
pub(super) fn columns() -> [Column; 4] {
    [
        column("Class", "string", "The class, whose controller takes care of the ingress."),
        column("Hosts", "string", "Hosts that the ingress takes requests to."),
        column("Address", "string", "Addresses at which it is reached."),
        column("Ports", "string", "Ports at which it is reached."),
    ]
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// A name of a host, which may begin with a star in place of a part.
fn host(host: &str, path: &Path, errors: &mut Errors) {
    let problems = match host.strip_prefix("*.") {
        Some(rest) if names::dns_subdomain(rest, false).is_empty() => Vec::new(),
        _ if host.contains('*') => {
            let why = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of \
                       lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', \
                       regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
            vec![why.to_owned()]
        }
        _ => names::dns_subdomain(host, false),
    };
    each(problems, path, host, errors);
}

fn http_path(one: &Value, path: &Path, errors: &mut Errors) {
    let (text, at) = (one.text("path"), path.child("path"));
    let kind = one.text("pathType");
    match kind {
        "" => {
            errors.required(&path.child("pathType"), "pathType must be specified");
            return;
        }
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.invalid(&at, text, "must be an absolute path");
            }
            for wrong in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|it| text.contains(**it))
            {
                errors.invalid(&at, text, format!("must not contain '{wrong}'"));
            }
            for wrong in ["/..", "/."].iter().filter(|it| text.ends_with(**it)) {
                errors.invalid(&at, text, format!("cannot end with '{wrong}'"));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.invalid(&at, text, "must be an absolute path");
            }
        }
        other => {
            let known = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.not_supported(&path.child("pathType"), other, &known);
        }
    }
    backend(one.at("backend"), &path.child("backend"), errors);
}

fn paths(rule: &Value, path: &Path, errors: &mut Errors) {
    let (http, path) = (rule.at("http"), path.child("http").child("paths"));
    if http.is_null() {
        return;
    }
    if http.list("paths").is_empty() {
        errors.required(&path, "");
    }
    for (index, one) in http.list("paths").iter().enumerate() {
        http_path(one, &path.index(index), errors);
    }
}

/// What is let pass in an old object.
#[derive(Debug, Clone, Copy, Default)]
struct Loose {
    secrets: bool,
    wildcards: bool,
}

fn loose(old: &Map) -> Loose {
    let spec = old.at("spec");
    let bad_secret = |one: &Value| {
        let name = one.text("secretName");
        !name.is_empty() && !names::dns_subdomain(name, false).is_empty()
    };
    let bad_rule = |rule: &Value| {
        let mut errors = Errors::new();
        paths(rule, &Path::default(), &mut errors);
        rule.text("host").contains('*') && !errors.is_empty()
    };
    Loose {
        secrets: spec.list("tls").iter().any(bad_secret),
        wildcards: spec.list("rules").iter().any(bad_rule),
    }
}

fn rules(spec: &Value, loose: Loose, path: &Path, errors: &mut Errors) {
    for (index, rule) in spec.list("rules").iter().enumerate() {
        let (path, name) = (path.index(index), rule.text("host"));
        if is_address(name) {
            errors.invalid(&path.child("host"), name, "must be a DNS name, not an IP address");
        }
        if !name.is_empty() {
            host(name, &path.child("host"), errors);
        }
        if !(loose.wildcards && name.contains('*')) {
            paths(rule, &path, errors);
        }
    }
}

fn whole(object: &Map, loose: Loose, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    if spec.list("rules").is_empty() && !spec.has("defaultBackend") {
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(&path, spec.at("rules").clone(), why);
    }
    if spec.has("defaultBackend") {
        backend(spec.at("defaultBackend"), &path.child("defaultBackend"), errors);
    }
    rules(spec, loose, &path.child("rules"), errors);
    for (index, tls) in spec.list("tls").iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, name) in tls.list("hosts").iter().filter_map(Value::as_str).enumerate() {
            host(name, &path.child("hosts").index(index), errors);
        }
        let secret = tls.text("secretName");
        if !secret.is_empty() && !loose.secrets {
            let problems = names::dns_subdomain(secret, false);
            each(problems, &path.child("secretName"), secret, errors);
        }
    }
    if let Some(class) = spec.at("ingressClassName").as_str() {
        each(names::dns_subdomain(class, false), &path.child("ingressClassName"), class, errors);
    }
}

fn status(object: &Map, errors: &mut Errors) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    for (index, one) in object.at("status").at("loadBalancer").list("ingress").iter().enumerate() {
        let (path, ip, name) = (path.index(index), one.text("ip"), one.text("hostname"));
        if !ip.is_empty() {
            each(names::ip(ip), &path.child("ip"), ip, errors);
        }
        if name.is_empty() {
            continue;
        }
        let at = path.child("hostname");
        each(names::dns_subdomain(name, false), &at, name, errors);
        if is_address(name) {
            errors.invalid(&at, name, "must be a DNS name, not an IP address");
        }
    }
}

/// The first hosts, and how many more there are.
fn hosts(rules: &[Value]) -> String {
    let named = rules.iter().map(|rule| rule.text("host")).filter(|host| !host.is_empty());
    let shown: Vec<&str> = named.take(SHOWN).collect();
    let text = if shown.is_empty() { "*".to_owned() } else { shown.join(",") };
    let more = rules.len().saturating_sub(SHOWN);
    if shown.len() == SHOWN && more > 0 { format!("{text} + {more} more...") } else { text }
}

impl Rules for Ingress {
    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "loadBalancer": {} }));
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => {}
        }
        count_generation(new, old, &["spec"]);
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        whole(object, Loose::default(), errors);
        let said = object.at("metadata").at("annotations").at(OLD_CLASS);
        let class = object.at("spec").at("ingressClassName");
        if !said.is_null() && !class.is_null() && said != class {
            let path = Path::new("annotations").child(OLD_CLASS);
            let why = "must match `ingressClassName` when both are specified";
            errors.invalid(&path, said.clone(), why);
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => whole(new, loose(old), errors),
            Part::Status => status(new, errors),
            Part::Other(_) => {}
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let (spec, balancer) = (object.at("spec"), object.at("status").at("loadBalancer"));
        let address = |one: &Value| match one.text("ip") {
            "" => one.text("hostname").to_owned(),
            ip => ip.to_owned(),
        };
        let addresses: BTreeSet<String> = balancer.list("ingress").iter().map(address).collect();
        let addresses: Vec<String> = addresses.into_iter().filter(|it| !it.is_empty()).collect();
        vec![
            cells::name(object),
            spec.at("ingressClassName").as_str().unwrap_or("<none>").into(),
            hosts(spec.list("rules")).into(),
            addresses.join(",").into(),
            if spec.list("tls").is_empty() { "80" } else { "80, 443" }.into(),
            cells::age(object, now),
        ]
    }
}
