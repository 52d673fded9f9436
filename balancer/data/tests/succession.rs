// SPDX-License-Identifier: Apache-2.0
//! Binary upgrades: processes that take over from one another while connections and flows are held. And descriptors that run out.
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

use berth_balancer_core::model::{Protocol, Settings};
use berth_balancer_data::control::{Client, Unservable};
use fixture::{HANG, connect, endpoints, place, service, within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The example `data-plane`, which cargo builds beside the tests.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/data-plane");
    assert!(
        path.exists(),
        "{} is not there: cargo test builds examples, --test alone does not",
        path.display()
    );
    path
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(path: &Path, take_over: bool) -> Process {
    let mut command = Command::new(binary());
    command.arg(path).args(["--workers", "2"]);
    if take_over {
        command.arg("--take-over");
    }
    Process(command.spawn().unwrap())
}

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

fn open_from(ip: [u8; 4], at: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &SocketAddr::from((ip, 0))).unwrap();
    connect(&stream, &at).unwrap();
    stream.into()
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
fn where_descriptors_run_out_old_connections_go_on_and_new_ones_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    // 64 are kept back; of the rest seven eighths go to connections, two each.
    let mut command = Command::new(binary());
    command.arg(&path).args(["--workers", "2", "--descriptors", "256"]);
    let mut process = Process(command.spawn().unwrap());
    let mut client = connect(&path);
    let at = place(Protocol::Tcp, "127.0.0.1");
    client
        .apply(vec![
            service("a", Protocol::Tcp, at, Settings::default()),
            endpoints("a", &[echo()]),
        ])
        .unwrap();
    let mut old = open(at).unwrap();
    speak(&mut old, 1).unwrap();
    // One source alone does not get all there is.
    let mut crowd: Vec<TcpStream> = (0..200).map(|_| open(at).unwrap()).collect();
    within(|| {
        let crowded = client.stats().ok()?.workers.iter().all(|worker| worker.crowded > 0);
        crowded.then_some(())
    });
    crowd.extend((2..200_u8).map(|number| open_from([127, 0, 0, number], at)));
    within(|| {
        let paused = client.stats().ok()?.workers.iter().all(|worker| worker.paused > 0);
        paused.then_some(())
    });
    let used = |process: &Process| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = used(&process);
    thread::sleep(Duration::from_millis(500));
    assert!(used(&process) - before <= 10, "no busy loop: at most a fifth of a core");
    for _ in 0..50 {
        speak(&mut old, 2).unwrap();
    }
    client.stats().expect("the control socket answers");
    crowd.clear();
    let mut late = open(at).unwrap();
    speak(&mut late, 3).unwrap();
    assert!(process.0.try_wait().unwrap().is_none());
}
