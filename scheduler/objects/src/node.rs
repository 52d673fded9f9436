// SPDX-License-Identifier: Apache-2.0
//! Nodes.

use crate::error::{ObjectError, Path};
use crate::field::{Lax, List, QuantityMap, Text, at_most, each, labels, name, one_of, text, view};
use crate::groups::Meta;
use crate::pod::resources;
use berth_scheduler_model::limits::{CAPACITY_MAX, QUANTITY_MAX, TOLERATIONS_MAX};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::{Taint, TaintEffect};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeView {
    metadata: Lax<Meta>,
    spec: Lax<SpecView>,
    status: Lax<StatusView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecView {
    taints: List<TaintView>,
    unschedulable: Lax<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TaintView {
    key: Text,
    value: Text,
    effect: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    allocatable: QuantityMap,
    images: List<ImageView>,
    declared_features: List<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ImageView {
    names: List<String>,
    size_bytes: Lax<i64>,
}

/// The effects of taints by name.
pub(crate) const EFFECTS: [(&str, TaintEffect); 3] = [
    ("NoSchedule", TaintEffect::NoSchedule),
    ("PreferNoSchedule", TaintEffect::PreferNoSchedule),
    ("NoExecute", TaintEffect::NoExecute),
];

/// Reads a `v1.Node`.
pub fn node<'de, D: Deserializer<'de>>(source: D) -> Result<Node, ObjectError> {
    let object: NodeView = view(source)?;
    let at = Path::ROOT.field("spec.taints");
    at_most(object.spec.taints.len(), TOLERATIONS_MAX, &at)?;
    let taints = each(&object.spec.taints, &at, |taint, at| {
        Ok(Taint {
            key: name(&taint.key, &at.field("key"))?,
            value: text(&taint.value, &at.field("value"))?,
            effect: one_of(&taint.effect, &EFFECTS, &at.field("effect"))?,
        })
    })?;
    let at = Path::ROOT.field("status.allocatable");
    let allocatable = resources::amounts(&object.status.allocatable, CAPACITY_MAX, &at)?;
    let pods = match object.status.allocatable.get("pods") {
        Some(pods) => pods.units(&at.key("pods"))?,
        None => 0,
    };
    let mut images = Vec::new();
    for (index, image) in object.status.images.iter().enumerate() {
        let at = Path::ROOT.field("status.images");
        let at = at.index(index);
        // A negative size cannot be; a huge one counts as the largest that is exact.
        let size = image.size_bytes.clamp(0, QUANTITY_MAX);
        for image_name in each(&image.names, &at.field("names"), |n, at| text(n, at))? {
            images.push((image_name, size));
        }
    }
    let at = Path::ROOT.field("status.declaredFeatures");
    let mut features = each(&object.status.declared_features, &at, |f, at| text(f, at))?;
    features.sort();
    features.dedup();
    Ok(Node {
        name: object.metadata.name()?,
        labels: labels(&object.metadata.labels, &Path::ROOT.field("metadata.labels"))?,
        taints,
        unschedulable: object.spec.unschedulable.0,
        allocatable,
        pods,
        images,
        features,
    })
}
