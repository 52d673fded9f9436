// SPDX-License-Identifier: Apache-2.0
//! Users without the right, and names that are paths.

use crate::machine::Machine;
use crate::refused;

pub(crate) fn attack_39_sessions_in_namespaces_of_others(machine: &Machine) {
    machine.tell("create namespace t1");
    machine.tell("-n t1 create serviceaccount u");
    machine.tell("-n t1 create rolebinding u --clusterrole=edit --serviceaccount=t1:u");
    let own = "--as=system:serviceaccount:t1:u";
    assert_eq!(machine.tell(&format!("{own} -n t1 auth can-i create pods/exec")).trim(), "yes");
    for line in [
        "logs victim",
        "exec victim -- true",
        "exec -i victim -- sh",
        "attach victim",
        "port-forward victim 18000:80",
        "get --raw /api/v1/namespaces/default/pods/victim/log",
        "get --raw /api/v1/nodes",
    ] {
        let said = refused(machine, &format!("{own} {line}"));
        assert!(said.contains("Forbidden") || said.contains("forbidden"), "{line}: {said}");
    }
    let node = &machine.engine.node.name;
    for path in ["pods", "containerLogs/default/victim/c", "exec/default/victim/c?command=id"] {
        let line = format!("{own} get --raw /api/v1/nodes/{node}/proxy/{path}");
        assert!(refused(machine, &line).contains("orbidden"), "{path}");
    }
    // The agent itself knows nobody who does not say who it is.
    for path in ["pods", "containerLogs/default/victim/c", "metrics", "healthz", ""] {
        let line = format!(
            "curl -sk -m 5 -o /dev/null -w %{{http_code}} https://192.168.77.2:10250/{path}"
        );
        assert_eq!(machine.outside.sh(&line), "401", "{path}");
    }
}

pub(crate) fn attack_39_names_that_are_paths(machine: &Machine) {
    let node = &machine.engine.node.name;
    let log = "/api/v1/namespaces/default/pods/victim/log";
    let agent = format!("/api/v1/nodes/{node}/proxy");
    for path in [
        format!("{log}?container=../../../etc/shadow"),
        format!("{log}?container=..%2F..%2Fetc%2Fshadow"),
        "/api/v1/namespaces/default/pods/..%2F..%2Fvictim/log".to_owned(),
        format!("{agent}/containerLogs/default/victim/..%2F..%2Fc"),
        format!("{agent}/containerLogs/..%2F..%2Fetc/shadow/c"),
        format!("{agent}/logs/../../../../etc/shadow"),
        format!("{agent}/logs/"),
        format!("{agent}/../../../../etc/shadow"),
    ] {
        let said = refused(machine, &format!("get --raw {path}"));
        let known = [
            "BadRequest",
            "not valid",
            "NotFound",
            "not found",
            "could not find",
            "Forbidden",
            "Bad Request",
            "does not exist",
        ];
        assert!(known.iter().any(|words| said.contains(words)), "{path}: {said}");
        assert!(!said.contains("root:"), "{path}: {said}");
    }
}
