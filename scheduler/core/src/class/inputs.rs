// SPDX-License-Identifier: Apache-2.0
//! What lanes are computed from, and the verdict of all rules about single nodes.

use super::{ABSENT, Verdict, refused_by};
use crate::Slot;
use crate::local::{At, LocalRules, Shape};
use crate::log::Log;
use crate::nodes::{Nodes, split};
use crate::parallel::Parallel;
use crate::sig::{PRE_FILTER, Sig};
use crate::vector::Vector;
use berth_scheduler_model::rules::Plugin;

/// What lanes are computed from.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) nodes: &'a Nodes,
    pub(crate) log: &'a Log,
    pub(crate) sig: &'a Sig,
    pub(crate) rules: &'a LocalRules,
    pub(crate) shape: &'a Shape,
    pub(crate) filters_ports: bool,
    /// Refusals by rules about volumes, if the pod has any.
    pub(crate) volumes: Option<&'a (dyn Fn(Slot) -> Option<Plugin> + Sync)>,
    pub(crate) vector: Vector,
    /// Best nodes listed of a group.
    pub(crate) listed: usize,
    /// Threads for a scan of many nodes.
    pub(crate) parallel: Option<&'a dyn Parallel>,
}

impl Inputs<'_> {
    pub(super) fn at(&self, slot: Slot) -> At<'_> {
        let (block, lane) = split(slot);
        At { block: &self.nodes.blocks[block], lane, entry: self.nodes.entry(slot) }
    }

    /// The verdict of static rules.
    #[inline]
    fn static_verdict(&self, slot: Slot) -> Verdict {
        verdict_of(self.sig.bits[slot as usize])
    }

    /// The verdict of all rules about single nodes; `lane` is 0 if the requests do not fit.
    #[inline]
    pub(super) fn verdict(&self, slot: Slot, lane: u32) -> Verdict {
        if lane != 0 && self.sig.refusing == 0 && self.is_plain() {
            return 0;
        }
        self.slow_verdict(slot, lane)
    }

    fn slow_verdict(&self, slot: Slot, lane: u32) -> Verdict {
        let fixed = self.static_verdict(slot);
        if fixed != 0 {
            return fixed;
        }
        if self.filters_ports && !self.shape.usage.ports.is_empty() && self.port_taken(slot) {
            return refused_by(Plugin::NodePorts);
        }
        if lane == 0 {
            return refused_by(Plugin::NodeResourcesFit);
        }
        match self.volumes.and_then(|refusal| refusal(slot)) {
            Some(plugin) => refused_by(plugin),
            None => 0,
        }
    }

    /// Whether nothing but static rules and requests can refuse a node by itself.
    pub(super) fn is_plain(&self) -> bool {
        let ports = self.filters_ports && !self.shape.usage.ports.is_empty();
        self.volumes.is_none() && !ports
    }

    fn port_taken(&self, slot: Slot) -> bool {
        let used = &self.nodes.entry(slot).ports;
        self.shape.usage.ports.iter().any(|port| used.iter().any(|u| u.port.conflicts(*port)))
    }
}

#[inline]
fn verdict_of(bits: u16) -> Verdict {
    if bits == 0 {
        return 0;
    }
    if bits == crate::sig::ABSENT {
        return ABSENT;
    }
    if bits & PRE_FILTER != 0 {
        return refused_by(Plugin::NodeAffinity);
    }
    u8::try_from(bits.trailing_zeros()).expect("below 16") + 1
}
