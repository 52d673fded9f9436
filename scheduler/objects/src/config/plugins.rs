// SPDX-License-Identifier: Apache-2.0
//! Which plugins are on at which extension point: upstream's defaults, merged with what the profile says.
//!
//! Source: pkg/scheduler/apis/config/v1 `mergePlugins` and framework/runtime `expandMultiPointPlugins`, v1.36.

use super::fields::{Fields, Problems};
use crate::error::{Path, Problem};
use serde_json::Value;

/// An extension point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

use Point::{
    Bind, Filter, Permit, PostBind, PostFilter, PreBind, PreEnqueue, PreFilter, PreScore,
    QueueSort, Reserve, Score,
};

const POINTS: [(&str, Point); 12] = [
    ("preEnqueue", PreEnqueue),
    ("queueSort", QueueSort),
    ("preFilter", PreFilter),
    ("filter", Filter),
    ("postFilter", PostFilter),
    ("preScore", PreScore),
    ("score", Score),
    ("reserve", Reserve),
    ("permit", Permit),
    ("preBind", PreBind),
    ("bind", Bind),
    ("postBind", PostBind),
];

/// Upstream's plugins in the order of its default list: name, default weight, extension points.
const PLUGINS: [(&str, i64, &[Point]); 20] = [
    ("SchedulingGates", 0, &[PreEnqueue]),
    ("PrioritySort", 0, &[QueueSort]),
    ("NodeUnschedulable", 0, &[Filter]),
    ("NodeName", 0, &[Filter]),
    ("TaintToleration", 3, &[Filter, PreScore, Score]),
    ("NodeAffinity", 2, &[PreFilter, Filter, PreScore, Score]),
    ("NodePorts", 0, &[PreFilter, Filter]),
    ("NodeResourcesFit", 1, &[PreFilter, Filter, PreScore, Score]),
    ("VolumeRestrictions", 0, &[PreFilter, Filter]),
    ("NodeVolumeLimits", 0, &[PreFilter, Filter]),
    ("VolumeBinding", 0, &[PreFilter, Filter, PreScore, Score, Reserve, PreBind]),
    ("VolumeZone", 0, &[PreFilter, Filter]),
    ("PodTopologySpread", 2, &[PreFilter, Filter, PreScore, Score]),
    ("InterPodAffinity", 2, &[PreFilter, Filter, PreScore, Score]),
    (
        "DynamicResources",
        2,
        &[PreEnqueue, PreFilter, Filter, PostFilter, PreScore, Score, Reserve, PreBind],
    ),
    ("NodeDeclaredFeatures", 0, &[PreFilter, Filter]),
    ("DefaultPreemption", 0, &[PreEnqueue, PostFilter]),
    ("NodeResourcesBalancedAllocation", 1, &[PreScore, Score]),
    ("ImageLocality", 1, &[Score]),
    ("DefaultBinder", 0, &[Bind]),
];

/// The points of an upstream plugin.
fn points_of(name: &str) -> Option<&'static [Point]> {
    PLUGINS.iter().find(|(plugin, _, _)| *plugin == name).map(|(_, _, points)| *points)
}

/// A plugin in a list, with the weight that was given (0: none).
type Entry<'a> = (&'a str, i64);

/// What a profile says at one point, or at `multiPoint`.
#[derive(Debug, Default)]
struct Set<'a> {
    enabled: Vec<Entry<'a>>,
    disabled: Vec<&'a str>,
}

impl Set<'_> {
    fn disables(&self, name: &str) -> bool {
        self.disabled.contains(&name)
    }
}

/// All plugins of a profile.
#[derive(Debug)]
pub(super) struct Plugins<'a> {
    multi_point: Vec<Entry<'a>>,
    sets: Vec<(Point, Set<'a>)>,
}

impl<'a> Plugins<'a> {
    /// Upstream's default list, without any change.
    pub(super) fn default_list() -> Self {
        let multi_point = PLUGINS.iter().map(|(name, weight, _)| (*name, *weight)).collect();
        Self { multi_point, sets: Vec::new() }
    }

    /// Reads `plugins` of a profile and merges it with the defaults.
    pub(super) fn read(value: &'a Value, path: &'a Path<'a>, problems: &'a Problems) -> Self {
        let fields = Fields::of(value, path, problems);
        let mut plugins = Self::default_list();
        if let Some(value) = fields.get("multiPoint") {
            let custom = set(value, None, &path.field("multiPoint"), problems);
            plugins.multi_point = merged(&plugins.multi_point, &custom);
        }
        for (name, point) in POINTS {
            if let Some(value) = fields.get(name) {
                plugins.sets.push((point, set(value, Some(point), &path.field(name), problems)));
            }
        }
        fields.end();
        plugins
    }

    fn set(&self, point: Point) -> Option<&Set<'a>> {
        self.sets.iter().find(|(at, _)| *at == point).map(|(_, set)| set)
    }

    /// Whether a plugin runs at a point.
    pub(super) fn is_on(&self, name: &str, point: Point) -> bool {
        let set = self.set(point);
        if set.is_some_and(|set| set.enabled.iter().any(|(enabled, _)| *enabled == name)) {
            return true;
        }
        let by_multi_point = self.multi_point.iter().any(|(enabled, _)| *enabled == name)
            && points_of(name).is_some_and(|points| points.contains(&point));
        by_multi_point && !set.is_some_and(|set| set.disables("*") || set.disables(name))
    }

    /// Weight of a plugin's score: what `score` says goes before what `multiPoint` says; none means 1.
    pub(super) fn weight(&self, name: &str) -> i64 {
        if !self.is_on(name, Score) {
            return 0;
        }
        let score = self.set(Score).map(|set| set.enabled.as_slice()).unwrap_or_default();
        let given = score.iter().chain(&self.multi_point).find(|(enabled, _)| *enabled == name);
        given.map_or(1, |(_, weight)| (*weight).max(1))
    }
}

/// `mergePluginSet`: defaults that are neither disabled nor given anew, those given anew in their place, then the rest.
fn merged<'a>(defaults: &[Entry<'a>], custom: &Set<'a>) -> Vec<Entry<'a>> {
    let mut list: Vec<Entry<'a>> = Vec::new();
    if !custom.disables("*") {
        for default in defaults.iter().filter(|(name, _)| !custom.disables(name)) {
            let given = custom.enabled.iter().find(|(name, _)| *name == default.0);
            list.push(*given.unwrap_or(default));
        }
    }
    for entry in &custom.enabled {
        if !list.iter().any(|(name, _)| *name == entry.0) {
            list.push(*entry);
        }
    }
    list
}

fn set<'a>(
    value: &'a Value,
    point: Option<Point>,
    path: &Path<'_>,
    problems: &Problems,
) -> Set<'a> {
    let mut set = Set::default();
    let fields = Fields::of(value, path, problems);
    for (index, entry) in fields.list("enabled").iter().enumerate() {
        let at = path.field("enabled");
        let at = at.index(index);
        let fields = Fields::of(entry, &at, problems);
        let weight = fields.integer("weight", 0, berth_scheduler_model::limits::WEIGHT_MAX);
        fields.text("name");
        fields.end();
        let Some(name) = known(entry, point, &at, problems) else { continue };
        if set.enabled.iter().any(|(enabled, _)| *enabled == name) {
            problems.note(&at.field("name"), Problem::Rule("listed twice"));
            continue;
        }
        set.enabled.push((name, weight.unwrap_or(0)));
    }
    for (index, entry) in fields.list("disabled").iter().enumerate() {
        let at = path.field("disabled");
        let at = at.index(index);
        let fields = Fields::of(entry, &at, problems);
        fields.integer("weight", 0, berth_scheduler_model::limits::WEIGHT_MAX);
        fields.text("name");
        fields.end();
        if entry.get("name").and_then(Value::as_str) == Some("*") {
            set.disabled.push("*");
        } else if let Some(name) = known(entry, point, &at, problems) {
            set.disabled.push(name);
        }
    }
    fields.end();
    set
}

/// The name in an entry, if it is a plugin that has this point.
fn known<'a>(
    entry: &'a Value,
    point: Option<Point>,
    path: &Path<'_>,
    problems: &Problems,
) -> Option<&'a str> {
    let at = path.field("name");
    let Some(name) = entry.get("name").and_then(Value::as_str) else {
        problems.note(&at, Problem::Missing);
        return None;
    };
    let candidates =
        PLUGINS.iter().filter(|(_, _, points)| point.is_none_or(|p| points.contains(&p)));
    if candidates.clone().any(|(plugin, _, _)| *plugin == name) {
        return Some(name);
    }
    let expected = candidates.map(|(plugin, _, _)| (*plugin).to_owned()).collect();
    problems.note(&at, Problem::Unknown { found: name.to_owned(), expected });
    None
}
