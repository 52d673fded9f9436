// SPDX-License-Identifier: Apache-2.0
//! Services and their slices, put together: a change of either touches one service (or two, where a slice goes to another).

use crate::entry::Entry;
use crate::view::{Service, Slice};
use berth_cluster_client::{Change, Item};
use compact_str::CompactString as Text;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Namespace and name of a service.
pub(crate) type Key = (Text, Text);

/// What is known of services: as much as the API has, whose bounds are these too.
#[derive(Debug, Default)]
pub(crate) struct Books {
    services: BTreeMap<Key, Arc<Item<Service>>>,
    /// By service, and by name.
    slices: BTreeMap<Key, BTreeMap<Text, Arc<Item<Slice>>>>,
}

fn owner(slice: &Item<Slice>) -> Option<Key> {
    let service = &slice.view.service;
    (!service.is_empty()).then(|| (slice.id.namespace.clone(), service.clone()))
}

impl Books {
    /// A service is so; tells whose entry may have changed.
    pub(crate) fn service(&mut self, change: Change<Service>, touched: &mut BTreeSet<Key>) {
        let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let key = (one.id.namespace.clone(), one.id.name.clone());
        match change.after {
            Some(after) => self.services.insert(key.clone(), after),
            None => self.services.remove(&key),
        };
        touched.insert(key);
    }

    /// A slice is so.
    pub(crate) fn slice(&mut self, change: Change<Slice>, touched: &mut BTreeSet<Key>) {
        if let Some((key, before)) = change.before.and_then(|item| Some((owner(&item)?, item))) {
            if let Some(slices) = self.slices.get_mut(&key) {
                slices.remove(&before.id.name);
                if slices.is_empty() {
                    self.slices.remove(&key);
                }
            }
            touched.insert(key);
        }
        if let Some((key, after)) = change.after.and_then(|item| Some((owner(&item)?, item))) {
            let slices = self.slices.entry(key.clone()).or_default();
            slices.insert(after.id.name.clone(), after);
            touched.insert(key);
        }
    }

    /// What the zone is to have of a service.
    pub(crate) fn entry(&self, key: &Key) -> Option<Entry> {
        let service = self.services.get(key)?;
        let slices = self.slices.get(key).into_iter().flat_map(BTreeMap::values);
        Entry::of(&service.view, slices.map(|slice| &slice.view))
    }
}
