// SPDX-License-Identifier: Apache-2.0
//! `balance`: load on balancers, ours and others, side by side, with every answer checked.
//!
//! A run is a [`campaign`] of [`trial`]s: a [`subject`] (a balancer in one configuration) is started in its [`place`], a
//! [`client`] loads it, built-in [`backend`]s answer, and it is stopped. Start reading at [`rows`], which says what the loads
//! are, and [`message`], which says how answers are checked.
//!
//! Client, balancer and backends share the machine, so each is one thread around one epoll, and what each takes of the machine
//! is counted apart; the figure to compare is the CPU of the whole machine per operation.

pub mod backend;
pub mod calls;
pub mod campaign;
pub mod client;
pub mod message;
pub mod observe;
pub mod pattern;
pub mod place;
pub mod poller;
pub mod rows;
pub mod socket;
pub mod steered;
pub mod steering;
pub mod subject;
pub mod template;
pub mod trial;
pub mod usage;
pub mod wire;

use crate::cli::balance::BalanceArgs;
use crate::error::Error;
use crate::report::{balance as report, html, json, promises};
use crate::{Verdict, progress};
use backend::Protocol;
use backend::process::{Process, raise_descriptor_limit};
use client::course::Span;
use place::Place;
use rows::Row;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use subject::{Column, Service, Subject, direct, haproxy, nft, nginx, ours};
use trial::Bench;

/// The first port of a service in namespaces, where all are free.
const FIRST_PORT: u16 = 7_001;

/// Where tests name this program: theirs is another.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says where this program is, for tests of its parts: theirs is another.
pub fn set_own_program(path: PathBuf) {
    // The first one counts.
    let _ = PROGRAM.set(path);
}

/// This program, which also has the hidden commands.
pub fn own_program() -> Result<PathBuf, Error> {
    PROGRAM.get().map_or_else(|| std::env::current_exe().map_err(Error::Spawn), |p| Ok(p.clone()))
}

/// Runs the rows and prints them.
pub fn run(args: &BalanceArgs, command: &str, out: &mut dyn Write) -> Result<Verdict, Error> {
    let rows = chosen(args)?;
    if args.list_rows {
        for row in &rows {
            writeln!(out, "{:16} {}", row.name, row.about).map_err(Error::Output)?;
        }
        return Ok(Verdict::Passed);
    }
    raise_descriptor_limit();
    let (place, on_loopback) = Place::choose(args.loopback)?;
    let (subjects, absent) = subjects(args, &place)?;
    let mut bench = bench(args, place)?;
    let head = report::head(on_loopback.as_deref(), &absent, args.repetitions());
    write!(out, "{head}").map_err(Error::Output)?;
    let repetitions = args.repetitions();
    let total: usize = rows.iter().map(|row| trials(row, &subjects, repetitions)).sum();
    let bar = progress::bar(total as u64, "");
    let mut outcomes = Vec::new();
    for row in rows.iter().filter(|row| trials(row, &subjects, 1) > 0) {
        let outcome = campaign::run(&mut bench, row, &subjects, repetitions, &bar)?;
        bar.suspend(|| write!(out, "{}", report::lines(&outcome)).and_then(|()| out.flush()))
            .map_err(Error::Output)?;
        outcomes.push(outcome);
    }
    bar.finish_and_clear();
    let promises = promises::judge(&outcomes);
    write!(out, "{}", promises::table(&promises)).map_err(Error::Output)?;
    if let Some(path) = &args.output.json {
        let mut figures: Vec<_> = outcomes.iter().flat_map(report::figures).collect();
        figures.extend(promises::figures(&promises));
        json::write(path, command, &figures)?;
    }
    if let Some(path) = &args.output.html {
        html::write(path, &html::balance_page(command, &outcomes, &promises))?;
    }
    Ok(Verdict::failed_if(!outcomes.iter().all(campaign::Outcome::passed)))
}

/// How many trials a row is.
fn trials(row: &Row, subjects: &[Box<dyn Subject>], repetitions: usize) -> usize {
    let able = subjects.iter().filter(|s| s.lacks(row.protocol).is_none());
    let able = able.filter(|s| campaign::serves(s.as_ref(), row.needs));
    able.count() * row.times.of(repetitions)
}

/// The rows that were asked for.
fn chosen(args: &BalanceArgs) -> Result<Vec<Row>, Error> {
    let all = rows::all(&args.sizes());
    if args.rows.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|row| row.name == *name).cloned();
        found.ok_or_else(|| Error::UnknownRow { name: name.clone() })
    };
    args.rows.iter().map(find).collect()
}

type Subjects = (Vec<Box<dyn Subject>>, Vec<String>);

/// The balancers that were asked for, and why some of them are not there.
fn subjects(args: &BalanceArgs, place: &Place) -> Result<Subjects, Error> {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for column in args.columns() {
        let some = match column {
            Column::Direct => Ok(vec![Box::new(direct::Direct) as Box<dyn Subject>]),
            Column::Haproxy => haproxy::all(),
            Column::Nginx => nginx::all(),
            Column::Nft if place.trio().is_none() => {
                absent.push("nft: its rules need namespaces, and so root".to_owned());
                continue;
            }
            Column::Nft => nft::all(),
            Column::Fast if place.trio().is_none() => {
                absent.push("fast: its rules need namespaces, and so root".to_owned());
                continue;
            }
            Column::Proxy | Column::Fast => ours::on(column, args.berth.as_deref()),
        };
        match some {
            Ok(some) => found.extend(some),
            Err(error @ Error::NoPeer { .. }) if !args.require_peers => {
                absent.push(crate::chain(&error));
            }
            Err(error) => return Err(error),
        }
    }
    if found.is_empty() {
        return Err(Error::NothingToMeasure { why: absent.join("; ") });
    }
    Ok((found, absent))
}

fn bench(args: &BalanceArgs, place: Place) -> Result<Bench, Error> {
    let backends = Process::start(&place, &rows::wanted())?;
    let mut services = Vec::new();
    for (at, want) in rows::wanted().into_iter().enumerate() {
        let of = |endpoint: &&backend::Endpoint| endpoint.service == want.service;
        let endpoints = backends.endpoints().iter().filter(of).copied().collect();
        let front = front(&place, at, want.protocol)?;
        services.push(Service { id: want.service, protocol: want.protocol, front, endpoints });
    }
    let (warm_up, measure) = args.times();
    let span = Span {
        warm_up: Duration::from_secs_f64(warm_up),
        measure: Duration::from_secs_f64(measure),
    };
    let extra = front(&place, services.len(), Protocol::Echo)?;
    Ok(Bench { place, services, extra, backends, span, dead: Vec::new() })
}

/// Where a service is served: fixed in namespaces, on loopback wherever a port is free.
fn front(place: &Place, at: usize, protocol: Protocol) -> Result<SocketAddr, Error> {
    let address = place.service_address();
    if place.trio().is_some() {
        let port = FIRST_PORT + u16::try_from(at).unwrap_or(0);
        return Ok(SocketAddr::new(address, port));
    }
    let free = socket::any_port(address);
    let found = if protocol == Protocol::Datagram {
        UdpSocket::bind(free).and_then(|socket| socket.local_addr())
    } else {
        TcpListener::bind(free).and_then(|listener| listener.local_addr())
    };
    found.map_err(Error::Load)
}
