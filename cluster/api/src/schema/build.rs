// SPDX-License-Identifier: Apache-2.0
//! Schemas that are made at run time.

use super::{Form, FormId, Schema, Structure, Table};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gathers types and makes a schema of them.
#[derive(Debug, Default)]
pub struct Builder {
    table: Table,
    known: BTreeMap<Form, FormId>,
}

impl Builder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that has the built-in types: their [`named`](Self::named) forms can be used.
    pub fn with_built_in() -> Self {
        super::parse::builder(super::TABLE)
    }

    /// The place of a type.
    pub fn form(&mut self, form: Form) -> FormId {
        let next = FormId(u32::try_from(self.table.forms.len()).unwrap_or(u32::MAX));
        *self.known.entry(form).or_insert_with(|| {
            self.table.forms.push(form);
            next
        })
    }

    /// Adds a structure, or completes one that was only named.
    pub fn structure(&mut self, structure: Structure) -> FormId {
        let form = self.named(&structure.name);
        if let Some(kind) = &structure.kind {
            self.table.kinds.insert(kind.clone(), form);
        }
        if let Some(Form::Structure(index)) = self.table.forms.get(form.0 as usize)
            && let Some(place) = self.table.structures.get_mut(*index as usize)
        {
            *place = structure;
        }
        form
    }

    /// The place of the structure of that name, which may be added later.
    pub fn named(&mut self, name: &str) -> FormId {
        if let Some(form) = self.table.names.get(name) {
            return *form;
        }
        let index = u32::try_from(self.table.structures.len()).unwrap_or(u32::MAX);
        self.table.structures.push(Structure { name: name.to_owned(), ..Structure::default() });
        let form = self.form(Form::Structure(index));
        self.table.names.insert(name.to_owned(), form);
        form
    }

    /// The schema of the type at `root`.
    pub fn finish(self, root: FormId) -> Schema {
        Schema { table: Arc::new(self.table), form: root }
    }

    pub(super) fn into_table(mut self, any: FormId) -> Table {
        self.table.any = Some(any);
        self.table
    }
}
