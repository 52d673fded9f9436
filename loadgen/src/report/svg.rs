// SPDX-License-Identifier: Apache-2.0
//! Plots as SVG text: lines over two axes, and bars. Colours are classes, so that the page decides them.

use std::fmt::Write;

/// An axis: how values become places between 0 and 1, and what is written beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    min: f64,
    max: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
    title: String,
}

impl Axis {
    /// A linear axis from 0 to at least `max`, at round steps.
    pub fn linear(title: &str, max: f64, label: impl Fn(f64) -> String) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_step(max / 4.0);
        let steps = (max / step).ceil();
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= steps {
            ticks.push((at * step, label(at * step)));
            at += 1.0;
        }
        Self { min: 0.0, max: steps * step, log: false, ticks, title: title.to_owned() }
    }

    /// A linear axis from 0 to exactly `max`.
    pub fn exact(title: &str, max: f64, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::linear(title, max, label);
        axis.max = if max > 0.0 { max } else { axis.max };
        axis.ticks.retain(|(value, _)| *value <= axis.max);
        axis
    }

    /// A logarithmic axis over whole decades around `min` and `max`.
    pub fn log(title: &str, min: f64, max: f64, label: impl Fn(f64) -> String) -> Self {
        let first = min.max(1e-3).log10().floor();
        let last = max.max(min).max(1e-3).log10().ceil().max(first + 1.0);
        let mut ticks = Vec::new();
        let mut decade = first;
        while decade <= last {
            let value = 10_f64.powf(decade);
            ticks.push((value, label(value)));
            decade += 1.0;
        }
        let (min, max) = (10_f64.powf(first), 10_f64.powf(last));
        Self { min, max, log: true, ticks, title: title.to_owned() }
    }

    /// A linear axis with ticks of one's own.
    pub fn with_ticks(title: &str, max: f64, ticks: &[(f64, &str)]) -> Self {
        let ticks = ticks.iter().filter(|(value, _)| *value <= max);
        let ticks = ticks.map(|(value, label)| (*value, (*label).to_owned())).collect();
        Self { min: 0.0, max: max.max(1e-9), log: false, ticks, title: title.to_owned() }
    }

    fn place(&self, value: f64) -> f64 {
        let of = |value: f64| if self.log { value.max(self.min).log10() } else { value };
        ((of(value) - of(self.min)) / (of(self.max) - of(self.min))).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * decade >= step);
    digit.unwrap_or(10.0) * decade
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it shows.
    pub label: String,
    /// Its class, for the colour.
    pub class: &'static str,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// Whether the space below it is filled.
    pub filled: bool,
}

/// Margins around the plot: left, right, top, bottom.
const MARGINS: [f64; 4] = [66.0, 18.0, 12.0, 40.0];

/// A plot of lines. What the upright axis shows stands in the page beside it.
pub fn lines(width: f64, height: f64, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let [left, right, top, bottom] = MARGINS;
    let (across, down) = (width - left - right, height - top - bottom);
    let place_x = |value: f64| left + x.place(value) * across;
    let place_y = |value: f64| top + (1.0 - y.place(value)) * down;
    let mut svg = open(width, height, &format!("{} over {}", y.title, x.title));
    for (value, label) in &y.ticks {
        let at = place_y(*value);
        let end = left + across;
        let _ = write!(svg, "<path class=\"grid\" d=\"M{left:.1} {at:.1}H{end:.1}\"/>");
        text(&mut svg, (left - 7.0, at + 4.0), "tick end", label);
    }
    for (value, label) in &x.ticks {
        let at = place_x(*value);
        let end = top + down;
        let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} {top:.1}V{end:.1}\"/>");
        text(&mut svg, (at, end + 16.0), "tick middle", label);
    }
    text(&mut svg, (left + across / 2.0, height - 6.0), "axis middle", &x.title);
    for line in lines {
        if line.points.is_empty() {
            continue;
        }
        let mut path = String::new();
        for (at, (x, y)) in line.points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", place_x(*x), place_y(*y));
        }
        if line.filled {
            let first = place_x(line.points[0].0);
            let last = place_x(line.points[line.points.len() - 1].0);
            let ground = top + down;
            let class = line.class;
            let area = format!("{path}L{last:.1} {ground:.1}L{first:.1} {ground:.1}Z");
            let _ = write!(svg, "<path class=\"area {class}\" d=\"{area}\"/>");
        }
        let (class, label) = (line.class, escape(&line.label));
        let _ =
            write!(svg, "<path class=\"line {class}\" d=\"{path}\"><title>{label}</title></path>");
    }
    svg.push_str("</svg>");
    svg
}

/// A bar of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it shows, when one points at it.
    pub label: String,
    /// Its class, for the colour.
    pub class: &'static str,
    /// Its length.
    pub value: f64,
    /// What is written at its end.
    pub note: String,
    /// The least and the most of several tries, drawn as a thin line.
    pub spread: Option<(f64, f64)>,
}

/// Height of a bar, and the space after the bars of a row.
const BAR: (f64, f64) = (13.0, 11.0);

/// Bars to the right, some to a row.
pub fn bars(width: f64, names: f64, x: &Axis, rows: &[(String, Vec<Bar>)]) -> String {
    const NOTES: f64 = 150.0;
    const TOP: f64 = 6.0;
    let (thick, space) = BAR;
    let counts: usize = rows.iter().map(|(_, bars)| bars.len()).sum();
    let float = |count: usize| super::count(count as u64);
    let inner = float(counts) * thick + float(rows.len()) * space;
    let height = TOP + inner + 38.0;
    let across = width - names - NOTES;
    let mut svg = open(width, height, &x.title);
    for (value, label) in &x.ticks {
        let at = names + x.place(*value) * across;
        let end = TOP + inner;
        let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP:.1}V{end:.1}\"/>");
        text(&mut svg, (at, end + 14.0), "tick middle", label);
    }
    text(&mut svg, (names + across / 2.0, height - 5.0), "axis middle", &x.title);
    let mut at = TOP + space / 2.0;
    for (name, bars) in rows {
        let middle = at + float(bars.len()) * thick / 2.0 + 4.0;
        text(&mut svg, (names - 8.0, middle), "name end", name);
        for bar in bars {
            let long = (x.place(bar.value) * across).max(1.0);
            let (class, label) = (bar.class, escape(&bar.label));
            let _ = write!(
                svg,
                "<rect class=\"bar {class}\" x=\"{names:.1}\" y=\"{:.1}\" width=\"{long:.1}\" \
                 height=\"{:.1}\" rx=\"2\"><title>{label}</title></rect>",
                at + 1.0,
                thick - 2.0,
            );
            let mut end = long;
            if let Some((least, most)) = bar.spread {
                let [from, to] = [least, most].map(|value| x.place(value) * across);
                let (from, middle) = (names + from, at + thick / 2.0);
                end = end.max(to);
                let to = names + to;
                let _ =
                    write!(svg, "<path class=\"spread\" d=\"M{from:.1} {middle:.1}H{to:.1}\"/>");
            }
            text(&mut svg, (names + end + 6.0, at + thick - 3.0), "note", &bar.note);
            at += thick;
        }
        at += space;
    }
    svg.push_str("</svg>");
    svg
}

fn open(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    )
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    let text = escape(text);
    let _ = write!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

/// Text that stands in HTML as it is.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(value: f64) -> String {
        format!("{value}")
    }

    #[test]
    fn axes_have_round_ticks() {
        let ticks = |axis: Axis| axis.ticks.into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        assert_eq!(ticks(Axis::linear("x", 17.0, label)), ["0", "5", "10", "15", "20"]);
        assert_eq!(ticks(Axis::exact("x", 17.0, label)), ["0", "5", "10", "15"]);
        assert_eq!(ticks(Axis::log("x", 40.0, 1_200.0, label)), ["10", "100", "1000", "10000"]);
        assert_eq!(ticks(Axis::linear("x", 0.0, label)), ["0", "0.5", "1"]);
    }

    #[test]
    fn values_have_their_place() {
        let axis = Axis::log("x", 10.0, 1_000.0, label);
        let places = [1.0, 10.0, 100.0, 1_000.0, 1e9].map(|value| axis.place(value));
        assert_eq!(places, [0.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_plot_is_one_element_without_numbers_that_are_none() {
        let x = Axis::exact("time", 2.0, label);
        let y = Axis::linear("a < b", 10.0, label);
        let points = vec![(0.0, 1.0), (1.0, 10.0), (2.0, f64::NAN)];
        let line = Line { label: "l".into(), class: "one", points, filled: true };
        let plot = lines(400.0, 200.0, &x, &y, &[line]);
        assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>"), "{plot}");
        assert!(plot.contains("a &lt; b over time"), "{plot}");
        assert_eq!(plot.matches("<path class=\"line").count(), 1);
        let bar =
            Bar { label: "b".into(), class: "one", value: 5.0, note: "5".into(), spread: None };
        let spread = Some((4.0, 7.0));
        let wide = bars(500.0, 100.0, &y, &[("row".into(), vec![Bar { spread, ..bar.clone() }])]);
        assert!(wide.contains("class=\"spread\""), "{wide}");
        let chart = bars(500.0, 100.0, &y, &[("row".into(), vec![bar])]);
        assert!(chart.contains("width=\"125.0\""), "half of what is left: {chart}");
    }
}
