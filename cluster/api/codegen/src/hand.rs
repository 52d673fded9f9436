// SPDX-License-Identifier: Apache-2.0
//! Reads what the two crates do not say: which fields are values rather than pointers in Go, and corrections.

use crate::Failure;
use std::collections::{BTreeMap, BTreeSet};

/// The hand list.
#[derive(Debug, Default)]
pub struct Hand {
    /// `Type.field` or `*.field` of numbers and booleans that are values in Go: zero of them is as if they were not there.
    pub values: BTreeSet<String>,
    /// The same of texts that are pointers in Go: an empty one stays.
    pub pointers: BTreeSet<String>,
    /// The same of structs that are values in Go: they are always written, be they empty.
    pub structs: BTreeSet<String>,
    /// Words that are added to a field, e.g. its keys.
    pub words: BTreeMap<String, Vec<String>>,
}

impl Hand {
    /// Whether the list has the field: by the whole name of its type, by its last part, or for all types.
    pub fn has(list: &BTreeSet<String>, name: &str, field: &str) -> bool {
        let short = name.rsplit('.').next().unwrap_or_default();
        [name, short, "*"].iter().any(|name| list.contains(&format!("{name}.{field}")))
    }
}

/// Lines are `value|pointer|struct Type.field ...` or `set Type.field word ...`; `#` begins a remark.
pub fn read(text: &str) -> Result<Hand, Failure> {
    let mut hand = Hand::default();
    for line in text.lines() {
        let mut words =
            line.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            None => {}
            Some("value") => hand.values.extend(words),
            Some("pointer") => hand.pointers.extend(words),
            Some("struct") => hand.structs.extend(words),
            Some("set") => {
                let field = words.next().ok_or("set of nothing")?;
                hand.words.insert(field, words.collect());
            }
            Some(other) => return Err(format!("hand.txt: unknown word {other}")),
        }
    }
    Ok(hand)
}
