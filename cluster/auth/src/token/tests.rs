// SPDX-License-Identifier: Apache-2.0
//! Tests of tokens: the attacks first.

use super::*;
use ring::hmac;

const NOW: i64 = 1_800_000_000;
const URL: &str = "https://kubernetes.default.svc";

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&rcgen::KeyPair::generate().unwrap().serialize_der()).unwrap()
}

/// Uids of what exists.
struct World {
    account: &'static str,
    pod: &'static str,
}

impl Lookup for World {
    fn service_account(&self, namespace: &str, name: &str) -> Option<String> {
        (namespace == "a" && name == "robot" && !self.account.is_empty())
            .then(|| self.account.into())
    }
    fn pod(&self, _: &str, name: &str) -> Option<String> {
        (name == "p" && !self.pod.is_empty()).then(|| self.pod.into())
    }
    fn secret(&self, _: &str, _: &str) -> Option<String> {
        None
    }
    fn node(&self, _: &str) -> Option<String> {
        None
    }
}

const WORLD: World = World { account: "1", pod: "2" };

fn object(name: &str, uid: &str) -> Object {
    Object { name: name.into(), uid: uid.into() }
}

fn request() -> Request {
    Request {
        namespace: "a".into(),
        account: object("robot", "1"),
        audiences: vec![URL.into()],
        seconds: 3600,
        bound: Some(Bound::Pod(object("p", "2"), Some(object("n", "3")))),
        warn_after: None,
    }
}

/// A token of any header and claims, signed by any means.
fn forge(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

#[test]
fn a_token_says_whose_it_is() {
    let issuer = Issuer::new(URL, key(), vec![]);
    let token = issuer.sign(&request(), NOW).unwrap();
    let got = issuer.verify(&token, &["x", URL], NOW, &WORLD).unwrap();
    assert_eq!(got.user.name, "system:serviceaccount:a:robot");
    assert_eq!(got.user.uid, "1");
    assert_eq!(got.audiences, [URL]);
    for (name, value) in
        [("pod-name", "p"), ("pod-uid", "2"), ("node-name", "n"), ("node-uid", "3")]
    {
        assert_eq!(got.user.extra[&format!("authentication.kubernetes.io/{name}")], [value]);
    }
    assert!(got.user.is_in("system:serviceaccounts:a"));
}

#[test]
fn forged_tokens_are_refused() {
    let issuer = Issuer::new(URL, key(), vec![]);
    let claims = issuer.claims(&request(), "id", NOW);
    let own = |bytes: &[u8]| issuer.key.sign(bytes).unwrap();
    let good = json!({"alg": "ES256", "kid": issuer.key.id()});
    let check = |token: &str| issuer.verify(token, &[URL], NOW, &WORLD).map(|_| ());
    assert_eq!(check(&forge(&good, &claims, own)), Ok(()), "the forge works");
    let header = |name: &str, value: Value| {
        let mut header = good.clone();
        header[name] = value;
        header
    };
    let public = issuer.key.verifying();
    let with_public = |bytes: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &public.point);
        hmac::sign(&key, bytes).as_ref().to_vec()
    };
    let other = key();
    let mut tokens = vec![
        forge(&header("alg", json!("none")), &claims, |_| vec![]),
        forge(&header("alg", json!("None")), &claims, own),
        forge(&header("alg", json!("HS256")), &claims, with_public),
        forge(&header("alg", json!("ES384")), &claims, own),
        forge(&header("kid", json!("../../x")), &claims, own),
        forge(&header("kid", Value::Null), &claims, own),
        forge(&header("crit", json!(["b64"])), &claims, own),
        forge(&good, &claims, |bytes| other.sign(bytes).unwrap()),
        forge(&good, &claims, |_| vec![0; 64]),
        "a".repeat(1 << 20),
        String::new(),
        "..".into(),
        format!("{}.x", forge(&good, &claims, own)),
    ];
    for (name, value) in [
        ("iss", json!("https://evil")),
        ("aud", json!(["other"])),
        ("aud", json!(URL)),
        ("aud", json!([])),
        ("exp", json!(NOW)),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 60)),
        ("iat", json!(NOW + 60)),
        ("sub", json!("system:serviceaccount:kube-system:admin")),
        ("kubernetes.io", Value::Null),
        ("kubernetes.io", json!({"namespace":"a","serviceaccount":{"name":"robot"}})),
    ] {
        let mut claims = claims.clone();
        claims[name] = value;
        tokens.push(forge(&good, &claims, own));
    }
    for token in tokens {
        assert_eq!(check(&token), Err(Invalid), "{token:.80}");
    }
}

#[test]
fn a_token_dies_with_what_it_is_bound_to() {
    let issuer = Issuer::new(URL, key(), vec![]);
    let token = issuer.sign(&request(), NOW).unwrap();
    for (account, pod, lives) in
        [("1", "2", true), ("9", "2", false), ("", "2", false), ("1", "9", false), ("1", "", false)]
    {
        let got = issuer.verify(&token, &[URL], NOW, &World { account, pod });
        assert_eq!(got.is_ok(), lives, "{account} {pod}");
    }
    let bounds = [Bound::Secret(object("s", "4")), Bound::Node(object("n", "3"))];
    for bound in bounds {
        let token = issuer.sign(&Request { bound: Some(bound), ..request() }, NOW).unwrap();
        assert!(issuer.verify(&token, &[URL], NOW, &WORLD).is_err(), "what is gone kills it");
    }
}

#[test]
fn tokens_of_an_older_key_live_on() {
    let old = Issuer::new(URL, key(), vec![]);
    let token = old.sign(&request(), NOW).unwrap();
    let new = Issuer::new(URL, key(), vec![old.key.verifying()]);
    assert!(new.verify(&token, &[URL], NOW, &WORLD).is_ok());
    assert!(Issuer::new(URL, key(), vec![]).verify(&token, &[URL], NOW, &WORLD).is_err());
    assert_eq!(new.jwks()["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn tokens_of_a_file() {
    let tokens = StaticTokens::read("# who\nabc,ann,7,\"x,y\"\n\ndef,bob,8\n").unwrap();
    let ann = tokens.user("abc").unwrap();
    assert_eq!((ann.name.as_str(), ann.uid.as_str()), ("ann", "7"));
    assert_eq!(ann.groups, ["x", "y", "system:authenticated"]);
    assert_eq!(tokens.user("def").unwrap().name, "bob");
    for wrong in ["", "ab", "abcd", "ABC"] {
        assert!(tokens.user(wrong).is_none());
    }
    for wrong in ["abc", "abc,ann", ",ann,1", "a,b,c,\"d"] {
        assert_eq!(StaticTokens::read(wrong).unwrap_err(), BadTokenFile { line: 1 });
    }
    assert_eq!(format!("{tokens:?}"), "StaticTokens(2)");
}
