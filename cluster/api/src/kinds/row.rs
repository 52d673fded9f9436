// SPDX-License-Identifier: Apache-2.0
//! How kinds make their rows of the registry.

use crate::registry::{Column, Kind, Rules, Subresource};
use crate::schema::{Schema, lookup};
use std::sync::Arc;

/// A column of a table that is always shown.
pub const fn column(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 0 }
}

/// A column of a table in wide output.
pub const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 1 }
}

/// The column of names.
pub fn name_column() -> Column {
    let description = "Name must be unique within a namespace. Is required when creating resources, although some \
                       resources may allow a client to request the generation of an appropriate name automatically. Name is \
                       primarily intended for creation idempotence and configuration definition. Cannot be updated. More \
                       info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
    Column { name: "Name", kind: "string", format: "name", description, priority: 0 }
}

/// The column of ages.
pub const AGE: Column = column(
    "Age",
    "string",
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set \
     in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is \
     in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
);

/// A row with names made of the kind's, in version `v1`, in a namespace, with name, `columns` and age.
pub fn row(
    group: &str,
    kind: &str,
    plural: &str,
    columns: &[Column],
    rules: impl Rules + 'static,
) -> Kind {
    let stored = if group.is_empty() { plural.to_owned() } else { format!("{group}/{plural}") };
    let mut all = vec![name_column()];
    all.extend_from_slice(columns);
    all.push(AGE);
    Kind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        stored_as: stored.into(),
        schema: schema(group, kind),
        subresources: Vec::new(),
        delete_returns_object: false,
        create_on_update: false,
        columns: all,
        rules: Arc::new(rules),
    }
}

/// What objects of a kind of version `v1` are made of.
pub fn schema(group: &str, kind: &str) -> Schema {
    lookup(group, "v1", kind).unwrap_or_else(Schema::any)
}

/// Changes of a row, in the way of a builder.
pub trait RowExt {
    /// With short names.
    #[must_use]
    fn short(self, names: &[&str]) -> Self;
    /// Without namespaces.
    #[must_use]
    fn cluster_scoped(self) -> Self;
    /// With things below.
    #[must_use]
    fn below(self, subresources: &[Subresource]) -> Self;
    /// DELETE answers with the object.
    #[must_use]
    fn returns_object(self) -> Self;
    /// Created by PUT, too.
    #[must_use]
    fn by_put(self) -> Self;
}

impl RowExt for Kind {
    fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|name| Arc::from(*name)).collect();
        self
    }

    fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn below(mut self, subresources: &[Subresource]) -> Self {
        self.subresources = subresources.to_vec();
        self
    }

    fn returns_object(mut self) -> Self {
        self.delete_returns_object = true;
        self
    }

    fn by_put(mut self) -> Self {
        self.create_on_update = true;
        self
    }
}
