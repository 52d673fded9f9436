// SPDX-License-Identifier: Apache-2.0
//! ConfigMap, Secret and ServiceAccount.

use super::access::{add_all, flag, make, map, or_set, same, text};
use super::row::{RowExt, column, row};
use crate::field::{Errors, Path, Problem};
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::schema::base64;
use crate::{Map, cells, names};
use berth_cluster_json::Value;

/// The most bytes that the data of a config map or a secret may have.
const SIZE: usize = 1024 * 1024;

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let data = |what| column("Data", "string", what);
    vec![
        row("", "ConfigMap", "configmaps", &[data("Data contains the configuration data.")], ConfigMap)
            .short(&["cm"]),
        row(
            "",
            "Secret",
            "secrets",
            &[
                column(
                    "Type",
                    "string",
                    "Used to facilitate programmatic handling of secret data.",
                ),
                data("Data contains the secret data."),
            ],
            Secret,
        ),
        row(
            "",
            "ServiceAccount",
            "serviceaccounts",
            &[column(
                "Secrets",
                "string",
                "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are allowed \
                 to use.",
            )],
            ServiceAccount,
        )
        .short(&["sa"])
        .below(&[Subresource::Token])
        .returns_object(),
    ]
}

fn length(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

/// Bytes of what is encoded in base64.
fn decoded(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("").trim_end_matches('=');
    text.len() * 3 / 4
}

fn too_large(path: &Path, errors: &mut Errors) {
    errors.add(Problem::TooLong, path, &Value::Null, format!("may not be more than {SIZE} bytes"));
}

/// What may not change once an object is immutable.
fn immutable(new: &Map, old: &Map, fields: &[&str], errors: &mut Errors) {
    if !flag(old, "immutable") {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if !flag(new, "immutable") {
        errors.forbidden(&Path::new("immutable"), detail);
    }
    for field in fields.iter().filter(|field| !same(new, old, field)) {
        errors.forbidden(&Path::new(field), detail);
    }
}

#[derive(Debug)]
struct ConfigMap;

impl Rules for ConfigMap {
    fn validate(&self, object: &Map, errors: &mut Errors) {
        let (data, binary) = (map(object, "data"), map(object, "binaryData"));
        let mut size = 0;
        for (key, value) in data.into_iter().flatten() {
            let path = Path::new("data").key(key);
            add_all(errors, &path, key, names::config_key(key));
            if binary.is_some_and(|binary| binary.contains_key(key)) {
                errors.invalid(&path, key.as_str(), "duplicate of key present in binaryData");
            }
            size += length(value);
        }
        for (key, value) in binary.into_iter().flatten() {
            add_all(errors, &Path::new("binaryData").key(key), key, names::config_key(key));
            size += decoded(value);
        }
        if size > SIZE {
            too_large(&Path::default(), errors);
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        immutable(new, old, &["data", "binaryData"], errors);
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let count = |field| map(object, field).map_or(0, Map::len);
        vec![
            cells::name(object),
            (count("data") + count("binaryData")).into(),
            cells::age(object, now),
        ]
    }
}

#[derive(Debug)]
struct Secret;

impl Secret {
    /// What a secret of the type has to have.
    fn validate_type(object: &Map, errors: &mut Errors) {
        let data = map(object, "data");
        let has = |key: &str| data.is_some_and(|data| data.contains_key(key));
        let path = Path::new("data");
        match text(object, "type") {
            "kubernetes.io/service-account-token" => {
                let key = "kubernetes.io/service-account.name";
                let annotations = map(object, "metadata").and_then(|meta| map(meta, "annotations"));
                if annotations.is_none_or(|all| text(all, key).is_empty()) {
                    errors.required(&Path::new("metadata").child("annotations").key(key), "");
                }
            }
            "kubernetes.io/dockercfg" => docker(data, ".dockercfg", errors),
            "kubernetes.io/dockerconfigjson" => docker(data, ".dockerconfigjson", errors),
            "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
                errors.required(&path.key("username"), "");
                errors.required(&path.key("password"), "");
            }
            "kubernetes.io/ssh-auth"
                if data.is_none_or(|data| text(data, "ssh-privatekey").is_empty()) =>
            {
                // Upstream's own slip.
                errors.required(&path.key("%s").key("ssh-privatekey"), "");
            }
            "kubernetes.io/tls" => {
                for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
                    errors.required(&path.key(key), "");
                }
            }
            _ => {}
        }
    }
}

/// Login data of registries: there, and JSON.
fn docker(data: Option<&Map>, key: &str, errors: &mut Errors) {
    let path = Path::new("data").key(key);
    let Some(value) = data.and_then(|data| data.get(key)) else {
        errors.required(&path, "");
        return;
    };
    let bytes = base64::decode(value.as_str().unwrap_or("")).unwrap_or_default();
    if let Err(problem) = serde_json::from_slice::<Map>(&bytes) {
        let problem = if problem.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            problem.to_string()
        };
        errors.invalid(&path, "<secret contents redacted>", problem);
    }
}

impl Rules for Secret {
    fn default(&self, object: &mut Map) {
        or_set(object, "type", "Opaque");
        // Texts are written over the data, and never read back.
        if let Some(Value::Object(texts)) = object.remove("stringData")
            && !texts.is_empty()
            && let Some(data) = make(object, "data")
        {
            for (key, value) in texts {
                let value = base64::encode(value.as_str().unwrap_or("").as_bytes());
                data.insert(key, value.into());
            }
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        if text(new, "type").is_empty() {
            super::access::keep(new, old, "type");
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let mut size = 0;
        for (key, value) in map(object, "data").into_iter().flatten() {
            add_all(errors, &Path::new("data").key(key), key, names::config_key(key));
            size += decoded(value);
        }
        if size > SIZE {
            too_large(&Path::new("data"), errors);
        }
        Self::validate_type(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        super::access::immutable(new, old, "type", &Path::default(), errors);
        immutable(new, old, &["data"], errors);
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        vec![("type", text(object, "type").to_owned())]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        vec![
            cells::name(object),
            text(object, "type").into(),
            map(object, "data").map_or(0, Map::len).into(),
            cells::age(object, now),
        ]
    }
}

#[derive(Debug)]
struct ServiceAccount;

impl Rules for ServiceAccount {
    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let secrets = super::access::list(object, "secrets").len();
        vec![cells::name(object), secrets.into(), cells::age(object, now)]
    }
}
