// SPDX-License-Identifier: Apache-2.0
//! Attacks on identities and rights, by their numbers in RELIABILITY: each a request and the answers that are right.
//!
//! | attack | where |
//! |---|---|
//! | 4, 8, 9 | `listener.rs` |
//! | 7 | `certificates.rs` |
//! | 11 to 14 | `nodes.rs` |
//! | 15, 16 | not built: `nodes/proxy`, the agent's API |
//! | 31, 32 | of hyper, and in seconds of real time: not in this suite; a body without an end is attack 22 here |

use crate::kit::attacked::{CONFIGS, MARK, RBAC, check, cluster, dynamic, random_path};
use crate::kit::{Cluster, NOW, Random, pod, rule};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use berth_cluster_apiserver::listing::Token;
use berth_cluster_auth::token::{Bound, Issuer, Object, Request as TokenRequest, SigningKey};
use berth_cluster_json::{Value, json};
use berth_cluster_store::Store;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

// ---- authentication ----

#[tokio::test]
async fn attack_1_nobody_gets_nothing() {
    let cluster = cluster().await;
    for path in [
        "/api/v1/secrets",
        "/api/v1/namespaces/kube-system/secrets/top",
        "/api/v1/secrets?watch=1",
        "/metrics",
        "/openapi/v3",
        "/apis",
        "/api/v1/nowhere",
        "/apis/nowhere/v1/x",
    ] {
        let reply = cluster.call("GET", path).reply().await;
        assert!([401, 403].contains(&reply.status), "{path}: {}", reply.text());
        assert!(!reply.text().contains("v1.33"), "{path} tells the version: {}", reply.text());
    }
    for (method, path) in [("POST", CONFIGS), ("DELETE", CONFIGS), ("PUT", "/api/v1/namespaces/t1")]
    {
        let status = cluster.call(method, path).json(&json!({})).status().await;
        assert!([401, 403].contains(&status), "{method} {path}: {status}");
    }
}

/// A key of the cluster, and tokens that it signs.
struct Signer {
    pair: EcdsaKeyPair,
    der: Vec<u8>,
}

const URL: &str = "https://berth.test";

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let der = der.as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
        Self { pair: pair.unwrap(), der }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_pkcs8(&self.der).unwrap()
    }

    fn issuer(&self, url: &str) -> Issuer {
        Issuer::new(url, self.key(), Vec::new())
    }

    /// A token of any form with a right signature.
    fn forge(&self, header: &Value, claims: &Value) -> String {
        let text = signed_part(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn signed_part(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A cluster that believes the signer's tokens, with the account `t1/robot`.
async fn with_issuer(signer: &Signer) -> (Cluster, String) {
    let issuer = signer.issuer(URL);
    let store = Store::memory(berth_cluster_store::Options::default());
    let cluster = Cluster::with(store, |builder| builder.issuer(issuer)).await;
    let robot = json!({ "metadata": { "name": "robot" } });
    let robot = cluster.make("/api/v1/namespaces/t1/serviceaccounts", robot).await;
    cluster.grant("system:serviceaccount:t1:robot", "t1", rule(&["configmaps"], &["list"])).await;
    (cluster, robot["metadata"]["uid"].as_str().unwrap().to_owned())
}

fn asked(uid: &str, audience: &str, bound: Option<Bound>) -> TokenRequest {
    TokenRequest {
        namespace: "t1".to_owned(),
        account: Object { name: "robot".to_owned(), uid: uid.to_owned() },
        audiences: vec![audience.to_owned()],
        seconds: 3_600,
        bound,
        warn_after: None,
    }
}

/// Tokens that are wrong in one way each.
fn wrong_tokens(signer: &Signer, uid: &str) -> Vec<(&'static str, String)> {
    let issuer = signer.issuer(URL);
    let good = issuer.sign(&asked(uid, URL, None), NOW).unwrap();
    let claims = claims_of(&good);
    let id = signer.key().id().to_owned();
    let header = |alg: &str, id: &str| json!({ "alg": alg, "kid": id });
    let none = format!("{}.", signed_part(&header("none", &id), &claims));
    let symmetric = signed_part(&header("HS256", &id), &claims);
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.pair.public_key().as_ref());
    let tag = BASE64_URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, symmetric.as_bytes()));
    let mut other = claims.clone();
    other["sub"] = "system:serviceaccount:kube-system:admin".into();
    let body = good.split('.').nth(1).unwrap();
    let moved = good.replace(body, &BASE64_URL_SAFE_NO_PAD.encode(other.to_string()));
    let sign = |issuer: &Issuer, audience: &str, at: i64| {
        issuer.sign(&asked(uid, audience, None), at).unwrap()
    };
    vec![
        ("alg none", none),
        ("the public key as a shared one", format!("{symmetric}.{tag}")),
        ("another issuer", sign(&signer.issuer("https://other"), URL, NOW)),
        ("another audience", sign(&issuer, "https://other", NOW)),
        ("expired", sign(&issuer, URL, NOW - 7_200)),
        ("not yet", sign(&issuer, URL, NOW + 7_200)),
        ("a key id that is a path", signer.forge(&header("ES256", "../../x"), &claims)),
        ("another key", sign(&Signer::new().issuer(URL), URL, NOW)),
        ("other claims under the signature", moved),
        ("without a signature", good.rsplit_once('.').unwrap().0.to_owned()),
        ("no token", "abc".to_owned()),
        ("empty", String::new()),
        ("large", "a".repeat(1 << 20)),
        ("large in parts", format!("{good}{}", "a".repeat(1 << 20))),
    ]
}

#[tokio::test]
async fn attack_2_a_token_that_is_wrong_in_any_way_is_nobodys() {
    let signer = Signer::new();
    let (cluster, uid) = with_issuer(&signer).await;
    let good = signer.issuer(URL).sign(&asked(&uid, URL, None), NOW).unwrap();
    assert_eq!(cluster.call("GET", CONFIGS).token(&good).status().await, 200);
    let mut first = None;
    for (what, token) in wrong_tokens(&signer, &uid) {
        let reply = cluster.call("GET", CONFIGS).token(&token).reply().await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text());
        // Nobody learns from the answer what was wrong.
        let first = first.get_or_insert_with(|| reply.clone());
        assert_eq!((&reply.body, &reply.headers), (&first.body, &first.headers), "{what}");
    }
    cluster.clock.advance(3_601);
    assert_eq!(cluster.call("GET", CONFIGS).token(&good).status().await, 401, "its time is over");
    assert_eq!(cluster.call("GET", "/api/v1/secrets").token("ta").status().await, 200);
    assert_eq!(cluster.call("GET", "/api/v1/secrets").token("tb").status().await, 401);
    let basic = cluster.call("GET", "/api/v1/secrets").header("authorization", "Basic dGE6dGE=");
    assert!([401, 403].contains(&basic.status().await));
}

#[tokio::test]
async fn attack_3_a_token_dies_with_what_it_is_bound_to() {
    let signer = Signer::new();
    let (cluster, uid) = with_issuer(&signer).await;
    let issuer = signer.issuer(URL);
    let pods = "/api/v1/namespaces/t1/pods";
    let made = cluster.make(pods, pod("p")).await;
    let own =
        Object { name: "p".to_owned(), uid: made["metadata"]["uid"].as_str().unwrap().to_owned() };
    let bound = issuer.sign(&asked(&uid, URL, Some(Bound::Pod(own, None))), NOW).unwrap();
    let free = issuer.sign(&asked(&uid, URL, None), NOW).unwrap();
    let status = |token: &str| cluster.call("GET", CONFIGS).token(token).status();
    assert_eq!((status(&bound).await, status(&free).await), (200, 200));
    cluster.admin("DELETE", &format!("{pods}/p")).done(200).await;
    assert_eq!((status(&bound).await, status(&free).await), (401, 200), "the pod is gone");
    cluster.make(pods, pod("p")).await;
    assert_eq!(status(&bound).await, 401, "another pod of the name");
    let accounts = "/api/v1/namespaces/t1/serviceaccounts";
    cluster.admin("DELETE", &format!("{accounts}/robot")).done(200).await;
    assert_eq!(status(&free).await, 401, "the account is gone");
    cluster.make(accounts, json!({ "metadata": { "name": "robot" } })).await;
    assert_eq!(status(&free).await, 401, "another account of the name");
}

#[tokio::test]
async fn attack_5_headers_of_a_proxy_name_nobody() {
    let cluster = cluster().await;
    let path = "/api/v1/secrets";
    let plain = cluster.call("GET", path).reply().await;
    let call = cluster.call("GET", path).header("x-remote-user", "admin");
    let call = call.header("x-remote-group", "system:masters").header("x-remote-extra-a", "b");
    assert_eq!(call.reply().await, plain);
    let own = cluster.as_u("GET", path).header("x-remote-group", "system:masters");
    assert_eq!(own.status().await, 403);
}

#[tokio::test]
async fn attack_6_nobody_becomes_somebody_else_without_leave() {
    let cluster = cluster().await;
    let uids = json!([
        { "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["bob"] },
        { "apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"], "verbs": ["impersonate"], "resourceNames": ["view"] },
    ]);
    cluster.grant("w", "", uids).await;
    cluster.grant("bob", "", rule(&["secrets"], &["get"])).await;
    let path = "/api/v1/namespaces/t1/secrets/own";
    let u = |headers: &[(&str, &str)]| {
        let call = cluster.as_u("GET", path);
        headers.iter().fold(call, |call, (name, value)| call.header(name, value))
    };
    let w = |headers: &[(&str, &str)]| {
        let call = cluster.call("GET", path).user("w", &[]).header("impersonate-user", "bob");
        headers.iter().fold(call, |call, (name, value)| call.header(name, value))
    };
    check(
        6,
        vec![
            ("an administrator", u(&[("impersonate-user", "admin")]), &[403]),
            (
                "an account",
                u(&[("impersonate-user", "system:serviceaccount:kube-system:x")]),
                &[403],
            ),
            (
                "a group",
                u(&[("impersonate-user", "u"), ("impersonate-group", "system:masters")]),
                &[403],
            ),
            ("a group alone", u(&[("impersonate-group", "system:masters")]), &[400, 403, 500]),
            ("a uid alone", u(&[("impersonate-uid", "1")]), &[400, 403, 500]),
            ("an extra alone", u(&[("impersonate-extra-scopes", "x")]), &[400, 403, 500]),
            (
                "nobody, for a group",
                u(&[("impersonate-user", ""), ("impersonate-group", "system:masters")]),
                &[400, 403, 500],
            ),
            ("with leave", w(&[]), &[200]),
            (
                "with leave, and a group without",
                w(&[("impersonate-group", "system:masters")]),
                &[403],
            ),
            (
                "with leave, and two groups",
                w(&[("impersonate-group", "a"), ("impersonate-group", "system:masters")]),
                &[403],
            ),
            ("with leave, and a uid without", w(&[("impersonate-uid", "1")]), &[403]),
            (
                "with leave, and an extra with leave",
                w(&[("impersonate-extra-scopes", "view")]),
                &[200],
            ),
            ("with leave, and an extra without", w(&[("impersonate-extra-scopes", "all")]), &[403]),
            ("with leave, and another extra", w(&[("impersonate-extra-other", "view")]), &[403]),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_acts_as_another_has_no_more_rights_than_that_one() {
    let cluster = cluster().await;
    let path = "/api/v1/namespaces/kube-system/secrets/top";
    let act = |name: &str| cluster.admin("GET", path).header("impersonate-user", name);
    assert_eq!(act("carl").status().await, 403, "the administrator gives up its own rights");
    assert_eq!(act("carl").header("impersonate-group", "system:masters").status().await, 200);
    let account = act("system:serviceaccount:t1:robot");
    assert_eq!(account.status().await, 403);
    let binding = json!({
        "metadata": { "name": "all" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader" },
        "subjects": [{ "kind": "Group", "name": "system:serviceaccounts:t1", "apiGroup": "rbac.authorization.k8s.io" }],
    });
    let reader = json!({ "metadata": { "name": "reader" }, "rules": rule(&["secrets"], &["get"]) });
    cluster.make(&format!("{RBAC}/clusterroles"), reader).await;
    cluster.make(&format!("{RBAC}/clusterrolebindings"), binding).await;
    assert_eq!(act("system:serviceaccount:t1:robot").status().await, 200, "an account's groups");
    assert_eq!(act("system:serviceaccount:t2:robot").status().await, 403);
}

#[tokio::test]
async fn to_act_as_nobody_is_not_to_be_authenticated() {
    let cluster = cluster().await;
    let binding = json!({
        "metadata": { "name": "all" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader" },
        "subjects": [{ "kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io" }],
    });
    let reader = json!({ "metadata": { "name": "reader" }, "rules": rule(&["secrets"], &["get"]) });
    cluster.make(&format!("{RBAC}/clusterroles"), reader).await;
    cluster.make(&format!("{RBAC}/clusterrolebindings"), binding).await;
    let call = cluster.admin("GET", "/api/v1/namespaces/t1/secrets/own");
    assert_eq!(call.header("impersonate-user", "system:anonymous").status().await, 403);
}

// ---- authorization ----

#[tokio::test]
async fn attack_10_nobody_gives_away_what_they_do_not_have() {
    let cluster = cluster().await;
    let roles = &format!("{RBAC}/namespaces/t1/roles");
    let bindings = &format!("{RBAC}/namespaces/t1/rolebindings");
    let role = |name: &str, group: &str| {
        let rules = json!([{ "apiGroups": [group], "resources": ["*"], "verbs": ["*"] }]);
        json!({ "metadata": { "name": name }, "rules": rules })
    };
    let binding = |name: &str, kind: &str, of: &str| {
        json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": of },
            "subjects": [{ "kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io" }],
        })
    };
    cluster.make(roles, role("weak", "")).await;
    cluster.make(roles, role("strong", "apps")).await;
    cluster.make(bindings, binding("of-weak", "Role", "weak")).await;
    let post = |path: &str, body: Value| cluster.as_u("POST", path).json(&body);
    let patch = |path: String, body: Value| cluster.as_u("PATCH", &path).merge(&body);
    let more = json!({ "rules": [{ "apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"] }] });
    let aggregate = json!({ "aggregationRule": { "clusterRoleSelectors": [{}] } });
    check(
        10,
        vec![
            ("a role with less", post(roles, role("mine", "")), &[201]),
            ("a role with more", post(roles, role("more", "apps")), &[403]),
            (
                "a role with more, tried only",
                post(&format!("{roles}?dryRun=All"), role("more", "apps")),
                &[403],
            ),
            ("more to a role", patch(format!("{roles}/weak"), more.clone()), &[403]),
            (
                "more to a role by PUT",
                cluster.as_u("PUT", &format!("{roles}/weak")).json(&role("weak", "apps")),
                &[403],
            ),
            (
                "a role by PUT that is not there",
                cluster.as_u("PUT", &format!("{roles}/new")).json(&role("new", "apps")),
                &[403],
            ),
            (
                "a label of a strong role",
                patch(format!("{roles}/strong"), json!({ "metadata": { "labels": { "a": "b" } } })),
                &[200],
            ),
            ("a binding to what it has", post(bindings, binding("b1", "Role", "weak")), &[201]),
            ("a binding to more", post(bindings, binding("b2", "Role", "strong")), &[403]),
            (
                "a binding to all",
                post(bindings, binding("b3", "ClusterRole", "cluster-admin")),
                &[403],
            ),
            ("a binding to nothing", post(bindings, binding("b4", "Role", "none")), &[403, 404]),
            (
                "a binding by PUT",
                cluster.as_u("PUT", &format!("{bindings}/b5")).json(&binding(
                    "b5",
                    "ClusterRole",
                    "cluster-admin",
                )),
                &[403],
            ),
            (
                "another role for a binding",
                patch(format!("{bindings}/of-weak"), json!({ "roleRef": { "name": "strong" } })),
                &[403, 422],
            ),
            ("a ClusterRole", post(&format!("{RBAC}/clusterroles"), role("x", "")), &[403]),
            (
                "aggregation",
                patch(format!("{RBAC}/clusterroles/cluster-admin"), aggregate.clone()),
                &[403],
            ),
        ],
    )
    .await;
    // Who may write ClusterRoles may still not choose what a role is made of.
    let writer = json!([{ "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["*"] }]);
    let mut weak = writer.clone();
    weak[0]["verbs"] = json!(["create", "update", "patch", "get"]);
    cluster.grant("w", "", weak).await;
    let call = |method: &str, path: &str| cluster.call(method, path).user("w", &[]);
    let mut whole = role("agg", "");
    whole["aggregationRule"] = aggregate["aggregationRule"].clone();
    whole["rules"] = json!([]);
    let path = format!("{RBAC}/clusterroles");
    cluster.make(&path, json!({ "metadata": { "name": "plain" }, "rules": [] })).await;
    check(
        10,
        vec![
            ("an aggregated role", call("POST", &path).json(&whole), &[403]),
            (
                "aggregation by a patch",
                call("PATCH", &format!("{path}/plain")).merge(&aggregate),
                &[403],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn attack_17_a_role_of_a_namespace_is_no_way_to_what_is_in_none() {
    let cluster = cluster().await;
    let kinds = cluster.server.resources().with(dynamic("g.test", "clusterthings", "Thing", false));
    cluster.server.serve_kinds(kinds);
    cluster
        .make("/apis/g.test/v1/clusterthings", json!({ "metadata": { "name": "x" }, "a": MARK }))
        .await;
    let all = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    cluster.grant("u", "t1", all).await;
    let path = "/apis/g.test/v1/namespaces/t1/clusterthings";
    let one = &format!("{path}/x");
    let roles = &format!("{RBAC}/namespaces/t1/clusterroles");
    check(
        17,
        vec![
            ("one", cluster.as_u("GET", one), &[404]),
            ("all", cluster.as_u("GET", path), &[404]),
            ("a watch", cluster.as_u("GET", &format!("{path}?watch=1")), &[404]),
            (
                "the old watch",
                cluster.as_u("GET", "/apis/g.test/v1/watch/namespaces/t1/clusterthings"),
                &[404],
            ),
            ("a change", cluster.as_u("PATCH", one).merge(&json!({ "a": 1 })), &[404]),
            ("a deletion", cluster.as_u("DELETE", one), &[404]),
            (
                "a creation",
                cluster.as_u("POST", path).json(&json!({ "metadata": { "name": "y" } })),
                &[404],
            ),
            ("roles of the cluster", cluster.as_u("GET", roles), &[404]),
            (
                "out of the namespace",
                cluster.as_u("GET", "/apis/g.test/v1/clusterthings/x"),
                &[403],
            ),
            ("a namespaced one outside", cluster.admin("GET", "/api/v1/secrets/own"), &[404]),
        ],
    )
    .await;
}

#[tokio::test]
async fn attack_17_a_role_of_a_namespace_is_no_way_to_other_namespaces() {
    let cluster = cluster().await;
    let other = json!({ "metadata": { "name": "other" } });
    cluster.make("/api/v1/namespaces", other.clone()).await;
    let made = json!({ "metadata": { "name": "made" } });
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let path = "/api/v1/namespaces/t1/namespaces";
    let one = &format!("{path}/other");
    check(
        17,
        vec![
            ("one", cluster.as_u("GET", one), &[403, 404]),
            ("all", cluster.as_u("GET", path), &[403, 404]),
            ("a change", cluster.as_u("PATCH", one).merge(&label), &[403, 404]),
            ("a creation", cluster.as_u("POST", path).json(&made), &[403, 404, 405]),
            ("a deletion", cluster.as_u("DELETE", one), &[403, 404]),
        ],
    )
    .await;
    let left = cluster.get("/api/v1/namespaces/other").await;
    assert!(left["metadata"]["deletionTimestamp"].is_null(), "it is being deleted");
}

#[tokio::test]
async fn the_old_watch_of_one_object_tells_of_no_other() {
    let cluster = cluster().await;
    let secret = json!({ "metadata": { "name": "not-yours" }, "data": { "a": MARK } });
    cluster.make("/api/v1/namespaces/t1/secrets", secret).await;
    let own = json!([{
        "apiGroups": [""], "resources": ["secrets"], "verbs": ["watch"], "resourceNames": ["own"],
    }]);
    cluster.grant("w", "t1", own).await;
    let path = "/api/v1/watch/namespaces/t1/secrets/own";
    let mut watch = cluster.call("GET", path).user("w", &[]).watch().await;
    let names: Vec<String> = watch.ready().iter().map(|one| crate::kit::brief(one).1).collect();
    assert_eq!(names, ["own"]);
}

#[tokio::test]
async fn the_old_watch_of_one_namespace_tells_of_no_other() {
    let cluster = cluster().await;
    let mut watch = cluster.as_u("GET", "/api/v1/watch/namespaces/t1").watch().await;
    let names: Vec<String> = watch.ready().iter().map(|one| crate::kit::brief(one).1).collect();
    assert_eq!(names, ["t1"]);
}

#[tokio::test]
async fn a_name_in_a_selector_is_the_name_that_roles_are_asked_about() {
    let cluster = cluster().await;
    let secret = json!({ "metadata": { "name": "not-yours" }, "data": { "a": MARK } });
    cluster.make("/api/v1/namespaces/t1/secrets", secret).await;
    let own = json!([{
        "apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch", "deletecollection"],
        "resourceNames": ["own"],
    }]);
    cluster.grant("w", "t1", own).await;
    let path = "/api/v1/namespaces/t1/secrets";
    for (query, status) in [
        ("", 403),
        ("?fieldSelector=metadata.name%3Down", 200),
        ("?fieldSelector=metadata.name%3D%3Down", 200),
        ("?fieldSelector=metadata.name%3Dnot-yours", 403),
        ("?fieldSelector=metadata.name!%3Down", 403),
        ("?fieldSelector=metadata.name%3Down,metadata.name%3Dnot-yours", 403),
        ("?fieldSelector=&fieldSelector=metadata.name%3Down", 403),
        ("?fieldSelector=metadata.name%3Down&fieldSelector=metadata.name%3Dnot-yours", 200),
    ] {
        for method in ["GET", "DELETE"] {
            let dry = if method == "DELETE" { "dryRun=All" } else { "" };
            let path = format!("{path}{}{dry}", if query.is_empty() { "?" } else { query });
            let path = if query.is_empty() { path } else { path.replace("dryRun", "&dryRun") };
            let reply = cluster.call(method, &path).user("w", &[]).reply().await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
            assert!(!reply.text().contains(MARK), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn attack_18_no_path_leads_to_another_namespace() {
    let cluster = cluster().await;
    for path in [
        "/apis/g/v1/namespaces/%2e%2e/b",
        "/api/v1/namespaces/t1%2f..%2fkube-system/secrets",
        "//api/v1/secrets",
        "/api//v1/secrets",
        "/api/v1/namespaces/t1/../kube-system/secrets",
        "/api/v1/namespaces/t1/%2e%2e/kube-system/secrets",
        "/api/v1/namespaces/t1/secrets/..%2f..%2fkube-system%2fsecrets%2ftop",
        "/api/v1/namespaces/t1/secrets/../../kube-system/secrets/top",
        "/api/v1/namespaces/t1/./secrets/top",
        "/api/v1/namespaces/t1//secrets",
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/kube-system%00/secrets",
        "/api/v1/namespaces/%6bube-system/secrets",
        "/api/v1/%6eamespaces/kube-system/secrets",
        "/API/v1/namespaces/kube-system/secrets",
        "/api/v1/namespaces/KUBE-SYSTEM/secrets",
        "/api/v1/namespaces/t1/secrets/top",
        "/api/v1/namespaces/t1/namespaces/kube-system/secrets/top",
        "/api/v1/watch/namespaces/kube-system/secrets",
        "/api/v1/namespaces/kube-system/secrets;a=b/top",
        "/api/v1/secrets/top",
    ] {
        let reply = cluster.as_u("GET", path).reply().await;
        assert!([400, 403, 404].contains(&reply.status), "{path}: {}", reply.text());
        assert!(!reply.text().contains(MARK), "{path}");
    }
}

#[tokio::test]
async fn attack_18_no_random_path_does_either() {
    let cluster = cluster().await;
    let mut random = Random(18);
    let mut found = 0;
    for _ in 0..10_000 {
        let path = random_path(&mut random);
        let answer = cluster.as_u("GET", &path).answer().await;
        if answer.status() != 200 {
            continue;
        }
        found += 1;
        // A watch has no end: its beginning would tell.
        let body = crate::kit::start_of(answer.into_body());
        assert!(!body.contains(MARK), "{path}: {body}");
    }
    assert!(found > 50, "{found} paths led somewhere");
}

#[tokio::test]
async fn attack_19_a_method_is_what_it_is() {
    let cluster = cluster().await;
    let call = cluster.as_u("GET", "/api/v1/namespaces/t1/secrets/own");
    let call =
        call.header("x-http-method-override", "DELETE").header("x-method-override", "DELETE");
    assert_eq!(call.status().await, 200);
    assert_eq!(cluster.as_u("GET", "/api/v1/namespaces/t1/secrets/own").status().await, 200);
    let post =
        cluster.as_u("POST", "/api/v1/namespaces/t1/secrets/own?_method=DELETE").json(&json!({}));
    assert_eq!(post.status().await, 405);
    for method in ["TRACE", "CONNECT", "OPTIONS", "PROPFIND"] {
        let status = cluster.as_u(method, "/api/v1/namespaces/t1/secrets/own").status().await;
        assert!([403, 405].contains(&status), "{method}: {status}");
    }
}

#[tokio::test]
async fn attack_20_a_token_to_go_on_opens_nothing() {
    let cluster = cluster().await;
    cluster.make("/api/v1/namespaces/t1/secrets", json!({ "metadata": { "name": "zz" } })).await;
    let page = cluster.get("/api/v1/secrets?limit=1").await;
    let whole = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let now = cluster.store.revision();
    let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let path = |token: &str| format!("/api/v1/namespaces/t1/secrets?continue={token}");
    let list = |token: &str| cluster.as_u("GET", &path(token));
    check(
        20,
        vec![
            ("upwards", list(&Token::new(now, "../kube-system/a").text()), &[400]),
            ("from the root", list(&Token::new(now, "/secrets").text()), &[400]),
            ("from nowhere", list(&Token::new(now, "").text()), &[400]),
            ("no base64", list("!!!"), &[400]),
            ("no JSON", list(&BASE64_URL_SAFE_NO_PAD.encode("x")), &[400]),
            ("another version", list(&encode(json!({ "v": "v9", "start": "a" }))), &[400]),
            (
                "a negative revision",
                list(&encode(json!({ "v": "meta.k8s.io/v1", "rv": -1, "start": "a" }))),
                &[400],
            ),
            ("another namespace's place", list(&Token::new(now, "kube-system/a").text()), &[200]),
            ("the administrator's, elsewhere", list(&whole), &[200, 400]),
            (
                "the administrator's, as it is",
                cluster.as_u("GET", &format!("/api/v1/secrets?continue={whole}")),
                &[403],
            ),
        ],
    )
    .await;
    let rest = list(&Token::new(now, "own").text()).done(200).await;
    let names: Vec<_> =
        rest["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["zz"]);
}

#[tokio::test]
async fn attack_21_a_huge_selector_is_answered() {
    let cluster = cluster().await;
    // An URI has 64 KiB at most; more is refused before the server sees it.
    let terms: Vec<String> = (0..9_000).map(|number| format!("a{number}")).collect();
    let fields = vec!["metadata.name!%3Da"; 3_000].join(",");
    let path = "/api/v1/namespaces/t1/secrets";
    let labels = |text: &str| cluster.as_u("GET", &format!("{path}?labelSelector={text}"));
    let by_field = |text: &str| cluster.as_u("GET", &format!("{path}?fieldSelector={text}"));
    check(
        21,
        vec![
            ("terms", labels(&terms.join(",")), &[200, 400]),
            ("values", labels(&format!("a+in+({})", terms.join(","))), &[200, 400]),
            ("one long name", labels(&"a".repeat(60_000)), &[400]),
            ("like a regex", labels("(a+)+%24"), &[400]),
            ("open", labels(&format!("a+in+{}", "(".repeat(30_000))), &[400]),
            ("fields", by_field(&fields), &[200, 400]),
            ("an unknown field", by_field("data%3Dx"), &[400]),
            (
                "escapes",
                by_field(&format!("metadata.name%3D{}", "%5C%5C".repeat(9_000))),
                &[200, 400],
            ),
        ],
    )
    .await;
}
