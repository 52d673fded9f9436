// SPDX-License-Identifier: Apache-2.0
//! From requests and limits to the numbers of cgroups (upstream's `pkg/kubelet/cm` and `pkg/kubelet/qos`).

mod amounts;
mod qos;

pub use qos::{Qos, qos};

use crate::error::{ConfigError, ReferenceError};
use crate::facts::Facts;
use crate::pod;
use amounts::Amounts;
use k8s_openapi::api::core::v1::{Container, Pod};

/// Microseconds of a period, and the least that there is to have in one (the kernel's own bound).
const PERIOD_US: u64 = 100_000;
const QUOTA_US_MIN: u64 = 1_000;
/// Bounds of `cpu.shares`.
const SHARES_MIN: u64 = 2;
const SHARES_MAX: u64 = 262_144;
/// Scores for the kernel's choice of what to kill when memory is short.
const GUARANTEED: i32 = -997;
const BEST_EFFORT: i32 = 1_000;
/// A pod of this priority is killed last, whatever it asked for.
const NODE_CRITICAL: &str = "system-node-critical";

/// What a container, or all of a pod, may use. `None` sets no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Its weight against others, where 1024 is one core's; at least 2.
    pub cpu_shares: u64,
    /// Microseconds of processor time in each period; at least 1,000.
    pub cpu_quota_us: Option<u64>,
    /// Microseconds of a period: 100,000.
    pub cpu_period_us: u64,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// From -1000 to 1000: the kernel kills first what has most.
    pub oom_score_adj: i32,
}

/// Of one container.
pub(crate) fn container(
    pod: &Pod,
    container: &Container,
    facts: &Facts,
) -> Result<Resources, ConfigError> {
    let amounts = Amounts::of(container.resources.as_ref())?;
    if amounts.huge_pages {
        let what =
            "huge pages (hugepages-...) are not there: the engine cannot bound them; use memory";
        return Err(ConfigError::Unsupported { container: container.name.clone(), what });
    }
    // A request that is not given is the limit; the API says the same.
    let milli = amounts.cpu_request.or(amounts.cpu_limit).unwrap_or(0);
    Ok(Resources {
        cpu_shares: shares(milli),
        cpu_quota_us: amounts.cpu_limit.and_then(quota),
        cpu_period_us: PERIOD_US,
        memory_bytes: amounts.memory_limit.filter(|bytes| *bytes > 0),
        pids: facts.pids_max,
        oom_score_adj: oom_score_adj(pod, container, facts.memory_capacity_bytes)?,
    })
}

/// Of all of a pod together, with its overhead: what a cgroup around its containers has (upstream's `ResourceConfigForPod`). What bounds not
/// each of its containers bounds not the pod.
pub fn pod_resources(pod: &Pod) -> Result<Resources, ReferenceError> {
    let whole = amounts::of_pod(pod)?;
    Ok(Resources {
        cpu_shares: shares(whole.cpu_request.unwrap_or(0)),
        cpu_quota_us: whole.cpu_limit.and_then(quota),
        cpu_period_us: PERIOD_US,
        memory_bytes: whole.memory_limit.filter(|bytes| *bytes > 0),
        pids: None,
        oom_score_adj: 0,
    })
}

/// Upstream's `MilliCPUToShares`.
fn shares(milli: u64) -> u64 {
    (milli.saturating_mul(1024) / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

/// Upstream's `MilliCPUToQuota`.
fn quota(milli: u64) -> Option<u64> {
    (milli > 0).then(|| (milli.saturating_mul(PERIOD_US) / 1000).max(QUOTA_US_MIN))
}

/// Upstream's `GetContainerOOMScoreAdjust`: of a burstable container the more it asked for, the later it is killed.
fn oom_score_adj(pod: &Pod, container: &Container, capacity: u64) -> Result<i32, ReferenceError> {
    if pod::spec(pod).priority_class_name.as_deref() == Some(NODE_CRITICAL) {
        return Ok(GUARANTEED);
    }
    match qos(pod)? {
        Qos::Guaranteed => return Ok(GUARANTEED),
        Qos::BestEffort => return Ok(BEST_EFFORT),
        Qos::Burstable => {}
    }
    // What was asked for as a whole is shared evenly as far as containers did not ask themselves.
    let share = amounts::unasked_memory_share(pod)?;
    let mut request = memory_request(container)?;
    if pod::is_sidecar(container) && pod::init_containers(pod).iter().any(|c| c == container) {
        // A sidecar is not killed before those it serves.
        let mut least = u64::MAX;
        for served in &pod::spec(pod).containers {
            least = least.min(memory_request(served)?);
        }
        request = request.max(least);
    }
    let used = 1000 * u128::from(request.saturating_add(share)) / u128::from(capacity.max(1));
    let score = 1000 - i32::try_from(used.min(2000)).unwrap_or(2000);
    Ok(score.clamp(1000 + GUARANTEED, BEST_EFFORT - 1))
}

fn memory_request(container: &Container) -> Result<u64, ReferenceError> {
    Ok(Amounts::of(container.resources.as_ref())?.memory_request.unwrap_or(0))
}

#[cfg(test)]
mod tests;
