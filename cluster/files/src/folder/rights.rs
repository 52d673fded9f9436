// SPDX-License-Identifier: Apache-2.0
//! What the agent itself may do.

use std::fs;

/// The rights that decide what can be made of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    /// Mount (`CAP_SYS_ADMIN`).
    pub(super) mount: bool,
    /// Give files to others (`CAP_CHOWN`).
    pub(super) chown: bool,
}

impl Rights {
    /// Of this process. What cannot be found out is a no.
    pub(super) fn own() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
        // The numbers of capabilities(7).
        Self { mount: bits & (1 << 21) != 0, chown: bits & 1 != 0 }
    }
}
