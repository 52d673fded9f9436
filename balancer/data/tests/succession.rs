// SPDX-License-Identifier: Apache-2.0
//! Binary upgrades: processes that take over from one another while connections and flows are held.
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

use berth_balancer_core::model::{Algorithm, ClientIp, Limits, Outlier, Protocol, Settings};
use berth_balancer_data::control::{Client, Unservable};
use fixture::crowd::open_from;
use fixture::process::{start, upgrade};
use fixture::{HANG, connect, endpoints, place, service, within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(got @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..got]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    at
}

fn echo_datagrams() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // Who asks says which flow this is, seen from here.
            let _ = socket.send_to(from.to_string().as_bytes(), from);
        }
    });
    at
}

fn speak(stream: &mut TcpStream, byte: u8) -> std::io::Result<()> {
    let mut got = [0];
    stream.write_all(&[byte])?;
    stream.read_exact(&mut got)?;
    assert_eq!(got, [byte]);
    Ok(())
}

fn open(at: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(HANG))?;
    Ok(stream)
}

#[test]
fn ten_upgrades_reset_nobody_and_lose_no_new_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let mut processes = vec![start(&path, false)];
    let mut client = connect(&path);
    let (tcp, udp) = (place(Protocol::Tcp, "127.0.0.1"), place(Protocol::Udp, "127.0.0.1"));
    let (to, datagrams) = (echo(), echo_datagrams());
    client
        .apply_with(
            vec![
                service("t", Protocol::Tcp, tcp, Settings::default()),
                service("u", Protocol::Udp, udp, Settings::default()),
                endpoints("t", &[to]),
                endpoints("u", &[datagrams]),
            ],
            Unservable::Refuse,
        )
        .unwrap();
    let mut held: Vec<TcpStream> = (0..100).map(|_| open(tcp).unwrap()).collect();
    let talks = UdpSocket::bind("127.0.0.1:0").unwrap();
    talks.connect(udp).unwrap();
    talks.set_read_timeout(Some(HANG)).unwrap();
    let ask = || {
        talks.send(b"?").unwrap();
        let mut buffer = [0; 64];
        let got = talks.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..got]).into_owned()
    };
    let flow = ask();
    let (ends, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let newcomers = thread::spawn({
        let (ends, opened) = (ends.clone(), opened.clone());
        move || {
            while !ends.load(Ordering::Relaxed) {
                let mut stream = open(tcp).expect("a new connection is never refused");
                speak(&mut stream, 7).expect("nor reset");
                opened.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for round in 0..10_u8 {
        let before = client.greeting().pid;
        processes.push(start(&path, true));
        client = within(|| Client::connect(&path).ok().filter(|c| c.greeting().pid != before));
        within(|| {
            client
                .stats()
                .ok()
                .filter(|stats| stats.predecessors.len() > usize::from(round))
                .or_else(|| {
                    // Those without a connection have ended.
                    client.stats().ok().filter(|stats| !stats.predecessors.is_empty())
                })
        });
        for stream in &mut held {
            speak(stream, round).unwrap();
        }
        assert_eq!(ask(), flow, "a flow keeps its endpoint, and its port towards it");
        held.push(open(tcp).unwrap());
    }
    ends.store(true, Ordering::Relaxed);
    newcomers.join().unwrap();
    assert!(opened.load(Ordering::Relaxed) > 10);
    // The old processes take changes: their connections are drained as the table says.
    let (_, config) = client.config().unwrap();
    assert_eq!(config.services.len(), 2);
    let drains_at_once = Settings { drain_ns: 0, ..Settings::default() };
    client.apply(vec![service("t", Protocol::Tcp, tcp, drains_at_once)]).unwrap();
    client.apply(vec![endpoints("t", &[])]).unwrap();
    for stream in &mut held {
        let broke = stream.read(&mut [0]).unwrap_err();
        assert_eq!(broke.kind(), std::io::ErrorKind::ConnectionReset);
    }
    // Without connections they end by themselves.
    let last = processes.pop().unwrap();
    for process in &mut processes {
        within(|| process.0.try_wait().unwrap());
    }
    drop(last);
}

#[test]
fn no_datagram_is_lost_in_an_upgrade_nor_goes_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let mut processes = vec![start(&path, false)];
    let mut client = connect(&path);
    let at = place(Protocol::Udp, "127.0.0.1");
    let settings = Settings { algorithm: Algorithm::RoundRobin, ..Settings::default() };
    let several: Vec<SocketAddr> = (0..3).map(|_| echo_datagrams()).collect();
    client
        .apply(vec![service("u", Protocol::Udp, at, settings), endpoints("u", &several)])
        .unwrap();
    let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let talkers: Vec<_> = (0..16)
        .map(|_| {
            let (ends, asked) = (ends.clone(), asked.clone());
            thread::spawn(move || {
                let talks = UdpSocket::bind("127.0.0.1:0").unwrap();
                talks.connect(at).unwrap();
                talks.set_read_timeout(Some(HANG)).unwrap();
                // The endpoint answers with the address from which it is asked: the flow's own, and no two flows have the same.
                let (mut flow, mut buffer) = (Vec::new(), [0; 64]);
                while !ends.load(Ordering::Relaxed) {
                    for _ in 0..4 {
                        talks.send(b"?").unwrap();
                    }
                    for _ in 0..4 {
                        let got = talks.recv(&mut buffer).expect("no datagram is lost");
                        if flow.is_empty() {
                            flow = buffer[..got].to_vec();
                        }
                        assert_eq!(flow, buffer[..got], "it stays with its endpoint");
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            })
        })
        .collect();
    within(|| (asked.load(Ordering::Relaxed) > 200).then_some(()));
    for _ in 0..10 {
        processes.push(upgrade(&path, &mut client));
        let before = asked.load(Ordering::Relaxed);
        within(|| (asked.load(Ordering::Relaxed) > before + 200).then_some(()));
    }
    ends.store(true, Ordering::Relaxed);
    talkers.into_iter().for_each(|talker| talker.join().unwrap());
}

#[test]
fn a_successor_knows_what_the_process_before_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let first = start(&path, false);
    let mut client = connect(&path);
    let places: Vec<SocketAddr> = (0..4).map(|_| place(Protocol::Tcp, "127.0.0.1")).collect();
    let [sick, failing, sticky, few] = places[..] else { unreachable!() };
    let outlier = Outlier { failures: 1, ejection_ns: 300_000_000_000, ..Outlier::default() };
    let turns = Settings { algorithm: Algorithm::RoundRobin, ..Settings::default() };
    let (one, two, nobody) = (echo(), echo(), place(Protocol::Tcp, "127.0.0.1"));
    let affinity = Some(ClientIp { timeout_ns: 3_600_000_000_000 });
    let limits = Limits { connections_per_source_max: Some(2), ..Limits::default() };
    client
        .apply(vec![
            service("sick", Protocol::Tcp, sick, turns.clone()),
            endpoints("sick", &[one, two]),
            service(
                "failing",
                Protocol::Tcp,
                failing,
                Settings { outlier: Some(outlier), ..turns.clone() },
            ),
            endpoints("failing", &[nobody, one]),
            service("sticky", Protocol::Tcp, sticky, Settings { affinity, ..turns.clone() }),
            endpoints("sticky", &[one, two]),
            service("few", Protocol::Tcp, few, Settings { limits, ..turns }),
            endpoints("few", &[one]),
        ])
        .unwrap();
    client.health(("sick".into(), "".into()), "e0".into(), false).unwrap();
    // Often enough that each worker has seen the one that fails.
    for _ in 0..100 {
        speak(&mut open(failing).unwrap(), 1).unwrap();
    }
    let opened = |client: &mut Client, service: &str| -> Vec<u64> {
        let stats = client.stats().unwrap();
        let port = stats.ports.iter().find(|port| &*port.service == service).unwrap();
        port.endpoints.iter().map(|endpoint| endpoint.opened).collect()
    };
    let mut of: Vec<usize> = Vec::new();
    for source in 1..=20 {
        let before = opened(&mut client, "sticky");
        let mut stream: TcpStream = open_from([127, 0, 1, source], sticky).unwrap();
        speak(&mut stream, source).unwrap();
        let after = opened(&mut client, "sticky");
        of.push(usize::from(after[0] == before[0]));
    }
    assert!(of.contains(&0) && of.contains(&1));
    let mut held: Vec<TcpStream> = (0..2).map(|_| open(few).unwrap()).collect();
    held.iter_mut().for_each(|stream| speak(stream, 1).unwrap());
    let mut old = Client::connect(&path).unwrap();
    let _second = upgrade(&path, &mut client);

    let stats = client.stats().unwrap();
    let port = stats.ports.iter().find(|port| &*port.service == "sick").unwrap();
    assert_eq!(port.endpoints.iter().map(|e| e.is_healthy).collect::<Vec<_>>(), [false, true]);
    for _ in 0..100 {
        speak(&mut open(failing).unwrap(), 1).unwrap();
    }
    assert_eq!(opened(&mut client, "failing")[0], 0, "it is ejected still");
    for (source, endpoint) in (1..=20).zip(of) {
        let before = opened(&mut client, "sticky");
        let mut stream = open_from([127, 0, 1, source], sticky).unwrap();
        speak(&mut stream, source).unwrap();
        let after = opened(&mut client, "sticky");
        assert_eq!(after[endpoint], before[endpoint] + 1, "a client keeps its endpoint");
    }
    speak(&mut open(few).unwrap(), 1).expect_err("two connections are held by the other process");
    speak(&mut held[0], 2).unwrap();
    held.pop();
    within(|| speak(&mut open(few).unwrap(), 1).ok());
    // A control plane that is connected to the old process must not be told that its change is in effect.
    let error = old.apply(vec![endpoints("sick", &[one])]).unwrap_err();
    assert!(error.is_broken(), "{error}");
    drop(held);
    drop(first);
}
