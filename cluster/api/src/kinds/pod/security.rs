// SPDX-License-Identifier: Apache-2.0
//! What is wrong with security contexts.

use super::checks::{between, local_path, one_of};
use crate::field::{Errors, Path};
use crate::kinds::view::View;
use berth_cluster_json::Value;
use std::collections::BTreeSet;

const ID_MAX: i64 = i32::MAX as i64;
const SYSCTL: &str = "must have at most 253 characters and match regex \
     ([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

fn ids(context: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if let Some(id) = context.int(field) {
            between(id, 0, ID_MAX, &path.child(field), errors);
        }
    }
}

/// Of a pod.
pub(super) fn of_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let context = spec.at("securityContext");
    ids(context, &["fsGroup", "runAsUser", "runAsGroup"], path, errors);
    for (i, id) in context.list("supplementalGroups").iter().filter_map(Value::as_i64).enumerate() {
        between(id, 0, ID_MAX, &path.child("supplementalGroups").index(i), errors);
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, why);
    }
    sysctls(context, &path.child("sysctls"), errors);
    if context.has("fsGroupChangePolicy") {
        let policy = context.text("fsGroupChangePolicy");
        let at = path.child("fsGroupChangePolicy");
        one_of(policy, &["Always", "OnRootMismatch"], false, &at, errors);
    }
    seccomp(context, path, errors);
}

fn sysctls(context: &Value, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (i, one) in context.list("sysctls").iter().enumerate() {
        let (name, at) = (one.text("name"), path.index(i).child("name"));
        // slashes and dots mean the same
        let plain = name.replace('/', ".");
        if name.is_empty() {
            errors.required(&at, "");
        } else if name.len() > 253 || !plain.split('.').all(sysctl_part) {
            errors.invalid(&at, name, SYSCTL);
        } else if !names.insert(plain) {
            errors.duplicate(&at, name);
        }
    }
}

fn sysctl_part(part: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|b| edge(b) || b"-_".contains(b))
}

fn seccomp(context: &Value, path: &Path, errors: &mut Errors) {
    let (profile, path) = (context.at("seccompProfile"), path.child("seccompProfile"));
    if profile.is_null() {
        return;
    }
    let at = path.child("localhostProfile");
    match (profile.text("type"), profile.has("localhostProfile")) {
        ("Localhost", false) => errors.required(&at, "must be set when seccomp type is Localhost"),
        ("Localhost", true) => local_path(profile.text("localhostProfile"), &at, errors),
        (_, true) => {
            errors.invalid(&at, profile.clone(), "can only be set when seccomp type is Localhost");
        }
        ("", _) => {
            errors.required(&path.child("type"), "type is required when seccompProfile is set");
        }
        (kind, _) => {
            let known = ["Localhost", "RuntimeDefault", "Unconfined"];
            one_of(kind, &known, false, &path.child("type"), errors);
        }
    }
}

/// Of a container.
pub(super) fn of_container(container: &Value, path: &Path, errors: &mut Errors) {
    let context = container.at("securityContext");
    ids(context, &["runAsUser", "runAsGroup"], path, errors);
    if context.has("procMount") {
        let at = path.child("procMount");
        one_of(context.text("procMount"), &["Default", "Unmasked"], false, &at, errors);
    }
    seccomp(context, path, errors);
    if context.at("allowPrivilegeEscalation").as_bool() != Some(false) {
        return;
    }
    if context.flag("privileged") {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.invalid(path, context.clone(), why);
    }
    if context.at("capabilities").list("add").iter().any(|one| one == "CAP_SYS_ADMIN") {
        let why =
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.invalid(path, context.clone(), why);
    }
}
