// SPDX-License-Identifier: Apache-2.0
//! `reach CONTAINER PID`: ends what an exec whose process is or was PID has left in a container. It runs as a container that sees the
//! engine's processes, where the agent itself does not, or has not the right.
#![allow(dead_code, reason = "it shares a file with the crate, and needs less of it")]

#[path = "../src/exec/tree.rs"]
mod tree;

use tree::Send;

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;
const ESRCH: i32 = 3;

unsafe extern "C" {
    fn kill(pid: i32, signal: i32) -> i32;
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (container, pid) = (arguments.next(), arguments.next());
    let pid = pid.and_then(|text| text.parse::<i32>().ok()).filter(|pid| *pid > 1);
    let (Some(container), Some(pid)) = (container, pid) else {
        eprintln!("usage: reach CONTAINER PID");
        std::process::exit(2);
    };
    match tree::end(&container, pid, signal) {
        Ok(ended) => println!("{ended}"),
        Err(pid) => {
            eprintln!("reach: cannot signal process {pid}");
            std::process::exit(1);
        }
    }
}

fn signal(pid: i32, what: Send) -> Result<(), i32> {
    let number = match what {
        Send::Stop => SIGSTOP,
        Send::Kill => SIGKILL,
    };
    // SAFETY: no memory is given.
    let sent = unsafe { kill(pid, number) } == 0;
    let gone = std::io::Error::last_os_error().raw_os_error() == Some(ESRCH);
    if sent || gone { Ok(()) } else { Err(pid) }
}
