// SPDX-License-Identifier: Apache-2.0
//! Certificates of a node: what is asked for, the request to the API, and when one is to be renewed.

use anyhow::{Context, bail};
use berth_cluster_auth::pki::{Pair, Wanted, of_base64};
use berth_cluster_auth::user::{NODE_PREFIX, NODE_SERVICES, NODE_SERVICES_PREFIX, NODES};
use berth_cluster_client::Api;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// How often it is looked whether a request is signed, at first and later.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_secs(2);
/// After so long it is said that somebody is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks of a cluster differ: certificates begin so many seconds early, which are none of their life.
const SKEW_SECONDS: i64 = 300;

/// A certificate that a node needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As whom the agent calls the API.
    Client,
    /// As whom the service proxy and the DNS do.
    Services,
    /// What the agent's own server shows.
    Serving,
}

impl Kind {
    /// The name of its file.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Client => "client.pem",
            Self::Services => "services.pem",
            Self::Serving => "serving.pem",
        }
    }

    fn signer(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Services => "kubernetes.io/kube-apiserver-client",
            Self::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    /// The name and the organization that it is for.
    fn subject(self, node: &str) -> (String, &'static str) {
        match self {
            Self::Client | Self::Serving => (format!("{NODE_PREFIX}{node}"), NODES),
            Self::Services => (format!("{NODE_SERVICES_PREFIX}{node}"), NODE_SERVICES),
        }
    }
}

/// The node that asks.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) node: String,
    pub(super) address: Ipv4Addr,
}

impl Asker {
    /// Asks for a certificate with a new key, and waits until it is signed.
    pub(super) async fn certificate(&self, api: &Api, kind: Kind) -> anyhow::Result<Pair> {
        let (name, organization) = kind.subject(&self.node);
        let hosts = match kind {
            Kind::Client | Kind::Services => Vec::new(),
            Kind::Serving => vec![self.node.clone(), self.address.to_string()],
        };
        let wanted = Wanted::new(&name, organization, &hosts)?;
        let usage = if kind == Kind::Serving { "server auth" } else { "client auth" };
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "generateName": "node-csr-" },
            "spec": {
                "request": base64(&wanted.request), "signerName": kind.signer(),
                "usages": ["digital signature", usage],
            },
        });
        let made = api.post(REQUESTS, request.to_string().into()).await?;
        let made: Value = serde_json::from_slice(&made)?;
        let name = made["metadata"]["name"].as_str().context("the request has no name")?;
        let certificate = signed(api, name).await?;
        let pair = Pair { certificate, key: wanted.key };
        pair.validity().context("what was signed is no certificate")?;
        Ok(pair)
    }
}

fn base64(text: &str) -> String {
    berth_cluster_api::schema::base64::encode(text.as_bytes())
}

/// Waits until a request is signed.
async fn signed(api: &Api, name: &str) -> anyhow::Result<String> {
    let path = format!("{REQUESTS}/{name}");
    let (begun, mut pause, mut said) = (Instant::now(), LOOK, false);
    loop {
        let read = api.get(&path).await?;
        let read: Value = serde_json::from_slice(&read)?;
        let status = &read["status"];
        if let Some(pem) = status["certificate"].as_str().filter(|text| !text.is_empty()) {
            return of_base64(pem).context("what was signed is no text");
        }
        for one in status["conditions"].as_array().into_iter().flatten() {
            let kind = one["type"].as_str().unwrap_or_default();
            if kind == "Denied" || kind == "Failed" {
                let why = one["message"].as_str().unwrap_or("nobody says why");
                bail!("the request {name} for a certificate is {}: {why}", kind.to_lowercase());
            }
        }
        if begun.elapsed() > PATIENCE && !std::mem::replace(&mut said, true) {
            println!(
                "           waits for its certificate: `kubectl certificate approve {name}`, where nobody else does"
            );
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

/// When a certificate is renewed, in seconds since 1970: when seven to nine tenths of its life are over, so that not all come at once; `chance`
/// lies between 0 and 1.
pub(super) fn due((begins, ends): (i64, i64), chance: f64) -> i64 {
    let begins = (begins + SKEW_SECONDS).min(ends);
    let life = u32::try_from(ends - begins).unwrap_or(u32::MAX);
    // Whole seconds are near enough.
    let used = Duration::from_secs(life.into()).mul_f64(0.7 + 0.2 * chance.clamp(0.0, 1.0));
    begins.saturating_add(i64::try_from(used.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_the_last_third_of_its_life() {
        assert_eq!(due((700, 2_000), 0.0), 1_700);
        assert_eq!(due((700, 2_000), 0.5), 1_800);
        assert_eq!(due((700, 2_000), 1.0), 1_900);
        assert_eq!(due((700, 1_020), 0.5), 1_016, "one that lasts 20 s");
        assert_eq!(due((700, 900), 0.5), 900, "one that is over before it begins");
    }

    #[test]
    fn subjects_are_those_that_are_approved() {
        assert_eq!(Kind::Client.subject("n1"), ("system:node:n1".to_owned(), "system:nodes"));
        let services = Kind::Services.subject("n1");
        assert_eq!(services, ("berth:node-services:n1".to_owned(), "berth:node-services"));
    }
}
