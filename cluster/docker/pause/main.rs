// SPDX-License-Identifier: Apache-2.0
//! The program of a pod's sandbox: it holds the pod's namespaces by being there, takes the exit codes of orphans where the pod's
//! processes are in one namespace (it is their process 1), and ends at once when it is told to.
//!
//! It needs nothing, not even memory beside its stack: a node has one of it for each pod.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

// The kernel starts a program here, with a stack that holds its arguments.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {run}", "ud2", run = sym run);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {run}", "brk #1", run = sym run);

#[cfg(target_arch = "x86_64")]
mod number {
    pub const SIGPROCMASK: usize = 14;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const WAIT4: usize = 61;
    pub const EXIT_GROUP: usize = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const SIGPROCMASK: usize = 135;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
    pub const EXIT_GROUP: usize = 94;
}

const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;
/// Bytes of the kernel's set of signals.
const SET: usize = 8;

extern "C" fn run() -> ! {
    let set: u64 = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1) | 1 << (SIGCHLD - 1);
    let set = &raw const set as usize;
    // SAFETY: the kernel reads eight bytes at `set`, which outlives the call. Blocked signals wait until they are asked for, so that
    // none is lost between two waits; and a process 1 gets no signal whose action is the default one.
    unsafe { call(number::SIGPROCMASK, [SIG_BLOCK, set, 0, SET]) };
    loop {
        // SAFETY: no memory of ours is given.
        while unsafe { call(number::WAIT4, [usize::MAX, 0, WNOHANG, 0]) } > 0 {}
        // SAFETY: as above; no time limit and no place for details are given.
        let signal = unsafe { call(number::SIGTIMEDWAIT, [set, 0, 0, SET]) };
        if signal == SIGINT as isize || signal == SIGTERM as isize {
            exit(0);
        }
    }
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: no memory is given.
        unsafe { call(number::EXIT_GROUP, [code, 0, 0, 0]) };
    }
}

/// # Safety
///
/// What the call with that number asks of its arguments.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result;
    let [a, b, c, d] = arguments;
    // SAFETY: the kernel changes rax, rcx and r11 and no others; the caller answers for the rest.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// # Safety
///
/// What the call with that number asks of its arguments.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result;
    let [a, b, c, d] = arguments;
    // SAFETY: the kernel changes x0 and no other; the caller answers for the rest.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}
