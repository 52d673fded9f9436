// SPDX-License-Identifier: Apache-2.0
//! Requests and limits as numbers, of a container and of a pod.

use crate::error::ReferenceError;
use crate::{field, pod};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

type List = BTreeMap<String, Quantity>;

/// Thousandths of a core, and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amounts {
    pub(super) cpu_request: Option<u64>,
    pub(super) cpu_limit: Option<u64>,
    pub(super) memory_request: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    /// Whether it asks for any.
    pub(super) huge_pages: bool,
}

impl Amounts {
    pub(super) fn of(resources: Option<&ResourceRequirements>) -> Result<Self, ReferenceError> {
        let requests = resources.and_then(|r| r.requests.as_ref());
        let limits = resources.and_then(|r| r.limits.as_ref());
        let mut huge_pages = false;
        for (name, quantity) in [requests, limits].into_iter().flatten().flatten() {
            huge_pages |= name.starts_with("hugepages-") && field::read(name, quantity)? > 0;
        }
        Ok(Self {
            cpu_request: amount(requests, "cpu")?,
            cpu_limit: amount(limits, "cpu")?,
            memory_request: amount(requests, "memory")?,
            memory_limit: amount(limits, "memory")?,
            huge_pages,
        })
    }

    /// With both amounts added, field by field; what one lacks is none.
    fn and(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        self.with(other, sum)
    }

    fn or_more(self, other: Self) -> Self {
        self.with(other, Option::max)
    }

    fn with(self, other: Self, join: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Self {
        Self {
            cpu_request: join(self.cpu_request, other.cpu_request),
            cpu_limit: join(self.cpu_limit, other.cpu_limit),
            memory_request: join(self.memory_request, other.memory_request),
            memory_limit: join(self.memory_limit, other.memory_limit),
            huge_pages: self.huge_pages || other.huge_pages,
        }
    }
}

fn amount(list: Option<&List>, name: &str) -> Result<Option<u64>, ReferenceError> {
    let quantity = list.and_then(|list| list.get(name));
    let value = quantity.map(|quantity| field::read(name, quantity)).transpose()?;
    Ok(value.map(|value| u64::try_from(value).unwrap_or(0)))
}

/// Of all containers at the time when they need most, what was said for the pod as a whole, and the overhead.
pub(super) fn of_pod(pod: &Pod) -> Result<Amounts, ReferenceError> {
    let mut whole = of_containers(pod)?;
    // A limit that one container lacks is none for the pod.
    for container in pod::containers(pod) {
        let amounts = Amounts::of(container.resources.as_ref())?;
        whole.cpu_limit = whole.cpu_limit.filter(|_| amounts.cpu_limit.unwrap_or(0) > 0);
        whole.memory_limit = whole.memory_limit.filter(|_| amounts.memory_limit.unwrap_or(0) > 0);
    }
    let said = Amounts::of(pod::spec(pod).resources.as_ref())?;
    whole = Amounts {
        cpu_request: said.cpu_request.or(whole.cpu_request),
        cpu_limit: said.cpu_limit.or(whole.cpu_limit),
        memory_request: said.memory_request.or(whole.memory_request),
        memory_limit: said.memory_limit.or(whole.memory_limit),
        huge_pages: said.huge_pages || whole.huge_pages,
    };
    let overhead = pod::spec(pod).overhead.as_ref();
    let (cpu, memory) = (amount(overhead, "cpu")?, amount(overhead, "memory")?);
    // A limit that is none stays none; requests grow in any case.
    let plus = |amount: Option<u64>, more: Option<u64>| {
        amount.map(|a| a.saturating_add(more.unwrap_or(0)))
    };
    whole.cpu_limit = plus(whole.cpu_limit.filter(|limit| *limit > 0), cpu);
    whole.memory_limit = plus(whole.memory_limit.filter(|limit| *limit > 0), memory);
    whole.cpu_request = plus(whole.cpu_request.or(cpu.map(|_| 0)), cpu);
    whole.memory_request = plus(whole.memory_request.or(memory.map(|_| 0)), memory);
    Ok(whole)
}

/// The larger of all that run beside one another, and of each init container with the sidecars before it (KEP-753).
fn of_containers(pod: &Pod) -> Result<Amounts, ReferenceError> {
    let of = |container: &Container| Amounts::of(container.resources.as_ref());
    let mut sidecars = Amounts::default();
    let mut most = Amounts::default();
    for container in pod::init_containers(pod) {
        if pod::is_sidecar(container) {
            sidecars = sidecars.and(of(container)?);
            most = most.or_more(sidecars);
        } else {
            most = most.or_more(sidecars.and(of(container)?));
        }
    }
    let mut together = sidecars;
    for container in &pod::spec(pod).containers {
        together = together.and(of(container)?);
    }
    Ok(most.or_more(together))
}

/// The part of each container in the memory that was asked for the pod as a whole and not for a container (KEP-2837).
pub(super) fn unasked_memory_share(pod: &Pod) -> Result<u64, ReferenceError> {
    let Some(whole) = Amounts::of(pod::spec(pod).resources.as_ref())?.memory_request else {
        return Ok(0);
    };
    let sidecars = pod::init_containers(pod).iter().filter(|c| pod::is_sidecar(c));
    let (mut asked, mut count) = (0_u64, 0);
    for container in pod::spec(pod).containers.iter().chain(sidecars) {
        let own = Amounts::of(container.resources.as_ref())?.memory_request.unwrap_or(0);
        asked = asked.saturating_add(own);
        count += 1;
    }
    Ok(whole.saturating_sub(asked) / count.max(1))
}
