// SPDX-License-Identifier: Apache-2.0
//! A stretch of load with one shape: filling, warming up, measuring.

use std::time::{Duration, Instant};

/// How the load is shaped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// What each pod's request is part of.
    pub shape: Shape,
    /// Pods a second that are due, whatever became of the ones before; `None`: as many as are answered (closed loop).
    pub rate: Option<f64>,
    /// Whether each pod comes with the release of another.
    pub paired: bool,
    /// When it ends.
    pub until: Until,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// On one `ScheduleStream`.
    Stream {
        /// Pods a message.
        batch: usize,
        /// Pods on their way at most.
        window: usize,
    },
    /// A `Schedule` call for each pod.
    Unary {
        /// Calls on their way at most, in a closed loop.
        in_flight: usize,
        /// Uids in one `Release` call.
        release_batch: usize,
    },
}

impl Shape {
    /// The shape on so many nodes. As many releases as placements are on their way: with more of them than a quarter of the nodes
    /// they would make another cluster, in which hard constraints cannot be met.
    #[must_use]
    pub fn on(self, nodes: usize) -> Self {
        let most = nodes.div_ceil(4).max(1);
        match self {
            Self::Stream { batch, window } => {
                Self::Stream { batch: batch.min(most), window: window.min(most) }
            }
            Self::Unary { in_flight, release_batch } => Self::Unary {
                in_flight: in_flight.min(most),
                release_batch: release_batch.min(most),
            },
        }
    }
}

/// When a phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so many pods.
    Pods(u64),
    /// After this time.
    Time(Duration),
}

/// Which requests are due, and when.
#[derive(Debug, Clone)]
pub struct Agenda {
    began: Instant,
    until: Until,
    /// Time from one pod to the next; `None`: due when there is room.
    interval: Option<Duration>,
    sent: u64,
}

impl Agenda {
    /// Begins now.
    pub fn new(now: Instant, phase: &Phase) -> Self {
        let interval = phase.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        Self { began: now, until: phase.until, interval, sent: 0 }
    }

    /// How many of `batch` pods are to be sent next; 0: the phase is over.
    pub fn next(&self, now: Instant, batch: usize) -> usize {
        match self.until {
            Until::Pods(pods) => {
                let left = pods.saturating_sub(self.sent);
                usize::try_from(left).map_or(batch, |left| left.min(batch))
            }
            // What was due before the end is sent, however late it is.
            Until::Time(time) => match self.due() {
                Some(due) if due < self.began + time => batch,
                None if now < self.began + time => batch,
                _ => 0,
            },
        }
    }

    /// When the next pods are due; `None`: at once.
    pub fn due(&self) -> Option<Instant> {
        let sent = u32::try_from(self.sent).unwrap_or(u32::MAX);
        self.interval.map(|interval| self.began + interval * sent)
    }

    /// So many were sent.
    pub fn sent(&mut self, pods: usize) {
        self.sent += pods as u64;
    }

    /// How far the phase is, of 1,000.
    pub fn progress(&self, now: Instant) -> u64 {
        let permille = match self.until {
            Until::Pods(pods) => u128::from(self.sent) * 1_000 / u128::from(pods.max(1)),
            Until::Time(time) => (now - self.began).as_micros() * 1_000 / time.as_micros().max(1),
        };
        u64::try_from(permille.min(1_000)).unwrap_or(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(rate: Option<f64>, until: Until) -> Phase {
        let shape = Shape::Stream { batch: 8, window: 64 };
        Phase { shape, rate, paired: true, until }
    }

    #[test]
    fn a_closed_loop_is_always_due_until_its_end() {
        let now = Instant::now();
        let mut agenda = Agenda::new(now, &phase(None, Until::Pods(20)));
        let mut batches = Vec::new();
        while agenda.next(now, 8) > 0 {
            assert_eq!(agenda.due(), None);
            batches.push(agenda.next(now, 8));
            agenda.sent(agenda.next(now, 8));
        }
        assert_eq!(batches, [8, 8, 4]);
        let agenda = Agenda::new(now, &phase(None, Until::Time(Duration::from_secs(1))));
        assert_eq!(agenda.next(now + Duration::from_millis(999), 8), 8);
        assert_eq!(agenda.next(now + Duration::from_secs(1), 8), 0);
    }

    #[test]
    fn an_open_loop_sends_all_that_was_due_however_late() {
        let now = Instant::now();
        let time = Until::Time(Duration::from_secs(1));
        let mut agenda = Agenda::new(now, &phase(Some(1_000.0), time));
        let late = now + Duration::from_secs(9);
        let mut sent = 0;
        while agenda.next(late, 1) > 0 {
            assert_eq!(agenda.due(), Some(now + Duration::from_millis(sent)));
            agenda.sent(1);
            sent += 1;
        }
        assert_eq!(sent, 1_000);
    }
}
