// SPDX-License-Identifier: Apache-2.0
//! Datagrams through a data plane, over real sockets.
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

use berth_balancer_core::model::{Algorithm, Protocol, Settings, Timeouts};
use fixture::{HANG, Plane, endpoints, place, service, within};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

/// An endpoint that answers each datagram with its own name before it, but those of a flood.
fn backend(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((got, from)) = socket.recv_from(&mut buffer) {
            if &buffer[..got] != b"flood" {
                let _ = socket.send_to(&[name.as_bytes(), &buffer[..got]].concat(), from);
            }
        }
    });
    at
}

fn client(at: SocketAddr) -> UdpSocket {
    let any = if at.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket.connect(at).unwrap();
    socket
}

fn ask(socket: &UdpSocket, text: &[u8]) -> Vec<u8> {
    socket.send(text).unwrap();
    let mut buffer = vec![0; 65_536];
    let got = socket.recv(&mut buffer).unwrap();
    buffer.truncate(got);
    buffer
}

fn serving(settings: Settings, ip: &str, at: &[SocketAddr]) -> (Plane, SocketAddr) {
    let mut plane = Plane::start();
    let place = place(Protocol::Udp, ip);
    plane.apply(vec![service("a", Protocol::Udp, place, settings), endpoints("a", at)]);
    (plane, place)
}

#[test]
fn a_flow_stays_with_its_endpoint_and_is_answered_from_where_it_asked() {
    let settings = || Settings { algorithm: Algorithm::RoundRobin, ..Settings::default() };
    for ip in ["127.0.0.1", "::1"] {
        let (mut plane, at) = serving(settings(), ip, &[backend("x"), backend("y")]);
        // A connected socket hears nobody but the address it asked.
        let clients: Vec<UdpSocket> = (0..16).map(|_| client(at)).collect();
        let first: Vec<Vec<u8>> = clients.iter().map(|socket| ask(socket, b"")).collect();
        for (socket, first) in clients.iter().zip(&first) {
            assert!((0..5).all(|_| ask(socket, b"") == *first));
        }
        assert!(first.contains(&b"x".to_vec()) && first.contains(&b"y".to_vec()));
        let stats = plane.client.stats().unwrap();
        assert_eq!((stats.ports[0].accepted, stats.ports[0].active), (16, 16));
    }
}

#[test]
fn large_and_empty_datagrams_and_bursts_pass_whole() {
    let (_plane, at) = serving(Settings::default(), "127.0.0.1", &[backend("")]);
    let socket = client(at);
    for bytes in [0, 1, 1_472, 9_000, 65_000] {
        assert_eq!(ask(&socket, &vec![7; bytes]), vec![7; bytes]);
    }
    for number in 0..100_u8 {
        socket.send(&[number]).unwrap();
    }
    let mut got: Vec<u8> = Vec::new();
    for _ in 0..100 {
        let mut one = [0];
        assert_eq!(socket.recv(&mut one).unwrap(), 1);
        got.push(one[0]);
    }
    assert_eq!(got, (0..100).collect::<Vec<u8>>(), "in order");
}

#[test]
fn the_flows_of_a_removed_endpoint_go_elsewhere_at_once() {
    let (x, y) = (backend("x"), backend("y"));
    let (mut plane, at) = serving(Settings::default(), "127.0.0.1", &[x]);
    let socket = client(at);
    assert_eq!(ask(&socket, b""), b"x");
    for (to, name) in [(y, b"y"), (x, b"x"), (y, b"y")] {
        plane.apply(vec![endpoints("a", &[to])]);
        assert_eq!(ask(&socket, b""), name);
    }
}

#[test]
fn without_an_endpoint_a_client_is_told_that_the_port_is_closed() {
    let (mut plane, at) = serving(Settings::default(), "127.0.0.1", &[backend("x")]);
    let socket = client(at);
    assert_eq!(ask(&socket, b""), b"x");
    plane.apply(vec![endpoints("a", &[])]);
    socket.send(b"?").unwrap();
    let refused = socket.recv(&mut [0]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    plane.apply(vec![endpoints("a", &[backend("y")])]);
    assert_eq!(ask(&socket, b""), b"y");
}

#[test]
fn an_endpoint_that_refuses_is_left_for_another() {
    let nobody = place(Protocol::Udp, "127.0.0.1");
    let settings = Settings { algorithm: Algorithm::RoundRobin, ..Settings::default() };
    let (_plane, at) = serving(settings, "127.0.0.1", &[nobody, backend("x")]);
    for _ in 0..8 {
        let socket = client(at);
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        within(|| {
            let _ = socket.send(b"");
            let mut buffer = [0; 8];
            socket.recv(&mut buffer).is_ok_and(|got| &buffer[..got] == b"x").then_some(())
        });
    }
}

#[test]
fn a_silent_flow_expires() {
    let timeouts = Timeouts {
        udp_unreplied_ns: 50_000_000,
        udp_replied_ns: 100_000_000,
        ..Timeouts::default()
    };
    let (mut plane, at) =
        serving(Settings { timeouts, ..Settings::default() }, "127.0.0.1", &[backend("x")]);
    assert_eq!(ask(&client(at), b""), b"x");
    let ended = within(|| {
        let stats = plane.client.stats().unwrap();
        (stats.ports[0].active == 0).then_some(stats)
    });
    assert_eq!(ended.workers.iter().map(|worker| worker.flows).sum::<u64>(), 0);
}

#[test]
fn a_flood_of_sources_takes_bounded_room_and_spares_conversations() {
    let mut plane = Plane::with(|options| options.flows_max = 64);
    let at = place(Protocol::Udp, "127.0.0.1");
    plane.apply(vec![
        service("a", Protocol::Udp, at, Settings::default()),
        endpoints("a", &[backend("x"), backend("y")]),
    ]);
    let talks = client(at);
    let who = ask(&talks, b"");
    // In lots that a socket's buffer holds: what the kernel drops before a worker comes to it is no flow. A source may come twice, since the
    // kernel gives ports again.
    let mut sources = 0;
    let stats = within(|| {
        (0..50).for_each(|_| assert_eq!(client(at).send(b"flood").unwrap(), 5));
        sources += 50;
        let stats = plane.client.stats().unwrap();
        let taken = stats.ports[0].accepted;
        assert!(taken <= sources + 1, "{taken} flows of {sources} sources");
        (taken >= 450).then_some(stats)
    });
    assert_eq!(ask(&talks, b""), who);
    let flows = stats.workers.iter().map(|worker| worker.flows).sum::<u64>();
    let evicted = stats.workers.iter().map(|worker| worker.evicted).sum::<u64>();
    assert!(flows <= 64, "{flows} flows");
    assert!(evicted >= 450 - 64, "{evicted} evicted");
}

#[test]
fn that_an_endpoint_has_no_such_port_is_told_to_the_client() {
    if rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::RAW,
        Some(rustix::net::ipproto::ICMP),
    )
    .is_err()
    {
        assert!(std::env::var_os("BERTH_REQUIRE_ROOT").is_none(), "CAP_NET_RAW is required");
        println!("skipped: telling clients that a port is unreachable needs CAP_NET_RAW");
        return;
    }
    for ip in ["127.0.0.1", "::1"] {
        let nobody = place(Protocol::Udp, "127.0.0.1");
        let (_plane, at) = serving(Settings::default(), ip, &[nobody]);
        let socket = client(at);
        socket.send(b"?").unwrap();
        let refused = socket.recv(&mut [0]).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
