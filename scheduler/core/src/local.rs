// SPDX-License-Identifier: Apache-2.0
//! What a node is worth by itself: whether a pod's requests fit, and the scores of fit, balance and images.
//!
//! Two forms with the same answers: a general one for a single node and any strategy, and a vector kernel over a block of 64
//! nodes for the default resources (CPU and memory). All arithmetic is on whole numbers held in doubles, or upstream's own
//! IEEE operations in upstream's order. `floor(a / b)` of whole numbers equals integer division while `100 * b < 2^53`: the
//! quotient's distance to the next whole number is at least `1 / b`, more than half a unit in the last place of a quotient
//! up to 100.

use crate::nodes::{Block, Columns, NodeEntry, Nodes, Usage, scalar_of, split};
use crate::ties::{TIE_BITS, TIE_MAX};
use crate::trail::Past;
use crate::vector::dispatch;
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use berth_scheduler_model::requests::Resources;

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

/// A shape as the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Params {
    need_cpu: f64,
    need_memory: f64,
    cpu: f64,
    memory: f64,
    cpu_assumed: f64,
    memory_assumed: f64,
    weight_cpu: i32,
    weight_memory: i32,
    weight_inverse: f32,
    fit_weight: i32,
    balanced_weight: i32,
    most: bool,
    /// All weights are 1.
    plain: bool,
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
    #[expect(
        clippy::cast_precision_loss,
        reason = "requests are at most CAPACITY_MAX, weights small"
    )]
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
        let nothing =
            usage.cpu == 0 && usage.memory == 0 && usage.ephemeral == 0 && usage.scalars.is_empty();
        let narrow = |weight: i64| i32::try_from(weight).expect("limited by LOCAL_WEIGHT_MAX");
        let balanced_weight = if no_balance { 0 } else { narrow(rules.balanced_weight) };
        let fit_weight = narrow(rules.fit_weight);
        let params = Params {
            need_cpu: need(usage.cpu),
            need_memory: need(usage.memory),
            cpu: usage.cpu as f64,
            memory: usage.memory as f64,
            cpu_assumed: usage.cpu_assumed as f64,
            memory_assumed: usage.memory_assumed as f64,
            weight_cpu: narrow(weight_cpu),
            weight_memory: narrow(weight_memory),
            weight_inverse: 1.0 / (weight_cpu + weight_memory) as f32,
            fit_weight,
            balanced_weight,
            most: rules.fit == Fit::Most,
            plain: (weight_cpu, weight_memory, fit_weight, balanced_weight) == (1, 1, 1, 1),
        };
        let special = rules.kernel.is_none() || usage.ephemeral > 0 || !filtered_scalars.is_empty();
        Self { usage, filtered_scalars, nothing, no_balance, params, special }
    }
}

impl Shape {
    /// CPU and memory as scoring assumes them, then as filtered, if nothing but these decides, by the default profile's rules.
    pub(crate) fn plain_amounts(&self) -> Option<[f64; 4]> {
        let p = &self.params;
        let plain = p.plain && !p.most && !self.special;
        plain.then_some([p.cpu_assumed, p.memory_assumed, p.cpu, p.memory])
    }
}

fn amount_of(usage: &Usage, resource: u32) -> i64 {
    usage.scalars.iter().find(|(id, _)| *id == resource).map_or(0, |(_, amount)| *amount)
}

/// The whole part of a number from 0.0 to 100.0 and a little.
#[inline(always)]
#[expect(unsafe_code, reason = "the checked conversion is three times as many vector instructions")]
fn whole(x: f64) -> i32 {
    debug_assert!((0.0..100.5).contains(&x), "{x}");
    // SAFETY: callers pass numbers below 101: fractions of a capacity that is at least 1, cut off at 0 and at all of it.
    unsafe { x.to_int_unchecked() }
}

#[inline(always)]
fn at_least_0(x: f64) -> f64 {
    if x > 0.0 { x } else { 0.0 }
}

#[inline(always)]
fn at_most(x: f64, bound: f64) -> f64 {
    if x < bound { x } else { bound }
}

/// Balance of CPU and memory of a node as it is.
pub(crate) fn balance_now(block: &Block, i: usize) -> i32 {
    balance_pair(block, i, 0.0, 0.0)
}

/// `int((1 - std) * 100)` of the two fractions with so much more used.
#[inline(always)]
fn balance_pair<const N: usize>(block: &Columns<N>, i: usize, cpu: f64, memory: f64) -> i32 {
    let a = at_most((block.cpu_used[i] + cpu) / block.cpu[i], 1.0);
    let b = at_most((block.memory_used[i] + memory) / block.memory[i], 1.0);
    let std = (a - b).abs() * 0.5;
    whole((1.0 - std) * 100.0)
}

#[inline(always)]
fn level<const MOST: bool>(capacity: f64, percent: f64, requested: f64) -> i32 {
    let part = if MOST { at_most(requested, capacity) } else { at_least_0(capacity - requested) };
    whole(part * percent + NUDGE)
}

/// Keeps products that should be whole numbers from falling below them, and is too small to lift others to the next one.
///
/// `part * (100 / capacity)` has two roundings of 2^-53 each, so that below 100 it is off by less than 2^-45, and the sum with
/// the nudge by another 2^-47. A quotient that is not whole is at least 1 / capacity, which is 2^-43 (`EVEN_MAX`), below the
/// next whole number: the nudge of 2^-44 lies between the two.
const NUDGE: f64 = f64::EPSILON * 256.0;

/// The kernel for one node that is not odd: its lane, 0 if the requests do not fit.
#[inline(always)]
fn lane_of<const MOST: bool, const PLAIN: bool, const N: usize>(
    block: &Columns<N>,
    i: usize,
    tie: u32,
    p: &Params,
) -> u32 {
    // Not `&&`: branches would keep this from becoming vector code.
    #[expect(clippy::needless_bitwise_bool, reason = "see above")]
    let fits = (block.cpu_used[i] + p.need_cpu <= block.cpu[i])
        & (block.memory_used[i] + p.need_memory <= block.memory[i])
        & (block.places[i] >= 1);
    let a = level::<MOST>(block.cpu[i], block.cpu_percent[i], block.cpu_assumed[i] + p.cpu_assumed);
    let b = level::<MOST>(
        block.memory[i],
        block.memory_percent[i],
        block.memory_assumed[i] + p.memory_assumed,
    );
    let with = balance_pair(block, i, p.cpu, p.memory);
    let balanced = 50 + ((50 + with - block.balance[i]) >> 1);
    let score = if PLAIN {
        ((a + b) >> 1) + balanced
    } else {
        weighted(a, b, p) * p.fit_weight + balanced * p.balanced_weight
    };
    #[expect(clippy::cast_sign_loss, reason = "scores are not negative")]
    let lane = (((score + 1) as u32) << TIE_BITS) | (TIE_MAX - tie);
    if fits { lane } else { 0 }
}

/// `(a * weight + b * weight) / weights` in whole numbers. The sum is at most 20,000, exact as a float; a quotient that is not
/// whole is 1/200 away from the next whole number at least, and the nudge keeps whole ones from falling below themselves.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "at most 20,000")]
fn weighted(a: i32, b: i32, p: &Params) -> i32 {
    let sum = (a * p.weight_cpu + b * p.weight_memory) as f32;
    whole(f64::from(sum * p.weight_inverse + 0.001).min(100.0))
}

/// What a pass over a block finds besides the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The largest lane.
    pub(crate) best: u32,
    /// Lanes that are not 0.
    pub(crate) fitting: u32,
}

#[inline(always)]
fn block_lanes(
    block: &Block,
    ties: &[u32; BLOCK],
    p: &Params,
    lanes: &mut [u32; BLOCK],
) -> Summary {
    some_lanes::<BLOCK>(block, ties, p, lanes);
    summarise(lanes)
}

#[inline(always)]
fn some_lanes<const N: usize>(
    columns: &Columns<N>,
    ties: &[u32; N],
    p: &Params,
    lanes: &mut [u32; N],
) {
    match (p.most, p.plain) {
        (false, true) => all_lanes::<false, true, N>(columns, ties, p, lanes),
        (false, false) => all_lanes::<false, false, N>(columns, ties, p, lanes),
        (true, true) => all_lanes::<true, true, N>(columns, ties, p, lanes),
        (true, false) => all_lanes::<true, false, N>(columns, ties, p, lanes),
    }
}

/// So many nodes are computed at once when they lie apart: a vector register of AVX-512.
const GATHER: usize = 8;

/// The lanes of nodes that lie apart.
#[inline(always)]
fn gather_lanes(blocks: &[Block], ties: &[u32], slots: &[Slot], p: &Params, lanes: &mut [u32]) {
    for (slots, lanes) in slots.chunks(GATHER).zip(lanes.chunks_mut(GATHER)) {
        let mut columns = Columns::<GATHER>::EMPTY;
        let mut tie = [0; GATHER];
        for (to, slot) in slots.iter().enumerate() {
            let (block, from) = split(*slot);
            columns.copy(to, &blocks[block], from);
            tie[to] = ties[*slot as usize];
        }
        let mut found = [0; GATHER];
        some_lanes::<GATHER>(&columns, &tie, p, &mut found);
        lanes.copy_from_slice(&found[..lanes.len()]);
    }
}

#[inline(always)]
fn all_lanes<const MOST: bool, const PLAIN: bool, const N: usize>(
    block: &Columns<N>,
    ties: &[u32; N],
    p: &Params,
    lanes: &mut [u32; N],
) {
    for i in 0..N {
        lanes[i] = lane_of::<MOST, PLAIN, N>(block, i, ties[i], p);
    }
}

/// The largest lane, and how many are not 0.
#[inline(always)]
fn summarise(lanes: &[u32; BLOCK]) -> Summary {
    let (mut best, mut fitting) = (0, 0);
    for lane in lanes {
        best = best.max(*lane);
        fitting += u32::from(*lane != 0);
    }
    Summary { best, fitting }
}

#[inline(always)]
fn largest_of(lanes: &[u32]) -> u32 {
    lanes.iter().copied().fold(0, u32::max)
}

dispatch! {
    fn block_lanes_fast(block: &Block, ties: &[u32; BLOCK], params: &Params, lanes: &mut [u32; BLOCK]) -> Summary = block_lanes;
}
dispatch! {
    fn gather_lanes_fast(blocks: &[Block], ties: &[u32], slots: &[Slot], params: &Params, lanes: &mut [u32]) = gather_lanes;
}
dispatch! {
    /// The largest lane of a block, and how many are not 0.
    pub(crate) fn summary(lanes: &[u32; BLOCK]) -> Summary = summarise;
}
dispatch! {
    /// The largest of some lanes.
    pub(crate) fn largest(lanes: &[u32]) -> u32 = largest_of;
}

/// Everything about one node that the local rules read.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) block: &'a Block,
    pub(crate) lane: usize,
    pub(crate) entry: &'a NodeEntry,
}

impl At<'_> {
    fn allocatable(&self) -> &Resources {
        &self.entry.node.as_ref().expect("asked only of nodes that are there").allocatable
    }

    /// Capacity and plain usage of a resource.
    #[expect(clippy::cast_possible_truncation, reason = "columns hold whole numbers below 2^53")]
    fn amounts(self, resource: Resource) -> (i64, i64) {
        match resource {
            Resource::Cpu => (self.allocatable().cpu, self.block.cpu_used[self.lane] as i64),
            Resource::Memory => {
                (self.allocatable().memory, self.block.memory_used[self.lane] as i64)
            }
            Resource::Ephemeral => (self.allocatable().ephemeral, self.entry.ephemeral_used),
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
    let places = i64::from(at.block.places[at.lane]) - delta.pods;
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
    let odd = at.block.odd >> at.lane & 1 != 0;
    if rules.kernel.is_none() || odd {
        return general(at, tie, rules, shape);
    }
    let (block, i, p) = (at.block, at.lane, &shape.params);
    let lane = match (p.most, p.plain) {
        (false, true) => lane_of::<false, true, BLOCK>(block, i, tie, p),
        (false, false) => lane_of::<false, false, BLOCK>(block, i, tie, p),
        (true, true) => lane_of::<true, true, BLOCK>(block, i, tie, p),
        (true, false) => lane_of::<true, false, BLOCK>(block, i, tie, p),
    };
    if lane != 0 && shape.special && !extra_fits(at, shape) { 0 } else { lane }
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

/// The lanes of nodes that lie apart, as [`single`] gives them one by one.
pub(crate) fn gather(
    vector: crate::vector::Vector,
    nodes: &Nodes,
    rules: &LocalRules,
    shape: &Shape,
    slots: &[Slot],
    lanes: &mut [u32],
) {
    let at = |slot: Slot| {
        let (block, lane) = split(slot);
        At { block: &nodes.blocks[block], lane, entry: nodes.entry(slot) }
    };
    if rules.kernel.is_none() {
        for (slot, lane) in slots.iter().zip(lanes) {
            *lane = general(at(*slot), nodes.tie[*slot as usize], rules, shape);
        }
        return;
    }
    gather_lanes_fast(vector, &nodes.blocks, &nodes.tie, slots, &shape.params, lanes);
    for (slot, lane) in slots.iter().zip(lanes) {
        let at = at(*slot);
        if at.block.odd >> at.lane & 1 != 0 {
            *lane = general(at, nodes.tie[*slot as usize], rules, shape);
        } else if shape.special && *lane != 0 && !extra_fits(at, shape) {
            *lane = 0;
        }
    }
}

/// The lanes of changed nodes as they were, as [`single`] gives them one by one; `false` if it takes more than the kernel.
pub(crate) fn past_lanes(
    vector: crate::vector::Vector,
    rules: &LocalRules,
    shape: &Shape,
    past: &Past,
    lanes: &mut [u32; BLOCK],
) -> bool {
    let known = rules.kernel.is_some() && !shape.special && past.block.odd == 0;
    if known {
        block_lanes_fast(vector, &past.block, &past.ties, &shape.params, lanes);
    }
    known
}

/// The lanes of a whole block, as [`single`] gives them one by one.
pub(crate) fn whole_block<'a>(
    vector: crate::vector::Vector,
    rules: &LocalRules,
    shape: &Shape,
    (block, ties): (&'a Block, &[u32; BLOCK]),
    entry: impl Fn(usize) -> &'a NodeEntry,
    lanes: &mut [u32; BLOCK],
) -> Summary {
    let at = |lane: usize| At { block, lane, entry: entry(lane) };
    if rules.kernel.is_none() {
        for i in 0..BLOCK {
            lanes[i] = general(at(i), ties[i], rules, shape);
        }
        return summary(vector, lanes);
    }
    let found = block_lanes_fast(vector, block, ties, &shape.params, lanes);
    if block.odd == 0 && !shape.special {
        return found;
    }
    for i in 0..BLOCK {
        if block.odd >> i & 1 != 0 {
            lanes[i] = general(at(i), ties[i], rules, shape);
        } else if shape.special && lanes[i] != 0 && !extra_fits(at(i), shape) {
            lanes[i] = 0;
        }
    }
    summary(vector, lanes)
}
