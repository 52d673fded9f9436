// SPDX-License-Identifier: Apache-2.0
//! Headers of the PROXY protocol; see `balancer/core/tests/any`.
#![no_main]

#[path = "../../balancer/core/tests/any/mod.rs"]
mod any;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any::proxy(bytes));
