// SPDX-License-Identifier: Apache-2.0
//! What the machine says of itself.

use std::path::Path;

/// What of a machine is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct System {
    /// Bytes of memory that can be had; none if that is not known.
    pub(crate) memory_free: Option<u64>,
    /// Bytes of the disk of the agent's files, and of it free ones.
    pub(crate) disk: Option<(u64, u64)>,
    /// Processes that there may be, and that there are.
    pub(crate) pids: Option<(u64, u64)>,
    pub(crate) machine_id: String,
    pub(crate) boot_id: String,
    pub(crate) system_uuid: String,
}

/// Looks at the machine.
pub(super) fn look(root: &Path) -> System {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let machine_id = text("/etc/machine-id");
    let uuid = text("/sys/class/dmi/id/product_uuid");
    System {
        memory_free: field(&text("/proc/meminfo"), "MemAvailable:").map(|kib| kib * 1_024),
        disk: disk(root),
        pids: text("/proc/sys/kernel/pid_max").parse().ok().zip(tasks(&text("/proc/loadavg"))),
        system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
        machine_id,
        boot_id: text("/proc/sys/kernel/random/boot_id"),
    }
}

/// Bytes of the disk that a folder is on: all, and free ones.
pub(super) fn disk(root: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(root).ok()?;
    Some((stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The second number of `1/234` in /proc/loadavg.
fn tasks(text: &str) -> Option<u64> {
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(field("MemTotal: 9 kB\nMemAvailable:   12 kB\n", "MemAvailable:"), Some(12));
        assert_eq!((field("", "MemAvailable:"), tasks("0.1 0.2 0.3 1/234 99")), (None, Some(234)));
        assert_eq!(tasks("0.1"), None);
        let system = look(Path::new("/"));
        assert!(system.memory_free.is_some() && system.disk.is_some() && system.pids.is_some());
    }
}
