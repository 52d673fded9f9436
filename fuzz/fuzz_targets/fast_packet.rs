// SPDX-License-Identifier: Apache-2.0
//! See `berth_balancer_fast::fuzz::packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| berth_balancer_fast::fuzz::packet(bytes));
