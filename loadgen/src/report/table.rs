// SPDX-License-Identifier: Apache-2.0
//! Rows for people, a line each.

use super::row::RowReport;
use std::fmt::Write;

/// Width of the first column.
const NAME: usize = 42;

/// The line above the rows.
pub fn head() -> String {
    let mut text = format!(
        "{:NAME$}{:>11}{:>11}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}{:>12}\n",
        "row", "placed/s", "engine/s", "refused", "violat.", "p50", "p99", "p99.9", "MiB", "CPU us",
    );
    let _ = writeln!(
        text,
        "{:NAME$}{:>11}{:>11}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}{:>12}",
        "", "", "alone", "", "", "", "", "", "", "svc+cli",
    );
    text
}

/// One row, with what went wrong below it.
pub fn line(row: &RowReport) -> String {
    let mut text = format!("{:NAME$}", row.name);
    if row.broken_off {
        text.push_str("broken off");
    } else {
        let alone = row.in_process_per_second.map_or_else(|| "-".to_owned(), whole);
        let resident = row.resident_mib.map_or_else(|| "-".to_owned(), whole);
        let cpu = match row.cpu_us {
            Some((service, client)) => format!("{service:.1}+{client:.1}"),
            None => "-".to_owned(),
        };
        let latency = row.latency;
        let _ = write!(
            text,
            "{:>11}{:>11}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}{:>12}",
            whole(row.placements_per_second()),
            alone,
            thousands(row.refused),
            thousands(row.violations),
            duration(latency.p50),
            duration(latency.p99),
            duration(latency.p999),
            resident,
            cpu,
        );
    }
    if !row.passed() {
        text.push_str("  FAILED");
    }
    text.push('\n');
    if row.refusals_wanted && !row.broken_off {
        let _ =
            writeln!(text, "    {} decisions/s, refusals all", whole(row.decisions_per_second()));
    }
    for note in &row.notes {
        let _ = writeln!(text, "    {note}");
    }
    text
}

/// A rounded number, in groups of three digits.
pub fn whole(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "-".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    thousands(value.round() as u64)
}

/// A number in groups of three digits.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds, in the unit that reads best.
pub fn duration(us: f64) -> String {
    match us {
        us if us < 999.5 => format!("{us:.0} us"),
        us if us < 999_500.0 => format!("{:.1} ms", us / 1_000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::row::Latency;

    fn row() -> RowReport {
        RowReport {
            name: "classes-100".into(),
            seconds: 2.0,
            placed: 2_469_134,
            answers: 2_469_134,
            latency: Latency { p50: 87.0, p99: 1_234.0, p999: 20_000.0, max: 3e6 },
            resident_mib: Some(123.4),
            cpu_us: Some((1.24, 0.71)),
            in_process_per_second: Some(1_500_000.4),
            ..RowReport::default()
        }
    }

    #[test]
    fn a_row_is_a_line() {
        let want = "\
row                                          placed/s   engine/s  refused  violat.      p50      p99    p99.9    MiB      CPU us
                                                           alone                                                         svc+cli
classes-100                                 1,234,567  1,500,000        0        0    87 us   1.2 ms  20.0 ms    123     1.2+0.7
";
        assert_eq!(head() + &line(&row()), want);
    }

    #[test]
    fn what_went_wrong_stands_below() {
        let failed = RowReport { refused: 3, notes: vec!["refused 3 times: no".into()], ..row() };
        let text = line(&failed);
        assert!(text.ends_with("1.2+0.7  FAILED\n    refused 3 times: no\n"), "{text}");
        let wanted = RowReport { refusals_wanted: true, placed: 0, ..failed };
        assert!(!line(&wanted).contains("FAILED"));
        assert!(line(&wanted).contains("1,234,567 decisions/s, refusals all"));
        let broken = RowReport { broken_off: true, notes: vec!["why".into()], ..row() };
        let text = line(&broken);
        assert!(text.ends_with("broken off  FAILED\n    why\n"), "{text}");
    }
}
