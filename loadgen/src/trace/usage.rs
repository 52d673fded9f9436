// SPDX-License-Identifier: Apache-2.0
//! How full the cluster is over the time of the trace.

use super::read::GPU;
use crate::report::count;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::requests::Resources;

/// Amounts of what is told: milli-CPU, bytes of memory, thousandths of GPUs.
pub type Amounts = [i64; 3];

/// Names of the amounts.
pub const NAMES: [&str; 3] = ["cpu", "memory", "gpu"];

/// The amounts among resources.
pub fn amounts(resources: &Resources) -> Amounts {
    [resources.cpu, resources.memory, resources.scalar(GPU)]
}

/// The state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Seconds of the trace.
    pub at: u64,
    /// What is taken.
    pub taken: Amounts,
    /// What the pods that there are ask for, placed or not.
    pub asked: Amounts,
    /// Pods on nodes.
    pub running: u64,
    /// Pods without a node.
    pub waiting: u64,
}

/// The state over time.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    capacity: Amounts,
    samples: Vec<Sample>,
}

impl Usage {
    /// Of a cluster of these nodes.
    pub fn new(nodes: &[Node]) -> Self {
        let mut capacity = [0; 3];
        for node in nodes {
            add(&mut capacity, amounts(&node.allocatable), 1);
        }
        Self { capacity, samples: Vec::new() }
    }

    /// Adds the state at a moment that is not before the last one.
    pub fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// A share of the cluster in percent; 0 where it has none.
    pub fn percent(&self, amounts: Amounts) -> [f64; 3] {
        let share = |at: usize| {
            let whole = float(self.capacity[at]);
            if whole > 0.0 { float(amounts[at]) * 100.0 / whole } else { 0.0 }
        };
        [share(0), share(1), share(2)]
    }

    /// The state at so many moments, equally far from each other. Between two moments of the trace nothing changes.
    pub fn steps(&self, steps: usize) -> Vec<Sample> {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return Vec::new();
        };
        let span = last.at - first.at;
        let step = |i: usize| {
            let at = first.at + span * i as u64 / steps.saturating_sub(1).max(1) as u64;
            let after = self.samples.partition_point(|sample| sample.at <= at);
            Sample { at, ..self.samples[after.saturating_sub(1)] }
        };
        (0..steps).map(step).collect()
    }

    /// The highest share of each amount, and its mean over time.
    pub fn peak_and_mean(&self) -> ([f64; 3], [f64; 3]) {
        let mut peak = [0_i64; 3];
        let mut sums = [0.0; 3];
        let mut time = 0.0;
        for (sample, next) in self.samples.iter().zip(self.samples.iter().skip(1)) {
            let lasted = count(next.at - sample.at);
            time += lasted;
            for at in 0..3 {
                peak[at] = peak[at].max(sample.taken[at]);
                sums[at] += float(sample.taken[at]) * lasted;
            }
        }
        let mean = |at: usize| {
            let whole = float(self.capacity[at]) * time;
            if whole > 0.0 { sums[at] * 100.0 / whole } else { 0.0 }
        };
        (self.percent(peak), [mean(0), mean(1), mean(2)])
    }
}

/// Adds amounts, or takes them away.
pub fn add(sum: &mut Amounts, amounts: Amounts, sign: i64) {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum += sign * amount;
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums of bytes of clusters: percents need no more")]
fn float(amount: i64) -> f64 {
    amount as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_means_over_time() {
        let mut node = Node::new("n");
        node.allocatable.cpu = 100;
        let mut usage = Usage::new(&[node]);
        for (at, cpu) in [(10, 50), (20, 100), (40, 0)] {
            let taken = [cpu, 0, 0];
            usage.push(Sample { at, taken, asked: taken, running: 1, waiting: 0 });
        }
        let (peak, mean) = usage.peak_and_mean();
        assert_eq!((peak[0], peak[2]), (100.0, 0.0));
        assert!((mean[0] - (50.0 * 10.0 + 100.0 * 20.0) / 30.0).abs() < 1e-9, "{mean:?}");
        let steps: Vec<(u64, i64)> = usage.steps(4).iter().map(|s| (s.at, s.taken[0])).collect();
        assert_eq!(steps, [(10, 50), (20, 100), (30, 100), (40, 0)]);
    }
}
