// SPDX-License-Identifier: Apache-2.0
//! Sweeps up behind a run, however it ends.
//!
//! A process beside this one (the hidden command `sweep`) reads what there is to sweep: namespaces as arguments, processes as
//! lines of its input. When its input ends, because the run is over, or was interrupted, or was killed, it kills those
//! processes, whatever still runs in the namespaces, and removes these. It is in a process group of its own, so that Ctrl-C does
//! not reach it.

use crate::balance::usage;
use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The hidden command.
pub const COMMAND: &str = "sweep";

/// How long killed processes get to be gone.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(10);

/// The process that waits to sweep.
#[derive(Debug)]
pub struct Broom(Child);

impl Broom {
    /// Starts it; the namespaces need not be there yet.
    pub fn start<'a>(namespaces: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let program = crate::balance::own_program()?;
        let mut command = Command::new(program);
        command.arg(COMMAND).args(namespaces).stdin(Stdio::piped()).stdout(Stdio::null());
        command.process_group(0);
        command.spawn().map(Self).map_err(Error::Spawn)
    }

    /// Has a process swept up, too.
    pub fn watch(&mut self, pid: u32) {
        if let (Some(input), Some(started)) = (self.0.stdin.as_mut(), usage::started(pid)) {
            // If it is gone, so is what it would have done.
            let _ = writeln!(input, "{pid} {started}");
        }
    }
}

impl Drop for Broom {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What the hidden command does.
pub fn run(namespaces: &[String]) {
    let lines = std::io::stdin().lock().lines().map_while(Result::ok);
    let watched: Vec<(u32, u64)> = lines.filter_map(|line| read(&line)).collect();
    // A number that was given to another process since is not touched.
    let running = || watched.iter().filter(|(pid, started)| usage::started(*pid) == Some(*started));
    // Asked first: who has workers takes them along.
    running().for_each(|(pid, _)| signal(*pid, Signal::TERM));
    for _ in 0..LOOKS {
        if running().next().is_none() {
            break;
        }
        thread::sleep(LOOK);
    }
    running().for_each(|(pid, _)| signal(*pid, Signal::KILL));
    for name in namespaces {
        sweep(name);
    }
}

fn read(line: &str) -> Option<(u32, u64)> {
    let (pid, started) = line.split_once(' ')?;
    Some((pid.parse().ok()?, started.parse().ok()?))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends what runs in a namespace and removes it.
fn sweep(name: &str) {
    for _ in 0..LOOKS {
        let pids = pids(name);
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            signal(pid, Signal::KILL);
        }
        thread::sleep(LOOK);
    }
    let mut delete = Command::new("ip");
    let _ = delete.args(["netns", "del", name]).stderr(Stdio::null()).status();
}

/// Processes in a namespace; this one is never among them.
fn pids(name: &str) -> Vec<u32> {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
