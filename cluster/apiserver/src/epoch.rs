// SPDX-License-Identifier: Apache-2.0
//! Epochs of leases: a key of the store for each lease that is held, written in the transaction that gives the lease a holder, and only
//! then. Its revision is the epoch: the store gives none twice, so a lease that is taken again, or made again, has a new one.

use crate::answer::Answer;
use crate::ask::Ask;
use crate::fence;
use crate::reserve::Reserved;
use crate::server::Inner;
use crate::shape::parse;
use crate::write::meta_text;
use berth_cluster_api::Map;
use berth_cluster_api::registry::Part;
use berth_cluster_json::Value;
use berth_cluster_store::{Body, Compare, Entry, Meta, Op};

/// Where the epoch of a lease is kept.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    format!("reserved/fence/{namespace}/{name}")
}

/// Whether the request is about leases.
pub(crate) fn of_leases(ask: &Ask) -> bool {
    &*ask.kind.stored_as == "coordination.k8s.io/leases" && ask.part() == Part::Main
}

/// Who holds a lease; empty if nobody does.
fn holder(lease: &Map) -> &str {
    lease.get("spec").and_then(|spec| spec["holderIdentity"].as_str()).unwrap_or_default()
}

/// What goes into the transaction of a lease that shall be so, or (`None`) be gone.
pub(crate) fn moved(server: &Inner, ask: &Ask, name: &str, lease: Option<&Map>) -> Reserved {
    let key = key(ask.namespace(), name);
    let known = server.store.latest(&key);
    let holder = lease.map_or("", holder);
    // What the epoch was given for is compared, not the lease as it was: that may be older than epochs.
    if known.as_deref().map_or_else(String::new, given_to) == holder {
        return Reserved::default();
    }
    let revision = known.map_or(0, |entry| entry.revision);
    let compares = vec![Compare { key: key.clone(), revision }];
    let op = if holder.is_empty() {
        // Nobody holds it: there is no epoch that a write could name.
        Op::Delete { key }
    } else {
        Op::Put { key, body: body(holder), meta: Meta::default() }
    };
    Reserved { compares, ops: vec![op] }
}

fn given_to(entry: &Entry) -> String {
    let body: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
    body["holder"].as_str().unwrap_or_default().to_owned()
}

fn body(holder: &str) -> Body {
    let head = "{\"resourceVersion\":\"";
    let text = format!("{head}\",\"holder\":{}}}", Value::from(holder));
    let hole = u32::try_from(head.len()).unwrap_or(u32::MAX);
    Body { bytes: text.into_bytes().into(), hole }
}

/// Tells the epoch of a lease that is shown.
///
/// Not one of another state of it: an epoch that is no newer than what is shown was there already, and is still there now; a newer
/// one is somebody else's, and is not told.
pub(crate) fn tell(server: &Inner, ask: &Ask, shown: &[u8], answer: &mut Answer) {
    if !of_leases(ask) {
        return;
    }
    let Ok(lease) = parse(shown) else { return };
    let name = meta_text(&lease, "name");
    let Some(entry) = server.store.latest(&key(ask.namespace(), name)) else { return };
    let version: u64 = meta_text(&lease, "resourceVersion").parse().unwrap_or(0);
    if entry.revision <= version
        && given_to(&entry) == holder(&lease)
        && let Some(value) = fence::value(ask.namespace(), name, entry.revision)
    {
        answer.headers_mut().insert(fence::HEADER, value);
    }
}
