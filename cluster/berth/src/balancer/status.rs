// SPDX-License-Identifier: Apache-2.0
//! `berth balancer status`: the running table in the terminal, from the data plane itself: it answers also while no control plane
//! runs.

use crate::cli::StatusArgs;
use anyhow::Context;
use berth_balancer_data::control::Client;
use berth_balancer_data::stats::{PortStats, Stats};
use berth_balancer_service::latency::quantile;
use std::fmt::Write;
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
    print!("{}", page(&stats, &config, args));
    Ok(())
}

fn page(stats: &Stats, config: &berth_balancer_core::model::Config, args: &StatusArgs) -> String {
    let mut rows = vec![
        [
            "SERVICE",
            "ADDRESS",
            "ACTIVE",
            "ACCEPTED",
            "REFUSED",
            "RETRIES",
            "IN",
            "OUT",
            "CONNECT p99",
        ]
        .map(str::to_owned),
    ];
    for port in &stats.ports {
        let asked = args.services.is_empty() || args.services.iter().any(|s| **s == *port.service);
        if asked {
            rows.push(row(port, config));
            if args.endpoints {
                endpoints(port, &mut rows);
            }
        }
    }
    let mut page = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        page,
        "revision {}, process {}, {} workers, {} connections, up {} s",
        stats.revision,
        stats.pid,
        stats.workers.len(),
        stats.workers.iter().map(|worker| worker.connections).sum::<u64>(),
        stats.uptime_ns / 1_000_000_000,
    );
    let addresses = &stats.addresses;
    let _ = if addresses.has_namespace {
        writeln!(page, "network namespace of its own: {} addresses", addresses.taken)
    } else {
        writeln!(page, "no network namespace of its own: {}", addresses.because)
    };
    for warning in &addresses.warnings {
        let _ = writeln!(page, "warning: {warning}");
    }
    for old in &stats.predecessors {
        let _ = writeln!(page, "process {} drains {} connections", old.pid, old.connections);
    }
    page + &aligned(&rows)
}

fn row(port: &PortStats, config: &berth_balancer_core::model::Config) -> [String; 9] {
    let service = config.services.iter().find(|service| service.name == port.service);
    let mut places = Vec::new();
    if let Some(service) = service
        && let Some(own) = service.ports.iter().find(|own| own.name == port.port)
    {
        let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
        let address = |ip: &std::net::IpAddr| std::net::SocketAddr::new(*ip, own.port).to_string();
        places.extend(lists.into_iter().flatten().map(address));
        places.extend(own.node_port.map(|port| format!("node:{port}")));
    }
    let more = places.len().saturating_sub(2);
    places.truncate(2);
    if more > 0 {
        places.push(format!("+{more}"));
    }
    let name = [&*port.service, &*port.port].join(" ");
    [
        name.trim_end().to_owned(),
        format!("{} {}", port.protocol, places.join(" ")),
        port.active.to_string(),
        port.accepted.to_string(),
        port.refused.iter().sum::<u64>().to_string(),
        port.retries.to_string(),
        bytes(port.bytes_in),
        bytes(port.bytes_out),
        time(quantile(&port.connect, 990)),
    ]
}

fn endpoints(port: &PortStats, rows: &mut Vec<[String; 9]>) {
    for one in &port.endpoints {
        let health = if one.is_healthy { "" } else { " (unhealthy)" };
        rows.push([
            format!("  {}{health}", one.name),
            one.address.to_string(),
            one.active.to_string(),
            one.opened.to_string(),
            format!("{} failed", one.failed),
            format!("{} ejected", one.ejected),
            bytes(one.bytes_in),
            bytes(one.bytes_out),
            time(one.latency_ns),
        ]);
    }
}

fn aligned(rows: &[[String; 9]]) -> String {
    let mut widths = [0; 9];
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
            let _ = if at < 2 {
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
