// SPDX-License-Identifier: Apache-2.0
//! Network namespaces, servers and clients in them, and the `data-plane` example as a process in one.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

use crate::fixture::{connect, within};
use berth_balancer_core::Change;
use berth_balancer_core::model::{
    EndpointPort, EndpointSet, Node, Protocol, ProxyProtocol, Service, ServicePort, Settings,
};
use berth_balancer_data::control::{Client, Unservable};
pub(crate) use berth_balancer_testkit::{Running, Space, have_namespaces, link, until};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Servers and clients in a namespace.
pub(crate) trait Talks {
    /// A server of TCP and UDP that says its name, and then sends back what it gets. Of TCP it says first what it heard before: the
    /// PROXY header.
    fn serve(&self, address: &str);

    /// Connects. How the client looks from the other side: its address in the PROXY header that the endpoint gets.
    fn connect(&self, address: &str) -> std::io::Result<Connection>;

    /// One question to a server of UDP: its name.
    fn ask(&self, address: &str) -> std::io::Result<String>;

    /// That nobody has the port, TCP and UDP, and that this is said at once.
    fn is_refused(&self, address: &str);
}

impl Talks for Space {
    fn serve(&self, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let name = address.ip().to_string();
        let (listener, socket) =
            self.run(|| (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap()));
        let of_tcp = name.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let name = of_tcp.clone();
                std::thread::spawn(move || drop(echo(stream, &name)));
            }
        });
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                drop(socket.send_to(name.as_bytes(), peer));
            }
        });
    }

    fn connect(&self, address: &str) -> std::io::Result<Connection> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = self.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(3)))?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        let mut connection = Connection { stream, server: String::new(), seen: String::new() };
        let mut line = String::new();
        BufReader::with_capacity(1, &mut connection.stream).read_line(&mut line)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        connection.server = words.next().ok_or(ErrorKind::UnexpectedEof)?;
        connection.seen = words.nth(2).unwrap_or_default();
        Ok(connection)
    }

    fn ask(&self, address: &str) -> std::io::Result<String> {
        ask(&self.udp(address))
    }

    fn is_refused(&self, address: &str) {
        let begun = Instant::now();
        let place: SocketAddr = address.parse().unwrap();
        let tcp = self.run(|| TcpStream::connect_timeout(&place, Duration::from_secs(3)));
        assert_eq!(tcp.unwrap_err().kind(), ErrorKind::ConnectionRefused, "TCP {address}");
        let tcp = begun.elapsed();
        let socket = self.udp(address);
        let begun = Instant::now();
        assert_eq!(ask(&socket).unwrap_err().kind(), ErrorKind::ConnectionRefused, "UDP {address}");
        println!("{address} refuses TCP after {tcp:.1?}, UDP after {:.1?}", begun.elapsed());
        // 10 ms are promised; the machine may be busy with other tests.
        assert!(tcp + begun.elapsed() < Duration::from_millis(500));
    }
}

fn echo(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    // A balancer that sends a header sends it at once.
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut header = String::new();
    drop(BufReader::with_capacity(1, &mut stream).read_line(&mut header));
    stream.set_read_timeout(None)?;
    stream.write_all(format!("{name} {}\n", header.trim()).as_bytes())?;
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..length])?;
    }
    Ok(())
}

pub(crate) fn ask(socket: &UdpSocket) -> std::io::Result<String> {
    socket.send(b"x")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A connection to an endpoint that said its name.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) server: String,
    pub(crate) seen: String,
}

impl Connection {
    /// Sends something and hears it back.
    pub(crate) fn echo(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"ping")?;
        self.stream.read_exact(&mut [0; 4])
    }
}

/// A client outside, a node that routes, and a server, in a row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) client: Space,
    pub(crate) node: Space,
    pub(crate) server: Space,
    pub(crate) folder: tempfile::TempDir,
}

impl Row {
    pub(crate) fn new() -> Self {
        let (client, node, server) = (Space::new("c"), Space::new("n"), Space::new("s"));
        link(&node, "to-client", "10.11.0.1/24 fd11::1/64", &client, "10.11.0.2/24 fd11::2/64");
        link(&node, "to-server", "10.12.0.1/24 fd12::1/64", &server, "10.12.0.2/24 fd12::2/64");
        client.sh("ip route add default via 10.11.0.1; ip -6 route add default via fd11::1");
        server.sh("ip route add default via 10.12.0.1; ip -6 route add default via fd12::1");
        node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for address in ["10.12.0.2:8080", "[fd12::2]:8080"] {
            server.serve(address);
        }
        Self { client, node, server, folder: tempfile::tempdir().unwrap() }
    }

    /// A data plane on the node.
    pub(crate) fn plane(&self, name: &str) -> Plane {
        Plane::start(&self.node, &self.folder.path().join(name), "")
    }
}

/// The `data-plane` example as a process.
#[derive(Debug)]
pub(crate) struct Plane {
    process: Running,
    pub(crate) client: Client,
    pub(crate) path: PathBuf,
}

/// The example, which cargo builds beside the tests.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/data-plane");
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}

impl Plane {
    pub(crate) fn start(space: &Space, path: &Path, more: &str) -> Self {
        Self::begin(space, path, more, "")
    }

    /// `before` is a command that runs it.
    pub(crate) fn begin(space: &Space, path: &Path, more: &str, before: &str) -> Self {
        let former = Client::connect(path).ok().map(|client| client.greeting().pid);
        let binary = binary();
        let line = format!("{before} {} {} --workers 2 {more}", binary.display(), path.display());
        let process = space.spawn(&line);
        let client = match former {
            None => connect(path),
            Some(pid) => within(|| Client::connect(path).ok().filter(|c| c.greeting().pid != pid)),
        };
        Self { process, client, path: path.to_owned() }
    }

    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        let applied = self.client.apply(changes).unwrap();
        assert_eq!(applied.unserved, [], "everything is served");
    }

    /// Why a change is refused.
    pub(crate) fn refused(&mut self, changes: Vec<Change>) -> String {
        self.client.apply_with(changes, Unservable::Refuse).unwrap_err().to_string()
    }

    pub(crate) fn stop(mut self) {
        self.client.stop().unwrap();
        within(|| self.process.0.try_wait().unwrap());
    }

    /// Connections that the shortcut has brought.
    pub(crate) fn short(&mut self) -> u64 {
        self.client.stats().unwrap().workers.iter().map(|worker| worker.shortcut).sum()
    }

    /// Whether the shortcut has new connections, and what is told of that.
    pub(crate) fn shortcut(&mut self) -> (bool, String) {
        let told = self.client.stats().unwrap().addresses;
        (told.has_shortcut, told.shortcut_because)
    }

    /// As if it had crashed.
    pub(crate) fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Processor time that the process has used, to a hundredth of a second.
    pub(crate) fn used(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.client.greeting().pid));
        let stat = stat.unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

/// A service of TCP and UDP at addresses and one port; endpoints are written `10.0.0.1:80`, all at one port.
pub(crate) fn serves(name: &str, at: &[&str], settings: Settings, to: &[&str]) -> Vec<Change> {
    let at: Vec<SocketAddr> = at.iter().map(|at| at.parse().unwrap()).collect();
    let both = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let service = Service {
        name: name.into(),
        cluster_ips: at.iter().map(SocketAddr::ip).collect(),
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        ports: both
            .into_iter()
            .map(|(name, protocol)| ServicePort {
                name: name.into(),
                protocol,
                port: at[0].port(),
                node_port: None,
            })
            .collect(),
        settings: settings.into(),
    };
    vec![Change::Service(Box::new(service)), endpoints(name, to)]
}

/// Endpoints in a [`Row`].
pub(crate) const SERVERS: [&str; 2] = ["10.12.0.2:8080", "[fd12::2]:8080"];

/// Two services of TCP alone, each a name and a place, of IPv4 and of IPv6. Their endpoints are told who the client is.
pub(crate) fn telling(four: (&str, &str), six: (&str, &str)) -> Vec<Change> {
    let told = || Settings { proxy_out: ProxyProtocol::V1, ..Settings::default() };
    let mut all = serves(four.0, &[four.1], told(), &SERVERS[..1]);
    all.extend(serves(six.0, &[six.1], told(), &SERVERS[1..]));
    for change in &mut all {
        match change {
            Change::Service(service) => service.ports.truncate(1),
            Change::Endpoints(set) => set.endpoints[0].ports.truncate(1),
            _ => {}
        }
    }
    all
}

/// Two services, IPv4 and IPv6.
pub(crate) fn both(port: u16) -> Vec<Change> {
    let (four, six) = (format!("10.96.0.1:{port}"), format!("[fd96::1]:{port}"));
    let mut all = serves("four", &[&four], Settings::default(), &SERVERS[..1]);
    all.extend(serves("six", &[&six], Settings::default(), &SERVERS[1..]));
    all
}

/// The same, with load balancer addresses.
pub(crate) fn outer(name: &str, at: &[&str], settings: Settings, to: &[&str]) -> Vec<Change> {
    let mut changes = serves(name, at, settings, to);
    if let Change::Service(service) = &mut changes[0] {
        service.load_balancer_ips = std::mem::take(&mut service.cluster_ips);
    }
    changes
}

/// The same, with a node port besides.
pub(crate) fn with_node_port(mut changes: Vec<Change>, port: u16) -> Vec<Change> {
    if let Change::Service(service) = &mut changes[0] {
        service.ports.iter_mut().for_each(|own| own.node_port = Some(port));
    }
    changes
}

pub(crate) fn endpoints(service: &str, to: &[&str]) -> Change {
    let one = |(number, to): (usize, &&str)| {
        let at: SocketAddr = to.parse().unwrap();
        let mut endpoint = crate::fixture::endpoint(&format!("e{number}"), at);
        endpoint.ports =
            ["tcp", "udp"].map(|name| EndpointPort { name: name.into(), port: at.port() }).to_vec();
        endpoint
    };
    let endpoints = to.iter().enumerate().map(one).collect();
    Change::Endpoints(EndpointSet { service: service.into(), endpoints })
}

/// The node's addresses.
pub(crate) fn node(addresses: &[&str]) -> Change {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    Change::Node(Node { addresses, ..Node::default() })
}

/// Everything that a data plane could leave on a host, as text.
pub(crate) fn traces(space: &Space) -> String {
    let rules = space.sh("nft -s list ruleset 2>/dev/null | grep -v '^#' || true");
    let tables = space.sh("(iptables-save; ip6tables-save) | grep -v '^[#:]' || true");
    let routes =
        space.sh("ip route show table all; ip -6 route show table all; ip rule; ip -6 rule");
    let routes: Vec<&str> = routes.lines().filter(|line| !line.contains("expires")).collect();
    let links = space.sh("ip -o link | cut -d' ' -f2; ip neigh show proxy; ip -6 neigh show proxy");
    let sysctls = space.sh(
        "sysctl -a 2>/dev/null | grep -E 'ip_forward |forwarding|proxy|rp_filter' | sort || true",
    );
    format!("{rules}\n{tables}\n{}\n{links}\n{sysctls}", routes.join("\n"))
}
