// SPDX-License-Identifier: Apache-2.0
//! The life of a pod on a simulated node: what comes next and when. No IO and no clock.
//!
//! All containers of a pod live the same life. Times are microseconds since the Unix epoch.

use crate::options::{Failures, Options, Writes};
use crate::pod::{Pod, Restart};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Pauses before containers that fail again are started again, and after how long of running they begin anew; upstream's numbers.
const BACK_OFF: i64 = 10_000_000;
const BACK_OFF_MAX: i64 = 300_000_000;
const BACK_OFF_OVER: i64 = 600_000_000;
/// How long a container runs of which only the exit code is said.
const SHORT: i64 = 1_000_000;
/// The code of a container that was told to end by a signal which it does not know.
const TERMINATED: u8 = 143;

/// How pods live, as far as it is the same for all.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    writes: Writes,
    start_delay: i64,
    start_jitter: i64,
    stop_delay: i64,
    failures: Option<Failures>,
    seed: u64,
}

impl From<&Options> for Plan {
    fn from(options: &Options) -> Self {
        Self {
            writes: options.writes,
            start_delay: micros(options.start_delay),
            start_jitter: micros(options.start_jitter),
            stop_delay: micros(options.stop_delay),
            failures: options.failures,
            seed: options.seed,
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How a run of containers ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) code: u8,
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing was said of it.
    New,
    /// Its containers are being made.
    Accepted,
    /// They run.
    Running { since: i64 },
    /// They failed, and are started again then.
    Waiting { until: i64 },
    /// They ended for good.
    Ended,
    /// It is gone, as far as the node is concerned.
    Gone,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell that the containers are being made.
    Accept,
    /// Tell that they run.
    Start,
    /// Tell that they ended by themselves.
    End { code: u8 },
    /// Tell that they ended as they were told to.
    Stop,
    /// Remove the pod.
    Remove,
}

/// A pod's life so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) stage: Stage,
    /// When the node saw it first, and when it saw that it is to end.
    seen: i64,
    told_to_end: Option<i64>,
    /// When it began, when it first ran, and since when it is ready or is not.
    pub(crate) start: i64,
    pub(crate) first: i64,
    pub(crate) changed: i64,
    pub(crate) restarts: u32,
    /// Failures without a long run in between.
    crashes: u32,
    pub(crate) last: Option<Run>,
    pub(crate) address: Option<Ipv4Addr>,
    chance: u64,
}

impl Life {
    /// Of a pod that the node sees now: one that it had before goes on where its status says it was.
    pub(crate) fn new(pod: &Pod, uid: &str, plan: &Plan, now: i64) -> Self {
        let was = &pod.was;
        let start = was.start.unwrap_or(now);
        let first = was.running.unwrap_or(start);
        let stage = match (was.ended, was.running, was.start) {
            (true, ..) => Stage::Ended,
            (_, Some(since), _) => Stage::Running { since },
            _ if was.backs_off => Stage::Waiting { until: now + BACK_OFF },
            (.., Some(_)) => Stage::Accepted,
            _ => Stage::New,
        };
        let mut life = Self {
            stage,
            seen: now,
            told_to_end: None,
            start,
            first,
            changed: first,
            restarts: was.restarts,
            crashes: was.restarts,
            last: None,
            address: was.address,
            chance: mixed(hash(uid) ^ plan.seed),
        };
        life.see(pod, now);
        life
    }

    /// The pod was changed.
    pub(crate) fn see(&mut self, pod: &Pod, now: i64) {
        if pod.ends_within.is_some() && self.told_to_end.is_none() {
            self.told_to_end = Some(now);
        }
        // By somebody else: who took the pod's node away from it, for example.
        if pod.was.ended && self.stage != Stage::Gone {
            self.stage = Stage::Ended;
        }
    }

    /// What was told while a step was under way is told still.
    pub(crate) fn keep(&mut self, meanwhile: &Self) {
        self.told_to_end = self.told_to_end.or(meanwhile.told_to_end);
    }

    /// What comes next, and when; none if that is not for time to say.
    pub(crate) fn next(&self, pod: &Pod, plan: &Plan) -> Option<(i64, Step)> {
        if self.stage == Stage::Gone {
            return None;
        }
        if let Some(told) = self.told_to_end {
            return Some(match self.stage {
                Stage::Running { .. } => {
                    let grace = i64::from(pod.ends_within.unwrap_or(0)) * 1_000_000;
                    (told + pod.stop.unwrap_or(plan.stop_delay).min(grace), Step::Stop)
                }
                Stage::Waiting { .. } => (told, Step::Stop),
                _ => (told.max(self.changed), Step::Remove),
            });
        }
        match self.stage {
            Stage::New if plan.writes == Writes::Two => Some((self.seen, Step::Accept)),
            Stage::New | Stage::Accepted => {
                let jitter = u64::try_from(plan.start_jitter).unwrap_or(0).saturating_add(1);
                let jitter = i64::try_from(self.chance % jitter).unwrap_or(0);
                Some((self.seen + plan.start_delay + jitter, Step::Start))
            }
            Stage::Running { since } => {
                let (after, code) = self.end(pod, plan)?;
                Some((since.saturating_add(after), Step::End { code }))
            }
            Stage::Waiting { until } => Some((until, Step::Start)),
            Stage::Ended | Stage::Gone => None,
        }
    }

    /// After how long the containers end by themselves, and with which code.
    fn end(&self, pod: &Pod, plan: &Plan) -> Option<(i64, u8)> {
        if pod.duration.is_some() || pod.exit_code.is_some() {
            return Some((pod.duration.unwrap_or(SHORT), pod.exit_code.unwrap_or(0)));
        }
        let failures = plan.failures?;
        let fails = (self.chance >> 32) % 1_000 < u64::from(failures.per_mille);
        fails.then(|| (micros(failures.after), failures.code))
    }

    /// Its life after a step that is done now.
    pub(crate) fn after(&self, step: Step, pod: &Pod, now: i64) -> Self {
        let mut life = self.clone();
        match step {
            Step::Accept => {
                life.stage = Stage::Accepted;
                (life.start, life.changed) = (now, now);
            }
            Step::Start => {
                if self.stage == Stage::New {
                    life.start = now;
                }
                if [Stage::New, Stage::Accepted].contains(&self.stage) {
                    life.first = now;
                }
                life.stage = Stage::Running { since: now };
                life.changed = now;
            }
            Step::End { code } => life.ended(code, pod, now),
            Step::Stop => {
                // What has work to do and is told to end has failed in it; what serves has ended well.
                let code = if pod.duration.is_some() { TERMINATED } else { 0 };
                if let Stage::Running { since } = self.stage {
                    life.last = Some(Run { from: since, to: now, code });
                }
                (life.stage, life.changed) = (Stage::Ended, now);
            }
            Step::Remove => life.stage = Stage::Gone,
        }
        life
    }

    fn ended(&mut self, code: u8, pod: &Pod, now: i64) {
        let from = if let Stage::Running { since } = self.stage { since } else { now };
        self.last = Some(Run { from, to: now, code });
        let again = pod.restart == Restart::Always || pod.restart == Restart::OnFailure && code > 0;
        if !again {
            (self.stage, self.changed) = (Stage::Ended, now);
            return;
        }
        if now - from >= BACK_OFF_OVER {
            self.crashes = 0;
        }
        self.restarts += 1;
        self.crashes += 1;
        if self.crashes == 1 {
            // The first time it is not waited.
            self.stage = Stage::Running { since: now };
            return;
        }
        let doubled = BACK_OFF.saturating_mul(1 << (self.crashes - 2).min(10));
        self.stage = Stage::Waiting { until: now + doubled.min(BACK_OFF_MAX) };
        self.changed = now;
    }

    /// It waits to be started again, which has not happened yet: how often it was is one less.
    pub(crate) fn shown_restarts(&self) -> u32 {
        match self.stage {
            Stage::Waiting { .. } => self.restarts.saturating_sub(1),
            _ => self.restarts,
        }
    }

    /// Whether its containers run.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    /// Whether one of them has failed, in the end.
    pub(crate) fn failed(&self) -> bool {
        self.last.is_some_and(|run| run.code > 0)
    }
}

/// FNV-1a.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The last step of splitmix64 (Steele et al. 2014).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
