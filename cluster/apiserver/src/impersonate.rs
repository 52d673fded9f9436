// SPDX-License-Identifier: Apache-2.0
//! Acting as somebody else, for those who may: headers `Impersonate-*`.

use crate::server::Inner;
use berth_cluster_api::Refusal;
use berth_cluster_auth::rbac::Attributes;
use berth_cluster_auth::user::{ANONYMOUS, SERVICE_ACCOUNT_PREFIX, UNAUTHENTICATED, User};
use http::request::Parts;
use std::collections::BTreeMap;

const AUTHN: &str = "authentication.k8s.io";
const EXTRA: &str = "impersonate-extra-";

/// Whom the request acts as.
pub(crate) fn user(server: &Inner, parts: &Parts, user: User) -> Result<User, Refusal> {
    // Nearly nobody does.
    if !parts.headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(user);
    }
    let values = |name: &str| -> Vec<String> {
        let all = parts.headers.get_all(name).iter();
        all.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let name = values("impersonate-user").into_iter().next().unwrap_or_default();
    let groups = values("impersonate-group");
    let uid = values("impersonate-uid").into_iter().next().unwrap_or_default();
    let extra = extra(parts);
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Refusal::bad_request(
            "requested impersonation without a user: send Impersonate-User, too",
        ));
    }
    let may = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| {
        server.authorize(&Attributes {
            namespace,
            name,
            subresource: sub,
            ..Attributes::resource(&user, "impersonate", group, resource)
        })
    };
    match name.strip_prefix(SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => may("", "serviceaccounts", "", namespace, account)?,
        None => may("", "users", "", "", &name)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        may(AUTHN, "uids", "", "", &uid)?;
    }
    for (key, all) in &extra {
        for value in all {
            may(AUTHN, "userextras", key, "", value)?;
        }
    }
    Ok(acting(&name, &uid, groups, extra))
}

fn acting(
    name: &str,
    uid: &str,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
) -> User {
    let account = name.strip_prefix(SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
    let mut user = match account {
        Some((namespace, account)) if groups.is_empty() => {
            User::service_account(namespace, account, uid)
        }
        _ if name == ANONYMOUS && groups.is_empty() => {
            User { uid: uid.to_owned(), ..User::anonymous() }
        }
        _ if groups.iter().any(|group| group == UNAUTHENTICATED) => {
            User { name: name.to_owned(), uid: uid.to_owned(), groups, extra: BTreeMap::new() }
        }
        _ => User::authenticated(name, uid, groups),
    };
    user.extra = extra;
    user
}

fn extra(parts: &Parts) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) else {
            continue;
        };
        let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
        all.entry(key).or_default().push(value.to_owned());
    }
    all
}
