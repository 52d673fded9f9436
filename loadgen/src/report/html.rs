// SPDX-License-Identifier: Apache-2.0
//! Reports as one page: no script, no font, no file beside it.

mod api;
mod balance;
mod rows;
mod trace;

pub use api::page as api_page;
pub use balance::page as balance_page;
pub use rows::page as rows_page;
pub use trace::page as trace_page;

use super::svg::{Axis, Line, escape};
use crate::error::Error;
use std::path::Path;

const STYLE: &str = include_str!("html/style.css");

/// Writes a page.
pub fn write(path: &Path, page: &str) -> Result<(), Error> {
    std::fs::write(path, page).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// A whole page.
fn frame(title: &str, command: &str, body: &str) -> String {
    let (title, command) = (escape(title), escape(command));
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1>\n<p class=\"command\"><code>berth-loadgen {command}</code></p></header>\n\
         {body}\n<footer>berth-loadgen {version}</footer>\n</main>\n</body>\n</html>\n"
    )
}

/// A figure with a large number.
fn card(value: &str, what: &str, class: &str) -> String {
    let (value, what) = (escape(value), escape(what));
    format!("<div class=\"card {class}\"><strong>{value}</strong><span>{what}</span></div>")
}

/// A power of ten of microseconds.
fn decade(us: f64) -> String {
    match us {
        us if us < 999.0 => format!("{us} us"),
        us if us < 999_000.0 => format!("{:.0} ms", us / 1_000.0),
        us => format!("{:.0} s", us / 1_000_000.0),
    }
}

/// The plot of latencies by share of answers: each nine as wide as the one before.
fn latency_plot(curve: &[(f64, f64)], class: &'static str) -> String {
    const TICKS: [(f64, &str); 7] = [
        (0.0, "0"),
        (std::f64::consts::LOG10_2, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
        (5.0, "99.999 %"),
    ];
    let points: Vec<(f64, f64)> =
        curve.iter().map(|(share, us)| (-(1.0 - share).log10(), *us)).collect();
    let ends = |pick: fn(f64, f64) -> f64, start| points.iter().map(|p| p.1).fold(start, pick);
    let (least, most) = (ends(f64::min, f64::INFINITY), ends(f64::max, 1.0));
    let x = Axis::with_ticks("share of answers", points.last().map_or(1.0, |p| p.0), &TICKS);
    let y = Axis::log("latency", least.min(most), most, decade);
    let line = Line { label: "latency".to_owned(), class, points, filled: false };
    super::svg::lines(460.0, 230.0, &x, &y, &[line])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::row::{Latency, RowReport};

    fn row(name: &str) -> RowReport {
        RowReport {
            name: name.into(),
            about: "a row".into(),
            way: "stream".into(),
            nodes: 5_000,
            filled: 140_000,
            seconds: 3.0,
            placed: 1_200_000,
            answers: 1_200_000,
            latency: Latency { p50: 800.0, p99: 2_500.0, p999: 9_000.0, max: 21_000.0 },
            curve: vec![
                (0.0, 310.0),
                (0.5, 800.0),
                (0.9, 1_400.0),
                (0.99, 2_500.0),
                (0.999, 9_000.0),
            ],
            timeline: vec![(0.0, 390_000.0), (0.1, 410_000.0), (0.2, 400_000.0)],
            spec_bytes: (306, 306),
            ..RowReport::default()
        }
    }

    /// Tags that are opened are closed, in their order.
    fn is_balanced(page: &str) -> bool {
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let name = tag.split([' ', '\n']).next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(name) if open.pop() == Some(name) => {}
                Some(_) => return false,
                None if name.starts_with('!') || name == "meta" || tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        open.is_empty()
    }

    #[test]
    fn a_page_stands_alone() {
        let failed = RowReport {
            violations: 2,
            notes: vec!["a <rule> & more".into()],
            in_process_per_second: Some(1e6),
            ..row("classes-100")
        };
        let broken = RowReport { broken_off: true, curve: vec![], ..row("spread-zone") };
        let page = rows_page("schedule --row \"basic\"", &[row("basic"), failed, broken]);
        assert!(is_balanced(&page), "{page}");
        for absent in ["<script", "http://", "https://", "NaN", "inf", "<link", "@import"] {
            assert!(!page.contains(absent), "{absent}");
        }
        assert_eq!(page.matches("<svg").count(), 5, "the comparison, and two of each row that ran");
        assert!(page.contains("a &lt;rule&gt; &amp; more"));
        assert!(page.contains("schedule --row &quot;basic&quot;"));
        assert!(page.contains("kube-scheduler at 5,000 nodes: 898 pods a second"));
        assert!(page.contains("<strong>1 / 3</strong>"), "one row of three holds");
    }

    #[test]
    fn a_page_of_an_apiserver_stands_alone() {
        use crate::api::found::{Found, OURS};
        use crate::report::api::Outcome;
        let rows = crate::api::rows::ALL;
        let mut found = Found::default();
        for round in 0..3 {
            found.add(round, OURS, &[("per_second", 9_000.0, "1/s"), ("p50_us", 70.0, "us")]);
            found.add(round, "etcd", &[("per_second", 3_000.0, "1/s")]);
            found.add(round, "etcd", &[("p50_us", f64::NAN, "us")]);
        }
        found.note("a <note>");
        let whole = Outcome { name: rows[0].name, about: rows[0].about, found, broken: None };
        let why = Some("GET /x was answered by 500".to_owned());
        let broken = Outcome { name: "b", about: "", found: Found::default(), broken: why };
        let page = api_page("A title", "api", &[whole, broken]);
        assert!(is_balanced(&page), "{page}");
        for absent in ["<script", "http://", "https://", "NaN", "inf", "<link", "@import"] {
            assert!(!page.contains(absent), "{absent}");
        }
        assert!(page.contains("3.00x (3.00x .. 3.00x)") && page.contains("<strong>1 / 2</strong>"));
        assert_eq!(page.matches("<svg").count(), 1);
    }
}
