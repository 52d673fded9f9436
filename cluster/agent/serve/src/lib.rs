// SPDX-License-Identifier: Apache-2.0
//! The agent's own HTTPS API, as a kubelet's on port 10250: logs, exec, attach and port-forward, and pages about the agent.
//!
//! A request goes through these hands: [`listener`](Server) takes the connection and reads who the client's certificate names; `gate` asks
//! the API who a token is of, and whether the user may; `route` understands the path; then `logs`, `session`, `forward` or `page`.
//! What runs where is asked of the agent ([`Pods`]), everything else of the engine.
//!
//! Nothing is kept here but counts, and what the API decided a moment ago.
#![forbid(unsafe_code)]

mod answer;
mod cache;
mod certificate;
mod forward;
mod gate;
mod limits;
mod listener;
mod logs;
mod metrics;
mod page;
mod pods;
mod pump;
mod route;
mod server;
mod session;

pub use certificate::{Certificate, CertificateError};
pub use listener::{BindError, Options, Server, Serving};
pub use pods::{Container, Count, Place, Pod, Pods, Run, State};
