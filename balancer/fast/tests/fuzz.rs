// SPDX-License-Identifier: Apache-2.0
//! The fuzzers' targets on random bytes, for machines without a fuzzer.

use berth_balancer_core::Random;
use berth_balancer_fast::fuzz;

/// Up to 96 bytes of a seed. Small numbers are lengths and kinds more often than large ones.
fn bytes(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let below = [24, 256][random.below(2) as usize];
    (0..random.below(97)).map(|_| u8::try_from(random.below(below)).unwrap_or(0)).collect()
}

#[test]
fn no_bytes_break_the_reader_of_netlink() {
    (0..20_000).for_each(|seed| fuzz::netlink(&bytes(seed)));
}

#[test]
fn no_bytes_break_the_reader_of_queued_packets() {
    (0..20_000).for_each(|seed| fuzz::queued_packets(&bytes(seed)));
}

#[test]
fn no_bytes_break_the_reader_of_flows() {
    (0..20_000).for_each(|seed| fuzz::entries(&bytes(seed)));
}

#[test]
fn no_bytes_break_the_reader_of_packets() {
    (0..20_000).for_each(|seed| fuzz::packet(&bytes(seed)));
}
