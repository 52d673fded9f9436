// SPDX-License-Identifier: Apache-2.0
//! Rows of events in tables.

use crate::kinds::row::{column, name_column, wide};
use crate::kinds::view::View;
use crate::registry::Column;
use crate::{Map, cells};
use berth_cluster_json::Value;

/// The columns of events. Their names are of no interest, so they come last.
pub(super) fn columns() -> Vec<Column> {
    vec![
        column("Last Seen", "string", "The time at which it was seen last."),
        column(
            "Type",
            "string",
            "Type of this event (Normal, Warning), new types could be added in the future",
        ),
        column("Reason", "string", "In a word, why it was told."),
        column("Object", "string", "The object that this event is about."),
        wide("Subobject", "string", "The part of the object that it is about."),
        wide("Source", "string", "Who told it."),
        column("Message", "string", "What happened, in words for people."),
        wide("First Seen", "string", "The time at which it was seen first."),
        wide("Count", "string", "The number of times this event has occurred."),
        Column { priority: 1, ..name_column() },
    ]
}

fn first<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}

fn source(event: &Map) -> String {
    let source = event.at("source");
    let component = first(source.text("component"), event.text("reportingComponent"));
    match first(source.text("host"), event.text("reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

/// The cells of an event in the form of the core group.
pub(super) fn cells(event: &Map, now: i64) -> Vec<Value> {
    let (about, series) = (event.at("involvedObject"), event.at("series"));
    let start = first(event.text("firstTimestamp"), event.text("eventTime"));
    let (last, count) = if series.is_object() {
        (series.text("lastObservedTime"), series.int("count").unwrap_or(0))
    } else {
        // What was told once need not be counted.
        let count = event.int("count").filter(|count| *count != 0).unwrap_or(1);
        (first(event.text("lastTimestamp"), start), count)
    };
    let mut object = about.text("kind").to_lowercase();
    if !about.text("name").is_empty() {
        object = format!("{object}/{}", about.text("name"));
    }
    vec![
        cells::since(last, now).into(),
        event.text("type").into(),
        event.text("reason").into(),
        object.into(),
        about.text("fieldPath").into(),
        source(event).into(),
        event.text("message").trim().into(),
        cells::since(start, now).into(),
        count.into(),
        cells::name(event),
    ]
}
