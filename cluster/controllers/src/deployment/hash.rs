// SPDX-License-Identifier: Apache-2.0
//! The name of a template: a hash of it. Any will do that stays the same; it is not upstream's, so a Deployment that comes from there gets
//! on with its ReplicaSets, which are found by their templates, not their names.

use serde_json::Value;
use std::fmt::Write;

/// The label that has it.
pub(crate) const LABEL: &str = "pod-template-hash";
/// Digits that make no words.
const DIGITS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The hash of a template; `collisions` makes another one where a name was taken.
pub(super) fn hash(template: &Value, collisions: Option<i64>) -> String {
    let mut text = String::new();
    canonical(template, &mut text);
    if let Some(collisions) = collisions {
        // Writing to a string does not fail.
        _ = write!(text, "#{collisions}");
    }
    // FNV-1a, 64 bits folded to 32
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rest = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
    let mut digits = String::new();
    for _ in 0..8 {
        let digit = usize::try_from(rest % 27).unwrap_or(0);
        digits.push(char::from(DIGITS[digit]));
        rest /= 27;
    }
    digits
}

/// JSON with sorted keys, without nulls.
fn canonical(value: &Value, to: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by_key(|(name, _)| *name);
            to.push('{');
            for (name, value) in fields {
                _ = write!(to, "{name:?}:");
                canonical(value, to);
                to.push(',');
            }
            to.push('}');
        }
        Value::Array(items) => {
            to.push('[');
            for item in items {
                canonical(item, to);
                to.push(',');
            }
            to.push(']');
        }
        other => _ = write!(to, "{other}"),
    }
}

/// Whether two templates are one, but for the label with the hash.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    let bare = |template: &Value| {
        let mut template = template.clone();
        let metadata = template.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(metadata) = metadata
            && let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut)
        {
            labels.remove(LABEL);
            if labels.is_empty() {
                metadata.remove("labels");
            }
        }
        let mut text = String::new();
        canonical(&template, &mut text);
        text
    };
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_has_one_hash_whatever_the_order_of_its_fields() {
        let (a, b) = (
            json!({ "x": [1, { "y": "z", "n": null }], "w": true }),
            json!({ "w": true, "x": [1, { "y": "z" }] }),
        );
        assert_eq!(hash(&a, None), hash(&b, None));
        assert_ne!(hash(&a, None), hash(&a, Some(1)));
        assert_ne!(hash(&a, None), hash(&json!({ "x": [1], "w": true }), None));
        assert_eq!(hash(&a, None).len(), 8);
    }

    #[test]
    fn templates_are_compared_without_the_label() {
        let plain = json!({ "metadata": { "creationTimestamp": null, "labels": { "a": "b" } }, "spec": {} });
        let labelled = json!({ "metadata": { "labels": { "a": "b", LABEL: "x" } }, "spec": {} });
        assert!(same(&plain, &labelled));
        assert!(!same(&plain, &json!({ "metadata": { "labels": { "a": "c" } }, "spec": {} })));
    }
}
