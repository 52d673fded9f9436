// SPDX-License-Identifier: Apache-2.0
//! What the load generator must find: backends that answer wrongly or not at all, and columns that are served by another path.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use berth_loadgen::balance::backend::Protocol;
use berth_loadgen::balance::backend::process::Process;
use berth_loadgen::balance::client::course::{Span, Tally};
use berth_loadgen::balance::client::steady::{self, Plan, Signals};
use berth_loadgen::balance::client::{Kind, PATIENCE, Target, bulk, closed, datagrams, idle, open};
use berth_loadgen::balance::message::{self, MESSAGE};
use berth_loadgen::balance::place::{Place, Role, conntrack};
use berth_loadgen::balance::rows::{Needs, Row, Sizes, all, wanted};
use berth_loadgen::balance::socket::Sources;
use berth_loadgen::balance::subject::{Column, Running, Service, Subject, nft};
use berth_loadgen::balance::trial::Bench;
use berth_loadgen::balance::wire::Wire;
use berth_loadgen::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// What is the matter with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It answers for another service.
    OtherService,
    /// It turns one bit of an answer around.
    FlippedBit,
    /// It answers what was asked before.
    OldAnswer,
    /// It reads and never answers.
    Silent,
    /// It answers some requests and then is silent, while its connection stays.
    SilentLater,
    /// It resets connections that have asked.
    Resets,
    /// It ends them in the middle of an answer.
    EndsEarly,
    /// It answers twice.
    Repeats,
}

const FAULTS: [Fault; 8] = [
    Fault::OtherService,
    Fault::FlippedBit,
    Fault::OldAnswer,
    Fault::Silent,
    Fault::SilentLater,
    Fault::Resets,
    Fault::EndsEarly,
    Fault::Repeats,
];

/// A backend with a fault; its threads end with the test's process.
fn broken(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, fault));
        }
    });
    at
}

fn answer(mut stream: TcpStream, fault: Fault) {
    let mut bytes = [0; MESSAGE];
    let mut old: Option<[u8; MESSAGE]> = None;
    let mut answered = 0;
    while stream.read_exact(&mut bytes).is_ok() {
        message::turn_into_answer(&mut bytes, 0);
        let right = bytes;
        match fault {
            Fault::OtherService => bytes[4] ^= 1,
            Fault::FlippedBit => bytes[40] ^= 4,
            Fault::OldAnswer => bytes = old.unwrap_or(right),
            Fault::Silent => continue,
            Fault::SilentLater if answered >= 3 => continue,
            Fault::SilentLater | Fault::EndsEarly | Fault::Repeats => {}
            Fault::Resets => {
                let _ = stream.write_all(&bytes[..8]);
                let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
                return;
            }
        }
        old = Some(right);
        answered += 1;
        if fault == Fault::EndsEarly {
            let _ = stream.write_all(&bytes[..32]);
            return;
        }
        let _ = stream.write_all(&bytes);
        if fault == Fault::Repeats {
            let _ = stream.write_all(&bytes);
        }
    }
}

fn target(address: SocketAddr) -> Target {
    Target { addresses: vec![address], service: 1, sources: Sources::new(Vec::new()), seed: 7 }
}

const SPAN: Span = Span { warm_up: Duration::ZERO, measure: Duration::from_millis(150) };

/// The loads over messages, each in small. Where nothing is answered each takes as long as its patience, so all run at once.
fn loads(address: SocketAddr) -> Vec<(&'static str, Tally)> {
    let closed =
        move |short| closed::run(&target(address), (2, Wire::Message, short), SPAN, &mut ());
    let held = move || {
        let target = target(address);
        let mut idle = idle::Idle::new(&target).unwrap();
        idle.grow(3).unwrap();
        for _ in 0..4 {
            if idle.tally.failures == 0 {
                idle.ask_all().unwrap();
            }
        }
        idle.rest(Duration::from_millis(50)).unwrap();
        idle.tally
    };
    let steady = move || {
        let signals = Signals::default();
        signals.held.store(3, Ordering::SeqCst);
        let ten = Duration::from_millis(10);
        let plan = Plan { every: ten, per_second: 200.0, linger: ten };
        thread::scope(|scope| {
            let target = target(address);
            let signals = &signals;
            let load = scope.spawn(move || steady::run(&target, plan, signals).unwrap().0);
            thread::sleep(Duration::from_millis(300));
            signals.stop.store(true, Ordering::SeqCst);
            load.join().unwrap()
        })
    };
    thread::scope(|scope| {
        let threads = [
            ("keep-alive", scope.spawn(move || closed(false).unwrap())),
            ("short", scope.spawn(move || closed(true).unwrap())),
            (
                "open",
                scope
                    .spawn(move || open::run(&target(address), (2, 500.0), SPAN, &mut ()).unwrap()),
            ),
            ("idle", scope.spawn(held)),
            ("steady", scope.spawn(steady)),
        ];
        threads.map(|(name, thread)| (name, thread.join().unwrap())).into()
    })
}

#[test]
fn every_fault_of_a_backend_is_found_by_every_load() {
    thread::scope(|scope| {
        for fault in FAULTS {
            scope.spawn(move || {
                for (load, tally) in loads(broken(fault)) {
                    let later =
                        matches!(fault, Fault::SilentLater | Fault::OldAnswer | Fault::Repeats);
                    // A connection that is gone after its first answer does not meet what comes later.
                    if load == "short" && later {
                        continue;
                    }
                    assert!(tally.failures > 0, "{fault:?} {load}: {tally:?}");
                    assert!(!tally.notes.is_empty(), "{fault:?} {load}");
                    let silent = matches!(fault, Fault::Silent | Fault::SilentLater);
                    if silent {
                        assert!(tally.unanswered > 0, "{fault:?} {load}: {:?}", tally.notes);
                    }
                }
            });
        }
    });
}

#[test]
fn unanswered_requests_are_failures_and_latencies_of_their_age() {
    let address = broken(Fault::Silent);
    let tally = closed::run(&target(address), (5, Wire::Message, false), SPAN, &mut ()).unwrap();
    assert_eq!((tally.operations, tally.unanswered, tally.failures), (0, 5, 5));
    let tally = open::run(&target(address), (2, 200.0), SPAN, &mut ()).unwrap();
    assert_eq!(tally.operations, 0);
    assert!(tally.unanswered >= 15, "150 ms at 200 a second: {}", tally.unanswered);
    let least = u64::try_from(PATIENCE.as_nanos()).unwrap() * 9 / 10;
    assert!(tally.latencies.min() >= least, "{}", tally.latencies.min());
    // Some connections of several are silent: the others' answers do not hide them.
    let good = served();
    let both = Target { addresses: vec![good, address], ..target(good) };
    let tally = closed::run(&both, (4, Wire::Message, false), SPAN, &mut ()).unwrap();
    assert!(tally.operations > 0);
    assert_eq!(tally.unanswered, 2, "{:?}", tally.notes);
}

/// A backend that answers as it should.
fn served() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut bytes = [0; MESSAGE];
                while stream.read_exact(&mut bytes).is_ok() {
                    message::turn_into_answer(&mut bytes, 0);
                    let _ = stream.write_all(&bytes);
                }
            });
        }
    });
    at
}

#[test]
fn an_answer_that_stalls_counts_from_when_it_was_due() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stall = Duration::from_millis(400);
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut bytes, mut count) = ([0; MESSAGE], 0);
        while stream.read_exact(&mut bytes).is_ok() {
            message::turn_into_answer(&mut bytes, 0);
            count += 1;
            if count == 20 {
                thread::sleep(stall);
            }
            let _ = stream.write_all(&bytes);
        }
    });
    // The stall is over after the measured time: what was due before is waited for, and counts with all of its time.
    let span = Span { warm_up: Duration::ZERO, measure: Duration::from_millis(300) };
    let tally = open::run(&target(address), (1, 200.0), span, &mut ()).unwrap();
    assert_eq!(tally.failures, 0, "{:?}", tally.notes);
    assert!(tally.operations >= 55, "60 were due: {}", tally.operations);
    let slow = tally.latencies.count_between(200_000_000, 60_000_000_000);
    assert!(slow >= 20, "those that were due during the stall: {slow}");
}

#[test]
fn downloads_that_are_wrong_or_stand_still_are_found() {
    for (what, stalls) in [("garbage", false), ("nothing", true)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut bytes = [0; MESSAGE];
                    let _ = stream.read_exact(&mut bytes);
                    while !stalls && stream.write_all(&[7; 4_096]).is_ok() {}
                    let _ = stream.read(&mut bytes);
                });
            }
        });
        let tally = bulk::run(&target(address), 2, SPAN, &mut ()).unwrap();
        assert!(tally.failures > 0 && tally.bytes == 0, "{what}: {:?}", tally.notes);
        assert_eq!(tally.unanswered, if stalls { 2 } else { 0 }, "{what}");
    }
}

#[test]
fn datagrams_without_an_answer_are_lost_and_wrong_ones_are_failures() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let tally = datagrams::run(&target(at), (2, 4, false), SPAN, &mut ()).unwrap();
    assert_eq!((tally.operations, tally.failures), (0, 0));
    assert!(tally.lost >= 8, "{}", tally.lost);
    let liar = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = liar.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 1_024];
        while let Ok((length, from)) = liar.recv_from(&mut bytes) {
            message::turn_into_answer(&mut bytes[..length], 0);
            bytes[100] ^= 1;
            let _ = liar.send_to(&bytes[..length], from);
        }
    });
    let tally = datagrams::run(&target(at), (2, 4, false), SPAN, &mut ()).unwrap();
    assert!(tally.failures > 0 && tally.operations == 0, "{:?}", tally.notes);
}

/// Says that it is one column, and has clients go to the endpoints themselves.
#[derive(Debug)]
struct Liar(Column, Option<&'static str>);

impl Subject for Liar {
    fn column(&self) -> Column {
        self.0
    }

    fn variant(&self) -> String {
        String::new()
    }

    fn lacks(&self, _: Protocol) -> Option<&'static str> {
        None
    }

    fn start(&self, _: &Place, _: &[Service]) -> Result<Box<dyn Running>, Error> {
        Ok(Box::new(Lie(self.1)))
    }
}

#[derive(Debug)]
struct Lie(Option<&'static str>);

impl Running for Lie {
    fn addresses(&self, service: &Service) -> Vec<SocketAddr> {
        service.endpoints.iter().map(|endpoint| endpoint.address).collect()
    }

    fn pids(&self) -> Vec<u32> {
        vec![std::process::id()]
    }

    fn path(&mut self, _: &Service) -> Result<Option<String>, Error> {
        Ok(self.0.map(str::to_owned))
    }

    fn stop(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// A bench with all services, on ports that nothing else has.
fn bench(place: Place, port: u16) -> Bench {
    berth_loadgen::balance::set_own_program(env!("CARGO_BIN_EXE_berth-loadgen").into());
    let backends = Process::start(&place, &wanted()).unwrap();
    let front =
        |at: usize| SocketAddr::new(place.service_address(), port + u16::try_from(at).unwrap());
    let service = |(at, want): (usize, berth_loadgen::balance::backend::process::Wanted)| Service {
        id: want.service,
        protocol: want.protocol,
        front: front(at),
        endpoints: backends
            .endpoints()
            .iter()
            .filter(|endpoint| endpoint.service == want.service)
            .copied()
            .collect(),
    };
    let services = wanted().into_iter().enumerate().map(service).collect();
    let extra = front(wanted().len());
    Bench { place, services, extra, backends, span: SPAN, dead: Vec::new() }
}

fn row(name: &str) -> Row {
    all(&Sizes { connections: 4, ..Sizes::default() })
        .into_iter()
        .find(|row| row.name == name)
        .unwrap()
}

#[test]
fn a_column_that_another_path_serves_fails() {
    berth_loadgen::balance::set_own_program(env!("CARGO_BIN_EXE_berth-loadgen").into());
    let (place, _) = Place::choose(true).unwrap();
    let mut bench = bench(place, 1);
    for (name, wrong) in [
        (Liar(Column::Direct, None), None),
        (
            Liar(Column::Proxy, Some("proxy")),
            Some("forwarded by nobody that is known, which is not proxy"),
        ),
        (Liar(Column::Proxy, Some("fast")), Some("the path that served was \"fast\", not proxy")),
        (Liar(Column::Proxy, None), Some("the path that served was none that it names, not proxy")),
        (
            Liar(Column::Fast, Some("fast")),
            Some("forwarded by nobody that is known, which is not fast"),
        ),
        (
            Liar(Column::Haproxy, None),
            Some("forwarded by nobody that is known, which is not haproxy"),
        ),
    ] {
        for kind in ["tcp-keepalive", "udp-one", "tcp-bulk-1", "http-short"] {
            let sample = bench.trial(&name, &row(kind), 1).unwrap();
            let Some(wrong) = wrong else {
                assert_eq!(sample.failures, 0, "{kind}: {:?}", sample.notes);
                continue;
            };
            assert!(sample.failures > 0, "{name:?} {kind}");
            let told = sample.notes.iter().any(|note| note.contains(wrong));
            assert!(told, "{name:?} {kind}: {:?}", sample.notes);
        }
    }
}

fn have(what: &str, variable: &str, there: bool) -> bool {
    if there {
        return true;
    }
    assert!(std::env::var_os(variable).is_none(), "{variable} is set, and {what} is not there");
    eprintln!("skipped: {what} is not there ({variable}=1 makes that a failure)");
    false
}

#[test]
fn the_kernels_flows_are_seen_and_forgotten_between_trials() {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let there = root && berth_loadgen::balance::subject::program::find("nft").is_some();
    if !have("root with ip and nft", "BERTH_REQUIRE_NETNS", there) {
        return;
    }
    berth_loadgen::balance::set_own_program(env!("CARGO_BIN_EXE_berth-loadgen").into());
    let (place, why) = Place::choose(false).unwrap();
    assert_eq!(why, None);
    let mut bench = bench(place, 7_001);
    let nft = nft::all().unwrap().remove(0);
    let sample = bench.trial(nft.as_ref(), &row("udp-new"), 1).unwrap();
    assert_eq!(sample.failures, 0, "{:?}", sample.notes);
    assert!(sample.path.unwrap().contains("node's kernel"));
    let flows = || {
        let count = "/proc/sys/net/netfilter/nf_conntrack_count";
        let read = || std::fs::read_to_string(count).map_err(Error::Load);
        let text = bench.place.run(Role::Node, read).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    assert!(flows() > 0, "the trial has left some");
    bench.place.forget_flows().unwrap();
    assert_eq!(flows(), 0);
    let (from, to) = ("198.18.1.2:1".parse().unwrap(), "198.18.3.10:2".parse().unwrap());
    let asked = bench
        .place
        .run(Role::Node, || conntrack::directed_to(conntrack::TCP, from, to).map_err(Error::Load));
    assert_eq!(asked.unwrap(), None, "no such flow");
}

#[test]
fn rows_that_need_more_are_not_asked_of_who_cannot() {
    let rows = all(&Sizes::default());
    let steered = rows.iter().filter(|row| row.needs == Needs::Steering);
    assert_eq!(steered.count(), 3);
    let holds = |row: &&Row| matches!(row.kind, Kind::Hold(_));
    assert!(rows.iter().find(holds).unwrap().is_steered());
}
