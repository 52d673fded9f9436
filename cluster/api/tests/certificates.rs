// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates: how they are read, judged, changed and shown.
#![allow(clippy::unwrap_used, reason = "what a test writes has these fields")]

mod judge;

use berth_cluster_api::pkcs10::{Request, Unreadable, block};
use berth_cluster_api::registry::{Part, Subresource};
use berth_cluster_api::schema::base64;
use berth_cluster_json::{Value, json};
use judge::{changed, fields, kind, made, sound, with};

const KIND: &str = "CertificateSigningRequest";
const NODE: &str = include_str!("../testdata/certificates/node.pem");
const SERVING: &str = include_str!("../testdata/certificates/serving.pem");
const APPROVAL: Part = Part::Other(Subresource::Approval);

fn csr() -> Value {
    json!({
        "metadata": { "name": "a" },
        "spec": {
            "request": base64::encode(NODE.as_bytes()), "usages": ["client auth", "digital signature"],
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "username": "u",
        },
        "status": { "certificate": "eA==" },
    })
}

fn condition(kind: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": "r" })
}

#[test]
fn requests_are_read() {
    let node = Request::read(NODE.as_bytes()).unwrap();
    let wanted = Request {
        common_name: "system:node:n1".to_owned(),
        organizations: vec!["system:nodes".to_owned()],
        ..Request::default()
    };
    assert_eq!(node, wanted);
    let serving = Request::read(SERVING.as_bytes()).unwrap();
    let wanted = Request {
        dns_names: ["n1", "n1.example.org"].map(str::to_owned).to_vec(),
        ip_addresses: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        email_addresses: vec!["a@b.c".to_owned()],
        uris: vec!["https://x".to_owned()],
        ..wanted
    };
    assert_eq!(serving, wanted);
}

#[test]
fn whatever_is_cut_off_or_turned_is_refused_or_read_and_never_a_panic() {
    assert_eq!(Request::read(b"x"), Err(Unreadable::NoRequest));
    assert_eq!(Request::read(&[0xff]), Err(Unreadable::NoRequest));
    let other = NODE.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    assert_eq!(Request::read(other.as_bytes()), Err(Unreadable::NoRequest));
    let (whole, _) = block(SERVING).unwrap();
    let pem = |bytes: &[u8]| {
        let text = base64::encode(bytes);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    };
    assert!(Request::read(pem(&whole.bytes).as_bytes()).is_ok());
    for end in 0..whole.bytes.len() {
        assert!(Request::read(pem(&whole.bytes[..end]).as_bytes()).is_err(), "{end}");
        for turned in [0x00, 0x01, 0x7f, 0x80, 0x84, 0xff] {
            let mut bytes = whole.bytes.clone();
            bytes[end] = turned;
            drop(Request::read(pem(&bytes).as_bytes()));
        }
    }
}

#[test]
fn a_request_says_what_it_wants_and_its_status_is_not_its_own() {
    assert_eq!(sound(KIND, &csr())["status"], json!({}));
    let problem = |pointer: &str, value: Value| made(KIND, &with(&csr(), pointer, value)).1;
    for (pointer, value, wanted) in [
        (
            "/spec/request",
            "eA==".into(),
            "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
        ),
        ("/spec/usages", json!([]), "spec.usages: Required value"),
        ("/spec/usages", json!(["any", "any"]), "spec.usages[1]: Duplicate value: \"any\""),
        ("/spec/signerName", "".into(), "spec.signerName: Required value"),
        (
            "/spec/signerName",
            "kubernetes.io/legacy-unknown".into(),
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
        ),
        (
            "/spec/signerName",
            "a".into(),
            "spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        (
            "/spec/signerName",
            "a/b".into(),
            "spec.signerName: Invalid value: \"a\": should be a domain with at least two segments",
        ),
        (
            "/spec/expirationSeconds",
            599.into(),
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ] {
        assert_eq!(problem(pointer, value), [wanted]);
    }
    let unknown = problem("/spec/usages", json!(["flying"]));
    assert!(unknown[0].starts_with("spec.usages[0]: Unsupported value: \"flying\""), "{unknown:?}");
    let label = problem("/spec/signerName", "a.B/c".into());
    assert!(label[0].contains("validating label \"B\": "), "{label:?}");
    assert!(problem("/spec/signerName", "a.b/c.d-e".into()).is_empty());
    assert!(problem("/spec/expirationSeconds", 600.into()).is_empty());
}

#[test]
fn only_approval_decides_and_only_a_signer_signs() {
    let old = with(&csr(), "/status", json!({}));
    let approved = with(&old, "/status", json!({ "conditions": [condition("Approved")] }));
    let certificate =
        base64::encode(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let signed = with(&old, "/status", json!({ "certificate": certificate }));
    // By itself nothing of it changes.
    let other = with(&approved, "/spec/username", "eve".into());
    assert_eq!(changed(KIND, &old, &other, Part::Main), (old.clone(), vec![]));
    let (made, errors) = changed(KIND, &old, &other, APPROVAL);
    assert_eq!((made, errors), (approved.clone(), vec![]));
    let (_, errors) = changed(KIND, &old, &approved, Part::Status);
    let sentence =
        "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"";
    assert_eq!(errors, [sentence]);
    let failed = with(&old, "/status", json!({ "conditions": [condition("Failed")] }));
    assert!(changed(KIND, &old, &failed, Part::Status).1.is_empty());
    assert!(changed(KIND, &old, &signed, Part::Status).1.is_empty());
    let (made, errors) = changed(KIND, &old, &signed, APPROVAL);
    assert_eq!((made, errors), (old.clone(), vec![]), "approval does not sign");
    let again = with(&signed, "/status/certificate", "eA==".into());
    let (_, errors) = changed(KIND, &signed, &again, Part::Status);
    let wanted =
        "status.certificate: Forbidden: updates may not modify existing certificate content";
    assert_eq!(errors[0], wanted);
    // What was decided stays.
    let (_, errors) = changed(KIND, &approved, &old, APPROVAL);
    let wanted =
        "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"";
    assert_eq!(errors, [wanted]);
    let both = json!({ "conditions": [condition("Approved"), condition("Denied")] });
    let (_, errors) = changed(KIND, &old, &with(&old, "/status", both), APPROVAL);
    assert_eq!(fields(&errors), ["status.conditions[1].type"]);
    let mut no = condition("Denied");
    no["status"] = "False".into();
    let (_, errors) =
        changed(KIND, &old, &with(&old, "/status", json!({ "conditions": [no] })), APPROVAL);
    assert_eq!(fields(&errors), ["status.conditions[0].status"]);
    for (text, wanted) in [
        ("x", "must contain at least one CERTIFICATE PEM block"),
        (NODE, "only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\""),
    ] {
        let wrong =
            with(&old, "/status", json!({ "certificate": base64::encode(text.as_bytes()) }));
        let (_, errors) = changed(KIND, &old, &wrong, Part::Status);
        let sentence =
            format!("status.certificate: Invalid value: \"<certificate data>\": {wanted}");
        assert_eq!(errors, [sentence]);
    }
}

#[test]
fn its_row_says_how_far_it_is() {
    let kind = kind(KIND);
    let names: Vec<_> = kind.columns.iter().map(|column| column.name).collect();
    let wanted = ["Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"];
    assert_eq!(names, wanted);
    let row = |csr: &Value| kind.rules.cells(csr.as_object().unwrap(), 0);
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    let bare = with(&csr(), "/status", json!({}));
    assert_eq!(row(&bare), ["a", "<unknown>", signer, "u", "<none>", "Pending"].map(Value::from));
    for (conditions, certificate, wanted) in [
        (&["Approved"][..], "", "Approved"),
        (&["Approved"], "eA==", "Approved,Issued"),
        (&["Approved", "Failed"], "", "Approved,Failed"),
        (&["Denied"], "", "Denied"),
    ] {
        let conditions: Vec<Value> = conditions.iter().map(|one| condition(one)).collect();
        let mut status = json!({ "conditions": conditions });
        if !certificate.is_empty() {
            status["certificate"] = certificate.into();
        }
        assert_eq!(row(&with(&csr(), "/status", status))[5], wanted);
    }
    let lasting = with(&csr(), "/spec/expirationSeconds", 86_400.into());
    assert_eq!(row(&lasting)[4], "24h");
}
