// SPDX-License-Identifier: Apache-2.0
//! What a client may leave out of a volume.

use super::defaults::{pull_policy, references};
use super::view::{View, fill, fill_zero, inner, items};
use crate::Map;
use serde_json::{Value, json};

/// Of a volume: without a source it is an empty directory.
pub(super) fn volume(volume: &mut Map) {
    if !volume.iter().any(|(name, value)| name != "name" && !value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for (source, fields) in plain() {
        if let Some(source) = inner(volume, source) {
            for (name, value) in fields {
                fill_zero(source, name, value);
            }
        }
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = inner(volume, source) {
            fill(source, "defaultMode", 420);
        }
    }
    if let Some(path) = inner(volume, "hostPath") {
        fill(path, "type", "");
    }
    if let Some(disk) = inner(volume, "azureDisk") {
        fill(disk, "readOnly", false);
    }
    if let Some(downward) = inner(volume, "downwardAPI") {
        items(downward, "items").for_each(references);
    }
    if let Some(image) = inner(volume, "image") {
        let policy = pull_policy(image.text("reference"));
        fill_zero(image, "pullPolicy", policy);
    }
    if let Some(projected) = inner(volume, "projected") {
        items(projected, "sources").for_each(projection);
    }
    if let Some(spec) = inner(volume, "ephemeral")
        .and_then(|one| inner(one, "volumeClaimTemplate"))
        .and_then(|one| inner(one, "spec"))
    {
        fill(spec, "volumeMode", "Filesystem");
    }
}

fn projection(source: &mut Map) {
    if let Some(token) = inner(source, "serviceAccountToken") {
        fill(token, "expirationSeconds", 3600);
    }
    if let Some(downward) = inner(source, "downwardAPI") {
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
