// SPDX-License-Identifier: Apache-2.0
//! `berth balancer status`: the running table in the terminal, from the data plane itself: it answers also while no control plane
//! runs.

use crate::cli::StatusArgs;
use anyhow::Context;
use berth_balancer_core::model::{Config, DataPath, Service, Settings, SourceAddress};
use berth_balancer_data::control::{Client, Unserved};
use berth_balancer_data::stats::{Draining, EndpointStats, PortStats, REFUSALS, Stats};
use berth_balancer_service::latency::quantile;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Prints it.
pub(crate) fn run(control: &Path, args: &StatusArgs) -> anyhow::Result<()> {
    let mut client = Client::connect(control).with_context(|| {
        format!(
            "no balancer answers at {}: `berth balancer --config FILE` starts one, --control says \
             where another one is",
            control.display()
        )
    })?;
    let stats = client.stats()?;
    let (_, config) = client.config()?;
    let drains = client.drains()?;
    // No change at all: its answer says what is not served.
    let unserved = client.apply(Vec::new())?.unserved;
    print!("{}", page(&Shown { stats, config, drains, unserved }, args));
    Ok(())
}

/// What is shown.
struct Shown {
    stats: Stats,
    config: Config,
    drains: Vec<Draining>,
    unserved: Vec<Unserved>,
}

const COLUMNS: usize = 11;
type Row = [String; COLUMNS];

const HEAD: [&str; COLUMNS] = [
    "SERVICE",
    "ADDRESS",
    "PATH",
    "ENDPOINTS",
    "ACTIVE",
    "ACCEPTED",
    "REFUSED",
    "RETRIES",
    "IN",
    "OUT",
    "CONNECT p99",
];

fn page(shown: &Shown, args: &StatusArgs) -> String {
    let stats = &shown.stats;
    let services: BTreeMap<&str, &Service> =
        shown.config.services.iter().map(|service| (&*service.name, service)).collect();
    let asked =
        |name: &str| args.services.is_empty() || args.services.iter().any(|one| one == name);
    let mut rows = vec![HEAD.map(str::to_owned)];
    for port in stats.ports.iter().filter(|port| asked(&port.service)) {
        rows.push(row(port, services.get(&*port.service).copied()));
        if args.endpoints {
            rows.extend(port.endpoints.iter().map(endpoint));
        }
    }
    let mut page = String::new();
    // Writing to a String does not fail, here and below.
    let _ = writeln!(
        page,
        "revision {}, process {}, {} workers, {} connections, {} UDP flows, up {} s",
        stats.revision,
        stats.pid,
        stats.workers.len(),
        stats.workers.iter().map(|worker| worker.connections).sum::<u64>(),
        stats.workers.iter().map(|worker| worker.flows).sum::<u64>(),
        stats.uptime_ns / 1_000_000_000,
    );
    let addresses = &stats.addresses;
    let _ = if addresses.has_namespace {
        let way = if addresses.has_shortcut { "a shortcut" } else { "no shortcut" };
        let (taken, why) = (addresses.taken, &addresses.shortcut_because);
        writeln!(page, "network namespace of its own: {taken} addresses; {way} round it: {why}")
    } else {
        writeln!(page, "no network namespace of its own: {}", addresses.because)
    };
    for warning in &addresses.warnings {
        let _ = writeln!(page, "warning: {warning}");
    }
    for old in &stats.predecessors {
        let _ = writeln!(page, "process {} drains {} connections", old.pid, old.connections);
    }
    page += &aligned(&rows);
    let ports = stats.ports.iter().filter(|port| asked(&port.service));
    list(&mut page, "refused", ports.filter_map(refusals));
    let unserved =
        shown.unserved.iter().filter(|one| asked(&one.service)).map(|one| {
            format!("{}: {} {}: {}", one.service, one.protocol, one.address, one.reason)
        });
    list(&mut page, "not served", unserved);
    let drains = shown.drains.iter().filter(|one| asked(&one.service)).map(|one| {
        let Draining { service, endpoint, address, connections, .. } = one;
        format!("{service}: {endpoint} ({address}): {connections} connections")
    });
    list(&mut page, "draining", drains);
    page
}

/// A list below the table, if it has anything.
fn list(page: &mut String, what: &str, lines: impl Iterator<Item = String>) {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            let _ = writeln!(page, "\n{what}:");
        }
        let _ = writeln!(page, "  {line}");
    }
}

/// Why connections and flows of a port got no endpoint.
fn refusals(port: &PortStats) -> Option<String> {
    let counts = REFUSALS.iter().zip(&port.refused).filter(|(_, count)| **count > 0);
    let counts: Vec<String> = counts.map(|(why, count)| format!("{count} {why}")).collect();
    (!counts.is_empty()).then(|| format!("{}: {}", name(port), counts.join(", ")))
}

fn name(port: &PortStats) -> String {
    [&*port.service, &*port.port].join(" ").trim_end().to_owned()
}

fn row(port: &PortStats, service: Option<&Service>) -> Row {
    let mut places = Vec::new();
    if let Some(service) = service
        && let Some(own) = service.ports.iter().find(|own| own.name == port.port)
    {
        let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
        let address = |ip: &IpAddr| SocketAddr::new(*ip, own.port).to_string();
        places.extend(lists.into_iter().flatten().map(address));
        places.extend(own.node_port.map(|port| format!("node:{port}")));
    }
    let more = places.len().saturating_sub(2);
    places.truncate(2);
    if more > 0 {
        places.push(format!("+{more}"));
    }
    let all = port.endpoints.len();
    let healthy = port.endpoints.iter().filter(|one| one.is_healthy).count();
    [
        name(port),
        format!("{} {}", port.protocol, places.join(" ")),
        service.map(|service| path(&service.settings)).unwrap_or_default(),
        match (all, healthy) {
            (0, _) => "none".to_owned(),
            (all, healthy) if all == healthy => all.to_string(),
            (all, healthy) => format!("{healthy} of {all} healthy"),
        },
        port.active.to_string(),
        port.accepted.to_string(),
        port.refused.iter().sum::<u64>().to_string(),
        port.retries.to_string(),
        bytes(port.bytes_in),
        bytes(port.bytes_out),
        time(quantile(&port.connect, 990)),
    ]
}

/// The path that a service takes, and the source address that its endpoints see; the admin page says why.
pub(crate) fn path(settings: &Settings) -> String {
    let path = match settings.path {
        DataPath::Fast => "fast",
        DataPath::Auto | DataPath::Proxy => "proxy",
    };
    let source = match settings.source {
        SourceAddress::Keep => "keeps source",
        SourceAddress::Auto | SourceAddress::Masquerade => "node as source",
    };
    format!("{path}, {source}")
}

fn endpoint(one: &EndpointStats) -> Row {
    [
        format!("  {}", one.name),
        one.address.to_string(),
        String::new(),
        if one.is_healthy { "healthy" } else { "UNHEALTHY" }.to_owned(),
        one.active.to_string(),
        one.opened.to_string(),
        format!("{} failed", one.failed),
        format!("{} ejected", one.ejected),
        bytes(one.bytes_in),
        bytes(one.bytes_out),
        time(one.latency_ns),
    ]
}

fn aligned(rows: &[Row]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, figures to the right.
            let _ = if at < 4 {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn bytes(count: u64) -> String {
    let (mut whole, mut tenth, mut unit) = (count, 0, "B");
    for next in ["KB", "MB", "GB", "TB"] {
        if whole < 1_000 {
            break;
        }
        (tenth, whole, unit) = (whole % 1_000 / 100, whole / 1_000, next);
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenth} {unit}") }
}

fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "-".to_owned(),
        u64::MAX => "long".to_owned(),
        _ if nanoseconds < 10_000_000 => format!("{} us", nanoseconds / 1_000),
        _ => format!("{} ms", nanoseconds / 1_000_000),
    }
}
