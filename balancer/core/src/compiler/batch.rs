// SPDX-License-Identifier: Apache-2.0
//! Changes that must all be right, or none of them is made.
//!
//! What a batch touches is kept as it was, and put back if one of its changes is refused. The table shares its parts with every
//! other one, so keeping that costs nothing; the free slots are a copy of two arrays. A change of the node touches every service.

use super::{BackendSlots, Change, Compiler, Entry, Slots};
use crate::model::{Name, Settings};
use crate::problem::Problem;
use crate::table::Table;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What was there before.
enum Before {
    /// The whole compiler.
    All(Box<Compiler>),
    /// What a batch touches.
    Touched(Box<Touched>),
}

struct Touched {
    health_ports: BTreeMap<u16, Name>,
    settings: Arc<Settings>,
    slots: (Slots, BackendSlots),
    table: Table,
    services: BTreeMap<Name, Option<Entry>>,
}

impl Compiler {
    /// Takes changes one after the other at `now` (nanoseconds), all or none. Costs what they touch.
    ///
    /// # Errors
    /// All problems, each with the number of its change; nothing is different then.
    pub fn apply_all(
        &mut self,
        changes: Vec<Change>,
        now: u64,
    ) -> Result<(), Vec<(usize, Problem)>> {
        let before = self.before(&changes);
        let mut problems = Vec::new();
        for (at, change) in changes.into_iter().enumerate() {
            if let Err(all) = self.apply(change, now) {
                problems.extend(all.into_iter().map(|problem| (at, problem)));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        if let Some(before) = before {
            self.go_back(before);
        }
        Err(problems)
    }

    /// What these changes touch; nothing has to be kept for a single one, which changes nothing where it is refused.
    fn before(&self, changes: &[Change]) -> Option<Before> {
        if changes.len() < 2 {
            return None;
        }
        let mut services = BTreeMap::new();
        for change in changes {
            let name = match change {
                Change::Node(_) => return Some(Before::All(Box::new(self.clone()))),
                Change::Service(service) => &service.name,
                Change::RemoveService(name) => name,
                Change::Endpoints(set) => &set.service,
                // Health is in the table alone.
                Change::Health { .. } => continue,
                Change::Endpoint { service, .. } | Change::RemoveEndpoint { service, .. } => {
                    service
                }
            };
            if !services.contains_key(name) {
                services.insert(name.clone(), self.services.get(name).cloned());
            }
        }
        Some(Before::Touched(Box::new(Touched {
            health_ports: self.health_ports.clone(),
            settings: self.settings.clone(),
            slots: (self.frontend_slots.clone(), self.backend_slots.clone()),
            table: self.table.clone(),
            services,
        })))
    }

    fn go_back(&mut self, before: Before) {
        match before {
            Before::All(all) => *self = *all,
            Before::Touched(touched) => {
                let Touched { health_ports, settings, slots, table, services } = *touched;
                (self.health_ports, self.settings, self.table) = (health_ports, settings, table);
                (self.frontend_slots, self.backend_slots) = slots;
                for (name, entry) in services {
                    match entry {
                        Some(entry) => self.services.insert(name, entry),
                        None => self.services.remove(&name),
                    };
                }
            }
        }
    }
}
