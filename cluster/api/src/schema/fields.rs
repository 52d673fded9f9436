// SPDX-License-Identifier: Apache-2.0
//! The fields of a structure: found by name at once, told in order.

use super::Field;
use hashbrown::HashMap;
use std::sync::OnceLock;

/// Fields by name.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    all: Vec<(String, Field)>,
    /// Places in `all`.
    by_name: HashMap<Box<str>, usize>,
    /// The same, in order of names.
    in_order: Vec<usize>,
    /// Places of those that are always written.
    pub(super) written: OnceLock<Vec<usize>>,
}

impl Fields {
    /// Adds a field, or puts it in the place of one of its name.
    pub fn insert(&mut self, name: String, field: Field) {
        self.written = OnceLock::new();
        if let Some(place) = self.by_name.get(name.as_str()) {
            self.all[*place].1 = field;
            return;
        }
        let place = self.all.len();
        let order = self.in_order.partition_point(|at| self.all[*at].0 < name);
        self.in_order.insert(order, place);
        self.by_name.insert(name.as_str().into(), place);
        self.all.push((name, field));
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let place = self.by_name.get(name)?;
        self.all.get(*place).map(|(_, field)| field)
    }

    /// Whether there is a field of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.in_order.iter().map(|place| self.at(*place))
    }

    /// The field at a place.
    pub(super) fn at(&self, place: usize) -> (&str, &Field) {
        let (name, field) = &self.all[place];
        (name, field)
    }

    /// The places, in order of names.
    pub(super) fn places(&self) -> &[usize] {
        &self.in_order
    }
}

impl FromIterator<(String, Field)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Field)>>(all: I) -> Self {
        let mut fields = Self::default();
        for (name, field) in all {
            fields.insert(name, field);
        }
        fields
    }
}
