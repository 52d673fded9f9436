// SPDX-License-Identifier: Apache-2.0
//! Floods, crowds, slow readers, reused addresses: the bound that holds, and who is not harmed.
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
use berth_balancer_core::model::{Limits, Protocol, Settings};
use berth_balancer_data::control::Client;
use fixture::crowd::{Echo, descriptors, number, open_from};
use fixture::process::{Process, start, start_with};
use fixture::{HANG, Plane, connect, endpoint, endpoints, place, service, within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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

/// An address of loopback's network, another for each number.
fn address(number: usize) -> [u8; 4] {
    [127, 16 + (number >> 16) as u8, (number >> 8) as u8, number as u8]
}

/// A process with one TCP service, that may have so many descriptors.
fn serving(
    descriptors: u32,
    settings: Settings,
    to: SocketAddr,
) -> (tempfile::TempDir, Process, Client, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let process = start_with(&path, descriptors);
    let mut client = connect(&path);
    let at = place(Protocol::Tcp, "127.0.0.1");
    client.apply(vec![service("a", Protocol::Tcp, at, settings), endpoints("a", &[to])]).unwrap();
    (folder, process, client, at)
}

#[test]
fn where_descriptors_run_out_old_connections_go_on_and_new_ones_wait() {
    // 64 are kept back; of the rest seven eighths go to connections, two each.
    let to = Echo::new();
    let (folder, mut process, mut client, at) = serving(256, Settings::default(), to.at);
    let mut old = open(at).unwrap();
    speak(&mut old, 1).unwrap();
    // One source alone does not get all there is.
    let mut crowd: Vec<TcpStream> = (0..200).map(|_| open(at).unwrap()).collect();
    within(|| {
        let crowded = client.stats().ok()?.workers.iter().all(|worker| worker.crowded > 0);
        crowded.then_some(())
    });
    crowd.extend((2..200).map(|number| open_from(address(number), at).unwrap()));
    within(|| {
        let paused = client.stats().ok()?.workers.iter().all(|worker| worker.paused > 0);
        paused.then_some(())
    });
    let before = process.ticks();
    thread::sleep(Duration::from_secs(1));
    assert!(process.ticks() - before <= 10, "no busy loop: at most a tenth of a core");
    for _ in 0..50 {
        speak(&mut old, 2).unwrap();
    }
    client.stats().expect("the control socket answers");
    Client::connect(&folder.path().join("control")).expect("and takes another control plane");
    crowd.clear();
    let begun = Instant::now();
    speak(&mut open(at).unwrap(), 3).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(process.0.try_wait().unwrap().is_none());
}

/// How long a connection with one question takes, the slowest of a hundred left out.
fn slow(at: SocketAddr, count: usize) -> Duration {
    let mut times: Vec<Duration> = (0..count)
        .map(|number| {
            let begun = Instant::now();
            speak(&mut open_from(address(number), at).unwrap(), 9)
                .expect("a healthy client is served");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[count * 99 / 100]
}

#[test]
fn thousands_of_idle_and_slow_clients_do_not_slow_others() {
    let count = number("BERTH_SLOW", 4_000);
    let wanted = count as u64 * 3 + 1_000;
    if descriptors(wanted) < wanted {
        assert!(
            std::env::var_os("BERTH_REQUIRE_ROOT").is_none(),
            "{wanted} descriptors are required"
        );
        println!("skipped: {wanted} descriptors are not to be had");
        return;
    }
    let to = Echo::new();
    let limits = Limits { connections_per_source_max: Some(100), ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let (_folder, process, mut client, at) = serving(count as u32 * 4, settings, to.at);
    let before = slow(at, 500);
    // Some say nothing, some say a byte now and then, some have ended their half.
    let mut crowd: Vec<TcpStream> = Vec::new();
    for number in 0..count {
        let mut stream = open_from([127, 3, 0, (number / 100) as u8], at).unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"s").unwrap(),
            _ => stream.shutdown(std::net::Shutdown::Write).unwrap(),
        }
        crowd.push(stream);
    }
    // Half-closed ones end, since the echo ends too.
    within(|| {
        let stats = client.stats().ok()?;
        (stats.ports[0].active as usize <= count * 2 / 3 + 1).then_some(())
    });
    let idle = process.ticks();
    let drips = Arc::new(AtomicBool::new(true));
    let dripping = thread::spawn({
        let drips = drips.clone();
        let mut slow: Vec<TcpStream> =
            crowd.iter().skip(1).step_by(3).map(|stream| stream.try_clone().unwrap()).collect();
        move || {
            while drips.load(Ordering::Relaxed) {
                for stream in &mut slow {
                    let _ = stream.write_all(b"s");
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    });
    let after = slow(at, 500);
    drips.store(false, Ordering::Relaxed);
    dripping.join().unwrap();
    println!(
        "99th of 100: {before:?} alone, {after:?} beside {count}; {} ticks",
        process.ticks() - idle
    );
    assert!(after <= before * 2 + Duration::from_millis(20), "{before:?} became {after:?}");
    // A source that is at its bound gets no more, and others do.
    let mut more = open_from([127, 3, 0, 0], at).unwrap();
    let held =
        crowd.iter().take(100).filter(|s| s.local_addr().unwrap().ip().to_string() == "127.3.0.0");
    if held.count() == 100 {
        let free = 100 - (0..100).filter(|number| number % 3 != 2).count();
        let several: Vec<_> = (0..free).map(|_| open_from([127, 3, 0, 0], at).unwrap()).collect();
        within(|| (client.stats().ok()?.ports[0].refused[6] > 0).then_some(()));
        drop(several);
    }
    let _ = speak(&mut more, 1);
    speak(&mut open_from([127, 3, 1, 1], at).unwrap(), 1).unwrap();
}

#[test]
fn fast_writers_to_slow_readers_hold_bounded_memory() {
    let count = number("BERTH_STALLED", 1_000);
    let wanted = count as u64 * 4 + 1_000;
    if descriptors(wanted) < wanted {
        assert!(
            std::env::var_os("BERTH_REQUIRE_ROOT").is_none(),
            "{wanted} descriptors are required"
        );
        println!("skipped: {wanted} descriptors are not to be had");
        return;
    }
    // It never reads, and has little room: so has the writer, since the kernel's memory is not what is looked at.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&deaf, 4_096).unwrap();
    let to = deaf.local_addr().unwrap();
    let _keeps = thread::spawn(move || {
        let all: Vec<TcpStream> = deaf.incoming().flatten().collect();
        drop(all);
    });
    let (_folder, process, mut client, at) = serving(count as u32 * 8, Settings::default(), to);
    let before = process.memory();
    let mut writers: Vec<TcpStream> = (0..count)
        .map(|number| {
            let stream = open_from(address(number), at).unwrap();
            rustix::net::sockopt::set_socket_send_buffer_size(&stream, 65_536).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let block = vec![7; 65_536];
    let mut still = 0;
    while still < 20 {
        let mut moved = 0;
        for stream in &mut writers {
            while let Ok(sent) = stream.write(&block) {
                moved += sent;
            }
        }
        still = if moved == 0 { still + 1 } else { 0 };
        thread::sleep(Duration::from_millis(10));
    }
    let own = process.memory().saturating_sub(before);
    let pipes = process.pipes() * (256 << 10);
    println!("{count} stalled: {own} bytes of memory, {pipes} bytes of pipes");
    assert!(own + pipes as u64 <= count as u64 * (256 << 10));
    let idle = process.ticks();
    thread::sleep(Duration::from_millis(500));
    assert!(process.ticks() - idle <= 5, "who waits does nothing");
    // What was kept is given back.
    for stream in writers {
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    within(|| (client.stats().ok()?.ports[0].active == 0).then_some(()));
}

#[test]
fn a_reused_address_never_gets_another_services_bytes() {
    let wanted = number("BERTH_STORM", 20_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let _process = start(&path, false);
    let mut client = connect(&path);
    let at = [place(Protocol::Tcp, "127.0.0.1"), place(Protocol::Tcp, "127.0.0.1")];
    let names = ["x", "y"];
    let settings = || Settings { drain_ns: 0, ..Settings::default() };
    client
        .apply(vec![
            service("x", Protocol::Tcp, at[0], settings()),
            service("y", Protocol::Tcp, at[1], settings()),
        ])
        .unwrap();
    // Pods, each with the service that it is of. One of each service stays, the others go from one to the other.
    let mut pods: Vec<(Echo, usize)> = (0..6)
        .map(|number| {
            (
                Echo::at(
                    ([127, 5, 0, 1 + number as u8], 0).into(),
                    Some(names[number % 2].as_bytes()[0]),
                ),
                number % 2,
            )
        })
        .collect();
    let named = |pod: usize| format!("e{pod}");
    for (number, (pod, of)) in pods.iter().enumerate() {
        let endpoint = endpoint(&named(number), pod.at);
        client.apply(vec![Change::Endpoint { service: names[*of].into(), endpoint }]).unwrap();
    }
    let (ends, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4_usize)
        .map(|thread| {
            let (ends, served) = (ends.clone(), served.clone());
            thread::spawn(move || {
                let (mut number, mut buffer) = (0_u64, [0; 9]);
                while !ends.load(Ordering::Relaxed) {
                    number += 1;
                    let of = (number % 2) as usize;
                    let Ok(mut stream) = open(at[of]) else { continue };
                    // Neither side is to remember the connection: there are too many.
                    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                    let nonce = (number << 8 | thread as u64).to_be_bytes();
                    let sent = [&names[of].as_bytes()[..1], &nonce].concat();
                    // A pod that dies takes its connections with it; bytes that do come are the client's own.
                    if stream.write_all(&sent).is_ok() && stream.read_exact(&mut buffer).is_ok() {
                        assert_eq!(buffer[..], sent[..]);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let (mut moves, mut foreign) = (0, 0);
    while served.load(Ordering::Relaxed) < wanted {
        let number = 2 + moves % 4;
        let (pod, of) = pods.remove(number);
        let (to, at) = (1 - of, pod.at);
        client
            .apply(vec![Change::RemoveEndpoint {
                service: names[of].into(),
                endpoint: named(number).into(),
            }])
            .unwrap();
        foreign += pod.counts.foreign.load(Ordering::Relaxed);
        drop(pod);
        let pod = Echo::at(at, Some(names[to].as_bytes()[0]));
        let endpoint = endpoint(&named(number), at);
        client.apply(vec![Change::Endpoint { service: names[to].into(), endpoint }]).unwrap();
        pods.insert(number, (pod, to));
        moves += 1;
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    foreign +=
        pods.iter().map(|(pod, _)| pod.counts.foreign.load(Ordering::Relaxed)).sum::<usize>();
    println!("{} connections, {moves} addresses reused", served.load(Ordering::Relaxed));
    assert_eq!(foreign, 0, "bytes that reached another service");
    assert!(moves > 10);
}

#[test]
fn a_connection_that_still_connects_does_not_reach_the_next_owner_of_the_address() {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
    // A pod whose queue is full: connecting to it begins anew after a second, and whoever has the address then is asked.
    let full =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&full, &SocketAddr::from(([127, 5, 1, 1], 0))).unwrap();
    listen(&full, 1).unwrap();
    let reused: SocketAddr = rustix::net::getsockname(&full).unwrap().try_into().unwrap();
    let patience = Duration::from_millis(100);
    let queued: Vec<TcpStream> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&reused, patience).ok())
            .take(10)
            .collect();
    assert!(queued.len() < 10, "its queue is full");
    let other = Echo::new();
    let mut plane = Plane::start();
    let (x, y) = (place(Protocol::Tcp, "127.0.0.1"), place(Protocol::Tcp, "127.0.0.1"));
    plane.apply(vec![
        service("x", Protocol::Tcp, x, Settings::default()),
        service("y", Protocol::Tcp, y, Settings::default()),
        endpoints("x", &[reused]),
    ]);
    let mut stream = open(x).unwrap();
    stream.write_all(b"x").unwrap();
    within(|| (plane.client.stats().ok()?.ports[0].endpoints[0].opened == 1).then_some(()));
    plane.apply(vec![Change::Endpoint { service: "x".into(), endpoint: endpoint("e1", other.at) }]);
    plane.apply(vec![Change::RemoveEndpoint { service: "x".into(), endpoint: "e0".into() }]);
    drop((full, queued));
    let next = Echo::at(reused, Some(b'y'));
    plane.apply(vec![endpoints("y", &[reused])]);
    let mut got = [0];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"x");
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(next.counts.accepted.load(Ordering::Relaxed), 0);
}

#[test]
fn a_flood_of_datagrams_from_many_sources_takes_bounded_room() {
    let count = number("BERTH_SOURCES", 20_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let process = start_with(&path, 2_048);
    let mut client = connect(&path);
    let at = place(Protocol::Udp, "127.0.0.1");
    let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = backend.local_addr().unwrap();
    // Whom it was asked by, and each is answered with what it said.
    let asked = Arc::new(AtomicUsize::new(0));
    thread::spawn({
        let asked = asked.clone();
        let backend = backend.try_clone().unwrap();
        move || {
            let mut buffer = [0; 2_048];
            while let Ok((got, from)) = backend.recv_from(&mut buffer) {
                asked.fetch_add(1, Ordering::Relaxed);
                let _ = backend.send_to(&buffer[..got], from);
            }
        }
    });
    client
        .apply(vec![service("u", Protocol::Udp, at, Settings::default()), endpoints("u", &[to])])
        .unwrap();
    let talks = UdpSocket::bind("127.0.0.1:0").unwrap();
    talks.connect(at).unwrap();
    talks.set_read_timeout(Some(HANG / 50)).unwrap();
    // A kernel's queue that the flood has filled may lose one datagram, as any network may: it is said again.
    let ask = |socket: &UdpSocket| {
        let said = (0..50).find_map(|_| {
            socket.send(b"hello").unwrap();
            socket.recv(&mut [0; 16]).ok()
        });
        said.expect("an answer to one of many")
    };
    assert_eq!(ask(&talks), 5);
    let before = process.memory();
    let (mut sent, mut got, mut here) = (0, 0, std::collections::VecDeque::new());
    let count_replies = |socket: &UdpSocket| {
        let (mut bytes, mut buffer) = (0, [0; 2_048]);
        while let Ok(more) = socket.recv(&mut buffer) {
            bytes += more;
        }
        bytes
    };
    for number in 0..count {
        let socket = UdpSocket::bind(SocketAddr::from((address(number), 0))).unwrap();
        socket.set_nonblocking(true).unwrap();
        sent += socket.send_to(&[1; 64], at).unwrap();
        here.push_back(socket);
        if here.len() > 200 {
            got += here.pop_front().map_or(0, |socket| count_replies(&socket));
        }
        if number % 1_000 == 0 {
            assert_eq!(ask(&talks), 5, "a conversation goes on");
        }
    }
    thread::sleep(Duration::from_millis(50));
    got += here.iter().map(count_replies).sum::<usize>();
    assert!(got <= sent, "no more comes back than was sent: {got} of {sent}");
    assert_eq!(ask(&talks), 5, "a conversation goes on");
    let stats = client.stats().unwrap();
    let flows: u64 = stats.workers.iter().map(|worker| worker.flows).sum();
    let evicted: u64 = stats.workers.iter().map(|worker| worker.evicted).sum();
    let grown = process.memory().saturating_sub(before);
    println!("{flows} flows after {count} sources, {evicted} evicted, {grown} bytes more");
    assert!(flows <= 2_048 / 4, "a quarter of the descriptors");
    assert!(evicted as usize >= count - 2_048);
    // Buffers of datagrams (4 MiB each way and worker at most) and the tables: nothing grows with the sources.
    assert!(grown <= 24 << 20, "{grown} bytes");
}

#[test]
fn only_the_endpoint_is_heard_on_a_flow() {
    let mut plane = Plane::start();
    let at = place(Protocol::Udp, "127.0.0.1");
    let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = backend.local_addr().unwrap();
    plane.apply(vec![service("u", Protocol::Udp, at, Settings::default()), endpoints("u", &[to])]);
    let talks = UdpSocket::bind("127.0.0.1:0").unwrap();
    talks.connect(at).unwrap();
    talks.set_read_timeout(Some(HANG)).unwrap();
    talks.send(b"?").unwrap();
    let mut buffer = [0; 64];
    let (_, flow) = backend.recv_from(&mut buffer).unwrap();
    // Somebody who guessed the flow's port, from the endpoint's address and from another one.
    for from in ["127.0.0.1:0", "127.0.0.9:0"] {
        let forger = UdpSocket::bind(from).unwrap();
        for _ in 0..10 {
            let _ = forger.send_to(b"forged", flow);
        }
    }
    backend.send_to(b"real", flow).unwrap();
    let got = talks.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..got], b"real");
    talks.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    talks.recv(&mut buffer).expect_err("nothing else came");
}
