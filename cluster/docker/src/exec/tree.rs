// SPDX-License-Identifier: Apache-2.0
//! Which processes an exec has started, and how they end. Compiled twice: into this crate, and into the program that does it from within
//! the engine's own namespace of processes, where the agent has not the right or is in another one.
//!
//! Signals alone would race with what is forked in between: so all that is found is stopped first, and looked for again until nothing new
//! is there; what is stopped cannot fork.

use std::collections::BTreeSet;
use std::path::Path;

/// Rounds of looking: each finds what was forked before the last stop arrived. A fork bomb loses to the limit of processes sooner.
const ROUNDS_MAX: usize = 64;

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// Its parent's.
    pub(crate) parent: i32,
    /// The number of who made its session. An engine makes one for each exec.
    pub(crate) session: i32,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Send {
    /// SIGSTOP.
    Stop,
    /// SIGKILL.
    Kill,
}

/// Reads `/proc/PID/stat`. The name, in parentheses, may hold anything, parentheses too. None for one that has ended.
pub(crate) fn read_stat(text: &str) -> Option<Process> {
    let (pid, _) = text.split_once(' ')?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let mut number = || fields.next()?.parse().ok();
    let (parent, _group, session) = (number()?, number()?, number()?);
    (!matches!(state, "Z" | "X")).then_some(Process { pid: pid.parse().ok()?, parent, session })
}

/// The process `root`, all of its session, and all that descends from any of them.
pub(crate) fn below(all: &[Process], root: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for process in all {
            let is_part = process.pid == root || process.session == root;
            if is_part || found.contains(&process.parent) {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The processes of a container, which is known by its id in the names of their cgroups.
pub(crate) fn scan(container: &str) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_process = entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        if is_process && is_in(&path, container) {
            let stat = std::fs::read(path.join("stat")).unwrap_or_default();
            all.extend(read_stat(&String::from_utf8_lossy(&stat)));
        }
    }
    all
}

/// Whether a process is in a container.
pub(crate) fn is_in(process: &Path, container: &str) -> bool {
    let groups = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    groups.contains(container)
}

/// Ends what an exec whose process is or was `root` has left in a container. Gives how many there were, or the first that could not be
/// signalled.
pub(crate) fn end(
    container: &str,
    root: i32,
    mut send: impl FnMut(i32, Send) -> Result<(), i32>,
) -> Result<usize, i32> {
    let mut stopped = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let found = below(&scan(container), root);
        let new: Vec<i32> = found.difference(&stopped).copied().collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            send(pid, Send::Stop)?;
            stopped.insert(pid);
        }
    }
    for pid in &stopped {
        send(*pid, Send::Kill)?;
    }
    Ok(stopped.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let process = |pid, parent, session| Some(Process { pid, parent, session });
        for (text, wanted) in [
            ("7 (sh) S 1 7 6 0 -1", process(7, 1, 6)),
            ("7 (a) R 2 (b) c) S 1 7 6 0", process(7, 1, 6)),
            ("7 (sh) Z 1 7 6 0", None),
            ("7 (sh) S 1", None),
            ("x (sh) S 1 7 6", None),
            ("7 sh S 1 7 6", None),
            ("", None),
        ] {
            assert_eq!(read_stat(text), wanted, "{text}");
        }
    }

    #[test]
    fn all_of_an_exec_is_found_and_nothing_else() {
        let all = [
            (1, 0, 1),
            (20, 1, 1),
            (10, 5, 10),
            (11, 10, 10),
            (12, 11, 12),
            (13, 12, 12),
            (14, 1, 10),
            (15, 14, 15),
        ];
        let all = all.map(|(pid, parent, session)| Process { pid, parent, session });
        // 14 has lost its parent and 12 is the head of a session of its own.
        assert_eq!(below(&all, 10), BTreeSet::from([10, 11, 12, 13, 14, 15]));
        let mut reversed = all;
        reversed.reverse();
        assert_eq!(below(&reversed, 10), below(&all, 10));
        assert_eq!(below(&all[5..], 10), BTreeSet::from([14, 15]), "its own process is gone");
        assert!(below(&all, 99).is_empty());
    }
}
