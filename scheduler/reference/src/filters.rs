// SPDX-License-Identifier: Apache-2.0
//! Which filters run, in upstream's order.

use crate::snapshot::{NodeInfo, Snapshot};
use crate::{affinity, fit, interpod, pods, spread, volumes};
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin, Reason};
use std::collections::BTreeSet;

/// Why a filter refuses a node.
pub(crate) type Refusal = (Vec<Reason>, Code);

/// A refusal that no preemption can change.
pub(crate) fn refuse(reason: Reason) -> Refusal {
    (vec![reason], Code::UnschedulableAndUnresolvable)
}

/// A refusal that preemption may change.
pub(crate) fn resolvable(reason: Reason) -> Refusal {
    (vec![reason], Code::Unschedulable)
}

/// One scheduling cycle of one pod.
#[derive(Debug)]
pub(crate) struct Cycle<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) pod: &'a Pod,
    /// The nodes as they are.
    pub(crate) snapshot: &'a Snapshot<'a>,
    /// Filters that upstream leaves out for the whole cycle, by what it sees at its start.
    skipped: BTreeSet<Plugin>,
}

impl<'a> Cycle<'a> {
    pub(crate) fn new(profile: &'a Profile, pod: &'a Pod, snapshot: &'a Snapshot<'a>) -> Self {
        let mut skipped = BTreeSet::new();
        if interpod::count(pod, snapshot).skip(pod) {
            skipped.insert(Plugin::InterPodAffinity);
        }
        if volumes::restrictions_skip(pod, volumes::once_conflicts(pod, snapshot)) {
            skipped.insert(Plugin::VolumeRestrictions);
        }
        Self { profile, pod, snapshot, skipped }
    }

    fn runs(&self, plugin: Plugin) -> bool {
        self.profile.filters[plugin as usize]
    }

    /// PreFilter: what refuses the pod as a whole; otherwise the only nodes that need to be looked at, if that is known.
    pub(crate) fn pre_filter(&self) -> Result<Option<BTreeSet<Str>>, (Plugin, Reason)> {
        let (pod, state) = (self.pod, self.snapshot.state);
        let mut named = None;
        if self.runs(Plugin::NodeAffinity) {
            named = affinity::named_nodes(pod);
            if named.as_ref().is_some_and(BTreeSet::is_empty) {
                return Err((Plugin::NodeAffinity, Reason::ConflictingNodeNames));
            }
        }
        if pod.spec.volumes.is_empty() && pod.spec.unsupported.is_empty() {
            return Ok(named);
        }
        let unsupported = || {
            let list = &pod.spec.unsupported;
            (!list.is_empty()).then(|| Reason::Unsupported(Str::from(list.join(", "))))
        };
        let early = [
            (Plugin::VolumeRestrictions, volumes::restrictions_pre_filter(state, pod)),
            (Plugin::VolumeBinding, volumes::binding_pre_filter(state, pod)),
            (Plugin::VolumeZone, volumes::zones(state, pod).err()),
            (Plugin::DynamicResources, unsupported()),
        ];
        for (plugin, reason) in early {
            // What Berth does not have keeps a pod waiting whatever the profile leaves out.
            let runs = self.runs(plugin) || plugin == Plugin::DynamicResources;
            if let Some(reason) = reason.filter(|_| runs) {
                return Err((plugin, reason));
            }
        }
        Ok(named)
    }

    /// All filters, ready to look at nodes of `snapshot`.
    pub(crate) fn filters<'s>(&'s self, snapshot: &'s Snapshot<'a>) -> Filters<'s, 'a> {
        Filters {
            cycle: self,
            snapshot,
            once: volumes::once_conflicts(self.pod, snapshot),
            zones: volumes::zones(snapshot.state, self.pod).unwrap_or_default(),
            spread: spread::count(self.profile, self.pod, snapshot),
            peers: interpod::count(self.pod, snapshot),
        }
    }
}

/// The filters, with what they count over all nodes.
#[derive(Debug)]
pub(crate) struct Filters<'s, 'a> {
    cycle: &'s Cycle<'a>,
    snapshot: &'s Snapshot<'a>,
    once: usize,
    zones: Vec<volumes::Zone>,
    spread: Vec<spread::Counted<'a>>,
    peers: interpod::Known<'a>,
}

impl<'s, 'a> Filters<'s, 'a> {
    /// The nodes they look at.
    pub(crate) fn snapshot(&self) -> &'s Snapshot<'a> {
        self.snapshot
    }

    /// The first filter that refuses a node.
    pub(crate) fn first(&self, at: usize) -> Option<(Plugin, Refusal)> {
        self.all(at).next()
    }

    /// Every filter that refuses a node on its own.
    pub(crate) fn all(&self, at: usize) -> impl Iterator<Item = (Plugin, Refusal)> {
        let info = &self.snapshot.nodes[at];
        Plugin::ALL
            .into_iter()
            .take(Plugin::FILTERS)
            .filter(|plugin| self.cycle.runs(*plugin) && !self.cycle.skipped.contains(plugin))
            .filter_map(|plugin| self.one(plugin, info).map(|refusal| (plugin, refusal)))
    }

    fn one(&self, plugin: Plugin, info: &NodeInfo<'_>) -> Option<Refusal> {
        let (profile, pod) = (self.cycle.profile, self.cycle.pod);
        match plugin {
            Plugin::NodeUnschedulable => pods::unschedulable(pod, info),
            Plugin::NodeName => pods::node_name(pod, info),
            Plugin::TaintToleration => pods::taints(pod, info),
            Plugin::NodeAffinity => affinity::filter(profile, pod, info),
            Plugin::NodePorts => pods::ports(pod, info),
            Plugin::NodeResourcesFit => fit::filter(profile, pod, info),
            Plugin::VolumeRestrictions => volumes::restrictions(self.once, pod, info),
            Plugin::NodeVolumeLimits => volumes::limits(pod, self.snapshot, info),
            Plugin::VolumeBinding => volumes::binding(self.snapshot.state, pod, info),
            Plugin::VolumeZone => volumes::zone(&self.zones, info),
            Plugin::PodTopologySpread => spread::filter(&self.spread, pod, info),
            Plugin::InterPodAffinity => self.peers.filter(pod, info),
            Plugin::NodeDeclaredFeatures => features(pod, info),
            Plugin::DynamicResources
            | Plugin::NodeResourcesBalancedAllocation
            | Plugin::ImageLocality => None,
        }
    }
}

/// NodeDeclaredFeatures.
fn features(pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let needs = pod.spec.needs_features.iter();
    let missing: Vec<Str> = needs.filter(|f| !info.node.features.contains(f)).cloned().collect();
    (!missing.is_empty()).then(|| refuse(Reason::MissingFeatures(Str::from(missing.join(", ")))))
}
