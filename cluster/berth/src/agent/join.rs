// SPDX-License-Identifier: Apache-2.0
//! How a machine comes to its first certificate: it makes sure of the server, shows it the token, and asks.
//!
//! 1. `cluster-info` is read from a server that is not known, over a connection that is not trusted. It says by which CA the cluster is known,
//!    and has a signature by each token: who made it knows the token's secret, which was not sent.
//! 2. The CA's fingerprint is the token's, where that has one.
//! 3. Over a connection that is trusted by that CA, the token is shown, and a certificate asked for.

use super::folder::{Cluster, Folder};
use super::request::{Asker, Kind};
use super::trouble::{Trouble, of};
use anyhow::{Context, anyhow, bail};
use berth_cluster_auth::pki::fingerprint;
use berth_cluster_auth::token::join::JoinToken;
use berth_cluster_client::Api;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

const INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// What is waited before a server is tried again that is away.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// How often a signature is looked for that is not there: a token that was just made is signed with in a moment.
const SIGNATURES: u32 = 12;

/// Joins: afterwards the folder has the cluster's place and a client's certificate.
pub(super) async fn join(
    folder: &Folder,
    asker: &Asker,
    url: &str,
    token: &JoinToken,
) -> anyhow::Result<()> {
    let stranger = Api::of_stranger(url).context("--server")?;
    let ca = ca(&stranger, url, token).await?;
    let cluster = Cluster { url: url.to_owned(), ca };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": {
            "server": url, "certificate-authority-data": base64(&cluster.ca),
        } }],
        "users": [{ "name": "u", "user": { "token": token.token.reveal() } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    let api = Api::of_kubeconfig(&config.to_string(), "of the token").await?;
    let mut wait = Wait::new(url);
    let pair = loop {
        match asker.certificate(&api, Kind::Client).await {
            Ok(pair) => break pair,
            Err(error) => match of(&error) {
                Trouble::Away(why) => wait.say(&why).await,
                Trouble::Unknown401 => bail!(unknown(token)),
                Trouble::Tls(why) => bail!(why),
                Trouble::Other => return Err(error.context("no certificate is to be had")),
            },
        }
    };
    folder.keep_cluster(&cluster)?;
    folder.keep(Kind::Client, &pair)
}

/// Waits for a server that is away, and says so once.
pub(super) struct Wait<'a> {
    url: &'a str,
    pause: Duration,
    said: bool,
}

impl<'a> Wait<'a> {
    pub(super) fn new(url: &'a str) -> Self {
        Self { url, pause: AGAIN, said: false }
    }

    pub(super) async fn say(&mut self, why: &str) {
        if !std::mem::replace(&mut self.said, true) {
            println!("waits      for the server at {}: {why}", self.url);
            println!(
                "           it is tried again until it answers; is the address right, and does `berth server` run there?"
            );
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(AGAIN_MAX);
    }
}

/// The CA of the cluster, once it is sure that it is the one that the token is of.
async fn ca(stranger: &Api, url: &str, token: &JoinToken) -> anyhow::Result<String> {
    let mut wait = Wait::new(url);
    let mut tries = 0;
    loop {
        let read = match stranger.get(INFO).await {
            Ok(read) => read,
            Err(error) => {
                let error = error.into();
                match of(&error) {
                    Trouble::Away(why) => wait.say(&why).await,
                    // It has begun just now.
                    Trouble::Other if code(&error) == Some(404) && tries < SIGNATURES => {
                        tries += 1;
                        sleep(AGAIN).await;
                    }
                    _ => {
                        let hint = format!(
                            "{url} does not say which cluster it is (the ConfigMap kube-public/cluster-info): is it the API of Berth, or of another \
                             cluster that kubeadm made?"
                        );
                        return Err(error.context(hint));
                    }
                }
                continue;
            }
        };
        let map: Value = serde_json::from_slice(&read).context("cluster-info is no object")?;
        match judge(&map["data"], token)? {
            Some(ca) => return Ok(ca),
            None if tries < SIGNATURES => {
                tries += 1;
                sleep(AGAIN).await;
            }
            None => bail!(unknown(token)),
        }
    }
}

fn code(error: &anyhow::Error) -> Option<u16> {
    error.downcast_ref::<berth_cluster_client::CallError>()?.code()
}

fn unknown(token: &JoinToken) -> String {
    format!(
        "the server knows no token {token}: it is over, was taken back, or is of another cluster; `berth token create` there makes a new one, \
         `berth token list` shows those that are good"
    )
}

/// The CA that `cluster-info` says, if all is right; none if it is not signed by this token, which may be signed yet.
fn judge(data: &Value, token: &JoinToken) -> anyhow::Result<Option<String>> {
    let content = data["kubeconfig"].as_str().context("cluster-info says nothing")?;
    let Some(signature) = data[format!("jws-kubeconfig-{}", token.token.id)].as_str() else {
        return Ok(None);
    };
    if !token.token.verify(content, signature) {
        bail!(
            "the server's signature is not by this token: the part of {token} that is secret is wrong, or the server is not the one that the \
             token is of. Nothing secret was sent"
        );
    }
    let ca = ca_of(content).context("cluster-info has no CA")?;
    let found = fingerprint(&ca).context("the CA of cluster-info is no certificate")?;
    match &token.ca {
        Some(wanted) if *wanted != found => Err(anyhow!(
            "the server's CA is not the one that the token is of: its fingerprint is {found}, and should be {wanted}. Either the token is of another \
             cluster, or somebody is between here and the server. Nothing secret was sent"
        )),
        _ => Ok(Some(ca)),
    }
}

/// The CA in a kubeconfig, in PEM.
fn ca_of(kubeconfig: &str) -> Option<String> {
    const FIELD: &str = "certificate-authority-data:";
    let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(FIELD))?;
    berth_cluster_auth::pki::of_base64(line.trim().trim_matches('"'))
}

fn base64(text: &str) -> String {
    berth_cluster_api::schema::base64::encode(text.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;
    use berth_cluster_auth::pki::{Options, Pki};

    #[test]
    fn a_server_is_judged_before_it_is_told_anything() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), 1_800_000_000).unwrap();
        let ca = fingerprint(pki.ca_pem()).unwrap();
        let token =
            |secret: &str, ca: &str| JoinToken::parse(&format!("abcdef.{secret}.{ca}")).unwrap();
        let right = token("0123456789abcdef", &ca);
        let content = format!(
            "clusters:\n- cluster:\n    {}\n",
            format_args!("certificate-authority-data: {}", base64(pki.ca_pem()))
        );
        let data = json!({
            "kubeconfig": content, "jws-kubeconfig-abcdef": right.token.sign(&content),
        });
        assert_eq!(judge(&data, &right).unwrap().as_deref(), Some(pki.ca_pem()));
        let bare = JoinToken::parse("abcdef.0123456789abcdef").unwrap();
        assert!(judge(&data, &bare).unwrap().is_some(), "the signature is enough");
        let why = |token: &JoinToken| judge(&data, token).unwrap_err().to_string();
        let other = why(&token("0123456789abcdef", &"0".repeat(64)));
        assert!(other.contains(&ca) && other.contains("Nothing secret was sent"), "{other}");
        let wrong = why(&token("0123456789abcdee", &ca));
        assert!(wrong.contains("the part of abcdef that is secret is wrong"), "{wrong}");
        assert!(!wrong.contains("0123456789abcdee"), "{wrong}");
        let unsigned = json!({ "kubeconfig": content });
        assert_eq!(judge(&unsigned, &right).unwrap(), None);
        assert!(judge(&json!({}), &right).is_err());
    }
}
