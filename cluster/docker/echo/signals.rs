// SPDX-License-Identifier: Apache-2.0
//! Waits for the signals that end a program. The standard library has none of it, but stands on a C library that has.

/// Room for a set of signals: 128 bytes with glibc and with musl.
#[repr(C, align(8))]
struct Set([u8; 128]);

const SIG_BLOCK: i32 = 0;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

unsafe extern "C" {
    fn sigemptyset(set: *mut Set) -> i32;
    fn sigaddset(set: *mut Set, signal: i32) -> i32;
    fn sigwait(set: *const Set, signal: *mut i32) -> i32;
    fn pthread_sigmask(how: i32, set: *const Set, old: *mut Set) -> i32;
}

fn set() -> Set {
    let mut set = Set([0; 128]);
    // SAFETY: there is room for a set, and the signals exist.
    unsafe {
        sigemptyset(&raw mut set);
        sigaddset(&raw mut set, SIGINT);
        sigaddset(&raw mut set, SIGTERM);
    }
    set
}

/// To be called before there is any other thread: threads inherit it.
pub(crate) fn block() {
    let set = set();
    // SAFETY: the set is read only, and nothing is told of the old one.
    unsafe { pthread_sigmask(SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Returns once the program should end.
pub(crate) fn wait() {
    let (set, mut signal) = (set(), 0);
    // SAFETY: both outlive the call. It fails only with a set that is none.
    while unsafe { sigwait(&raw const set, &raw mut signal) } != 0 {}
}
