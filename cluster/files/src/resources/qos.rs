// SPDX-License-Identifier: Apache-2.0
//! The quality of service class of a pod (upstream's `ComputePodQOS`).

use super::amounts::Amounts;
use crate::error::ReferenceError;
use crate::pod;
use k8s_openapi::api::core::v1::Pod;
use std::fmt;

/// How sure a pod is of what it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container has limits for processor and memory, and asked for as much.
    Guaranteed,
    /// Some container asked for something.
    Burstable,
    /// None asked for anything.
    BestEffort,
}

impl fmt::Display for Qos {
    /// As `status.qosClass` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        })
    }
}

/// The class of a pod: what was said for the pod as a whole counts before what containers say.
pub fn qos(pod: &Pod) -> Result<Qos, ReferenceError> {
    let whole = pod::spec(pod).resources.as_ref();
    let said = Amounts::of(whole)?;
    let of_pod = said != Amounts::default();
    let mut all = Vec::new();
    if of_pod {
        all.push(said);
    } else {
        for container in pod::containers(pod) {
            all.push(Amounts::of(container.resources.as_ref())?);
        }
    }
    let positive = |amount: Option<u64>| amount.filter(|amount| *amount > 0);
    let mut sums = [None::<u64>; 4];
    let mut limited = true;
    for amounts in all {
        limited &= positive(amounts.cpu_limit).and(positive(amounts.memory_limit)).is_some();
        let four =
            [amounts.cpu_request, amounts.cpu_limit, amounts.memory_request, amounts.memory_limit];
        for (sum, amount) in sums.iter_mut().zip(four) {
            if let Some(amount) = positive(amount) {
                *sum = Some(sum.unwrap_or(0).saturating_add(amount));
            }
        }
    }
    Ok(match sums {
        [None, None, None, None] => Qos::BestEffort,
        [cpu, cpu_limit, memory, memory_limit]
            if limited && cpu == cpu_limit && memory == memory_limit =>
        {
            Qos::Guaranteed
        }
        _ => Qos::Burstable,
    })
}
