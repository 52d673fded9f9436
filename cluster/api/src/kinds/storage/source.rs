// SPDX-License-Identifier: Apache-2.0
//! Where the bytes of a persistent volume are: exactly one source.

use crate::field::{Errors, Path};
use crate::kinds::pod::{driver_name, each, need, no_way_up, source_check};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;

/// The sources in the order in which upstream looks at them, and the names in its paths.
const SOURCES: [(&str, &str); 22] = [
    ("hostPath", "hostPath"),
    ("gcePersistentDisk", "persistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("nfs", "nfs"),
    ("rbd", "rbd"),
    ("quobyte", "quobyte"),
    ("cephfs", "cephfs"),
    ("iscsi", "iscsi"),
    ("cinder", "cinder"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("scaleIO", "scaleIO"),
    ("local", "local"),
    ("storageos", "storageos"),
    ("csi", "csi"),
];

/// There is one source, and it is well formed. `bound`: it is said which nodes reach the volume.
pub(super) fn one(spec: &Value, bound: bool, path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for (name, told) in SOURCES {
        let source = spec.at(name);
        if source.is_null() {
            continue;
        }
        count += 1;
        if count > 1 {
            // Upstream writes this one otherwise where it is one too many.
            let name = if name == "cephfs" { "cephFS" } else { name };
            errors.forbidden(&path.child(name), "may not specify more than 1 volume type");
            continue;
        }
        check(name, source, &path.child(told), errors);
        if name == "local" && !bound {
            let why = "Local volume requires node affinity";
            errors.required(&path.child("nodeAffinity"), why);
        }
    }
    if count == 0 {
        errors.required(path, "must specify a volume type");
    }
    recycled(spec, path, errors);
}

/// What is wiped to be used again may not be the whole host.
fn recycled(spec: &Value, path: &Path, errors: &mut Errors) {
    let host = spec.at("hostPath").text("path");
    let root = host.starts_with('/') && host.split('/').all(|part| ["", "."].contains(&part));
    if root && spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.forbidden(&path.child("persistentVolumeReclaimPolicy"), why);
    }
}

/// Whether two volumes have the same source. A secret for growing may come later.
pub(super) fn same(new: &Value, old: &Value) -> bool {
    SOURCES.iter().all(|(name, _)| {
        let (mut after, before) = (new.at(name).clone(), old.at(name));
        let secret = "controllerExpandSecretRef";
        if *name == "csi"
            && before.is_object()
            && !before.has(secret)
            && let Some(after) = after.as_object_mut()
        {
            after.remove(secret);
        }
        after == *before
    })
}

fn check(name: &str, source: &Value, path: &Path, errors: &mut Errors) {
    match name {
        "local" => local(source, path, errors),
        "csi" => csi(source, path, errors),
        "storageos" => storage_os(source, path, errors),
        "cinder" => {
            need(source, &["volumeID"], path, errors);
            secret(source, path, errors);
        }
        _ => {
            if let Some(check) = source_check(name) {
                check(source, path, errors);
            }
            if let Some(namespace) = other_namespace(name)
                && source.at(namespace).as_str() == Some("")
            {
                let why = "if the endpointnamespace is set, it must be a valid namespace name";
                let why = if name == "glusterfs" { why } else { "" };
                errors.required(&path.child(namespace), why);
            }
        }
    }
}

/// The field that names the namespace of what a source refers to.
fn other_namespace(source: &str) -> Option<&'static str> {
    match source {
        "glusterfs" => Some("endpointsNamespace"),
        "azureFile" => Some("secretNamespace"),
        _ => None,
    }
}

fn local(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["path"], path, errors);
    no_way_up(source.text("path"), &path.child("path"), errors);
}

/// A secret that is referred to has a name and a namespace.
fn secret(source: &Value, path: &Path, errors: &mut Errors) {
    let secret = source.at("secretRef");
    if !secret.is_null() {
        need(secret, &["name", "namespace"], &path.child("secretRef"), errors);
    }
}

fn storage_os(source: &Value, path: &Path, errors: &mut Errors) {
    need(source, &["volumeName"], path, errors);
    for field in ["volumeName", "volumeNamespace"] {
        let name = source.text(field);
        if !name.is_empty() {
            each(names::dns_label(name, false), &path.child(field), name, errors);
        }
    }
    secret(source, path, errors);
}

fn csi(source: &Value, path: &Path, errors: &mut Errors) {
    driver_name(source.text("driver"), &path.child("driver"), errors);
    need(source, &["volumeHandle"], path, errors);
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let (secret, at) = (source.at(field), path.child(field));
        if secret.is_null() {
            continue;
        }
        for (field, check) in [
            ("name", names::dns_subdomain as fn(&str, bool) -> Vec<String>),
            ("namespace", names::dns_label),
        ] {
            match secret.text(field) {
                "" => errors.required(&at.child(field), ""),
                text => each(check(text, false), &at.child(field), text, errors),
            }
        }
    }
}
