// SPDX-License-Identifier: Apache-2.0
//! What is said of a node.

use super::*;

fn fixed() -> Fixed {
    let info = EngineInfo {
        version: "20.10.24".into(),
        api: "1.41".into(),
        cgroup_driver: "cgroupfs".into(),
        cgroup_version: 1,
        live_restore: false,
        root: "/var/lib/docker".into(),
        storage_driver: "overlay2".into(),
        kernel: "6.1".into(),
        operating_system: "Debian".into(),
        architecture: "x86_64".into(),
        cpus: 2,
        memory_bytes: 4 << 30,
    };
    Fixed {
        node: "n1".into(),
        address: "10.0.0.1".into(),
        labels: [("zone", "a"), ("kubernetes.io/os", "plan9")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        range: "10.1.0.0/24".into(),
        pods_max: 110,
        port: Some(10_250),
        pressure: Pressure { memory_bytes: 100, disk_percent: 10, pids: 5 },
        info,
        amounts: NodeAmounts {
            cpu_milli: 2_000,
            memory_bytes: 1 << 30,
            ephemeral_storage_bytes: 900,
        },
        version: "v1.36.0".into(),
    }
}

fn observed() -> Observed {
    let system = System {
        memory_free: Some(1_000),
        disk: Some((1_000, 500)),
        pids: Some((100, 10)),
        ..System::default()
    };
    Observed { engine: true, system, images: Vec::new(), at: 1_800_000_000_000_000 }
}

fn says(conditions: &Value, kind: &str) -> (String, String) {
    let one = conditions.as_array().unwrap().iter().find(|one| one["type"] == kind).unwrap();
    let text = |key: &str| one[key].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

#[test]
fn a_node_says_what_it_is() {
    let object = registration(&fixed());
    assert_eq!(object["metadata"]["annotations"], json!({ "a": "b" }));
    assert_eq!(object["spec"], json!({ "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"] }));
    let labels = &object["metadata"]["labels"];
    assert_eq!((&labels["zone"], &labels["kubernetes.io/os"]), (&json!("a"), &json!("linux")));
    assert_eq!(labels["kubernetes.io/arch"], "amd64");
    let status = status(&fixed(), &observed(), &Value::Null);
    assert_eq!(status["nodeInfo"]["containerRuntimeVersion"], "docker://20.10.24");
    assert_eq!(status["nodeInfo"]["kubeletVersion"], "v1.36.0");
    assert_eq!(status["capacity"]["memory"], "4194304Ki");
    assert_eq!(status["allocatable"]["pods"], "110");
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10_250);
}

#[test]
fn want_of_something_is_told_in_known_words() {
    let of = |change: fn(&mut Observed)| {
        let mut observed = observed();
        change(&mut observed);
        conditions(fixed().pressure, &observed, &Value::Null)
    };
    let well = of(|_| {});
    assert_eq!(says(&well, "Ready"), ("True".into(), "KubeletReady".into()));
    assert_eq!(says(&well, "DiskPressure"), ("False".into(), "KubeletHasNoDiskPressure".into()));
    let short = of(|observed| {
        observed.system.memory_free = Some(99);
        observed.system.disk = Some((1_000, 99));
        observed.system.pids = Some((100, 96));
        observed.engine = false;
    });
    for (kind, reason) in [
        ("MemoryPressure", "KubeletHasInsufficientMemory"),
        ("DiskPressure", "KubeletHasDiskPressure"),
        ("PIDPressure", "KubeletHasInsufficientPID"),
    ] {
        assert_eq!(says(&short, kind), ("True".into(), reason.into()));
    }
    assert_eq!(says(&short, "Ready"), ("False".into(), "KubeletNotReady".into()));
}

#[test]
fn a_transition_is_dated_once_and_a_heartbeat_is_no_change() {
    let first = status(&fixed(), &observed(), &Value::Null);
    let later = Observed { at: observed().at + 60_000_000, ..observed() };
    let second = status(&fixed(), &later, &first);
    let time = |status: &Value, key: &str| status["conditions"][3][key].clone();
    assert_eq!(time(&second, "lastTransitionTime"), time(&first, "lastTransitionTime"));
    assert_ne!(time(&second, "lastHeartbeatTime"), time(&first, "lastHeartbeatTime"));
    assert!(is_same(&second, &first));
    let gone = Observed { engine: false, ..later };
    let third = status(&fixed(), &gone, &second);
    assert!(!is_same(&third, &second));
    assert_ne!(time(&third, "lastTransitionTime"), time(&second, "lastTransitionTime"));
    let patch = patch(&second, &third);
    assert_eq!(patch["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions"]);
}
