// SPDX-License-Identifier: Apache-2.0
//! Traffic that means harm, or too much of it: what it costs is bounded, and others are served.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use berth_balancer_testkit::run;
use lab::{Row, Space, Talks, ask, end, have_namespaces, until};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Sends made-up packets to an address, from as many sources as asked for, some hundreds at a time.
fn flood(row: &Row, to: &str, protocol: u8, sources: u32) {
    let to: SocketAddr = to.parse().unwrap();
    let raw = row.client.run(|| {
        let raw = Some(rustix::net::Protocol::from_raw(255.try_into().unwrap()));
        socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, raw).unwrap()
    });
    for number in 0..sources {
        let from = Ipv4Addr::from_bits(0x0ac8_0000 + number);
        let packet = made_up(from, 1_024 + u16::try_from(number % 60_000).unwrap(), to, protocol);
        let _ = sendto(&raw, &packet, SendFlags::empty(), &SocketAddr::new(to.ip(), 0));
        if number % 200 == 199 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A SYN (6), or a datagram of four bytes (17).
fn made_up(from: Ipv4Addr, port: u16, to: SocketAddr, protocol: u8) -> Vec<u8> {
    let std::net::IpAddr::V4(address) = to.ip() else { panic!("IPv4 only") };
    let mut rest = Vec::new();
    rest.extend(port.to_be_bytes());
    rest.extend(to.port().to_be_bytes());
    if protocol == 6 {
        rest.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]);
        let sum = checksum(&[from.octets(), address.octets()].concat(), &rest);
        rest[16..18].copy_from_slice(&sum.to_be_bytes());
    } else {
        rest.extend([0, 12, 0, 0, 1, 2, 3, 4]); // without a checksum
    }
    let length = u16::try_from(20 + rest.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(address.octets());
    packet.extend(rest);
    packet
}

/// The way back to made-up sources ends at the client, which knows nothing of them.
fn lead_back(row: &Row) {
    row.node.sh("ip route add 10.200.0.0/16 via 10.11.0.2; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.to-client.rp_filter=0");
    row.client.sh("iptables -A INPUT -s 10.96.0.0/16 -d 10.200.0.0/16 -j DROP || true");
}

const FLOWS: &str = "1024";
const FLOWS_MAX: u64 = 1_024;

#[test]
fn a_flood_of_half_open_connections_pushes_out_itself_and_nobody_else() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    lead_back(&row);
    let mut fast = row.fast("a", &["--flows", FLOWS]);
    fast.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080 10.12.0.3:8080", "apply"]);
    let mut held: Vec<_> = (0..50).map(|_| row.client.connect("10.96.0.1:80").unwrap()).collect();
    let before = fast.resident();
    let (tries, good) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&row, "10.96.0.1:80", 6, 20_000));
        let (mut tries, mut good) = (0, 0);
        while !flooding.is_finished() {
            tries += 1;
            let client = row.client.connect_within("10.96.0.1:80", Duration::from_secs(5));
            good += u32::from(client.is_ok_and(|mut client| client.echo().is_ok()));
        }
        (tries, good)
    });
    let opened = fast.stat("opened");
    println!(
        "{good} of {tries} connections beside a flood; {opened} first packets got an endpoint"
    );
    assert!(tries > 20 && good * 100 >= tries * 99, "{good} of {tries}");
    assert!(opened > 10_000, "the flood came through to the decider: {opened}");
    assert!(fast.stat("tcp_flows") <= FLOWS_MAX);
    let grown = fast.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    for client in &mut held {
        client.echo().unwrap();
    }
    fast.stop();
}

#[test]
fn datagrams_from_very_many_sources_fill_the_books_to_their_bound_and_end_with_their_endpoint() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    lead_back(&row);
    let mut fast = row.fast("a", &["--flows", FLOWS]);
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.2:8080", "apply"]);
    let talk = row.client.udp("10.96.0.2:53");
    assert_eq!(ask(&talk).unwrap().0, "10.12.0.2");
    let before = fast.resident();
    flood(&row, "10.96.0.2:53", 17, 20_000);
    until("all are decided on", || fast.stat("opened") + fast.stat("queue_full") > 19_000);
    assert!(fast.stat("udp_flows") <= FLOWS_MAX);
    let grown = fast.resident().saturating_sub(before);
    println!("20,000 sources: {grown} bytes more");
    assert!(grown < 32 << 20);
    let mut good = 0;
    for _ in 0..100 {
        good += u32::from(row.client.ask("10.96.0.2:53").is_ok());
    }
    assert!(good >= 99, "{good} of 100 questions beside it");
    assert_eq!(ask(&talk).unwrap().0, "10.12.0.2");
    // Most of them are in no book. They leave an endpoint that is gone all the same.
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.3:8080", "apply"]);
    let entries = || {
        let table = row.node.sh("conntrack -L -p udp -r 10.12.0.2 2>/dev/null || true");
        table.lines().count()
    };
    assert!(run("conntrack", &["--version"]).is_some(), "needs the command conntrack");
    until("no flow is left at the endpoint that is gone", || entries() == 0);
    assert_eq!(ask(&talk).unwrap().0, "10.12.0.3");
    fast.stop();
}

#[test]
fn connections_that_are_in_no_book_end_with_their_endpoint() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &["--flows", "8"]);
    fast.must(&["service web tcp 10.96.0.1:80 drain-ms=500 10.12.0.2:8080", "apply"]);
    let mut held: Vec<_> = (0..24).map(|_| row.client.connect("10.96.0.1:80").unwrap()).collect();
    assert!(fast.active("web") <= 8);
    for client in &mut held {
        client.echo().unwrap();
    }
    fast.must(&["service web tcp 10.96.0.1:80 drain-ms=500 10.12.0.3:8080", "apply"]);
    for client in &mut held {
        assert_eq!(end(&mut client.stream), ErrorKind::ConnectionReset);
    }
    fast.stop();
}

#[test]
fn a_source_has_its_bounds_and_others_have_theirs() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.client.sh("ip addr add 10.11.0.3/24 dev eth0");
    let mut fast = row.fast("a", &[]);
    fast.must(&[
        "service few tcp 10.96.0.1:80 per-source=5 10.12.0.2:8080",
        "service slow udp 10.96.0.2:53 rate-per-source=3 10.12.0.2:8080",
        "apply",
    ]);
    let brief = Duration::from_millis(300);
    let mut held: Vec<_> = (0..5).map(|_| row.client.connect("10.96.0.1:80").unwrap()).collect();
    // Dropped, not refused: whoever floods learns nothing.
    let sixth = row.client.connect_within("10.96.0.1:80", brief).unwrap_err();
    assert_eq!(sixth.kind(), ErrorKind::TimedOut);
    let address: SocketAddr = "10.96.0.1:80".parse().unwrap();
    let other = row.client.run(|| connect_from("10.11.0.3:0", address));
    assert!(other.is_ok(), "another source");
    held.pop();
    until("a place is free again", || row.client.connect_within("10.96.0.1:80", brief).is_ok());
    let answered = (0..10)
        .filter(|_| {
            let socket = row.client.udp("10.96.0.2:53");
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            ask(&socket).is_ok()
        })
        .count();
    assert!((3..8).contains(&answered), "{answered} of 10 in half a second, at 3 a second");
    assert!(fast.stat("dropped") >= 3);
    fast.stop();
}

fn connect_from(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let from: SocketAddr = from.parse().unwrap();
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &from)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

#[test]
fn a_queue_that_is_full_drops_and_counts_and_is_well_again() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &["--queue", "16"]);
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.2:8080"]);
    fast.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080", "apply"]);
    let talk = row.client.udp("10.96.0.2:53");
    ask(&talk).unwrap();
    let process = fast.id().to_string();
    run("kill", &["-STOP", &process]).unwrap();
    let many: Vec<UdpSocket> = (0..100).map(|_| row.client.udp("10.96.0.2:53")).collect();
    for socket in &many {
        socket.send(b"x").unwrap();
    }
    ask(&talk).unwrap(); // what is established does not wait
    let waits = row.client.connect_within("10.96.0.1:80", Duration::from_millis(100));
    assert!(waits.is_err(), "never open");
    run("kill", &["-CONT", &process]).unwrap();
    until("it counts", || fast.stat("queue_full") >= 80);
    assert!(fast.stat("queue_full") <= 101);
    // What was dropped it may know before it has emptied its queue, and nobody sends a datagram twice.
    until("there is room again", || row.client.ask("10.96.0.2:53").is_ok());
    for _ in 0..20 {
        row.client.ask("10.96.0.2:53").unwrap();
        row.client.connect("10.96.0.1:80").unwrap();
    }
    fast.stop();
}

#[test]
fn who_is_outside_of_the_ranges_hears_nothing_on_any_way_to_the_service() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.client.sh("ip addr add 10.11.0.3/24 dev eth0; ip -6 addr add fd11::3/64 dev eth0 nodad preferred_lft 0");
    let mut fast = row.fast("a", &[]);
    let services = [
        "service t4 tcp 203.0.113.1:80 outer node-port=30080 ranges=10.11.0.3/32 10.12.0.2:8080",
        "service u4 udp 203.0.113.1:53 outer node-port=30053 ranges=10.11.0.3/32 10.12.0.2:8080",
        "service t6 tcp [2001:db8::1]:80 outer node-port=30081 ranges=fd11::3/128 [fd12::2]:8080",
        "service u6 udp [2001:db8::1]:53 outer node-port=30054 ranges=fd11::3/128 [fd12::2]:8080",
        "node 10.11.0.1 fd11::1",
    ];
    fast.must(&services);
    fast.must(&["apply"]);
    let tcp = ["203.0.113.1:80", "10.11.0.1:30080", "[2001:db8::1]:80", "[fd11::1]:30081"];
    let udp = ["203.0.113.1:53", "10.11.0.1:30053", "[2001:db8::1]:53", "[fd11::1]:30054"];
    let mapped = "[::ffff:203.0.113.1]:80";
    let brief = Duration::from_millis(300);
    let before = Instant::now();
    for address in tcp.into_iter().chain([mapped]) {
        // 10.11.0.2 and fd11::2.
        let error = row.client.run(|| {
            TcpStream::connect_timeout(&address.parse().unwrap(), brief).map(drop).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{address}");
    }
    for address in udp {
        let socket = row.client.udp(address);
        socket.set_read_timeout(Some(brief)).unwrap();
        assert_eq!(ask(&socket).unwrap_err().kind(), ErrorKind::WouldBlock, "{address}");
    }
    let dropped = fast.stat("dropped");
    assert!(dropped >= 9, "{dropped} in {:?}", before.elapsed());
    for address in tcp {
        let to: SocketAddr = address.parse().unwrap();
        let from = if to.is_ipv4() { "10.11.0.3:0" } else { "[fd11::3]:0" };
        assert!(row.client.run(|| connect_from(from, to)).is_ok(), "{address} from inside");
    }
    let from_mapped =
        row.client.run(|| connect_from("[::ffff:10.11.0.3]:0", mapped.parse().unwrap()));
    assert!(from_mapped.is_ok());
    for address in udp {
        let to: SocketAddr = address.parse().unwrap();
        let from = if to.is_ipv4() { "10.11.0.3:0" } else { "[fd11::3]:0" };
        let socket = row.client.run(|| UdpSocket::bind(from).unwrap());
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        ask(&socket).unwrap();
    }
    fast.stop();
}

#[test]
fn a_packet_that_belongs_to_no_connection_ends_none() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080", "apply"]);
    let mut client = row.client.connect("10.96.0.1:80").unwrap();
    client.echo().unwrap();
    let SocketAddr::V4(own) = client.stream.local_addr().unwrap() else { panic!("IPv4") };
    let raw = |space: &Space, protocol: u32| {
        space.run(|| {
            let protocol = Some(rustix::net::Protocol::from_raw(protocol.try_into().unwrap()));
            socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
                .unwrap()
        })
    };
    let (hears, forger) = (raw(&row.client, 6), raw(&row.client, 255));
    client.echo().unwrap();
    // The next packet of the service to the client: its numbers, and its flags.
    let next = || {
        let mut buffer = [0; 256];
        loop {
            let flags = rustix::net::RecvFlags::DONTWAIT;
            let (length, _) = rustix::net::recv(&hears, &mut buffer[..], flags).ok()?;
            let tcp = &buffer[20..length];
            if tcp[..2] == 80_u16.to_be_bytes() {
                let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
                return Some((number(4), number(8), tcp[13]));
            }
        }
    };
    let (mut seen, mut last) = (0, None);
    while let Some(packet) = next() {
        (seen, last) = (seen + 1, Some(packet));
    }
    let (theirs, ours, _) = last.unwrap();
    assert!(seen > 0);
    // Far behind the window: conntrack calls it invalid. An RST in answer to it would have the number that ends the connection.
    let forged = forged(own, "10.96.0.1:80", ours.wrapping_add(0x2000_0000), theirs);
    let to = SocketAddr::from((Ipv4Addr::new(10, 96, 0, 1), 0));
    sendto(&forger, &forged, SendFlags::empty(), &to).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    while let Some((_, _, flags)) = next() {
        assert_eq!(flags & 4, 0, "it was answered with RST");
    }
    client.echo().unwrap();
    fast.stop();
}

/// An ACK that is in order but for its number.
fn forged(from: std::net::SocketAddrV4, to: &str, number: u32, acknowledged: u32) -> Vec<u8> {
    let mut packet = made_up(*from.ip(), from.port(), to.parse().unwrap(), 6);
    packet[24..28].copy_from_slice(&number.to_be_bytes());
    packet[28..32].copy_from_slice(&acknowledged.to_be_bytes());
    packet[33] = 0x10;
    packet[36..38].copy_from_slice(&[0, 0]);
    let sum = checksum(&packet[12..20], &packet[20..]);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// TCP's checksum of a segment between these addresses.
fn checksum(addresses: &[u8], segment: &[u8]) -> u16 {
    let length = u16::try_from(segment.len()).unwrap().to_be_bytes();
    let all = [addresses, &[0, 6], &length, segment].concat();
    let mut sum: u32 = all.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

#[test]
fn a_storm_of_lost_events_does_not_read_the_table_all_the_time() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &["--event-bytes", "2304"]);
    fast.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080 10.12.0.3:8080", "apply"]);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_secs(3) {
                    drop(row.client.connect("10.96.0.1:80"));
                }
            });
        }
    });
    let (lost, read) = (fast.stat("overflows"), fast.stat("resyncs"));
    println!("events lost {lost} times, the table read {read} times in {:?}", begun.elapsed());
    assert!(read <= begun.elapsed().as_secs() + 3);
    until("books and table are equal", || fast.active("web") == 0);
    fast.stop();
}
