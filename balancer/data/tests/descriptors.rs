// SPDX-License-Identifier: Apache-2.0
//! More listeners than there are descriptors: what is left out is named, and the control socket answers.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unnecessary_debug_formatting,
    reason = "a test"
)]

mod fixture;

use berth_balancer_core::Change;
use berth_balancer_core::model::{Protocol, Settings};
use berth_balancer_data::control::{Client, Unservable};
use fixture::{connect, endpoints, service, within};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};

/// The example `data-plane`, which cargo builds beside the tests.
struct Process(Child);

impl Process {
    fn start(path: &Path, descriptors: u32) -> Self {
        let own = std::env::current_exe().unwrap();
        let binary = own.parent().unwrap().parent().unwrap().join("examples/data-plane");
        let mut command = Command::new(&binary);
        command.arg(path).args(["--workers", "2", "--descriptors", &descriptors.to_string()]);
        Self(command.spawn().unwrap_or_else(|error| panic!("{binary:?}: {error}")))
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn place(number: u32, port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x7f21_0000 + number).into(), port)
}

fn name(number: u32) -> String {
    format!("s{number:04}")
}

fn services(count: u32, port: u16, to: SocketAddr) -> Vec<Change> {
    let one = |number| {
        let at = place(number, port);
        let service = service(&name(number), Protocol::Tcp, at, Settings::default());
        [service, endpoints(&name(number), &[to])]
    };
    (0..count).flat_map(one).collect()
}

#[test]
fn listeners_that_find_no_descriptor_are_named_and_the_control_socket_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let process = Process::start(&path, 512);
    let mut client = connect(&path);
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = backend.local_addr().unwrap();
    let port = to.port();
    // Three quarters of 448 may be listeners: half of them by two for a place, one for each worker, and half of them alone.
    let changes = services(1_000, port, to);
    let applied = client.apply(changes.clone()).unwrap();
    let served = 336 / 2 / 2 + 336 / 2;
    assert_eq!(applied.unserved.len(), 1_000 - served);
    for one in &applied.unserved {
        assert_eq!(
            one.reason,
            "no descriptors left: 1084 needed for all listeners, 336 allowed; raise ulimit -n"
        );
    }
    let warnings = client.stats().unwrap().addresses.warnings;
    assert!(warnings.iter().any(|text| text.starts_with("168 of 252 listening")), "{warnings:?}");
    // Both workers serve places that have one listener.
    for number in 0..u32::try_from(served).unwrap() {
        let client = TcpStream::connect(place(number, port)).unwrap();
        let (mut accepted, _) = backend.accept().unwrap();
        std::io::Write::write_all(&mut accepted, b"x").unwrap();
        std::io::Read::read_exact(&mut &client, &mut [0]).unwrap();
    }
    let workers = client.stats().unwrap().workers;
    assert!(workers.iter().all(|worker| worker.accepted > 60), "{workers:?}");
    assert!(TcpStream::connect(place(0, port)).is_ok(), "what is served is served");
    assert!(TcpStream::connect(place(999, port)).is_err(), "what is not refuses");

    // Who does not want a part of it is told the same, and nothing is different.
    let more = vec![
        service("more", Protocol::Tcp, place(2_000, port), Settings::default()),
        endpoints("more", &[to]),
    ];
    let refused = client.apply_with(more, Unservable::Refuse).unwrap_err().to_string();
    assert!(refused.contains("services[more].ports[]: TCP 127.33.7.208"), "{refused}");
    assert!(refused.contains("no descriptors left: 1085 needed"), "{refused}");

    // Connections take all that is left; the control socket answers also then.
    let mut held = Vec::new();
    within(|| {
        held.extend((0..32).filter_map(|number| TcpStream::connect(place(number, port)).ok()));
        let paused =
            client.stats().unwrap().workers.iter().map(|worker| worker.paused).sum::<u64>();
        (paused > 0 && process.descriptors() >= 500).then_some(())
    });
    let others: Vec<Client> = (0..8).map(|_| within(|| Client::connect(&path).ok())).collect();
    drop((others, held));

    // Where others go there is room.
    let gone = (0..840).map(|number| Change::RemoveService(name(number).into())).collect();
    client.apply(gone).unwrap();
    within(|| client.apply(Vec::new()).unwrap().unserved.is_empty().then_some(()));
    within(|| TcpStream::connect(place(999, port)).ok());
}
