// SPDX-License-Identifier: Apache-2.0
//! The live table as one page without scripts: it loads itself again every two seconds.

use super::table::{Table, path, places};
use crate::latency;
use crate::state::Entry;
use berth_balancer_core::model::SourceAddress;
use berth_balancer_data::stats::{PortStats, REFUSALS};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Services on the page; `/table` has all.
const SERVICES_MAX: usize = 500;
/// Endpoints of one port on the page.
const ENDPOINTS_MAX: usize = 50;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"refresh\" content=\"2\"><title>Berth balancer</title><style>\
body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2733;background:#fff}\
h1{font-size:1.3rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .7rem;border-bottom:1px solid #e3e8ee;vertical-align:top}\
th{font-weight:600;color:#56697f}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td:first-child{white-space:nowrap}\
tr.e td{color:#56697f;border-bottom:1px dotted #eef1f5}.bad{color:#b3261e;font-weight:600}\
.why{color:#56697f;font-size:.85em}\
@media(prefers-color-scheme:dark){body{background:#12181f;color:#dbe4ee}th,td{border-color:#2a3541}}\
</style></head><body>";

/// The page.
pub(super) fn page(table: &Table) -> String {
    let mut page = String::with_capacity(16 << 10);
    page.push_str(HEAD);
    // Writing to a String does not fail, here and below.
    let _ = head(&mut page, table);
    let _ = services(&mut page, table);
    let _ = rest(&mut page, table);
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, table: &Table) -> std::fmt::Result {
    let moment = &table.moment;
    let plane = &moment.plane;
    write!(
        page,
        "<h1>Berth balancer</h1><p>revision {}, {} services, {} endpoints; data plane process {} with {} workers{}",
        moment.revision,
        moment.services,
        moment.endpoints,
        plane.pid,
        plane.workers,
        if plane.adopted { ", adopted" } else { "" },
    )?;
    if let Ok(stats) = &table.stats {
        let connections: u64 = stats.workers.iter().map(|worker| worker.connections).sum();
        let flows: u64 = stats.workers.iter().map(|worker| worker.flows).sum();
        write!(page, ", {connections} connections, {flows} UDP flows")?;
    }
    page.push_str("</p>");
    for (count, what) in [
        (moment.unserved.len(), "addresses are not served: see below"),
        (moment.unhealthy, "ports of endpoints are unhealthy by active checks"),
    ] {
        if count > 0 {
            write!(page, "<p class=\"bad\">{count} {what}</p>")?;
        }
    }
    let trouble = moment.trouble.as_ref().or(table.stats.as_ref().err());
    if let Some(trouble) = trouble {
        write!(page, "<p class=\"bad\">The data plane: {}</p>", escaped(trouble))?;
    }
    let Some(file) = &moment.file else { return Ok(()) };
    if let Some(problems) = &file.problems {
        write!(
            page,
            "<p class=\"bad\">{} is refused; what ran before goes on:</p><ul>",
            escaped(&file.path.display().to_string())
        )?;
        for problem in problems.list.iter().take(50) {
            write!(page, "<li>{}</li>", escaped(&problem.to_string()))?;
        }
        page.push_str("</ul>");
    }
    Ok(())
}

fn services(page: &mut String, table: &Table) -> std::fmt::Result {
    page.push_str(
        "<table><tr><th>service<th>address<th>path, and why<th>active<th>accepted<th>refused<th>retries\
         <th>in<th>out<th>connect p99<th>first byte p99</tr>",
    );
    let ports = table.ports();
    for entry in table.entries.values().take(SERVICES_MAX) {
        service(page, entry, &ports)?;
    }
    page.push_str("</table>");
    if table.entries.len() > SERVICES_MAX {
        let more = table.entries.len() - SERVICES_MAX;
        write!(page, "<p>and {more} more: <a href=\"/table\">/table</a> has all</p>")?;
    }
    Ok(())
}

fn service(
    page: &mut String,
    entry: &Entry,
    ports: &BTreeMap<(&str, &str), &PortStats>,
) -> std::fmt::Result {
    for port in &entry.service.ports {
        let name = if port.name.is_empty() {
            escaped(&entry.service.name)
        } else {
            format!("{} {}", escaped(&entry.service.name), escaped(&port.name))
        };
        let taken = &entry.taken;
        write!(
            page,
            "<tr><td>{name}<td>{} {}<td>{}<div class=\"why\">{}</div>{}<div class=\"why\">{}</div>",
            port.protocol,
            escaped(&places(entry, &port.name, port.protocol).join(" ")),
            path(taken.path),
            escaped(&taken.path_because),
            source_words(taken.source),
            escaped(&taken.source_because),
        )?;
        let Some(stats) = ports.get(&(&*entry.service.name, &*port.name)) else {
            page.push_str("<td colspan=\"8\">no counters</tr>");
            continue;
        };
        write!(
            page,
            "<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}</tr>",
            stats.active,
            stats.accepted,
            refused(stats),
            stats.retries,
            bytes(stats.bytes_in),
            bytes(stats.bytes_out),
            time(latency::quantile(&stats.connect, 990)),
            time(latency::quantile(&stats.first_byte, 990)),
        )?;
        endpoints(page, stats)?;
        below(page, entry, stats)?;
    }
    Ok(())
}

/// The endpoints of a port, a line each.
fn endpoints(page: &mut String, stats: &PortStats) -> std::fmt::Result {
    for one in stats.endpoints.iter().take(ENDPOINTS_MAX) {
        let health = if one.is_healthy { "" } else { " <span class=\"bad\">unhealthy</span>" };
        write!(
            page,
            "<tr class=\"e\"><td>&nbsp;&nbsp;{}{health}<td>{}<td><td class=\"n\">{}\
             <td class=\"n\">{}<td class=\"n\">{} failed<td class=\"n\">{} ejected\
             <td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td></tr>",
            escaped(&one.name),
            one.address,
            one.active,
            one.opened,
            one.failed,
            one.ejected,
            bytes(one.bytes_in),
            bytes(one.bytes_out),
            time(one.latency_ns),
        )?;
    }
    Ok(())
}

/// What stands below the endpoints of a port.
fn below(page: &mut String, entry: &Entry, stats: &PortStats) -> std::fmt::Result {
    if stats.endpoints.len() > ENDPOINTS_MAX {
        let more = stats.endpoints.len() - ENDPOINTS_MAX;
        write!(page, "<tr class=\"e\"><td colspan=\"11\">&nbsp;&nbsp;and {more} more</tr>")?;
    }
    if stats.endpoints.is_empty() {
        page.push_str(
            "<tr class=\"e\"><td class=\"bad\">&nbsp;&nbsp;no endpoint\
             <td colspan=\"10\">connecting is refused</tr>",
        );
    }
    for name in entry.drained.iter().take(ENDPOINTS_MAX) {
        write!(
            page,
            "<tr class=\"e\"><td>&nbsp;&nbsp;{}<td colspan=\"10\">drained by request: takes no new \
             flows</tr>",
            escaped(name)
        )?;
    }
    Ok(())
}

/// How many got no endpoint, and why.
fn refused(stats: &PortStats) -> String {
    let mut text = stats.refused.iter().sum::<u64>().to_string();
    for (why, count) in REFUSALS.iter().zip(&stats.refused).filter(|(_, count)| **count > 0) {
        // Writing to a String does not fail.
        let _ = write!(text, "<div class=\"why\">{count} {}</div>", why.replace('_', " "));
    }
    text
}

/// What endpoints see as the source.
fn source_words(source: SourceAddress) -> &'static str {
    match source {
        SourceAddress::Keep => "endpoints see the client's address",
        SourceAddress::Auto | SourceAddress::Masquerade => "endpoints see the node's address",
    }
}

fn rest(page: &mut String, table: &Table) -> std::fmt::Result {
    for warning in table.stats.iter().flat_map(|stats| &stats.addresses.warnings) {
        write!(page, "<p class=\"bad\">{}</p>", escaped(warning))?;
    }
    if !table.moment.unserved.is_empty() {
        page.push_str("<h1>Not served</h1><ul>");
        for one in &table.moment.unserved {
            let (service, reason) = (escaped(&one.service), escaped(&one.reason));
            let (protocol, address) = (one.protocol, one.address);
            write!(page, "<li class=\"bad\">{service}: {protocol} {address}: {reason}</li>")?;
        }
        page.push_str("</ul>");
    }
    if !table.drains.is_empty() {
        page.push_str("<h1>Draining</h1><ul>");
        for one in &table.drains {
            let (service, endpoint) = (escaped(&one.service), escaped(&one.endpoint));
            let (address, connections) = (one.address, one.connections);
            write!(page, "<li>{service}: {endpoint} ({address}): {connections} connections</li>")?;
        }
        page.push_str("</ul>");
    }
    Ok(())
}

/// Names are what users gave.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let (mut whole, mut rest, mut unit) = (count, 0, 0);
    while whole >= 1_000 && unit + 1 < units.len() {
        (rest, whole, unit) = (whole % 1_000 / 100, whole / 1_000, unit + 1);
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{rest} {}", units[unit]) }
}

/// A time for people.
pub(crate) fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "-".to_owned(),
        u64::MAX => "long".to_owned(),
        1..1_000_000 => format!("{} us", nanoseconds / 1_000),
        1_000_000..10_000_000_000 => format!("{} ms", nanoseconds / 1_000_000),
        _ => format!("{} s", nanoseconds / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_250_000), "1.2 MB");
        assert_eq!(time(65_536), "65 us");
        assert_eq!(time(2_097_152), "2 ms");
    }

    #[test]
    fn names_are_text() {
        assert_eq!(escaped("<b>\"&\""), "&lt;b&gt;&quot;&amp;&quot;");
    }
}
