// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates: those of nodes are approved where they are right, what is approved is signed, what is old is forgotten. What
//! is right is decided in [`plan`]; keys are with an [`Authority`], which is not here.

pub mod plan;

use crate::context::{Context, body, unless_gone};
use crate::controller::{self, CHANGES};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::place::{CERTIFICATES, NODES};
use crate::queue::{Key, Outcome};
use crate::view::CertificateRequest;
use berth_cluster_api::schema::base64;
use berth_cluster_client::{CallError, Change, Item, Media, clock};
use plan::{Addresses, Approval, Signing};
use serde_json::{Value, json};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Requests that are worked on at a time.
const AT_ONCE: usize = 4;
/// When a request is looked at again whose names are not the node's yet.
const UNNAMED: Duration = Duration::from_mins(1);
/// How often old requests are looked for (upstream: an hour; it costs nothing to be nearer).
const CLEANING: Duration = Duration::from_mins(10);
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// What is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The request, in PEM.
    pub request: &'a [u8],
    /// What the certificate is for.
    pub usages: &'a [String],
    /// From when, in seconds since 1970.
    pub now: i64,
    /// For how many seconds.
    pub seconds: i64,
}

/// Who has the cluster's key.
pub trait Authority: Send + Sync {
    /// Signs; the certificate in PEM, or why there is none.
    fn sign(&self, order: &Order<'_>) -> Result<String, String>;
}

/// An [`Authority`] that settings can hold.
#[derive(Clone)]
pub struct Signer(pub Arc<dyn Authority>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Signer {}

type Known = Index<CertificateRequest>;
type Controller = controller::Controller<Known>;

/// Works on requests as they change, for ever.
async fn follow<F>(context: Context, sync: impl Fn(Arc<Controller>, Key) -> F)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut changes = begin(context.informers.certificates()).await;
    let controller = Controller::new(context, Index::new(|_| Vec::new()));
    let intake = async {
        let mut some: Vec<Change<CertificateRequest>> = Vec::new();
        while changes.next_many(&mut some, CHANGES).await > 0 {
            for change in some.drain(..) {
                controller.state().apply(&change);
                if let Some(csr) = &change.after {
                    controller.work.add(index::key(csr));
                }
            }
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, sync).await;
}

/// Approves those that are approved by themselves.
pub(crate) async fn approve(context: Context) {
    follow(context, |controller, key| async move {
        let found = controller.state().get(&key);
        let Some(csr) = found else { return Outcome::Done };
        match decide(&controller.context, &csr).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed(&key, &error),
        }
    })
    .await;
}

async fn decide(context: &Context, csr: &Item<CertificateRequest>) -> Result<Outcome, CallError> {
    match plan::approval(&csr.view) {
        Approval::Leave => Ok(Outcome::Done),
        Approval::IfMay(rights) => {
            for (subresource, message) in rights {
                if may(context, &csr.view, subresource).await? {
                    write_approval(context, csr, message).await?;
                    break;
                }
            }
            Ok(Outcome::Done)
        }
        Approval::OfNode(message) => {
            write_approval(context, csr, message).await.map(|()| Outcome::Done)
        }
        Approval::IfNamed(node) => {
            let found = match context.api.get(&NODES.one("", &node)).await {
                Err(error) if error.code() == Some(404) => return Ok(Outcome::After(UNNAMED)),
                found => found?,
            };
            let addresses: Addresses = serde_json::from_slice(&found).unwrap_or_default();
            let named =
                csr.view.wanted().is_some_and(|wanted| plan::is_named(&wanted, &node, &addresses));
            if !named {
                return Ok(Outcome::After(UNNAMED));
            }
            let message = "Auto approving kubelet serving certificate: its names are the node's.";
            write_approval(context, csr, message).await.map(|()| Outcome::Done)
        }
    }
}

/// Whether who asks may create this subresource of requests.
async fn may(
    context: &Context,
    csr: &CertificateRequest,
    subresource: &str,
) -> Result<bool, CallError> {
    let spec = &csr.spec;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
            "resourceAttributes": {
                "group": CERTIFICATES.group(), "resource": CERTIFICATES.plural, "verb": "create",
                "subresource": subresource, "version": "*",
            },
        },
    });
    let answer = context.api.post(REVIEWS, body(&review)).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(answer["status"]["allowed"] == true)
}

async fn write_approval(
    context: &Context,
    csr: &Item<CertificateRequest>,
    message: &str,
) -> Result<(), CallError> {
    let condition = condition(context, "Approved", "AutoApproved", message);
    let patch = json!({
        "metadata": { "uid": csr.id.uid, "resourceVersion": csr.id.resource_version },
        "status": { "conditions": [condition] },
    });
    let path = format!("{}/approval", CERTIFICATES.one("", &csr.id.name));
    unless_gone(context.api.patch(&path, Media::Merge, body(&patch)).await)
}

fn condition(context: &Context, kind: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": clock::seconds(context.now().0),
    })
}

/// Signs what is approved. Without an authority somebody else does.
pub(crate) async fn sign(context: Context) {
    if context.settings.authority.is_none() {
        return;
    }
    follow(context, |controller, key| async move {
        let found = controller.state().get(&key);
        let Some(csr) = found else { return Outcome::Done };
        match write_certificate(&controller.context, &csr).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::failed(&key, &error),
        }
    })
    .await;
}

async fn write_certificate(
    context: &Context,
    csr: &Item<CertificateRequest>,
) -> Result<(), CallError> {
    let failed = |reason: &str, why: &str| {
        let mut all = conditions(&csr.view);
        all.push(condition(context, "Failed", reason, why));
        json!({ "conditions": all })
    };
    let Some(Signer(authority)) = &context.settings.authority else { return Ok(()) };
    let status = match plan::signing(&csr.view, context.settings.signing_seconds) {
        Signing::Leave => return Ok(()),
        Signing::Fail(why) => failed("SignerValidationFailure", &why),
        Signing::Sign(seconds) => {
            let now = context.now().0.div_euclid(1_000_000);
            let (request, usages) = (csr.view.pem(), &csr.view.spec.usages);
            match authority.sign(&Order { request: &request, usages, now, seconds }) {
                Ok(pem) => json!({ "certificate": base64::encode(pem.as_bytes()) }),
                // The same request would fail again.
                Err(why) => failed("SigningFailure", &why),
            }
        }
    };
    let patch = json!({
        "metadata": { "uid": csr.id.uid, "resourceVersion": csr.id.resource_version },
        "status": status,
    });
    let path = CERTIFICATES.status("", &csr.id.name);
    unless_gone(context.api.patch(&path, Media::Merge, body(&patch)).await)
}

/// Conditions as they are, to be written again with one more: a merge patch replaces the list.
fn conditions(csr: &CertificateRequest) -> Vec<Value> {
    let time = |at: Option<crate::view::Micros>| at.map(|at| clock::seconds(at.0));
    let one = |one: &crate::view::Condition| {
        json!({
            "type": one.kind, "status": one.status, "reason": one.reason, "message": one.message,
            "lastUpdateTime": time(one.last_update_time),
            "lastTransitionTime": time(one.last_transition_time),
        })
    };
    csr.status.conditions.iter().map(one).collect()
}

/// Removes what is old.
pub(crate) async fn clean(context: Context) {
    let mut changes = begin(context.informers.certificates()).await;
    let mut all: Known = Index::new(|_| Vec::new());
    loop {
        while let Some(change) = changes.try_next() {
            all.apply(&change);
        }
        let now = context.now();
        let over: Vec<_> = all.all().filter(|csr| plan::is_over(&csr.view, now)).cloned().collect();
        for csr in over {
            let options = json!({ "preconditions": { "uid": csr.id.uid } });
            let path = CERTIFICATES.one("", &csr.id.name);
            if let Err(error) = unless_gone(context.api.delete(&path, Some(body(&options))).await) {
                tracing::info!(%error, "an old request for a certificate is removed later");
            }
        }
        tokio::time::sleep(CLEANING).await;
    }
}
