// SPDX-License-Identifier: Apache-2.0
//! How a component sees a Kubernetes API: it [calls](Api) it, and follows kinds of objects by [informers](Informer), one for each kind
//! and process, which all of its components share.
//!
//! Below lies a [`kube::Client`], which is made over HTTPS from a kubeconfig, or directly over a server in the same process: a component
//! cannot tell which, and so works beside any Kubernetes.
#![forbid(unsafe_code)]

mod api;
mod cache;
mod chance;
pub mod clock;
mod connect;
pub mod election;
pub mod events;
mod informer;
mod line;
mod pool;
mod reflector;
mod texts;
mod way;
mod within;

pub use api::{Api, CallError, Media};
pub use cache::{Change, Id, Item};
pub use clock::Clock;
pub use connect::{ConnectError, Place, place};
pub use informer::{Informer, Subscription};
pub use line::{ObjectError, View};
pub use pool::Pool;
pub use reflector::Resource;
pub use texts::Texts;
pub use way::Way;
