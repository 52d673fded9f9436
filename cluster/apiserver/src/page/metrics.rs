// SPDX-License-Identifier: Apache-2.0
//! Counts for Prometheus, in its text format.

use crate::answer::{Answer, text};
use crate::server::Inner;
use http::StatusCode;
use std::fmt::Write as _;

/// `/metrics`
pub(super) fn page(server: &Inner) -> Answer {
    let stats = server.store.stats();
    let mut page = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        let _ = writeln!(
            page,
            "# HELP berth_{name} {help}\n# TYPE berth_{name} gauge\nberth_{name} {value}"
        );
    };
    gauge("store_revision", "The present revision.", stats.revision);
    gauge("store_oldest_revision", "The oldest revision that can be read.", stats.oldest);
    gauge("store_objects", "Objects.", stats.objects as u64);
    gauge("store_bytes", "Bytes of all objects.", stats.bytes);
    gauge("store_watchers", "Running watches.", stats.watchers as u64);
    gauge("store_events", "Events that are kept.", stats.events as u64);
    gauge("store_event_bytes", "Bytes of the events that are kept.", stats.event_bytes as u64);
    gauge("store_trouble", "1 while the store has trouble.", u64::from(stats.trouble.is_some()));
    let (reading, writing) = server.limits.running();
    let name = "apiserver_current_inflight_requests";
    let _ = writeln!(
        page,
        "# HELP {name} Requests that hold a place.\n# TYPE {name} gauge\n\
         {name}{{request_kind=\"readOnly\"}} {reading}\n{name}{{request_kind=\"mutating\"}} {writing}"
    );
    server.requests.write(&mut page);
    text(StatusCode::OK, page)
}
