// SPDX-License-Identifier: Apache-2.0
//! The configuration file: YAML (or JSON, which is YAML) to what is wanted. `docs/balancer.md` has every field.
//!
//! Reading finds what a document cannot say (unknown fields, texts that are no address); what a balancer cannot do with it (two
//! services on one address) is found when it is judged. Both tell all problems, not the first.

mod document;
mod endpoint;
mod fields;
mod path;
mod service;
mod settings;
mod value;

use crate::problem::Problems;
use crate::wanted::{Owner, Update};
use fields::Notes;
use path::Path;
use value::Value;

/// Bytes of a configuration: 10,000 services of 10 endpoints with all their fields are some 15 MB.
pub const BYTES_MAX: usize = 64 << 20;

/// Reads a configuration: an update that replaces everything the file said before.
///
/// # Errors
/// All problems with their paths; a text that is no YAML has one, with its line.
pub fn read(text: &str) -> Result<Update, Problems> {
    let value = parse(text)?;
    let notes = Notes::default();
    let mut update = Update::new(Owner::File);
    update.replace = true;
    document::read(&value, &Path::ROOT, &notes, &mut update);
    notes.into_problems().finish(update)
}

fn parse(text: &str) -> Result<Value, Problems> {
    if text.len() > BYTES_MAX {
        return Err(Problems::one("", format!("longer than {BYTES_MAX} bytes")));
    }
    let nodes = BYTES_MAX / 2;
    let budget = serde_saphyr::budget! {
        max_events: nodes,
        max_nodes: nodes,
        max_total_scalar_bytes: BYTES_MAX,
        // Aliases multiply: a few are a convenience, many are an attack.
        max_aliases: 10_000,
        max_anchors: 10_000,
        max_documents: 1,
    };
    let options = serde_saphyr::options! { budget: budget, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Problems::one("", format!("this is no YAML: {}", error.without_snippet())))
}
