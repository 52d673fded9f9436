// SPDX-License-Identifier: Apache-2.0
//! How the kernel's scheduler sees a thread.
#![expect(unsafe_code, reason = "a system call that rustix lacks")]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Has this thread interrupt nobody when it wakes up (`SCHED_BATCH`), or again as all threads do. False if it cannot be.
pub(crate) fn set_batch(on: bool) -> bool {
    let policy = if on { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    // SAFETY: the parameters are plain numbers, all 0 as these policies want them, and live over the call.
    unsafe {
        let parameters: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, policy, &raw const parameters) == 0
    }
}

/// How often this thread has run, and how long it waited for that in all, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) ns: u64,
    pub(crate) times: u64,
}

/// Where a thread's waiting is told (`/proc/thread-self/schedstat`).
#[derive(Debug)]
pub(crate) struct Waits(File);

impl Waits {
    /// This thread's. `None` where the kernel does not tell.
    pub(crate) fn open() -> Option<Self> {
        let waits = Self(File::open("/proc/thread-self/schedstat").ok()?);
        waits.read().map(|_| waits)
    }

    /// As it is by now.
    pub(crate) fn read(&self) -> Option<Waited> {
        let mut text = [0; 96];
        let length = self.0.read_at(&mut text, 0).ok()?;
        parse(str::from_utf8(&text[..length]).ok()?)
    }
}

/// Time on a core, time of waiting for one, and how often it had one.
fn parse(text: &str) -> Option<Waited> {
    let mut numbers = text.split_whitespace().skip(1).map(str::parse);
    Some(Waited { ns: numbers.next()?.ok()?, times: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(parse("100 20 3\n"), Some(Waited { ns: 20, times: 3 }));
        assert_eq!(parse("100 20"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_thread_may_become_one_that_interrupts_nobody_and_back() {
        assert!(set_batch(true) && set_batch(false));
    }
}
