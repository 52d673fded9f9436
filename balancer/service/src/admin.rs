// SPDX-License-Identifier: Apache-2.0
//! The admin port: the live table for people (`/`) and for machines (`/table`), `/metrics`, `/healthz`, `/readyz`.

mod html;
mod metrics;
mod table;

use crate::control::Control;
use crate::health::Counts;
use crate::observe::Observer;
use berth_proto_serve::pages::{PLAIN, Page, Pages, page};
use http::StatusCode;
use std::sync::Arc;
use tokio::sync::watch as signal;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const PATHS: &str = "there are / (a page), /table (JSON), /metrics, /healthz and /readyz\n";

/// What the pages tell of.
#[derive(Clone)]
pub(crate) struct Admin {
    control: Control,
    observer: Observer,
    checks: Arc<Counts>,
    stopping: signal::Receiver<bool>,
}

impl Pages for Admin {
    async fn page(&self, path: &str) -> Page {
        match path {
            "/" => self.table(HTML, html::page).await,
            "/table" => self.table(JSON, table::json).await,
            "/metrics" => {
                let stats = self.observer.stats().await.ok();
                let text = metrics::page(self.control.shared(), &self.checks, stats.as_deref());
                page(StatusCode::OK, PLAIN, text)
            }
            "/healthz" | "/livez" => page(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => match self.unready() {
                None => page(StatusCode::OK, PLAIN, "ok\n"),
                Some(why) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n"),
            },
            _ => page(StatusCode::NOT_FOUND, PLAIN, PATHS),
        }
    }
}

impl Admin {
    pub(crate) fn new(
        control: Control,
        observer: Observer,
        checks: Arc<Counts>,
        stopping: signal::Receiver<bool>,
    ) -> Self {
        Self { control, observer, checks, stopping }
    }

    fn unready(&self) -> Option<String> {
        if *self.stopping.borrow() {
            return Some("stopping".to_owned());
        }
        let moment = self.control.shared().moment();
        match moment.trouble {
            Some(trouble) => Some(format!("the data plane: {trouble}")),
            None if !moment.ready => Some("no configuration has been taken yet".to_owned()),
            None => None,
        }
    }

    async fn table(&self, kind: &'static str, write: fn(&table::Table) -> String) -> Page {
        let entries = self.control.look(|state| state.entries().clone()).await;
        let entries = match entries {
            Ok(entries) => entries,
            Err(why) => {
                return page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n"));
            }
        };
        let stats = self.observer.stats().await;
        let drains = self.observer.drains().await.unwrap_or_default();
        let moment = self.control.shared().moment();
        let table = table::Table::new(entries, moment, stats, drains);
        page(StatusCode::OK, kind, write(&table))
    }
}
