// SPDX-License-Identifier: Apache-2.0
//! An engine that does what it is told, and remembers.

use berth_cluster_pod::{ContainerView, Exit, Making, Millis, SandboxView, State, View};
use std::collections::BTreeMap;

/// A container that exists.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) making: Making,
    pub(crate) id: String,
    pub(crate) state: State,
    /// When it ends by itself or after a signal, and with which code.
    pub(crate) dies: Option<(Millis, i32)>,
}

/// What exists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Engine {
    /// Each with whether it runs.
    pub(crate) sandboxes: BTreeMap<u32, bool>,
    pub(crate) containers: BTreeMap<(String, u32), Made>,
    pub(crate) volumes: bool,
    /// Ends that happened, by id.
    pub(crate) ends: BTreeMap<String, i32>,
}

impl Engine {
    pub(crate) fn id(name: &str, attempt: u32) -> String {
        format!("{name}.{attempt}")
    }

    pub(crate) fn running(&self, name: &str) -> usize {
        let mut all = self.containers.values();
        let mut count = 0;
        while all.by_ref().any(|made| {
            made.making.container == name && matches!(made.state, State::Running { .. })
        }) {
            count += 1;
        }
        count
    }

    pub(crate) fn any_runs(&self) -> bool {
        self.containers.values().any(|made| matches!(made.state, State::Running { .. }))
    }

    pub(crate) fn end(
        &mut self,
        key: &(String, u32),
        now: Millis,
        code: i32,
        oom: bool,
    ) -> Option<Exit> {
        let made = self.containers.get_mut(key)?;
        let State::Running { started_at } = made.state else { return None };
        let exit = Exit { code, oom, started_at, finished_at: now, message: String::new() };
        made.state = State::Exited(exit.clone());
        made.dies = None;
        self.ends.insert(made.id.clone(), code);
        Some(exit)
    }

    pub(crate) fn view(&self, now: Millis) -> View {
        let sandbox = |(attempt, running): (&u32, &bool)| SandboxView {
            attempt: *attempt,
            id: format!("s{attempt}"),
            running: *running,
            addresses: vec![format!("10.0.0.{}", attempt + 1)],
        };
        let container = |made: &Made| ContainerView {
            making: made.making.clone(),
            id: made.id.clone(),
            state: made.state.clone(),
        };
        View {
            taken_at: now,
            sandboxes: self.sandboxes.iter().map(sandbox).collect(),
            containers: self.containers.values().map(container).collect(),
        }
    }
}
