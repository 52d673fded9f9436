// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates: who asks is written down by the server; and who approves or signs needs the right for the signer (upstream's
//! CertificateApproval, CertificateSigning, CertificateSubjectRestriction).

use super::{Admission, Operation, Request};
use crate::ask::Ask;
use crate::server::Inner;
use crate::write::meta_text;
use berth_cluster_api::kinds::certificate::{CLIENT, GROUP, request};
use berth_cluster_api::registry::Subresource;
use berth_cluster_api::{Map, Refusal, time};
use berth_cluster_auth::rbac::Attributes;
use berth_cluster_auth::user::MASTERS;
use berth_cluster_json::{Value, json};

const STORED: &str = "certificates.k8s.io/certificatesigningrequests";
const PLURAL: &str = "certificatesigningrequests";

fn forbidden(object: &Map, why: &str) -> Refusal {
    Refusal::forbidden(GROUP, PLURAL, meta_text(object, "name"), why)
}

fn signer(csr: &Map) -> &str {
    csr.get("spec").and_then(|spec| spec["signerName"].as_str()).unwrap_or_default()
}

/// Whether the user may do this with requests to the signer: by its name, or by all of its domain.
fn may(server: &Inner, ask: &Ask, verb: &str, signer: &str) -> bool {
    let all = signer.split_once('/').map(|(domain, _)| format!("{domain}/*")).unwrap_or_default();
    [signer, &all].iter().any(|name| {
        let asked = Attributes::resource(&ask.user, verb, GROUP, "signers");
        server.access.allowed(&Attributes { version: "*", name, ..asked }).allowed
    })
}

/// Writes who asks into a new request, whatever it says itself, and times into conditions that have none. It has no name by which it could be
/// turned off.
#[derive(Debug)]
pub(crate) struct Fields;

impl Admission for Fields {
    fn name(&self) -> &'static str {
        ""
    }

    fn admit(
        &self,
        _server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        if &*request.ask.kind.stored_as != STORED {
            return Ok(());
        }
        match (request.operation, request.old) {
            (Operation::Create, _) => asker(request.ask, object),
            (Operation::Update, Some(old)) => times(request.ask, object, old),
            _ => {}
        }
        Ok(())
    }
}

fn asker(ask: &Ask, csr: &mut Map) {
    let Some(Value::Object(spec)) = csr.get_mut("spec") else { return };
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    let user = &ask.user;
    spec.insert("username".to_owned(), user.name.as_str().into());
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        spec.insert("groups".to_owned(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        let extra = user.extra.iter().map(|(name, all)| (name.as_str(), all.clone()));
        spec.insert("extra".to_owned(), extra.collect());
    }
}

fn times(ask: &Ask, csr: &mut Map, old: &Map) {
    let now = time::seconds(ask.now.seconds).unwrap_or_default();
    let list = |of: &Map| of.get("status").map(|status| status["conditions"].clone());
    let before = list(old).unwrap_or_default();
    let before = before.as_array().map_or(&[][..], Vec::as_slice);
    let conditions = csr.get_mut("status").and_then(|status| status.pointer_mut("/conditions"));
    let conditions = conditions.and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        let same = before
            .iter()
            .find(|one| one["type"] == condition["type"] && one["status"] == condition["status"]);
        let since = same.map(|one| one["lastTransitionTime"].clone()).filter(|at| !at.is_null());
        let Some(condition) = condition.as_object_mut() else { continue };
        for (field, value) in [
            ("lastUpdateTime", json!(now)),
            ("lastTransitionTime", since.unwrap_or_else(|| json!(now))),
        ] {
            if condition.get(field).is_none_or(Value::is_null) {
                condition.insert(field.to_owned(), value);
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct CertificateApproval;

impl Admission for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let ask = request.ask;
        let approves = ask.sub == Some(Subresource::Approval);
        let Some(old) = request.old.filter(|_| &*ask.kind.stored_as == STORED && approves) else {
            return Ok(());
        };
        let signer = signer(old);
        if may(server, ask, "approve", signer) {
            return Ok(());
        }
        let why = format!("user not permitted to approve requests with signerName {signer:?}");
        Err(forbidden(object, &why))
    }
}

#[derive(Debug)]
pub(crate) struct CertificateSigning;

impl Admission for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let ask = request.ask;
        let writes = ask.sub == Some(Subresource::Status);
        let Some(old) = request.old.filter(|_| &*ask.kind.stored_as == STORED && writes) else {
            return Ok(());
        };
        let part = |of: &Map, field: &str| {
            let value = of.get("status").map(|status| status[field].clone()).unwrap_or_default();
            // None and nothing in it are the same.
            let empty = value == "" || value.as_array().is_some_and(Vec::is_empty);
            if empty { Value::Null } else { value }
        };
        let same = |field: &str| part(old, field) == part(object, field);
        let signer = signer(old);
        if (same("certificate") && same("conditions")) || may(server, ask, "sign", signer) {
            return Ok(());
        }
        let why = format!("user not permitted to sign requests with signerName {signer:?}");
        Err(forbidden(object, &why))
    }
}

#[derive(Debug)]
pub(crate) struct CertificateSubjectRestriction;

impl Admission for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn admit(&self, _server: &Inner, asked: &Request<'_>, object: &mut Map) -> Result<(), Refusal> {
        let creates = asked.operation == Operation::Create && asked.ask.sub.is_none();
        if !creates || &*asked.ask.kind.stored_as != STORED || signer(object) != CLIENT {
            return Ok(());
        }
        // What cannot be read is refused as what it is when it is judged.
        let Ok(wanted) = request(object) else { return Ok(()) };
        if wanted.organizations.iter().any(|one| one == MASTERS) {
            let why = format!("use of {CLIENT} signer with {MASTERS} group is not allowed");
            return Err(forbidden(object, &why));
        }
        Ok(())
    }
}
