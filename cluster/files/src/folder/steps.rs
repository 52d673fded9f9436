// SPDX-License-Identifier: Apache-2.0
//! Where a call can be cut off: before each change of what is on disk or mounted. Tests cut there; otherwise this is nothing.

use std::io;

#[cfg(test)]
thread_local! {
    static LEFT: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

/// To be called before a change.
#[cfg_attr(not(test), allow(clippy::unnecessary_wraps))]
pub(super) fn step() -> io::Result<()> {
    #[cfg(test)]
    if let Some(left) = LEFT.get() {
        if left == 0 {
            return Err(io::Error::other("cut off"));
        }
        LEFT.set(Some(left - 1));
    }
    Ok(())
}

/// From now on this thread gets so many changes done and no more; `None` for all.
#[cfg(test)]
pub(super) fn cut_after(changes: Option<u32>) {
    LEFT.set(changes);
}
