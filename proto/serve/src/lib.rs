// SPDX-License-Identifier: Apache-2.0
//! What every gRPC server of Berth is made of.
//!
//! - [`Serving`]: connections within bounds, TLS, HTTP/2, calls to their services, health and reflection, an orderly end.
//! - [`TlsFiles`], [`Acceptor`]: the server's identity, and which clients it lets in.
//! - [`Switch`]: cuts the connection of a client that does not read. Each request carries its connection's.
//! - [`pages`]: plain HTTP pages beside it, for people and scrapers.
#![forbid(unsafe_code)]

mod accept;
mod cut;
pub mod pages;
mod tls;

pub use accept::{Acceptor, Bounds, Serving, oversized};
pub use cut::Switch;
pub use tls::{TlsError, TlsFiles};

/// Waits until the service stops, or is gone.
pub async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}
