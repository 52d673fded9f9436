// SPDX-License-Identifier: Apache-2.0
//! How many pods more and fewer than wanted a rollout may have.

use crate::view::workload::DeploymentSpec;
use serde_json::Value;

/// Pods that are wanted.
pub(super) fn wanted(spec: &DeploymentSpec) -> i64 {
    spec.replicas.unwrap_or(1)
}

/// A number, or a part of a whole; parts are rounded up or down.
pub(crate) fn scaled(value: &Value, whole: i64, up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    let share = percent.unwrap_or(0).saturating_mul(whole);
    if up { share.saturating_add(99).div_euclid(100) } else { share.div_euclid(100) }
}

/// Both limits. They are not both 0: nothing would ever move.
fn both(spec: &DeploymentSpec) -> (i64, i64) {
    let (rolling, wanted) = (&spec.strategy.rolling_update, wanted(spec));
    let surge = scaled(&rolling.max_surge, wanted, true);
    let unavailable = scaled(&rolling.max_unavailable, wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// Whether one template takes the place of another step by step.
pub(super) fn rolls(spec: &DeploymentSpec) -> bool {
    spec.strategy.kind != "Recreate"
}

/// Pods above the wanted number.
pub(super) fn surge(spec: &DeploymentSpec) -> i64 {
    if rolls(spec) { both(spec).0 } else { 0 }
}

/// Pods below it.
pub(super) fn unavailable(spec: &DeploymentSpec) -> i64 {
    if !rolls(spec) || wanted(spec) == 0 { 0 } else { both(spec).1.min(wanted(spec)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn surge_rounds_up_and_unavailable_down() {
        let table = [
            (json!("25%"), json!("25%"), 10, (3, 2)),
            (json!("25%"), json!("25%"), 1, (1, 0)),
            (json!(0), json!("10%"), 5, (0, 1)),
            (json!(0), json!(0), 5, (0, 1)),
            (json!(2), json!(9), 5, (2, 5)),
            (json!("100%"), json!("100%"), 3, (3, 3)),
            (json!("25%"), json!("25%"), 0, (0, 0)),
        ];
        for (max_surge, max_unavailable, replicas, expected) in table {
            let mut spec = DeploymentSpec { replicas: Some(replicas), ..DeploymentSpec::default() };
            spec.strategy.rolling_update.max_surge = max_surge;
            spec.strategy.rolling_update.max_unavailable = max_unavailable;
            assert_eq!((surge(&spec), unavailable(&spec)), expected, "{spec:?}");
            spec.strategy.kind = "Recreate".to_owned();
            assert_eq!((surge(&spec), unavailable(&spec)), (0, 0));
        }
    }
}
