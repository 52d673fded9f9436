// SPDX-License-Identifier: Apache-2.0
//! What the tasks of simulated nodes share: which nodes are up, as whom they call, and when all ends.

use crate::node::Node;
use crate::options::Options;
use crate::place;
use berth_cluster_client::{Api, Informer};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

/// Shared by the tasks and by who drives them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) options: Options,
    pub(crate) nodes: Informer<Node>,
    /// How often each has gone down or come up: it is up when that is even.
    turns: Vec<AtomicU32>,
    /// Has moved if a node came up.
    pub(crate) risen: watch::Sender<u64>,
    pub(crate) stop: watch::Sender<bool>,
    /// How many are registered.
    pub(crate) registered: watch::Sender<u32>,
}

impl Shared {
    pub(crate) fn new(api: Api, options: Options, nodes: Informer<Node>) -> Self {
        let turns = (0..options.nodes).map(|_| AtomicU32::new(0)).collect();
        let (risen, stop) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { api, options, nodes, turns, risen, stop, registered: watch::Sender::new(0) }
    }

    pub(crate) fn name(&self, node: u32) -> String {
        place::name(&self.options.prefix, node)
    }

    /// The door of a node.
    pub(crate) fn door(&self, name: &str) -> Api {
        match &self.options.identity {
            Some(identity) => (identity.0)(name),
            None => self.api.clone(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.options.clock.micros()
    }

    /// How often it has gone down or come up.
    pub(crate) fn turns(&self, node: u32) -> u32 {
        self.turn(node).map_or(0, |turns| turns.load(Ordering::Relaxed))
    }

    pub(crate) fn is_up(&self, node: u32) -> bool {
        self.turns(node).is_multiple_of(2)
    }

    fn turn(&self, node: u32) -> Option<&AtomicU32> {
        usize::try_from(node).ok().and_then(|node| self.turns.get(node))
    }

    /// These nodes go down, or come up.
    pub(crate) fn set(&self, nodes: Range<u32>, up: bool) {
        let count = self.options.nodes;
        for node in nodes.start.min(count)..nodes.end.min(count) {
            let turned =
                |turns: u32| (turns.is_multiple_of(2) != up).then(|| turns.wrapping_add(1));
            if let Some(turns) = self.turn(node) {
                // It fails where nothing is to be changed.
                let _ = turns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, turned);
            }
        }
        if up {
            self.risen.send_modify(|count| *count += 1);
        }
    }
}
