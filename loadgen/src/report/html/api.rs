// SPDX-License-Identifier: Apache-2.0
//! The page of `api` and of `cluster`: ours beside what it is held against, and all figures.

use super::{card, frame};
use crate::api::found::{Line, Spread};
use crate::report::api::{Outcome, times, told, words};
use crate::report::svg::{Axis, Bar, bars, escape};
use std::fmt::Write;

/// The page under a title.
pub fn page(title: &str, command: &str, outcomes: &[Outcome]) -> String {
    let mut body = String::from("<section class=\"cards\">");
    let failed = outcomes.iter().filter(|outcome| outcome.broken.is_some()).count();
    let class = if failed == 0 { "good" } else { "bad" };
    let held = format!("{} / {}", outcomes.len() - failed, outcomes.len());
    body.push_str(&card(&held, "rows that hold", class));
    body.push_str("</section>\n");
    if outcomes.iter().any(|outcome| outcome.found.lines().iter().any(|l| !l.others.is_empty())) {
        legend(&mut body);
    }
    for outcome in outcomes {
        row(&mut body, outcome);
    }
    frame(title, command, &body)
}

fn legend(out: &mut String) {
    out.push_str(
        "<p class=\"legend\"><span><i class=\"berth\"></i>berth</span>\
         <span><i class=\"peer\"></i>what it is held against</span></p>\n",
    );
}

fn row(out: &mut String, outcome: &Outcome) {
    let _ = write!(out, "<section><h2>{}</h2>\n<p>", escape(outcome.name));
    let _ = writeln!(out, "{}</p>", escape(outcome.about));
    if let Some(why) = &outcome.broken {
        let _ = writeln!(out, "<p class=\"bad\">Failed: {}</p>", escape(why));
    }
    for note in &outcome.found.notes {
        let _ = writeln!(out, "<p>{}</p>", escape(note));
    }
    let lines = outcome.found.lines();
    if let Some(line) = lines.iter().find(|line| !line.others.is_empty()) {
        let _ = writeln!(out, "<div class=\"plot\">{}</div>", plot(line));
    }
    if !lines.is_empty() {
        table(out, &lines);
    }
    out.push_str("</section>\n");
}

/// One property, ours and others'.
fn plot(line: &Line) -> String {
    let bar = |label: &str, class, spread: &Spread| Bar {
        label: label.to_owned(),
        class,
        value: finite(spread.median),
        note: told(line, spread).0,
        spread: Some((finite(spread.least), finite(spread.most))),
    };
    let mut rows = vec![("berth".to_owned(), vec![bar("berth", "berth", &line.ours)])];
    let mut most = finite(line.ours.most);
    for (name, theirs, _) in &line.others {
        rows.push(((*name).to_owned(), vec![bar(name, "peer", theirs)]));
        most = most.max(finite(theirs.most));
    }
    let label = |value: f64| told(line, &Spread::of(&[value])).0;
    bars(980.0, 120.0, &Axis::linear(&words(line.metric), most, label), &rows)
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

fn table(out: &mut String, lines: &[Line]) {
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th></th><th>berth</th><th>least .. most</th><th>beside</th>\
         <th></th><th>least .. most</th><th>berth is so many times as much</th></tr></thead><tbody>\n",
    );
    for line in lines {
        let (ours, range) = told(line, &line.ours);
        let what = words(line.metric);
        let own = [ours, range];
        if line.others.is_empty() {
            cells(out, &what, own.iter().map(String::as_str).chain([""; 4]));
        }
        for (name, theirs, ratio) in &line.others {
            let (value, range) = told(line, theirs);
            let [median, least, most] = [ratio.median, ratio.least, ratio.most].map(times);
            let times = format!("{median} ({least} .. {most})");
            let others = [*name, &value, &range, &times];
            cells(out, &what, own.iter().map(String::as_str).chain(others));
        }
    }
    out.push_str("</tbody></table></div>\n");
}

fn cells<'a>(out: &mut String, head: &str, cells: impl Iterator<Item = &'a str>) {
    let _ = write!(out, "<tr><th>{}</th>", escape(head));
    for cell in cells {
        let _ = write!(out, "<td>{}</td>", escape(cell));
    }
    out.push_str("</tr>\n");
}
