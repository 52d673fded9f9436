// SPDX-License-Identifier: Apache-2.0
//! Who may use a service: source ranges over TCP and UDP, and PROXY headers that lie or are malformed.
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
use berth_balancer_core::model::{Cidr, Protocol, ProxyProtocol, Settings};
use fixture::crowd::Echo;
use fixture::{HANG, Plane, endpoints, place, service};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn open(at: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(HANG))?;
    Ok(stream)
}

/// A PROXY header of version 2 that names an IPv6 client.
fn header_v6(source: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    bytes.extend(source.octets());
    bytes.extend(std::net::Ipv6Addr::LOCALHOST.octets());
    bytes.extend([0x10, 0, 0, 80]);
    bytes
}

/// As [`service`], at a load balancer's address: there source ranges count.
fn ranged(protocol: Protocol, at: SocketAddr, ranges: &[&str], proxy_in: ProxyProtocol) -> Change {
    let source_ranges: Vec<Cidr> = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let settings = Settings { source_ranges, proxy_in, ..Settings::default() };
    let Change::Service(mut service) = service("a", protocol, at, settings) else { unreachable!() };
    service.load_balancer_ips = std::mem::take(&mut service.cluster_ips);
    Change::Service(service)
}

#[test]
fn a_forged_header_opens_nothing() {
    let to = Echo::new();
    // Who may connect, who may be named, whom the header names, whether that is served.
    let cases: [(&[&str], &str, bool); 6] = [
        (&["127.0.0.0/8", "192.0.2.0/24"], "::ffff:192.0.2.7", true),
        (&["127.0.0.0/8", "192.0.2.0/24"], "::ffff:198.51.100.7", false),
        (&["127.0.0.0/8", "2001:db8::/32"], "2001:db8::1", true),
        (&["127.0.0.0/8", "2001:db8::/32"], "2001:db9::1", false),
        // The header is right, and who sends it may not.
        (&["192.0.2.0/24"], "::ffff:192.0.2.7", false),
        (&["::ffff:127.0.0.0/104", "::ffff:192.0.2.0/120"], "::ffff:192.0.2.7", true),
    ];
    for (ranges, named, served) in cases {
        let mut plane = Plane::start();
        let at = place(Protocol::Tcp, "127.0.0.1");
        plane.apply(vec![
            ranged(Protocol::Tcp, at, ranges, ProxyProtocol::V2),
            endpoints("a", &[to.at]),
        ]);
        let mut stream = open(at).unwrap();
        let _ = stream.write_all(&[&header_v6(named)[..], b"x"].concat());
        let got = stream.read_exact(&mut [0]);
        assert_eq!(got.is_ok(), served, "{ranges:?} {named}: {got:?}");
        let opened = plane.client.stats().unwrap().ports[0].endpoints[0].opened;
        assert_eq!(opened, u64::from(served), "{ranges:?} {named}");
    }
}

#[test]
fn headers_of_wrong_lengths_are_closed() {
    let to = Echo::new();
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    let settings = Settings { proxy_in: ProxyProtocol::V2, ..Settings::default() };
    plane.apply(vec![service("a", Protocol::Tcp, at, settings), endpoints("a", &[to.at])]);
    let right = header_v6("2001:db8::1");
    let with_length = |length: u16| {
        let mut bytes = right.clone();
        bytes[14..16].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    // Too short for its addresses; longer than what may be; parts behind the addresses that end beyond the header.
    let mut wrong: Vec<Vec<u8>> = (0..36).map(with_length).collect();
    wrong.extend([with_length(521), with_length(u16::MAX)]);
    for rest in [&[4_u8, 0xff, 0xff][..], &[4, 0, 9, 1], &[4], &[4, 0]] {
        wrong.push([&with_length(36 + rest.len() as u16)[..], rest].concat());
    }
    let count = wrong.len();
    for mut bytes in wrong {
        bytes.extend([b'x'; 64]);
        let mut stream = open(at).unwrap();
        let _ = stream.write_all(&bytes);
        let error = stream.read_exact(&mut [0]).unwrap_err();
        assert!([ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&error.kind()));
    }
    let stats = plane.client.stats().unwrap();
    assert_eq!(stats.workers.iter().map(|worker| worker.malformed).sum::<u64>(), count as u64);
    assert_eq!(stats.ports[0].endpoints[0].opened, 0, "no byte reached an endpoint");
}

#[test]
fn source_ranges_hold_for_datagrams_too() {
    let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = backend.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    thread::spawn({
        let asked = asked.clone();
        move || {
            while let Ok((got, from)) = backend.recv_from(&mut [0; 16]) {
                asked.fetch_add(1, Ordering::Relaxed);
                let _ = backend.send_to(&[9; 16][..got], from);
            }
        }
    });
    for (ip, ranges, served) in [
        ("127.0.0.1", &["127.0.0.1/32"][..], true),
        ("127.0.0.1", &["::ffff:127.0.0.1/128"], true),
        ("127.0.0.1", &["127.0.0.2/32", "10.0.0.0/8", "::/0"], false),
        ("::1", &["::1/128"], true),
        ("::1", &["0.0.0.0/0", "2001:db8::/32"], false),
    ] {
        let mut plane = Plane::start();
        let at = place(Protocol::Udp, ip);
        plane.apply(vec![
            ranged(Protocol::Udp, at, ranges, ProxyProtocol::Off),
            endpoints("a", &[to]),
        ]);
        let before = asked.load(Ordering::Relaxed);
        let socket = UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        socket.connect(at).unwrap();
        let patience = if served { HANG } else { Duration::from_millis(100) };
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.send(b"?").unwrap();
        assert_eq!(socket.recv(&mut [0; 16]).is_ok(), served, "{ip} {ranges:?}");
        assert_eq!(asked.load(Ordering::Relaxed) - before, usize::from(served));
        let stats = plane.client.stats().unwrap();
        assert_eq!(stats.ports[0].refused[2], u64::from(!served));
    }
}
