// SPDX-License-Identifier: Apache-2.0
//! A machine joins: its bootstrap token, what that gives, and how the machine finds that the cluster is the right one; attack 7 of RELIABILITY.

use crate::kit::{Call, Cluster};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use berth_cluster_apiserver::{Control, Controllers};
use berth_cluster_auth::token::bootstrap::BootstrapToken;
use berth_cluster_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const NODE: &str = include_str!("../../../api/testdata/certificates/node.pem");
const MASTERS: &str = include_str!("../../../api/testdata/certificates/masters.pem");

/// A token that lasts for a minute.
fn secret(id: &str, more: &[(&str, &str)]) -> Value {
    let mut data = json!({
        "token-id": id, "token-secret": "0123456789abcdef", "expiration": "2027-01-15T08:01:00Z",
        "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
    });
    for (name, value) in more {
        data[*name] = (*value).into();
    }
    json!({
        "metadata": { "name": format!("bootstrap-token-{id}") },
        "type": "bootstrap.kubernetes.io/token", "stringData": data,
    })
}

fn with(cluster: &Cluster, id: &str, method: &str, path: &str) -> Call {
    cluster.call(method, path).token(&format!("{id}.0123456789abcdef"))
}

fn control(cluster: &Cluster) -> Controllers {
    cluster.server.control(Control {
        names: ["bootstrap-signer-controller", "token-cleaner-controller"]
            .map(str::to_owned)
            .to_vec(),
        ca: "a CA".to_owned(),
        service_ip: Ipv4Addr::new(10, 0, 0, 1),
        url: Some("https://192.0.2.7:6443".to_owned()),
        advertised: None,
    })
}

/// Waits for what a path has to become so; the bound is for a test that hangs.
async fn until(cluster: &Cluster, path: &str, is: impl Fn(u16, &Value) -> bool) -> Value {
    for _ in 0..3_000 {
        let reply = cluster.admin("GET", path).reply().await;
        if is(reply.status, &reply.value()) {
            return reply.value();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} did not become so");
}

#[tokio::test]
async fn attack_7_a_token_asks_for_a_certificate_and_does_nothing_else() {
    let cluster = Cluster::new().await;
    cluster.make(SECRETS, secret("abcdef", &[])).await;
    for (method, path) in [
        ("GET", SECRETS),
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/namespaces/kube-public/configmaps"),
        ("POST", "/api/v1/nodes"),
    ] {
        let call = with(&cluster, "abcdef", method, path).json(&json!({}));
        assert_eq!(call.status().await, 403, "{method} {path}");
    }
    let csr = |name: &str, pem: &str, signer: &str| {
        let body = json!({
            "metadata": { "name": name },
            "spec": {
                "request": BASE64_STANDARD.encode(pem), "usages": ["client auth", "digital signature"],
                "signerName": format!("kubernetes.io/{signer}"),
            },
        });
        with(&cluster, "abcdef", "POST", CSRS).json(&body)
    };
    let made = csr("n1", NODE, "kube-apiserver-client-kubelet").done(201).await;
    assert_eq!(made["spec"]["username"], "system:bootstrap:abcdef");
    assert_eq!(made["spec"]["groups"], json!(["system:bootstrappers", "system:authenticated"]));
    assert_eq!(csr("eve", MASTERS, "kube-apiserver-client").status().await, 403);
    let approve = json!({ "status": { "conditions": [{ "type": "Approved", "status": "True" }] } });
    let own = with(&cluster, "abcdef", "PATCH", &format!("{CSRS}/n1/approval")).merge(&approve);
    assert_eq!(own.status().await, 403);
}

#[tokio::test]
async fn a_token_counts_while_it_lasts_and_for_what_it_says() {
    let cluster = Cluster::new().await;
    let status = |id: &str| with(&cluster, id, "GET", CSRS).status();
    cluster.make(SECRETS, secret("aaaaaa", &[])).await;
    cluster.make(SECRETS, secret("bbbbbb", &[("usage-bootstrap-authentication", "false")])).await;
    cluster.make(SECRETS, secret("cccccc", &[("token-secret", "0123456789abcdee")])).await;
    cluster.make(SECRETS, secret("dddddd", &[("auth-extra-groups", "system:masters")])).await;
    assert_eq!(status("aaaaaa").await, 200);
    for wrong in ["bbbbbb", "cccccc", "dddddd", "eeeeee", "../../"] {
        assert_eq!(status(wrong).await, 401, "{wrong}");
    }
    cluster.clock.advance(60);
    assert_eq!(status("aaaaaa").await, 401, "its time is over");
    cluster.make(SECRETS, secret("ffffff", &[("expiration", "")])).await;
    assert_eq!(status("ffffff").await, 200);
    cluster.admin("DELETE", &format!("{SECRETS}/bootstrap-token-ffffff")).done(200).await;
    assert_eq!(status("ffffff").await, 401, "it is gone");
}

#[tokio::test]
async fn a_machine_that_has_a_token_sees_that_the_cluster_is_the_right_one() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    cluster.make(SECRETS, secret("abcdef", &[])).await;
    cluster.make(SECRETS, secret("abcdeg", &[("usage-bootstrap-signing", "false")])).await;
    let signed = |_: u16, map: &Value| !map["data"]["jws-kubeconfig-abcdef"].is_null();
    until(&cluster, INFO, signed).await;
    // Nobody has to be known for this.
    let map = cluster.call("GET", INFO).done(200).await;
    let content = map["data"]["kubeconfig"].as_str().unwrap();
    assert!(content.contains("server: https://192.0.2.7:6443\n"), "{content}");
    assert!(content.contains(&BASE64_STANDARD.encode("a CA")), "{content}");
    let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
    assert!(token.verify(content, map["data"]["jws-kubeconfig-abcdef"].as_str().unwrap()));
    assert!(map["data"]["jws-kubeconfig-abcdeg"].is_null());
    let others = "/api/v1/namespaces/kube-public/configmaps";
    assert_eq!(cluster.call("GET", others).status().await, 403);
    // What somebody changed is signed anew, and what is over is not signed any more, and goes.
    let other = json!({ "data": { "kubeconfig": "other" } });
    cluster.admin("PATCH", INFO).merge(&other).done(200).await;
    let anew = |_: u16, map: &Value| {
        let signature = map["data"]["jws-kubeconfig-abcdef"].as_str().unwrap_or_default();
        token.verify("other", signature)
    };
    until(&cluster, INFO, anew).await;
    cluster.clock.advance(60);
    cluster.make(SECRETS, json!({ "metadata": { "name": "any" } })).await;
    let gone = |status: u16, _: &Value| status == 404;
    until(&cluster, &format!("{SECRETS}/bootstrap-token-abcdef"), gone).await;
    let bare = |_: u16, map: &Value| map["data"]["jws-kubeconfig-abcdef"].is_null();
    until(&cluster, INFO, bare).await;
    cluster.get(&format!("{SECRETS}/any")).await;
}
