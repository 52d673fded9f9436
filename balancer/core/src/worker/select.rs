// SPDX-License-Identifier: Apache-2.0
//! Choosing a backend. Nothing here allocates.
//!
//! Tiers are gone through from near to far: the first that has a usable backend gives it. A backend is usable if active checks
//! say nothing against it, it is not ejected, it is below its limits, and it was not tried for this flow before. If no tier has
//! one, health and ejections are set aside (panic: when everything looks broken the checks are the likelier fault, and a try is
//! better than none); limits never are.

use super::Worker;
use super::state::{State, States};
use super::ticket::Refusal;
use crate::hash::{flow_hash, source_hash, stable_pair};
use crate::maglev;
use crate::model::{Algorithm, HashKey, TrafficPolicy};
use crate::random::Random;
use crate::ring;
use crate::table::{Backend, BackendId, Frontend, Hashing, Pool, Tier, Via};
use core::net::SocketAddr;

/// A flow that wants a backend.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The kind of address by which it came, as the lookup said.
    pub via: Via,
    /// It comes from this node or from a pod.
    pub inside: bool,
    /// The client.
    pub source: SocketAddr,
    /// Nanoseconds.
    pub now: u64,
    /// Taken if it may serve and is usable: what [`crate::Affinity`] says.
    pub prefer: Option<Prefer>,
    /// Those that failed for this flow already.
    pub tried: &'a [BackendId],
}

/// A backend that a flow should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefer {
    /// Identity.
    pub backend: BackendId,
    /// Place in the frontend's `backends` when it was chosen: looked at first.
    pub position: u32,
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Place in the frontend's `backends`.
    pub position: u32,
    /// Identity.
    pub backend: BackendId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Draws of two before all are looked at: with half of the backends unusable, four miss once in three hundred times.
const DRAWS: u32 = 4;

/// Slots of Maglev's table that are tried before all are looked at.
const PROBES: u64 = 16;

impl Worker {
    /// Chooses a backend, and counts nothing.
    ///
    /// # Errors
    /// Why there is none.
    #[inline]
    pub fn pick(&mut self, frontend: &Frontend, request: &Request<'_>) -> Result<Pick, Refusal> {
        if !frontend.admits(request.via, request.source.ip()) {
            return Err(Refusal::Source);
        }
        let pool = frontend.pool(request.via, request.inside);
        if pool.tiers.is_empty() {
            return Err(empty(frontend, request));
        }
        let position = self.preferred(frontend, pool, request);
        let position = position.or_else(|| {
            let near =
                pool.tiers.iter().find_map(|tier| self.choose(frontend, tier, request, false));
            near.or_else(|| self.choose(frontend, pool.tiers.last()?, request, true))
        });
        let position = position.ok_or_else(|| {
            let untried = |at: &u32| !request.tried.contains(&frontend.backends[*at as usize].id);
            let any = pool.members().iter().any(untried);
            if any { Refusal::EndpointsFull } else { Refusal::AllTried }
        })?;
        let backend = &frontend.backends[position as usize];
        Ok(Pick { position, backend: backend.id, address: backend.address })
    }

    /// The backend that the request prefers, if it may serve.
    fn preferred(&self, frontend: &Frontend, pool: &Pool, request: &Request<'_>) -> Option<u32> {
        let prefer = request.prefer?;
        let position = frontend.position(prefer.backend, prefer.position)?;
        let view = View { frontend, states: &self.states, request, panic: false };
        let member = pool.members().binary_search(&position).is_ok();
        (member && view.usable(position)).then_some(position)
    }

    /// A usable one of a tier.
    fn choose(
        &mut self,
        frontend: &Frontend,
        tier: &Tier,
        request: &Request<'_>,
        panic: bool,
    ) -> Option<u32> {
        let members = &*tier.members;
        let view = View { frontend, states: &self.states, request, panic };
        match frontend.settings.algorithm {
            Algorithm::PeakEwma => {
                let mean = self.frontends.get(frontend.id).mean.get();
                view.two_choices(tier, &mut self.random, |at| view.latency(at, mean))
            }
            Algorithm::PowerOfTwo => view.two_choices(tier, &mut self.random, |_| 1),
            Algorithm::LeastConnections => view.least(tier, &mut self.random),
            Algorithm::RoundRobin => {
                let cursor = &mut self.frontends.of(frontend.id).cursor;
                view.next(members, cursor, &mut self.random)
            }
            Algorithm::SmoothWeighted => {
                let usable =
                    |states: &States, at| View { frontend, states, request, panic }.usable(at);
                smooth(frontend, members, &mut self.states, request.now, usable)
            }
            Algorithm::Maglev(key) => view.maglev(tier, hash(key, request.source)),
            Algorithm::RingHash(key) => view.ring(tier, hash(key, request.source)),
            Algorithm::Random => view.any(members, &mut self.random),
        }
    }
}

/// Why an empty pool is empty: kube-proxy refuses connections where there is no endpoint at all, and drops them where only this
/// node has none.
fn empty(frontend: &Frontend, request: &Request<'_>) -> Refusal {
    let local = match (request.via, request.inside) {
        (Via::Cluster, _) => frontend.settings.internal_policy == TrafficPolicy::Local,
        (_, inside) => !inside && frontend.settings.external_policy == TrafficPolicy::Local,
    };
    let serves = |backend: &Backend| {
        backend.is_ready() || (backend.is_serving() && backend.is_terminating())
    };
    if local && frontend.backends.iter().any(serves) {
        Refusal::NoLocalEndpoint
    } else {
        Refusal::NoEndpoint
    }
}

fn hash(key: HashKey, source: SocketAddr) -> u64 {
    match key {
        HashKey::Source => source_hash(source.ip()),
        HashKey::Flow => flow_hash(source),
    }
}

/// The weight that counts now, in 1,024ths: less for a backend that starts slowly.
#[inline]
fn weight(frontend: &Frontend, backend: &Backend, now: u64) -> u64 {
    let weight = u64::from(backend.weight) << 10;
    let Some(slow) = frontend.settings.slow_start else { return weight };
    let age = now.saturating_sub(backend.since_ns);
    if age >= slow.window_ns {
        return weight;
    }
    let grown = u128::from(weight) * u128::from(age) / u128::from(slow.window_ns.max(1));
    let least = weight * u64::from(slow.percent_min) / 100;
    u64::try_from(grown).unwrap_or(weight).max(least).max(1)
}

/// The backends of a frontend as a request sees them.
#[derive(Clone, Copy)]
struct View<'a> {
    frontend: &'a Frontend,
    states: &'a States,
    request: &'a Request<'a>,
    /// Health and ejections are set aside.
    panic: bool,
}

impl View<'_> {
    #[inline]
    fn backend(&self, at: u32) -> &Backend {
        &self.frontend.backends[at as usize]
    }

    #[inline]
    fn state(&self, at: u32) -> &State {
        self.states.get(self.backend(at).id)
    }

    #[inline]
    fn usable(&self, at: u32) -> bool {
        let backend = self.backend(at);
        let sound = || {
            backend.is_healthy() && self.states.get(backend.id).ejected_until <= self.request.now
        };
        (self.panic || sound()) && !self.full(backend) && !self.request.tried.contains(&backend.id)
    }

    #[inline]
    fn full(&self, backend: &Backend) -> bool {
        let limits = &self.frontend.settings.limits;
        let most = limits.connections_per_endpoint_max;
        most.is_some_and(|most| backend.shared.connections() >= most)
            || limits
                .rate_per_endpoint
                .is_some_and(|rate| !backend.shared.has_token(rate, self.request.now))
    }

    #[inline]
    fn latency(&self, at: u32, mean: u64) -> u64 {
        self.state(at).latency.estimate(mean, self.request.now)
    }

    #[inline]
    fn weight(&self, at: u32) -> u64 {
        weight(self.frontend, self.backend(at), self.request.now)
    }

    /// Whether `a` is less loaded than `b`, where a flow takes `cost`: (flows + 1) x cost / weight, multiplied out.
    #[inline]
    fn better(&self, a: u32, b: u32, cost: impl Fn(u32) -> u64) -> bool {
        let load =
            |at: u32| u128::from(u64::from(self.state(at).active) + 1) * u128::from(cost(at));
        load(a) * u128::from(self.weight(b)) < load(b) * u128::from(self.weight(a))
    }

    /// The better of two random ones.
    #[inline]
    fn two_choices(
        &self,
        tier: &Tier,
        random: &mut Random,
        cost: impl Fn(u32) -> u64 + Copy,
    ) -> Option<u32> {
        let members = &*tier.members;
        if let [only] = members {
            return Some(*only).filter(|at| self.usable(*at));
        }
        for _ in 0..DRAWS {
            let (a, b) = tier.draw(random);
            if self.usable(a) && self.usable(b) {
                return Some(if self.better(b, a, cost) { b } else { a });
            }
        }
        let mut usable = from_anywhere(members, random).filter(|at| self.usable(*at));
        let first = usable.next()?;
        let second = usable.next().unwrap_or(first);
        Some(if self.better(second, first, cost) { second } else { first })
    }

    /// The least loaded of all; of equal ones any.
    fn least(&self, tier: &Tier, random: &mut Random) -> Option<u32> {
        let mut usable = from_anywhere(&tier.members, random).filter(|at| self.usable(*at));
        if tier.weights.is_some() || self.frontend.settings.slow_start.is_some() {
            return usable.reduce(|best, at| if self.better(at, best, |_| 1) { at } else { best });
        }
        // Where all weigh alike connections alone tell, and none has less than one without any.
        let (mut best, mut fewest) = (usable.next()?, u32::MAX);
        for at in core::iter::once(best).chain(usable) {
            let active = self.state(at).active;
            if active < fewest {
                (best, fewest) = (at, active);
            }
            if fewest == 0 {
                break;
            }
        }
        Some(best)
    }

    /// The next one. One that starts slowly gives its turn away with the probability of what it lacks.
    fn next(&self, members: &[u32], cursor: &mut u32, random: &mut Random) -> Option<u32> {
        let count = u32::try_from(members.len()).ok()?;
        let mut passed = None;
        for _ in 0..count {
            let turn = *cursor % count;
            *cursor = turn + 1;
            let at = members[turn as usize];
            if !self.usable(at) {
                continue;
            }
            let whole = self.backend(at).weight;
            let now = u32::try_from(self.weight(at) >> 10).unwrap_or(whole);
            if now >= whole
                || random.below(whole << 10) < u32::try_from(self.weight(at)).unwrap_or(0)
            {
                return Some(at);
            }
            passed = passed.or(Some(at));
        }
        passed
    }

    /// Any.
    fn any(&self, members: &[u32], random: &mut Random) -> Option<u32> {
        let count = u32::try_from(members.len()).ok()?;
        let starts = |at: u32, random: &mut Random| {
            let whole = u64::from(self.backend(at).weight) << 10;
            let now = self.weight(at);
            now == whole || ((random.next_u64() >> 32) * whole) >> 32 < now
        };
        for _ in 0..2 * DRAWS {
            let at = members[random.below(count) as usize];
            if self.usable(at) && starts(at, random) {
                return Some(at);
            }
        }
        from_anywhere(members, random).find(|at| self.usable(*at))
    }

    /// The backend of the hash's slot; if it is not usable, those of slots that follow from the hash: flows of other backends
    /// stay where they are.
    fn maglev(&self, tier: &Tier, hash: u64) -> Option<u32> {
        let Hashing::Maglev(slots) = &tier.hashing else { return None };
        let member = |slot: usize| {
            let at = *tier.members.get(slots[slot] as usize)?;
            self.usable(at).then_some(at)
        };
        let first = maglev::slot(hash, slots.len());
        member(first)
            .or_else(|| {
                let mut probes = (1..PROBES).map(|probe| stable_pair(hash, probe));
                probes.find_map(|hash| member(maglev::slot(hash, slots.len())))
            })
            .or_else(|| {
                let (before, from) = tier.members.split_at(first % tier.members.len());
                from.iter().chain(before).copied().find(|at| self.usable(*at))
            })
    }

    /// The backend of the next point; if it is not usable, the next one on the ring that is.
    fn ring(&self, tier: &Tier, hash: u64) -> Option<u32> {
        let Hashing::Ring(points) = &tier.hashing else { return None };
        let (before, from) = points.split_at(ring::start(points, hash));
        let members = from.iter().chain(before).map(|(_, member)| *member);
        let mut members = members.filter_map(|member| tier.members.get(member as usize).copied());
        members.find(|at| self.usable(*at))
    }
}

/// All members, beginning anywhere.
fn from_anywhere<'m>(
    members: &'m [u32],
    random: &mut Random,
) -> impl Iterator<Item = u32> + use<'m> {
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let (before, from) = members.split_at(random.below(count) as usize);
    from.iter().chain(before).copied()
}

/// Smooth weighted round robin, as nginx has it: everybody gets its weight, who is owed most is taken and pays for all.
fn smooth(
    frontend: &Frontend,
    members: &[u32],
    states: &mut States,
    now: u64,
    usable: impl Fn(&States, u32) -> bool,
) -> Option<u32> {
    let mut total = 0_i64;
    let mut best: Option<(i64, u32)> = None;
    for &at in members {
        if !usable(states, at) {
            continue;
        }
        let backend = &frontend.backends[at as usize];
        let weight = i64::try_from(weight(frontend, backend, now)).unwrap_or(i64::MAX >> 32);
        let state = states.of(backend.id);
        state.owed += weight;
        total += weight;
        if best.is_none_or(|(owed, _)| state.owed > owed) {
            best = Some((state.owed, at));
        }
    }
    let (_, at) = best?;
    states.of(frontend.backends[at as usize].id).owed -= total;
    Some(at)
}
