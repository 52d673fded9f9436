// SPDX-License-Identifier: Apache-2.0
//! What `/proc` says: how busy the machine was, and what processes took of it.

use std::fs;

/// Bytes of a KiB.
const KIB: u64 = 1_024;

/// Seconds that the machine's processors were busy since it started, all of them together, interrupts included.
///
/// That is the fair figure for a balancer: most of what it causes is done by the kernel on behalf of nobody, or of whoever
/// happens to run.
pub fn busy_seconds() -> Option<f64> {
    busy(&fs::read_to_string("/proc/stat").ok()?)
}

fn busy(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal, and guests, which user has already
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else { return None };
    Some(seconds(user + nice + system + irq + softirq))
}

fn seconds(ticks: u64) -> f64 {
    crate::report::count(ticks) / crate::report::count(rustix::param::clock_ticks_per_second())
}

/// Seconds of CPU that a process took, all its threads together.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let fields = stat(pid)?;
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(seconds(ticks(11)? + ticks(12)?))
}

/// Seconds of CPU that this process took, with those of its children that have ended and were waited for.
pub fn own_and_ended_seconds() -> Option<f64> {
    let fields = stat(std::process::id())?;
    let ticks: Vec<u64> = fields.get(11..15)?.iter().map_while(|n| n.parse().ok()).collect();
    Some(seconds(ticks.iter().sum()))
}

/// When a process was started, in the kernel's ticks: with its number, this names it for ever.
pub fn started(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    // What is dead and not yet waited for is gone.
    if fields.first().is_some_and(|state| state == "Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// The fields of a process behind its name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Bytes of memory that are a process's own: neither its program nor its libraries.
pub fn own_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(field(&text, "RssAnon:")? + field(&text, "RssShmem:")?)
}

/// Bytes that are resident, all of them.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * KIB)
}

/// A process and all that descend from it.
pub fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = processes()
        .into_iter()
        .filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_is_all_but_idling() {
        let text = "cpu  100 20 30 4000 50 6 7 8 9 0\ncpu0 1 2 3\n";
        let per_second = crate::report::count(rustix::param::clock_ticks_per_second());
        let busy = busy(text).unwrap() * per_second;
        assert!((busy - 163.0).abs() < 1e-9, "{busy}");
    }

    #[test]
    fn this_process_is_found() {
        let pid = std::process::id();
        assert!(busy_seconds().unwrap() > 0.0);
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(own_bytes(pid).unwrap() < resident_bytes(pid).unwrap());
        assert!(started(pid).unwrap() > 0);
        assert!(family(1).contains(&pid) || family(pid) == [pid]);
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = family(std::process::id());
        child.kill().unwrap();
        // Dead, though not waited for.
        let killed = std::time::Instant::now();
        while started(child.id()).is_some() {
            assert!(killed.elapsed() < std::time::Duration::from_secs(20), "it lives on");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(family.contains(&child.id()), "{family:?}");
    }
}
