// SPDX-License-Identifier: Apache-2.0
//! What is to be known of an object, out of its key and JSON: for stores that were written by another version.

use crate::object;
use crate::resources::Resources;
use berth_cluster_store::{Meta, ReadMeta};
use std::sync::Arc;

/// A reader for the built-in kinds. Of a key of another kind nothing is known.
pub fn read_meta() -> ReadMeta {
    let resources = Resources::new(berth_cluster_api::kinds::builtin());
    Arc::new(move |key, bytes| {
        let of_key =
            |stored_as: &str| key.strip_prefix(stored_as).is_some_and(|rest| rest.starts_with('/'));
        // `a/b` is of another kind than `a`, whatever `a` has by the name `b`.
        let kinds = resources.kinds().filter(|kind| of_key(&kind.stored_as));
        let kind = kinds.max_by_key(|kind| kind.stored_as.len());
        match (kind, serde_json::from_slice(bytes)) {
            (Some(kind), Ok(object)) => object::meta(kind, &object),
            _ => Meta::default(),
        }
    })
}
