// SPDX-License-Identifier: Apache-2.0
//! What containers use, and what the engine's disk holds.

use crate::engine::Engine;
use crate::error::CallError;
use crate::limits;
use serde_json::Value;

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Nanoseconds of processor time since it started.
    pub cpu_ns: u64,
    /// Bytes of memory that it cannot do without: all but what the kernel keeps of files and was not used of late.
    pub working_set_bytes: u64,
    /// Bytes of memory, with all that the kernel keeps for it.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// Bytes on the engine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUsage {
    /// Layers of images, each once.
    pub images_bytes: u64,
    /// What containers have written.
    pub containers_bytes: u64,
    /// Volumes of the engine.
    pub volumes_bytes: u64,
    /// What is left of builds.
    pub builds_bytes: u64,
}

impl Engine {
    /// What a container uses at this moment. None of one that does not run.
    pub async fn usage(&self, id: &str) -> Result<Option<Usage>, CallError> {
        const CALL: &str = "ask what a container uses";
        self.check_owned(CALL, id).await?;
        let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
        Ok(usage(&self.get(CALL, path, limits::ASK).await?))
    }

    /// What the engine's disk holds. The engine counts file by file: not to be asked often.
    pub async fn disk_usage(&self) -> Result<DiskUsage, CallError> {
        let all = self.get("ask for disk usage", "/system/df".to_owned(), limits::USAGE).await?;
        Ok(disk_usage(&all))
    }
}

fn usage(stats: &Value) -> Option<Usage> {
    let memory = &stats["memory_stats"];
    let amount = memory["usage"].as_u64()?;
    // Version 1 of cgroups has the whole below a cgroup with a prefix, and the cgroup's own without.
    let keys = ["total_inactive_file", "inactive_file"];
    let inactive = keys.iter().find_map(|key| memory["stats"][key].as_u64()).unwrap_or(0);
    Some(Usage {
        cpu_ns: stats["cpu_stats"]["cpu_usage"]["total_usage"].as_u64().unwrap_or(0),
        working_set_bytes: amount.saturating_sub(inactive),
        memory_bytes: amount,
        pids: stats["pids_stats"]["current"].as_u64().unwrap_or(0),
    })
}

fn disk_usage(all: &Value) -> DiskUsage {
    // Version 1.52 of the API has sums; before it there are lists.
    let whole = |key: &str| all[key]["TotalSize"].as_u64();
    let sum = |list: &str, size: &dyn Fn(&Value) -> Option<u64>| -> u64 {
        let items = all[list].as_array().into_iter().flatten();
        items.filter_map(size).fold(0, u64::saturating_add)
    };
    DiskUsage {
        images_bytes: whole("ImageUsage").or(all["LayersSize"].as_u64()).unwrap_or(0),
        containers_bytes: whole("ContainerUsage")
            .unwrap_or_else(|| sum("Containers", &|one| one["SizeRw"].as_u64())),
        volumes_bytes: whole("VolumeUsage")
            .unwrap_or_else(|| sum("Volumes", &|one| one["UsageData"]["Size"].as_u64())),
        builds_bytes: whole("BuildCacheUsage")
            .unwrap_or_else(|| sum("BuildCache", &|one| one["Size"].as_u64())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_used_is_read_of_both_versions_of_cgroups() {
        let v1 = json!({"memory_stats": {"usage": 100, "stats": {"inactive_file": 5, "total_inactive_file": 30}},
            "cpu_stats": {"cpu_usage": {"total_usage": 7}}, "pids_stats": {"current": 2}});
        let wanted = Usage { cpu_ns: 7, working_set_bytes: 70, memory_bytes: 100, pids: 2 };
        assert_eq!(usage(&v1), Some(wanted));
        let v2 = json!({"memory_stats": {"usage": 100, "stats": {"inactive_file": 200}}});
        assert_eq!(usage(&v2).map(|used| used.working_set_bytes), Some(0));
        assert_eq!(usage(&json!({"memory_stats": {}})), None, "it does not run");
    }

    #[test]
    fn disk_usage_is_read_of_old_and_new_engines() {
        let old = json!({"LayersSize": 10, "Containers": [{"SizeRw": 1}, {}], "Volumes": [{"UsageData": {"Size": -1}}, {"UsageData": {"Size": 3}}],
            "BuildCache": null});
        let wanted =
            DiskUsage { images_bytes: 10, containers_bytes: 1, volumes_bytes: 3, builds_bytes: 0 };
        assert_eq!(disk_usage(&old), wanted);
        let new = json!({"ImageUsage": {"TotalSize": 10}, "ContainerUsage": {"TotalSize": 1}, "VolumeUsage": {"TotalSize": 3},
            "BuildCacheUsage": {"TotalSize": 0}});
        assert_eq!(disk_usage(&new), wanted);
    }
}
