// SPDX-License-Identifier: Apache-2.0
//! The node features that a pod needs (KEP-5328): component-helpers `nodedeclaredfeatures`.

use super::SpecView;
use berth_scheduler_model::Str;

/// The features that `spec` needs, sorted.
pub(super) fn needed(_spec: &SpecView) -> Vec<Str> {
    Vec::new()
}
