// SPDX-License-Identifier: Apache-2.0
//! Label columns: for each label key that a live rule reads, the value of every node as a small number.

use crate::Slot;
use crate::hash::{Hasher, Table};
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;

/// A value of one column; 0 says the node lacks the label.
pub(crate) type Value = u32;

/// Index of a column.
pub(crate) type ColumnId = u32;

/// One label key over all nodes.
#[derive(Debug)]
pub(crate) struct Column {
    key: Str,
    /// How many rules read it; 0: the place is free.
    refs: u32,
    /// By slot.
    values: Vec<Value>,
    /// By value: text, and number of nodes that have it.
    names: Vec<(Str, u32)>,
    ids: Table<Value>,
    /// Number of values that more than one node has.
    shared: u32,
    /// Changes when values get other numbers.
    epoch: u32,
}

impl Column {
    /// The value of a node.
    #[inline]
    pub(crate) fn value(&self, slot: Slot) -> Value {
        self.values[slot as usize]
    }

    /// One more than the highest value ever given out.
    pub(crate) fn bound(&self) -> usize {
        self.names.len()
    }

    /// Whether no two nodes share a value, as with host names.
    pub(crate) fn unique(&self) -> bool {
        self.shared == 0
    }

    fn set(&mut self, hasher: &Hasher, slot: Slot, text: Option<&Str>) {
        let old = self.values[slot as usize];
        let new = text.map_or(0, |text| self.id(hasher, text));
        if old == new {
            return;
        }
        self.values[slot as usize] = new;
        if old != 0 {
            let nodes = &mut self.names[old as usize].1;
            *nodes -= 1;
            if *nodes == 1 {
                self.shared -= 1;
            }
        }
        if new != 0 {
            let nodes = &mut self.names[new as usize].1;
            *nodes += 1;
            if *nodes == 2 {
                self.shared += 1;
            }
        }
    }

    /// See the field.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Values that no node has any more are forgotten when they are most of them; the others get new numbers.
    fn compact(&mut self, hasher: &Hasher) {
        if self.names.len() <= self.values.len() * 2 + 1_024 {
            return;
        }
        let names = core::mem::replace(&mut self.names, vec![(Str::from(""), 0)]);
        self.ids.clear();
        self.shared = 0;
        self.epoch += 1;
        for at in 0..self.values.len() {
            let old = core::mem::take(&mut self.values[at]);
            if old != 0 {
                let slot = u32::try_from(at).expect("slots are below NODES_MAX");
                self.set(hasher, slot, Some(&names[old as usize].0));
            }
        }
    }

    fn id(&mut self, hasher: &Hasher, text: &Str) -> Value {
        let hash = hasher.hash(&**text);
        if let Some(id) = self.ids.find(hash, |id| self.names[*id as usize].0 == *text) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).expect("fewer than 2^32 label values");
        self.names.push((text.clone(), 0));
        let names = &self.names;
        self.ids.insert_unique(hash, id, |id| hasher.hash(&*names[*id as usize].0));
        id
    }
}

/// All columns.
#[derive(Debug)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    hasher: Hasher,
    slots: usize,
}

impl Columns {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { columns: Vec::new(), hasher, slots: 0 }
    }

    /// Makes room for slots below `slots`.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.slots = slots;
        for column in &mut self.columns {
            column.values.resize(slots, 0);
        }
    }

    /// The column of `key`, made from `labels` (of each slot in use) if there is none; to be released with `release`.
    pub(crate) fn acquire<'a>(
        &mut self,
        key: &Str,
        labels: impl Iterator<Item = (Slot, &'a Labels)>,
    ) -> ColumnId {
        let found = self.columns.iter().position(|c| c.refs > 0 && c.key == *key);
        if let Some(at) = found {
            self.columns[at].refs += 1;
            return u32::try_from(at).expect("few columns");
        }
        let mut column = Column {
            key: key.clone(),
            refs: 1,
            values: vec![0; self.slots],
            names: vec![(Str::from(""), 0)],
            ids: Table::new(),
            shared: 0,
            epoch: 0,
        };
        for (slot, labels) in labels {
            column.set(&self.hasher, slot, labels.get(key));
        }
        let at = match self.columns.iter().position(|c| c.refs == 0) {
            Some(at) => {
                self.columns[at] = column;
                at
            }
            None => {
                self.columns.push(column);
                self.columns.len() - 1
            }
        };
        u32::try_from(at).expect("few columns")
    }

    /// One reader fewer.
    pub(crate) fn release(&mut self, id: ColumnId) {
        let column = &mut self.columns[id as usize];
        column.refs -= 1;
        if column.refs == 0 {
            column.values = Vec::new();
            column.names = Vec::new();
            column.ids = Table::new();
        }
    }

    /// The column `id`.
    #[inline]
    pub(crate) fn get(&self, id: ColumnId) -> &Column {
        &self.columns[id as usize]
    }

    /// A node's labels changed (`None`: it is gone).
    pub(crate) fn update(&mut self, slot: Slot, labels: Option<&Labels>) {
        for column in &mut self.columns {
            if column.refs > 0 {
                let text = labels.and_then(|labels| labels.get(&column.key));
                column.set(&self.hasher, slot, text);
                column.compact(&self.hasher);
            }
        }
    }

    /// Bytes held by the lanes.
    pub(crate) fn resident(&self) -> usize {
        self.columns.iter().map(|c| c.values.capacity() * 4 + c.names.capacity() * 24).sum()
    }
}
