// SPDX-License-Identifier: Apache-2.0
//! How many pods of a budget may go (upstream's `pkg/controller/disruption`).
//!
//! A pod that was allowed to go counts as gone until it is seen to go, or for [`GOES_WITHIN`]: who evicts is faster than informers.

use crate::deployment::limits::scaled;
use crate::view::budget::{Budget, BudgetSpec, BudgetStatus};
use crate::view::{Condition, Micros, Pod};
use berth_cluster_client::Item;
use std::sync::Arc;

/// How long a pod that was allowed to go is waited for (upstream's number).
pub const GOES_WITHIN: i64 = 120_000_000;
/// The condition that says whether any pod may go.
pub const CONDITION: &str = "DisruptionAllowed";

/// What a budget's status has to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// It.
    pub status: BudgetStatus,
    /// When it is to be looked at again though nothing has changed.
    pub again: Option<Micros>,
    /// Pods that were allowed to go, and did not.
    pub stayed: Vec<String>,
}

/// Whether it takes a look at what the pods belong to, to know how many there have to be.
pub fn asks_for_scale(spec: &BudgetSpec) -> bool {
    !spec.max_unavailable.is_null() || spec.min_available.is_string()
}

/// How many have to stay, of so many that are wanted.
fn desired(spec: &BudgetSpec, wanted: i64) -> i64 {
    if spec.max_unavailable.is_null() {
        scaled(&spec.min_available, wanted, true)
    } else {
        (wanted - scaled(&spec.max_unavailable, wanted, true)).max(0)
    }
}

/// Judges a budget by its pods. `wanted`: how many there are to be.
pub fn plan(budget: &Budget, pods: &[Arc<Item<Pod>>], wanted: i64, now: Micros) -> Plan {
    let mut plan = Plan { status: BudgetStatus::default(), again: None, stayed: Vec::new() };
    let was = &budget.status;
    let mut healthy = 0;
    for pod in pods.iter().filter(|pod| !pod.view.metadata.deleted()) {
        let allowed = was.disrupted_pods.get(pod.id.name.as_str());
        let until = allowed.map(|at| Micros(at.0.saturating_add(GOES_WITHIN)));
        match (allowed, until) {
            (Some(at), Some(until)) if until > now => {
                plan.status.disrupted_pods.insert(pod.id.name.to_string(), *at);
                plan.again = Some(plan.again.map_or(until, |again| again.min(until)));
            }
            (Some(_), _) => {
                plan.stayed.push(pod.id.name.to_string());
                healthy += i64::from(pod.view.ready());
            }
            (None, _) => healthy += i64::from(pod.view.ready()),
        }
    }
    let desired = desired(&budget.spec, wanted);
    let allowed = if wanted <= 0 { 0 } else { (healthy - desired).max(0) };
    plan.status = BudgetStatus {
        observed_generation: budget.metadata.generation,
        disrupted_pods: plan.status.disrupted_pods,
        disruptions_allowed: allowed,
        current_healthy: healthy,
        desired_healthy: desired,
        expected_pods: wanted,
        conditions: was.conditions.clone(),
    };
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    set(&mut plan.status.conditions, allowed > 0, reason, "", now);
    plan
}

/// What becomes of a budget of which nobody knows how many pods there have to be: nothing may go.
pub fn failed(budget: &Budget, why: &str, now: Micros) -> BudgetStatus {
    let mut status = BudgetStatus { disruptions_allowed: 0, ..budget.status.clone() };
    set(&mut status.conditions, false, "SyncFailed", why, now);
    status
}

fn set(conditions: &mut Vec<Condition>, holds: bool, reason: &str, message: &str, now: Micros) {
    let status = if holds { "True" } else { "False" };
    let place = conditions.iter().position(|one| one.kind == CONDITION).unwrap_or_else(|| {
        conditions.push(Condition { kind: CONDITION.to_owned(), ..Condition::default() });
        conditions.len() - 1
    });
    let one = &mut conditions[place];
    if one.status != status {
        status.clone_into(&mut one.status);
        // Objects tell whole seconds.
        one.last_transition_time = Some(Micros(now.0 - now.0.rem_euclid(1_000_000)));
    }
    reason.clone_into(&mut one.reason);
    message.clone_into(&mut one.message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_cluster_client::{Id, View};
    use serde_json::{Value, json};

    const NOW: Micros = Micros(1_800_000_000_000_000);

    fn budget(spec: Value, status: Value) -> Budget {
        let object = json!({ "metadata": { "generation": 3 }, "spec": spec, "status": status });
        Budget::read(object.to_string().as_bytes()).unwrap()
    }

    /// Pods `p0`, `p1` and so on: ready, not ready, or on their way out.
    fn pods(letters: &str) -> Vec<Arc<Item<Pod>>> {
        let one = |(number, letter): (usize, char)| {
            let ready = if letter == 'n' { "False" } else { "True" };
            let mut object =
                json!({ "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
            if letter == 'd' {
                object["metadata"] = json!({ "deletionTimestamp": "2027-01-15T08:00:00Z" });
            }
            let id = Id { name: format!("p{number}").into(), ..Id::default() };
            Arc::new(Item { id, view: Pod::read(object.to_string().as_bytes()).unwrap() })
        };
        letters.chars().enumerate().map(one).collect()
    }

    /// Allowed, healthy, desired, expected.
    fn check(spec: Value, letters: &str, wanted: i64, numbers: (i64, i64, i64, i64)) {
        let status = plan(&budget(spec.clone(), json!({})), &pods(letters), wanted, NOW).status;
        let is = (
            status.disruptions_allowed,
            status.current_healthy,
            status.desired_healthy,
            status.expected_pods,
        );
        assert_eq!(is, numbers, "{spec} {letters} {wanted}");
        assert_eq!(status.observed_generation, 3);
        let condition = &status.conditions[0];
        let holds = if numbers.0 > 0 { "True" } else { "False" };
        assert_eq!((condition.kind.as_str(), condition.status.as_str()), (CONDITION, holds));
    }

    #[test]
    fn as_many_may_go_as_are_ready_beyond_those_that_have_to_stay() {
        check(json!({ "minAvailable": 2 }), "rrr", 3, (1, 3, 2, 3));
        check(json!({ "minAvailable": 2 }), "rrn", 3, (0, 2, 2, 3));
        check(json!({ "minAvailable": 2 }), "rrdd", 4, (0, 2, 2, 4));
        check(json!({ "minAvailable": 5 }), "rrr", 3, (0, 3, 5, 3));
        check(json!({ "minAvailable": "50%" }), "rrrrr", 5, (2, 5, 3, 5));
        check(json!({ "maxUnavailable": 1 }), "rrr", 3, (1, 3, 2, 3));
        check(json!({ "maxUnavailable": 1 }), "rr", 3, (0, 2, 2, 3));
        check(json!({ "maxUnavailable": "30%" }), "rrrr", 4, (2, 4, 2, 4));
        check(json!({ "maxUnavailable": 9 }), "rr", 3, (2, 2, 0, 3));
        check(json!({ "minAvailable": 0 }), "", 0, (0, 0, 0, 0));
        check(json!({}), "rr", 0, (0, 2, 0, 0));
    }

    #[test]
    fn who_was_allowed_to_go_counts_as_gone_until_it_is_seen_or_time_is_over() {
        let spec = json!({ "minAvailable": 1 });
        let allowed = json!({ "disruptedPods": {
            "p0": "2027-01-15T07:59:50Z", "p1": "2027-01-15T07:58:00Z",
            "p2": "2027-01-15T07:59:59Z", "gone": "2027-01-15T07:59:59Z",
        } });
        let plan = plan(&budget(spec, allowed), &pods("rrdr"), 4, NOW);
        let left: Vec<_> = plan.status.disrupted_pods.keys().cloned().collect();
        assert_eq!(
            (left.as_slice(), plan.stayed.as_slice()),
            (&["p0".to_owned()][..], &["p1".to_owned()][..])
        );
        assert_eq!((plan.status.current_healthy, plan.status.disruptions_allowed), (2, 1));
        assert_eq!(plan.again, Some(Micros(NOW.0 + 110_000_000)));
    }

    #[test]
    fn a_condition_keeps_its_time_while_it_holds() {
        let old = json!({ "disruptionsAllowed": 2, "conditions": [
            { "type": CONDITION, "status": "True", "reason": "SufficientPods", "lastTransitionTime": "2027-01-15T07:00:00Z" },
        ] });
        let budget = budget(json!({ "minAvailable": 1 }), old);
        let same = plan(&budget, &pods("rr"), 2, NOW).status.conditions;
        assert_eq!(same, budget.status.conditions);
        let less = plan(&budget, &pods("r"), 2, NOW).status.conditions;
        assert_eq!(
            (less[0].reason.as_str(), less[0].last_transition_time),
            ("InsufficientPods", Some(NOW))
        );
        let failed = failed(&budget, "why", NOW);
        let one = &failed.conditions[0];
        assert_eq!(
            (failed.disruptions_allowed, one.reason.as_str(), one.message.as_str()),
            (0, "SyncFailed", "why")
        );
    }
}
