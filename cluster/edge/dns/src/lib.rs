// SPDX-License-Identifier: Apache-2.0
//! DNS of a cluster: services, endpoints and pods by their names; everything else is forwarded.
//!
//! Kubernetes' DNS-Based Service Discovery 1.1.0 says which names there are, and CoreDNS's plugin `kubernetes` what users expect beyond it.
//!
//! 1. **API → zone.** [`follow()`] reads Services, EndpointSlices and Namespaces (and Pods, where their names are verified) with informers. The
//!    *books* put them together; a change of one service makes one new *entry* of the *zone* ([`Live`]). (`view`, `books`, `entry`, `zone`)
//! 2. **Packet → question.** *wire* reads a query, and refuses what is none. It also writes answers, never longer than is allowed.
//! 3. **Question → answer.** *answer* finds the name in the zone; what is not the cluster's is to be asked elsewhere. (`answer`, `reverse`)
//! 4. **Elsewhere.** *forward* asks upstreams one after the other and believes only what answers its question; *cache* keeps that a while.
//! 5. **Sockets.** [`Server`] has the sockets, and the limits of those who use them. (`server`, `shares`, `stats`)
//!
//! All but `follow`, `forward` and `server` is pure: no IO, no clock, no chance. While the API is away the zone stays as it was.
#![forbid(unsafe_code)]

mod answer;
mod books;
mod cache;
mod entry;
mod follow;
mod forward;
mod limits;
mod reverse;
mod server;
mod settings;
mod shares;
mod stats;
mod view;
mod wire;
mod zone;

pub use follow::{Follower, follow};
pub use forward::resolv::of_resolv_conf;
pub use server::{BindError, Limits, Options, Server};
pub use settings::{Pods, Range, Settings, SettingsError};
pub use stats::Stats;
pub use zone::Live;
