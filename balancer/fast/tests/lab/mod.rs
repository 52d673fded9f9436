// SPDX-License-Identifier: Apache-2.0
//! Network namespaces, servers and clients in them, and the `fast` example as a process in one.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

pub(crate) use berth_balancer_testkit::{HANG, Space, link, until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Whether the fast path can be tried. Says so if not, and fails if it is required.
pub(crate) fn have_namespaces() -> bool {
    if !berth_balancer_testkit::have_namespaces() {
        return false;
    }
    let found = berth_balancer_fast::probe();
    if found.is_usable() {
        return true;
    }
    println!("skipped: {}", found.missing.iter().map(ToString::to_string).collect::<String>());
    assert!(std::env::var_os("BERTH_REQUIRE_NETNS").is_none(), "BERTH_REQUIRE_NETNS is set");
    false
}

/// Servers and clients in a namespace.
pub(crate) trait Talks {
    /// A server of TCP and UDP that says its name and who came, and then sends back what it gets.
    fn serve(&self, address: &str);

    /// Connects, and hears the server's name and whom it sees.
    fn connect(&self, address: &str) -> std::io::Result<Client> {
        self.connect_within(address, HANG)
    }

    fn connect_within(&self, address: &str, time: Duration) -> std::io::Result<Client>;

    /// One question to a server of UDP: its name, and whom it sees.
    fn ask(&self, address: &str) -> std::io::Result<(String, String)>;
}

impl Talks for Space {
    fn serve(&self, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let name = address.ip().to_string();
        let (listener, socket) =
            self.run(|| (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap()));
        let of_tcp = name.clone();
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let hello = format!("{of_tcp} {}\n", peer.ip());
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    drop(stream.write_all(hello.as_bytes()));
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let answer = format!("{name} {} {length}", peer.ip());
                drop(socket.send_to(answer.as_bytes(), peer));
            }
        });
    }

    fn connect_within(&self, address: &str, time: Duration) -> std::io::Result<Client> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = self.run(|| TcpStream::connect_timeout(&address, time))?;
        stream.set_read_timeout(Some(HANG))?;
        let mut client = Client { stream, server: String::new(), seen: String::new() };
        let mut line = String::new();
        BufReader::with_capacity(1, &mut client.stream).read_line(&mut line)?;
        let (server, seen) = line.trim().split_once(' ').unwrap_or_default();
        (client.server, client.seen) = (server.to_owned(), seen.to_owned());
        Ok(client)
    }

    fn ask(&self, address: &str) -> std::io::Result<(String, String)> {
        ask(&self.udp(address))
    }
}

pub(crate) fn ask(socket: &UdpSocket) -> std::io::Result<(String, String)> {
    socket.send(b"x")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let mut words = answer.split(' ').map(str::to_owned);
    Ok((words.next().unwrap_or_default(), words.next().unwrap_or_default()))
}

/// How a connection that says nothing more ends.
pub(crate) fn end(stream: &mut TcpStream) -> std::io::ErrorKind {
    stream.set_read_timeout(Some(HANG)).unwrap();
    loop {
        let error = stream.read(&mut [0; 8]).unwrap_err();
        // A read with a time is not begun again by itself after a signal.
        if error.kind() != std::io::ErrorKind::Interrupted {
            return error.kind();
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) server: String,
    pub(crate) seen: String,
}

impl Client {
    /// Sends something and hears it back.
    pub(crate) fn echo(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"ping")?;
        let mut buffer = [0; 4];
        self.stream.read_exact(&mut buffer)
    }
}

/// A client, a node that routes, and a server, in a row; and a name for all that is made.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) client: Space,
    pub(crate) node: Space,
    pub(crate) server: Space,
    pub(crate) state: tempfile::TempDir,
}

impl Row {
    pub(crate) fn new() -> Self {
        let (client, node, server) = (Space::new("c"), Space::new("n"), Space::new("s"));
        link(&node, "to-client", "10.11.0.1/24 fd11::1/64", &client, "10.11.0.2/24 fd11::2/64");
        link(&node, "to-server", "10.12.0.1/24 fd12::1/64", &server, "10.12.0.2/24 fd12::2/64");
        client.sh("ip route add default via 10.11.0.1; ip -6 route add default via fd11::1");
        server.sh("ip route add default via 10.12.0.1; ip -6 route add default via fd12::1");
        server.sh("ip addr add 10.12.0.3/24 dev eth0; ip -6 addr add fd12::3/64 dev eth0 nodad");
        node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for address in ["10.12.0.2:8080", "10.12.0.3:8080", "[fd12::2]:8080", "[fd12::3]:8080"] {
            server.serve(address);
        }
        Self { client, node, server, state: tempfile::tempdir().unwrap() }
    }

    /// Starts the fast path on the node.
    pub(crate) fn fast(&self, instance: &str, more: &[&str]) -> Daemon {
        Daemon::start(&self.node, self.state.path(), instance, more)
    }
}

/// The `fast` example as a process.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Daemon {
    pub(crate) fn start(
        space: &Space,
        state: &std::path::Path,
        instance: &str,
        more: &[&str],
    ) -> Self {
        Self::start_with(space, state, instance, more, None)
    }

    /// `programs`: a folder with programs that it calls instead of the host's.
    pub(crate) fn start_with(
        space: &Space,
        state: &std::path::Path,
        instance: &str,
        more: &[&str],
        programs: Option<&std::path::Path>,
    ) -> Self {
        let host = std::env::var("PATH").unwrap_or_default();
        let search = programs.map_or(host.clone(), |own| format!("{}:{host}", own.display()));
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        path.push("examples/fast");
        assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
        let mut child = space.run(|| {
            Command::new(&path)
                .args(["--instance", instance, "--state"])
                .arg(state)
                .args(more)
                .env("PATH", &search)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        });
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, lines }
    }

    /// Says a line and hears the answer.
    pub(crate) fn tell(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.lines.recv_timeout(HANG).unwrap_or_else(|_| panic!("no answer to {line:?}"))
    }

    /// Says lines, all of which must be understood.
    pub(crate) fn must(&mut self, lines: &[&str]) {
        for line in lines {
            let answer = self.tell(line);
            assert!(!answer.starts_with("error"), "{line}: {answer}");
        }
    }

    /// One of the counters.
    pub(crate) fn stat(&mut self, name: &str) -> u64 {
        let all = self.tell("stats");
        let from = all.find(&format!("{name}: ")).unwrap() + name.len() + 2;
        all[from..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    /// Flows of all endpoints of a service that are booked.
    pub(crate) fn active(&mut self, service: &str) -> u64 {
        let all = self.tell(&format!("seen {service}"));
        all.split(' ').filter_map(|word| word.split_once('=')?.1.parse::<u64>().ok()).sum()
    }

    pub(crate) fn stop(mut self) {
        drop(writeln!(self.input.as_mut().unwrap(), "stop"));
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends its part and leaves the rest.
    pub(crate) fn leave(mut self) {
        drop(writeln!(self.input.as_mut().unwrap(), "leave"));
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// As if it had crashed.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Everything that the fast path could leave on a host, as text.
pub(crate) fn traces(space: &Space) -> String {
    // Chains that iptables-nft makes when it is asked for the rules are its own.
    let rules = space.sh("nft -s list ruleset 2>/dev/null | grep -v '^#' || true");
    let routes = space.sh("ip route show table all; ip -6 route show table all");
    let routes: Vec<&str> = routes.lines().filter(|line| !line.contains("expires")).collect();
    format!("{rules}\n{}", routes.join("\n"))
}
