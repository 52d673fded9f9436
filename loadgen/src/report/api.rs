// SPDX-License-Identifier: Apache-2.0
//! What a run of `api` or `cluster` found out: a line for each figure, ours beside what it is held against.

use super::Figure;
use super::table::{duration, whole};
use crate::api::found::{Found, Line, Spread};
use std::fmt::Write;

/// A row, and what came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The row's name.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// What it found.
    pub found: Found,
    /// Why it broke off.
    pub broken: Option<String>,
}

/// The line above the rows.
pub fn head() -> String {
    format!(
        "{:16}{:24}{:>11}{:>22}  {:>26}{:>22}{:>8}\n",
        "row", "", "berth", "least .. most", "beside", "least .. most", "berth x"
    )
}

/// The line above rows that are measured once, and held against nothing.
pub fn head_alone() -> String {
    format!("{:16}{:24}{:>11}\n", "row", "", "berth")
}

/// The lines of a row that was measured once, and is held against nothing.
pub fn text_alone(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (at, line) in outcome.found.lines().iter().enumerate() {
        let name = if at == 0 { outcome.name } else { "" };
        let value = told(line, &line.ours).0;
        let _ = writeln!(text, "{name:16}{:24}{value:>11}", words(line.metric));
    }
    text + &ending(outcome)
}

/// A row's lines.
pub fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (at, line) in outcome.found.lines().iter().enumerate() {
        let name = if at == 0 { outcome.name } else { "" };
        let (ours, range) = told(line, &line.ours);
        let what = words(line.metric);
        let _ = write!(text, "{name:16}{what:24}{ours:>11}{range:>22}");
        for (at, (peer, theirs, ratio)) in line.others.iter().enumerate() {
            if at > 0 {
                let _ = write!(text, "\n{:73}", "");
            }
            let (value, range) = told(line, theirs);
            let beside = format!("{peer} {value}");
            let _ = write!(text, "  {beside:>26}{range:>22}{:>8}", times(ratio.median));
        }
        text.push('\n');
    }
    text + &ending(outcome)
}

/// Why it failed, and what is told beside.
fn ending(outcome: &Outcome) -> String {
    let mut text = String::new();
    if let Some(why) = &outcome.broken {
        let _ = writeln!(text, "{:16}FAILED: {why}", outcome.name);
    } else if outcome.found.rounds.is_empty() {
        let _ = writeln!(text, "{:16}-", outcome.name);
    }
    for note in &outcome.found.notes {
        let _ = writeln!(text, "    {note}");
    }
    text
}

/// A metric in words: the unit stands with the value.
pub fn words(metric: &str) -> String {
    metric.trim_end_matches("_us").trim_end_matches("_mib").replace('_', " ")
}

/// A value and its range.
pub fn told(line: &Line, spread: &Spread) -> (String, String) {
    let tell = |value| tell(value, line.unit);
    (tell(spread.median), format!("{} .. {}", tell(spread.least), tell(spread.most)))
}

/// How many times as much.
pub fn times(ratio: f64) -> String {
    if ratio.is_finite() { format!("{ratio:.2}x") } else { "-".to_owned() }
}

fn tell(value: f64, unit: &str) -> String {
    match unit {
        _ if !value.is_finite() => "-".to_owned(),
        "us" if value < 10.0 => format!("{value:.1} us"),
        "us" => duration(value),
        "MiB" => format!("{value:.0} MiB"),
        "%" => format!("{value:.2} %"),
        _ if value < 100.0 && value.fract() != 0.0 => format!("{value:.2}"),
        _ => whole(value),
    }
}

/// For machines: medians under the row's name, those of others under `ROW/NAME`, ratios under `ROW/NAME/ratio`; the least and the
/// most of the rounds under `.../least` and `.../most`.
pub fn figures(outcomes: &[Outcome]) -> Vec<Figure> {
    let mut all = Vec::new();
    for outcome in outcomes {
        let name = outcome.name;
        for line in outcome.found.lines() {
            push(&mut all, name, line.metric, &line.ours, line.unit);
            for (peer, theirs, ratio) in &line.others {
                push(&mut all, &format!("{name}/{peer}"), line.metric, theirs, line.unit);
                push(&mut all, &format!("{name}/{peer}/ratio"), line.metric, ratio, "1");
            }
        }
        let broken = if outcome.broken.is_some() { 1.0 } else { 0.0 };
        all.push(Figure { name: name.to_owned(), metric: "failures", value: broken, unit: "1" });
    }
    all
}

fn push(
    all: &mut Vec<Figure>,
    name: &str,
    metric: &'static str,
    spread: &Spread,
    unit: &'static str,
) {
    for (suffix, value) in [("", spread.median), ("/least", spread.least), ("/most", spread.most)] {
        all.push(Figure { name: format!("{name}{suffix}"), metric, value, unit });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::found::OURS;

    fn outcome() -> Outcome {
        let mut found = Found::default();
        for (round, rate) in [12_000.0, 9_000.0, 9_600.0].into_iter().enumerate() {
            found.add(round, OURS, &[("per_second", rate, "1/s"), ("p50_us", 87.0, "us")]);
            found.add(round, "etcd", &[("per_second", 3_000.0, "1/s")]);
        }
        Outcome { name: "create-64", about: "clients make objects", found, broken: None }
    }

    #[test]
    fn a_figure_is_a_line_with_what_it_is_held_against() {
        let text = head() + &text(&outcome());
        let want = "\
row                                           berth         least .. most                      beside         least .. most berth x
create-64       per second                    9,600       9,000 .. 12,000                  etcd 3,000        3,000 .. 3,000   3.20x
                p50                           87 us        87 us .. 87 us
";
        assert_eq!(text, want);
    }

    #[test]
    fn what_broke_off_says_why() {
        let broken = Some("GET /x was answered by 500".to_owned());
        let outcome = Outcome { found: Found::default(), broken, ..outcome() };
        assert_eq!(text(&outcome), "create-64       FAILED: GET /x was answered by 500\n");
        assert_eq!(figures(&[outcome])[0].value, 1.0);
    }

    #[test]
    fn figures_have_the_names_that_scripts_know() {
        let figures = figures(&[outcome()]);
        let value = |name: &str, metric: &str| {
            figures.iter().find(|f| f.name == name && f.metric == metric).unwrap().value
        };
        assert_eq!(value("create-64", "per_second"), 9_600.0);
        assert_eq!(value("create-64/most", "per_second"), 12_000.0);
        assert_eq!(value("create-64/etcd", "per_second"), 3_000.0);
        assert_eq!(value("create-64/etcd/ratio", "per_second"), 3.2);
        assert_eq!(value("create-64", "failures"), 0.0);
    }
}
