// SPDX-License-Identifier: Apache-2.0
//! Memory that is free goes back to the system.
//!
//! A configuration of 10,000 services passes through some 100 MB that nobody needs a second later: messages, their parts, copies on
//! their way. The allocator keeps what is free for the next time, which may never come.

// Linked for the function below; which allocator a program has is its own affair.
use libmimalloc_sys as _;

unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives back what this thread has freed and what lies free for all, some milliseconds of work. To be called where a large message has
/// been worked off. Nothing happens in a program whose allocator is another one.
pub fn give_back() {
    // SAFETY: the function takes no pointers, may be called from any thread at any time, and touches free memory only.
    unsafe { mi_collect(true) }
}
