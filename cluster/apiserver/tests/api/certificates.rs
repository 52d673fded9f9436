// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates: who asks, who approves, who signs; attack 7 of RELIABILITY.

use crate::kit::{Call, Cluster};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use berth_cluster_json::{Value, json};

const ALL: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const MASTERS: &str = include_str!("../../../api/testdata/certificates/masters.pem");
const CLIENT: &str = include_str!("../../../api/testdata/certificates/client.pem");
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

fn csr(name: &str, pem: &str, signer: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "request": BASE64_STANDARD.encode(pem), "usages": ["client auth"],
            "signerName": format!("kubernetes.io/{signer}"), "username": "system:admin", "groups": ["system:masters"],
        },
        "status": { "conditions": [{ "type": "Approved", "status": "True" }] },
    })
}

fn rule(resource: &str, verbs: &[&str], names: &[&str]) -> Value {
    json!([{
        "apiGroups": ["certificates.k8s.io"], "resources": [resource], "verbs": verbs, "resourceNames": names,
    }])
}

async fn refused(call: Call, sentence: &str) {
    let answer = call.done(403).await;
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.ends_with(sentence), "{message}");
}

#[tokio::test]
async fn the_server_says_who_asks_and_nobody_approves_himself() {
    let cluster = Cluster::new().await;
    cluster.grant("u", "", rule("certificatesigningrequests", &["create", "get"], &[])).await;
    let post = |body: &Value| cluster.call("POST", ALL).user("u", &["g"]).json(body);
    let made = post(&csr("a", CLIENT, "kube-apiserver-client")).done(201).await;
    assert_eq!(made["spec"]["username"], "u");
    assert_eq!(made["spec"]["groups"], json!(["g", "system:authenticated"]));
    assert_eq!(made["status"], json!({}));
    assert_eq!(post(&csr("b", "nonsense", "kube-apiserver-client")).status().await, 422);
    let approved =
        json!({ "status": { "conditions": [{ "type": "Approved", "status": "True" }] } });
    for part in ["", "/status", "/approval"] {
        let path = format!("{ALL}/a{part}");
        let call = cluster.call("PATCH", &path).user("u", &[]).merge(&approved);
        assert_eq!(call.status().await, 403, "{part}");
    }
    let plain = cluster.admin("PATCH", &format!("{ALL}/a")).merge(&approved).done(200).await;
    assert_eq!(plain["status"], json!({}), "the object itself does not approve");
}

#[tokio::test]
async fn attack_7_nobody_asks_for_the_group_that_may_do_everything() {
    let cluster = Cluster::new().await;
    cluster.grant("u", "", rule("certificatesigningrequests", &["create"], &[])).await;
    let post = |body: &Value| cluster.call("POST", ALL).user("u", &[]).json(body);
    refused(
        post(&csr("eve", MASTERS, "kube-apiserver-client")),
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
    )
    .await;
    refused(
        cluster.admin("POST", ALL).json(&csr("eve", MASTERS, "kube-apiserver-client")),
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
    )
    .await;
}

#[tokio::test]
async fn who_approves_and_who_signs_needs_the_right_for_the_signer() {
    let cluster = Cluster::new().await;
    let parts = json!([{
        "apiGroups": ["certificates.k8s.io"], "verbs": ["update", "patch", "get"],
        "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"],
    }]);
    for user in ["none", "one", "all"] {
        cluster.grant(user, "", parts.clone()).await;
    }
    let both = ["approve", "sign"];
    cluster
        .grant("one", "", rule("signers", &both, &["kubernetes.io/kube-apiserver-client"]))
        .await;
    cluster.grant("all", "", rule("signers", &both, &["kubernetes.io/*"])).await;
    let patch = |user: &str, name: &str, part: &str, body: &Value| {
        let path = format!("{ALL}/{name}/{part}");
        cluster.call("PATCH", &path).user(user, &[]).merge(body)
    };
    let approved = json!({ "status": { "conditions": [{ "type": "Approved", "status": "True", "reason": "r" }] } });
    let signed = json!({ "status": { "certificate": BASE64_STANDARD.encode(CERTIFICATE) } });
    cluster.make(ALL, csr("a", CLIENT, "kube-apiserver-client")).await;
    cluster.make(ALL, csr("b", CLIENT, "kubelet-serving")).await;
    for (user, name, signer) in
        [("none", "a", "kube-apiserver-client"), ("one", "b", "kubelet-serving")]
    {
        refused(
            patch(user, name, "approval", &approved),
            &format!(
                "user not permitted to approve requests with signerName \"kubernetes.io/{signer}\""
            ),
        )
        .await;
        refused(
            patch(user, name, "status", &signed),
            &format!(
                "user not permitted to sign requests with signerName \"kubernetes.io/{signer}\""
            ),
        )
        .await;
    }
    for (user, name) in [("one", "a"), ("all", "b")] {
        let made = patch(user, name, "approval", &approved).done(200).await;
        let condition = &made["status"]["conditions"][0];
        assert_eq!(condition["lastUpdateTime"], "2027-01-15T08:00:00Z");
        assert_eq!(condition["lastTransitionTime"], "2027-01-15T08:00:00Z");
        let made = patch(user, name, "status", &signed).done(200).await;
        assert_eq!(made["status"]["certificate"], signed["status"]["certificate"]);
        assert_eq!(made["status"]["conditions"][0]["type"], "Approved");
    }
    let path = format!("{ALL}/a/approval");
    assert_eq!(cluster.get(&path).await["metadata"]["name"], "a");
    let selected = format!("{ALL}?fieldSelector=spec.signerName%3Dkubernetes.io%2Fkubelet-serving");
    let items = cluster.get(&selected).await["items"].as_array().unwrap().len();
    assert_eq!(items, 1);
}
