// SPDX-License-Identifier: Apache-2.0
//! The control socket: changes, what is refused, and peers that send nonsense.
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
use berth_balancer_data::control::{Client, ClientError, Unservable, VERSION};
use berth_balancer_data::{Options, RunError, run};
use fixture::{HANG, Plane, endpoints, place, service, within};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

#[test]
fn a_batch_is_taken_whole_or_not_at_all_and_all_its_problems_are_told() {
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    plane.apply(vec![service("a", Protocol::Tcp, at, Settings::default())]);
    let (revision, before) = plane.client.config().unwrap();
    let refused = plane.client.apply(vec![
        Change::RemoveService("a".into()),
        endpoints("nobody", &[at]),
        service("", Protocol::Tcp, at, Settings::default()),
    ]);
    let Err(ClientError::Refused(problems)) = refused else { panic!("{refused:?}") };
    let at: Vec<u32> = problems.iter().map(|problem| problem.change).collect();
    assert!(at.contains(&1) && at.contains(&2), "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.path.is_empty() && !problem.text.is_empty()));
    assert_eq!(plane.client.config().unwrap(), (revision, before));
}

#[test]
fn an_address_that_cannot_be_served_is_named_and_served_once_it_can_be() {
    let mut plane = Plane::start();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, foreign) = (holder.local_addr().unwrap(), "192.0.2.1:80".parse().unwrap());
    let to = TcpListener::bind("127.0.0.1:0").unwrap();
    let changes = || {
        vec![
            service("a", Protocol::Tcp, taken, Settings::default()),
            service("b", Protocol::Tcp, foreign, Settings::default()),
            endpoints("a", &[to.local_addr().unwrap()]),
            endpoints("b", &[to.local_addr().unwrap()]),
        ]
    };
    let refused = plane.client.apply_with(changes(), Unservable::Refuse);
    let Err(ClientError::Refused(problems)) = refused else { panic!("{refused:?}") };
    assert_eq!(problems.len(), 2);
    assert_eq!(plane.client.config().unwrap().1.services, []);
    let applied = plane.client.apply(changes()).unwrap();
    let named: Vec<_> = applied.unserved.iter().map(|unserved| &*unserved.service).collect();
    assert_eq!(named, ["a", "b"]);
    drop(holder);
    within(|| TcpStream::connect(taken).ok());
    let applied = plane.client.apply(vec![]).unwrap();
    assert_eq!(applied.unserved.len(), 1);
}

#[test]
fn a_second_process_does_not_take_the_place_of_the_first() {
    let plane = Plane::start();
    let second = run(Options::new(plane.path.clone()));
    assert!(matches!(second, Err(RunError::Serves { .. })), "{second:?}");
}

#[test]
fn a_control_plane_may_go_and_another_learns_what_is_wanted() {
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    plane.apply(vec![service("a", Protocol::Tcp, at, Settings::default())]);
    let told = plane.client.config().unwrap();
    plane.client = Client::connect(&plane.path).unwrap();
    assert_eq!(plane.client.greeting().revision, told.0);
    assert_eq!(plane.client.config().unwrap(), told);
}

#[test]
fn nonsense_ends_its_own_connection_and_nothing_else() {
    let mut plane = Plane::start();
    let hello = [&12_u32.to_le_bytes()[..], b"BERTHDP1", &VERSION.to_le_bytes()].concat();
    let mut nonsense: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 64],
        [&hello[..], &[0xff; 4]].concat(),
        [&hello[..], &0_u32.to_le_bytes()].concat(),
        // A list of 2^32 - 1 changes.
        [&hello[..], &5_u32.to_le_bytes(), &[0], &[0xff; 4]].concat(),
    ];
    // Random bytes behind each tag of a request, from a fixed seed.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for tag in 0..12_u8 {
        for _ in 0..20 {
            let mut body = vec![tag];
            for _ in 0..seed % 60 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                body.push((seed >> 56) as u8 % 8);
            }
            seed = seed.wrapping_add(0x1234_5679);
            // What would be obeyed is made too long.
            if matches!(tag, 6..=8) {
                body.extend([1; 9]);
            }
            let length = u32::try_from(body.len()).unwrap().to_le_bytes();
            nonsense.push([&hello[..], &length, &body].concat());
        }
    }
    for bytes in nonsense {
        let mut stream = UnixStream::connect(&plane.path).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
    }
    plane.client.stats().unwrap();
}
