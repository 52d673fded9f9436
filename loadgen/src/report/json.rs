// SPDX-License-Identifier: Apache-2.0
//! Figures for machines: one object in a file.
//!
//! ```text
//! {"command": "schedule --row basic",
//!  "results": [{"name": "basic", "metric": "placements_per_second", "value": 412345, "unit": "1/s"}, ...]}
//! ```

use super::Figure;
use crate::error::Error;
use serde_json::{Number, Value};
use std::fs;
use std::path::Path;

/// Writes the file.
pub fn write(path: &Path, command: &str, figures: &[Figure]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    fs::write(path, text(command, figures)).map_err(failed)
}

/// The content of the file: a figure to a line, so that two files can be compared line by line.
pub fn text(command: &str, figures: &[Figure]) -> String {
    let results: Vec<String> = figures.iter().map(line).collect();
    let command = Value::from(command);
    format!("{{\"command\": {command}, \"results\": [\n  {}\n]}}\n", results.join(",\n  "))
}

fn line(figure: &Figure) -> String {
    let (name, metric, unit) = (&*figure.name, figure.metric, figure.unit);
    let (name, metric, unit) = (Value::from(name), Value::from(metric), Value::from(unit));
    let value = number(figure.value);
    format!(r#"{{"name": {name}, "metric": {metric}, "value": {value}, "unit": {unit}}}"#)
}

/// Whole numbers are written without a point. What is no number (nothing was measured) is null.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_the_contract_says() {
        let figure = |metric, value, unit| Figure { name: "basic".into(), metric, value, unit };
        let figures = [
            figure("placements_per_second", 412_345.0, "1/s"),
            figure("latency_p50_us", 87.5, "us"),
            figure("resident_mib", f64::NAN, "MiB"),
        ];
        let want = serde_json::json!({
            "command": "schedule",
            "results": [
                {"name": "basic", "metric": "placements_per_second", "value": 412_345, "unit": "1/s"},
                {"name": "basic", "metric": "latency_p50_us", "value": 87.5, "unit": "us"},
                {"name": "basic", "metric": "resident_mib", "value": null, "unit": "MiB"},
            ],
        });
        let text = text("schedule", &figures);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), want);
        assert!(text.contains("\"value\": 412345,"), "{text}");
    }
}
