// SPDX-License-Identifier: Apache-2.0
//! The class of quality of service that a pod's requests and limits give it.

use super::quantity::nano;
use crate::Map;
use crate::kinds::view::View;
use berth_cluster_json::Value;
use std::collections::BTreeMap;

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort` (upstream's `ComputePodQOS`).
pub fn class(pod: &Map) -> &'static str {
    let spec = pod.at("spec");
    let mut requests = BTreeMap::new();
    let mut limits = BTreeMap::new();
    let mut guaranteed = true;
    for container in spec.list("containers").iter().chain(spec.list("initContainers")) {
        let resources = container.at("resources");
        sum(resources.at("requests"), &mut requests);
        let limited = sum(resources.at("limits"), &mut limits);
        guaranteed &= limited == COMPUTE.len();
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Adds what is not zero; tells how many of the resources there were.
fn sum<'a>(amounts: &'a Value, total: &mut BTreeMap<&'a str, i128>) -> usize {
    let mut found = 0;
    for name in COMPUTE {
        if let Some(amount) = nano(amounts.at(name)).filter(|amount| *amount > 0) {
            *total.entry(name).or_default() += amount;
            found += 1;
        }
    }
    found
}
