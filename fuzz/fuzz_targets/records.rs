// SPDX-License-Identifier: Apache-2.0
//! See `berth_scheduler_service::fuzz::records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| berth_scheduler_service::fuzz::records(bytes));
