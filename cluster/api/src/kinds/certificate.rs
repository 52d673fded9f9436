// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates: asked for by a client, approved, signed.

use super::access::{keep, make};
use super::row::{AGE, RowExt, column, name_column, row};
use super::view::View;
use crate::field::{Errors, Path, Problem};
use crate::pkcs10::{Request, block};
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::schema::base64;
use crate::{Map, cells, names};
use berth_cluster_json::{Value, json};

/// The group.
pub const GROUP: &str = "certificates.k8s.io";
/// Signs certificates of clients of the API.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signs certificates by which nodes' agents call the API.
pub const NODE_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs certificates by which nodes' agents are called.
pub const NODE_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Of versions that are gone; nobody may ask for it.
const OLD: &str = "kubernetes.io/legacy-unknown";
/// The shortest life of a certificate that may be asked for.
const SECONDS_LEAST: i64 = 600;
/// The longest name of a signer: a domain, a slash, and a name that has one.
const SIGNER_BYTES: usize = 253 + 1 + 253 + 63 + 1;
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The row.
pub fn kinds() -> Vec<Kind> {
    let mut csr =
        row(GROUP, "CertificateSigningRequest", "certificatesigningrequests", &[], Signing)
            .short(&["csr"])
            .cluster_scoped()
            .below(&[Subresource::Status, Subresource::Approval]);
    csr.columns = vec![
        name_column(),
        AGE,
        column("SignerName", "string", "Who is to sign it."),
        column("Requestor", "string", "Who asked for it."),
        column("RequestedDuration", "string", "How long the certificate is to last."),
        column("Condition", "string", "Whether it is approved, and signed."),
    ];
    vec![csr]
}

#[derive(Debug)]
struct Signing;

/// What is asked for, if it can be read.
pub fn request(csr: &Map) -> Result<Request, String> {
    let bytes = base64::decode(csr.at("spec").text("request")).unwrap_or_default();
    Request::read(&bytes).map_err(|error| error.to_string())
}

/// Conditions of a type.
fn of_type<'a>(csr: &'a Map, kind: &str) -> Vec<&'a Value> {
    csr.at("status").list("conditions").iter().filter(|one| one.text("type") == kind).collect()
}

fn usages(spec: &Value, path: &Path, errors: &mut Errors) {
    let all = spec.list("usages");
    let path = path.child("usages");
    if all.is_empty() {
        errors.required(&path, "");
    }
    for (at, usage) in all.iter().enumerate() {
        let text = usage.as_str().unwrap_or_default();
        if !USAGES.contains(&text) {
            errors.not_supported(&path.index(at), text, &USAGES);
        }
        if all[..at].contains(usage) {
            errors.add(Problem::Duplicate, &path.index(at), usage, "");
        }
    }
}

/// `example.com/name`
fn signer(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name == OLD {
        let why = "the legacy signerName is not allowed via this API version";
        return errors.invalid(path, name, why);
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, last] = segments.as_slice() else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errors.invalid(path, name, why);
    };
    if domain.len() > 253 {
        errors.add(Problem::TooLong, path, &Value::Null, "may not be more than 253 bytes");
    }
    let mut wrong = |segment: &str, check: fn(&str, bool) -> Vec<String>| {
        let bad = |label: &str| {
            let problems = check(label, false);
            (!problems.is_empty()).then(|| (label.to_owned(), problems))
        };
        // One is enough: the others would say the same.
        if let Some((label, problems)) = segment.split('.').find_map(bad) {
            for problem in problems {
                errors.invalid(path, segment, format!("validating label {label:?}: {problem}"));
            }
        }
    };
    wrong(domain, names::dns_label);
    wrong(last, names::dns_subdomain);
    if !domain.contains('.') {
        errors.invalid(path, *domain, "should be a domain with at least two segments");
    }
    if name.len() > SIGNER_BYTES {
        let why = format!("may not be more than {SIGNER_BYTES} bytes");
        errors.add(Problem::TooLong, path, &Value::Null, why);
    }
}

fn conditions(status: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("conditions");
    let all = status.list("conditions");
    let has = |kind: &str| all.iter().any(|one| one.text("type") == kind);
    for (at, condition) in all.iter().enumerate() {
        let path = path.index(at);
        let (kind, value) = (condition.text("type"), condition.text("status"));
        if kind.is_empty() {
            errors.required(&path.child("type"), "");
        }
        let known: &[&str] =
            if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        if value.is_empty() {
            errors.required(&path.child("status"), "");
        } else if !known.contains(&value) {
            errors.not_supported(&path.child("status"), value, known);
        }
        if kind == "Denied" && has("Approved") {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.invalid(&path.child("type"), kind, why);
        }
        if all[..at].iter().any(|one| one.text("type") == kind) {
            errors.add(Problem::Duplicate, &path.child("type"), &kind.into(), "");
        }
    }
}

/// What is wrong with a certificate that a signer gave.
fn certificate(status: &Value) -> Option<String> {
    let text = status.text("certificate");
    if text.is_empty() {
        return None;
    }
    let pem = String::from_utf8(base64::decode(text)?).unwrap_or_default();
    let (mut rest, mut count) = (pem.as_str(), 0);
    while let Some((block, after)) = block(rest) {
        if block.kind != "CERTIFICATE" {
            return Some(format!(
                "only CERTIFICATE PEM blocks are allowed, found {:?}",
                block.kind
            ));
        }
        if block.headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        if crate::der::expect(&block.bytes, crate::der::SEQUENCE).is_none() {
            return Some("asn1: structure error: malformed certificate".to_owned());
        }
        (rest, count) = (after, count + 1);
    }
    (count == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

/// The shown status of a request.
fn shown(csr: &Map) -> String {
    let has = |kind: &str| !of_type(csr, kind).is_empty();
    let mut text = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !csr.at("status").text("certificate").is_empty() {
        text.push_str(",Issued");
    }
    text
}

/// What was decided stays decided, and what was signed stays signed.
fn decided(new: &Map, old: &Map, part: Part, errors: &mut Errors) {
    let path = Path::new("status").child("conditions");
    for kind in FINAL {
        let (after, before) = (of_type(new, kind), of_type(old, kind));
        if after.len() < before.len() {
            let why = format!("updates may not remove a condition of type {kind:?}");
            errors.forbidden(&path, why);
            continue;
        }
        let decides = kind != "Failed" && part != Part::Other(Subresource::Approval);
        if decides && after.len() > before.len() {
            errors.forbidden(&path, format!("updates may not add a condition of type {kind:?}"));
        } else if decides && after != before {
            errors.forbidden(&path, format!("updates may not modify a condition of type {kind:?}"));
        }
    }
    let certificate = |csr: &Map| csr.at("status").text("certificate").to_owned();
    let (after, before) = (certificate(new), certificate(old));
    let path = Path::new("status").child("certificate");
    if after != before && !before.is_empty() {
        errors.forbidden(&path, "updates may not modify existing certificate content");
    } else if after != before && part != Part::Status {
        errors.forbidden(&path, "updates may not set certificate content");
    }
}

impl Rules for Signing {
    fn default(&self, object: &mut Map) {
        let conditions = object
            .get_mut("status")
            .and_then(|status| status.pointer_mut("/conditions"))
            .and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
            if condition.get("status").is_none_or(|status| status.is_null() || *status == "") {
                condition.insert("status".to_owned(), "True".into());
            }
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({}));
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        keep(new, old, "spec");
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Other(Subresource::Approval) => {
                // Approval writes conditions and nothing else of the status.
                let certificate = old.at("status").at("certificate").clone();
                if let Some(status) = make(new, "status") {
                    status.remove("certificate");
                    if !certificate.is_null() {
                        status.insert("certificate".to_owned(), certificate);
                    }
                }
            }
            _ => {}
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let (spec, path) = (object.at("spec"), Path::new("spec"));
        if let Err(why) = request(object) {
            errors.invalid(&path.child("request"), spec.at("request").clone(), why);
        }
        usages(spec, &path, errors);
        signer(spec.text("signerName"), &path.child("signerName"), errors);
        if let Some(seconds) = spec.int("expirationSeconds").filter(|one| *one < SECONDS_LEAST) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.invalid(&path.child("expirationSeconds"), seconds, why);
        }
        conditions(object.at("status"), errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        if part != Part::Main {
            conditions(new.at("status"), errors);
        }
        decided(new, old, part, errors);
        if part == Part::Status
            && let Some(why) = certificate(new.at("status"))
        {
            let path = Path::new("status").child("certificate");
            errors.invalid(&path, "<certificate data>", why);
        }
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", object.at("spec").text("signerName").to_owned())]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let spec = object.at("spec");
        let or_none = |text: &str| if text.is_empty() { "<none>" } else { text }.to_owned();
        let duration = spec.int("expirationSeconds").map(cells::duration).unwrap_or_default();
        vec![
            cells::name(object),
            cells::age(object, now),
            or_none(spec.text("signerName")).into(),
            spec.text("username").into(),
            or_none(&duration).into(),
            shown(object).into(),
        ]
    }
}
