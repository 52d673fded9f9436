// SPDX-License-Identifier: Apache-2.0
//! All trials of a run: repetitions of one row are interleaved, so that what drifts on the machine drifts for all alike.

use super::rows::{Metric, Needs, Row};
use super::subject::{Column, Subject};
use super::trial::{Bench, Sample};
use crate::error::Error;
use crate::progress;
use indicatif::ProgressBar;

/// One balancer in one configuration on one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its column.
    pub column: Column,
    /// Its configuration.
    pub variant: String,
    /// What each repetition found out.
    pub samples: Vec<Sample>,
    /// Why it broke off, if it did.
    pub broken: Option<String>,
}

/// A row with all balancers.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The row.
    pub row: Row,
    /// The balancers, in the order of the columns.
    pub cells: Vec<Cell>,
}

/// The middle one of some values; the mean of the two middle ones if their number is even; nothing if there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// What is compared of a sample.
fn value(sample: &Sample, metric: Metric) -> f64 {
    match metric {
        Metric::Rate => sample.per_second,
        // Gigabits of gigabytes.
        Metric::Throughput => sample.per_second * 8.0,
        Metric::P50 => sample.p50_us,
        Metric::P99 => sample.p99_us,
        Metric::Memory => sample.memory,
        Metric::Calls => sample.calls,
        Metric::Held => f64::NAN,
    }
}

impl Cell {
    /// The median of one of the samples' values.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of))
    }

    /// The median of what is compared.
    pub fn value(&self, metric: Metric) -> f64 {
        self.median(|sample| value(sample, metric))
    }

    /// The median of a figure that only this row has.
    pub fn extra(&self, name: &str) -> f64 {
        self.median(|sample| {
            sample.extra.iter().find(|extra| extra.name == name).map_or(f64::NAN, |e| e.value)
        })
    }

    /// The least and the most of what is compared.
    pub fn spread(&self, metric: Metric) -> Option<(f64, f64)> {
        let values = self.samples.iter().map(|sample| value(sample, metric));
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let least = values.iter().copied().reduce(f64::min)?;
        Some((least, values.into_iter().reduce(f64::max)?))
    }

    /// How often something failed.
    pub fn failures(&self) -> u64 {
        self.samples.iter().map(|sample| sample.failures).sum::<u64>()
            + u64::from(self.broken.is_some())
    }

    /// What to call it.
    pub fn name(&self) -> String {
        if self.variant.is_empty() {
            return self.column.name().to_owned();
        }
        format!("{} ({})", self.column, self.variant)
    }

    /// What went wrong, each thing once.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for note in self.samples.iter().flat_map(|sample| &sample.notes).chain(&self.broken) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        notes
    }
}

impl Outcome {
    /// The least of a column's medians, as `of` tells, among the variants that `counts` names.
    pub fn least(
        &self,
        column: Column,
        counts: impl Fn(&str) -> bool,
        of: impl Fn(&Sample) -> f64,
    ) -> Option<f64> {
        let cells = self.cells.iter().filter(|c| c.column == column && counts(&c.variant));
        let values = cells.map(|cell| cell.median(&of)).filter(|value| value.is_finite());
        values.reduce(f64::min)
    }

    /// The best median of a column, as `of` tells, by whether more of it is better.
    fn best(&self, column: Column, more: bool, of: impl Fn(&Cell) -> f64) -> Option<f64> {
        let values = self.cells.iter().filter(|cell| cell.column == column).map(of);
        let values = values.filter(|value| value.is_finite());
        values.reduce(|a, b| if (a > b) == more { a } else { b })
    }

    /// A cell's value as a multiple of the best of a column.
    pub fn ratio(&self, cell: &Cell, metric: Metric, column: Column) -> Option<f64> {
        let best = self.best(column, metric.more_is_better(), |cell| cell.value(metric))?;
        let ratio = cell.value(metric) / best;
        ratio.is_finite().then_some(ratio)
    }

    /// A cell's CPU for an operation as a multiple of the least of a column.
    pub fn cpu_ratio(&self, cell: &Cell, column: Column) -> Option<f64> {
        let cpu = |cell: &Cell| cell.median(|sample| sample.total_cpu_us);
        let ratio = cpu(cell) / self.best(column, false, cpu)?;
        ratio.is_finite().then_some(ratio)
    }

    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.cells.iter().all(|cell| cell.failures() == 0)
    }
}

/// Whether a balancer has what a row needs.
pub fn serves(subject: &dyn Subject, needs: Needs) -> bool {
    match needs {
        Needs::Nothing => true,
        Needs::Changes => subject.changes(),
        Needs::Steering => subject.is_steered(),
        Needs::Processes => subject.has_processes(),
    }
}

/// Runs a row: so many repetitions of each balancer that can serve it, in turn.
pub fn run(
    bench: &mut Bench,
    row: &Row,
    subjects: &[Box<dyn Subject>],
    repetitions: usize,
    bar: &ProgressBar,
) -> Result<Outcome, Error> {
    let able: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let able: Vec<_> = able.into_iter().filter(|s| s.lacks(row.protocol).is_none()).collect();
    let able: Vec<&dyn Subject> = able.into_iter().filter(|s| serves(*s, row.needs)).collect();
    let repetitions = row.times.of(repetitions);
    let cell = |subject: &&dyn Subject| Cell {
        column: subject.column(),
        variant: subject.variant(),
        samples: Vec::new(),
        broken: None,
    };
    let mut cells: Vec<Cell> = able.iter().map(cell).collect();
    for repetition in 0..repetitions {
        for turn in 0..able.len() {
            // Another one first each time: nobody always follows the same neighbour.
            let at = (turn + repetition) % able.len();
            let cell = &mut cells[at];
            let what = format!("{} {}", row.name, cell.name());
            progress::tell(bar, &format!("{what}, {} of {repetitions}", repetition + 1));
            bar.set_message(what);
            if cell.broken.is_none() {
                let seed = (repetition as u64) << 8 | at as u64;
                match bench.trial(able[at], row, seed) {
                    Ok(sample) => cell.samples.push(sample),
                    Err(error) if error.is_about_the_run() => return Err(error),
                    Err(error) => cell.broken = Some(crate::chain(&error)),
                }
            }
            bar.inc(1);
        }
    }
    Ok(Outcome { row: row.clone(), cells })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::rows::{Sizes, all};

    fn cell(column: Column, variant: &str, rates: &[f64]) -> Cell {
        let sample = |rate: &f64| Sample {
            per_second: *rate,
            total_cpu_us: 1e6 / rate,
            p99_us: 1e5 / rate,
            ..Sample::default()
        };
        let samples = rates.iter().map(sample).collect();
        Cell { column, variant: variant.to_owned(), samples, broken: None }
    }

    #[test]
    fn ratios_are_to_the_best_configuration_for_each_figure() {
        let row = all(&Sizes::default()).remove(0);
        let cells = vec![
            cell(Column::Proxy, "", &[90.0, 120.0, 500.0]),
            cell(Column::Haproxy, "1 thread", &[80.0, 80.0, 80.0]),
            cell(Column::Haproxy, "2 threads", &[100.0, 1.0, 100.0]),
        ];
        let outcome = Outcome { row, cells };
        let ours = &outcome.cells[0];
        let near = |value: Option<f64>, want: f64| (value.unwrap() - want).abs() < 1e-9;
        assert!(near(outcome.ratio(ours, Metric::Rate, Column::Haproxy), 1.2));
        assert!(near(outcome.ratio(ours, Metric::P99, Column::Haproxy), 1.0 / 1.2));
        assert!(near(outcome.cpu_ratio(ours, Column::Haproxy), 1.0 / 1.2));
        assert_eq!(outcome.ratio(ours, Metric::Rate, Column::Nft), None);
        assert!(outcome.passed());
    }

    #[test]
    fn medians_leave_out_what_was_not_measured() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), 2.0);
        assert_eq!(median([1.0, 2.0]), 1.5);
        assert!(median([]).is_nan());
    }
}
