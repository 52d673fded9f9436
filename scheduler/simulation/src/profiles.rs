// SPDX-License-Identifier: Apache-2.0
//! Random scheduling profiles.

use crate::rng::Rng;
use crate::terms;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::SpreadConstraint;
use berth_scheduler_model::profile::{DefaultSpread, FitStrategy, Profile};
use berth_scheduler_model::rules::Plugin;

/// Names of profiles; pods name them.
pub(crate) const NAMES: [&str; 3] = ["default-scheduler", "packer", "third"];

/// One to three profiles, mostly the default one alone.
pub(crate) fn draw(rng: &mut Rng) -> Vec<Profile> {
    let count = if rng.percent(70) { 1 } else { rng.between(2, NAMES.len()) };
    let named = |(at, name): (usize, &&str)| {
        let plain = if at == 0 { rng.percent(60) } else { rng.percent(10) };
        let profile = if plain { Profile::default() } else { profile(rng) };
        Profile { name: Str::from(*name), ..profile }
    };
    NAMES.iter().take(count).enumerate().map(named).collect()
}

fn profile(rng: &mut Rng) -> Profile {
    let mut profile = Profile::default();
    if rng.percent(50) {
        profile.fit = fit(rng);
    }
    if rng.percent(30) {
        let names = ["cpu", "memory", "ephemeral-storage", "example.com/gpu"];
        let count = rng.between(1, names.len());
        profile.balanced = names.iter().take(count).map(|name| Str::from(*name)).collect();
    }
    if rng.percent(30) {
        let scored = [
            Plugin::TaintToleration,
            Plugin::NodeAffinity,
            Plugin::PodTopologySpread,
            Plugin::InterPodAffinity,
            Plugin::NodeResourcesFit,
            Plugin::NodeResourcesBalancedAllocation,
            Plugin::ImageLocality,
        ];
        for plugin in scored {
            profile.weights[plugin as usize] = rng.amount(0, 12);
        }
    }
    if rng.percent(25) {
        for _ in 0..rng.between(1, 3) {
            profile.filters[rng.below(Plugin::FILTERS)] = false;
        }
    }
    if rng.percent(30) {
        profile.ignored_resources.push(Str::from("example.com/gpu"));
    }
    if rng.percent(20) {
        profile.ignored_resource_groups.push(Str::from("other.io"));
    }
    if rng.percent(40) {
        profile.hard_pod_affinity_weight = rng.amount(0, 100);
    }
    profile.ignore_preferred_of_existing = rng.percent(20);
    if rng.percent(20) {
        profile.added_required = Some(terms::node_selector(rng, 3));
    }
    if rng.percent(20) {
        let weight = i32::try_from(rng.amount(1, 100)).expect("small");
        profile.added_preferred.push((weight, terms::node_term(rng, 3)));
    }
    if rng.percent(30) {
        let list = (0..rng.below(3)).map(|at| default_constraint(rng, at)).collect();
        profile.default_spread = DefaultSpread::List(list);
    }
    profile
}

fn fit(rng: &mut Rng) -> FitStrategy {
    let names = ["cpu", "memory", "ephemeral-storage", "example.com/gpu", "other.io/widget"];
    let mut resources: Vec<(Str, i64)> = Vec::new();
    for name in names {
        if rng.percent(50) {
            resources.push((Str::from(name), rng.amount(1, 5)));
        }
    }
    match rng.below(3) {
        0 => FitStrategy::LeastAllocated(resources),
        1 => FitStrategy::MostAllocated(resources),
        _ => {
            let mut used = 0;
            let mut shape = Vec::new();
            for _ in 0..rng.between(1, 4) {
                shape.push((used, rng.amount(0, 10)));
                used += rng.amount(1, 33);
            }
            FitStrategy::RequestedToCapacityRatio { resources, shape }
        }
    }
}

fn default_constraint(rng: &mut Rng, at: usize) -> SpreadConstraint {
    SpreadConstraint {
        max_skew: i32::try_from(rng.amount(1, 4)).expect("small"),
        topology_key: Str::from(terms::TOPOLOGY_KEYS[at % terms::TOPOLOGY_KEYS.len()]),
        hard: rng.percent(30),
        selector: None,
        min_domains: None,
        honor_affinity: true,
        honor_taints: false,
        match_label_keys: Vec::new(),
    }
}
