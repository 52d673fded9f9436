// SPDX-License-Identifier: Apache-2.0
//! What the fast path counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts up, or tells how many there are.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter),* }

        /// What was counted since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$about])* pub $name: u64),* }

        impl Stats {
            /// All of them, each with its name; `tcp_flows` and `udp_flows` go up and down, the others up.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }

        impl Counters {
            pub(crate) fn read(&self) -> Stats {
                Stats { $($name: self.$name.get()),* }
            }
        }
    };
}

counters! {
    /// Packets on which was decided.
    packets,
    /// Flows that got an endpoint.
    opened,
    /// Packets of TCP whose entry was lost and that went to the endpoint they had.
    resumed,
    /// Flows refused at once: no endpoint, no such port, limits of services and endpoints.
    refused,
    /// Packets dropped by source ranges, limits per source, and policies.
    dropped,
    /// Packets in the middle of TCP whose endpoint is not known: answered with RST.
    strayed,
    /// Packets that were not ours.
    passed,
    /// Packets that could not be read.
    malformed,
    /// Packets dropped because the queue was full, or its reader too slow.
    queue_full,
    /// Flows whose endpoint did not take them.
    failed,
    /// UDP flows ended because their endpoint was gone, and TCP flows because their drain was over.
    ended,
    /// Times that events were lost.
    overflows,
    /// Readings of the kernel's whole table.
    resyncs,
    /// Times that rules or routes were put back which others had removed.
    repaired,
    /// TCP flows that are booked.
    tcp_flows,
    /// UDP flows that are booked.
    udp_flows,
}
