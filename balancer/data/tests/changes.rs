// SPDX-License-Identifier: Apache-2.0
//! Tables that change under traffic: nobody is reset, nobody is refused, and no byte reaches another service.
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
use berth_balancer_core::model::{Protocol, Settings};
use fixture::{HANG, Plane, endpoint, endpoints, place, service};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// An endpoint that answers each byte with its own name.
fn backend(name: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                while stream.read_exact(&mut [0]).is_ok() {
                    if stream.write_all(&[name]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    at
}

fn open(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).expect("never refused");
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream) -> u8 {
    let mut got = [0];
    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut got)).expect("never reset");
    got[0]
}

#[test]
fn a_thousand_changes_of_endpoints_and_settings_fail_no_connection() {
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    let all = [backend(b'a'), backend(b'a'), backend(b'a')];
    plane.apply(vec![service("a", Protocol::Tcp, at, Settings::default()), endpoints("a", &all)]);
    let mut held: Vec<TcpStream> = (0..50).map(|_| open(at)).collect();
    let (ends, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let newcomers = thread::spawn({
        let (ends, made) = (ends.clone(), made.clone());
        move || {
            while !ends.load(Ordering::Relaxed) {
                assert_eq!(ask(&mut open(at)), b'a');
                made.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for round in 0..1_000_usize {
        let which = round % all.len();
        let name: Arc<str> = format!("e{which}").into();
        plane.apply(vec![Change::RemoveEndpoint { service: "a".into(), endpoint: name.clone() }]);
        if round % 10 == 0 {
            // A reload: everything anew, of which one setting is different.
            let drain_ns = 30_000_000_000 + round as u64;
            plane.apply(vec![service(
                "a",
                Protocol::Tcp,
                at,
                Settings { drain_ns, ..Settings::default() },
            )]);
            for stream in &mut held {
                assert_eq!(ask(stream), b'a');
            }
        }
        let endpoint = endpoint(&name, all[which]);
        plane.apply(vec![Change::Endpoint { service: "a".into(), endpoint }]);
    }
    ends.store(true, Ordering::Relaxed);
    newcomers.join().unwrap();
    for stream in &mut held {
        assert_eq!(ask(stream), b'a');
    }
    assert!(made.load(Ordering::Relaxed) > 50);
}

#[test]
fn after_a_change_no_byte_goes_to_the_service_that_had_the_address_before() {
    let mut plane = Plane::start();
    let (one, two) = (place(Protocol::Tcp, "127.0.0.1"), place(Protocol::Tcp, "127.0.0.1"));
    let (a, b) = (backend(b'a'), backend(b'b'));
    for round in 0..200 {
        let (of_a, of_b) = if round % 2 == 0 { (one, two) } else { (two, one) };
        plane.apply(vec![
            Change::RemoveService("a".into()),
            Change::RemoveService("b".into()),
            service("a", Protocol::Tcp, of_a, Settings::default()),
            service("b", Protocol::Tcp, of_b, Settings::default()),
            endpoints("a", &[a]),
            endpoints("b", &[b]),
        ]);
        assert_eq!((ask(&mut open(of_a)), ask(&mut open(of_b))), (b'a', b'b'));
    }
}

#[test]
fn a_change_reaches_every_worker_before_it_is_answered() {
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    let all = [backend(b'a'), backend(b'b')];
    plane.apply(vec![service("s", Protocol::Tcp, at, Settings::default())]);
    for round in 0..300 {
        plane.apply(vec![endpoints("s", &[all[round % 2]])]);
        // The kernel spreads connections over both workers: eight of them meet each.
        for _ in 0..8 {
            assert_eq!(ask(&mut open(at)), b"ab"[round % 2]);
        }
    }
}
