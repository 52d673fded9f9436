// SPDX-License-Identifier: Apache-2.0
//! What a row found: values of each round, ours and those it is held against.

use crate::balance::campaign::median;

/// Ours, among subjects.
pub const OURS: &str = "berth";

/// One value of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// Whose: `berth`, or what it is held against.
    pub of: &'static str,
    /// Which property.
    pub metric: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// The median of the rounds, the least and the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of values; what is no number does not count.
    pub fn of(values: &[f64]) -> Self {
        let numbers = || values.iter().copied().filter(|value| value.is_finite());
        let (least, most) =
            (numbers().fold(f64::NAN, f64::min), numbers().fold(f64::NAN, f64::max));
        Self { median: median(numbers()), least, most }
    }
}

/// A property over all rounds, ours beside what it is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which property.
    pub metric: &'static str,
    /// Of what.
    pub unit: &'static str,
    /// Ours.
    pub ours: Spread,
    /// Others', by name, and ours as a multiple of it: the median of the rounds' multiples.
    pub others: Vec<(&'static str, Spread, Spread)>,
}

/// All that a row found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The values of each round.
    pub rounds: Vec<Vec<Value>>,
    /// What is to be told beside.
    pub notes: Vec<String>,
}

impl Found {
    /// A round's values of one subject.
    pub fn add(
        &mut self,
        round: usize,
        of: &'static str,
        values: &[(&'static str, f64, &'static str)],
    ) {
        if self.rounds.len() <= round {
            self.rounds.resize(round + 1, Vec::new());
        }
        let values = values.iter();
        self.rounds[round].extend(values.map(|&(metric, value, unit)| Value {
            of,
            metric,
            value,
            unit,
        }));
    }

    /// Says something once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Properties in the order in which they were found.
    pub fn lines(&self) -> Vec<Line> {
        let ours = self.rounds.iter().flatten().filter(|value| value.of == OURS);
        let mut metrics: Vec<(&'static str, &'static str)> = Vec::new();
        for value in ours {
            if !metrics.iter().any(|(metric, _)| *metric == value.metric) {
                metrics.push((value.metric, value.unit));
            }
        }
        metrics.into_iter().map(|(metric, unit)| self.line(metric, unit)).collect()
    }

    fn line(&self, metric: &'static str, unit: &'static str) -> Line {
        let mut names: Vec<&'static str> = Vec::new();
        for value in self.rounds.iter().flatten() {
            if value.metric == metric && value.of != OURS && !names.contains(&value.of) {
                names.push(value.of);
            }
        }
        let ours = self.each(OURS, metric);
        let other = |name: &'static str| {
            let theirs = self.each(name, metric);
            let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
            (name, Spread::of(&theirs), Spread::of(&ratios))
        };
        let others = names.into_iter().map(other).collect();
        Line { metric, unit, ours: Spread::of(&ours), others }
    }

    /// A property of a subject in each round; no number where it was not measured.
    fn each(&self, of: &str, metric: &str) -> Vec<f64> {
        let value = |round: &Vec<Value>| {
            let found = round.iter().find(|value| value.of == of && value.metric == metric);
            found.map_or(f64::NAN, |value| value.value)
        };
        self.rounds.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_rounds() {
        let mut found = Found::default();
        for (round, (ours, theirs)) in
            [(10.0, 1.0), (40.0, 2.0), (90.0, 30.0)].into_iter().enumerate()
        {
            found.add(round, "etcd", &[("per_second", theirs, "1/s")]);
            found.add(round, OURS, &[("per_second", ours, "1/s"), ("p50_us", 7.0, "us")]);
        }
        found.add(3, OURS, &[("per_second", 50.0, "1/s")]);
        let lines = found.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].ours, Spread { median: 45.0, least: 10.0, most: 90.0 });
        let (name, theirs, ratio) = lines[0].others[0];
        assert_eq!((name, theirs.median), ("etcd", 2.0));
        assert_eq!(ratio, Spread { median: 10.0, least: 3.0, most: 20.0 });
        assert!(lines[1].others.is_empty());
    }
}
