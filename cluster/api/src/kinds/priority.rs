// SPDX-License-Identifier: Apache-2.0
//! Priority classes: names of priorities.

use super::access::{flag, immutable, int, make, map, or_set_missing, text};
use super::row::{RowExt, column, row};
use crate::field::{Errors, Path};
use crate::registry::{Kind, Part, Rules};
use crate::{Map, cells};
use berth_cluster_json::Value;

/// The greatest priority that users may name. What is above is the system's.
const USER_MAX: i64 = 1_000_000_000;

/// What names of the system's classes start with.
const SYSTEM_PREFIX: &str = "system-";

/// The system's classes, and their priorities.
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// The row.
pub fn kinds() -> Vec<Kind> {
    let columns = [
        column("Value", "integer", "The priority that pods of this class get."),
        column("Global-Default", "boolean", "Whether pods that name no class get this one."),
    ];
    let mut row =
        row("scheduling.k8s.io", "PriorityClass", "priorityclasses", &columns, PriorityClass)
            .short(&["pc"])
            .cluster_scoped();
    row.columns.push(column(
        "PreemptionPolicy",
        "string",
        "Whether pods of this class may drive away pods of lower priority.",
    ));
    vec![row]
}

#[derive(Debug)]
struct PriorityClass;

/// Why the class may not have a name of the system's; none if it is the system's.
fn not_the_systems(name: &str, object: &Map) -> Option<String> {
    let Some((_, value)) = SYSTEM.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if int(object, "value").unwrap_or(0) != *value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    let default = flag(object, "globalDefault");
    default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

impl Rules for PriorityClass {
    fn default(&self, object: &mut Map) {
        or_set_missing(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn prepare_create(&self, object: &mut Map) {
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        let name = map(object, "metadata").map_or("", |meta| text(meta, "name"));
        if name.starts_with(SYSTEM_PREFIX) {
            if let Some(why) = not_the_systems(name, object) {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                errors.forbidden(&Path::new("metadata").child("name"), detail);
            }
        } else if int(object, "value").is_some_and(|value| value > USER_MAX) {
            let detail = format!("maximum allowed value of a user defined priority is {USER_MAX}");
            errors.forbidden(&Path::new("value"), detail);
        }
        let (path, known) = (Path::new("preemptionPolicy"), ["PreemptLowerPriority", "Never"]);
        match text(object, "preemptionPolicy") {
            "" => errors.required(&path, ""),
            policy if known.contains(&policy) => {}
            policy => errors.not_supported(&path, policy, &known),
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        if int(new, "value").unwrap_or(0) != int(old, "value").unwrap_or(0) {
            errors.forbidden(&Path::new("value"), "may not be changed in an update.");
        }
        immutable(new, old, "preemptionPolicy", &Path::default(), errors);
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        vec![
            cells::name(object),
            int(object, "value").unwrap_or(0).into(),
            flag(object, "globalDefault").into(),
            cells::age(object, now),
            text(object, "preemptionPolicy").into(),
        ]
    }
}
