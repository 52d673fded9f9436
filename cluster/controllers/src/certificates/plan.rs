// SPDX-License-Identifier: Apache-2.0
//! What is to be done about a request for a certificate: whether it is one of those that are approved without anybody's doing, whether and for
//! how long it is signed, and when it is forgotten. Pure.

use crate::view::{CertificateRequest, Micros};
use berth_cluster_api::kinds::certificate::{CLIENT, NODE_CLIENT, NODE_SERVING};
use berth_cluster_api::pkcs10::Request;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::IpAddr;

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
/// The group of nodes' service proxies and DNS, and how the name of one begins.
const SERVICES: &str = "berth:node-services";
/// Seconds that a certificate lasts at least, where it is said how many (upstream's number).
const SECONDS_MIN: i64 = 600;
const CLIENT_USAGES: [&str; 3] = ["client auth", "digital signature", "key encipherment"];
const HOUR: i64 = 3_600 * 1_000_000;

/// What a request is that could be approved by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// Its asker needs the right to create this subresource of requests; then this is told.
    IfMay(Vec<(&'static str, &'static str)>),
    /// The node of this name asks for itself, and its names have to be the node's own.
    IfNamed(String),
    /// A node asks for what runs beside its agent; this is told.
    OfNode(&'static str),
    /// It is somebody's to decide.
    Leave,
}

/// What a signer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// It signs, for so many seconds.
    Sign(i64),
    /// It never will, and says why.
    Fail(String),
    /// It is not yet, or never, for it to do.
    Leave,
}

/// Addresses of a node, out of its JSON.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Addresses {
    status: AddressesStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AddressesStatus {
    addresses: Vec<Address>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

fn is_open(csr: &CertificateRequest) -> bool {
    csr.status.certificate.is_empty()
        && ["Approved", "Denied", "Failed"].iter().all(|kind| csr.condition(kind).is_none())
}

/// Whether a request is approved by itself, and by what.
pub fn approval(csr: &CertificateRequest) -> Approval {
    let spec = &csr.spec;
    let Some(wanted) = csr.wanted().filter(|_| is_open(csr)) else { return Approval::Leave };
    let own = spec.username == wanted.common_name;
    match spec.signer_name.as_str() {
        NODE_CLIENT if node_client(&wanted, &spec.usages).is_ok() => {
            let renewal = (
                "selfnodeclient",
                "Auto approving self kubelet client certificate after SubjectAccessReview.",
            );
            let first = (
                "nodeclient",
                "Auto approving kubelet client certificate after SubjectAccessReview.",
            );
            Approval::IfMay(if own { vec![renewal, first] } else { vec![first] })
        }
        NODE_SERVING if node_serving(&wanted, &spec.usages).is_ok() => {
            let node = wanted.common_name.strip_prefix(NODE_PREFIX).unwrap_or_default();
            let is_node = own && spec.groups.iter().any(|group| group == NODES);
            if is_node && !node.is_empty() {
                Approval::IfNamed(node.to_owned())
            } else {
                Approval::Leave
            }
        }
        CLIENT if is_beside(&wanted, csr) && node_client_names(&wanted).is_ok() => {
            Approval::OfNode(
                "Auto approving client certificate of a node's service proxy and DNS: the node asks for it.",
            )
        }
        _ => Approval::Leave,
    }
}

/// Whether a node asks for the user beside its agent: of its own name, for a client and nothing else.
fn is_beside(wanted: &Request, csr: &CertificateRequest) -> bool {
    let spec = &csr.spec;
    let node = spec.username.strip_prefix(NODE_PREFIX).filter(|node| !node.is_empty());
    spec.groups.iter().any(|group| group == NODES)
        && node.is_some_and(|node| wanted.common_name == format!("{SERVICES}:{node}"))
        && wanted.organizations == [SERVICES]
        && wanted.email_addresses.is_empty()
        && wanted.uris.is_empty()
        && exactly(&spec.usages, &CLIENT_USAGES).is_ok()
}

/// Whether all names that are asked for are the node's own.
pub fn is_named(wanted: &Request, node: &str, addresses: &Addresses) -> bool {
    let of = |kinds: &[&str]| -> BTreeSet<&str> {
        let all = addresses.status.addresses.iter();
        let all = all.filter(|one| kinds.contains(&one.kind.as_str()));
        all.map(|one| one.address.as_str()).collect()
    };
    let mut names = of(&["Hostname", "InternalDNS", "ExternalDNS"]);
    names.insert(node);
    let ips = of(&["InternalIP", "ExternalIP"]);
    let ips: BTreeSet<IpAddr> = ips.into_iter().filter_map(|ip| ip.parse().ok()).collect();
    wanted.dns_names.iter().all(|name| names.contains(name.as_str()))
        && wanted.ip_addresses.iter().all(|ip| ips.contains(ip))
}

/// What the signer does about a request. `most`: so many seconds a certificate lasts where nothing is said, and at most.
pub fn signing(csr: &CertificateRequest, most: i64) -> Signing {
    let is_true = |kind: &str| csr.condition(kind).is_some_and(|one| one.status == "True");
    let done = !csr.status.certificate.is_empty() || is_true("Failed") || is_true("Denied");
    let spec = &csr.spec;
    if done || !is_true("Approved") {
        return Signing::Leave;
    }
    let Some(wanted) = csr.wanted() else { return Signing::Leave };
    let judged = match spec.signer_name.as_str() {
        CLIENT => client(&spec.usages),
        NODE_CLIENT => node_client(&wanted, &spec.usages),
        NODE_SERVING => node_serving(&wanted, &spec.usages),
        _ => return Signing::Leave,
    };
    let seconds = |asked: i64| if asked > most { most } else { asked.max(SECONDS_MIN) };
    match judged {
        Ok(()) => Signing::Sign(spec.expiration_seconds.map_or(most, seconds)),
        Err(why) => Signing::Fail(why),
    }
}

/// Whether a request is forgotten: what was decided after an hour, what nobody looked at after a day (upstream's ages).
pub fn is_over(csr: &CertificateRequest, now: Micros) -> bool {
    let older = |at: Option<Micros>, than: i64| at.is_some_and(|at| now.0 - at.0 > than);
    let decided =
        |kind: &str| csr.condition(kind).is_some_and(|one| older(one.last_update_time, HOUR));
    let pending = csr.status.conditions.is_empty();
    (pending && older(csr.metadata.creation_timestamp, 24 * HOUR))
        || decided("Denied")
        || decided("Failed")
        || (!csr.status.certificate.is_empty() && decided("Approved"))
}

/// Exactly these usages; `key encipherment` is for RSA only.
fn exactly(usages: &[String], wanted: &[&str; 3]) -> Result<(), String> {
    let have: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let all: BTreeSet<&str> = wanted.iter().copied().collect();
    let less: BTreeSet<&str> =
        all.iter().copied().filter(|usage| *usage != "key encipherment").collect();
    if have == all || have == less {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", all.into_iter().collect::<Vec<_>>().join(" ")))
}

fn client(usages: &[String]) -> Result<(), String> {
    let may = CLIENT_USAGES;
    let all = usages.iter().all(|usage| may.contains(&usage.as_str()));
    if all && usages.iter().any(|usage| usage == "client auth") {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", may.join(" ")))
}

/// Of a node by its subject.
fn of_node(wanted: &Request) -> Result<(), String> {
    if wanted.organizations != [NODES] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    if !wanted.common_name.starts_with(NODE_PREFIX) {
        return Err("subject common name does not begin with system:node:".to_owned());
    }
    if !wanted.email_addresses.is_empty() {
        return Err("email subjectAltNames are not allowed".to_owned());
    }
    if !wanted.uris.is_empty() {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    Ok(())
}

fn node_client(wanted: &Request, usages: &[String]) -> Result<(), String> {
    of_node(wanted)?;
    node_client_names(wanted)?;
    exactly(usages, &CLIENT_USAGES)
}

/// A client has no names of a server.
fn node_client_names(wanted: &Request) -> Result<(), String> {
    if !wanted.dns_names.is_empty() {
        return Err("DNS subjectAltNames are not allowed".to_owned());
    }
    if !wanted.ip_addresses.is_empty() {
        return Err("IP subjectAltNames are not allowed".to_owned());
    }
    Ok(())
}

fn node_serving(wanted: &Request, usages: &[String]) -> Result<(), String> {
    of_node(wanted)?;
    if wanted.dns_names.is_empty() && wanted.ip_addresses.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    exactly(usages, &["digital signature", "key encipherment", "server auth"])
}
