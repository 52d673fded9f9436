// SPDX-License-Identifier: Apache-2.0
//! The tests of `tcp.rs` once more, with connections that talk: the kernel's rings get each after its first message (see the fixture).
#![cfg(target_os = "linux")]

#[path = "tcp.rs"]
mod tcp;
