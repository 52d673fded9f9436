// SPDX-License-Identifier: Apache-2.0
//! Connections through a data plane, over real sockets.
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
use berth_balancer_core::model::{
    Algorithm, Cidr, Limits, Outlier, Protocol, ProxyProtocol, Rate, Settings, Timeouts,
};
use fixture::{HANG, Plane, endpoint, endpoints, place, service, within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// An endpoint that hands each connection to `serve`, until the test ends.
fn backend(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    at
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 65_536];
    while let Ok(got) = stream.read(&mut buffer) {
        if got == 0 || stream.write_all(&buffer[..got]).is_err() {
            return;
        }
    }
}

fn open(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    stream
}

/// A data plane with the service `a` at the place that is given back.
fn serving(settings: Settings, at: &[SocketAddr]) -> (Plane, SocketAddr) {
    let mut plane = Plane::start();
    let place = place(Protocol::Tcp, "127.0.0.1");
    plane.apply(vec![service("a", Protocol::Tcp, place, settings), endpoints("a", at)]);
    (plane, place)
}

/// Waits for the other side to close: `Ok` at the end of the stream, else why it broke.
fn ended(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).map(|_| got)
}

fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// A place where nobody listens.
fn nobody() -> SocketAddr {
    place(Protocol::Tcp, "127.0.0.1")
}

#[test]
fn bytes_go_there_and_back() {
    let (mut plane, at) = serving(Settings::default(), &[backend(echo), backend(echo)]);
    for round in 0..50 {
        let mut stream = open(at);
        let sent = vec![round; 1 + usize::from(round) * 1_000];
        stream.write_all(&sent).unwrap();
        let mut got = vec![0; sent.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, sent);
    }
    let stats = plane.client.stats().unwrap();
    assert_eq!(stats.ports[0].accepted, 50);
    assert!(stats.ports[0].endpoints.iter().all(|endpoint| endpoint.opened > 0));
}

#[test]
fn ipv6_is_served_by_an_ipv4_endpoint() {
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "::1");
    let to = backend(echo);
    plane.apply(vec![service("a", Protocol::Tcp, at, Settings::default()), endpoints("a", &[to])]);
    let mut stream = open(at);
    stream.write_all(b"six").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(ended(&mut stream).unwrap(), b"six");
}

#[test]
fn one_direction_may_end_long_before_the_other() {
    // The endpoint answers only when the client has said all, and in two parts.
    let whole = backend(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        stream.write_all(&got).unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(b"end").unwrap();
    });
    let (_plane, at) = serving(Settings::default(), &[whole]);
    for bytes in [1, 100, 65_536, 65_537, 3_000_000] {
        let mut stream = open(at);
        let sent: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let got = ended(&mut stream).unwrap();
        assert_eq!(got.len(), sent.len() + 3);
        assert!(got.starts_with(&sent) && got.ends_with(b"end"));
    }
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_not_lost() {
    let server = backend(|mut stream| {
        // Bytes and end in one go: often one event for both.
        stream.write_all(b"bye").unwrap();
    });
    let (_plane, at) = serving(Settings::default(), &[server]);
    for _ in 0..200 {
        assert_eq!(ended(&mut open(at)).unwrap(), b"bye");
    }
}

#[test]
fn a_reset_of_either_side_reaches_the_other() {
    let (tell, told) = mpsc::channel();
    let server = backend(move |mut stream| {
        let mut first = [0];
        if stream.read_exact(&mut first).is_ok() && first == [b'r'] {
            return reset(stream);
        }
        stream.write_all(b"x").unwrap();
        tell.send(ended(&mut stream).map(|_| ()).map_err(|e| e.kind())).unwrap();
    });
    let (_plane, at) = serving(Settings::default(), &[server]);
    let mut stream = open(at);
    stream.write_all(b"r").unwrap();
    let broke = ended(&mut stream).unwrap_err();
    assert_eq!(broke.kind(), std::io::ErrorKind::ConnectionReset);
    let mut stream = open(at);
    stream.write_all(b"c").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    reset(stream);
    let seen = told.recv_timeout(HANG).unwrap();
    assert_eq!(seen, Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn what_an_endpoint_said_before_it_broke_still_arrives() {
    let server = backend(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        stream.write_all(b"413").unwrap();
        // Closing with bytes unread resets.
        thread::sleep(Duration::from_millis(20));
    });
    let (_plane, at) = serving(Settings::default(), &[server]);
    let mut stream = open(at);
    let _ = stream.write_all(&vec![0; 100_000]);
    let mut got = [0; 3];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"413");
}

#[test]
fn a_slow_reader_slows_its_writer_and_loses_nothing() {
    const BYTES: usize = 64 << 20;
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let (count, counted) = mpsc::channel();
    let server = backend(move |mut stream| {
        wait.lock().unwrap().recv().unwrap();
        let mut buffer = vec![0; 65_536];
        let (mut all, mut sum) = (0_usize, 0_u64);
        while let Ok(got @ 1..) = stream.read(&mut buffer) {
            sum += buffer[..got].iter().map(|byte| u64::from(*byte)).sum::<u64>();
            all += got;
        }
        count.send((all, sum)).unwrap();
    });
    let (mut plane, at) = serving(Settings::default(), &[server]);
    let mut stream = open(at);
    stream.set_nonblocking(true).unwrap();
    let block: Vec<u8> = (0..65_536_u32).map(|n| u8::try_from(n % 253).unwrap()).collect();
    // Written until nothing more is taken for a while: what then is on its way lies in buffers.
    let (mut sent, mut stalls) = (0, 0);
    while stalls < 100 {
        match stream.write(&block[sent % block.len()..]) {
            Ok(more) => (sent, stalls) = (sent + more, 0),
            Err(_) => {
                stalls += 1;
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
    assert!(sent < BYTES, "somebody keeps it all: {sent}");
    go.send(()).unwrap();
    stream.set_nonblocking(false).unwrap();
    while sent < BYTES {
        let from = sent % block.len();
        let upto = block.len().min(from + BYTES - sent);
        stream.write_all(&block[from..upto]).unwrap();
        sent += upto - from;
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let whole: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let wanted = whole * (BYTES / block.len()) as u64;
    assert_eq!(counted.recv_timeout(HANG).unwrap(), (BYTES, wanted));
    let stats = plane.client.stats().unwrap();
    assert!(stats.workers.iter().any(|worker| worker.spliced_bytes > 0), "bulk goes through pipes");
    assert_eq!(stats.ports[0].bytes_in, BYTES as u64);
}

/// Times that connections were handed to the kernel's rings.
fn talks(plane: &mut Plane) -> u64 {
    plane.client.stats().unwrap().workers.iter().map(|worker| worker.talks).sum()
}

/// Numbers that look like chance, from a seed.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 40).unwrap()
}

/// Sends bytes that only this message has, and reads them back.
fn exchange(stream: &mut TcpStream, length: usize, tag: usize) {
    let bytes: Vec<u8> = (0..length).map(|n| (n * 7 + tag * 31 + n / 251) as u8).collect();
    let mut back = vec![0; length];
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&bytes).unwrap());
        stream.read_exact(&mut back).unwrap();
    });
    assert!(back == bytes, "message {tag} of {length} bytes");
}

#[test]
fn small_messages_talk_and_large_ones_do_not() {
    let (mut plane, at) = serving(Settings::default(), &[backend(echo)]);
    let mut stream = open(at);
    (0..20).for_each(|tag| exchange(&mut stream, 64, tag));
    let before = talks(&mut plane);
    assert!(before > 0, "this kernel has io_uring, and it is allowed");
    let spliced = |plane: &mut Plane| {
        let stats = plane.client.stats().unwrap();
        stats.workers.iter().map(|worker| worker.spliced_bytes).sum::<u64>()
    };
    exchange(&mut stream, 16 << 20, 20);
    assert!(spliced(&mut plane) > 0, "it left the rings for pipes");
    (0..200).for_each(|tag| exchange(&mut stream, 64, tag));
    assert!(talks(&mut plane) > before, "and it came back");
    let mut off = Plane::with(|options| options.rings = berth_balancer_data::Rings::Off);
    let place = place(Protocol::Tcp, "127.0.0.1");
    let changes =
        [service("a", Protocol::Tcp, place, Settings::default()), endpoints("a", &[backend(echo)])];
    off.apply(changes.into());
    let mut stream = open(place);
    (0..20).for_each(|tag| exchange(&mut stream, 64, tag));
    assert_eq!(talks(&mut off), 0);
}

#[test]
fn messages_of_all_sizes_keep_their_bytes() {
    let (mut plane, at) = serving(Settings::default(), &[backend(echo)]);
    thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || {
                let (mut stream, mut state) = (open(at), seed);
                for tag in 0..400 {
                    // Mostly small; each bit more is half as frequent.
                    let bits = next(&mut state).trailing_zeros().min(11) + 6;
                    let length = next(&mut state) % (1 << bits) + 1;
                    exchange(&mut stream, length, tag);
                }
            });
        }
    });
    assert!(talks(&mut plane) > 0);
}

/// Connections end in all ways while others of the same numbers begin: nobody gets another's bytes.
#[test]
fn ends_of_all_kinds_keep_connections_apart() {
    let (_plane, at) = serving(Settings::default(), &[backend(echo)]);
    thread::scope(|scope| {
        for seed in 0..16 {
            scope.spawn(move || {
                let mut state = seed;
                for tag in 0..60 {
                    let mut stream = open(at);
                    for message in 0..next(&mut state) % 16 {
                        exchange(&mut stream, 40, tag * 100 + message);
                    }
                    match next(&mut state) % 4 {
                        // With bytes on their way in both directions.
                        0 => reset({
                            let _ = stream.write_all(&[7; 3_000]);
                            stream
                        }),
                        1 => {
                            stream.write_all(b"last").unwrap();
                            stream.shutdown(std::net::Shutdown::Write).unwrap();
                            assert_eq!(ended(&mut stream).unwrap(), b"last");
                        }
                        2 => drop(stream.write_all(b"unread")),
                        _ => {}
                    }
                }
            });
        }
    });
}

/// An endpoint that sends much in small pieces to a client that reads nothing for a while: what the client has not taken is kept in order.
#[test]
fn small_messages_wait_for_a_slow_reader_in_order() {
    const MESSAGES: u32 = 30_000;
    let server = backend(|mut stream| {
        exchange_back(&mut stream);
        for number in 0..MESSAGES {
            let message: Vec<u8> =
                (0..175).flat_map(|part| (number * 175 + part).to_be_bytes()).collect();
            if stream.write_all(&message).is_err() {
                return;
            }
            if number % 3 == 0 {
                thread::sleep(Duration::from_micros(20));
            }
        }
    });
    let (mut plane, at) = serving(Settings::default(), &[server]);
    let mut stream = open(at);
    for _ in 0..20 {
        stream.write_all(b"go").unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
    }
    assert!(talks(&mut plane) > 0);
    stream.write_all(b"ok").unwrap();
    let mut wanted = 0_u32;
    let mut buffer = vec![0; 1 << 20];
    while wanted < MESSAGES * 175 {
        thread::sleep(Duration::from_millis(5));
        stream.read_exact(&mut buffer[..70_000]).unwrap();
        for number in buffer[..70_000].chunks_exact(4) {
            assert_eq!(number, wanted.to_be_bytes());
            wanted += 1;
        }
    }
}

/// Sends small messages back until one says that it is over.
fn exchange_back(stream: &mut TcpStream) {
    let mut bytes = [0; 2];
    while stream.read_exact(&mut bytes).is_ok() && bytes == *b"go" {
        stream.write_all(&bytes).unwrap();
    }
}

/// Connections are cut by the drain's end while their messages are on the way and others take their place: no endpoint sees two
/// clients on one connection, and no client another's bytes.
#[test]
fn what_is_cut_sends_nothing_to_who_comes_next() {
    let mixed = Arc::new(AtomicBool::new(false));
    let endpoint = || {
        let mixed = mixed.clone();
        backend(move |mut stream| {
            let (mut first, mut bytes) = (None, [0; 32]);
            while stream.read_exact(&mut bytes).is_ok() {
                let whole = bytes.iter().all(|byte| *byte == bytes[0]);
                if !whole || *first.get_or_insert(bytes) != bytes {
                    mixed.store(true, Ordering::Relaxed);
                }
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        })
    };
    let places = [endpoint(), endpoint()];
    let settings = Settings { drain_ns: 0, ..Settings::default() };
    let (mut plane, at) = serving(settings, &places[..1]);
    let (stop, whole) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for client in 0..12_u32 {
            let (stop, mixed, whole) = (&stop, &mixed, &whole);
            scope.spawn(move || {
                for tag in (client..).step_by(12) {
                    let (mut stream, bytes) = (open(at), [(tag % 251) as u8; 32]);
                    let mut back = [0; 32];
                    while stream.write_all(&bytes).is_ok() && stream.read_exact(&mut back).is_ok() {
                        whole.fetch_add(1, Ordering::Relaxed);
                        if back != bytes {
                            mixed.store(true, Ordering::Relaxed);
                        }
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                }
            });
        }
        for turn in 0..400 {
            thread::sleep(Duration::from_millis(4));
            let change = endpoints_named("a", &format!("turn-{turn}"), places[turn % 2]);
            plane.client.apply(vec![change]).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(talks(&mut plane) > 0 && whole.into_inner() > 1_000);
    assert!(!mixed.load(Ordering::Relaxed), "bytes went astray");
}

/// One endpoint of a service.
fn endpoints_named(service: &str, name: &str, at: SocketAddr) -> Change {
    Change::Endpoints(berth_balancer_core::model::EndpointSet {
        service: service.into(),
        endpoints: vec![endpoint(name, at)],
    })
}

#[test]
fn another_endpoint_is_tried_where_one_refuses() {
    let settings =
        Settings { algorithm: Algorithm::RoundRobin, outlier: None, ..Settings::default() };
    let (mut plane, at) = serving(settings, &[nobody(), backend(echo), nobody()]);
    for _ in 0..30 {
        let mut stream = open(at);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let port = &plane.client.stats().unwrap().ports[0];
    assert!(port.retries >= 10);
    assert!(port.endpoints[0].failed > 0 && port.endpoints[1].failed == 0);
}

#[test]
fn where_all_refuse_the_client_is_reset() {
    let (mut plane, at) = serving(Settings::default(), &[nobody(), nobody()]);
    let mut stream = open(at);
    let broke = ended(&mut stream).unwrap_err();
    assert_eq!(broke.kind(), std::io::ErrorKind::ConnectionReset);
    let port = &plane.client.stats().unwrap().ports[0];
    assert_eq!(port.endpoints.iter().map(|e| e.opened).sum::<u64>(), 2, "each is tried once");
}

#[test]
fn an_endpoint_that_fails_is_passed_over() {
    let outlier = Outlier { failures: 2, percent_max: 50, ..Outlier::default() };
    let algorithm = Algorithm::RoundRobin;
    let settings = Settings { algorithm, outlier: Some(outlier), ..Settings::default() };
    let (mut plane, at) = serving(settings, &[nobody(), backend(echo)]);
    for _ in 0..40 {
        let mut stream = open(at);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let port = &plane.client.stats().unwrap().ports[0];
    let dead = &port.endpoints[0];
    // Two failures on each of the two workers.
    assert!(dead.failed <= 4 && dead.ejected >= 1, "{dead:?}");
}

#[test]
fn without_an_endpoint_connecting_itself_fails() {
    let mut plane = Plane::start();
    // Two services share the port on two addresses.
    let at = place(Protocol::Tcp, "127.0.0.1");
    let other = SocketAddr::new("127.0.0.2".parse().unwrap(), at.port());
    let to = backend(echo);
    plane.apply(vec![
        service("a", Protocol::Tcp, at, Settings::default()),
        service("b", Protocol::Tcp, other, Settings::default()),
        endpoints("a", &[to]),
        endpoints("b", &[to]),
    ]);
    drop((open(at), open(other)));
    for _ in 0..20 {
        plane.apply(vec![endpoints("a", &[])]);
        let refused = TcpStream::connect(at).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        drop(open(other));
        plane.apply(vec![endpoints("a", &[to])]);
        drop(open(at));
    }
    plane.apply(vec![Change::RemoveService("a".into())]);
    TcpStream::connect(at).unwrap_err();
}

#[test]
fn timeouts_cut_where_a_service_asks() {
    let silent = backend(|mut stream| {
        let _ = ended(&mut stream);
    });
    let short = Some(Duration::from_millis(60).as_nanos() as u64);
    let timeouts = Timeouts::default();
    let cases = [
        (Timeouts { idle_ns: short, ..timeouts }, false),
        (Timeouts { age_ns_max: short, ..timeouts }, false),
        (Timeouts { first_byte_ns: short, ..timeouts }, true),
    ];
    for (timeouts, speaks) in cases {
        let (mut plane, at) = serving(Settings { timeouts, ..Settings::default() }, &[silent]);
        let mut stream = open(at);
        if speaks {
            stream.write_all(b"?").unwrap();
        }
        let broke = ended(&mut stream).unwrap_err();
        assert_eq!(broke.kind(), std::io::ErrorKind::ConnectionReset, "{timeouts:?}");
        let workers = plane.client.stats().unwrap().workers;
        assert_eq!(workers.iter().map(|worker| worker.timed_out).sum::<u64>(), 1);
    }
}

#[test]
fn sources_outside_the_ranges_get_nothing() {
    let to = backend(echo);
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    let ranges: Vec<Cidr> = vec!["10.0.0.0/8".parse().unwrap()];
    let Change::Service(mut outside) =
        service("a", Protocol::Tcp, at, Settings { source_ranges: ranges, ..Settings::default() })
    else {
        unreachable!()
    };
    outside.load_balancer_ips = std::mem::take(&mut outside.cluster_ips);
    plane.apply(vec![Change::Service(outside), endpoints("a", &[to])]);
    let mut stream = open(at);
    assert!(ended(&mut stream).is_err());
    let port = &plane.client.stats().unwrap().ports[0];
    assert_eq!((port.refused[2], port.accepted), (1, 0));
    assert_eq!(port.endpoints[0].opened, 0, "no byte, and no connection either");
}

#[test]
fn one_source_has_so_many_connections_and_new_ones_so_fast() {
    let limits = Limits { connections_per_source_max: Some(2), ..Limits::default() };
    let (_plane, at) = serving(Settings { limits, ..Settings::default() }, &[backend(echo)]);
    let speak =
        |stream: &mut TcpStream| stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0]));
    let (mut one, mut two) = (open(at), open(at));
    speak(&mut one).unwrap();
    speak(&mut two).unwrap();
    speak(&mut open(at)).unwrap_err();
    drop(one);
    within(|| speak(&mut open(at)).ok());
    let rate = Rate { per_second: 1, burst: 3 };
    let limits = Limits { rate_per_source: Some(rate), ..Limits::default() };
    let (_plane, at) = serving(Settings { limits, ..Settings::default() }, &[backend(echo)]);
    let passed = (0..20).filter(|_| speak(&mut open(at)).is_ok()).count();
    assert!((3..20).contains(&passed), "{passed}");
}

#[test]
fn endpoints_learn_the_client_by_the_proxy_protocol() {
    let tells = backend(|mut stream| {
        let mut got = vec![0; 512];
        let mut length = 0;
        while !got[..length].ends_with(b"!") {
            length += stream.read(&mut got[length..]).unwrap();
        }
        stream.write_all(&got[..length]).unwrap();
    });
    for (version, start) in [
        (ProxyProtocol::V1, &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
        (ProxyProtocol::V2, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01"),
    ] {
        let (_plane, at) =
            serving(Settings { proxy_out: version, ..Settings::default() }, &[tells]);
        let mut stream = open(at);
        stream.write_all(b"!").unwrap();
        let got = ended(&mut stream).unwrap();
        assert!(got.starts_with(start) && got.ends_with(b"!"), "{got:?}");
    }
}

#[test]
fn a_header_that_is_expected_must_come_and_be_right() {
    let settings = Settings {
        proxy_in: ProxyProtocol::V2,
        proxy_out: ProxyProtocol::V1,
        ..Settings::default()
    };
    let (mut plane, at) = serving(settings, &[backend(echo)]);
    let head = b"\r\n\r\n\0\r\nQUIT\n";
    let rest = b"\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\x04\xd2\x01\xbb";
    let mut stream = open(at);
    // In pieces, and with the client's first bytes behind it.
    stream.write_all(head).unwrap();
    thread::sleep(Duration::from_millis(20));
    stream.write_all(&rest[..5]).unwrap();
    thread::sleep(Duration::from_millis(20));
    stream.write_all(&[&rest[5..], b"hello"].concat()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let got = ended(&mut stream).unwrap();
    assert_eq!(got, b"PROXY TCP4 192.0.2.1 198.51.100.1 1234 443\r\nhello");
    let wrong: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x05\xc0\0\x02\x01\xc6",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x01\xc6\x33\x64\x01\x04\xd2\x01\xbb\x01\0\x09x",
    ];
    for bytes in wrong {
        let mut stream = open(at);
        let _ = stream.write_all(bytes);
        ended(&mut stream).unwrap_err();
    }
    let stats = plane.client.stats().unwrap();
    assert_eq!(stats.workers.iter().map(|worker| worker.malformed).sum::<u64>(), 4);
    assert_eq!(stats.ports[0].endpoints[0].opened, 1);
}

#[test]
fn a_removed_endpoint_keeps_its_connections_until_the_deadline() {
    let settings = Settings { drain_ns: 300_000_000, ..Settings::default() };
    let (mut plane, at) = serving(settings, &[backend(echo)]);
    let mut stream = open(at);
    stream.write_all(b"1").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let other = backend(echo);
    plane.apply(vec![Change::Endpoints(berth_balancer_core::model::EndpointSet {
        service: "a".into(),
        endpoints: vec![endpoint("new", other)],
    })]);
    assert_eq!(plane.client.drains().unwrap().iter().map(|d| d.connections).sum::<u64>(), 1);
    stream.write_all(b"2").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let broke = ended(&mut stream).unwrap_err();
    assert_eq!(broke.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(plane.client.drains().unwrap(), []);
}

/// Sends bytes of which the last is urgent.
fn send_urgent(stream: &TcpStream, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = rustix::net::send(stream, rest, rustix::net::SendFlags::OOB).unwrap();
        rest = &rest[sent..];
    }
}

#[test]
fn urgent_bytes_pass_in_their_place_and_end_no_read() {
    // What is said in the test's order, urgent or not; the endpoint answers with all it got, urgent bytes in between.
    let whole = backend(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        for part in got.chunks(1 + got.len() / 7) {
            send_urgent(&stream, part);
        }
    });
    let (mut plane, at) = serving(Settings::default(), &[whole]);
    for bytes in [1, 10, 5_000, 70_000, 3_000_000] {
        for part in [1, 2, 7] {
            let sent: Vec<u8> = (0..bytes).map(|n: usize| (n % 249) as u8).collect();
            let mut stream = open(at);
            for (number, part) in sent.chunks(bytes.div_ceil(part)).enumerate() {
                let (plain, urgent) = part.split_at(part.len() / 2);
                stream.write_all(plain).unwrap();
                send_urgent(&stream, urgent);
                if number % 2 == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(ended(&mut stream).unwrap() == sent, "{bytes} bytes in {part} parts");
        }
    }
    // One that stays open costs nothing while nothing comes.
    let mut stream = open(at);
    stream.write_all(b"a").unwrap();
    send_urgent(&stream, b"b");
    let loops = |plane: &mut Plane| {
        plane.client.stats().unwrap().workers.iter().map(|worker| worker.loops).sum::<u64>()
    };
    thread::sleep(Duration::from_millis(300));
    let before = loops(&mut plane);
    thread::sleep(Duration::from_millis(300));
    assert!(loops(&mut plane) - before < 100, "no busy loop");
}

#[test]
fn an_endpoint_that_vanishes_is_noticed() {
    let to = backend(echo);
    let (_plane, at) = serving(Settings::default(), &[to]);
    let mut stream = open(at);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    // The kernel tells of each socket which timer runs: 2 is the one that probes.
    let (remote, none) = (format!("0100007F:{:04X}", to.port()), "00:00000000");
    within(|| {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let timer = table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(2) == Some(&&*remote) && fields.get(3) == Some(&"01"))
                .then(|| fields.get(5).unwrap_or(&none).to_string())
        });
        timer.is_some_and(|timer| timer.starts_with("02:")).then_some(())
    });
}
