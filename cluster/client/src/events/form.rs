// SPDX-License-Identifier: Apache-2.0
//! The JSON of events: of `events.k8s.io/v1`, written straight into bytes, since there are thousands a second.

use super::Happening;
use crate::chance::hash;
use crate::clock::micro_time;
use bytes::Bytes;
use std::fmt::Write as _;

/// The most bytes of a message; the API's bound.
const MESSAGE_MAX: usize = 1_024;
/// The most bytes of a name, and of the number behind it with its dot.
const NAME_MAX: usize = 253;
const NUMBER_MAX: usize = 17;

/// An event happened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Series {
    /// How often in all.
    pub(super) count: u32,
    /// When, the last time.
    pub(super) last: i64,
}

/// Where events about an object are: beside it, and about one without a namespace in `default`.
pub(super) fn place(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

/// The path of the events of a namespace, or of one.
pub(super) fn path(namespace: &str, name: Option<&str>) -> String {
    let place = place(namespace);
    let mut path = format!("/apis/events.k8s.io/v1/namespaces/{place}/events");
    if let Some(name) = name {
        path.push('/');
        path.push_str(name);
    }
    path
}

/// A name for an event: the object's and a number. Of an object whose name cannot be part of a name here, a hash stands for it.
pub(super) fn name(about: &str, number: i64) -> String {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let ends = about.bytes().next().zip(about.bytes().next_back());
    let fits = about.len() + NUMBER_MAX <= NAME_MAX
        && about.bytes().all(plain)
        && ends.is_some_and(|(first, last)| ![first, last].iter().any(|end| b"-.".contains(end)))
        && ![".-", "-.", ".."].iter().any(|part| about.contains(part));
    if fits {
        return format!("{about}.{number:x}");
    }
    format!("event-{:016x}.{number:x}", hash(about))
}

/// The beginning of a text, of so many bytes at most.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_MAX)]
}

/// The object.
pub(super) fn event(
    component: &str,
    name: &str,
    event: &Happening,
    series: Option<Series>,
) -> Bytes {
    let mut to = Json(Vec::with_capacity(768 + event.message.len()));
    to.raw("{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":");
    to.text(name);
    to.field("namespace", place(&event.about.namespace));
    to.raw("},\"eventTime\":\"");
    to.raw(&micro_time(event.at));
    to.raw("\"");
    to.field("type", event.kind.name());
    to.field("reason", &event.reason);
    to.field("action", &event.action);
    to.field("note", &event.message);
    to.field("reportingController", component);
    to.field("reportingInstance", component);
    to.raw(",\"regarding\":{\"kind\":");
    to.text(&event.about.kind);
    for (name, value) in [
        ("apiVersion", &event.about.api_version),
        ("namespace", &event.about.namespace),
        ("name", &event.about.name),
        ("uid", &event.about.uid),
        ("resourceVersion", &event.about.resource_version),
        ("fieldPath", &event.about.field_path),
    ] {
        if !value.is_empty() {
            to.field(name, value);
        }
    }
    to.raw("}");
    if let Some(series) = series {
        to.raw(",");
        to.series(series);
    }
    to.raw("}");
    to.0.into()
}

/// What is merged into it when it happened again.
pub(super) fn again(series: Series) -> Bytes {
    let mut to = Json(Vec::with_capacity(96));
    to.raw("{");
    to.series(series);
    to.raw("}");
    to.0.into()
}

struct Json(Vec<u8>);

impl Json {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, text: &str) {
        // Text into memory: nothing can fail.
        serde_json::to_writer(&mut self.0, text).unwrap_or_default();
    }

    /// A further field with a text.
    fn field(&mut self, name: &str, value: &str) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":");
        self.text(value);
    }

    fn series(&mut self, series: Series) {
        let mut count = String::new();
        write!(count, "{}", series.count).unwrap_or_default();
        self.raw("\"series\":{\"count\":");
        self.raw(&count);
        self.raw(",\"lastObservedTime\":\"");
        self.raw(&micro_time(series.last));
        self.raw("\"}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Reference, Type};
    use serde_json::{Value, json};

    #[test]
    fn an_event_is_the_object_that_the_api_knows() {
        let text = |text: &str| text.to_owned();
        let about = Reference {
            api_version: text("v1"),
            kind: text("Pod"),
            namespace: text("n"),
            name: text("p"),
            uid: text("u"),
            resource_version: String::new(),
            field_path: text("spec.containers{c}"),
        };
        let happening = Happening {
            about,
            kind: Type::Warning,
            reason: "Bad".into(),
            action: "Look".into(),
            message: text("a \"quote\"\nand é"),
            at: 1_800_000_000_000_001,
        };
        let wanted = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": "p.1f", "namespace": "n" },
            "eventTime": "2027-01-15T08:00:00.000001Z", "type": "Warning", "reason": "Bad", "action": "Look",
            "note": "a \"quote\"\nand é", "reportingController": "c", "reportingInstance": "c",
            "regarding": { "kind": "Pod", "apiVersion": "v1", "namespace": "n", "name": "p", "uid": "u",
                "fieldPath": "spec.containers{c}" },
        });
        let made = event("c", &name("p", 31), &happening, None);
        assert_eq!(serde_json::from_slice::<Value>(&made).unwrap(), wanted);
        let series = Series { count: 3, last: 1_800_000_001_000_000 };
        let wanted =
            json!({ "series": { "count": 3, "lastObservedTime": "2027-01-15T08:00:01.000000Z" } });
        assert_eq!(serde_json::from_slice::<Value>(&again(series)).unwrap(), wanted);
        let made = event("c", "x", &happening, Some(series));
        let made: Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(made["series"], wanted["series"]);
    }

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"a".repeat(2_000)).len(), 1_024);
        assert_eq!(cut(&format!("a{}", "é".repeat(1_000))).len(), 1_023);
    }

    #[test]
    fn names_are_names_whatever_the_object_is_called() {
        assert_eq!(name("web-0.x", 255), "web-0.x.ff");
        for odd in ["system:node", "Upper", "", "a-", ".a", "a..b", &"a".repeat(250)] {
            let name = name(odd, i64::MAX);
            assert!(name.starts_with("event-") && name.len() <= NAME_MAX, "{name}");
        }
        assert_ne!(name("A", 1), name("B", 1));
    }
}
