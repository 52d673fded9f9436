// SPDX-License-Identifier: Apache-2.0
//! Selectors of fields.
#![allow(clippy::result_large_err, reason = "a refusal is rare, and is the answer")]

use crate::Refusal;

/// A term of a selector of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Path of the field.
    pub name: String,
    /// The value it has, or does not have.
    pub value: String,
    /// `!=`
    pub not: bool,
}

/// A selector of fields: all of its terms have to agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// Reads the query's `fieldSelector`; 400 in upstream's words. Whether the fields are known is another question:
    /// [`unsupported`](Self::unsupported).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut terms = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            let Some((name, sign, value)) = comparison(part) else {
                let text = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(Refusal::bad_request(text));
            };
            let value = unescape(value).map_err(Refusal::bad_request)?;
            terms.push(Field { name: name.to_owned(), value, not: sign == "!=" });
        }
        Ok(Self(terms))
    }

    /// The first field that is none of `known` (besides name and namespace).
    pub fn unsupported(&self, known: &[&str]) -> Option<&str> {
        let always = ["metadata.name", "metadata.namespace"];
        let names = self.0.iter().map(|term| term.name.as_str());
        names.into_iter().find(|name| !always.contains(name) && !known.contains(name))
    }

    /// Whether it takes what has the values that `value` finds by field; what is not found is empty.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|term| (value(&term.name).unwrap_or("") == term.value) != term.not)
    }

    /// The value which the field must have, if there is only one.
    pub fn equal(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|term| term.name == field && !term.not).map(|term| term.value.as_str())
    }

    /// Takes only what has this value in this field, too.
    pub fn require(&mut self, name: &str, value: &str) {
        self.0.push(Field { name: name.to_owned(), value: value.to_owned(), not: false });
    }

    /// Whether it takes everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }
}

/// The sentence for a field by which objects of the kind cannot be selected. Kinds with a conversion of their own have their own
/// sentences.
pub fn unsupported_field(group: &str, kind: &str, field: &str) -> String {
    match (group, kind) {
        (
            "",
            "Pod" | "Node" | "Namespace" | "ReplicationController" | "Event" | "Secret" | "Service",
        )
        | ("events.k8s.io", "Event")
        | ("certificates.k8s.io", "CertificateSigningRequest") => {
            format!("field label not supported: {field}")
        }
        ("batch", "Job") => format!("field label {field:?} not supported for Job"),
        _ => format!(
            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        ),
    }
}

/// Parts between commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == b',' {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The first comparison in a term.
fn comparison(term: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in term.char_indices() {
        for sign in ["!=", "==", "="] {
            if let Some(value) = term[at..].strip_prefix(sign) {
                return Some((&term[..at], sign, value));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, String> {
    let (mut plain, mut escaped) = (String::new(), false);
    for one in text.chars() {
        match (escaped, one) {
            (true, '\\' | ',' | '=') => {
                plain.push(one);
                escaped = false;
            }
            (true, _) => {
                return Err(format!("invalid field selector: invalid escape sequence: \\{one}"));
            }
            (false, '\\') => escaped = true,
            (false, ',' | '=') => {
                return Err(format!("invalid field selector: unescaped character in value: {one}"));
            }
            (false, _) => plain.push(one),
        }
    }
    if escaped {
        return Err("invalid field selector: invalid escape sequence: \\".to_owned());
    }
    Ok(plain)
}
