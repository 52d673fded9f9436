// SPDX-License-Identifier: Apache-2.0
//! What a client may leave out of a volume.

use super::defaults::{pull_policy, references};
use crate::Map;
use crate::kinds::access::{map_mut, or_set, or_set_missing};
use crate::kinds::view::{View, items};
use berth_cluster_json::{Value, json};

/// Of a volume: without a source it is an empty directory.
pub(super) fn volume(volume: &mut Map) {
    if !volume.iter().any(|(name, value)| name != "name" && !value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    source(volume);
}

/// Of whatever source there is among the fields.
pub(crate) fn source(volume: &mut Map) {
    for (source, fields) in plain() {
        if let Some(source) = map_mut(volume, source) {
            for (name, value) in fields {
                or_set(source, name, value);
            }
        }
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = map_mut(volume, source) {
            or_set_missing(source, "defaultMode", 420);
        }
    }
    if let Some(path) = map_mut(volume, "hostPath") {
        or_set_missing(path, "type", "");
    }
    if let Some(disk) = map_mut(volume, "azureDisk") {
        or_set_missing(disk, "readOnly", false);
    }
    if let Some(downward) = map_mut(volume, "downwardAPI") {
        items(downward, "items").for_each(references);
    }
    if let Some(image) = map_mut(volume, "image") {
        let policy = pull_policy(image.text("reference"));
        or_set(image, "pullPolicy", policy);
    }
    if let Some(projected) = map_mut(volume, "projected") {
        items(projected, "sources").for_each(projection);
    }
    if let Some(spec) = map_mut(volume, "ephemeral")
        .and_then(|one| map_mut(one, "volumeClaimTemplate"))
        .and_then(|one| map_mut(one, "spec"))
    {
        crate::kinds::storage::default_claim_spec(spec);
    }
}

fn projection(source: &mut Map) {
    if let Some(token) = map_mut(source, "serviceAccountToken") {
        or_set_missing(token, "expirationSeconds", 3600);
    }
    if let Some(downward) = map_mut(source, "downwardAPI") {
        items(downward, "items").for_each(references);
    }
}

/// Fields of sources that have fixed values where they are empty.
fn plain() -> [(&'static str, Vec<(&'static str, Value)>); 4] {
    [
        ("iscsi", vec![("iscsiInterface", json!("default"))]),
        (
            "rbd",
            vec![
                ("pool", json!("rbd")),
                ("user", json!("admin")),
                ("keyring", json!("/etc/ceph/keyring")),
            ],
        ),
        (
            "azureDisk",
            vec![
                ("cachingMode", json!("ReadWrite")),
                ("kind", json!("Shared")),
                ("fsType", json!("ext4")),
            ],
        ),
        ("scaleIO", vec![("storageMode", json!("ThinProvisioned")), ("fsType", json!("xfs"))]),
    ]
}
