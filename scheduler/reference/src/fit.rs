// SPDX-License-Identifier: Apache-2.0
//! NodeResourcesFit and NodeResourcesBalancedAllocation.

use crate::filters::Refusal;
use crate::snapshot::NodeInfo;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::{FitStrategy, Profile};
use berth_scheduler_model::requests::Resources;
use berth_scheduler_model::rules::{Code, Reason};

/// The filter: everything that is short. Nothing helps where a request is above what the node has at all.
pub(crate) fn filter(profile: &Profile, pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let mut short = Vec::new();
    let mut code = Code::Unschedulable;
    if crate::scores::number(info.pods.len()) + 1 > info.node.pods {
        short.push(Reason::TooManyPods);
    }
    let mut used = Resources::default();
    info.pods.iter().for_each(|other| used.add(&other.spec.requests.plain));
    let asked = &pod.spec.requests.plain;
    let all = &info.node.allocatable;
    let mut check = |name: &str, asked: i64, all: i64, used: i64| {
        if asked > 0 && asked > all - used {
            short.push(Reason::Insufficient(Str::from(name)));
            if asked > all {
                code = Code::UnschedulableAndUnresolvable;
            }
        }
    };
    check("cpu", asked.cpu, all.cpu, used.cpu);
    check("memory", asked.memory, all.memory, used.memory);
    check("ephemeral-storage", asked.ephemeral, all.ephemeral, used.ephemeral);
    for (name, amount) in asked.scalars.iter().filter(|(name, _)| !ignored(profile, name)) {
        check(name, *amount, all.scalar(name), used.scalar(name));
    }
    (!short.is_empty()).then_some((short, code))
}

/// Only extended resources can be ignored.
fn ignored(profile: &Profile, name: &Str) -> bool {
    let Some((group, _)) = name.split_once('/') else { return false };
    let extended = !name.contains("kubernetes.io/") && !name.starts_with("requests.");
    extended
        && (profile.ignored_resources.contains(name)
            || profile.ignored_resource_groups.iter().any(|ignored| **ignored == *group))
}

/// What a pod asks of a resource.
fn request(pod: &Pod, resource: &str, non_zero: bool) -> i64 {
    let requests = &pod.spec.requests;
    match resource {
        "cpu" if non_zero => requests.non_zero_cpu,
        "memory" if non_zero => requests.non_zero_memory,
        _ => amount(&requests.plain, resource),
    }
}

/// What a pod on a node takes of a resource.
fn usage(pod: &Pod, resource: &str, non_zero: bool) -> i64 {
    let requests = &pod.spec.requests;
    match resource {
        "cpu" if non_zero => requests.usage_cpu,
        "memory" if non_zero => requests.usage_memory,
        _ => amount(&requests.plain, resource),
    }
}

fn amount(resources: &Resources, resource: &str) -> i64 {
    match resource {
        "cpu" => resources.cpu,
        "memory" => resources.memory,
        "ephemeral-storage" => resources.ephemeral,
        other => resources.scalar(other),
    }
}

/// Per resource that counts: allocatable, used with the pod, used without it, weight.
fn levels(
    resources: &[(Str, i64)],
    non_zero: bool,
    pod: &Pod,
    info: &NodeInfo<'_>,
) -> Vec<(i64, i64, i64, i64)> {
    let level = |(name, weight): &(Str, i64)| {
        let asked = request(pod, name, non_zero);
        let all = amount(&info.node.allocatable, name);
        let native = matches!(&**name, "cpu" | "memory" | "ephemeral-storage");
        let used: i64 = info.pods.iter().map(|other| usage(other, name, non_zero)).sum();
        (all != 0 && (native || asked != 0)).then_some((all, used + asked, used, *weight))
    };
    resources.iter().filter_map(level).collect()
}

/// The score of NodeResourcesFit.
pub(crate) fn score(profile: &Profile, pod: &Pod, info: &NodeInfo<'_>) -> i64 {
    let mut sum = 0;
    let mut weights = 0;
    for (all, used, _, weight) in levels(profile.fit.resources(), true, pod, info) {
        let score = match &profile.fit {
            FitStrategy::LeastAllocated(_) if used > all => 0,
            FitStrategy::LeastAllocated(_) => (all - used) * 100 / all,
            FitStrategy::MostAllocated(_) => used.min(all) * 100 / all,
            FitStrategy::RequestedToCapacityRatio { shape, .. } => {
                let utilization = if used > all { 100 } else { used * 100 / all };
                match on_curve(shape, utilization) {
                    score if score > 0 => score,
                    _ => continue,
                }
            }
        };
        sum += score * weight;
        weights += weight;
    }
    if weights == 0 {
        return 0;
    }
    match &profile.fit {
        FitStrategy::RequestedToCapacityRatio { .. } => {
            crate::scores::rounded(crate::scores::float(sum) / crate::scores::float(weights))
        }
        _ => sum / weights,
    }
}

/// The value at `at` of the broken line through the points, whose scores are tenths.
fn on_curve(shape: &[(i64, i64)], at: i64) -> i64 {
    let mut before: Option<(i64, i64)> = None;
    for &(x, score) in shape {
        let y = score * 10;
        if at <= x {
            return match before {
                Some((x0, y0)) => y0 + (y - y0) * (at - x0) / (x - x0),
                None => y,
            };
        }
        before = Some((x, y));
    }
    before.map_or(0, |(_, y)| y)
}

/// The score of NodeResourcesBalancedAllocation; `None` for a pod that asks for none of its resources.
pub(crate) fn balance(profile: &Profile, pod: &Pod, info: &NodeInfo<'_>) -> Option<i64> {
    if profile.balanced.iter().all(|name| request(pod, name, false) == 0) {
        return None;
    }
    let resources: Vec<(Str, i64)> = profile.balanced.iter().map(|n| (n.clone(), 1)).collect();
    let levels = levels(&resources, false, pod, info);
    let with = evenness(levels.iter().map(|level| (level.1, level.0)));
    let without = evenness(levels.iter().map(|level| (level.2, level.0)));
    Some(50 + (50 + with - without) / 2)
}

/// 100 where all resources are used to the same part.
fn evenness(levels: impl Iterator<Item = (i64, i64)>) -> i64 {
    let parts: Vec<f64> = levels
        .map(|(used, all)| (crate::scores::float(used) / crate::scores::float(all)).min(1.0))
        .collect();
    let deviation = match parts[..] {
        [] | [_] => 0.0,
        [a, b] => ((a - b) / 2.0).abs(),
        _ => {
            let count = crate::scores::float(crate::scores::number(parts.len()));
            let mut total = 0.0;
            for part in &parts {
                total += part;
            }
            let mean = total / count;
            let mut sum = 0.0;
            for part in &parts {
                sum += (part - mean) * (part - mean);
            }
            (sum / count).sqrt()
        }
    };
    crate::scores::truncated((1.0 - deviation) * 100.0)
}
