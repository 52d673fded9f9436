// SPDX-License-Identifier: Apache-2.0
//! `oracle`: recorded verdicts of kube-scheduler, asked of the engine.

use crate::cli::oracle::OracleArgs;
use crate::report::{Figure, count, json};
use crate::{Error, Verdict, progress};
use berth_scheduler_oracle::EngineOracle;
use berth_scheduler_testkit::{Report, open};
use std::io::Write;
use std::path::Path;

/// What became of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    total: usize,
    agreed: usize,
    /// The first differences.
    shown: Vec<String>,
    /// How many there were.
    differences: usize,
}

/// Evaluates the files and prints what agrees.
pub fn run(args: &OracleArgs, line: &str, out: &mut dyn Write) -> Result<Verdict, Error> {
    let (mut total, mut agreed) = (0, 0);
    let mut figures = Vec::new();
    for file in &args.files {
        let tally = evaluate(file, args)?;
        print(file, &tally, out).map_err(Error::Output)?;
        total += tally.total;
        agreed += tally.agreed;
        let name = file.display().to_string();
        for (metric, value) in [("agreed", tally.agreed), ("total", tally.total)] {
            let value = count(value as u64);
            figures.push(Figure { name: name.clone(), metric, value, unit: "verdicts" });
        }
    }
    if args.files.len() > 1 {
        writeln!(out, "all files: {agreed} / {total} agree").map_err(Error::Output)?;
    }
    if let Some(path) = &args.json {
        json::write(path, line, &figures)?;
    }
    Ok(Verdict::failed_if(agreed < total))
}

fn evaluate(file: &Path, args: &OracleArgs) -> Result<Tally, Error> {
    let bar = progress::counter(&file.display().to_string());
    let mut engine = EngineOracle::new(args.seed);
    let mut tally = Tally::default();
    for record in open(file).map_err(Error::Verdicts)? {
        let record = record.map_err(Error::Verdicts)?;
        let mut report = Report::default();
        report.compare(&record, &mut engine);
        tally.total += report.total;
        tally.agreed += report.agreed;
        tally.differences += report.disagreements.len();
        let room = args.show.saturating_sub(tally.shown.len());
        tally.shown.extend(report.disagreements.into_iter().take(room));
        bar.inc(report.total as u64);
    }
    bar.finish_and_clear();
    Ok(tally)
}

fn print(file: &Path, tally: &Tally, out: &mut dyn Write) -> std::io::Result<()> {
    for line in &tally.shown {
        writeln!(out, "  {line}")?;
    }
    let rest = tally.differences - tally.shown.len();
    if rest > 0 {
        writeln!(out, "  ... and {rest} more differences (--show N prints more)")?;
    }
    writeln!(out, "{}: {} / {} agree", file.display(), tally.agreed, tally.total)
}
