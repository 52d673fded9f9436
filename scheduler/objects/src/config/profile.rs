// SPDX-License-Identifier: Apache-2.0
//! One KubeSchedulerProfile.

use super::args;
use super::fields::{Fields, Problems};
use super::plugins::{Plugins, Point};
use crate::error::{Path, Problem};
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::LOCAL_WEIGHT_MAX;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::Plugin;
use serde_json::Value;

/// Reads a profile; problems are noted.
pub(super) fn read(value: &Value, path: &Path<'_>, problems: &Problems) -> Profile {
    let fields = Fields::of(value, path, problems);
    let mut profile = Profile::default();
    if let Some(name) = fields.text("schedulerName").filter(|name| !name.is_empty()) {
        profile.name = Str::from(name);
    }
    // All nodes are scored, whatever this says.
    fields.integer("percentageOfNodesToScore", 0, 100);
    let at = path.field("plugins");
    match fields.get("plugins") {
        Some(value) => {
            let plugins = Plugins::read(value, &at, problems);
            apply(&plugins, &mut profile, &at, problems);
        }
        None => apply(&Plugins::default_list(), &mut profile, &at, problems),
    }
    args::read(fields.list("pluginConfig"), &path.field("pluginConfig"), &mut profile, problems);
    fields.end();
    profile
}

/// Plugins whose score is a node's own, and shares the narrow lanes of the engine.
const LOCAL: [Plugin; 3] =
    [Plugin::NodeResourcesFit, Plugin::NodeResourcesBalancedAllocation, Plugin::ImageLocality];

/// Plugins that score at all; of others (VolumeBinding, DynamicResources) the score is always 0 with upstream's default gates.
const SCORING: [Plugin; 7] = [
    Plugin::TaintToleration,
    Plugin::NodeAffinity,
    Plugin::PodTopologySpread,
    Plugin::InterPodAffinity,
    Plugin::NodeResourcesFit,
    Plugin::NodeResourcesBalancedAllocation,
    Plugin::ImageLocality,
];

fn apply(plugins: &Plugins<'_>, profile: &mut Profile, path: &Path<'_>, problems: &Problems) {
    let unsupported = |field: &str, what: &str| {
        problems.note(&path.field(field), Problem::Unsupported(what.to_owned()));
    };
    for plugin in Plugin::ALL.into_iter().take(Plugin::FILTERS) {
        let name = plugin.name();
        let filters = plugins.is_on(name, Point::Filter);
        profile.filters[plugin as usize] = filters;
        let prepares = plugins.is_on(name, Point::PreFilter);
        let needs = !matches!(
            plugin,
            Plugin::NodeUnschedulable | Plugin::NodeName | Plugin::TaintToleration
        );
        if filters && needs && !prepares {
            unsupported("preFilter", &format!("{name} at filter without preFilter"));
        }
        let refuses_early = matches!(
            plugin,
            Plugin::NodeAffinity
                | Plugin::VolumeRestrictions
                | Plugin::VolumeBinding
                | Plugin::VolumeZone
        );
        if prepares && refuses_early && !filters {
            unsupported("filter", &format!("{name} at preFilter without filter"));
        }
    }
    let mut local = 0;
    for plugin in SCORING {
        let name = plugin.name();
        let weight = plugins.weight(name);
        profile.weights[plugin as usize] = weight;
        if LOCAL.contains(&plugin) {
            local += weight;
        }
        if weight > 0 && plugin != Plugin::ImageLocality && !plugins.is_on(name, Point::PreScore) {
            unsupported("preScore", &format!("{name} at score without preScore"));
        }
    }
    if local > LOCAL_WEIGHT_MAX {
        let problem = Problem::WeightSum {
            plugins: LOCAL.iter().map(|plugin| plugin.name().to_owned()).collect(),
            sum: local,
            max: LOCAL_WEIGHT_MAX,
        };
        problems.note(&path.field("score"), problem);
    }
    profile.preemption = plugins.is_on("DefaultPreemption", Point::PostFilter);
    let binds = profile.filters[Plugin::VolumeBinding as usize];
    for (name, point, field, wanted) in [
        ("SchedulingGates", Point::PreEnqueue, "preEnqueue", true),
        ("PrioritySort", Point::QueueSort, "queueSort", true),
        ("VolumeBinding", Point::Reserve, "reserve", binds),
        ("VolumeBinding", Point::PreBind, "preBind", binds),
        ("DefaultBinder", Point::Bind, "bind", true),
    ] {
        if wanted && !plugins.is_on(name, point) {
            unsupported(field, &format!("{field} without {name}"));
        }
    }
}
