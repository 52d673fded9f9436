// SPDX-License-Identifier: Apache-2.0
//! Rules of storage of which the record says nothing, from upstream's validation.
#![allow(clippy::unwrap_used, reason = "what a test writes has these fields")]

mod judge;

use berth_cluster_api::registry::Part;
use berth_cluster_json::{Value, json};
use judge::{changed, kind, made, sound, with};

fn volume() -> Value {
    json!({ "metadata": { "name": "v" }, "spec": {
        "capacity": { "storage": "1Gi" },
        "accessModes": ["ReadWriteOnce"],
        "csi": { "driver": "d.example.org", "volumeHandle": "h" },
    } })
}

fn claim() -> Value {
    json!({ "metadata": { "name": "c" }, "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "2Gi" } },
    } })
}

#[test]
fn a_volume_has_one_source_capacity_and_modes() {
    let (_, errors) = made("PersistentVolume", &json!({ "metadata": { "name": "v" }, "spec": {} }));
    let wanted = [
        "spec.accessModes: Required value",
        "spec.capacity: Required value",
        "spec.capacity: Unsupported value: null: supported values: \"storage\"",
        "spec: Required value: must specify a volume type",
    ];
    assert_eq!(errors, wanted);
    let modes = json!(["ReadWriteOncePod", "ReadOnlyMany", "X"]);
    let bad =
        with(&with(&volume(), "/spec/accessModes", modes), "/spec/capacity/storage", "0".into());
    let wanted = [
        "spec.accessModes: Unsupported value: \"X\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \
         \"ReadWriteOncePod\"",
        "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
    ];
    assert_eq!(made("PersistentVolume", &bad).1, wanted);
    let local = json!({ "metadata": { "name": "v" }, "spec": {
        "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
        "local": { "path": "/a/../b" }, "nodeAffinity": {}, "volumeMode": "X",
    } });
    let wanted = [
        "spec.nodeAffinity.required: Required value: must specify required node constraints",
        "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'",
        "spec.nodeAffinity: Required value: Local volume requires node affinity",
        "spec.volumeMode: Unsupported value: \"X\": supported values: \"Block\", \"Filesystem\"",
    ];
    assert_eq!(made("PersistentVolume", &local).1, wanted);
}

#[test]
fn a_volume_of_a_driver_names_whole_secrets() {
    let bad = with(
        &volume(),
        "/spec/csi",
        json!({
            "driver": "D_", "nodePublishSecretRef": { "name": "s" }, "controllerExpandSecretRef": { "namespace": "n" },
        }),
    );
    let errors = made("PersistentVolume", &bad).1;
    let fields: Vec<&str> = errors.iter().map(|it| it.split_once(": ").unwrap().0).collect();
    let wanted = [
        "spec.csi.driver",
        "spec.csi.volumeHandle",
        "spec.csi.controllerExpandSecretRef.name",
        "spec.csi.nodePublishSecretRef.namespace",
    ];
    assert_eq!(fields, wanted, "{errors:?}");
}

#[test]
fn the_source_of_a_volume_stays_but_for_the_secret_that_it_grows_with() {
    let old = sound("PersistentVolume", &volume());
    assert_eq!(old["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(
        (&old["spec"]["volumeMode"], &old["status"]),
        (&json!("Filesystem"), &json!({ "phase": "Pending" }))
    );
    let secret = json!({ "name": "s", "namespace": "n" });
    let grown = with(&old, "/spec/csi/controllerExpandSecretRef", secret);
    assert_eq!(changed("PersistentVolume", &old, &grown, Part::Main).1, [""; 0]);
    let other = with(&old, "/spec/csi/volumeHandle", "i".into());
    let wanted = "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation";
    assert_eq!(changed("PersistentVolume", &old, &other, Part::Main).1, [wanted]);
    let bound =
        with(&with(&old, "/status/phase", "Bound".into()), "/spec/storageClassName", "x".into());
    let (kept, errors) = changed("PersistentVolume", &old, &bound, Part::Status);
    assert!(errors.is_empty() && kept["spec"] == old["spec"] && kept["status"]["phase"] == "Bound");
    assert_eq!(changed("PersistentVolume", &old, &bound, Part::Main).0["status"], old["status"]);
}

#[test]
fn the_nodes_of_a_volume_stay_but_for_old_names_of_their_labels() {
    let on = |key: &str| {
        let term =
            json!({ "matchExpressions": [{ "key": key, "operator": "In", "values": ["a"] }] });
        with(
            &volume(),
            "/spec/nodeAffinity",
            json!({ "required": { "nodeSelectorTerms": [term] } }),
        )
    };
    let old = sound("PersistentVolume", &on("failure-domain.beta.kubernetes.io/zone"));
    let new = on("topology.kubernetes.io/zone");
    assert_eq!(changed("PersistentVolume", &old, &new, Part::Main).1, [""; 0]);
    let errors = changed("PersistentVolume", &old, &on("kubernetes.io/hostname"), Part::Main).1;
    assert!(
        errors[0].starts_with("nodeAffinity: Invalid value") && errors.len() == 1,
        "{errors:?}"
    );
    let none = sound("PersistentVolume", &volume());
    assert_eq!(changed("PersistentVolume", &none, &new, Part::Main).1, [""; 0]);
}

#[test]
fn a_claim_is_bound_once_and_grows_when_it_is_bound() {
    let old = sound("PersistentVolumeClaim", &claim());
    let asks = |of: &Value, size: &str| with(of, "/spec/resources/requests/storage", size.into());
    let immutable = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName \
                     for bound claims";
    assert_eq!(
        changed("PersistentVolumeClaim", &old, &asks(&old, "3Gi"), Part::Main).1,
        [immutable]
    );
    let named = with(&old, "/spec/volumeName", "v".into());
    assert_eq!(changed("PersistentVolumeClaim", &old, &named, Part::Main).1, [""; 0]);
    let other = with(&old, "/spec/volumeName", "w".into());
    assert_eq!(changed("PersistentVolumeClaim", &named, &other, Part::Main).1, [immutable]);
    let bound =
        with(&named, "/status", json!({ "phase": "Bound", "capacity": { "storage": "2Gi" } }));
    assert_eq!(
        changed("PersistentVolumeClaim", &bound, &asks(&bound, "3Gi"), Part::Main).1,
        [""; 0]
    );
    let wanted =
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
    assert_eq!(
        changed("PersistentVolumeClaim", &bound, &asks(&bound, "1Gi"), Part::Main).1,
        [wanted]
    );
    // What was asked for and did not come may be taken back.
    let asked = asks(&bound, "9Gi");
    assert_eq!(
        changed("PersistentVolumeClaim", &asked, &asks(&bound, "3Gi"), Part::Main).1,
        [""; 0]
    );
    let class = with(&old, "/spec/storageClassName", "fast".into());
    assert_eq!(changed("PersistentVolumeClaim", &old, &class, Part::Main).1, [""; 0]);
    assert_eq!(changed("PersistentVolumeClaim", &class, &old, Part::Main).1, [immutable]);
    let attributes = with(&bound, "/spec/volumeAttributesClassName", "gold".into());
    assert_eq!(changed("PersistentVolumeClaim", &bound, &attributes, Part::Main).1, [""; 0]);
    let errors = changed("PersistentVolumeClaim", &attributes, &bound, Part::Main).1;
    let wanted =
        "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden";
    assert_eq!(errors, [wanted]);
}

#[test]
fn the_source_of_a_claim_is_said_in_both_fields() {
    let source =
        json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s" });
    for field in ["dataSource", "dataSourceRef"] {
        let object = sound(
            "PersistentVolumeClaim",
            &with(&claim(), &format!("/spec/{field}"), source.clone()),
        );
        assert_eq!(
            (&object["spec"]["dataSource"], &object["spec"]["dataSourceRef"]),
            (&source, &source)
        );
    }
    let other = json!({ "apiGroup": "x.example.org", "kind": "Thing", "name": "s" });
    let object = sound("PersistentVolumeClaim", &with(&claim(), "/spec/dataSource", other));
    assert!(object["spec"]["dataSource"].is_null() && object["spec"]["dataSourceRef"].is_null());
    let bad = with(&claim(), "/spec/dataSourceRef", json!({ "kind": "Thing", "name": "" }));
    let wanted = [
        "spec.dataSource.name: Required value",
        "spec.dataSource: Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        "spec.dataSourceRef.name: Required value",
        "spec.dataSourceRef: Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
    ];
    assert_eq!(made("PersistentVolumeClaim", &bad).1, wanted);
}

#[test]
fn a_status_of_a_claim_has_amounts_and_states_that_are_known() {
    let old = sound("PersistentVolumeClaim", &claim());
    let new = with(
        &old,
        "/status",
        json!({
            "phase": "Bound", "capacity": { "storage": "-1" },
            "allocatedResourceStatuses": { "cpu": "X" },
        }),
    );
    let errors = changed("PersistentVolumeClaim", &old, &new, Part::Status).1;
    let fields: Vec<&str> = errors.iter().map(|it| it.split_once(": ").unwrap().0).collect();
    let at = "status.allocatedResourceStatus";
    assert_eq!(fields, ["status.capacity[storage]", at, at], "{errors:?}");
}

#[test]
fn a_class_of_storage_keeps_what_volumes_are_made_by() {
    let class = json!({ "metadata": { "name": "c" }, "provisioner": "p", "volumeBindingMode": "Immediate" });
    let old = sound("StorageClass", &class);
    let new = with(&old, "/volumeBindingMode", "WaitForFirstConsumer".into());
    let wanted = "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable";
    assert_eq!(changed("StorageClass", &old, &new, Part::Main).1, [wanted]);
    let zone = json!({ "matchLabelExpressions": [{ "key": "zone", "values": ["a", "a"] }] });
    let bad = with(
        &class,
        "/allowedTopologies",
        json!([zone, zone, { "matchLabelExpressions": [{ "key": "k" }] }]),
    );
    let errors = made("StorageClass", &bad).1;
    let wanted = [
        "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
        "allowedTopologies[1].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
        "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\"",
        "allowedTopologies[2].matchLabelExpressions[0].values: Required value",
    ];
    assert_eq!(errors, wanted);
    let mut marked = class;
    marked["metadata"]["annotations"] =
        json!({ "storageclass.kubernetes.io/is-default-class": "true" });
    let cells = kind("StorageClass").rules.cells(marked.as_object().unwrap(), 0);
    assert_eq!(cells[0], "c (default)");
}

#[test]
fn drivers_and_their_nodes_change_in_part() {
    let old = sound("CSIDriver", &json!({ "metadata": { "name": "d" }, "spec": {} }));
    assert_eq!(
        (&old["metadata"]["generation"], &old["spec"]["seLinuxMount"]),
        (&json!(1), &json!(false))
    );
    let new = with(
        &with(&old, "/spec/attachRequired", false.into()),
        "/spec/podInfoOnMount",
        true.into(),
    );
    let (new, errors) = changed("CSIDriver", &old, &new, Part::Main);
    assert_eq!(errors, ["spec.attachedRequired: Invalid value: false: field is immutable"]);
    assert_eq!(new["metadata"]["generation"], 2);
    let token = |seconds: i64| json!({ "audience": "a", "expirationSeconds": seconds });
    let bad = with(&old, "/spec/tokenRequests", json!([token(9), token(900)]));
    let wanted = [
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 9: may not specify a duration less than 10 minutes",
        "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
    ];
    assert_eq!(made("CSIDriver", &bad).1, wanted);
    let node = |id: &str| json!({ "metadata": { "name": "n" }, "spec": { "drivers": [{ "name": "d", "nodeID": id }] } });
    let errors = changed("CSINode", &sound("CSINode", &node("a")), &node("b"), Part::Main).1;
    assert!(errors.len() == 1 && errors[0].ends_with("field is immutable"), "{errors:?}");
}

#[test]
fn an_attachment_names_one_volume_and_stays() {
    let object = |source: Value| json!({ "metadata": { "name": "a" }, "spec": { "attacher": "d", "nodeName": "n", "source": source } });
    let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    assert_eq!(
        made("VolumeAttachment", &object(json!({}))).1,
        [format!("spec.source: Required value: {why}")]
    );
    let inline = json!({ "inlineVolumeSpec": { "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1" }, "nfs": {
        "server": "s", "path": "/" } } });
    let wanted = [
        "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
        "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
    ];
    assert_eq!(made("VolumeAttachment", &object(inline)).1, wanted);
    let old = sound("VolumeAttachment", &object(json!({ "persistentVolumeName": "v" })));
    let new = with(&old, "/spec/nodeName", "m".into());
    let errors = changed("VolumeAttachment", &old, &new, Part::Main).1;
    assert!(errors.len() == 1 && errors[0].ends_with("field is immutable"), "{errors:?}");
    let done =
        with(&with(&new, "/status/attached", true.into()), "/metadata/labels", json!({ "a": "b" }));
    let (kept, errors) = changed("VolumeAttachment", &old, &done, Part::Status);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!((&kept["spec"], &kept["status"]["attached"]), (&old["spec"], &json!(true)));
    assert!(kept["metadata"]["labels"].is_null());
}

#[test]
fn capacity_is_of_a_class_and_a_topology() {
    let object = json!({ "metadata": { "name": "x" }, "storageClassName": "A", "capacity": "-1" });
    let errors = made("CSIStorageCapacity", &object).1;
    assert!(errors[0].starts_with("storageClassName: Invalid value: \"A\""), "{errors:?}");
    assert_eq!(errors[1], "capacity: Invalid value: \"-1\": must be greater than or equal to 0");
    let old = json!({ "metadata": { "name": "x" }, "storageClassName": "a" });
    let new = with(&old, "/storageClassName", "b".into());
    let errors = changed("CSIStorageCapacity", &old, &new, Part::Main).1;
    assert_eq!(errors, ["storageClassName: Invalid value: \"b\": field is immutable"]);
}

#[test]
fn tables_show_what_is_bound_to_what() {
    let times = json!({ "name": "x", "creationTimestamp": "1970-01-01T00:00:00Z" });
    let mut volume = sound("PersistentVolume", &volume());
    volume["metadata"] = times.clone();
    volume["spec"]["claimRef"] = json!({ "namespace": "n", "name": "c" });
    let cells = kind("PersistentVolume").rules.cells(volume.as_object().unwrap(), 60);
    let wanted = json!([
        "x",
        "1Gi",
        "RWO",
        "Retain",
        "Pending",
        "n/c",
        "",
        "<unset>",
        "",
        "60s",
        "Filesystem"
    ]);
    assert_eq!(Value::from(cells), wanted);
    let mut claim = sound("PersistentVolumeClaim", &claim());
    claim["metadata"] = times.clone();
    claim["spec"]["volumeName"] = "v".into();
    claim["status"] = json!({ "phase": "Bound", "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteMany", "ReadWriteOnce"] });
    let cells = kind("PersistentVolumeClaim").rules.cells(claim.as_object().unwrap(), 60);
    assert_eq!(
        Value::from(cells),
        json!(["x", "Bound", "v", "2Gi", "RWO,RWX", "", "<unset>", "60s", "Filesystem"])
    );
    let mut driver = sound("CSIDriver", &json!({ "metadata": {}, "spec": {} }));
    driver["metadata"] = times;
    let cells = kind("CSIDriver").rules.cells(driver.as_object().unwrap(), 60);
    assert_eq!(
        Value::from(cells),
        json!(["x", true, false, false, "<unset>", false, "Persistent", "60s"])
    );
}
