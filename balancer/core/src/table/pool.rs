// SPDX-License-Identifier: Apache-2.0
//! The backends that may serve under one traffic policy, nearest first.

use crate::hash::stable;
use crate::maglev;
use crate::model::{Algorithm, Distribution, Settings};
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
        Self { members: members.into_boxed_slice(), hashing }
    }
}
