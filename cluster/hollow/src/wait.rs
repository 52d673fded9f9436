// SPDX-License-Identifier: Apache-2.0
//! Waiting that may have no end, or be ended.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Until then; for ever if there is no such moment.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What comes, unless all is stopped before.
pub(crate) async fn unless<T>(
    stop: &mut watch::Receiver<bool>,
    what: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        what = what => Some(what),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}
