// SPDX-License-Identifier: Apache-2.0
//! Deleting many objects: each by itself, as they were found.

use crate::answer::{Answer, Body, json};
use crate::ask::Ask;
use crate::listing::ListOptions;
use crate::render::List;
use crate::server::Inner;
use crate::verb::delete;
use crate::verb::get::{Selection, more, read, shaper};
use crate::verb::options::DeleteOptions;
use berth_cluster_api::Refusal;
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;

/// DELETE of a collection; the answer is the list of what was deleted.
pub(crate) async fn delete(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let options = DeleteOptions::new(ask)?;
    let list = ListOptions::new(&ask.query)?;
    let selection = Selection::new(ask)?;
    let shaper = shaper(ask)?;
    let listing = read(&server.store, ask, &list, &selection).await?;
    let more = more(ask, &list, &selection, &listing);
    // What was found is told, as it was found.
    let mut deleted = Vec::new();
    for entry in &listing.entries {
        let name = entry.meta.field("metadata.name").unwrap_or_default();
        match delete::delete(server, ask, name, &options).await {
            Ok(_) => deleted.push(Arc::clone(entry)),
            // Somebody else was faster.
            Err(refusal) if refusal.code == 404 => {}
            Err(refusal) => return Err(refusal),
        }
    }
    if ask.is_plain() {
        let list = List::new(&ask.kind, deleted, listing.revision, more.as_ref());
        return Ok(json(StatusCode::OK, Body::List(Box::new(list))));
    }
    let deleted: Vec<Bytes> = deleted.iter().map(|entry| entry.bytes.clone()).collect();
    shaper.list(&deleted, listing.revision, more.as_ref())
}
