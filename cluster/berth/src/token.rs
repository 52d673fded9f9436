// SPDX-License-Identifier: Apache-2.0
//! `berth token`: what a machine shows that wants to join; made, listed, and taken back.

use crate::apiserver::now;
use crate::cli::{ClusterArgs, TokenArgs, TokenCommand};
use crate::record;
use anyhow::{Context, anyhow, bail};
use berth_cluster_auth::pki::{fingerprint_of, of_base64};
use berth_cluster_auth::token::bootstrap::{BootstrapToken, NAMESPACE, SECRET_PREFIX};
use berth_cluster_auth::token::join::JoinToken;
use berth_cluster_client::{Api, clock};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// The Secrets that are tokens.
fn secrets() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/secrets")
}

/// Does it, and ends.
pub(crate) async fn run(args: TokenArgs) -> anyhow::Result<()> {
    let path = kubeconfig(&args.cluster)?;
    let api = Api::connect(&path).await?;
    match args.command {
        TokenCommand::Create { ttl, description, print_join_command } => {
            let token = create(&api, ttl.0, &description).await?;
            let place = berth_cluster_client::place(&path).await?;
            let ca = place.ca.first().map(|der| fingerprint_of(der));
            let join = JoinToken { token, ca };
            if print_join_command {
                println!("{}", command(&place.url, &join));
            } else {
                println!("{}", join.reveal());
            }
            Ok(())
        }
        TokenCommand::List => list(&api).await,
        TokenCommand::Delete { token } => delete(&api, &token).await,
    }
}

/// The kubeconfig that is meant: the flag's, that of what runs here, or that of kubectl.
pub(crate) fn kubeconfig(args: &ClusterArgs) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.kubeconfig {
        return Ok(path.clone());
    }
    let running = record::find();
    match running.as_slice() {
        [] => {}
        [one] => return Ok(one.kubeconfig.clone()),
        all => {
            let all: Vec<String> = all
                .iter()
                .map(|one| format!("--kubeconfig {}", one.kubeconfig.display()))
                .collect();
            bail!("several clusters run on this machine; say which:\n  {}", all.join("\n  "));
        }
    }
    of_kubectl().context(
        "no cluster of this user runs on this machine (`berth up` or `berth server` starts one); --kubeconfig FILE names another one",
    )
}

/// The file that kubectl would take.
pub(crate) fn of_kubectl() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
    if let Some(all) = set("KUBECONFIG") {
        return std::env::split_paths(&all).find(|path| path.exists());
    }
    let path = PathBuf::from(set("HOME")?).join(".kube/config");
    path.exists().then_some(path)
}

/// The line by which a machine joins.
pub(crate) fn command(url: &str, token: &JoinToken) -> String {
    format!("berth agent --server {url} --token {}", token.reveal())
}

/// Makes a token that lasts so long, or for ever.
pub(crate) async fn create(
    api: &Api,
    lasts: Option<Duration>,
    description: &str,
) -> anyhow::Result<BootstrapToken> {
    let token = BootstrapToken::generate().context("the system gives no random numbers")?;
    let until = lasts.map(|lasts| {
        let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX / 4_000_000);
        clock::seconds(now().saturating_add(seconds).saturating_mul(1_000_000))
    });
    let secret = token.to_secret(until.as_deref(), description).to_string();
    api.post(&secrets(), secret.into()).await?;
    Ok(token)
}

async fn list(api: &Api) -> anyhow::Result<()> {
    let query = "?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken";
    let read = api.get(&format!("{}{query}", secrets())).await?;
    let read: Value = serde_json::from_slice(&read)?;
    let rows: Vec<[String; 3]> =
        read["items"].as_array().into_iter().flatten().map(|secret| row(secret, now())).collect();
    if rows.is_empty() {
        println!("there are no tokens; `berth token create` makes one");
        return Ok(());
    }
    println!("{:<8} {:<26} DESCRIPTION", "ID", "EXPIRES");
    for [id, expires, description] in rows {
        println!("{id:<8} {expires:<26} {description}");
    }
    println!();
    println!("What is secret of a token is shown once, when it is made.");
    Ok(())
}

fn row(secret: &Value, now: i64) -> [String; 3] {
    let text = |field: &str| {
        secret["data"][field].as_str().and_then(of_base64).filter(|text| !text.is_empty())
    };
    let expires = match text("expiration") {
        None => "never".to_owned(),
        Some(at) => match clock::parse(&at).map(|at| at / 1_000_000 - now) {
            Some(left) if left > 0 => format!("in {}", span(left)),
            Some(_) => "expired".to_owned(),
            None => format!("{at:?} is no time"),
        },
    };
    [text("token-id").unwrap_or_default(), expires, text("description").unwrap_or_default()]
}

/// A number of seconds, in its two largest units.
pub(crate) fn span(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = seconds.max(0);
    let mut words = Vec::new();
    for (unit, size) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            words.push(format!("{count}{unit}"));
        } else if !words.is_empty() {
            break;
        }
        if words.len() == 2 {
            break;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words.concat() }
}

async fn delete(api: &Api, text: &str) -> anyhow::Result<()> {
    // The public part is enough.
    let id = text.split('.').next().unwrap_or_default();
    let is_id =
        id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !is_id {
        bail!(
            "{text:?} is no token's id: six small letters or digits, as `berth token list` shows them"
        );
    }
    match api.delete(&format!("{}/{SECRET_PREFIX}{id}", secrets()), None).await {
        Err(error) if error.code() == Some(404) => {
            Err(anyhow!("there is no token {id}; `berth token list` shows all"))
        }
        done => {
            done?;
            println!("token {id} is gone; nodes that joined by it stay");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_told_without_what_is_secret() {
        let secret = |expiration: &str| {
            json!({ "data": {
                "token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==", "description": "eA==",
                "expiration": expiration,
            } })
        };
        let check = |expiration: &str, want: &str| {
            assert_eq!(row(&secret(expiration), 1_000), ["abcdef", want, "x"].map(str::to_owned));
        };
        check("", "never");
        // 1970-01-01T00:17:00Z, and a second before now.
        check("MTk3MC0wMS0wMVQwMDoxNzowMFo=", "in 20s");
        check("MTk3MC0wMS0wMVQwMDoxNjozOVo=", "expired");
        check("eA==", "\"x\" is no time");
    }

    #[test]
    fn spans_are_short() {
        for (seconds, want) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3_600, "1h"),
            (86_399, "23h59m"),
            (90_061, "1d1h"),
        ] {
            assert_eq!(span(seconds), want);
        }
    }
}
