// SPDX-License-Identifier: Apache-2.0
//! Security contexts as upstream joins them.

use super::*;
use crate::error::SandboxError;
use serde_json::{Value, json};

fn pod(context: Value, own: Value) -> Pod {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"securityContext": context, "containers": [{"name": "c", "securityContext": own}]},
    });
    serde_json::from_value(pod).unwrap()
}

fn run(context: Value, own: Value, image_user: &str) -> Result<Security, ConfigError> {
    let pod = pod(context, own);
    container(&pod, &pod.spec.as_ref().unwrap().containers[0], image_user)
}

#[test]
fn users_and_groups() {
    for (context, own, image, user, groups) in [
        (json!({}), json!({}), "nobody", None, vec![]),
        (json!({"runAsUser": 1}), json!({}), "", Some("1"), vec![]),
        (json!({"runAsUser": 1}), json!({"runAsUser": 0}), "", Some("0"), vec![]),
        (
            json!({"runAsUser": 1, "runAsGroup": 2}),
            json!({"runAsGroup": 3}),
            "",
            Some("1:3"),
            vec![],
        ),
        (json!({"runAsGroup": 2}), json!({}), "web:users", Some("web:2"), vec![]),
        (json!({"runAsGroup": 2}), json!({}), "", Some("0:2"), vec![]),
        (json!({"supplementalGroups": [5, 6, 5], "fsGroup": 6}), json!({}), "", None, vec![5, 6]),
        (json!({"fsGroup": 7}), json!({}), "", None, vec![7]),
    ] {
        let security = run(context, own, image).unwrap();
        assert_eq!((security.user.as_deref(), security.groups), (user, groups));
    }
    for context in [
        json!({"runAsUser": -1}),
        json!({"fsGroup": 1_i64 << 31}),
        json!({"runAsGroup": 1_i64 << 40}),
    ] {
        assert!(matches!(run(context, json!({}), ""), Err(ConfigError::Invalid { .. })));
    }
}

#[test]
fn root_is_refused_where_it_must_not_be() {
    let must = json!({"runAsNonRoot": true});
    let root =
        "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)";
    for (context, own, image, want) in [
        (must.clone(), json!({}), "1000", None),
        (must.clone(), json!({}), "1000:0", None),
        (must.clone(), json!({}), "0", Some(root)),
        (must.clone(), json!({}), "00:5", Some(root)),
        (must.clone(), json!({}), "", Some(root)),
        (json!({}), must.clone(), "", Some(root)),
        (must.clone(), json!({"runAsNonRoot": false}), "", None),
        (must.clone(), json!({"runAsUser": 5}), "root", None),
        (
            json!({"runAsNonRoot": true, "runAsUser": 5}),
            json!({"runAsUser": 0}),
            "1000",
            Some("container's runAsUser breaks non-root policy (pod: \"p_n(u)\", container: c)"),
        ),
        (
            must.clone(),
            json!({}),
            "web",
            Some(
                "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root (pod: \"p_n(u)\", container: c)",
            ),
        ),
    ] {
        let error = run(context, own, image).err();
        assert_eq!(error.as_ref().map(ToString::to_string).as_deref(), want, "{image:?}");
        assert!(error.is_none_or(|error| error.reason() == "CreateContainerConfigError"));
    }
}

#[test]
fn what_a_container_may() {
    let own = json!({"capabilities": {"add": ["NET_ADMIN", "cap_sys_time"], "drop": ["ALL"]},
        "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "privileged": false});
    let security = run(json!({}), own, "").unwrap();
    assert_eq!(security.capabilities_add, ["NET_ADMIN", "SYS_TIME"]);
    assert_eq!(security.capabilities_drop, ["ALL"]);
    assert!(security.read_only_root && security.no_new_privileges && !security.privileged);
    assert!(!run(json!({}), json!({}), "").unwrap().no_new_privileges);
    assert!(
        !run(json!({}), json!({"allowPrivilegeEscalation": true}), "").unwrap().no_new_privileges
    );
    for name in ["", "NET-ADMIN", "A B", "X=1", "--privileged", "CAP_"] {
        assert!(run(json!({}), json!({"capabilities": {"add": [name]}}), "").is_err(), "{name:?}");
        assert!(run(json!({}), json!({"capabilities": {"drop": [name]}}), "").is_err(), "{name:?}");
    }
    for (context, own) in [
        (json!({}), json!({"procMount": "Unmasked"})),
        (json!({"supplementalGroupsPolicy": "Strict"}), json!({})),
    ] {
        assert!(matches!(run(context, own, ""), Err(ConfigError::Unsupported { .. })));
    }
    assert!(
        run(json!({"supplementalGroupsPolicy": "Merge"}), json!({"procMount": "Default"}), "")
            .is_ok()
    );
}

#[test]
fn profiles() {
    let profile =
        |kind: &str, local: Option<&str>| json!({"type": kind, "localhostProfile": local});
    for (context, own, want) in [
        (json!({}), json!({}), Some(Seccomp::Default)),
        (json!({}), json!({"privileged": true}), Some(Seccomp::Unconfined)),
        (
            json!({"seccompProfile": profile("Unconfined", None)}),
            json!({}),
            Some(Seccomp::Unconfined),
        ),
        (
            json!({"seccompProfile": profile("Unconfined", None)}),
            json!({"seccompProfile": profile("RuntimeDefault", None)}),
            Some(Seccomp::Default),
        ),
        (
            json!({}),
            json!({"seccompProfile": profile("Localhost", Some("a/b.json"))}),
            Some(Seccomp::Localhost("a/b.json".to_owned())),
        ),
        (json!({}), json!({"seccompProfile": profile("Localhost", Some(""))}), None),
        (json!({}), json!({"seccompProfile": profile("Localhost", None)}), None),
        (json!({}), json!({"seccompProfile": profile("Localhost", Some("../x"))}), None),
        (json!({}), json!({"seccompProfile": profile("Localhost", Some("/etc/x"))}), None),
        (json!({}), json!({"seccompProfile": profile("None", None)}), None),
    ] {
        assert_eq!(run(context, own, "").ok().map(|security| security.seccomp), want);
    }
    for (own, want) in [
        (json!({}), Some(AppArmor::Default)),
        (json!({"privileged": true}), Some(AppArmor::Unconfined)),
        (json!({"appArmorProfile": profile("Unconfined", None)}), Some(AppArmor::Unconfined)),
        (json!({"appArmorProfile": profile("RuntimeDefault", None)}), Some(AppArmor::Default)),
        (
            json!({"appArmorProfile": profile("Localhost", Some("web-1"))}),
            Some(AppArmor::Localhost("web-1".to_owned())),
        ),
        (json!({"appArmorProfile": profile("Localhost", Some("a b"))}), None),
        (json!({"appArmorProfile": profile("Localhost", None)}), None),
        (json!({"appArmorProfile": profile("", None)}), None),
    ] {
        assert_eq!(run(json!({}), own, "").ok().map(|security| security.apparmor), want);
    }
}

#[test]
fn kernel_parameters() {
    let of = |name: &str, host: bool| {
        let mut pod = pod(json!({"sysctls": [{"name": name, "value": "1"}]}), json!({}));
        let spec = pod.spec.as_mut().unwrap();
        (spec.host_network, spec.host_ipc) = (Some(host), Some(host));
        sysctls(&pod)
    };
    for name in SAFE_SAMPLES {
        assert_eq!(of(name, false).unwrap().len(), 1, "{name}");
        assert!(matches!(of(name, true), Err(SandboxError::HostSysctl { .. })), "{name}");
    }
    for name in [
        "kernel.msgmax",
        "net.core.somaxconn",
        "vm.swappiness",
        "kernel.core_pattern",
        "",
        "net.ipv4.tcp_rmem.x",
        "net.ipv4/tcp_rmem",
    ] {
        let error = of(name, false).unwrap_err();
        assert_eq!(error.reason(), "SysctlForbidden");
        assert_eq!(error.to_string(), format!("forbidden sysctl: {name:?} not allowlisted"));
    }
    let error = of("net.ipv4.tcp_rmem", true).unwrap_err().to_string();
    assert_eq!(error, "forbidden sysctl: \"net.ipv4.tcp_rmem\" not allowed with host net enabled");
}

const SAFE_SAMPLES: [&str; 4] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net/ipv4/tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

#[test]
fn whom_all_containers_share() {
    let pod = |context: Value, a: Value, b: Value| -> Pod {
        serde_json::from_value(json!({"spec": {"securityContext": context,
            "initContainers": [{"name": "a", "securityContext": a}], "containers": [{"name": "b", "securityContext": b}]}}))
        .unwrap()
    };
    let user = |n: i64| json!({"runAsUser": n});
    assert_eq!(shared_user(&pod(user(5), json!({}), json!({}))), Some(5));
    assert_eq!(shared_user(&pod(json!({}), user(6), user(6))), Some(6));
    assert_eq!(shared_user(&pod(json!({}), user(6), user(7))), None);
    assert_eq!(shared_user(&pod(json!({}), user(6), json!({}))), None);
    assert_eq!(shared_user(&pod(json!({}), json!({}), json!({}))), None);
}
