// SPDX-License-Identifier: Apache-2.0
//! What a pod's processes may do (upstream's `validatePodSpecSecurityContext` and `ValidateSecurityContext`).

use super::checks::{between, local_path, one_of};
use super::placement::account;
use super::view::View;
use crate::field::{Errors, Path};
use serde_json::Value;
use std::collections::BTreeSet;

const SYSCTL: &str = "must have at most 253 characters and match regex \
                      ([a-z0-9]([-_a-z0-9]*[a-z0-9])?\\.)*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

/// The security context of a pod.
pub(super) fn pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let context = spec.at("securityContext");
    account(context, "fsGroup", path, errors);
    account(context, "runAsUser", path, errors);
    account(context, "runAsGroup", path, errors);
    let groups = context.list("supplementalGroups").iter().filter_map(Value::as_i64);
    for (i, group) in groups.enumerate() {
        let at = path.child("supplementalGroups").index(i);
        between(group, 0, i64::from(i32::MAX), &at, errors);
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, why);
    }
    sysctls(context, &path.child("sysctls"), errors);
    if context.has("fsGroupChangePolicy") {
        let policy = context.text("fsGroupChangePolicy");
        let known = ["Always", "OnRootMismatch"];
        one_of(policy, &known, false, &path.child("fsGroupChangePolicy"), errors);
    }
    profile(context.at("seccompProfile"), "seccomp", &path.child("seccompProfile"), errors);
}

fn sysctls(context: &Value, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (i, one) in context.list("sysctls").iter().enumerate() {
        let (name, at) = (one.text("name"), path.index(i).child("name"));
        if name.is_empty() {
            errors.required(&at, "");
        } else if !is_sysctl(name) {
            errors.invalid(&at, name, SYSCTL);
        } else if !names.insert(name.replace('/', ".")) {
            errors.duplicate(&at, name);
        }
    }
}

/// Segments between dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let segment = |text: &str| {
        let bytes = text.as_bytes();
        bytes.iter().all(|byte| inner(*byte) || b"-_".contains(byte))
            && bytes.first().is_some_and(|byte| inner(*byte))
            && bytes.last().is_some_and(|byte| inner(*byte))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

/// A profile of seccomp or AppArmor.
fn profile(profile: &Value, what: &str, path: &Path, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (kind, local) = (profile.text("type"), profile.at("localhostProfile"));
    let known = ["Localhost", "RuntimeDefault", "Unconfined"];
    if kind.is_empty() {
        let why = format!("type is required when {what}Profile is set");
        errors.required(&path.child("type"), why);
    } else if !known.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, &known);
    }
    let at = path.child("localhostProfile");
    match local.as_str() {
        Some(local) if kind == "Localhost" => local_path(local, &at, errors),
        Some(_) if !kind.is_empty() => {
            let why = format!("can only be set when {what} type is Localhost");
            errors.invalid(&at, profile.clone(), why);
        }
        None if kind == "Localhost" => {
            errors.required(&at, format!("must be set when {what} type is Localhost"));
        }
        _ => {}
    }
}

/// The security context of a container.
pub(super) fn container(one: &Value, path: &Path, errors: &mut Errors) {
    let context = one.at("securityContext");
    account(context, "runAsUser", path, errors);
    account(context, "runAsGroup", path, errors);
    if context.has("procMount") {
        let kind = context.text("procMount");
        one_of(kind, &["Default", "Unmasked"], false, &path.child("procMount"), errors);
    }
    profile(context.at("seccompProfile"), "seccomp", &path.child("seccompProfile"), errors);
    if context.at("allowPrivilegeEscalation").as_bool() != Some(false) {
        return;
    }
    if context.flag("privileged") {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.invalid(path, context.clone(), why);
    }
    let added = context.at("capabilities").list("add");
    if added.iter().any(|one| one == "CAP_SYS_ADMIN") {
        let why =
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.invalid(path, context.clone(), why);
    }
}
