// SPDX-License-Identifier: Apache-2.0
//! The backends that may serve under one traffic policy, nearest first.

use crate::hash::stable;
use crate::maglev;
use crate::model::{Algorithm, Distribution, Settings};
use crate::random::Random;
use crate::ring::{self, Point};
use crate::table::{Backend, Flags};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The backends that may serve.
#[derive(Debug)]
pub struct Pool {
    /// Nearest first. Each has all of the one before and more; the last has all. Empty if nobody may serve.
    pub tiers: Box<[Tier]>,
    /// Nobody is ready: these are terminating and still serve (KEP-1669).
    pub is_terminating: bool,
}

/// Backends that are equally near, or nearer.
#[derive(Debug)]
pub struct Tier {
    /// Places in the frontend's `backends`, in order.
    pub members: Box<[u32]>,
    /// Where weights differ: of each member, its weight and those of all before it.
    pub(crate) weights: Option<Box<[u64]>>,
    pub(crate) hashing: Hashing,
}

/// What a hashing algorithm looks its choice up in. It has places in `members`.
#[derive(Debug)]
pub(crate) enum Hashing {
    None,
    Maglev(Box<[u32]>),
    Ring(Box<[Point]>),
}

impl Pool {
    pub(crate) const EMPTY: fn() -> Self = || Self { tiers: Box::new([]), is_terminating: false };

    /// The pool of those of `backends` that `may` serve.
    ///
    /// As CategorizeEndpoints of kube-proxy: the ready ones; if there are none, those that are terminating and still serve.
    pub(crate) fn new(
        backends: &[Backend],
        settings: &Settings,
        may: impl Fn(&Backend) -> bool,
    ) -> Self {
        let collect = |takes: &dyn Fn(&Backend) -> bool| -> Vec<u32> {
            let all = (0..).zip(backends).filter(|(_, backend)| may(backend) && takes(backend));
            all.map(|(at, _)| at).collect()
        };
        let mut members = collect(&Backend::is_ready);
        let is_terminating = members.is_empty();
        if is_terminating {
            members = collect(&|backend| backend.is_serving() && backend.is_terminating());
        }
        if members.is_empty() {
            return Self::EMPTY();
        }
        let mut tiers: Vec<Vec<u32>> = Vec::new();
        for flag in preferred(settings.distribution) {
            let near = |at: &u32| backends[*at as usize].flags.has(*flag);
            let tier: Vec<u32> = members.iter().copied().filter(near).collect();
            let before = tiers.last().map_or(0, Vec::len);
            if tier.len() > before && tier.len() < members.len() {
                tiers.push(tier);
            }
        }
        tiers.push(members);
        let tiers = tiers.into_iter().map(|members| Tier::new(members, backends, settings));
        Self { tiers: tiers.collect(), is_terminating }
    }

    /// All that may serve; empty if nobody may.
    #[must_use]
    pub fn members(&self) -> &[u32] {
        self.tiers.last().map(|tier| &*tier.members).unwrap_or_default()
    }
}

fn preferred(distribution: Distribution) -> &'static [Flags] {
    match distribution {
        Distribution::Any => &[],
        Distribution::PreferSameZone => &[Flags::IN_ZONE],
        Distribution::PreferSameNode => &[Flags::LOCAL, Flags::IN_ZONE],
    }
}

impl Tier {
    fn new(members: Vec<u32>, backends: &[Backend], settings: &Settings) -> Self {
        // The name alone is hashed: a pod that comes back under its name, as those of a StatefulSet do, keeps its clients.
        let weighed = || -> Vec<(u64, u32)> {
            let of = |at: &u32| {
                let backend = &backends[*at as usize];
                (stable(backend.name().as_bytes(), 0), backend.weight)
            };
            members.iter().map(of).collect()
        };
        let hashing = match settings.algorithm {
            Algorithm::Maglev(_) => Hashing::Maglev(maglev::table(&weighed())),
            Algorithm::RingHash(_) => Hashing::Ring(ring::ring(&weighed())),
            _ => Hashing::None,
        };
        let weight = |at: &u32| backends[*at as usize].weight;
        let uneven = members.windows(2).any(|two| weight(&two[0]) != weight(&two[1]));
        let weights = uneven.then(|| {
            let mut sum = 0;
            let add = |at| {
                sum += u64::from(weight(at));
                sum
            };
            members.iter().map(add).collect()
        });
        Self { members: members.into_boxed_slice(), weights, hashing }
    }

    /// Two members drawn at random: two different ones where all weigh alike; else each as likely as its weight says, maybe the
    /// same one twice. Weights that only entered the comparison would not tell: one of `n` is in no more than 2 / n of all pairs.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> (u32, u32) {
        let Some(weights) = &self.weights else {
            let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            let (first, second) = random.pair(count);
            return (self.members[first as usize], self.members[second as usize]);
        };
        let sum = weights.last().copied().unwrap_or(1);
        let mut one = || {
            let at = (u128::from(random.next_u64()) * u128::from(sum)) >> 64;
            let member = weights.partition_point(|upto| u128::from(*upto) <= at);
            self.members[member.min(self.members.len() - 1)]
        };
        (one(), one())
    }
}
