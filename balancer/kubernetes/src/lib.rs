// SPDX-License-Identifier: Apache-2.0
//! The Services of a Kubernetes cluster, as a source of the balancer: what kube-proxy is.
//!
//! ```text
//!  Services, EndpointSlices, this Node, its Pods ──▶ books ──▶ the smallest update ──▶ control plane ──▶ data plane
//!                                                      ▲                                  │ confirmed
//!                conditions, events ◀── what is not served ◀──────────────────────────────┴──▶ rotation
//! ```
//!
//! 1. **Object → wish.** `view` keeps little of objects; `endpoints` puts slices together, `parts` makes of each object what the balancer is to serve,
//!    `places` decides who has an address and port that several want. All of it is pure.
//! 2. **Wish → update.** [`Books`] compare what is wanted with what is confirmed: a change of one endpoint tells that endpoint.
//! 3. **Update → effect.** `follow` is the driver, [`Kubernetes`] what a control plane starts.
//! 4. **What is seen of it.** `condition` and `talk` say on the object what is not served; `health` answers load balancers; [`Rotation`] says when an
//!    address gets no more new connections.
//!
//! kube-proxy v1.33 is the measure; what differs stands in `docs/service-proxy.md`.
#![forbid(unsafe_code)]

pub mod around;
mod books;
mod condition;
mod endpoints;
mod follow;
mod health;
mod parts;
mod places;
mod rotation;
mod source;
mod stats;
mod talk;
pub mod view;

pub use around::{Around, NodePorts, NodePortsError};
pub use books::{Books, Culprit, Key, Planned, Source as Object};
pub use condition::TYPE as CONDITION;
pub use parts::Note;
pub use rotation::Rotation;
pub use source::{Kubernetes, Settings};
pub use stats::Stats;
