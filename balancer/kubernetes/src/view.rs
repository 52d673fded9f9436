// SPDX-License-Identifier: Apache-2.0
//! What is kept of objects: the little that a service proxy needs.

mod node;
mod pod;
mod service;
mod slice;

pub use node::Node;
pub(crate) use node::PROXY;
pub use pod::{HostPort, Pod};
pub use service::{Port, Protocol, Service};
pub use slice::{Candidate, Slice, SlicePort};

use berth_cluster_client::ObjectError;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;

/// A field that is missing or null has its default.
fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ObjectError> {
    serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))
}

/// Addresses of version 4, each once and in their order, and how many of version 6 were left out.
fn version_4<'a>(texts: impl IntoIterator<Item = &'a str>) -> (Vec<IpAddr>, usize) {
    let (mut all, mut others) = (Vec::new(), 0);
    for text in texts {
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() => {
                if !all.contains(&ip) {
                    all.push(ip);
                }
            }
            Ok(_) => others += 1,
            // `None`, a host's name, or nothing yet.
            Err(_) => {}
        }
    }
    (all, others)
}
