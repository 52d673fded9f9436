// SPDX-License-Identifier: Apache-2.0
//! Rules of workloads of which the record says nothing, from upstream's validation.
#![allow(clippy::unwrap_used, reason = "what a test writes has these fields")]

mod judge;

use berth_cluster_api::kinds::workload::scale;
use berth_cluster_api::registry::Part;
use berth_cluster_json::{Value, json};
use judge::{changed, kind, made, sound, with};

fn workload(spec: Value) -> Value {
    let mut whole = json!({
        "selector": { "matchLabels": { "app": "a" } },
        "template": {
            "metadata": { "labels": { "app": "a" } },
            "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
        },
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({ "metadata": { "name": "w", "creationTimestamp": "1970-01-01T00:00:00Z" }, "spec": whole })
}

#[test]
fn a_stateful_set_changes_in_part_and_knows_its_claims() {
    let claim =
        json!({ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } });
    let old = sound(
        "StatefulSet",
        &workload(json!({ "serviceName": "s", "volumeClaimTemplates": [claim] })),
    );
    let claim = &old["spec"]["volumeClaimTemplates"][0];
    assert_eq!(
        (&claim["kind"], &claim["status"]["phase"]),
        (&json!("PersistentVolumeClaim"), &json!("Pending"))
    );
    assert_eq!(claim["spec"]["volumeMode"], "Filesystem");
    let new = with(&with(&old, "/spec/replicas", 3.into()), "/spec/revisionHistoryLimit", 1.into());
    let (made, errors) = changed("StatefulSet", &old, &new, Part::Main);
    assert!(errors.is_empty() && made["metadata"]["generation"] == 2, "{errors:?}");
    let errors =
        changed("StatefulSet", &old, &with(&old, "/spec/serviceName", "t".into()), Part::Main).1;
    let wanted = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                  'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    assert_eq!(errors, [wanted]);
    assert!(
        !kind("StatefulSet").rules.name_problem("a.b", false).is_empty(),
        "pods are named after it"
    );
}

#[test]
fn the_words_of_a_stateful_set_are_known() {
    let bad = workload(json!({
        "persistentVolumeClaimRetentionPolicy": { "whenScaled": "Keep" },
        "updateStrategy": { "type": "OnDelete", "rollingUpdate": { "partition": 1 } },
        "ordinals": { "start": -1 },
    }));
    let wanted = [
        "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
        "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
    ];
    assert_eq!(made("StatefulSet", &bad).1, wanted);
    let old = sound("StatefulSet", &workload(json!({})));
    let new =
        with(&old, "/status", json!({ "replicas": 1, "readyReplicas": 1, "availableReplicas": 2 }));
    let wanted = [
        "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
    ];
    assert_eq!(changed("StatefulSet", &old, &new, Part::Status).1, wanted);
}

#[test]
fn a_daemon_set_counts_its_templates() {
    let old = sound("DaemonSet", &workload(json!({})));
    let count = |of: &Value| {
        of["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone()
    };
    assert_eq!(count(&old), "1");
    let new = with(&old, "/spec/template/metadata/labels", json!({ "app": "a", "b": "c" }));
    let (made, errors) = changed("DaemonSet", &old, &new, Part::Main);
    assert!(
        errors.is_empty() && count(&made) == "2" && made["metadata"]["generation"] == 2,
        "{errors:?} {made}"
    );
    let (made, _) =
        changed("DaemonSet", &old, &with(&old, "/spec/minReadySeconds", 1.into()), Part::Main);
    assert_eq!((count(&made), &made["metadata"]["generation"]), (json!("1"), &json!(2)));
}

#[test]
fn a_daemon_set_has_either_a_surge_or_a_gap() {
    let rolling = |less: Value, more: Value| {
        let rolling = json!({ "maxUnavailable": less, "maxSurge": more });
        made("DaemonSet", &workload(json!({ "updateStrategy": { "rollingUpdate": rolling } }))).1
    };
    assert!(rolling(0.into(), "10%".into()).is_empty());
    let both = rolling(1.into(), 1.into());
    assert!(
        both[0].ends_with("may not be set when maxUnavailable is non-zero") && both.len() == 1,
        "{both:?}"
    );
    assert_eq!(
        rolling(0.into(), 0.into()),
        [
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"
        ]
    );
    let cells = kind("DaemonSet")
        .rules
        .cells(sound("DaemonSet", &workload(json!({}))).as_object().unwrap(), 60);
    assert_eq!(
        Value::from(cells),
        json!(["w", 0, 0, 0, 0, 0, "<none>", "60s", "c", "i:1", "app=a"])
    );
}

#[test]
fn a_replication_controller_takes_its_labels_from_its_template() {
    let spec = json!({ "template": workload(json!({}))["spec"]["template"] });
    let made =
        sound("ReplicationController", &json!({ "metadata": { "name": "w" }, "spec": spec }));
    assert_eq!(
        (&made["spec"]["selector"], &made["metadata"]["labels"]),
        (&json!({ "app": "a" }), &json!({ "app": "a" }))
    );
    assert_eq!(scale::read(made.as_object().unwrap())["status"]["selector"], "app=a");
    let none = json!({ "metadata": { "name": "w" }, "spec": { "selector": { "a": "b" } } });
    assert_eq!(judge::made("ReplicationController", &none).1, ["spec.template: Required value"]);
}

#[test]
fn a_revision_keeps_its_data_and_names_its_controller() {
    let owner = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true });
    let old = json!({ "metadata": { "name": "r", "ownerReferences": [owner] }, "data": { "a": 1 }, "revision": 1 });
    let new = with(&with(&old, "/revision", 2.into()), "/data", json!({ "a": 2 }));
    let wanted = "data: Invalid value: {\"a\":2}: field is immutable";
    assert_eq!(changed("ControllerRevision", &old, &new, Part::Main).1, [wanted]);
    let cells = kind("ControllerRevision").rules.cells(old.as_object().unwrap(), 0);
    assert_eq!((&cells[1], &cells[2]), (&json!("statefulset.apps/web"), &json!(1)));
}

#[test]
fn a_template_counts_its_changes() {
    let template = workload(json!({}))["spec"]["template"].clone();
    let old = sound("PodTemplate", &json!({ "metadata": { "name": "t" }, "template": template }));
    let new = with(&old, "/template/metadata/labels", json!({ "app": "b" }));
    let (made, errors) = changed("PodTemplate", &old, &new, Part::Main);
    assert!(errors.is_empty() && made["metadata"]["generation"] == 2, "{errors:?}");
    let cells = kind("PodTemplate").rules.cells(made.as_object().unwrap(), 0);
    assert_eq!(Value::from(cells), json!(["t", "c", "i:1", "app=b"]));
}
