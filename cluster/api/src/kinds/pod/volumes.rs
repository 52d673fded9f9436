// SPDX-License-Identifier: Apache-2.0
//! What is wrong with volumes (upstream's `ValidateVolumes`).

use super::checks::{between, each, local_file, local_path, mode, no_way_up, one_of};
use super::env::field_ref;
use super::quantity::nano;
use crate::field::{Errors, Path, Problem};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;
use std::collections::BTreeSet;

/// All volumes of a pod.
pub(super) fn volumes(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (i, volume) in spec.list("volumes").iter().enumerate() {
        let path = path.index(i);
        let before = errors.0.len();
        source(volume, spec, &path, errors);
        let name = volume.text("name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            each(names::dns_label(name, false), &path.child("name"), name, errors);
            if names.contains(name) {
                errors.duplicate(&path.child("name"), name);
            }
        }
        if errors.0.len() == before {
            names.insert(name);
        }
    }
}

/// Says what is wrong with a source.
pub(crate) type Check = fn(&Value, &Path, &mut Errors);

/// The check of a source by its name, for volumes that are no pod's own.
pub(crate) fn check_of(source: &str) -> Option<Check> {
    SOURCES.iter().find(|(name, _)| *name == source).map(|(_, check)| *check)
}

/// The sources, in the order in which upstream looks at them.
const SOURCES: [(&str, Check); 29] = [
    ("emptyDir", empty_dir),
    ("hostPath", host_path),
    ("gitRepo", git_repo),
    ("gcePersistentDisk", gce),
    ("awsElasticBlockStore", aws),
    ("secret", secret),
    ("nfs", nfs),
    ("iscsi", iscsi),
    ("glusterfs", glusterfs),
    ("flocker", flocker),
    ("persistentVolumeClaim", claim),
    ("rbd", rbd),
    ("cinder", cinder),
    ("cephfs", cephfs),
    ("quobyte", quobyte),
    ("downwardAPI", downward),
    ("fc", fibre),
    ("flexVolume", flex),
    ("configMap", config_map),
    ("azureFile", azure_file),
    ("vsphereVolume", vsphere),
    ("photonPersistentDisk", photon),
    ("portworxVolume", portworx),
    ("azureDisk", azure_disk),
    ("storageos", nothing),
    ("projected", projected),
    ("scaleIO", scale_io),
    ("csi", csi),
    ("ephemeral", ephemeral),
];

fn source(volume: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for (name, check) in SOURCES {
        let value = volume.at(name);
        if value.is_null() {
            continue;
        }
        let path = path.child(name);
        count += 1;
        if count > 1 {
            errors.forbidden(&path, "may not specify more than 1 volume type");
        } else {
            check(value, &path, errors);
        }
    }
    if volume.at("projected").list("sources").iter().any(|one| one.has("serviceAccountToken")) {
        token_needs_account(volume, spec, path, errors);
    }
    if count == 0 && !volume.has("image") {
        errors.required(path, "must specify a volume type");
    }
}

/// A token is some account's: this is asked of the spec as a whole.
fn token_needs_account(volume: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    if !spec.text("serviceAccountName").is_empty() {
        return;
    }
    for (i, one) in volume.at("projected").list("sources").iter().enumerate() {
        if one.has("serviceAccountToken") {
            let path =
                path.child("projected").child("sources").index(i).child("serviceAccountToken");
            errors.forbidden(&path, "must not be specified when serviceAccountName is not set");
        }
    }
}

fn nothing(_source: &Value, _path: &Path, _errors: &mut Errors) {}

pub(crate) fn need(source: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if source.text(field).is_empty() {
            errors.required(&path.child(field), "");
        }
    }
}

fn empty_dir(source: &Value, path: &Path, errors: &mut Errors) {
    if nano(source.at("sizeLimit")).is_some_and(|size| size < 0) {
        errors.forbidden(
            &path.child("sizeLimit"),
            "SizeLimit field must be a valid resource quantity",
        );
    }
}

/// The kinds of paths of a host.
const HOST_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let text = source.text("path");
    if text.is_empty() {
        errors.required(&path.child("path"), "");
        return;
    }
    no_way_up(text, &path.child("path"), errors);
    one_of(source.text("type"), &HOST_TYPES, false, &path.child("type"), errors);
}

fn git_repo(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["repository"], path, errors);
    local_path(source.text("directory"), &path.child("directory"), errors);
}

fn gce(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["pdName"], path, errors);
    partition(source, path, errors);
}

fn aws(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["volumeID"], path, errors);
    partition(source, path, errors);
}

fn partition(source: &Value, path: &Path, errors: &mut Errors) {
    let number = source.int("partition").unwrap_or(0);
    between(number, 0, 255, &path.child("partition"), errors);
}

fn secret(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["secretName"], path, errors);
    keyed(source, path, errors);
}

fn config_map(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["name"], path, errors);
    keyed(source, path, errors);
}

fn keyed(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    keys(source, path, errors);
}

fn keys(source: &Value, path: &Path, errors: &mut Errors) {
    for (i, item) in source.list("items").iter().enumerate() {
        let path = path.child("items").index(i);
        need(item, &["key", "path"], &path, errors);
        local_file(item.text("path"), &path.child("path"), errors);
        mode(item, "mode", &path, errors);
    }
}

fn nfs(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["server", "path"], path, errors);
    let text = source.text("path");
    if !text.is_empty() && !text.starts_with('/') {
        errors.invalid(&path.child("path"), text, "must be an absolute path");
    }
}

fn iscsi(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["targetPortal"], path, errors);
    let iqn = source.text("iqn");
    if iqn.is_empty() {
        errors.required(&path.child("iqn"), "");
    } else if !["iqn", "eui", "naa"].iter().any(|start| iqn.starts_with(start)) {
        let why = "must be valid format starting with iqn, eui, or naa";
        errors.invalid(&path.child("iqn"), iqn, why);
    }
    between(source.int("lun").unwrap_or(0), 0, 255, &path.child("lun"), errors);
    let chap = source.flag("chapAuthDiscovery") || source.flag("chapAuthSession");
    if chap && !source.has("secretRef") {
        errors.required(&path.child("secretRef"), "");
    }
    let name = source.text("initiatorName");
    if !name.is_empty() && !["iqn", "eui", "naa"].iter().any(|start| name.starts_with(start)) {
        errors.invalid(&path.child("initiatorname"), name, "must be valid format");
    }
}

fn glusterfs(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["endpoints", "path"], path, errors);
}

fn flocker(source: &Value, path: &Path, errors: &mut Errors) {
    match (source.text("datasetName"), source.text("datasetUUID")) {
        ("", "") => errors.required(path, "one of datasetName and datasetUUID is required"),
        ("", _) => {}
        (name, "") if name.contains('/') => {
            errors.invalid(&path.child("datasetName"), name, "must not contain '/'");
        }
        (_, "") => {}
        _ => errors.invalid(
            path,
            "resource",
            "datasetName and datasetUUID can not be specified simultaneously",
        ),
    }
}

fn claim(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["claimName"], path, errors);
}

fn monitors(source: &Value, path: &Path, errors: &mut Errors) {
    if source.list("monitors").is_empty() {
        errors.required(&path.child("monitors"), "");
    }
}

fn rbd(source: &Value, path: &Path, errors: &mut Errors) {
    monitors(source, path, errors);
    need(source, &["image"], path, errors);
}

fn cinder(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["volumeID"], path, errors);
    let secret = source.at("secretRef");
    if !secret.is_null() {
        need(secret, &["name"], &path.child("secretRef"), errors);
    }
}

fn cephfs(source: &Value, path: &Path, errors: &mut Errors) {
    monitors(source, path, errors);
}

fn quobyte(source: &Value, path: &Path, errors: &mut Errors) {
    if source.text("registry").is_empty() {
        let why = "must be a host:port pair or multiple pairs separated by commas";
        errors.required(&path.child("registry"), why);
    } else if source.text("tenant").len() >= 65 {
        errors.required(
            &path.child("tenant"),
            "must be a UUID and may not exceed a length of 64 characters",
        );
    }
    need(source, &["volume"], path, errors);
}

fn downward(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    downward_items(source, path, errors);
}

const VOLUME_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

fn downward_items(source: &Value, path: &Path, errors: &mut Errors) {
    for item in source.list("items") {
        need(item, &["path"], path, errors);
        local_file(item.text("path"), &path.child("path"), errors);
        match (item.has("fieldRef"), item.has("resourceFieldRef")) {
            (true, both) => {
                field_ref(item.at("fieldRef"), &VOLUME_FIELDS, &path.child("fieldRef"), errors);
                if both {
                    let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.invalid(path, "resource", why);
                }
            }
            (false, true) => super::env::resource_ref(
                item.at("resourceFieldRef"),
                true,
                &path.child("resourceFieldRef"),
                errors,
            ),
            _ => errors.required(path, "one of fieldRef and resourceFieldRef is required"),
        }
        mode(item, "mode", path, errors);
    }
}

fn fibre(source: &Value, path: &Path, errors: &mut Errors) {
    let names = source.list("targetWWNs");
    let ids = source.list("wwids");
    let why = "must specify either targetWWNs or wwids, but not both";
    match (names.is_empty(), ids.is_empty()) {
        (true, true) => errors.required(&path.child("targetWWNs"), why),
        (false, false) => errors.invalid(&path.child("targetWWNs"), Value::from(names), why),
        _ => {}
    }
    if names.is_empty() {
        return;
    }
    match source.int("lun") {
        None => errors.required(&path.child("lun"), "lun is required if targetWWNs is specified"),
        Some(lun) => between(lun, 0, 255, &path.child("lun"), errors),
    }
}

fn flex(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["driver"], path, errors);
    for (key, _) in source.entries("options") {
        let lower = key.to_lowercase();
        let host = lower.split('/').next().unwrap_or_default();
        if lower.contains('/')
            && ["kubernetes.io", "k8s.io"]
                .iter()
                .any(|own| host == *own || host.ends_with(&format!(".{own}")))
        {
            let path = path.child("options").key(key);
            errors.invalid(&path, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_file(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["secretName", "shareName"], path, errors);
}

fn vsphere(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["volumePath"], path, errors);
}

fn photon(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["pdID"], path, errors);
}

fn portworx(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["volumeID"], path, errors);
}

fn azure_disk(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["diskName", "diskURI"], path, errors);
    let caching = source.text("cachingMode");
    one_of(caching, &["None", "ReadOnly", "ReadWrite"], false, &path.child("cachingMode"), errors);
    let kind = source.text("kind");
    one_of(kind, &["Dedicated", "Managed", "Shared"], false, &path.child("kind"), errors);
    let uri = source.text("diskURI");
    let managed = uri.starts_with("/subscriptions/");
    if kind == "Managed" && !managed {
        errors.not_supported(&path.child("diskURI"), uri, &["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"]);
    } else if kind != "Managed" && !uri.starts_with("https://") {
        errors.not_supported(
            &path.child("diskURI"),
            uri,
            &["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"],
        );
    }
}

fn scale_io(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["gateway", "system", "volumeName"], path, errors);
}

/// The name of a driver of volumes.
pub(crate) fn driver_name(driver: &str, path: &Path, errors: &mut Errors) {
    if driver.is_empty() {
        errors.required(path, "");
    }
    if driver.len() > 63 {
        errors.add(Problem::TooLong, path, &Value::Null, "may not be more than 63 bytes");
    }
    each(names::dns_subdomain(&driver.to_lowercase(), false), path, driver, errors);
}

fn csi(source: &Value, path: &Path, errors: &mut Errors) {
    driver_name(source.text("driver"), &path.child("driver"), errors);
    let secret = source.at("nodePublishSecretRef");
    if !secret.is_null() {
        need(secret, &["name"], &path.child("nodePublishSecretRef"), errors);
    }
}

fn ephemeral(source: &Value, path: &Path, errors: &mut Errors) {
    let (template, path) = (source.at("volumeClaimTemplate"), path.child("volumeClaimTemplate"));
    if template.is_null() {
        errors.required(&path, "");
        return;
    }
    super::spec::metadata(template.at("metadata"), &path.child("metadata"), errors);
    let spec = template.at("spec");
    crate::kinds::storage::validate_claim_spec(spec, None, &path.child("spec"), errors);
}

fn projected(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let mut paths = BTreeSet::new();
    for (i, one) in source.list("sources").iter().enumerate() {
        projection(one, path, &path.child("sources").index(i), &mut paths, errors);
    }
}

fn projection<'a>(
    one: &'a Value,
    whole: &Path,
    at: &Path,
    paths: &mut BTreeSet<&'a str>,
    errors: &mut Errors,
) {
    let mut count = 0;
    for kind in ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"]
    {
        let source = one.at(kind);
        if source.is_null() {
            continue;
        }
        count += 1;
        if count > 1 {
            errors.forbidden(at, "may not specify more than 1 volume type");
            continue;
        }
        let path = at.child(kind);
        match kind {
            "serviceAccountToken" => token(source, whole, &path, paths, errors),
            "downwardAPI" => downward_items(source, &path, errors),
            "clusterTrustBundle" => need(source, &["path"], &path, errors),
            _ => {
                need(source, &["name"], &path, errors);
                keys(source, &path, errors);
            }
        }
        for item in source.list("items") {
            let text = item.text("path");
            if !text.is_empty() && !paths.insert(text) {
                let shown = if kind == "downwardAPI" { text } else { source.text("name") };
                errors.invalid(whole, shown, "conflicting duplicate paths");
            }
        }
    }
    if count == 0 {
        errors.required(at, "must specify at least one volume type");
    }
}

fn token<'a>(
    source: &'a Value,
    whole: &Path,
    path: &Path,
    paths: &mut BTreeSet<&'a str>,
    errors: &mut Errors,
) {
    let seconds = source.int("expirationSeconds").unwrap_or(3600);
    let at = path.child("expirationSeconds");
    if seconds < 600 {
        errors.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        errors.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    let text = source.text("path");
    if text.is_empty() {
        errors.required(&whole.child("path"), "");
        return;
    }
    local_file(text, &whole.child("path"), errors);
    if !paths.insert(text) {
        errors.invalid(whole, text, "conflicting duplicate paths");
    }
}
