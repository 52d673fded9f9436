// SPDX-License-Identifier: Apache-2.0
//! Arguments of plugins (`pluginConfig`).

use super::added;
use super::fields::{Fields, Problems};
use crate::error::{Path, Problem};
use berth_scheduler_model::Str;
use berth_scheduler_model::profile::{DefaultSpread, FitStrategy, Profile};
use serde_json::Value;

type Read = fn(&Fields<'_, '_>, &Path<'_>, &mut Profile, &Problems);

/// Plugins that take arguments.
const ARGS: [(&str, Read); 8] = [
    ("NodeResourcesFit", fit),
    ("NodeResourcesBalancedAllocation", balanced),
    ("InterPodAffinity", inter_pod_affinity),
    ("NodeAffinity", node_affinity),
    ("PodTopologySpread", spread),
    ("DefaultPreemption", preemption),
    ("VolumeBinding", volume_binding),
    ("DynamicResources", dynamic_resources),
];

/// Reads `pluginConfig` into `profile`.
pub(super) fn read(list: &[Value], path: &Path<'_>, profile: &mut Profile, problems: &Problems) {
    let mut seen = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let at = path.index(index);
        let fields = Fields::of(value, &at, problems);
        let (name, args) = (fields.text("name").unwrap_or_default(), fields.get("args"));
        fields.end();
        let Some((name, read)) = ARGS.iter().find(|(plugin, _)| *plugin == name) else {
            let expected = ARGS.iter().map(|(plugin, _)| (*plugin).to_owned()).collect();
            let problem = Problem::Unknown { found: name.to_owned(), expected };
            problems.note(&at.field("name"), problem);
            continue;
        };
        if seen.contains(name) {
            problems.note(&at.field("name"), Problem::Rule("listed twice"));
        }
        seen.push(name);
        let at = at.field("args");
        let fields = Fields::of(args.unwrap_or(&Value::Null), &at, problems);
        fields.header(&format!("{name}Args"));
        read(&fields, &at, profile, problems);
        fields.end();
    }
}

fn fit(fields: &Fields<'_, '_>, path: &Path<'_>, profile: &mut Profile, problems: &Problems) {
    profile.ignored_resources =
        fields.texts("ignoredResources").into_iter().map(Str::from).collect();
    let groups = fields.texts("ignoredResourceGroups");
    if groups.iter().any(|group| group.contains('/')) {
        let problem = Problem::Rule("a group is the part of a name before the slash");
        problems.note(&path.field("ignoredResourceGroups"), problem);
    }
    profile.ignored_resource_groups = groups.into_iter().map(Str::from).collect();
    let Some(value) = fields.get("scoringStrategy") else { return };
    let path = path.field("scoringStrategy");
    let fields = Fields::of(value, &path, problems);
    let resources = resources(&fields, &path, 100, problems);
    let shape = fields.get("requestedToCapacityRatio").map(|value| {
        let path = path.field("requestedToCapacityRatio");
        let fields = Fields::of(value, &path, problems);
        let shape = shape(fields.list("shape"), &path.field("shape"), problems);
        fields.end();
        shape
    });
    let types = [("LeastAllocated", 0), ("MostAllocated", 1), ("RequestedToCapacityRatio", 2)];
    profile.fit = match fields.word("type", &types, 0) {
        0 => FitStrategy::LeastAllocated(resources),
        1 => FitStrategy::MostAllocated(resources),
        _ => {
            let shape = shape.unwrap_or_else(|| {
                problems.note(&path.field("requestedToCapacityRatio"), Problem::Missing);
                Vec::new()
            });
            FitStrategy::RequestedToCapacityRatio { resources, shape }
        }
    };
    fields.end();
}

/// The resources that a strategy looks at, with weights; none given means CPU and memory.
fn resources(
    fields: &Fields<'_, '_>,
    path: &Path<'_>,
    weight_max: i64,
    problems: &Problems,
) -> Vec<(Str, i64)> {
    let at = path.field("resources");
    let mut resources: Vec<(Str, i64)> = Vec::new();
    for (index, value) in fields.list("resources").iter().enumerate() {
        let at = at.index(index);
        let fields = Fields::of(value, &at, problems);
        let name = fields.text("name").unwrap_or_default();
        // 0 is read as "not given", as upstream's defaulting does.
        let weight = fields.integer("weight", 0, weight_max).filter(|weight| *weight > 0);
        fields.end();
        if name.is_empty() {
            problems.note(&at.field("name"), Problem::Missing);
        } else if resources.iter().any(|(other, _)| **other == *name) {
            problems.note(&at.field("name"), Problem::Rule("listed twice"));
        }
        resources.push((Str::from(name), weight.unwrap_or(1)));
    }
    if resources.is_empty() {
        resources = vec![(Str::from("cpu"), 1), (Str::from("memory"), 1)];
    }
    resources
}

fn shape(list: &[Value], path: &Path<'_>, problems: &Problems) -> Vec<(i64, i64)> {
    if list.is_empty() {
        problems.note(path, Problem::Missing);
    }
    let mut shape: Vec<(i64, i64)> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let at = path.index(index);
        let fields = Fields::of(value, &at, problems);
        let utilization = fields.integer("utilization", 0, 100).unwrap_or(0);
        let score = fields.integer("score", 0, 10).unwrap_or(0);
        fields.end();
        if shape.last().is_some_and(|(last, _)| *last >= utilization) {
            problems.note(&at.field("utilization"), Problem::Rule("must rise from point to point"));
        }
        shape.push((utilization, score));
    }
    shape
}

fn balanced(fields: &Fields<'_, '_>, path: &Path<'_>, profile: &mut Profile, problems: &Problems) {
    // Upstream demands that each weight is 1.
    let resources = resources(fields, path, 1, problems);
    profile.balanced = resources.into_iter().map(|(name, _)| name).collect();
}

fn inter_pod_affinity(fields: &Fields<'_, '_>, _: &Path<'_>, profile: &mut Profile, _: &Problems) {
    if let Some(weight) = fields.integer("hardPodAffinityWeight", 0, 100) {
        profile.hard_pod_affinity_weight = weight;
    }
    if let Some(ignore) = fields.boolean("ignorePreferredTermsOfExistingPods") {
        profile.ignore_preferred_of_existing = ignore;
    }
}

fn node_affinity(
    fields: &Fields<'_, '_>,
    path: &Path<'_>,
    profile: &mut Profile,
    problems: &Problems,
) {
    if let Some(value) = fields.get("addedAffinity") {
        added::affinity(value, &path.field("addedAffinity"), profile, problems);
    }
}

fn spread(fields: &Fields<'_, '_>, path: &Path<'_>, profile: &mut Profile, problems: &Problems) {
    let at = path.field("defaultConstraints");
    let constraints = added::constraints(fields.list("defaultConstraints"), &at, problems);
    if fields.word("defaultingType", &[("System", false), ("List", true)], false) {
        profile.default_spread = DefaultSpread::List(constraints);
    } else {
        profile.default_spread = DefaultSpread::System;
        if !constraints.is_empty() {
            problems.note(&at, Problem::Rule("can only be given with defaultingType List"));
        }
    }
}

fn preemption(fields: &Fields<'_, '_>, path: &Path<'_>, _: &mut Profile, problems: &Problems) {
    // Both only bound upstream's search; here all nodes are candidates.
    let percentage = fields.integer("minCandidateNodesPercentage", 0, 100).unwrap_or(10);
    let absolute =
        fields.integer("minCandidateNodesAbsolute", 0, i64::from(i32::MAX)).unwrap_or(100);
    if percentage == 0 && absolute == 0 {
        problems.note(
            path,
            Problem::Rule(
                "minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be 0",
            ),
        );
    }
}

fn volume_binding(fields: &Fields<'_, '_>, _: &Path<'_>, _: &mut Profile, _: &Problems) {
    fields.integer("bindTimeoutSeconds", 0, i64::MAX);
    fields.unsupported("shape", "scoring by storage capacity (alpha)");
}

fn dynamic_resources(fields: &Fields<'_, '_>, _: &Path<'_>, _: &mut Profile, _: &Problems) {
    fields.duration("filterTimeout");
    fields.duration("bindingTimeout");
}
