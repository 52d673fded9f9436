// SPDX-License-Identifier: Apache-2.0
//! Objects in the form that a client wants: as they are, as rows of a table, as metadata alone; in JSON or YAML.
//!
//! Source: KEP-291 (server-side printing); `Table` and `PartialObjectMetadata` of meta/v1.

use crate::accept::{Encoding, Form, MetaVersion, Shape, not_acceptable};
use crate::answer::{Answer, Body, json, typed};
use crate::render::More;
use berth_cluster_api::read::DEPTH_MAX;
use berth_cluster_api::registry::Kind;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::{Value, json};
use bytes::Bytes;
use http::StatusCode;

/// How much of an object a row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

impl Include {
    /// The query's `includeObject`.
    pub(crate) fn new(text: &str) -> Result<Self, Refusal> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::Nothing),
            "Object" => Ok(Self::Object),
            other => Err(Refusal::bad_request(format!(
                "unrecognized includeObject value: {other:?}; None, Metadata and Object are known"
            ))),
        }
    }
}

/// What a form is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shaper<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) form: Form,
    pub(crate) include: Include,
    /// Seconds since 1970, for ages.
    pub(crate) now: i64,
}

impl Shaper<'_> {
    /// The answer with one object, which is given whole, in JSON.
    pub(crate) fn object(&self, status: StatusCode, bytes: &Bytes) -> Result<Answer, Refusal> {
        if self.form == Form::PLAIN && !self.kind.rules.converts() {
            return Ok(json(status, Body::Whole(line(bytes))));
        }
        let object = self.parse(bytes)?;
        let revision = &object["metadata"]["resourceVersion"];
        let value = match self.form.shape {
            Shape::Object => Value::Object(object),
            Shape::Metadata(version) => partial(&object, version),
            Shape::MetadataList(_) => return Err(not_acceptable()),
            Shape::Table(version) => {
                let meta = json!({ "resourceVersion": revision });
                self.table(version, meta, [&object], true)
            }
        };
        Ok(self.write(status, &value))
    }

    /// An object out of the store, in the kind's form.
    fn parse(&self, bytes: &[u8]) -> Result<Map, Refusal> {
        parse(bytes).map(|object| self.kind.rules.as_shown(object))
    }

    /// The answer with any value that has no other shape.
    pub(crate) fn write(&self, status: StatusCode, value: &Value) -> Answer {
        write(status, self.form.encoding, value)
    }

    /// The answer with a list of objects, each whole, in JSON; in another form than JSON as it is.
    pub(crate) fn list(
        &self,
        objects: &[Bytes],
        revision: u64,
        more: Option<&More>,
    ) -> Result<Answer, Refusal> {
        let objects: Vec<Map> =
            objects.iter().map(|bytes| self.parse(bytes)).collect::<Result<_, _>>()?;
        let mut meta = json!({ "resourceVersion": revision.to_string() });
        if let Some(more) = more {
            meta["continue"] = more.token.as_str().into();
            // Upstream does not count what is left of metadata.
            let counted = !matches!(self.form.shape, Shape::MetadataList(_));
            if let Some(remaining) = more.remaining.filter(|_| counted) {
                meta["remainingItemCount"] = remaining.into();
            }
        }
        let value = match self.form.shape {
            Shape::Table(version) => self.table(version, meta, &objects, true),
            Shape::Metadata(_) => return Err(not_acceptable()),
            Shape::MetadataList(version) => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": version.api_version(),
                "metadata": meta,
                "items": objects.iter().map(|one| partial(one, version)).collect::<Value>(),
            }),
            Shape::Object => json!({
                "kind": format!("{}List", self.kind.kind),
                "apiVersion": self.kind.api_version(),
                "metadata": meta,
                "items": objects,
            }),
        };
        Ok(self.write(StatusCode::OK, &value))
    }

    /// A table with a row for each object. `headed`: with the definitions of its columns.
    pub(crate) fn table<'a>(
        &self,
        version: MetaVersion,
        meta: Value,
        objects: impl IntoIterator<Item = &'a Map>,
        headed: bool,
    ) -> Value {
        let column = |column: &berth_cluster_api::registry::Column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            })
        };
        let columns: Value = self.kind.columns.iter().map(column).collect();
        let rows: Value = objects.into_iter().map(|one| self.row(one, version)).collect();
        json!({
            "kind": "Table",
            "apiVersion": version.api_version(),
            "metadata": meta,
            "columnDefinitions": if headed { columns } else { Value::Null },
            "rows": rows,
        })
    }

    fn row(&self, object: &Map, version: MetaVersion) -> Value {
        let mut row = json!({ "cells": self.kind.rules.cells(object, self.now) });
        match self.include {
            Include::Nothing => {}
            Include::Metadata => row["object"] = partial(object, version),
            Include::Object => row["object"] = Value::Object(object.clone()),
        }
        row
    }

    /// An object in an event of a watch, in any shape but its own. `first`: it is the first one that is sent.
    pub(crate) fn in_event(&self, bytes: &[u8], first: bool) -> Result<Value, Refusal> {
        let object = self.parse(bytes)?;
        Ok(match self.form.shape {
            Shape::Object => Value::Object(object),
            Shape::Metadata(version) | Shape::MetadataList(version) => partial(&object, version),
            Shape::Table(version) => {
                let meta = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                self.table(version, meta, [&object], first)
            }
        })
    }
}

/// The answer with a value.
pub(crate) fn write(status: StatusCode, encoding: Encoding, value: &Value) -> Answer {
    match encoding {
        Encoding::Json => json(status, Body::Whole(line(value.to_string().as_bytes()))),
        Encoding::Yaml => {
            // A JSON value is a YAML value: there is nothing that could not be written.
            let text = serde_saphyr::to_string(value).unwrap_or_default();
            typed(status, "application/yaml", Body::Whole(text.into()))
        }
    }
}

/// With the end of a line, as upstream writes JSON.
fn line(bytes: &[u8]) -> Bytes {
    let mut whole = Vec::with_capacity(bytes.len() + 1);
    whole.extend_from_slice(bytes);
    whole.push(b'\n');
    whole.into()
}

/// An object out of the store. It was written by us: what cannot be read is our defect, or a damaged store.
pub(crate) fn parse(bytes: &[u8]) -> Result<Map, Refusal> {
    if let Some(Value::Object(object)) = berth_cluster_json::usual(bytes, DEPTH_MAX) {
        return Ok(object);
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Refusal::internal(format!("an object in the store cannot be read: {error}"))
    })
}

fn partial(object: &Map, version: MetaVersion) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": object.get("metadata"),
    })
}
