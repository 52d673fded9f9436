// SPDX-License-Identifier: Apache-2.0
//! The network namespace of the data plane's own: clients from everywhere, refusals, what stays on the host, upgrades, conflicts.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod fixture;
mod lab;

use berth_balancer_core::Change;
use berth_balancer_core::model::{Cidr, Settings};
use fixture::within;
use lab::{
    Plane, Row, Running, SERVERS, Space, Talks, both, endpoints, have_namespaces, node, outer,
    serves, telling, traces, until, with_node_port,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const NODE: [&str; 2] = ["10.11.0.1", "fd11::1"];

#[test]
fn clients_on_the_node_and_outside_are_served_and_seen() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    plane.apply(vec![node(&NODE)]);
    plane.apply(telling(("four-tells", "10.96.0.1:81"), ("six-tells", "[fd96::1]:81")));
    for (who, v4, v6) in
        [(&row.client, "10.11.0.2", "fd11::2"), (&row.node, "10.11.0.1", "fd11::1")]
    {
        for (address, server, client) in
            [("10.96.0.1:80", "10.12.0.2", v4), ("[fd96::1]:80", "fd12::2", v6)]
        {
            let mut connection = who.connect(address).unwrap();
            assert_eq!(connection.server, server);
            connection.echo().unwrap();
            let connection = who.connect(&address.replace(":80", ":81")).unwrap();
            assert_eq!((&*connection.server, &*connection.seen), (server, client), "{address}");
            assert_eq!(who.ask(address).unwrap(), server, "UDP {address}");
        }
    }
    let told = plane.client.stats().unwrap().addresses;
    assert!(told.has_namespace && told.taken == 2 && told.warnings.is_empty(), "{told:?}");
    row.node.sh("sysctl -qw net.ipv4.ip_forward=0");
    let told = plane.client.stats().unwrap().addresses.warnings;
    assert!(told.len() == 1 && told[0].contains("net.ipv4.ip_forward is 0"), "{told:?}");
    row.node.connect("10.96.0.1:80").unwrap();
    plane.stop();
}

#[test]
fn source_ranges_are_those_of_the_clients_themselves() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    let only = |range: &str| Settings {
        source_ranges: vec![range.parse::<Cidr>().unwrap()],
        ..Settings::default()
    };
    let mut all = outer("in", &["203.0.113.1:80"], only("10.11.0.2/32"), &SERVERS[..1]);
    all.extend(outer("out", &["203.0.113.2:80"], only("10.11.0.3/32"), &SERVERS[..1]));
    plane.apply(all);
    assert_eq!(row.client.connect("203.0.113.1:80").unwrap().server, "10.12.0.2");
    assert_eq!(row.client.ask("203.0.113.1:80").unwrap(), "10.12.0.2");
    for other in ["203.0.113.1:80", "203.0.113.2:80"] {
        row.node.connect(other).unwrap_err();
        row.node.ask(other).unwrap_err();
    }
    row.client.connect("203.0.113.2:80").unwrap_err();
    row.client.ask("203.0.113.2:80").unwrap_err();
    plane.stop();
}

#[test]
fn without_an_endpoint_connecting_itself_fails_also_where_another_service_shares_the_port() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    plane.apply(serves("none", &["10.96.0.2:80"], Settings::default(), &[]));
    plane.apply(serves("none6", &["[fd96::2]:80"], Settings::default(), &[]));
    for who in [&row.client, &row.node] {
        // No endpoint; and no such port, of services that have some.
        for address in ["10.96.0.2:80", "[fd96::2]:80", "10.96.0.1:81", "[fd96::1]:81"] {
            who.is_refused(address);
        }
    }
    // However often it is asked: the kernel's usual bound is one a second, after the first six.
    for _ in 0..12 {
        row.client.is_refused("10.96.0.1:81");
        row.client.is_refused("[fd96::1]:81");
    }
    plane.apply(vec![endpoints("none", &SERVERS[..1])]);
    row.client.connect("10.96.0.2:80").unwrap();
    plane.apply(vec![endpoints("none", &[])]);
    row.client.is_refused("10.96.0.2:80");
    // An endpoint of UDP that is not there is told on, in the service's name.
    plane.apply(serves("late", &["10.96.0.3:80"], Settings::default(), &["10.12.0.2:9"]));
    let socket = row.client.udp("10.96.0.3:80");
    within(|| {
        let kind = lab::ask(&socket).err().map(|error| error.kind());
        kind.filter(|kind| *kind == std::io::ErrorKind::ConnectionRefused)
    });
    // A service that is gone has no route any more.
    plane.apply(vec![Change::RemoveService("none".into())]);
    // Also where it was the one in whose name the kernel spoke.
    plane.apply(vec![Change::RemoveService("six".into())]);
    row.client.is_refused("[fd96::2]:80");
    assert!(!traces(&row.node).contains("10.96.0.2"));
    assert!(traces(&row.node).contains("10.96.0.1"));
    plane.stop();
}

#[test]
fn node_ports_are_on_the_nodes_addresses_and_on_loopback() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(vec![node(&["10.11.0.1", "fd11::1", "127.0.0.1", "::1"])]);
    let at = ["10.96.0.1:80", "[fd96::1]:80"];
    plane.apply(with_node_port(serves("web", &at, Settings::default(), &SERVERS), 30_080));
    for address in ["10.11.0.1:30080", "[fd11::1]:30080"] {
        row.client.connect(address).unwrap();
        row.client.ask(address).unwrap();
        row.node.connect(address).unwrap();
    }
    for address in ["127.0.0.1:30080", "[::1]:30080"] {
        row.node.connect(address).unwrap();
        row.node.ask(address).unwrap();
    }
    // The node port is the node's, not the service address'.
    row.client.is_refused("10.96.0.1:30080");
    row.client.connect("10.96.0.1:80").unwrap();
    plane.stop();
}

/// The first bytes that a server says, or answers to a request.
fn says(space: &Space, address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = space.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    if address.port() != 22 {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    }
    let mut buffer = [0; 512];
    let length = stream.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// nginx on all addresses at 80 and 443, and sshd at 22.
fn daemons(row: &Row) -> Vec<Running> {
    let folder = row.folder.path().display();
    let conf = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         server {{ listen 0.0.0.0:443; listen 0.0.0.0:80; listen [::]:443; listen [::]:80;\n\
         return 200 'the host itself'; }} }}\n"
    );
    std::fs::write(row.folder.path().join("nginx.conf"), conf).unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    row.node.sh(&format!("[ -e {folder}/key ] || ssh-keygen -q -t ed25519 -N '' -f {folder}/key"));
    let all = vec![
        row.node.spawn(&format!("nginx -c {folder}/nginx.conf")),
        row.node.spawn(&format!(
            "/usr/sbin/sshd -D -e -f /dev/null -p 22 -h {folder}/key -o PidFile=none 2>/dev/null"
        )),
    ];
    let own = ["10.11.0.1:80", "10.11.0.1:443", "10.11.0.1:22"];
    until("the daemons listen", || own.iter().all(|own| says(&row.node, own).is_ok()));
    all
}

fn check_daemons(row: &Row, daemons: &mut [Running]) {
    for who in [&row.client, &row.node] {
        for at in ["10.11.0.1", "[fd11::1]"] {
            for port in [80, 443] {
                let heard = says(who, &format!("{at}:{port}")).unwrap();
                assert!(heard.contains("the host itself"), "{heard}");
            }
            assert!(says(who, &format!("{at}:22")).unwrap().starts_with("SSH-"));
        }
        // Services on the same ports.
        for service in ["10.96.0.1:80", "10.96.0.2:443", "10.96.0.3:22", "[fd96::1]:80"] {
            assert!(who.connect(service).unwrap().server.contains("12"), "{service}");
        }
        // And no process of the host behind a port that a service does not have.
        for address in ["10.96.0.1:443", "10.96.0.1:22", "10.96.0.2:80", "[fd96::1]:443"] {
            who.is_refused(address);
        }
    }
    assert!(daemons.iter_mut().all(Running::runs));
}

#[test]
fn daemons_on_all_addresses_and_services_on_their_ports_do_not_meet_in_either_order() {
    let there = ["nginx", "ssh-keygen", "/usr/sbin/sshd"];
    let there = there.iter().all(|tool| {
        berth_balancer_testkit::run("sh", &["-c", &format!("command -v {tool}")]).is_some()
    });
    if !there {
        println!("skipped: needs nginx and sshd");
        assert!(std::env::var_os("BERTH_REQUIRE_PEERS").is_none(), "BERTH_REQUIRE_PEERS is set");
        return;
    }
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let services = || {
        let mut all = both(80);
        for (name, at) in [("tls", "10.96.0.2:443"), ("shell", "10.96.0.3:22")] {
            all.extend(serves(name, &[at], Settings::default(), &SERVERS[..1]));
        }
        all
    };
    let mut plane = row.plane("a");
    plane.apply(services());
    let mut after = daemons(&row);
    check_daemons(&row, &mut after);
    plane.stop();
    let mut plane = row.plane("a");
    plane.apply(services());
    check_daemons(&row, &mut after);
    plane.stop();
    // Without a service the address is nobody's.
    says(&row.node, "10.96.0.1:80").unwrap_err();
}

#[test]
fn a_node_without_an_address_serves_itself() {
    if !have_namespaces() {
        return;
    }
    let (alone, folder) = (Space::new("l"), tempfile::tempdir().unwrap());
    alone.serve("127.0.0.1:8080");
    let mut plane = Plane::start(&alone, &folder.path().join("a"), "");
    plane.apply(serves("web", &["10.96.0.1:80"], Settings::default(), &["127.0.0.1:8080"]));
    alone.connect("10.96.0.1:80").unwrap();
    alone.ask("10.96.0.1:80").unwrap();
    plane.stop();
}
