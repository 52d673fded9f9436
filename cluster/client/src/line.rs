// SPDX-License-Identifier: Apache-2.0
//! What a list and a watch say, read once: who an object is, and the view of it that is kept.

use crate::cache::{Id, Item};
use serde::Deserialize;
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

#[derive(Deserialize)]
struct Object {
    metadata: Id,
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
pub(crate) fn line<V: View>(text: &[u8]) -> Result<Line<V>, ObjectError> {
    let wrong = |error: serde_json::Error| ObjectError(error.to_string());
    let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(wrong)?;
    let json = envelope.object.get();
    let id = || serde_json::from_str::<Object>(json).map(|object| object.metadata).map_err(wrong);
    Ok(match envelope.kind {
        "ADDED" | "MODIFIED" => match item(json) {
            Ok(item) => Line::Set(Arc::new(item)),
            Err((id, error)) => Line::Unreadable(id.ok_or_else(|| error.clone())?, error),
        },
        "DELETED" => Line::Gone(id()?),
        "BOOKMARK" => Line::Bookmark(id()?.resource_version),
        "ERROR" => {
            let failure: Failure = serde_json::from_str(json).unwrap_or_default();
            Line::Failed { code: failure.code, message: failure.message }
        }
        other => return Err(ObjectError(format!("an event of the unknown type {other}"))),
    })
}

/// Reads a list.
pub(crate) fn page<V: View>(text: &[u8]) -> Result<Page<V>, ObjectError> {
    let head: ListHead<'_> =
        serde_json::from_slice(text).map_err(|error| ObjectError(error.to_string()))?;
    let mut page = Page {
        revision: head.metadata.resource_version,
        more: head.metadata.r#continue,
        items: Vec::new(),
        unreadable: Vec::new(),
    };
    for json in head.items.unwrap_or_default() {
        match item(json.get()) {
            Ok(item) => page.items.push(Arc::new(item)),
            Err((Some(id), error)) => page.unreadable.push((id, error)),
            Err((None, error)) => return Err(error),
        }
    }
    Ok(page)
}

/// An object, or who it is and what is wrong with it.
fn item<V: View>(json: &str) -> Result<Item<V>, (Option<Id>, ObjectError)> {
    let object: Object =
        serde_json::from_str(json).map_err(|error| (None, ObjectError(error.to_string())))?;
    match V::read(json.as_bytes()) {
        Ok(view) => Ok(Item { id: object.metadata, view }),
        Err(error) => Err((Some(object.metadata), error)),
    }
}
