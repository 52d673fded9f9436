// SPDX-License-Identifier: Apache-2.0
//! Numbers as upstream works them out.

use super::*;
use serde_json::{Value, json};

const GIB: u64 = 1 << 30;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn of(name: &str, requests: Value, limits: Value) -> Value {
    json!({"name": name, "resources": {"requests": requests, "limits": limits}})
}

fn first(pod: &Pod, capacity: u64) -> Resources {
    let facts = Facts { memory_capacity_bytes: capacity, pids_max: Some(77), ..Facts::default() };
    container(pod, &pod.spec.as_ref().unwrap().containers[0], &facts).unwrap()
}

#[test]
fn a_container() {
    for (requests, limits, shares, quota, memory) in [
        (json!({}), json!({}), 2, None, None),
        (json!({"cpu": "1m"}), json!({}), 2, None, None),
        (json!({"cpu": "2m"}), json!({"cpu": "2m"}), 2, Some(1_000), None),
        (json!({"cpu": "10m"}), json!({"cpu": "10m"}), 10, Some(1_000), None),
        (json!({"cpu": "11m"}), json!({"cpu": "11m"}), 11, Some(1_100), None),
        (
            json!({"cpu": "250m"}),
            json!({"cpu": "500m", "memory": "1Gi"}),
            256,
            Some(50_000),
            Some(GIB),
        ),
        (json!({}), json!({"cpu": "2"}), 2_048, Some(200_000), None),
        (json!({"cpu": "0"}), json!({"cpu": "2"}), 2, Some(200_000), None),
        (json!({"cpu": "1000"}), json!({"cpu": "0", "memory": "0"}), 262_144, None, None),
        (json!({"cpu": "0.5m"}), json!({"memory": "1k"}), 2, None, Some(1_000)),
    ] {
        let pod = pod(json!({"containers": [of("a", requests, limits)]}));
        let resources = first(&pod, 16 * GIB);
        assert_eq!(
            (resources.cpu_shares, resources.cpu_quota_us, resources.memory_bytes),
            (shares, quota, memory),
            "{pod:?}"
        );
        assert_eq!((resources.cpu_period_us, resources.pids), (100_000, Some(77)));
    }
}

#[test]
fn what_cannot_be_bounded_is_refused() {
    let huge = pod(json!({"containers": [of("a", json!({"hugepages-2Mi": "4Mi"}), json!({}))]}));
    let error = container(&huge, &huge.spec.as_ref().unwrap().containers[0], &Facts::default())
        .unwrap_err();
    assert!(error.to_string().starts_with("container a: huge pages"), "{error}");
    let none = pod(json!({"containers": [of("a", json!({"hugepages-2Mi": "0"}), json!({}))]}));
    assert_eq!(first(&none, GIB).cpu_shares, 2);
    let bad = pod(json!({"containers": [of("a", json!({"cpu": "much"}), json!({}))]}));
    let error =
        container(&bad, &bad.spec.as_ref().unwrap().containers[0], &Facts::default()).unwrap_err();
    assert!(error.to_string().starts_with("cpu: \"much\" cannot be used"), "{error}");
}

#[test]
fn classes() {
    let full = json!({"cpu": "1", "memory": "1Gi"});
    let none = json!({});
    for (containers, inits, whole, want) in [
        (json!([of("a", none.clone(), none.clone())]), json!([]), none.clone(), Qos::BestEffort),
        (
            json!([of("a", json!({"cpu": "0"}), none.clone())]),
            json!([]),
            none.clone(),
            Qos::BestEffort,
        ),
        (json!([of("a", full.clone(), full.clone())]), json!([]), none.clone(), Qos::Guaranteed),
        (
            json!([of("a", json!({"cpu": "1000m", "memory": "1024Mi"}), full.clone())]),
            json!([]),
            none.clone(),
            Qos::Guaranteed,
        ),
        (
            json!([of("a", full.clone(), full.clone()), of("b", none.clone(), none.clone())]),
            json!([]),
            none.clone(),
            Qos::Burstable,
        ),
        (
            json!([of("a", full.clone(), full.clone())]),
            json!([of("i", json!({"cpu": "1m"}), none.clone())]),
            none.clone(),
            Qos::Burstable,
        ),
        (
            json!([of("a", none.clone(), json!({"cpu": "1"}))]),
            json!([]),
            none.clone(),
            Qos::Burstable,
        ),
        (
            json!([of("a", json!({"memory": "1"}), none.clone())]),
            json!([]),
            none.clone(),
            Qos::Burstable,
        ),
        (
            json!([of("a", none.clone(), none.clone())]),
            json!([]),
            json!({"requests": full, "limits": full}),
            Qos::Guaranteed,
        ),
        (
            json!([of("a", full.clone(), full.clone())]),
            json!([]),
            json!({"requests": {"cpu": "1"}}),
            Qos::Burstable,
        ),
        (
            json!([of("a", json!({"nvidia.com/gpu": "1"}), none.clone())]),
            json!([]),
            none.clone(),
            Qos::BestEffort,
        ),
    ] {
        let pod =
            pod(json!({"containers": containers, "initContainers": inits, "resources": whole}));
        assert_eq!(qos(&pod).unwrap(), want, "{pod:?}");
    }
    assert_eq!(Qos::BestEffort.to_string(), "BestEffort");
}

#[test]
fn who_is_killed_first() {
    let full = json!({"cpu": "1", "memory": "1Gi"});
    let burst =
        |memory: &str| json!({"containers": [of("a", json!({"memory": memory}), json!({}))]});
    for (spec, capacity, want) in [
        (json!({"containers": [of("a", full.clone(), full.clone())]}), 4 * GIB, -997),
        (json!({"containers": [of("a", json!({}), json!({}))]}), 4 * GIB, 1000),
        (burst("1Gi"), 4 * GIB, 750),
        (burst("1"), 4 * GIB, 999),
        (burst("4Gi"), 4 * GIB, 3),
        (burst("3.99Gi"), 4 * GIB, 3),
        (burst("100Gi"), 4 * GIB, 3),
        (burst("1Gi"), 0, 3),
        (json!({"containers": [of("a", json!({"cpu": "1"}), json!({}))]}), 4 * GIB, 999),
        (
            json!({"priorityClassName": "system-node-critical", "containers": [of("a", json!({}), json!({}))]}),
            4 * GIB,
            -997,
        ),
        (
            json!({"priorityClassName": "system-cluster-critical", "containers": [of("a", json!({}), json!({}))]}),
            4 * GIB,
            1000,
        ),
        (
            json!({"resources": {"requests": {"memory": "3Gi"}},
            "containers": [of("a", json!({"memory": "1Gi"}), json!({})), of("b", json!({}), json!({}))]}),
            4 * GIB,
            500,
        ),
    ] {
        assert_eq!(first(&pod(spec.clone()), capacity).oom_score_adj, want, "{spec}");
    }
}

#[test]
fn a_sidecar_is_not_killed_before_those_it_serves() {
    let pod = pod(json!({
        "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        "containers": [of("a", json!({"memory": "2Gi"}), json!({})), of("b", json!({"memory": "1Gi"}), json!({}))],
    }));
    let facts = Facts { memory_capacity_bytes: 4 * GIB, ..Facts::default() };
    let score = |name: &str| {
        let of = pod::container(&pod, name).unwrap();
        container(&pod, of, &facts).unwrap().oom_score_adj
    };
    assert_eq!((score("a"), score("b"), score("s"), score("i")), (500, 750, 750, 999));
}

#[test]
fn a_pod_as_a_whole() {
    let full = json!({"cpu": "1", "memory": "1Gi"});
    let none = json!({});
    let small = json!({"cpu": "100m", "memory": "100Mi"});
    let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": small, "limits": small}});
    for (spec, shares, quota, memory) in [
        (json!({"containers": [of("a", none.clone(), none.clone())]}), 2, None, None),
        (
            json!({"containers": [of("a", full.clone(), full.clone()), of("b", small.clone(), full.clone())]}),
            1_126,
            Some(200_000),
            Some(2 * GIB),
        ),
        (
            json!({"containers": [of("a", full.clone(), full.clone()), of("b", small.clone(), none.clone())]}),
            1_126,
            None,
            None,
        ),
        (
            json!({"containers": [of("a", small.clone(), small.clone())], "initContainers": [of("i", full.clone(), full.clone())]}),
            1_024,
            Some(100_000),
            Some(GIB),
        ),
        (
            json!({"containers": [of("a", small.clone(), small.clone())], "initContainers": [sidecar, of("i", full.clone(), full.clone())]}),
            1_126,
            Some(110_000),
            Some(GIB + (100 << 20)),
        ),
        (
            json!({"overhead": {"cpu": "500m", "memory": "1Gi"}, "containers": [of("a", full.clone(), full.clone())]}),
            1_536,
            Some(150_000),
            Some(2 * GIB),
        ),
        (
            json!({"overhead": {"cpu": "500m", "memory": "1Gi"}, "containers": [of("a", none.clone(), none.clone())]}),
            512,
            None,
            None,
        ),
        (
            json!({"resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "4", "memory": "3Gi"}},
            "containers": [of("a", full.clone(), full.clone()), of("b", none.clone(), none.clone())]}),
            3_072,
            Some(400_000),
            Some(3 * GIB),
        ),
    ] {
        let got = pod_resources(&pod(spec.clone())).unwrap();
        assert_eq!(
            (got.cpu_shares, got.cpu_quota_us, got.memory_bytes),
            (shares, quota, memory),
            "{spec}"
        );
    }
}
