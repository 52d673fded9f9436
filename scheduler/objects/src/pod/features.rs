// SPDX-License-Identifier: Apache-2.0
//! The node features that a pod needs (KEP-5328): component-helpers `nodedeclaredfeatures`, v1.36.
//!
//! Of the features that nodes declare there, these two are asked for when a pod is placed; the others only when it changes.

use super::SpecView;
use berth_scheduler_model::Str;

/// The features that `spec` needs, sorted.
pub(super) fn needed(spec: &SpecView) -> Vec<Str> {
    let mut containers = spec.init_containers.iter().chain(spec.containers.iter());
    let restarts_all = containers.any(|container| {
        container.restart_policy_rules.iter().any(|rule| *rule.action == "RestartAllContainers")
    });
    let own_users = spec.host_network.0 && spec.host_users == Some(false);
    [
        (restarts_all, "RestartAllContainersOnContainerExits"),
        (own_users, "UserNamespacesHostNetworkSupport"),
    ]
    .into_iter()
    .filter(|(needed, _)| *needed)
    .map(|(_, feature)| Str::from(feature))
    .collect()
}
