// SPDX-License-Identifier: Apache-2.0
//! Deleting many objects: each by itself, as they were found.

use crate::answer::Answer;
use crate::ask::Ask;
use crate::listing::ListOptions;
use crate::server::Inner;
use crate::verb::delete;
use crate::verb::get::{Selection, read, shaper};
use crate::verb::options::DeleteOptions;
use berth_cluster_api::Refusal;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

/// DELETE of a collection; the answer is the list of what was deleted.
pub(crate) async fn delete(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let options = DeleteOptions::new(ask)?;
    let list = ListOptions::new(&ask.query)?;
    let selection = Selection::new(ask)?;
    let shaper = shaper(ask)?;
    let listing = read(&server.store, ask, &list, &selection).await?;
    let mut deleted = Vec::new();
    for entry in &listing.entries {
        let name = entry.meta.field("metadata.name").unwrap_or_default();
        match delete::delete(server, ask, name, &options).await {
            Ok(one) => deleted.push(Bytes::from(Value::Object(one.object).to_string())),
            // Somebody else was faster.
            Err(refusal) if refusal.code == 404 => {}
            Err(refusal) => return Err(refusal),
        }
    }
    shaper.list(&deleted, listing.revision, None)
}
