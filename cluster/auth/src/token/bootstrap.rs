// SPDX-License-Identifier: Apache-2.0
//! Bootstrap tokens: what a machine shows that wants to join, `ID.SECRET`. Each is a Secret in `kube-system`, and gives as little as is
//! needed to ask for a certificate. By its secret part a client sees, too, that what the cluster says of itself comes from who knows it.

use crate::user::{BOOTSTRAP_PREFIX, BOOTSTRAPPERS, User};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use berth_cluster_api::schema::base64 as plain64;
use berth_cluster_api::{Map, time};
use berth_cluster_json::{Value, json};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;

/// The type of Secrets that are tokens.
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
/// What the names of such Secrets begin with.
pub const SECRET_PREFIX: &str = "bootstrap-token-";
/// The namespace of such Secrets.
pub const NAMESPACE: &str = "kube-system";

/// Signs of a token's parts, and which there are.
const ID: usize = 6;
const SECRET: usize = 16;
const SIGNS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A token in two parts; the second one is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    /// Its public part, by which it is found.
    pub id: String,
    secret: String,
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapToken").field("id", &self.id).finish_non_exhaustive()
    }
}

fn plain(text: &str, length: usize) -> bool {
    text.len() == length
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A text of a Secret; none if it is not there, or no text.
fn text(secret: &Map, field: &str) -> Option<String> {
    let data = secret.get("data")?[field].as_str()?;
    String::from_utf8(plain64::decode(data)?).ok()
}

/// Whether both are the same, in a time that says nothing of where they differ.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (digest(&SHA256, one.as_bytes()), digest(&SHA256, other.as_bytes()));
    let pairs = one.as_ref().iter().zip(other.as_ref());
    std::hint::black_box(pairs.fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

/// A group that a token may give besides: `system:bootstrappers:NAME`.
fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(BOOTSTRAPPERS).and_then(|rest| rest.strip_prefix(':'))
    else {
        return false;
    };
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().all(|byte| letter(byte) || byte == b':' || byte == b'-')
        && rest.bytes().last().is_some_and(letter)
}

impl BootstrapToken {
    /// Takes a token apart; none if it has not the form of one: six letters or digits, a dot, sixteen of them.
    pub fn parse(token: &str) -> Option<Self> {
        let (id, secret) = token.split_once('.')?;
        let whole = plain(id, ID) && plain(secret, SECRET);
        whole.then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// A new one; none if the system gives no random numbers.
    pub fn generate() -> Option<Self> {
        let random = SystemRandom::new();
        let mut signs = String::with_capacity(ID + SECRET);
        while signs.len() < ID + SECRET {
            let mut bytes = [0; ID + SECRET];
            random.fill(&mut bytes).ok()?;
            // Of 256 numbers the first 252 give each sign equally often.
            let even = bytes.iter().filter(|byte| usize::from(**byte) < SIGNS.len() * 7);
            signs.extend(even.map(|byte| char::from(SIGNS[usize::from(*byte) % SIGNS.len()])));
        }
        signs.truncate(ID + SECRET);
        let secret = signs.split_off(ID);
        Some(Self { id: signs, secret })
    }

    /// The whole token: what a machine is given that is to join.
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The Secret that makes it count, until a time (RFC 3339) or for ever: for who joins, and as a signature of what the cluster says of
    /// itself.
    pub fn to_secret(&self, expiration: Option<&str>, description: &str) -> Value {
        let mut data = json!({
            "token-id": self.id, "token-secret": self.secret, "description": description,
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
        });
        if let Some(expiration) = expiration {
            data["expiration"] = expiration.into();
        }
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE,
            "metadata": { "name": self.secret_name(), "namespace": NAMESPACE },
            "stringData": data,
        })
    }

    /// The token that a Secret is, if it is whole.
    pub fn of_secret(secret: &Map) -> Option<Self> {
        if secret.get("type").and_then(Value::as_str) != Some(SECRET_TYPE) {
            return None;
        }
        let name = secret.get("metadata").and_then(|meta| meta["name"].as_str())?;
        let (id, own) = (text(secret, "token-id")?, text(secret, "token-secret")?);
        let named = name.strip_prefix(SECRET_PREFIX) == Some(&id);
        (named && plain(&id, 6) && plain(&own, 16)).then_some(Self { id, secret: own })
    }

    /// The key of its Secret in the store, and in paths its name.
    pub fn secret_name(&self) -> String {
        format!("{SECRET_PREFIX}{}", self.id)
    }

    /// Who shows this token, if the Secret of its name says that it is one for that, and its time is not over.
    pub fn user(&self, secret: &Map, now: i64) -> Option<User> {
        let own = Self::of_secret(secret)?;
        let deleted =
            secret.get("metadata").is_some_and(|meta| !meta["deletionTimestamp"].is_null());
        // Compared first: what else is wrong with it only who has the token may find out.
        if !same(&own.secret, &self.secret) || own.id != self.id || deleted {
            return None;
        }
        if is_expired(secret, now) || !is_for(secret, "authentication") {
            return None;
        }
        let mut groups = vec![BOOTSTRAPPERS.to_owned()];
        let extra = text(secret, "auth-extra-groups").unwrap_or_default();
        for group in extra.split(',').map(str::trim).filter(|group| !group.is_empty()) {
            if !is_group(group) {
                return None;
            }
            groups.push(group.to_owned());
        }
        groups.sort();
        groups.dedup();
        Some(User::authenticated(&format!("{BOOTSTRAP_PREFIX}{}", self.id), "", groups))
    }

    /// A signature by this token of a text that the reader has: a JWS (RFC 7515) without its content, HS256.
    pub fn sign(&self, content: &str) -> String {
        let header = json!({ "alg": "HS256", "kid": self.id }).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
    }

    /// Whether a signature is by this token, of this text: what a machine asks that wants to join.
    pub fn verify(&self, content: &str, signature: &str) -> bool {
        let Some((header, tag)) = signature.split_once("..") else { return false };
        let known = URL_SAFE_NO_PAD.decode(header).ok();
        let known: Value =
            known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        if known["alg"] != "HS256" || known["kid"] != self.id.as_str() {
            return false;
        }
        let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else { return false };
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
    }
}

/// Whether a token may be used for something: `authentication` or `signing`.
pub fn is_for(secret: &Map, usage: &str) -> bool {
    text(secret, &format!("usage-bootstrap-{usage}")).as_deref() == Some("true")
}

/// Whether a token's time is over. One whose time cannot be read is no token any more; one that has none lasts.
pub fn is_expired(secret: &Map, now: i64) -> bool {
    match text(secret, "expiration") {
        None => false,
        Some(text) if text.is_empty() => false,
        Some(text) => time::parse(&text).is_none_or(|(at, _)| at <= now),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    fn secret(fields: &[(&str, &str)]) -> Map {
        let mut data = Map::new();
        let usual = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ];
        for (name, value) in usual.iter().chain(fields) {
            data.insert(*name, plain64::encode(value.as_bytes()).into());
        }
        let secret = json!({
            "metadata": { "name": "bootstrap-token-abcdef" }, "type": SECRET_TYPE, "data": data,
        });
        secret.as_object().unwrap().clone()
    }

    fn groups(fields: &[(&str, &str)]) -> Option<Vec<String>> {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        token.user(&secret(fields), 1_000).map(|user| user.groups)
    }

    #[test]
    fn a_token_has_a_form() {
        assert!(BootstrapToken::parse("abcdef.0123456789abcdef").is_some());
        for wrong in [
            "",
            "abcdef",
            "abcdef.",
            "abcdeF.0123456789abcdef",
            "abcde.0123456789abcdef",
            "abcdef.0123456789abcdeg0",
            "abcdef.0123456789abcd..",
            "../../.0123456789abcdef",
        ] {
            assert_eq!(BootstrapToken::parse(wrong), None, "{wrong}");
        }
        let shown = format!("{:?}", BootstrapToken::parse("abcdef.0123456789abcdef"));
        assert!(!shown.contains("0123456789"), "{shown}");
    }

    #[test]
    fn a_new_token_counts_by_its_secret() {
        let all: Vec<_> = (0..100).map(|_| BootstrapToken::generate().unwrap()).collect();
        for token in &all {
            assert_eq!(BootstrapToken::parse(&token.reveal()).as_ref(), Some(token));
            assert_eq!(all.iter().filter(|other| other.id == token.id).count(), 1);
        }
        let mut secret = all[0].to_secret(Some("1970-01-01T00:16:41Z"), "for a test");
        let texts = secret["stringData"].as_object().unwrap().clone();
        let coded = texts.iter().map(|(name, text)| {
            (name.clone(), Value::from(plain64::encode(text.as_str().unwrap().as_bytes())))
        });
        secret["data"] = Value::Object(coded.collect());
        let secret = secret.as_object().unwrap();
        assert!(all[0].user(secret, 1_000).is_some() && all[0].user(secret, 1_001).is_none());
        assert!(all[1].user(secret, 1_000).is_none());
    }

    #[test]
    fn a_token_gives_its_groups_while_it_lasts() {
        let plain = ["system:bootstrappers", "system:authenticated"].map(str::to_owned).to_vec();
        assert_eq!(groups(&[]), Some(plain.clone()));
        assert_eq!(groups(&[("expiration", "1970-01-01T00:16:41Z")]), Some(plain.clone()));
        assert_eq!(groups(&[("expiration", "")]), Some(plain));
        let more = groups(&[("auth-extra-groups", "system:bootstrappers:a-1:b, ")]).unwrap();
        assert!(more.contains(&"system:bootstrappers:a-1:b".to_owned()), "{more:?}");
        for wrong in [
            ("expiration", "1970-01-01T00:16:40Z"),
            ("expiration", "tomorrow"),
            ("usage-bootstrap-authentication", "yes"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers"),
            ("auth-extra-groups", "system:bootstrappers:"),
            ("auth-extra-groups", "system:bootstrappers:A"),
            ("token-id", "abcdeg"),
            ("token-secret", "0123456789abcdee"),
            ("token-secret", "x"),
        ] {
            assert_eq!(groups(&[wrong]), None, "{wrong:?}");
        }
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let with = |field: &str, value: Value| {
            let mut secret = secret(&[]);
            secret[field] = value;
            token.user(&secret, 0)
        };
        assert!(with("type", "Opaque".into()).is_none());
        assert!(with("metadata", json!({ "name": "bootstrap-token-abcdeg" })).is_none());
        let going = json!({ "name": "bootstrap-token-abcdef", "deletionTimestamp": "x" });
        assert!(with("metadata", going).is_none());
        assert_eq!(with("data", Value::Null), None);
    }

    #[test]
    fn a_signature_is_of_one_token_and_one_text() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let signature = token.sign("text");
        // As any implementation of RFC 7515 makes it.
        assert_eq!(
            signature,
            "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..v28Ea_KqmHOtFWksJ_4tbV6AFRNzMkrRUG_jsuLJz-4"
        );
        assert!(token.verify("text", &signature));
        assert!(!token.verify("texT", &signature));
        for other in ["abcdef.0123456789abcdee", "abcdeg.0123456789abcdef"] {
            assert!(!BootstrapToken::parse(other).unwrap().verify("text", &signature), "{other}");
        }
        let none = format!("{}..", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"kid\":\"abcdef\"}"));
        for wrong in ["", "..", "a..b", "a.b.c", none.as_str()] {
            assert!(!token.verify("text", wrong), "{wrong}");
        }
    }
}
