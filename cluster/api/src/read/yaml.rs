// SPDX-License-Identifier: Apache-2.0
//! YAML, of which only what JSON can say is read.

use super::{DEPTH_MAX, Read, ReadError, tree};
use serde::de::DeserializeSeed;
use serde_saphyr::options::{AliasLimits, DuplicateKeyPolicy};
use serde_saphyr::{Budget, Options};
use std::cell::RefCell;

/// What aliases may unfold to, beside what was written out. Upstream's reader bounds the ratio as well.
const UNFOLDED_MAX: usize = 100_000;

/// Reads YAML of one document. Aliases are unfolded as long as that stays small.
pub fn yaml(bytes: &[u8]) -> Result<Read, ReadError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ReadError::Syntax("yaml: invalid leading UTF-8 octet".to_owned()))?;
    // a value takes at least a byte, unless an alias gives it
    let values_max = text.len() + UNFOLDED_MAX;
    let notes = RefCell::new(tree::Notes::with_values_max(values_max));
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |reader| {
        tree::Seed::root(&notes).deserialize(reader)
    });
    tree::finish(notes, read.map_err(|problem| format!("error converting YAML to JSON: {problem}")))
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH_MAX * 2;
    budget.max_documents = 1;
    budget.max_aliases = 1_000;
    budget.max_anchors = 1_000;
    let mut aliases = AliasLimits::default();
    aliases.max_total_replayed_events = UNFOLDED_MAX;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits = aliases;
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    options.with_snippet = false;
    options
}
