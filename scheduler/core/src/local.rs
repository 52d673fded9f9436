// SPDX-License-Identifier: Apache-2.0
//! What a node is worth by itself: whether a pod's requests fit, and the scores of fit, balance and images.
//!
//! Two forms with the same answers: a general one for a single node and any strategy, and a vector kernel over a block of 64
//! nodes for the default resources (CPU and memory). All arithmetic is on whole numbers held in doubles, or upstream's own
//! IEEE operations in upstream's order. `floor(a / b)` of whole numbers equals integer division while `100 * b < 2^53`: the
//! quotient's distance to the next whole number is at least `1 / b`, more than half a unit in the last place of a quotient
//! up to 100.

use crate::math::floor;
use crate::nodes::{Block, NodeEntry, Usage, scalar_of};
use crate::ties::{TIE_BITS, TIE_MAX};
use crate::vector::dispatch;
use crate::BLOCK;
use alloc::vec::Vec;

/// A resource that scoring looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Cpu,
    Memory,
    Ephemeral,
    Scalar(u32),
}

/// How the fit of a node is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    Least,
    Most,
    /// (utilisation, score times ten), by rising utilisation.
    Ratio(Vec<(i64, i64)>),
}

/// A profile's scoring of single nodes, with names as numbers.
#[derive(Debug, Clone)]
pub(crate) struct LocalRules {
    pub(crate) fit: Fit,
    pub(crate) fit_resources: Vec<(Resource, i64)>,
    pub(crate) fit_weight: i64,
    pub(crate) balanced: Vec<Resource>,
    pub(crate) balanced_weight: i64,
    pub(crate) image_weight: i64,
    /// Weights of CPU and memory if the kernel serves this profile.
    pub(crate) kernel: Option<(i64, i64)>,
    /// NodeResourcesFit filters.
    pub(crate) filters: bool,
}

/// The requests that decide about single nodes, ready for the kernel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) usage: Usage,
    /// The usage without resources that the profile ignores, as filtered.
    pub(crate) filtered_scalars: Vec<(u32, i64)>,
    /// Requests nothing but its place.
    pub(crate) nothing: bool,
    /// NodeResourcesBalancedAllocation has nothing to say.
    pub(crate) no_balance: bool,
    params: Params,
    /// The kernel alone does not decide: ephemeral storage, extended resources or another strategy.
    pub(crate) special: bool,
}

/// A shape as doubles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Params {
    need_cpu: f64,
    need_memory: f64,
    cpu: f64,
    memory: f64,
    cpu_assumed: f64,
    memory_assumed: f64,
    weight_cpu: f64,
    weight_memory: f64,
    weight_inverse: f64,
    most: bool,
    fit_weight: f64,
    balanced_weight: f64,
}

/// The local score's place in a lane: above the tie order. A lane of 0 says the node is out.
pub(crate) fn lane(score: i64, tie: u32) -> u32 {
    let score = u32::try_from(score + 1).expect("local scores are small by LOCAL_WEIGHT_MAX");
    (score << TIE_BITS) | (TIE_MAX - tie)
}

/// The local score in a lane that is not 0.
pub(crate) fn lane_score(lane: u32) -> i64 {
    i64::from(lane >> TIE_BITS) - 1
}

impl Shape {
    #[expect(clippy::cast_precision_loss, reason = "requests are at most CAPACITY_MAX, weights small")]
    pub(crate) fn new(usage: Usage, filtered_scalars: Vec<(u32, i64)>, rules: &LocalRules) -> Self {
        let requests = |r: &Resource| match r {
            Resource::Cpu => usage.cpu,
            Resource::Memory => usage.memory,
            Resource::Ephemeral => usage.ephemeral,
            Resource::Scalar(id) => amount_of(&usage, *id),
        };
        let no_balance = rules.balanced.iter().all(|r| requests(r) == 0);
        let need = |amount: i64| if amount > 0 { amount as f64 } else { f64::NEG_INFINITY };
        let (weight_cpu, weight_memory) = rules.kernel.unwrap_or((1, 1));
        let nothing = usage.cpu == 0
            && usage.memory == 0
            && usage.ephemeral == 0
            && usage.scalars.is_empty();
        let params = Params {
            need_cpu: need(usage.cpu),
            need_memory: need(usage.memory),
            cpu: usage.cpu as f64,
            memory: usage.memory as f64,
            cpu_assumed: usage.cpu_assumed as f64,
            memory_assumed: usage.memory_assumed as f64,
            weight_cpu: weight_cpu as f64,
            weight_memory: weight_memory as f64,
            weight_inverse: 1.0 / (weight_cpu + weight_memory) as f64,
            most: rules.fit == Fit::Most,
            fit_weight: rules.fit_weight as f64,
            balanced_weight: if no_balance { 0.0 } else { rules.balanced_weight as f64 },
        };
        let special =
            rules.kernel.is_none() || usage.ephemeral > 0 || !filtered_scalars.is_empty();
        Self { usage, filtered_scalars, nothing, no_balance, params, special }
    }
}

fn amount_of(usage: &Usage, resource: u32) -> i64 {
    usage.scalars.iter().find(|(id, _)| *id == resource).map_or(0, |(_, amount)| *amount)
}

/// Score of the balance of two resources as they are, `int((1 - std) * 100)`; 100 where one of them has no capacity.
#[inline(always)]
pub(crate) fn balance_pair(cpu: f64, cpu_used: f64, memory: f64, memory_used: f64) -> f64 {
    if cpu == 0.0 || memory == 0.0 {
        return 100.0;
    }
    balance_of((cpu_used / cpu).min(1.0), (memory_used / memory).min(1.0))
}

#[inline(always)]
fn balance_of(a: f64, b: f64) -> f64 {
    let std = (a - b).abs() * 0.5;
    floor((1.0 - std) * 100.0)
}

#[inline(always)]
fn least(capacity: f64, requested: f64) -> f64 {
    let free = capacity - requested;
    if free < 0.0 { 0.0 } else { floor(free * 100.0 / capacity) }
}

#[inline(always)]
fn most(capacity: f64, requested: f64) -> f64 {
    floor(requested.min(capacity) * 100.0 / capacity)
}

/// The kernel for one node of a block whose CPU and memory capacity are not 0: its lane, 0 if the requests do not fit.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits of 2^52 + x are x")]
fn lane_of(block: &Block, i: usize, tie: u32, p: &Params) -> u32 {
    let fits = (block.cpu_used[i] + p.need_cpu <= block.cpu[i])
        & (block.memory_used[i] + p.need_memory <= block.memory[i])
        & (block.places[i] >= 1.0);
    let cpu_requested = block.cpu_assumed[i] + p.cpu_assumed;
    let memory_requested = block.memory_assumed[i] + p.memory_assumed;
    let (a, b) = if p.most {
        (most(block.cpu[i], cpu_requested), most(block.memory[i], memory_requested))
    } else {
        (least(block.cpu[i], cpu_requested), least(block.memory[i], memory_requested))
    };
    // The products are whole and at most 100 * sum of weights; a nudge keeps exact multiples from falling below themselves.
    let fit = floor((a * p.weight_cpu + b * p.weight_memory) * p.weight_inverse + 1e-7);
    let with = balance_of(
        ((block.cpu_used[i] + p.cpu) / block.cpu[i]).min(1.0),
        ((block.memory_used[i] + p.memory) / block.memory[i]).min(1.0),
    );
    let balanced = 50.0 + floor((50.0 + with - block.balance[i]) * 0.5);
    let score = fit * p.fit_weight + balanced * p.balanced_weight;
    let whole = (score + (1.0 + 4_503_599_627_370_496.0)).to_bits() as u32;
    let lane = (whole << TIE_BITS) | (TIE_MAX - tie);
    if fits { lane } else { 0 }
}

#[inline(always)]
fn block_lanes(block: &Block, ties: &[u32; BLOCK], params: &Params, lanes: &mut [u32; BLOCK]) {
    let p = *params;
    if p.most {
        for i in 0..BLOCK {
            lanes[i] = lane_of(block, i, ties[i], &Params { most: true, ..p });
        }
    } else {
        for i in 0..BLOCK {
            lanes[i] = lane_of(block, i, ties[i], &Params { most: false, ..p });
        }
    }
}

dispatch! {
    fn block_lanes_fast(block: &Block, ties: &[u32; BLOCK], params: &Params, lanes: &mut [u32; BLOCK]) = block_lanes;
}

/// Everything about one node that the local rules read.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) block: &'a Block,
    pub(crate) lane: usize,
    pub(crate) entry: &'a NodeEntry,
}

impl At<'_> {
    /// Capacity and plain usage of a resource.
    #[expect(clippy::cast_possible_truncation, reason = "columns hold whole numbers below 2^53")]
    fn amounts(self, resource: Resource) -> (i64, i64) {
        match resource {
            Resource::Cpu => (self.block.cpu[self.lane] as i64, self.block.cpu_used[self.lane] as i64),
            Resource::Memory => {
                (self.block.memory[self.lane] as i64, self.block.memory_used[self.lane] as i64)
            }
            Resource::Ephemeral => {
                let capacity = self.entry.node.as_ref().map_or(0, |n| n.allocatable.ephemeral);
                (capacity, self.entry.ephemeral_used)
            }
            Resource::Scalar(id) => {
                let scalar = scalar_of(self.entry, id);
                (scalar.capacity, scalar.used)
            }
        }
    }

    /// Usage of a resource as scoring of the fit assumes it.
    #[expect(clippy::cast_possible_truncation, reason = "columns hold whole numbers below 2^53")]
    fn assumed(self, resource: Resource) -> i64 {
        match resource {
            Resource::Cpu => self.block.cpu_assumed[self.lane] as i64,
            Resource::Memory => self.block.memory_assumed[self.lane] as i64,
            Resource::Ephemeral | Resource::Scalar(_) => self.amounts(resource).1,
        }
    }
}

/// What a node lacks for a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) resource: ShortOf,
    /// More is requested than the node has in all.
    pub(crate) beyond_capacity: bool,
}

/// See [`Shortage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShortOf {
    Places,
    Resource(Resource),
}

/// What the node lacks, in upstream's order; `less` is taken off its usage and `more` put on it first.
pub(crate) fn shortages(
    at: At<'_>,
    shape: &Shape,
    delta: &Delta,
    mut report: impl FnMut(Shortage),
) {
    #[expect(clippy::cast_possible_truncation, reason = "columns hold whole numbers below 2^53")]
    let places = at.block.places[at.lane] as i64 - delta.pods;
    if places < 1 {
        report(Shortage { resource: ShortOf::Places, beyond_capacity: false });
    }
    if shape.nothing {
        return;
    }
    let mut check = |resource: Resource, request: i64, more: i64| {
        let (capacity, used) = at.amounts(resource);
        if request > 0 && request > capacity - (used + more) {
            let beyond_capacity = request > capacity;
            report(Shortage { resource: ShortOf::Resource(resource), beyond_capacity });
        }
    };
    check(Resource::Cpu, shape.usage.cpu, delta.cpu);
    check(Resource::Memory, shape.usage.memory, delta.memory);
    check(Resource::Ephemeral, shape.usage.ephemeral, delta.ephemeral);
    for (id, amount) in &shape.filtered_scalars {
        check(Resource::Scalar(*id), *amount, delta.scalar(*id));
    }
}

/// A change of a node's usage that is only thought of: pods taken off or put on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) pods: i64,
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) ephemeral: i64,
    pub(crate) scalars: Vec<(u32, i64)>,
}

impl Delta {
    /// Puts a pod on (`1`) or takes it off (`-1`).
    pub(crate) fn add(&mut self, usage: &Usage, sign: i64) {
        self.pods += sign;
        self.cpu += sign * usage.cpu;
        self.memory += sign * usage.memory;
        self.ephemeral += sign * usage.ephemeral;
        for (id, amount) in &usage.scalars {
            match self.scalars.iter_mut().find(|(have, _)| have == id) {
                Some((_, sum)) => *sum += sign * amount,
                None => self.scalars.push((*id, sign * amount)),
            }
        }
    }

    /// Nothing taken off or put on.
    pub(crate) fn clear(&mut self) {
        self.scalars.clear();
        (self.pods, self.cpu, self.memory, self.ephemeral) = (0, 0, 0, 0);
    }

    fn scalar(&self, id: u32) -> i64 {
        self.scalars.iter().find(|(have, _)| *have == id).map_or(0, |(_, sum)| *sum)
    }
}

fn extra_fits(at: At<'_>, shape: &Shape) -> bool {
    let fits = |resource: Resource, request: i64| {
        let (capacity, used) = at.amounts(resource);
        request <= 0 || request <= capacity - used
    };
    fits(Resource::Ephemeral, shape.usage.ephemeral)
        && shape.filtered_scalars.iter().all(|(id, amount)| fits(Resource::Scalar(*id), *amount))
}

/// Score of NodeResourcesFit, 0..=100, before its weight.
pub(crate) fn fit_score(at: At<'_>, rules: &LocalRules, shape: &Shape) -> i64 {
    let mut sum = 0;
    let mut weights = 0;
    for (resource, weight) in &rules.fit_resources {
        let request = match resource {
            Resource::Cpu => shape.usage.cpu_assumed,
            Resource::Memory => shape.usage.memory_assumed,
            Resource::Ephemeral => shape.usage.ephemeral,
            Resource::Scalar(id) => amount_of(&shape.usage, *id),
        };
        if request == 0 && matches!(resource, Resource::Scalar(_)) {
            continue;
        }
        let capacity = at.amounts(*resource).0;
        if capacity == 0 {
            continue;
        }
        let requested = at.assumed(*resource) + request;
        let score = match &rules.fit {
            Fit::Least if requested > capacity => 0,
            Fit::Least => (capacity - requested) * 100 / capacity,
            Fit::Most => requested.min(capacity) * 100 / capacity,
            Fit::Ratio(shape) => {
                let used = if requested > capacity { 100 } else { requested * 100 / capacity };
                let score = on_curve(shape, used);
                if score <= 0 {
                    continue;
                }
                score
            }
        };
        sum += score * weight;
        weights += weight;
    }
    match &rules.fit {
        _ if weights == 0 => 0,
        #[expect(clippy::cast_precision_loss, reason = "upstream divides as doubles")]
        Fit::Ratio(_) => crate::math::round(sum as f64 / weights as f64),
        Fit::Least | Fit::Most => sum / weights,
    }
}

/// The piecewise linear curve in whole numbers, flat outside.
fn on_curve(shape: &[(i64, i64)], used: i64) -> i64 {
    let Some(at) = shape.iter().position(|(u, _)| used <= *u) else {
        return shape.last().map_or(0, |p| p.1);
    };
    if at == 0 {
        return shape[0].1;
    }
    let ((u0, s0), (u1, s1)) = (shape[at - 1], shape[at]);
    s0 + (s1 - s0) * (used - u0) / (u1 - u0)
}

/// Score of NodeResourcesBalancedAllocation, 0..=100, before its weight; `None` where it has nothing to say.
pub(crate) fn balance_score(at: At<'_>, rules: &LocalRules, shape: &Shape) -> Option<i64> {
    if shape.no_balance {
        return None;
    }
    let with = balance(at, rules, shape, true);
    let without = balance(at, rules, shape, false);
    Some(50 + (50 + with - without) / 2)
}

#[expect(clippy::cast_precision_loss, reason = "amounts are below 2^53")]
#[expect(clippy::cast_possible_truncation, reason = "0..=100")]
fn balance(at: At<'_>, rules: &LocalRules, shape: &Shape, with_pod: bool) -> i64 {
    let mut fractions: Vec<f64> = Vec::with_capacity(rules.balanced.len());
    for resource in &rules.balanced {
        let request = match resource {
            Resource::Cpu => shape.usage.cpu,
            Resource::Memory => shape.usage.memory,
            Resource::Ephemeral => shape.usage.ephemeral,
            Resource::Scalar(id) => amount_of(&shape.usage, *id),
        };
        if request == 0 && matches!(resource, Resource::Scalar(_)) {
            continue;
        }
        let (capacity, used) = at.amounts(*resource);
        if capacity == 0 {
            continue;
        }
        let requested = used + if with_pod { request } else { 0 };
        fractions.push((requested as f64 / capacity as f64).min(1.0));
    }
    let std = match fractions.as_slice() {
        [] | [_] => 0.0,
        [a, b] => ((a - b) / 2.0).abs(),
        many => {
            let count = many.len() as f64;
            let total: f64 = many.iter().fold(0.0, |sum, f| sum + f);
            let mean = total / count;
            let squares = many.iter().fold(0.0, |sum, f| sum + (f - mean) * (f - mean));
            libm::sqrt(squares / count)
        }
    };
    ((1.0 - std) * 100.0) as i64
}

/// The lane of one node before static rules and without images, whatever the profile.
#[inline]
pub(crate) fn single(at: At<'_>, tie: u32, rules: &LocalRules, shape: &Shape) -> u32 {
    let odd = at.block.cpu[at.lane] == 0.0 || at.block.memory[at.lane] == 0.0;
    if rules.kernel.is_some() && !odd {
        let lane = lane_of(at.block, at.lane, tie, &shape.params);
        if lane != 0 && shape.special && !extra_fits(at, shape) {
            return 0;
        }
        return lane;
    }
    general(at, tie, rules, shape)
}

fn general(at: At<'_>, tie: u32, rules: &LocalRules, shape: &Shape) -> u32 {
    if at.entry.node.is_none() {
        return 0;
    }
    let mut fits = true;
    if rules.filters {
        shortages(at, shape, &Delta::default(), |_| fits = false);
    }
    if !fits {
        return 0;
    }
    let fit = fit_score(at, rules, shape) * rules.fit_weight;
    let balance = balance_score(at, rules, shape).unwrap_or(0) * rules.balanced_weight;
    lane(fit + balance, tie)
}

/// The lanes of a whole block, as [`single`] gives them one by one.
pub(crate) fn whole_block<'a>(
    vector: crate::vector::Vector,
    rules: &LocalRules,
    shape: &Shape,
    (block, ties): (&'a Block, &[u32; BLOCK]),
    entry: impl Fn(usize) -> &'a NodeEntry,
    lanes: &mut [u32; BLOCK],
) {
    if rules.kernel.is_none() {
        for i in 0..BLOCK {
            lanes[i] = general(At { block, lane: i, entry: entry(i) }, ties[i], rules, shape);
        }
        return;
    }
    block_lanes_fast(vector, block, ties, &shape.params, lanes);
    for i in 0..BLOCK {
        if block.cpu[i] == 0.0 || block.memory[i] == 0.0 {
            lanes[i] = general(At { block, lane: i, entry: entry(i) }, ties[i], rules, shape);
        } else if shape.special && lanes[i] != 0 {
            let at = At { block, lane: i, entry: entry(i) };
            if !extra_fits(at, shape) {
                lanes[i] = 0;
            }
        }
    }
}
