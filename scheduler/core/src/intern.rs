// SPDX-License-Identifier: Apache-2.0
//! Names as small numbers.

use crate::hash::{Hasher, Table};
use alloc::vec::Vec;
use berth_scheduler_model::Str;

/// Names that stay for the run: resources, namespaces. Ids are dense and never reused.
#[derive(Debug)]
pub(crate) struct Interner {
    names: Vec<Str>,
    ids: Table<u32>,
    hasher: Hasher,
}

impl Interner {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { names: Vec::new(), ids: Table::new(), hasher }
    }

    /// The id of `name`, given out on first sight.
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.get(name) {
            return id;
        }
        self.add(&Str::from(name))
    }

    /// As `intern`, sharing the text.
    pub(crate) fn intern_str(&mut self, name: &Str) -> u32 {
        self.get(name).unwrap_or_else(|| self.add(name))
    }

    fn add(&mut self, name: &Str) -> u32 {
        let id = u32::try_from(self.names.len()).expect("fewer than 2^32 names");
        self.names.push(name.clone());
        let (names, hasher) = (&self.names, &self.hasher);
        self.ids.insert_unique(hasher.hash(&**name), id, |id| hasher.hash(&*names[*id as usize]));
        id
    }

    /// The id of `name` if it was seen.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        self.ids.find(self.hasher.hash(name), |id| &*self.names[*id as usize] == name).copied()
    }

    /// The name of `id`.
    pub(crate) fn name(&self, id: u32) -> &Str {
        &self.names[id as usize]
    }
}
