// SPDX-License-Identifier: Apache-2.0
//! Reviews: who somebody is, and what they may; as `kubectl auth can-i` and `kubectl auth whoami` ask.

use crate::kit::{Call, Cluster, NOW, pod, rule};
use berth_cluster_auth::token::{Issuer, Object, Request, SigningKey};
use berth_cluster_auth::user::{MASTERS, NODES};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";

fn self_review(cluster: &Cluster, attributes: Value) -> Call {
    let review = json!({ "spec": attributes });
    let path = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    cluster.call("POST", &path).user("u", &[]).json(&review)
}

#[tokio::test]
async fn everybody_learns_what_they_may_themselves() {
    let cluster = Cluster::new().await;
    cluster.grant("u", "t1", rule(&["pods"], &["get"])).await;
    let may = async |verb: &str, namespace: &str| {
        let asked = json!({ "verb": verb, "resource": "pods", "namespace": namespace });
        let review = self_review(&cluster, json!({ "resourceAttributes": asked })).done(201).await;
        assert_eq!(review["kind"], "SelfSubjectAccessReview");
        assert_eq!(review["spec"]["resourceAttributes"], asked);
        review["status"].clone()
    };
    let yes = may("get", "t1").await;
    assert_eq!(yes["allowed"], true);
    let why = yes["reason"].as_str().unwrap();
    assert!(why.starts_with("RBAC: allowed by RoleBinding \"of-u-"), "{why}");
    assert_eq!(may("get", "default").await, json!({ "allowed": false }));
    assert_eq!(may("delete", "t1").await, json!({ "allowed": false }));
    let path = |path: &str| {
        let asked = json!({ "nonResourceAttributes": { "verb": "get", "path": path } });
        self_review(&cluster, asked)
    };
    assert_eq!(path("/healthz").done(201).await["status"]["allowed"], true);
    assert_eq!(path("/metrics").done(201).await["status"]["allowed"], false);
    let nobody = cluster.call("POST", &format!("{AUTHORIZATION}/selfsubjectaccessreviews"));
    let asked = json!({ "spec": { "nonResourceAttributes": { "verb": "get", "path": "/" } } });
    assert_eq!(nobody.json(&asked).status().await, 403);
}

#[tokio::test]
async fn what_others_may_is_told_to_those_who_may_ask() {
    let cluster = Cluster::new().await;
    cluster.grant("u", "t1", rule(&["pods"], &["get"])).await;
    let all = format!("{AUTHORIZATION}/subjectaccessreviews");
    let resource = json!({ "verb": "get", "resource": "pods", "namespace": "t1" });
    let about = |user: &str, groups: &[&str]| json!({ "spec": { "user": user, "groups": groups, "resourceAttributes": resource } });
    let ask = |body: Value| cluster.admin("POST", &all).json(&body);
    assert_eq!(ask(about("u", &[])).done(201).await["status"]["allowed"], true);
    assert_eq!(ask(about("v", &[])).done(201).await["status"]["allowed"], false);
    assert_eq!(ask(about("v", &[MASTERS])).done(201).await["status"]["allowed"], true);
    let asker = cluster.call("POST", &all).user("u", &[]).json(&about("u", &[]));
    assert_eq!(asker.status().await, 403);
    let local = format!("{AUTHORIZATION}/namespaces/t1/localsubjectaccessreviews");
    let asked = cluster.admin("POST", &local).json(&about("u", &[])).done(201).await;
    assert_eq!(asked["status"]["allowed"], true);
    assert_eq!(asked["metadata"]["namespace"], "t1");
    let mut elsewhere = about("u", &[]);
    elsewhere["spec"]["resourceAttributes"]["namespace"] = "default".into();
    let refused = cluster.admin("POST", &local).json(&elsewhere).done(422).await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("must match metadata.namespace"), "{message}");
}

#[tokio::test]
async fn a_node_is_judged_by_what_its_pods_use() {
    let cluster = Cluster::new().await;
    let mut user = pod("p");
    user["spec"]["nodeName"] = "n1".into();
    user["spec"]["imagePullSecrets"] = json!([{ "name": "s" }]);
    cluster.make("/api/v1/namespaces/t1/pods", user).await;
    let ask = async |node: &str, attributes: Value| {
        let body = json!({ "spec": {
            "user": format!("system:node:{node}"), "groups": [NODES], "resourceAttributes": attributes,
        } });
        let path = format!("{AUTHORIZATION}/subjectaccessreviews");
        cluster.admin("POST", &path).json(&body).done(201).await["status"].clone()
    };
    let secret = json!({ "verb": "get", "resource": "secrets", "namespace": "t1", "name": "s" });
    assert_eq!(ask("n1", secret.clone()).await, json!({ "allowed": true }));
    let refused = ask("n2", secret).await;
    let why = "no relationship found between node 'n2' and this object";
    assert_eq!(refused, json!({ "allowed": false, "reason": why }));
    let pods =
        |selector: Value| json!({ "verb": "list", "resource": "pods", "fieldSelector": selector });
    let term = |operator: &str, values: &[&str]| json!({ "requirements": [{ "key": "spec.nodeName", "operator": operator, "values": values }] });
    for (selector, wanted) in [
        (json!({ "rawSelector": "spec.nodeName=n1" }), true),
        (json!({ "rawSelector": "spec.nodeName=n2" }), false),
        (term("In", &["n1"]), true),
        (term("In", &["n2"]), false),
        (term("In", &["n1", "n2"]), false),
        (term("NotIn", &["n1"]), false),
        (term("Exists", &[]), false),
    ] {
        let status = ask("n1", pods(selector.clone())).await;
        assert_eq!(status["allowed"], wanted, "{selector}");
    }
}

#[tokio::test]
async fn a_question_has_to_be_one() {
    let cluster = Cluster::new().await;
    let resource = json!({ "verb": "get", "resource": "pods" });
    let path = json!({ "verb": "get", "path": "/" });
    for (spec, cause) in [
        (
            json!({ "resourceAttributes": resource, "nonResourceAttributes": path }),
            "cannot be specified in combination with resourceAttributes",
        ),
        (json!({}), "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (
            json!({ "resourceAttributes": { "verb": "get", "fieldSelector": {} } }),
            "requirements or rawSelector is required",
        ),
    ] {
        let refused = self_review(&cluster, spec).done(422).await;
        let message = refused["message"].as_str().unwrap();
        assert!(message.ends_with(cause), "{message}");
    }
    let all = format!("{AUTHORIZATION}/subjectaccessreviews");
    let anonymous = json!({ "spec": { "resourceAttributes": resource } });
    let refused = cluster.admin("POST", &all).json(&anonymous).done(422).await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("at least one of user or group must be specified"), "{message}");
    let named = json!({ "metadata": { "name": "x" }, "spec": { "user": "u", "resourceAttributes": resource } });
    let refused = cluster.admin("POST", &all).json(&named).done(422).await;
    assert!(refused["message"].as_str().unwrap().ends_with("must be empty"), "{refused}");
    for method in ["GET", "DELETE"] {
        assert_eq!(cluster.admin(method, &all).status().await, 405, "{method}");
    }
    assert_eq!(cluster.admin("GET", &format!("{all}/x")).status().await, 405);
    let listed = cluster.get(AUTHORIZATION).await;
    let rows = listed["resources"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["verbs"] == json!(["create"])), "{listed}");
}

#[tokio::test]
async fn rules_are_told_as_far_as_they_are_known() {
    let cluster = Cluster::new().await;
    cluster.grant("u", "t1", rule(&["pods"], &["get"])).await;
    let path = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
    let ask = |namespace: &str, groups: &[&str], user: &str| {
        let body = json!({ "spec": { "namespace": namespace } });
        cluster.call("POST", &path).user(user, groups).json(&body)
    };
    let status = ask("t1", &[], "u").done(201).await["status"].clone();
    assert_eq!(status["incomplete"], false);
    let own = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] });
    assert!(status["resourceRules"].as_array().unwrap().contains(&own), "{status}");
    assert!(status["nonResourceRules"].to_string().contains("/healthz"), "{status}");
    let elsewhere = ask("default", &[], "u").done(201).await;
    assert!(!elsewhere["status"]["resourceRules"].as_array().unwrap().contains(&own));
    assert_eq!(ask("", &[], "u").status().await, 400);
    let node = ask("t1", &[NODES], "system:node:n").done(201).await["status"].clone();
    assert_eq!(node["incomplete"], true);
}

#[tokio::test]
async fn tokens_and_askers_are_named() {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let issuer = || {
        Issuer::new("https://berth.test", SigningKey::from_pkcs8(der.as_ref()).unwrap(), Vec::new())
    };
    let store = Store::memory(Options::default());
    let cluster = Cluster::with(store, |builder| builder.issuer(issuer())).await;
    let robot = json!({ "metadata": { "name": "robot" } });
    let robot = cluster.make("/api/v1/namespaces/t1/serviceaccounts", robot).await;
    let sign = |audience: &str| {
        let uid = robot["metadata"]["uid"].as_str().unwrap().to_owned();
        let request = Request {
            namespace: "t1".to_owned(),
            account: Object { name: "robot".to_owned(), uid },
            audiences: vec![audience.to_owned()],
            seconds: 3_600,
            bound: None,
            warn_after: None,
        };
        issuer().sign(&request, NOW).unwrap()
    };
    let review = async |token: &str, audiences: &[&str]| {
        let body = json!({ "spec": { "token": token, "audiences": audiences } });
        let path = format!("{AUTHENTICATION}/tokenreviews");
        cluster.admin("POST", &path).json(&body).done(201).await["status"].clone()
    };
    let own = review(&sign("https://berth.test"), &[]).await;
    assert_eq!(own["authenticated"], true);
    assert_eq!(own["user"]["username"], "system:serviceaccount:t1:robot");
    assert_eq!(own["audiences"], json!(["https://berth.test"]));
    assert_eq!(review(&sign("vault"), &["vault", "x"]).await["audiences"], json!(["vault"]));
    for (token, audiences) in [
        (sign("vault"), &[][..]),
        (sign("vault"), &["x"]),
        ("nonsense".to_owned(), &[]),
        // A token that says nothing of audiences is for this server's only.
        ("tu".to_owned(), &["vault"]),
    ] {
        let status = review(&token, audiences).await;
        assert_eq!(status, json!({ "user": {}, "error": "invalid bearer token" }), "{audiences:?}");
    }
    assert_eq!(review("tu", &[]).await["user"]["username"], "ute");
    let empty = cluster.admin("POST", &format!("{AUTHENTICATION}/tokenreviews"));
    assert_eq!(empty.json(&json!({ "spec": {} })).status().await, 400);
    let path = format!("{AUTHENTICATION}/selfsubjectreviews");
    let me = cluster.call("POST", &path).user("u", &["g"]).json(&json!({})).done(201).await;
    let wanted = json!({ "username": "u", "groups": ["g", "system:authenticated"] });
    assert_eq!(me["status"]["userInfo"], wanted);
}
