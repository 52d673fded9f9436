// SPDX-License-Identifier: Apache-2.0
//! Which scores there are, how they are normalised, and their sum.

use crate::filters::Cycle;
use crate::snapshot::{NodeInfo, Snapshot};
use crate::{affinity, fit, interpod, pods, spread};
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::rules::Plugin;
use std::collections::BTreeMap;

/// A number of things.
pub(crate) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// As a double.
#[expect(clippy::cast_precision_loss, reason = "numbers here are below 2^53")]
pub(crate) fn float(number: i64) -> f64 {
    number as f64
}

/// Without its fraction.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(crate) fn truncated(number: f64) -> i64 {
    number as i64
}

/// Rounded, a half away from zero.
pub(crate) fn rounded(number: f64) -> i64 {
    truncated(number.round())
}

/// Normalised scores per feasible node, in their order; a plugin that is skipped is absent.
pub(crate) fn scores(cycle: &Cycle<'_>, feasible: &[usize]) -> Vec<BTreeMap<Plugin, i64>> {
    let nodes: Vec<&NodeInfo<'_>> = feasible.iter().map(|at| &cycle.snapshot.nodes[*at]).collect();
    let mut scores = vec![BTreeMap::new(); nodes.len()];
    for plugin in Plugin::ALL.into_iter().filter(|p| cycle.profile.weights[*p as usize] != 0) {
        if let Some(list) = score(cycle, plugin, &nodes) {
            for (of_node, score) in scores.iter_mut().zip(list) {
                of_node.insert(plugin, score);
            }
        }
    }
    scores
}

/// The weighted sum.
pub(crate) fn total(cycle: &Cycle<'_>, scores: &BTreeMap<Plugin, i64>) -> i64 {
    scores.iter().map(|(plugin, score)| cycle.profile.weights[*plugin as usize] * score).sum()
}

fn score(cycle: &Cycle<'_>, plugin: Plugin, nodes: &[&NodeInfo<'_>]) -> Option<Vec<i64>> {
    let (profile, pod, snapshot) = (cycle.profile, cycle.pod, cycle.snapshot);
    let each =
        |score: &dyn Fn(&NodeInfo<'_>) -> i64| nodes.iter().map(|info| score(info)).collect();
    Some(match plugin {
        Plugin::TaintToleration => {
            let raw: Vec<i64> = each(&|info| pods::soft_taints(pod, info));
            let max = raw.iter().copied().max().unwrap_or(0);
            let normal = |raw: i64| if max == 0 { 100 } else { 100 - 100 * raw / max };
            raw.into_iter().map(normal).collect()
        }
        Plugin::NodeAffinity => {
            let raw: Option<Vec<i64>> =
                nodes.iter().map(|info| affinity::preference(profile, pod, info)).collect();
            let raw = raw?;
            let max = raw.iter().copied().max().unwrap_or(0);
            let normal = |raw: i64| if max == 0 { raw } else { 100 * raw / max };
            raw.into_iter().map(normal).collect()
        }
        Plugin::NodeResourcesFit => each(&|info| fit::score(profile, pod, info)),
        Plugin::PodTopologySpread => spread::score(profile, pod, snapshot, nodes)?,
        Plugin::InterPodAffinity => {
            let sums = interpod::weigh(profile, pod, snapshot)?;
            let raw: Vec<i64> = each(&|info| interpod::sum(&sums, info));
            let max = raw.iter().copied().max().unwrap_or(0);
            let min = raw.iter().copied().min().unwrap_or(0);
            let normal = |raw: i64| match max - min {
                0 => 0,
                range => truncated(100.0 * (float(raw - min) / float(range))),
            };
            raw.into_iter().map(normal).collect()
        }
        Plugin::NodeResourcesBalancedAllocation => {
            return nodes.iter().map(|info| fit::balance(profile, pod, info)).collect();
        }
        Plugin::ImageLocality => each(&|info| images(pod, snapshot, info)),
        _ => return None,
    })
}

/// ImageLocality: how much of the pod's images is there already, less for images that few nodes have.
fn images(pod: &Pod, snapshot: &Snapshot<'_>, info: &NodeInfo<'_>) -> i64 {
    const MIB: i64 = 1024 * 1024;
    let share = |image: &str| {
        let has = |info: &&NodeInfo<'_>| info.node.images.iter().any(|(name, _)| **name == *image);
        let nodes = snapshot.nodes.iter().filter(has).count();
        float(number(nodes)) / float(number(snapshot.nodes.len()))
    };
    let mut sum = 0;
    for image in &pod.spec.images {
        // Of two sizes for one name the last counts.
        let size = info.node.images.iter().rev().find(|(name, _)| name == image);
        if let Some((_, size)) = size {
            sum += truncated(float(*size) * share(image));
        }
    }
    let (min, max) = (23 * MIB, 1_000 * MIB * i64::from(pod.spec.containers));
    if max <= min {
        return 0;
    }
    100 * (sum.clamp(min, max) - min) / (max - min)
}
