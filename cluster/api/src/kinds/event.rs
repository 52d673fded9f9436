// SPDX-License-Identifier: Apache-2.0
//! Events: what happened to an object. Two groups have them, under other names of the fields; they are one stored object, in the
//! form of the core group.
//!
//! The rules take an object in either form (its `apiVersion` says which), and speak of the core's fields, as upstream does.

mod cells;
mod checks;

use super::row::{self, RowExt};
use super::view::View;
use crate::field::Errors;
use crate::registry::{Kind, Part, Rules};
use crate::{Map, names};
use berth_cluster_json::Value;
use std::borrow::Cow;

const GROUP: &str = "events.k8s.io";

/// Fields that have another name in each group: the core's, the other's.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Fields of what an event is about, by which events are selected: the core's name, the other's, the field.
const ABOUT: [(&str, &str, &str); 7] = [
    ("involvedObject.kind", "regarding.kind", "kind"),
    ("involvedObject.namespace", "regarding.namespace", "namespace"),
    ("involvedObject.name", "regarding.name", "name"),
    ("involvedObject.uid", "regarding.uid", "uid"),
    ("involvedObject.apiVersion", "regarding.apiVersion", "apiVersion"),
    ("involvedObject.resourceVersion", "regarding.resourceVersion", "resourceVersion"),
    ("involvedObject.fieldPath", "regarding.fieldPath", "fieldPath"),
];

/// Seconds for which an event is kept; upstream's hour.
const LIFETIME: i64 = 3_600;

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let row = |group: &str| {
        let strict = !group.is_empty();
        let row = row::row(group, "Event", "events", &[], Event { strict });
        let (columns, stored_as) = (cells::columns(), "events".into());
        Kind { stored_as, columns, ..row.short(&["ev"]).by_put() }
    };
    vec![row(""), row(GROUP)]
}

fn renamed(event: &Map, version: &str, name: impl Fn(&str) -> Option<&'static str>) -> Map {
    let mut made = Map::new();
    for (field, value) in event {
        let value = if field == "apiVersion" { version.into() } else { value.clone() };
        made.insert(name(field).unwrap_or(field).to_owned(), value);
    }
    made
}

/// An event of the core group as one of `events.k8s.io`.
pub fn to_events_group(event: &Map) -> Map {
    renamed(event, "events.k8s.io/v1", |field| {
        NAMES.iter().find(|(core, _)| *core == field).map(|(_, other)| *other)
    })
}

/// An event of `events.k8s.io` as one of the core group.
pub fn to_core(event: &Map) -> Map {
    renamed(event, "v1", |field| {
        NAMES.iter().find(|(_, other)| *other == field).map(|(core, _)| *core)
    })
}

/// The event in the form of the core group.
fn core(event: &Map) -> Cow<'_, Map> {
    let other = event.text("apiVersion").strip_prefix(GROUP).is_some_and(|it| it.starts_with('/'));
    if other { Cow::Owned(to_core(event)) } else { Cow::Borrowed(event) }
}

/// `strict`: as `events.k8s.io` judges. The core group takes what it always took.
#[derive(Debug)]
struct Event {
    strict: bool,
}

/// Who told it: the older field, or the newer.
fn source(event: &Map) -> &str {
    match event.at("source").text("component") {
        "" => event.text("reportingComponent"),
        component => component,
    }
}

impl Rules for Event {
    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        if self.strict {
            names::dns_subdomain(name, prefix)
        } else {
            names::path_segment(name, prefix)
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        checks::event(&core(object), errors);
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        if self.strict {
            checks::new_event(&core(object), errors);
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        if self.strict {
            checks::change(&core(new), &core(old), errors);
        }
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let event = core(object);
        let about = event.at("involvedObject");
        // By the names of both groups: it is one object, whichever group it is looked for by.
        let mut all = Vec::new();
        for (name, other, field) in ABOUT {
            all.extend([
                (name, about.text(field).to_owned()),
                (other, about.text(field).to_owned()),
            ]);
        }
        for name in ["reportingComponent", "reportingController"] {
            all.push((name, event.text("reportingComponent").to_owned()));
        }
        all.push(("reason", event.text("reason").to_owned()));
        all.push(("source", source(&event).to_owned()));
        all.push(("type", event.text("type").to_owned()));
        all
    }

    fn converts(&self) -> bool {
        self.strict
    }

    fn as_stored(&self, object: &Map) -> Map {
        to_core(object)
    }

    fn as_shown(&self, object: Map) -> Map {
        if self.strict { to_events_group(&object) } else { object }
    }

    fn lifetime(&self) -> Option<i64> {
        Some(LIFETIME)
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::cells(&core(object), now)
    }
}

#[cfg(test)]
mod tests;
