// SPDX-License-Identifier: Apache-2.0
//! The pods that people work with.

use crate::machine::Machine;
use std::path::Path;

/// What the lines of a hung probe's processes have, and no others.
pub(crate) const HANGS: &str = "86311";
/// Containers whose probes hang.
pub(crate) const HUNG: usize = 10;

/// All that are there from the beginning.
pub(crate) fn all(machine: &Machine) -> String {
    let pods = [pod("box", "exec sleep 10000", ""), inner(), porter("porter"), own(), nobody()];
    let plain = pod(
        "plain",
        "exec httpd -f -p 8080 -h /tmp",
        ", readinessProbe: {httpGet: {port: 8080, scheme: HTTPS}, periodSeconds: 1}",
    );
    format!("{}{plain}{}", pods.concat(), keeper(machine))
}

fn pod(name: &str, line: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: \"busybox:test\", command: [sh, -c, '{line}']{more}}}
---
"
    )
}

/// It listens on its loopback alone, and with another port everywhere.
fn inner() -> String {
    let serve =
        "echo inner > /tmp/page; httpd -p 91 -h /tmp; exec httpd -f -p 127.0.0.1:90 -h /tmp";
    pod("inner", serve, ", readinessProbe: {tcpSocket: {port: 91}, periodSeconds: 1}")
}

/// It has a port of the host.
pub(crate) fn porter(name: &str) -> String {
    let line = format!("echo {name} > /tmp/page; exec httpd -f -p 8080 -h /tmp");
    pod(name, &line, ", ports: [{containerPort: 8080, hostPort: 18099}]")
}

/// This program's own servers, with what they are linked to: one speaks HTTPS, one gRPC.
fn own() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_berth"));
    let folder = program.parent().unwrap().display();
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: own}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: https
    image: busybox:test
    command: [/program/berth, apiserver, --store, memory, --listen, '0.0.0.0:8443']
    env: [{{name: XDG_RUNTIME_DIR, value: /tmp}}]
    readinessProbe: {{httpGet: {{scheme: HTTPS, port: 8443, path: /livez}}, periodSeconds: 1}}
    livenessProbe: {{httpGet: {{scheme: HTTPS, port: 8443, path: /livez}}, initialDelaySeconds: 10}}
    volumeMounts: &mounts
    - {{name: usr, mountPath: /usr, readOnly: true}}
    - {{name: lib, mountPath: /lib, readOnly: true}}
    - {{name: lib64, mountPath: /lib64, readOnly: true}}
    - {{name: program, mountPath: /program, readOnly: true}}
  - name: grpc
    image: busybox:test
    command: [/program/berth, scheduler, --standalone, --listen, '0.0.0.0:7301']
    readinessProbe: {{grpc: {{port: 7301}}, periodSeconds: 1}}
    startupProbe: {{grpc: {{port: 7301}}, periodSeconds: 1, failureThreshold: 60}}
    volumeMounts: *mounts
  volumes:
  - {{name: usr, hostPath: {{path: /usr}}}}
  - {{name: lib, hostPath: {{path: /lib}}}}
  - {{name: lib64, hostPath: {{path: /lib64}}}}
  - {{name: program, hostPath: {{path: {folder}}}}}
---
"
    )
}

/// It asks for the health of a service that its server does not have.
fn nobody() -> String {
    own()
        .replace("metadata: {name: own}", "metadata: {name: nobody}")
        .replace("  - name: grpc\n", "  - name: nothing\n")
        .replace(
            "    startupProbe: {grpc: {port: 7301}, periodSeconds: 1, failureThreshold: 60}\n",
            "",
        )
        .replace(
            "{grpc: {port: 7301}, periodSeconds: 1}",
            "{grpc: {port: 7301, service: nobody}, periodSeconds: 1}",
        )
}

/// It uses claims whose volumes somebody binds by hand.
fn keeper(machine: &Machine) -> String {
    let node = &machine.engine.node.name;
    let claim = |kind: &str| {
        format!(
            "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {kind}, annotations: {{pv.kubernetes.io/bind-completed: 'yes'}}}}
spec: {{storageClassName: '', volumeName: by-hand-{kind}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
---
"
        )
    };
    ["path", "local"].map(claim).concat()
        + &format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: keeper}}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  containers:
  - name: c
    image: busybox:test
    command: [sh, -c, 'echo kept > /path/written; echo kept > /local/written; exec sleep 10000']
    volumeMounts: [{{name: path, mountPath: /path}}, {{name: local, mountPath: /local}}]
  volumes:
  - {{name: path, persistentVolumeClaim: {{claimName: path}}}}
  - {{name: local, persistentVolumeClaim: {{claimName: local}}}}
---
"
        )
}

/// What a user does where nothing binds claims: makes the volumes, and says that both sides are each other's.
pub(crate) fn bind_by_hand(machine: &Machine) {
    let node = &machine.engine.node.name;
    for kind in ["path", "local"] {
        let folder = machine.folder().join(format!("by-hand-{kind}"));
        std::fs::create_dir(&folder).unwrap();
        let uid = machine.tell(&format!("get pvc {kind} -o jsonpath={{.metadata.uid}}"));
        let source = match kind {
            "path" => format!("hostPath: {{path: {}}}", folder.display()),
            _ => format!(
                "local: {{path: {}}}\n  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: \
                 [{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]}}]}}}}",
                folder.display()
            ),
        };
        machine.apply(&format!(
            "apiVersion: v1
kind: PersistentVolume
metadata: {{name: by-hand-{kind}}}
spec:
  capacity: {{storage: 1Mi}}
  accessModes: [ReadWriteOnce]
  storageClassName: ''
  claimRef: {{kind: PersistentVolumeClaim, namespace: default, name: {kind}, uid: {uid}}}
  {source}
"
        ));
        let bound = r#"{"status":{"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Mi"}}}"#;
        for (what, status) in [
            (format!("pvc/{kind}"), bound),
            (format!("pv/by-hand-{kind}"), r#"{"status":{"phase":"Bound"}}"#),
        ] {
            machine.told(&["patch", &what, "--subresource=status", "--type=merge", "-p", status]);
        }
    }
}

/// Probes that never end.
pub(crate) fn hung() -> String {
    let container = |number: usize| {
        format!(
            "  - name: c{number}
    image: busybox:test
    command: [sleep, '10000']
    readinessProbe: {{exec: {{command: [sh, -c, 'sleep {HANGS} & sleep {HANGS}']}}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 3}}
"
        )
    };
    let containers: String = (0..HUNG).map(container).collect();
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: hung}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
{containers}"
    )
}
