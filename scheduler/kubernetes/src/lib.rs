// SPDX-License-Identifier: Apache-2.0
//! The scheduler of a Kubernetes cluster: follows what the API shows, decides with the engine, and posts what was decided.
//!
//! [`Books`] is the pure part: changes and answers go in, [`Step`]s come out; it knows no clock and does no IO. [`Scheduler`] is the
//! shell around it, which works against any apiserver with the rights of `system:kube-scheduler`.
#![forbid(unsafe_code)]

mod books;
mod calls;
mod claims;
mod feed;
mod replica;
mod run;
mod stats;
mod view;

pub use books::{Answer, Books, Nomination, Refused, Step, Victim};
pub use replica::{Health, Replica};
pub use run::{Options, Scheduler};
pub use stats::Stats;
pub use view::{Kind, PodKind, PodView, Seen, Source};
