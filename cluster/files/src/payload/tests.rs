// SPDX-License-Identifier: Apache-2.0
//! Contents of volumes as upstream makes them.

use super::*;
use crate::facts::Facts;
use crate::needs::TokenNeed;
use crate::sources::{Lookup, Sources, Token};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

fn sources() -> Sources {
    let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"bin": "/wA="}});
    let secret = json!({"data": {"user": "cm9vdA==", "a": "c2VjcmV0"}});
    let token = |audience: &str, seconds| TokenNeed { audience: audience.to_owned(), seconds };
    Sources {
        config_maps: BTreeMap::from([
            ("map".to_owned(), Lookup::found(serde_json::from_value(map).unwrap())),
            ("gone".to_owned(), Lookup::Absent),
        ]),
        secrets: BTreeMap::from([
            ("secret".to_owned(), Lookup::found(serde_json::from_value(secret).unwrap())),
            ("gone".to_owned(), Lookup::Absent),
        ]),
        tokens: BTreeMap::from([
            (token("", 3_600), Lookup::found(Token("jwt".to_owned()))),
            (token("late", 3_600), Lookup::Failed("timeout".to_owned())),
        ]),
        ..Sources::default()
    }
}

fn run(volume: Value, context: Value, may_own: bool) -> Result<Payload, String> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
        "spec": {"securityContext": context, "containers": [{"name": "c", "resources": {"limits": {"cpu": "250m"}}}], "volumes": [volume]},
    }))
    .unwrap();
    let volume = &pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0];
    let payload = of_volume(&pod, volume, &sources(), &Facts::default(), may_own);
    payload
        .map(|payload| payload.expect("a volume made of objects"))
        .map_err(|error| error.to_string())
}

fn listed(payload: &Payload) -> Vec<(String, String, u32)> {
    let text = |file: &File| String::from_utf8_lossy(&file.bytes).into_owned();
    payload.files.iter().map(|(path, file)| (path.clone(), text(file), file.mode)).collect()
}

fn is(volume: Value, wanted: &[(&str, &str, u32)], secret: bool) {
    let payload = run(volume.clone(), json!({}), true).unwrap();
    let wanted: Vec<_> =
        wanted.iter().map(|(p, t, m)| ((*p).to_owned(), (*t).to_owned(), *m)).collect();
    assert_eq!((listed(&payload), payload.secret), (wanted, secret), "{volume}");
}

#[test]
fn config_maps_and_secrets() {
    let volume = |kind: &str, source: Value| json!({"name": "v", kind: source});
    is(
        volume("configMap", json!({"name": "map"})),
        &[("a", "1", 0o644), ("b", "2", 0o644), ("bin", "\u{fffd}\0", 0o644)],
        false,
    );
    is(
        volume(
            "configMap",
            json!({"name": "map", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/./y"}, {"key": "bin", "path": "z", "mode": 0o777}]}),
        ),
        &[("x/y", "1", 0o400), ("z", "\u{fffd}\0", 0o777)],
        false,
    );
    is(volume("configMap", json!({"name": "gone", "optional": true})), &[], false);
    is(
        volume(
            "configMap",
            json!({"name": "map", "optional": true, "items": [{"key": "no", "path": "x"}]}),
        ),
        &[],
        false,
    );
    is(
        volume("secret", json!({"secretName": "secret", "defaultMode": 0})),
        &[("a", "secret", 0), ("user", "root", 0)],
        true,
    );
    is(volume("secret", json!({"secretName": "gone", "optional": true})), &[], true);
    for (kind, source, want) in [
        ("configMap", json!({"name": "gone"}), "configmap \"gone\" not found"),
        (
            "configMap",
            json!({"name": "map", "items": [{"key": "no", "path": "x"}]}),
            "configmap references non-existent config key: no",
        ),
        ("secret", json!({"secretName": "gone"}), "secret \"gone\" not found"),
        (
            "secret",
            json!({"secretName": "secret", "items": [{"key": "no", "path": "x"}]}),
            "references non-existent secret key: no",
        ),
        (
            "secret",
            json!({"secretName": "new"}),
            "secret \"new\" is not known yet: it was not fetched yet",
        ),
        (
            "configMap",
            json!({"name": "map", "items": [{"key": "a", "path": "../x"}]}),
            "path \"../x\" must not contain '..'",
        ),
        (
            "configMap",
            json!({"name": "map", "items": [{"key": "a", "path": "/x"}]}),
            "path \"/x\" must be a relative path",
        ),
        (
            "configMap",
            json!({"name": "map", "items": [{"key": "a", "path": "..data/x"}]}),
            "path \"..data/x\" must not start with '..'",
        ),
        (
            "configMap",
            json!({"name": "map", "items": [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y/z"}]}),
            "two files want the path \"x\"",
        ),
    ] {
        assert_eq!(run(volume(kind, source), json!({}), true).unwrap_err(), want);
    }
}

#[test]
fn fields() {
    is(
        json!({"name": "v", "downwardAPI": {"defaultMode": 0o440, "items": [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "one", "mode": 0o600, "fieldRef": {"fieldPath": "metadata.labels['a']"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}}]}}),
        &[("cpu", "250", 0o440), ("labels", "a=\"b\"", 0o440), ("one", "b", 0o600)],
        false,
    );
    let bad = json!({"name": "v", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "status.podIP"}}]}});
    assert_eq!(run(bad, json!({}), true).unwrap_err(), "unsupported fieldPath: status.podIP");
}

#[test]
fn several_sources() {
    let projected = |sources: Value| json!({"name": "v", "projected": {"sources": sources}});
    is(
        projected(
            json!([{"configMap": {"name": "map"}}, {"secret": {"name": "secret", "items": [{"key": "a", "path": "a"}]}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]),
        ),
        &[
            ("a", "secret", 0o644),
            ("b", "2", 0o644),
            ("bin", "\u{fffd}\0", 0o644),
            ("ns", "n", 0o644),
        ],
        true,
    );
    is(
        projected(json!([{"configMap": {"name": "map", "items": [{"key": "a", "path": "a"}]}}])),
        &[("a", "1", 0o644)],
        false,
    );
    let error = run(projected(json!([{"clusterTrustBundle": {"path": "x"}}])), json!({}), true)
        .unwrap_err();
    assert!(error.starts_with("a projected clusterTrustBundle is not supported here"), "{error}");
    let late = json!([{"serviceAccountToken": {"path": "token", "audience": "late"}}]);
    assert_eq!(
        run(projected(late), json!({}), true).unwrap_err(),
        "token of serviceaccount \"default\" is not known yet: timeout"
    );
}

#[test]
fn who_may_read_a_token() {
    let volume = json!({"name": "v", "projected": {"defaultMode": 0o644, "sources": [{"serviceAccountToken": {"path": "token"}}]}});
    for (context, may_own, mode, owner) in [
        (json!({}), true, 0o644, None),
        (json!({"runAsUser": 5}), true, 0o600, Some(5)),
        (json!({"fsGroup": 6}), true, 0o600, None),
        (json!({"runAsUser": 5, "fsGroup": 6}), true, 0o600, Some(5)),
        (json!({"runAsUser": 5}), false, 0o644, None),
    ] {
        let payload = run(volume.clone(), context, may_own).unwrap();
        let file = &payload.files["token"];
        assert_eq!(
            (file.mode, file.owner, payload.secret, file.bytes.as_slice()),
            (mode, owner, true, b"jwt".as_slice())
        );
        assert!(!format!("{payload:?}").contains("jwt"));
    }
}
