// SPDX-License-Identifier: Apache-2.0
//! Connections through a data plane, over real sockets.
#![forbid(unsafe_code)]

mod fixture;

use berth_balancer_core::model::{Protocol, Settings};
use fixture::{HANG, Plane, endpoints, place, service};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

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
    let mut buffer = [0; 65_536];
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

#[test]
fn bytes_go_there_and_back() {
    let mut plane = Plane::start();
    let at = place(Protocol::Tcp, "127.0.0.1");
    let changes = vec![
        service("a", Protocol::Tcp, at, Settings::default()),
        endpoints("a", &[backend(echo), backend(echo)]),
    ];
    plane.apply(changes);
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
