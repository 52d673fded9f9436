// SPDX-License-Identifier: Apache-2.0
//! How much there may be and how long it may take.

use std::time::Duration;

/// Connections at a time. The apiserver makes as many at most, and each may be a session.
pub(crate) const CONNECTIONS: u32 = 1_000;
/// Sessions at a time: of exec, attach and port-forward. Each holds a connection to the engine and some 200 KiB.
pub(crate) const SESSIONS: u32 = 500;
/// Logs that are read at a time: each holds a connection to the engine.
pub(crate) const LOGS: usize = 500;
/// For the handshake of TLS.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request; a connection without one may be idle as long.
pub(crate) const HEAD: Duration = Duration::from_secs(32);
/// Bytes of the head of a request: the words of a command are in it.
pub(crate) const HEAD_MAX: usize = 128 << 10;
/// Bytes of a piece of a log.
pub(crate) const PIECE: usize = 32 << 10;
/// Questions to the API at a time: whoever floods the agent with tokens must not flood the API.
pub(crate) const QUESTIONS: usize = 32;
/// How long an answer of the API is waited for.
pub(crate) const QUESTION: Duration = Duration::from_secs(10);
/// Answers of the API that are kept, of each kind.
pub(crate) const ANSWERS: usize = 2_048;
/// How long a yes is kept: who loses a right keeps it so long.
pub(crate) const YES: Duration = Duration::from_secs(30);
/// How long a no is kept: who gets a right waits so long.
pub(crate) const NO: Duration = Duration::from_secs(3);
/// Bytes of a token; the API's have some 1,000.
pub(crate) const TOKEN_MAX: usize = 16 << 10;
/// For a connection to a port of a pod.
pub(crate) const DIAL: Duration = Duration::from_secs(30);
/// How long what a client sends is handed on to a port that has said all that it will.
pub(crate) const REST: Duration = Duration::from_secs(5);
/// How long a stop waits for sessions and requests.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// How often a silent client is asked for a sign of life.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);
