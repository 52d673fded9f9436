// SPDX-License-Identifier: Apache-2.0
//! Tests of what every cluster has: that it is well formed, what it grants, and how it is kept.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use super::*;
use crate::rbac::{Attributes, Index};
use crate::user::{NODE_SERVICES, NODES, User};
use berth_cluster_api::field::Errors;
use berth_cluster_api::kinds;
use std::collections::BTreeSet;

fn index() -> Index {
    let mut index = Index::default();
    let all: Vec<(&str, Value)> =
        objects().into_iter().map(|(kind, object)| (kind, object.into())).collect();
    for (kind, object) in &all {
        index.put(kind, object);
    }
    // a role that is made of others knows only what they say by themselves: from the smallest up
    let mut roles: Vec<Value> =
        all.into_iter().filter(|(kind, _)| *kind == "ClusterRole").map(|(_, role)| role).collect();
    for name in ["view", "edit", "admin"] {
        let at = roles.iter().position(|role| role["metadata"]["name"] == name).unwrap();
        let rules = crate::rbac::aggregate(&roles[at], &roles);
        roles[at]["rules"] = rules.iter().map(Rule::to_value).collect();
        index.put("ClusterRole", &roles[at]);
    }
    index
}

fn stored(kind: &str, name: &str) -> Map {
    let found = objects()
        .into_iter()
        .find(|(of, object)| *of == kind && object["metadata"]["name"] == name);
    found.unwrap().1
}

#[test]
fn all_are_as_the_server_would_store_them() {
    let kinds = kinds::rbac::kinds();
    let mut seen = BTreeSet::new();
    for (kind, object) in objects() {
        let rules = &kinds.iter().find(|one| *one.kind == *kind).unwrap().rules;
        let meta = &object["metadata"];
        assert!(seen.insert((kind, meta.to_string())), "{kind} {meta} is there twice");
        let mut errors = Errors::new();
        rules.validate(&object, &mut errors);
        assert!(errors.is_empty(), "{}", errors.text());
        let mut again = object.clone();
        rules.default(&mut again);
        assert_eq!(again, object);
        assert_eq!(meta["labels"][LABEL], "rbac-defaults");
        assert_eq!(meta["annotations"][AUTOUPDATE], "true");
    }
    assert!(seen.len() > 70, "{}", seen.len());
}

#[test]
fn every_binding_gives_a_role_that_is_there() {
    let all = objects();
    for (_, object) in all.iter().filter(|(kind, _)| kind.ends_with("Binding")) {
        let role = &object["roleRef"];
        let found = all.iter().any(|(kind, one)| {
            role["kind"] == *kind
                && role["name"] == one["metadata"]["name"]
                && one["metadata"]["namespace"] == object["metadata"]["namespace"]
        });
        assert!(found, "{role}");
    }
}

#[test]
fn components_may_do_their_work_and_no_more() {
    let index = index();
    let user = |name: &str| User::authenticated(name, "", vec![]);
    let may = |user: &User, verb: &str, group: &str, resource: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = Attributes::resource(user, verb, group, resource);
        index.allowed(&Attributes { subresource, namespace: "default", ..asked }).allowed
    };
    let scheduler = user("system:kube-scheduler");
    assert!(may(&scheduler, "create", "", "pods/binding"));
    assert!(may(&scheduler, "list", "storage.k8s.io", "csinodes"));
    assert!(!may(&scheduler, "delete", "", "nodes"));
    assert!(!may(&scheduler, "get", "", "secrets"));
    let controller = |name: &str| User::service_account("kube-system", name, "");
    let deployments = controller("deployment-controller");
    assert!(may(&deployments, "create", "apps", "replicasets"));
    assert!(!may(&deployments, "create", "", "pods"));
    assert!(may(&controller("replicaset-controller"), "create", "", "pods"));
    assert!(may(&controller("generic-garbage-collector"), "delete", "example.com", "things"));
    assert!(may(
        &controller("endpointslice-controller"),
        "create",
        "discovery.k8s.io",
        "endpointslices"
    ));
    assert!(!may(
        &User::service_account("default", "deployment-controller", ""),
        "get",
        "apps",
        "deployments"
    ));
    assert!(may(&user("system:kube-proxy"), "watch", "discovery.k8s.io", "endpointslices"));
    let proxy = user("system:kube-proxy");
    assert!(may(&proxy, "list", "", "pods") && may(&proxy, "patch", "", "services/status"));
    assert!(!may(&proxy, "patch", "", "services") && !may(&proxy, "patch", "", "nodes"));
    let dns = user("system:coredns");
    assert!(may(&dns, "watch", "", "services") && may(&dns, "list", "", "namespaces"));
    assert!(!may(&dns, "list", "", "secrets") && !may(&dns, "update", "", "services"));
    let agents = user(crate::pki::AGENTS_CLIENT);
    assert!(may(&agents, "create", "", "nodes/proxy") && may(&agents, "get", "", "nodes/log"));
    assert!(!may(&agents, "get", "", "pods") && !may(&agents, "delete", "", "nodes"));
    let beside = User::authenticated("berth:node-services:n", "", vec![NODE_SERVICES.to_owned()]);
    assert!(may(&beside, "list", "", "nodes") && may(&beside, "patch", "", "services/status"));
    assert!(may(&beside, "watch", "", "namespaces") && !may(&beside, "get", "", "secrets"));
    assert!(!may(&beside, "patch", "", "nodes") && !may(&beside, "patch", "", "services"));
    assert!(!may(&beside, "create", "discovery.k8s.io", "endpointslices"));
    // what a node may do is the node authorizer's to say
    assert!(!may(
        &User::authenticated("system:node:n", "", vec![NODES.to_owned()]),
        "get",
        "",
        "secrets"
    ));
    assert!(!may(&user("somebody"), "get", "", "pods"));
}

#[test]
fn paths_are_open_as_far_as_upstreams_are() {
    let index = index();
    let may = |user: &User, path: &str| index.allowed(&Attributes::path(user, "get", path)).allowed;
    let (nobody, somebody) = (User::anonymous(), User::authenticated("u", "", vec![]));
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert!(may(&nobody, path) && may(&somebody, path), "{path}");
    }
    for path in ["/api", "/apis/apps/v1", "/openapi/v3"] {
        assert!(!may(&nobody, path) && may(&somebody, path), "{path}");
    }
    for path in ["/metrics", "/logs"] {
        assert!(!may(&nobody, path) && !may(&somebody, path), "{path}");
    }
    assert!(may(&User::service_account("default", "a", ""), "/openid/v1/jwks"));
    assert!(!may(&somebody, "/openid/v1/jwks"));
    let monitor = User::authenticated("m", "", vec!["system:monitoring".to_owned()]);
    assert!(may(&monitor, "/metrics") && may(&monitor, "/livez/ping"));
}

#[test]
fn people_of_a_namespace_have_what_their_roles_are_made_of() {
    let mut index = index();
    let bind = |role: &str| {
        json!({
            "metadata": { "name": role, "namespace": "team" },
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "User", "apiGroup": GROUP, "name": role }],
        })
    };
    for role in ["view", "edit", "admin"] {
        index.put("RoleBinding", &bind(role));
    }
    let cases = [
        ("get", "", "pods", [true, true, true]),
        ("get", "", "secrets", [false, true, true]),
        ("create", "apps", "deployments", [false, true, true]),
        ("create", GROUP, "rolebindings", [false, false, true]),
        ("update", "", "resourcequotas", [false, false, false]),
        ("update", "", "endpoints", [false, false, false]),
    ];
    for (verb, group, resource, wanted) in cases {
        for (role, wanted) in ["view", "edit", "admin"].into_iter().zip(wanted) {
            let user = User::authenticated(role, "", vec![]);
            let asked = Attributes::resource(&user, verb, group, resource);
            let may = |namespace| index.allowed(&Attributes { namespace, ..asked }).allowed;
            assert_eq!(may("team"), wanted, "{role} {verb} {resource}");
            assert!(!may("other"));
        }
    }
}

#[test]
fn what_is_as_wanted_stays_and_what_is_missing_is_made() {
    for (_, wanted) in objects() {
        assert_eq!(reconcile(None, &wanted), Some(Change::Create(wanted.clone())));
        assert_eq!(reconcile(Some(&wanted), &wanted), None);
    }
}

#[test]
fn missing_rules_are_added_and_more_of_them_stay() {
    let wanted = stored("ClusterRole", "system:basic-user");
    let mut existing = wanted.clone();
    let own = json!({ "verbs": ["get"], "apiGroups": ["a"], "resources": ["b"] });
    let first = wanted["rules"][0].clone();
    existing["rules"] = json!([own, first]);
    existing["metadata"]["labels"] = json!({ "mine": "yes", LABEL: "mine" });
    existing["metadata"]["uid"] = "u".into();
    let Some(Change::Update(changed)) = reconcile(Some(&existing), &wanted) else { panic!() };
    assert_eq!(changed["rules"], json!([own, first, wanted["rules"][1]]));
    assert_eq!(changed["metadata"]["labels"], json!({ "mine": "yes", LABEL: "mine" }));
    assert_eq!(changed["metadata"]["uid"], "u");
    assert_eq!(reconcile(Some(&changed), &wanted), None);
    // what a wider rule grants is not missing
    existing["rules"] = json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]);
    assert_eq!(reconcile(Some(&existing), &wanted), None);
}

#[test]
fn aggregated_roles_keep_the_rules_that_were_put_together() {
    let wanted = stored("ClusterRole", "edit");
    let mut existing = wanted.clone();
    existing["rules"] = stored("ClusterRole", "system:aggregate-to-edit")["rules"].clone();
    assert_eq!(reconcile(Some(&existing), &wanted), None);
    existing.remove("aggregationRule");
    let Some(Change::Update(changed)) = reconcile(Some(&existing), &wanted) else { panic!() };
    assert_eq!(changed["aggregationRule"], wanted["aggregationRule"]);
}

#[test]
fn bindings_get_their_subjects_and_their_role() {
    let wanted = stored("ClusterRoleBinding", "system:discovery");
    let mut existing = wanted.clone();
    let own = json!({ "kind": "User", "apiGroup": GROUP, "name": "me" });
    existing["subjects"] = json!([own]);
    let Some(Change::Update(changed)) = reconcile(Some(&existing), &wanted) else { panic!() };
    assert_eq!(changed["subjects"], json!([own, wanted["subjects"][0]]));
    existing["roleRef"]["name"] = "cluster-admin".into();
    assert_eq!(reconcile(Some(&existing), &wanted), Some(Change::Replace(wanted.clone())));
}

#[test]
fn an_owner_who_says_so_is_left_alone() {
    for name in ["system:discovery", "cluster-admin"] {
        for kind in ["ClusterRole", "ClusterRoleBinding"] {
            let wanted = stored(kind, name);
            let mut existing = wanted.clone();
            existing["metadata"]["annotations"][AUTOUPDATE] = "false".into();
            existing.insert("rules".to_owned(), json!([]));
            existing.insert("subjects".to_owned(), json!([]));
            existing.insert("roleRef".to_owned(), json!({}));
            assert_eq!(reconcile(Some(&existing), &wanted), None);
        }
    }
}
