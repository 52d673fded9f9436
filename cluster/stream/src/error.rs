// SPDX-License-Identifier: Apache-2.0
//! What can go wrong.

use std::io;

/// What a client sent that has no meaning. The connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A frame of WebSocket that RFC 6455 forbids.
    #[error("websocket: {0}")]
    WebSocket(&'static str),
    /// A frame that SPDY/3 forbids.
    #[error("spdy: {0}")]
    Spdy(&'static str),
    /// A message of a base64 channel that is none.
    #[error("a message is not base64")]
    Base64,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Gone {
    /// Its session was finished, and the client has seen the end.
    #[error("the session is finished")]
    Finished,
    /// The client closed it.
    #[error("the client closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection to the client is lost: {0}")]
    Lost(io::ErrorKind),
    /// The client sent what has no meaning.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Nothing happened for too long.
    #[error("the connection was idle for too long")]
    Idle,
    /// The session was dropped before it was finished.
    #[error("the session was dropped")]
    Dropped,
}

/// Why there is no session although the upgrade was answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The connection did not become one of its new protocol.
    #[error("the connection was not upgraded")]
    Upgrade(#[source] hyper::Error),
    /// The client did not open its streams; upstream's sentence.
    #[error("timed out waiting for client to create streams")]
    Creation,
    /// The client went away before.
    #[error("no session")]
    Gone(#[source] Gone),
}
