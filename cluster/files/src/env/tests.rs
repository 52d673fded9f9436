// SPDX-License-Identifier: Apache-2.0
//! Environments as upstream makes them.

use super::*;
use crate::facts::NodeAmounts;
use crate::sources::ServiceLink;
use serde_json::{Value, json};

fn sources() -> Sources {
    let object = |value: Value| serde_json::from_value(value).unwrap();
    let map =
        object(json!({"data": {"a": "1", "b.c": "2", "1x": "bad", "..y": "bad", "sp ace": "bad"}}));
    let secret =
        serde_json::from_value(json!({"data": {"user": "cm9vdA==", "raw": "/w=="}})).unwrap();
    let service = |namespace: &str, name: &str, address: &str, ports: Value| {
        let spec = json!({"clusterIP": address, "ports": ports});
        let service = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
        ServiceLink::of(&serde_json::from_value(service).unwrap())
    };
    let services = [
        service("default", "kubernetes", "10.96.0.1", json!([{"name": "https", "port": 443}])),
        service(
            "n",
            "my-db",
            "10.96.0.2",
            json!([
            {"name": "sql-x", "port": 5432, "protocol": "TCP"}, {"name": "stat", "port": 9, "protocol": "UDP"}]),
        ),
        service("n", "six", "fd00::2", json!([{"port": 80, "protocol": "TCP"}])),
        service("n", "headless", "None", json!([{"port": 80}])),
        service("n", "no-ports", "10.96.0.3", json!([])),
        service("other", "foreign", "10.96.0.4", json!([{"port": 80}])),
    ];
    Sources {
        config_maps: BTreeMap::from([
            ("map".to_owned(), Lookup::found(map)),
            ("gone".to_owned(), Lookup::Absent),
            ("away".to_owned(), Lookup::Failed("connection refused".to_owned())),
        ]),
        secrets: BTreeMap::from([
            ("secret".to_owned(), Lookup::found(secret)),
            ("gone".to_owned(), Lookup::Absent),
        ]),
        services: services.into_iter().flatten().collect(),
        ..Sources::default()
    }
}

fn run(container: Value, links: bool) -> Result<Environment, ConfigError> {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "n", "labels": {"app": "web"}},
        "spec": {"enableServiceLinks": links, "nodeName": "node", "containers": [container]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let facts = Facts {
        addresses: vec!["10.0.0.1".to_owned()],
        allocatable: NodeAmounts {
            cpu_milli: 2_000,
            memory_bytes: 1 << 30,
            ..NodeAmounts::default()
        },
        ..Facts::default()
    };
    let addresses = ["10.1.0.7".to_owned()];
    super::container(
        &pod,
        &pod.spec.as_ref().unwrap().containers[0],
        &sources(),
        &facts,
        &addresses,
    )
}

fn with(env: Value, from: Value) -> Result<Environment, ConfigError> {
    run(json!({"name": "c", "env": env, "envFrom": from}), false)
}

fn is(environment: &Environment, wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert_eq!(environment.variables.get(*name).map(String::as_str), Some(*value), "{name}");
    }
}

#[test]
fn whole_objects() {
    let environment = with(
        json!([{"name": "a", "value": "own"}]),
        json!([
            {"configMapRef": {"name": "map"}},
            {"prefix": "p_", "configMapRef": {"name": "map"}},
            {"secretRef": {"name": "secret"}},
            {"configMapRef": {"name": "gone", "optional": true}},
            {"secretRef": {"name": "gone", "optional": true}},
        ]),
    )
    .unwrap();
    is(
        &environment,
        &[
            ("a", "own"),
            ("b.c", "2"),
            ("p_a", "1"),
            ("p_1x", "bad"),
            ("user", "root"),
            ("raw", "\u{fffd}"),
        ],
    );
    for absent in ["1x", "..y", "sp ace", "p_sp ace"] {
        assert!(!environment.variables.contains_key(absent), "{absent}");
    }
    assert_eq!(
        environment.skipped,
        [
            "Keys [..y, 1x, sp ace] from the EnvFrom configMap n/map were skipped since they are considered invalid environment variable names.",
            "Keys [p_sp ace] from the EnvFrom configMap n/map were skipped since they are considered invalid environment variable names.",
        ]
    );
}

#[test]
fn single_values() {
    let environment = with(
        json!([
            {"name": "PLAIN", "value": "x"},
            {"name": "REF", "value": "$(PLAIN)-$(LATER)-$$(PLAIN)-$(a)"},
            {"name": "LATER", "value": "y"},
            {"name": "PLAIN", "value": "$(PLAIN)2"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "1x"}}},
            {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "user"}}},
            {"name": "O1", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "no", "optional": true}}},
            {"name": "O2", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "no", "optional": true}}},
            {"name": "EMPTY"},
            {"name": "KUBE", "value": "$(KUBERNETES_SERVICE_HOST)"},
        ]),
        json!([{"configMapRef": {"name": "map"}}]),
    )
    .unwrap();
    is(
        &environment,
        &[
            ("PLAIN", "x2"),
            ("REF", "x-$(LATER)-$(PLAIN)-1"),
            ("IP", "10.1.0.7"),
            ("APP", "web"),
            ("CPU", "2"),
            ("KEY", "bad"),
            ("USER", "root"),
            ("EMPTY", ""),
            ("KUBE", "10.96.0.1"),
        ],
    );
    assert!(!environment.variables.contains_key("O1") && !environment.variables.contains_key("O2"));
}

#[test]
fn what_is_missing_is_said_in_the_words_that_users_know() {
    let of_map = |name: &str, key: &str| json!([{"name": "X", "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}]);
    let of_secret = |name: &str, key: &str| json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]);
    for (env, from, want) in [
        (of_map("gone", "k"), json!([]), "configmap \"gone\" not found"),
        (of_map("map", "k"), json!([]), "couldn't find key k in ConfigMap n/map"),
        (of_map("away", "k"), json!([]), "configmap \"away\" is not known yet: connection refused"),
        (
            of_map("new", "k"),
            json!([]),
            "configmap \"new\" is not known yet: it was not fetched yet",
        ),
        (of_secret("gone", "k"), json!([]), "secret \"gone\" not found"),
        (of_secret("secret", "k"), json!([]), "couldn't find key k in Secret n/secret"),
        (json!([]), json!([{"configMapRef": {"name": "gone"}}]), "configmap \"gone\" not found"),
        (json!([]), json!([{"secretRef": {"name": "gone"}}]), "secret \"gone\" not found"),
        (
            json!([]),
            json!([{"configMapRef": {"name": "away", "optional": true}}]),
            "configmap \"away\" is not known yet: connection refused",
        ),
        (
            json!([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
            json!([]),
            "unsupported fieldPath: spec.x",
        ),
    ] {
        let error = with(env, from).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.reason()),
            (want, "CreateContainerConfigError")
        );
    }
    for name in ["", "a=b", "a\0", "a\nB=1"] {
        let error = with(json!([{"name": name, "value": "x"}]), json!([])).unwrap_err();
        assert_eq!(error, ConfigError::Variable { name: name.to_owned() });
    }
}

#[test]
fn services() {
    let environment =
        run(json!({"name": "c", "env": [{"name": "SIX_PORT", "value": "mine"}]}), true).unwrap();
    let names: Vec<_> =
        environment.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let wanted = "\
KUBERNETES_PORT=tcp://10.96.0.1:443
KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443
KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1
KUBERNETES_PORT_443_TCP_PORT=443
KUBERNETES_PORT_443_TCP_PROTO=tcp
KUBERNETES_SERVICE_HOST=10.96.0.1
KUBERNETES_SERVICE_PORT=443
KUBERNETES_SERVICE_PORT_HTTPS=443
MY_DB_PORT=tcp://10.96.0.2:5432
MY_DB_PORT_5432_TCP=tcp://10.96.0.2:5432
MY_DB_PORT_5432_TCP_ADDR=10.96.0.2
MY_DB_PORT_5432_TCP_PORT=5432
MY_DB_PORT_5432_TCP_PROTO=tcp
MY_DB_PORT_9_UDP=udp://10.96.0.2:9
MY_DB_PORT_9_UDP_ADDR=10.96.0.2
MY_DB_PORT_9_UDP_PORT=9
MY_DB_PORT_9_UDP_PROTO=udp
MY_DB_SERVICE_HOST=10.96.0.2
MY_DB_SERVICE_PORT=5432
MY_DB_SERVICE_PORT_SQL_X=5432
MY_DB_SERVICE_PORT_STAT=9
SIX_PORT=mine
SIX_PORT_80_TCP=tcp://[fd00::2]:80
SIX_PORT_80_TCP_ADDR=fd00::2
SIX_PORT_80_TCP_PORT=80
SIX_PORT_80_TCP_PROTO=tcp
SIX_SERVICE_HOST=fd00::2
SIX_SERVICE_PORT=80";
    assert_eq!(names.join("\n"), wanted);
    let environment = run(json!({"name": "c"}), false).unwrap();
    assert!(environment.variables.keys().all(|name| name.starts_with("KUBERNETES_")));
    assert_eq!(environment.variables.len(), 8);
}
