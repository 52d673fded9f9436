// SPDX-License-Identifier: Apache-2.0
//! Pages for machines: `/metrics`, `/livez`, `/readyz`.

use super::inbox::{Inbox, Size};
use super::metrics::{self, Scrape, Shared};
use berth_proto_serve::pages::{PLAIN, Page, Pages, page};
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as signal;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the pages tell of.
#[derive(Clone)]
pub(super) struct Machine {
    inbox: Inbox,
    shared: Arc<Shared>,
    stopping: signal::Receiver<bool>,
}

impl Pages for Machine {
    async fn page(&self, path: &str) -> Page {
        match path {
            "/metrics" => match self.scrape().await {
                Some(scrape) => text(StatusCode::OK, metrics::page(&scrape, &self.shared)),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the scheduler is busy\n"),
            },
            "/livez" if self.shared.is_alive() => text(StatusCode::OK, "ok\n"),
            "/livez" => text(StatusCode::INTERNAL_SERVER_ERROR, "the scheduler has ended\n"),
            "/readyz" => self.ready().await,
            "/" => text(StatusCode::OK, "/metrics\n/livez\n/readyz\n"),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n"),
        }
    }
}

impl Machine {
    pub(super) fn new(inbox: Inbox, shared: Arc<Shared>, stopping: signal::Receiver<bool>) -> Self {
        Self { inbox, shared, stopping }
    }

    async fn ready(&self) -> Page {
        let unready = |why: String| text(StatusCode::SERVICE_UNAVAILABLE, why);
        if *self.stopping.borrow() {
            return unready("stopping\n".to_owned());
        }
        let asked = self
            .inbox
            .ask(Size::Large, |core, _| Ok(core.not_accepted().map(|why| why.message.clone())));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(None)) => text(StatusCode::OK, "ok\n"),
            Ok(Ok(Some(why))) => unready(format!("{why}\n")),
            Ok(Err(status)) => unready(format!("{}\n", status.message())),
            Err(_) => unready("the scheduler is busy\n".to_owned()),
        }
    }

    async fn scrape(&self) -> Option<Scrape> {
        let (inbox, overloaded) = (self.inbox.len(), self.inbox.overloaded());
        let asked = self.inbox.ask(Size::Large, move |core, _| {
            Ok(Scrape {
                stats: core.stats(),
                counts: core.counts().clone(),
                queue: core.queue_sizes(),
                unschedulable: core.unschedulable(),
                inbox,
                overloaded,
            })
        });
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Page {
    page(status, PLAIN, text)
}
