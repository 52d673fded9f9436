// SPDX-License-Identifier: Apache-2.0
//! What is measured while a load runs: latencies, and answers over time.

use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Longest latency that is told apart from longer ones.
const LONGEST: Duration = Duration::from_mins(10);

/// Width of a step of the timeline.
pub const STEP: Duration = Duration::from_millis(100);

/// Latencies and answers of one phase.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Nanoseconds, to three digits.
    latencies: Histogram<u64>,
    /// Answers per [`STEP`].
    timeline: Vec<u64>,
    began: Instant,
    ended: Instant,
}

impl Measure {
    /// Begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self { latencies: histogram(), timeline: Vec::new(), began: now, ended: now }
    }

    /// `count` pods that were due at `due` were answered at `now`.
    #[inline]
    pub fn answered(&mut self, now: Instant, due: Instant, count: u64) {
        let latency = now.saturating_duration_since(due).as_nanos();
        self.latencies.saturating_record_n(u64::try_from(latency).unwrap_or(u64::MAX), count);
        let since = now.saturating_duration_since(self.began).as_nanos();
        let step = usize::try_from(since / STEP.as_nanos()).unwrap_or(usize::MAX);
        // A step that is longer ago than any run lasts is a clock gone wrong: not worth a gigabyte.
        if step >= self.timeline.len() && step < 1 << 20 {
            self.timeline.resize(step + 1, 0);
        }
        if let Some(answers) = self.timeline.get_mut(step) {
            *answers += count;
        }
        self.ended = now;
    }

    /// Number of answers.
    pub fn count(&self) -> u64 {
        self.latencies.len()
    }

    /// From the beginning to the last answer.
    pub fn elapsed(&self) -> Duration {
        self.ended - self.began
    }

    /// `count` per second of the time from the beginning to the last answer.
    pub fn per_second(&self, count: u64) -> f64 {
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 { crate::report::count(count) / seconds } else { 0.0 }
    }

    /// The latency below which `share` (0 to 1) of the answers stayed, in microseconds.
    pub fn latency_us(&self, share: f64) -> f64 {
        crate::report::count(self.latencies.value_at_quantile(share)) / 1_000.0
    }

    /// Points of the curve of latencies: (share of answers, microseconds), denser towards the slowest.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let shares = (0..=50).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0));
        // Beyond the last answer the curve is flat.
        let answers = crate::report::count(self.count());
        shares
            .take_while(|share| (1.0 - share) * answers >= 1.0)
            .map(|share| (share, self.latency_us(share)))
            .collect()
    }

    /// Answers per second over time: (seconds since the beginning, answers per second). The last, unfinished step is left out.
    pub fn timeline(&self) -> Vec<(f64, f64)> {
        let whole = self.timeline.len().saturating_sub(1);
        let step = STEP.as_secs_f64();
        let steps = self.timeline.iter().take(whole).enumerate();
        let point = |(at, answers): (usize, &u64)| {
            (crate::report::count(at as u64) * step, crate::report::count(*answers) / step)
        };
        steps.map(point).collect()
    }
}

fn histogram() -> Histogram<u64> {
    let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_max(longest, 3).expect("three digits are possible")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_count_from_when_they_were_due() {
        let began = Instant::now();
        let mut measure = Measure::new(began);
        let at = |ms| began + Duration::from_millis(ms);
        measure.answered(at(1_000), at(999), 99);
        measure.answered(at(2_000), at(1_000), 1);
        assert_eq!((measure.count(), measure.elapsed()), (100, Duration::from_secs(2)));
        assert!((990.0..1_010.0).contains(&measure.latency_us(0.5)), "{}", measure.latency_us(0.5));
        assert!(measure.latency_us(1.0) > 990_000.0);
        assert!((measure.per_second(100) - 50.0).abs() < 1e-9);
        let timeline = measure.timeline();
        assert_eq!(timeline.len(), 20);
        assert!((timeline[10].1 - 990.0).abs() < 1e-6, "{:?}", timeline[10]);
    }
}
