// SPDX-License-Identifier: Apache-2.0
//! What is approved by itself, what is signed, and what is forgotten: tables over requests that OpenSSL made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not there is a failure of the test")]

use berth_cluster_api::schema::base64;
use berth_cluster_client::View;
use berth_cluster_controllers::certificates::plan::{
    self, Addresses, Approval, Signing, approval, is_named, is_over,
};
use berth_cluster_controllers::view::{CertificateRequest, Micros};
use serde_json::{Value, json};

const NODE: &str = include_str!("../../api/testdata/certificates/node.pem");
const MASTERS: &str = include_str!("../../api/testdata/certificates/masters.pem");
const CLIENT: &str = include_str!("../../api/testdata/certificates/client.pem");
const SERVING: &str = include_str!("../../api/testdata/certificates/serving.pem");
/// For what runs on a node beside its agent.
const BESIDE: &str = include_str!("../../api/testdata/certificates/beside.pem");
/// For names of a server, without what else the other one asks for.
const NAMED: &str = include_str!("../../api/testdata/certificates/named.pem");

const AUTH: [&str; 2] = ["client auth", "digital signature"];
const SERVE: [&str; 3] = ["server auth", "digital signature", "key encipherment"];

fn csr(pem: &str, signer: &str, usages: &[&str], user: &str, status: &Value) -> CertificateRequest {
    let object = json!({
        "metadata": { "name": "a", "creationTimestamp": "1970-01-01T00:00:00Z" },
        "spec": {
            "request": base64::encode(pem.as_bytes()), "signerName": format!("kubernetes.io/{signer}"),
            "usages": usages, "username": user, "groups": ["system:nodes"],
        },
        "status": status,
    });
    CertificateRequest::read(object.to_string().as_bytes()).unwrap()
}

const YEAR: i64 = 365 * 24 * 3_600;

fn signing(csr: &CertificateRequest) -> Signing {
    plan::signing(csr, YEAR)
}

fn rights(csr: &CertificateRequest) -> Vec<&'static str> {
    match approval(csr) {
        Approval::IfMay(all) => all.into_iter().map(|(right, _)| right).collect(),
        other => panic!("{other:?}"),
    }
}

const KUBELET: &str = "kube-apiserver-client-kubelet";
const SERVER: &str = "kubelet-serving";
const PEOPLE: &str = "kube-apiserver-client";

#[test]
fn a_node_is_let_in_by_who_may_and_renews_by_itself() {
    let open = json!({});
    let first = csr(NODE, KUBELET, &AUTH, "system:bootstrap:abcdef", &open);
    assert_eq!(rights(&first), ["nodeclient"]);
    let renewal = csr(NODE, KUBELET, &AUTH, "system:node:n1", &open);
    assert_eq!(rights(&renewal), ["selfnodeclient", "nodeclient"]);
    let condition = |kind: &str| json!({ "conditions": [{ "type": kind, "status": "True" }] });
    for (what, csr) in [
        ("approved", csr(NODE, KUBELET, &AUTH, "u", &condition("Approved"))),
        ("denied", csr(NODE, KUBELET, &AUTH, "u", &condition("Denied"))),
        ("failed", csr(NODE, KUBELET, &AUTH, "u", &condition("Failed"))),
        ("signed", csr(NODE, KUBELET, &AUTH, "u", &json!({ "certificate": "eA==" }))),
        ("of the masters", csr(MASTERS, KUBELET, &AUTH, "u", &open)),
        ("of no node", csr(CLIENT, KUBELET, &AUTH, "u", &open)),
        ("with names", csr(SERVING, KUBELET, &AUTH, "u", &open)),
        ("for more", csr(NODE, KUBELET, &["client auth", "digital signature", "any"], "u", &open)),
        ("for less", csr(NODE, KUBELET, &["client auth"], "u", &open)),
        ("of people", csr(NODE, "kube-apiserver-client", &AUTH, "u", &open)),
        ("unreadable", csr("x", KUBELET, &AUTH, "u", &open)),
    ] {
        assert_eq!(approval(&csr), Approval::Leave, "{what}");
    }
}

#[test]
fn a_node_gets_a_user_for_what_runs_beside_its_agent() {
    let open = json!({});
    let own = csr(BESIDE, PEOPLE, &AUTH, "system:node:n1", &open);
    assert!(matches!(approval(&own), Approval::OfNode(_)), "{:?}", approval(&own));
    let mut stranger = own.clone();
    stranger.spec.groups.clear();
    for (what, csr) in [
        ("another node", csr(BESIDE, PEOPLE, &AUTH, "system:node:n2", &open)),
        ("one who is no node", stranger),
        ("who joins", csr(BESIDE, PEOPLE, &AUTH, "system:bootstrap:abcdef", &open)),
        ("for a server", csr(BESIDE, PEOPLE, &SERVE, "system:node:n1", &open)),
        ("of another signer", csr(BESIDE, KUBELET, &AUTH, "system:node:n1", &open)),
        ("of other names", csr(CLIENT, PEOPLE, &AUTH, "system:node:n1", &open)),
        ("of the masters", csr(MASTERS, PEOPLE, &AUTH, "system:node:n1", &open)),
    ] {
        assert_eq!(approval(&csr), Approval::Leave, "{what}");
    }
}

#[test]
fn a_server_is_called_by_its_own_names() {
    let open = json!({});
    let own = csr(NAMED, SERVER, &SERVE, "system:node:n1", &open);
    assert_eq!(approval(&own), Approval::IfNamed("n1".to_owned()));
    let mut stranger = csr(NAMED, SERVER, &SERVE, "system:node:n2", &open);
    assert_eq!(approval(&stranger), Approval::Leave, "for another node");
    stranger.spec.username = "system:node:n1".to_owned();
    stranger.spec.groups.clear();
    assert_eq!(approval(&stranger), Approval::Leave, "by one who is no node");
    let mail = csr(SERVING, SERVER, &SERVE, "system:node:n1", &open);
    assert_eq!(approval(&mail), Approval::Leave, "for an address of mail");
    let bare = csr(NODE, SERVER, &SERVE, "system:node:n1", &open);
    assert_eq!(approval(&bare), Approval::Leave, "without a name");
    let wanted = own.wanted().unwrap();
    let named = |addresses: Value| {
        let node = json!({ "status": { "addresses": addresses } });
        is_named(&wanted, "n1", &serde_json::from_value::<Addresses>(node).unwrap())
    };
    let ip = json!({ "type": "InternalIP", "address": "10.0.0.7" });
    let dns = json!({ "type": "ExternalDNS", "address": "n1.example.org" });
    assert!(named(json!([ip, dns])));
    assert!(!named(json!([ip])), "a name that is not its own");
    assert!(!named(json!([dns])), "an address that is not its own");
    let wrong = json!({ "type": "Hostname", "address": "10.0.0.7" });
    assert!(!named(json!([dns, wrong])), "an address is no name");
    assert!(!named(json!([])));
}

#[test]
fn what_is_approved_is_signed_for_a_time_and_for_its_use() {
    let approved = json!({ "conditions": [{ "type": "Approved", "status": "True" }] });
    let of = |pem, signer, usages: &[&str]| csr(pem, signer, usages, "u", &approved);
    let year = YEAR;
    assert_eq!(signing(&of(NODE, KUBELET, &AUTH)), Signing::Sign(year));
    assert_eq!(signing(&of(NAMED, SERVER, &SERVE)), Signing::Sign(year));
    assert_eq!(
        signing(&of(CLIENT, "kube-apiserver-client", &["client auth"])),
        Signing::Sign(year)
    );
    for (asked, wanted) in [(600, 600), (1, 600), (3_600, 3_600), (10 * year, year)] {
        let mut csr = of(NODE, KUBELET, &AUTH);
        csr.spec.expiration_seconds = Some(asked);
        assert_eq!(signing(&csr), Signing::Sign(wanted));
    }
    // Who runs the cluster may want less than upstream's least.
    assert_eq!(plan::signing(&of(NODE, KUBELET, &AUTH), 20), Signing::Sign(20));
    for (csr, why) in [
        (of(MASTERS, KUBELET, &AUTH), "subject organization is not system:nodes"),
        (of(SERVING, KUBELET, &AUTH), "email subjectAltNames are not allowed"),
        (of(NAMED, KUBELET, &AUTH), "DNS subjectAltNames are not allowed"),
        (of(NODE, SERVER, &SERVE), "DNS or IP subjectAltName is required"),
        (
            of(NODE, KUBELET, &SERVE),
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            of(CLIENT, "kube-apiserver-client", &["digital signature"]),
            "usages did not match [client auth digital signature key encipherment]",
        ),
    ] {
        assert_eq!(signing(&csr), Signing::Fail(why.to_owned()));
    }
    for status in [
        json!({}),
        json!({ "conditions": [{ "type": "Denied", "status": "True" }] }),
        json!({ "conditions": [{ "type": "Approved", "status": "True" }, { "type": "Failed", "status": "True" }] }),
        json!({ "conditions": approved["conditions"], "certificate": "eA==" }),
    ] {
        assert_eq!(signing(&csr(NODE, KUBELET, &AUTH, "u", &status)), Signing::Leave, "{status}");
    }
    let other = csr(NODE, "other", &AUTH, "u", &approved);
    assert_eq!(signing(&other), Signing::Leave, "a signer of somebody else's");
}

#[test]
fn requests_are_forgotten_at_upstreams_ages() {
    let at = |hours: i64| Micros(hours * 3_600 * 1_000_000 + 1);
    let decided = |kind: &str| json!([{ "type": kind, "status": "True", "lastUpdateTime": "1970-01-01T01:00:00Z" }]);
    for (status, hours) in [
        (json!({}), 24),
        (json!({ "conditions": decided("Denied") }), 2),
        (json!({ "conditions": decided("Failed") }), 2),
        (json!({ "conditions": decided("Approved"), "certificate": "eA==" }), 2),
    ] {
        let csr = csr(NODE, KUBELET, &AUTH, "u", &status);
        assert!(!is_over(&csr, at(hours - 1)), "{status}");
        assert!(is_over(&csr, at(hours)), "{status}");
    }
    let waits = csr(NODE, KUBELET, &AUTH, "u", &json!({ "conditions": decided("Approved") }));
    assert!(!is_over(&waits, at(1_000)), "its signer may be away");
}
