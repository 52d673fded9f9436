// SPDX-License-Identifier: Apache-2.0
//! Bodies that kubectl 1.32 sends in protobuf, beside what it prints of the same objects as JSON; and bytes that nobody sends.
#![allow(clippy::unwrap_used, reason = "what is recorded is well formed")]

use berth_cluster_api::{read, schema, strict};
use berth_cluster_json::{Value, json};

macro_rules! bodies {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../testdata/protobuf/", $name, ".pb")).as_slice(),
            include_bytes!(concat!("../testdata/protobuf/", $name, ".json")).as_slice())),*]
    };
}

/// Name, protobuf, JSON.
const BODIES: [(&str, &[u8], &[u8]); 9] = bodies!(
    "configmaps",
    "cronjobs",
    "deployments",
    "ingresses",
    "namespaces",
    "poddisruptionbudgets",
    "resourcequotas",
    "secrets",
    "services"
);

#[test]
fn protobuf_says_what_json_says() {
    for (name, binary, text) in BODIES {
        let read = read::protobuf(binary, schema::lookup).unwrap().value;
        let mut wanted = read::json(text).unwrap().value;
        let version = wanted["apiVersion"].as_str().unwrap();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let schema = schema::lookup(group, version, wanted["kind"].as_str().unwrap()).unwrap();
        assert_eq!(strict::check(&mut wanted, &schema).unwrap(), strict::Unknown::default());
        schema::normalise(&mut wanted, &schema);
        assert_eq!(read, wanted, "{name}");
    }
}

#[test]
fn a_review_is_read() {
    let binary = include_bytes!("../testdata/protobuf/selfsubjectaccessreviews.pb");
    let value = read::protobuf(binary, schema::lookup).unwrap().value;
    assert_eq!(value["kind"], "SelfSubjectAccessReview");
    assert_eq!(value["apiVersion"], "authorization.k8s.io/v1");
    assert_eq!(
        value["spec"]["resourceAttributes"],
        json!({"namespace": "default", "verb": "get", "resource": "pods"})
    );
}

#[test]
fn other_bytes_are_refused_with_words() {
    let says = |bytes: &[u8]| read::protobuf(bytes, schema::lookup).unwrap_err().refusal();
    assert_eq!(says(b"{}").code, 400);
    assert!(says(b"{}").message.contains("expected prefix"));
    let unknown = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Foo";
    assert_eq!(says(unknown).message, "no kind \"Foo\" is registered for version \"v1\"");
}

/// Numbers that are the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end.max(1)
    }
}

/// Whatever the bytes, readers and walkers come back, and what is read can be held against any schema.
#[test]
fn no_bytes_make_a_reader_panic() {
    let mut chance = Chance(7);
    let schemas: Vec<schema::Schema> = ["Pod", "Service", "Event", "Status"]
        .iter()
        .map(|kind| schema::lookup("", "v1", kind).unwrap())
        .collect();
    let judge = |value: Value, round: usize| {
        for schema in schemas.iter().skip(round % 4).take(1) {
            let mut value = value.clone();
            let sound = strict::check(&mut value, schema).is_ok();
            schema::normalise(&mut value, schema);
            if sound {
                strict::check(&mut value, schema).unwrap();
            }
            let once = value.clone();
            schema::normalise(&mut value, schema);
            assert_eq!(once, value);
        }
    };
    for round in 0..30_000 {
        let (_, binary, text) = BODIES[chance.below(BODIES.len())];
        let mut bytes = if round % 2 == 0 { binary.to_vec() } else { text.to_vec() };
        for _ in 0..=chance.below(6) {
            let at = chance.below(bytes.len());
            match chance.below(4) {
                0 => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
                1 => bytes.truncate(at.max(8)),
                2 => bytes.insert(at, u8::try_from(chance.below(256)).unwrap()),
                _ => {
                    let (from, to) = (at, (at + chance.below(20)).min(bytes.len()));
                    let part = bytes[from..to].to_vec();
                    bytes.splice(from..from, part);
                }
            }
        }
        let reads = if round % 2 == 0 {
            vec![read::protobuf(&bytes, schema::lookup)]
        } else {
            vec![read::json(&bytes), read::yaml(&bytes)]
        };
        for read in reads.into_iter().flatten() {
            judge(read.value, round);
        }
    }
}

#[test]
fn deep_messages_are_refused_on_a_small_stack() {
    // a schema in a schema in a schema: field 28 (not) of JSONSchemaProps, from the inside out
    let mut inner = Vec::new();
    for _ in 0..3_000 {
        let mut outer = vec![0xe2, 0x01];
        let mut length = inner.len();
        while length > 127 {
            outer.push(u8::try_from(length & 127).unwrap() | 128);
            length >>= 7;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend_from_slice(&inner);
        inner = outer;
    }
    let mut bytes = b"k8s\0\x0a\x05\x0a\x03x/1\x12".to_vec();
    let mut length = inner.len();
    while length > 127 {
        bytes.push(u8::try_from(length & 127).unwrap() | 128);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(&inner);
    let props = |_: &str, _: &str, _: &str| schema::named("apiextensions.v1.JSONSchemaProps");
    assert_eq!(read::protobuf(&bytes, props).unwrap_err(), read::ReadError::TooDeep);
}
