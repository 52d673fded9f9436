// SPDX-License-Identifier: Apache-2.0
//! What the process is started with.

use crate::control::ClientError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Whether services' addresses that are not the host's are taken into a network namespace of the process' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Namespace {
    /// Where the process may (Linux, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`), and a service has such an address.
    #[default]
    Auto,
    /// Never: such addresses are not served.
    Off,
}

/// What the process is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of the control socket. A socket that nobody listens at is replaced.
    pub control: PathBuf,
    /// Worker threads; 0 is one for each core that the process may use.
    pub workers: u32,
    /// Where another process serves at the path, take its sockets over instead of failing.
    pub take_over: bool,
    /// How long it keeps its connections when a successor has taken over.
    pub retired_max: Duration,
    /// Connections at once; 0 is as many as there are descriptors for.
    pub connections_max: u32,
    /// UDP flows at once; 0 is as many as there are descriptors for, and no more than [`crate::limits::FLOWS_MAX`] a worker.
    pub flows_max: u32,
    /// Whether it has a network namespace of its own. What it makes on the host is named after the path of the control socket.
    pub namespace: Namespace,
}

impl Options {
    /// The defaults, with the control socket at `control`.
    #[must_use]
    pub fn new(control: PathBuf) -> Self {
        Self {
            control,
            workers: 0,
            take_over: false,
            retired_max: Duration::from_secs(crate::limits::RETIRED_S_MAX),
            connections_max: 0,
            flows_max: 0,
            namespace: Namespace::Auto,
        }
    }
}

/// Why the process did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another process serves at the path: use it, or take over.
    #[error("another data plane (process {pid}) serves at {path:?}")]
    Serves {
        /// The path.
        path: PathBuf,
        /// Its process id.
        pid: u32,
    },
    /// The control socket cannot be made.
    #[error("cannot listen at {path:?}")]
    Control {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or a descriptor that the process needs cannot be had.
    #[error("cannot start: {what}")]
    Start {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Taking over failed; the other process goes on.
    #[error("cannot take over")]
    TakeOver(#[source] ClientError),
}
