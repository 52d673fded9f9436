// SPDX-License-Identifier: Apache-2.0
//! Counts the system calls of processes: with `perf`, which only counts them, or with `strace`, which stops at each and slows all down.

use super::subject::program::find;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often `strace` is looked at while it ends.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// A count that is being made.
#[derive(Debug)]
pub struct Counter(JoinHandle<Result<f64, String>>);

impl Counter {
    /// Counts all system calls of these processes for so long.
    pub fn start(pids: &[u32], during: Duration) -> Self {
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        Self(thread::spawn(move || per_second(&list, during)))
    }

    /// Calls a second, or why they could not be counted.
    pub fn finish(self) -> Result<f64, String> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn per_second(pids: &str, during: Duration) -> Result<f64, String> {
    let perf = find("perf").ok_or_else(|| "perf is not installed".to_owned());
    let by_perf = perf.and_then(|perf| with_perf(&perf, pids, during));
    by_perf.or_else(|why| {
        let strace = find("strace").ok_or_else(|| "strace is not installed".to_owned());
        let by_strace = strace.and_then(|strace| with_strace(&strace, pids, during));
        by_strace.map_err(|other| format!("system calls were not counted: {why}; {other}"))
    })
}

fn with_perf(perf: &Path, pids: &str, during: Duration) -> Result<f64, String> {
    let mut command = Command::new(perf);
    command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", pids, "--", "sleep"]);
    command.arg(during.as_secs_f64().to_string());
    let output = command.env("LC_ALL", "C").output().map_err(|error| format!("perf: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = perf_count(&said).filter(|_| output.status.success());
    let count = count.ok_or_else(|| format!("perf: {}", said.trim()))?;
    Ok(count / during.as_secs_f64())
}

/// The count in `COUNT,,EVENT,...`.
fn perf_count(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

fn with_strace(strace: &Path, pids: &str, during: Duration) -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("strace: {error}");
    let mut command = Command::new(strace);
    command.args(["-f", "-c", "-p", pids]).stdin(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let child = command.env("LC_ALL", "C").spawn().map_err(failed)?;
    thread::sleep(during);
    let took = began.elapsed();
    let said = interrupted(child).map_err(failed)?;
    let count = strace_count(&said).ok_or_else(|| format!("strace: {}", said.trim()))?;
    Ok(count / took.as_secs_f64())
}

/// Ends it as Ctrl-C would, so that it prints what it has counted.
fn interrupted(mut child: Child) -> std::io::Result<String> {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process(pid, Signal::INT)?;
    }
    let began = Instant::now();
    while child.try_wait()?.is_none() && began.elapsed() < PATIENCE {
        thread::sleep(LOOK);
    }
    let _ = child.kill();
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The number of calls in the last line, `100.00 SECONDS [USECS] CALLS [ERRORS] total`.
fn strace_count(said: &str) -> Option<f64> {
    let head = said.lines().find(|line| line.contains("calls"))?;
    let total = said.lines().rfind(|line| line.ends_with(" total"))?;
    // Columns are set to the right: the count ends where its title does.
    let end = head.find("calls")? + "calls".len();
    total.get(..end)?.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_print_is_read() {
        let perf = "120345,,raw_syscalls:sys_enter,1600123456,100.00,,\n";
        assert_eq!(perf_count(perf), Some(120_345.0));
        assert_eq!(perf_count("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        assert_eq!(perf_count("Error: no access\n"), None);
        let strace = "\
strace: Process 11 attached with 3 threads
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.001200           1      1200           read
------ ----------- ----------- --------- --------- ----------------
100.00    0.002000           1      2001        12 total
";
        assert_eq!(strace_count(strace), Some(2_001.0));
        assert_eq!(strace_count("strace: attach: ptrace: Operation not permitted\n"), None);
    }
}
