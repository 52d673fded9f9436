// SPDX-License-Identifier: Apache-2.0
//! A real etcd for a test, and a wire to it that can be cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// One member, with its folder. It goes away with this.
pub struct Etcd {
    folder: TempDir,
    ports: [u16; 2],
    flags: Vec<String>,
    child: Child,
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn missing() -> bool {
    let there = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
    if there.is_ok() {
        return false;
    }
    let required = std::env::var_os("BERTH_REQUIRE_ETCD").is_some_and(|value| value == "1");
    assert!(!required, "etcd is not installed, and BERTH_REQUIRE_ETCD=1");
    eprintln!("skipped: etcd is not installed");
    true
}

impl Etcd {
    /// `None` where there is no etcd, and none is required.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further flags.
    pub fn start_with(flags: &[String]) -> Option<Self> {
        Self::members(1, flags)?.pop()
    }

    /// Several that are one.
    pub fn cluster(members: usize) -> Option<Vec<Self>> {
        Self::members(members, &[])
    }

    fn members(count: usize, flags: &[String]) -> Option<Vec<Self>> {
        if missing() {
            return None;
        }
        // A port that was free may be taken meanwhile: such a server ends at once.
        for _ in 0..5 {
            let ports: Vec<_> = (0..count).map(|_| [free_port(), free_port()]).collect();
            let peers =
                ports.iter().map(|[_, peer]| format!("{}={}", name(*peer), at("http", *peer)));
            let peers = format!("--initial-cluster={}", peers.collect::<Vec<_>>().join(","));
            let flags: Vec<_> = flags.iter().cloned().chain([peers]).collect();
            let mut members: Vec<_> = ports
                .iter()
                .map(|ports| {
                    let folder = tempfile::tempdir().unwrap();
                    let child = spawn(&folder, *ports, &flags);
                    Self { folder, ports: *ports, flags: flags.clone(), child }
                })
                .collect();
            if members.iter_mut().all(Self::serves) {
                return Some(members);
            }
        }
        panic!("etcd does not start");
    }

    fn serves(&mut self) -> bool {
        for _ in 0..500 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address()).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    pub fn spec(&self) -> String {
        format!("etcd:http://{}", self.address())
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Stops it where it is.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with what it has in its folder.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, self.ports, &self.flags);
        assert!(self.serves(), "etcd does not start again");
    }

    /// Empties its folder, while it is not running.
    pub fn forget(&mut self) {
        std::fs::remove_dir_all(data(&self.folder)).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn at(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

fn name(peer: u16) -> String {
    format!("m{peer}")
}

fn spawn(folder: &TempDir, [client, peer]: [u16; 2], flags: &[String]) -> Child {
    let secure = flags.iter().any(|flag| flag.starts_with("--cert-file"));
    let client = at(if secure { "https" } else { "http" }, client);
    let (name, peer) = (name(peer), at("http", peer));
    let log = std::fs::File::options().append(true).create(true).open(folder.path().join("log"));
    let log = log.unwrap();
    Command::new("etcd")
        .args(["--logger=zap", "--log-level=warn"])
        .arg(format!("--name={name}"))
        .arg(format!("--data-dir={}", data(folder).display()))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

const OPEN: u8 = 0;
const DEAF: u8 = 1;
const CUT: u8 = 2;

/// A way to a server on which answers can be held back, and connections be cut.
pub struct Wire {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, streams) = (Arc::new(AtomicU8::new(OPEN)), Arc::<Mutex<Vec<_>>>::default());
        let (held, known) = (Arc::clone(&mode), Arc::clone(&streams));
        // It lives as long as the test's process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if held.load(Ordering::SeqCst) == CUT {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                let mut known = known.lock().unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    known.push(stream.try_clone().unwrap());
                }
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || copy(from, to, None));
                let held = Arc::clone(&held);
                thread::spawn(move || copy(server, client, Some(held)));
            }
        });
        Self { address, mode, streams }
    }

    pub fn spec(&self) -> String {
        format!("etcd:http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the client says goes through; what the server says is lost, until the connection is cut.
    pub fn deafen(&self) {
        self.mode.store(DEAF, Ordering::SeqCst);
    }

    /// Ends all connections, and refuses new ones.
    pub fn cut(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.cut();
        self.mode.store(OPEN, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mode: Option<Arc<AtomicU8>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if mode.as_ref().is_some_and(|mode| mode.load(Ordering::SeqCst) == DEAF) {
            continue;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
