// SPDX-License-Identifier: Apache-2.0
//! Connections that are held while everything changes: a tenth of those that are promised, unless `BERTH_HOLD` says 8000.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::unnecessary_debug_formatting,
    clippy::unreadable_literal,
    reason = "a test that cannot go on fails"
)]

mod fixture;

use berth_balancer_core::Change;
use berth_balancer_core::model::{Algorithm, Protocol, Settings};
use berth_balancer_data::control::{Client, Unservable};
use fixture::crowd::{Echo, descriptors, number, open_from};
use fixture::process::{start, upgrade};
use fixture::{HANG, connect, endpoint, endpoints, place, service, within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections that come at a rate, each of which says a few bytes, and what became of them.
struct Newcomers {
    ends: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl Newcomers {
    /// So many a second. Each lives for as long as `stay`, and asks at its beginning and its end.
    fn start(at: SocketAddr, per_second: u32, stay: Duration) -> Self {
        let (ends, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = thread::spawn({
            let (ends, opened) = (ends.clone(), opened.clone());
            move || {
                let (mut failed, mut here) = (Vec::new(), std::collections::VecDeque::new());
                let (begun, mut number) = (Instant::now(), 0_u32);
                while !ends.load(Ordering::Relaxed) || !here.is_empty() {
                    if !ends.load(Ordering::Relaxed) {
                        // From many sources, so that ports do not run out.
                        let source = [127, 2, (number >> 8) as u8, number as u8];
                        match open_from(source, at) {
                            Ok(stream) => here.push_back((stream, Instant::now(), number)),
                            Err(error) => failed.push(format!("{number} to connect: {error}")),
                        }
                        number += 1;
                        opened.fetch_add(1, Ordering::Relaxed);
                        if let Some((stream, _, number)) = here.back_mut()
                            && let Err(error) = speak(stream, *number)
                        {
                            failed.push(format!("{number} at first: {error}"));
                        }
                    }
                    while let Some((stream, since, number)) = here.front_mut() {
                        if since.elapsed() < stay && !ends.load(Ordering::Relaxed) {
                            break;
                        }
                        if let Err(error) = speak(stream, !*number) {
                            failed.push(format!("{number} at last: {error}"));
                        }
                        here.pop_front();
                    }
                    let next = begun + Duration::from_secs(1) * number / per_second;
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                failed
            }
        });
        Self { ends, opened, thread }
    }

    /// Ends them. How many came, and what went wrong.
    fn stop(self) -> (usize, Vec<String>) {
        self.ends.store(true, Ordering::Relaxed);
        let failed = self.thread.join().unwrap();
        (self.opened.load(Ordering::Relaxed), failed)
    }
}

fn speak(stream: &mut TcpStream, number: u32) -> std::io::Result<()> {
    let (sent, mut got) = (number.to_be_bytes(), [0; 4]);
    stream.write_all(&sent)?;
    stream.read_exact(&mut got)?;
    if sent == got { Ok(()) } else { Err(std::io::Error::other("another's bytes")) }
}

/// Has all say a byte of their own, and hear it.
fn all_speak(held: &mut [TcpStream], round: usize) {
    let byte = |number: usize| (number * 31 + round * 7) as u8;
    for (stream, number) in held.iter_mut().zip(0..) {
        stream.write_all(&[byte(number)]).expect("a held connection is never reset");
    }
    for (stream, number) in held.iter_mut().zip(0..) {
        let mut got = [0];
        stream.read_exact(&mut got).expect("a held connection is never reset");
        assert_eq!(got, [byte(number)], "and never hears another's bytes");
    }
}

#[test]
fn held_connections_survive_reloads_changes_and_upgrades() {
    let count = number("BERTH_HOLD", 800);
    let reloads = number("BERTH_HOLD_RELOADS", 100);
    let changes = number("BERTH_HOLD_CHANGES", 1_000);
    let upgrades = number("BERTH_HOLD_UPGRADES", 10);
    let per_second = number("BERTH_HOLD_RATE", 200) as u32;
    // Two each in this process, and a worker's share must be enough where the kernel spreads connections unevenly.
    let wanted = (count as u64 * 2 + 3_000).max(4_096);
    if descriptors(wanted) < wanted {
        assert!(
            std::env::var_os("BERTH_REQUIRE_ROOT").is_none(),
            "{wanted} descriptors are required"
        );
        println!("skipped: {wanted} descriptors are not to be had");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let mut processes = vec![start(&path, false)];
    let mut client = connect(&path);
    let at = place(Protocol::Tcp, "127.0.0.1");
    let echoes: Vec<Echo> = (0..8).map(|_| Echo::new()).collect();
    let places: Vec<SocketAddr> = echoes.iter().map(|echo| echo.at).collect();
    let settings = |round: usize| Settings {
        algorithm: if round.is_multiple_of(2) {
            Algorithm::RoundRobin
        } else {
            Algorithm::PeakEwma
        },
        drain_ns: 3_600_000_000_000,
        ..Settings::default()
    };
    let all = vec![service("s", Protocol::Tcp, at, settings(0)), endpoints("s", &places)];
    client.apply_with(all, Unservable::Refuse).unwrap();

    let mut held: Vec<TcpStream> = Vec::new();
    let hold = |held: &mut Vec<TcpStream>, more: usize| {
        for _ in 0..more {
            let number = held.len();
            let source = [127, 1, (number >> 8) as u8, number as u8];
            let stream = open_from(source, at).expect("a new connection is never refused");
            held.push(stream);
        }
    };
    // Most of them in the first process, some in each that follows.
    hold(&mut held, count - count / 8);
    all_speak(&mut held, 0);
    let newcomers = Newcomers::start(at, per_second, Duration::from_millis(20));
    let (rounds, mut slowest) = (upgrades.max(1), Duration::ZERO);
    for round in 0..rounds {
        if round < upgrades {
            let begun = Instant::now();
            processes.push(upgrade(&path, &mut client));
            slowest = slowest.max(begun.elapsed());
            hold(&mut held, count / 8 / rounds);
        }
        for change in 0..changes / rounds {
            // One endpoint goes, and comes back as another one.
            let number = change / 2 % places.len();
            let (service, name) = ("s".into(), format!("e{number}"));
            let change = if change % 2 == 0 {
                Change::RemoveEndpoint { service, endpoint: name.into() }
            } else {
                Change::Endpoint { service, endpoint: endpoint(&name, places[number]) }
            };
            client.apply(vec![change]).unwrap();
        }
        for reload in 0..reloads / rounds {
            let (_, mut config) = client.config().unwrap();
            config.services[0].settings = settings(reload).into();
            client.replace(config, Unservable::Refuse).unwrap();
        }
        all_speak(&mut held, round + 1);
    }
    let (opened, failed) = newcomers.stop();
    println!("{} held, {opened} came and went; an upgrade took {slowest:?} at most", held.len());
    assert_eq!(failed, [] as [String; 0], "of {opened} new connections");
    assert!(opened > rounds, "{opened}");
    let resets: usize = echoes.iter().map(|echo| echo.counts.resets.load(Ordering::Relaxed)).sum();
    assert_eq!(resets, 0, "endpoints see no reset either");
    // Those that were replaced end with their last connection, and only they.
    // The last newcomers' ends may still be on their way.
    within(|| {
        let stats = client.stats().unwrap();
        let of_old: u64 = stats.predecessors.iter().map(|before| before.connections).sum();
        let own: u64 = stats.workers.iter().map(|worker| worker.connections).sum();
        (of_old + own == held.len() as u64).then_some(())
    });
    drop(held);
    let last = processes.pop();
    for process in &mut processes {
        within(|| process.0.try_wait().unwrap());
    }
    drop(last);
}

#[test]
fn a_thousand_endpoints_are_removed_and_no_connection_fails() {
    let removals = number("BERTH_REMOVALS", 1_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let _process = start(&path, false);
    let mut client: Client = connect(&path);
    let at = place(Protocol::Tcp, "127.0.0.1");
    let echoes: Vec<Echo> = (0..4).map(|_| Echo::new()).collect();
    let places: Vec<SocketAddr> = echoes.iter().map(|echo| echo.at).collect();
    let settings = Settings { drain_ns: HANG.as_nanos() as u64, ..Settings::default() };
    client.apply(vec![service("s", Protocol::Tcp, at, settings), endpoints("s", &places)]).unwrap();
    let newcomers = Newcomers::start(at, 200, Duration::from_millis(30));
    for number in 0..removals {
        let which = number % places.len();
        let name = format!("e{which}");
        let endpoint_name = name.as_str().into();
        client
            .apply(vec![Change::RemoveEndpoint { service: "s".into(), endpoint: endpoint_name }])
            .unwrap();
        // Connections are accepted in their order: those that came before this one are counted when it is answered.
        let counted = || {
            let mut direct = TcpStream::connect(places[which]).unwrap();
            speak(&mut direct, 0).unwrap();
            echoes[which].counts.accepted.load(Ordering::Relaxed)
        };
        let before = counted();
        thread::sleep(Duration::from_millis(5));
        assert_eq!(counted(), before + 1, "nobody comes who is late");
        client
            .apply(vec![Change::Endpoint {
                service: "s".into(),
                endpoint: endpoint(&name, places[which]),
            }])
            .unwrap();
    }
    let (opened, failed) = newcomers.stop();
    assert_eq!(failed, [] as [String; 0], "of {opened} connections");
    let port = &client.stats().unwrap().ports[0];
    assert_eq!(port.retries, 0);
    println!("{removals} removals, {opened} connections, none failed");
}
