// SPDX-License-Identifier: Apache-2.0
//! The API over sockets and TLS.

#[path = "../kit/mod.rs"]
mod kit;
mod listener;
#[path = "../kit/place.rs"]
mod place;
mod slow;
