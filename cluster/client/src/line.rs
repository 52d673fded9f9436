// SPDX-License-Identifier: Apache-2.0
//! What a list and a watch say, read once: who an object is, and the view of it that is kept.

use crate::cache::{Id, Item};
use crate::pool::Pool;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::sync::Arc;

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObjectError(pub String);

/// What a component keeps of an object: a small part of it.
pub trait View: Sized + Send + Sync + 'static {
    /// Reads it from the object's JSON. What is not kept should be skipped, not read.
    fn read(json: &[u8]) -> Result<Self, ObjectError>;

    /// Takes from the pool what it has in common with other objects of its kind. What is not shared is kept for each.
    fn share(&mut self, _pool: &mut Pool) {}
}

/// A line of a watch.
#[derive(Debug)]
pub(crate) enum Line<V> {
    /// An object is so, whether it is new or not.
    Set(Arc<Item<V>>),
    /// An object is gone.
    Gone(Id),
    /// Everything up to this revision was told.
    Bookmark(String),
    /// The server gave up.
    Failed { code: u16, message: String },
    /// An object that this program cannot read: it is as if it were not there.
    Unreadable(Id, ObjectError),
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page<V> {
    pub(crate) revision: String,
    /// The token for the next page; empty at the end.
    pub(crate) more: String,
    pub(crate) items: Vec<Arc<Item<V>>>,
    pub(crate) unreadable: Vec<(Id, ObjectError)>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Finds out who an object is, and stops there: `metadata` comes before what is long.
struct Who<'a>(&'a mut Option<Id>);

impl<'de> Visitor<'de> for Who<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == "metadata" {
                *self.0 = Some(map.next_value()?);
                return Err(A::Error::custom("the rest is not read here"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::missing_field("metadata"))
    }
}

fn id(json: &str) -> Result<Id, ObjectError> {
    let mut found = None;
    let read = serde_json::Deserializer::from_str(json).deserialize_map(Who(&mut found));
    match (found, read) {
        (Some(id), _) => Ok(id),
        (None, Err(error)) => Err(ObjectError(error.to_string())),
        (None, Ok(())) => Err(ObjectError("it has no metadata".to_owned())),
    }
}

/// Type and object of a line in the form in which apiservers write them, so that the object is read once.
fn usual(text: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(text).ok()?;
    let (kind, rest) = text.strip_prefix("{\"type\":\"")?.split_once("\",\"object\":")?;
    let object = rest.trim_end().strip_suffix('}')?;
    (matches!(kind, "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK") && object.starts_with('{'))
        .then_some((kind, object))
}

#[derive(Deserialize)]
struct ListHead<'a> {
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// Reads a line of a watch.
pub(crate) fn line<V: View>(text: &[u8], pool: &mut Pool) -> Result<Line<V>, ObjectError> {
    if let Some((kind, json)) = usual(text) {
        match event(kind, json, pool) {
            // It may only look as usual.
            Ok(Line::Unreadable(..)) | Err(_) => {}
            read => return read,
        }
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(text).map_err(|error| ObjectError(error.to_string()))?;
    event(envelope.kind, envelope.object.get(), pool)
}

fn event<V: View>(kind: &str, json: &str, pool: &mut Pool) -> Result<Line<V>, ObjectError> {
    Ok(match kind {
        "ADDED" | "MODIFIED" => match item(json, pool) {
            Ok(item) => Line::Set(Arc::new(item)),
            Err((id, error)) => Line::Unreadable(id.ok_or_else(|| error.clone())?, error),
        },
        "DELETED" => Line::Gone(id(json)?),
        "BOOKMARK" => Line::Bookmark(id(json)?.resource_version.into()),
        "ERROR" => {
            let failure: Failure = serde_json::from_str(json).unwrap_or_default();
            Line::Failed { code: failure.code, message: failure.message }
        }
        other => return Err(ObjectError(format!("an event of the unknown type {other}"))),
    })
}

/// Reads a list.
pub(crate) fn page<V: View>(text: &[u8], pool: &mut Pool) -> Result<Page<V>, ObjectError> {
    let head: ListHead<'_> =
        serde_json::from_slice(text).map_err(|error| ObjectError(error.to_string()))?;
    let mut page = Page {
        revision: head.metadata.resource_version,
        more: head.metadata.r#continue,
        items: Vec::new(),
        unreadable: Vec::new(),
    };
    for json in head.items.unwrap_or_default() {
        match item(json.get(), pool) {
            Ok(item) => page.items.push(Arc::new(item)),
            Err((Some(id), error)) => page.unreadable.push((id, error)),
            Err((None, error)) => return Err(error),
        }
    }
    Ok(page)
}

/// An object, or who it is and what is wrong with it.
fn item<V: View>(json: &str, pool: &mut Pool) -> Result<Item<V>, (Option<Id>, ObjectError)> {
    let id = id(json).map_err(|error| (None, error))?;
    match V::read(json.as_bytes()) {
        Ok(mut view) => {
            view.share(pool);
            Ok(Item { id, view })
        }
        Err(error) => Err((Some(id), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Whole(String);

    impl View for Whole {
        fn read(json: &[u8]) -> Result<Self, ObjectError> {
            let value: serde_json::Value =
                serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))?;
            Ok(Self(value["spec"]["x"].to_string()))
        }
    }

    const OBJECT: &str =
        r#"{"kind":"K","metadata":{"name":"n","resourceVersion":"7"},"spec":{"x":{"a}":1}}}"#;

    #[test]
    fn a_line_is_read_in_any_form() {
        for text in [
            format!("{{\"type\":\"ADDED\",\"object\":{OBJECT}}}\n"),
            format!("{{ \"object\": {OBJECT}, \"type\": \"ADDED\" }}"),
            format!("{{\"type\":\"ADDED\",\"object\":{OBJECT} , \"more\": {{}} }}"),
        ] {
            let Ok(Line::Set(item)) = line::<Whole>(text.as_bytes(), &mut Pool::default()) else {
                panic!("{text}")
            };
            let read =
                (item.id.name.as_str(), item.id.resource_version.as_str(), item.view.0.as_str());
            assert_eq!(read, ("n", "7", r#"{"a}":1}"#), "{text}");
        }
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        for text in [
            "",
            "{}",
            r#"{"type":"ADDED","object":{}}"#,
            r#"{"type":"WON","object":{"metadata":{}}}"#,
        ] {
            assert!(line::<Whole>(text.as_bytes(), &mut Pool::default()).is_err(), "{text}");
        }
        let cut = format!("{{\"type\":\"ADDED\",\"object\":{}", &OBJECT[..OBJECT.len() - 1]);
        assert!(
            !matches!(line::<Whole>(cut.as_bytes(), &mut Pool::default()), Ok(Line::Set(_))),
            "{cut}"
        );
    }
}
