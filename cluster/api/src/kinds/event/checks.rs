// SPDX-License-Identifier: Apache-2.0
//! What is wrong with events, in the form of the core group.

use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{add_all, same, unset};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;

/// The most bytes of a note, and of the shorter texts.
const NOTE_MAX: usize = 1024;
const TEXT_MAX: usize = 128;

/// An event by itself. One with an `eventTime` is of the newer sort, of which more is asked.
pub(super) fn event(event: &Map, errors: &mut Errors) {
    let new = !unset(event, "eventTime");
    namespaces(event, new, errors);
    if new {
        let by = event.text("reportingComponent");
        let path = Path::new("reportingController");
        if by.is_empty() {
            errors.required(&path, "");
        }
        add_all(errors, &path, by, names::qualified(by));
        for field in ["reportingInstance", "action", "reason"] {
            if event.text(field).is_empty() {
                errors.required(&Path::new(field), "");
            }
            at_most(event, field, TEXT_MAX, errors);
        }
        at_most(event, "message", NOTE_MAX, errors);
    }
    let namespace = event.at("metadata").text("namespace");
    add_all(errors, &Path::new("namespace"), namespace, names::dns_subdomain(namespace, false));
}

fn at_most(event: &Map, field: &str, most: usize, errors: &mut Errors) {
    if event.text(field).len() > most {
        errors.invalid(&Path::new(field), "", format!("can have at most {most} characters"));
    }
}

/// An event lives beside what it is about; one about an object without a namespace, in `default`.
fn namespaces(event: &Map, new: bool, errors: &mut Errors) {
    let (own, about) =
        (event.at("metadata").text("namespace"), event.at("involvedObject").text("namespace"));
    let agree = match (about.is_empty(), new) {
        (true, true) => own == "default" || own == "kube-system",
        (true, false) => own == "default" || own.is_empty(),
        (false, true) => true,
        (false, false) => own == about,
    };
    if !agree {
        let path = Path::new("involvedObject").child("namespace");
        errors.invalid(&path, about, "does not match event.namespace");
    }
}

/// A new event of `events.k8s.io`.
pub(super) fn new_event(event: &Map, errors: &mut Errors) {
    series(event, errors);
    if unset(event, "eventTime") {
        errors.required(&Path::new("eventTime"), "");
    }
    let kind = event.text("type");
    if kind != "Normal" && kind != "Warning" {
        errors.invalid(&Path::new("type"), "", format!("has invalid value: {kind}"));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count"] {
        if !unset(event, field) {
            errors.invalid(&Path::new(field), "", "needs to be unset");
        }
    }
    let source = event.at("source");
    if !source.text("component").is_empty() || !source.text("host").is_empty() {
        errors.invalid(&Path::new("source"), "", "needs to be unset");
    }
}

fn series(event: &Map, errors: &mut Errors) {
    let Some(series) = event.map("series") else { return };
    if series.int("count").unwrap_or(0) < 2 {
        errors.invalid(&Path::new("series.count"), "", "should be at least 2");
    }
    if unset(series, "lastObservedTime") {
        errors.required(&Path::new("series.lastObservedTime"), "");
    }
}

/// A change of an event of `events.k8s.io`: only its series goes on.
pub(super) fn change(new: &Map, old: &Map, errors: &mut Errors) {
    let kept = |field: &str| same(new, old, field) || unset(new, field) && unset(old, field);
    if !kept("series") {
        series(new, errors);
    }
    // Upstream looks at the reason twice.
    for (field, name) in [
        ("involvedObject", "involvedObject"),
        ("reason", "reason"),
        ("message", "message"),
        ("source", "source"),
        ("firstTimestamp", "firstTimestamp"),
        ("lastTimestamp", "lastTimestamp"),
        ("count", "count"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        if !kept(field) {
            let value = new.get(field).cloned().unwrap_or(Value::Null);
            errors.invalid(&Path::new(name), value, "field is immutable");
        }
    }
}
