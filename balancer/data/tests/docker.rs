// SPDX-License-Identifier: Apache-2.0
//! Beside a real Docker engine: a dockerd of the test's own in a network namespace of its own, with its default bridge and another
//! network. Published ports and services on the same ports; clients in containers, on the node and outside; IPv4 and IPv6.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod fixture;
mod lab;

use berth_balancer_core::Change;
use berth_balancer_core::model::{Cidr, ProxyProtocol, Settings};
use berth_balancer_testkit::{Engine, have_docker};
use lab::{Plane, Space, Talks, link, node, outer, serves, traces, until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A program that serves what every connection is told at once, on port 80; without an argument it only waits.
const PROGRAM: &str = r#"
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **arguments) {
    if (count < 2) for (;;) pause();
    int off = 0, listener = socket(AF_INET6, SOCK_STREAM, 0);
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 64)) return 1;
    for (;;) {
        int one = accept(listener, 0, 0);
        char request[512];
        if (one < 0) continue;
        read(one, request, sizeof request);
        const char *text = "HTTP/1.0 200 OK\r\n\r\na published container\n";
        write(one, text, strlen(text));
        close(one);
    }
}
"#;

/// Docker's default bridge has IPv6 too.
const OPTIONS: [&str; 5] = ["--ipv6", "--fixed-cidr-v6", "fd30:9::/64", "--bip", "172.29.0.1/16"];

/// What a web server says.
fn get(space: &Space, address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = space.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut heard = String::new();
    drop(stream.read_to_string(&mut heard));
    Ok(heard)
}

/// Of TCP alone, with endpoints that are told who the client is.
fn tells(name: &str, at: &str, to: &str) -> Vec<Change> {
    let told = Settings { proxy_out: ProxyProtocol::V1, ..Settings::default() };
    let mut all = serves(name, &[at], told, &[to]);
    if let Change::Service(service) = &mut all[0] {
        service.ports.truncate(1);
    }
    if let Change::Endpoints(set) = &mut all[1] {
        set.endpoints[0].ports.truncate(1);
    }
    all
}

const OUTSIDE: [&str; 2] = ["192.0.2.2", "fd20::2"];
const NODE: [&str; 2] = ["192.0.2.1", "fd20::1"];

#[test]
fn published_ports_and_services_on_them_do_not_meet_and_clients_from_everywhere_are_seen() {
    if !have_docker() {
        return;
    }
    let mut engine = Engine::start(&OPTIONS);
    engine.image(PROGRAM);
    let outside = Space::new("o");
    link(&engine.node, "to-out", "192.0.2.1/24 fd20::1/64", &outside, "192.0.2.2/24 fd20::2/64");
    outside.sh("ip route add default via 192.0.2.1; ip -6 route add default via fd20::1");
    engine.node.sh("sysctl -qw net.ipv6.conf.all.forwarding=1");
    engine.docker(
        "network create --ipv6 --subnet 172.30.1.0/24 --subnet fd30:1::/64 \
         -o com.docker.network.bridge.name=br-a a",
    );
    let (near, far) = (
        engine.container("near", "--network bridge", "/main"),
        engine.container("far", "--network a", "/main"),
    );
    let server = engine.container("server", "--network a", "/main");
    let (near_at, far_at) = (engine.addresses("near", "bridge"), engine.addresses("far", "a"));
    let [server4, server6] = engine.addresses("server", "a");
    let (four, six) = (format!("{server4}:8080"), format!("[{server6}]:8080"));
    server.serve(&four);
    server.serve(&six);
    let before = traces(&engine.node);

    // The services first.
    let path = engine.folder.path().join("control");
    let mut plane = Plane::start(&engine.node, &path, "");
    let only = Settings {
        source_ranges: vec![format!("{}/32", near_at[0]).parse::<Cidr>().unwrap()],
        ..Settings::default()
    };
    let services = || {
        let mut all = vec![node(&NODE)];
        for (name, port) in [("web", 80), ("tls", 443), ("shell", 22)] {
            let at = [format!("10.96.0.1:{port}"), format!("[fd96::1]:{port}")];
            all.extend(serves(&format!("{name}4"), &[&at[0]], Settings::default(), &[&four]));
            all.extend(serves(&format!("{name}6"), &[&at[1]], Settings::default(), &[&six]));
        }
        all.extend(tells("seen4", "10.96.0.1:81", &four));
        all.extend(tells("seen6", "[fd96::1]:81", &six));
        all.extend(outer("only", &["203.0.113.1:80"], only.clone(), &[&four]));
        all
    };
    plane.apply(services());
    engine.container("published", "--network bridge -p 80:80 -p 8443:80", "/main web");

    let clients = [
        ("default bridge", &near, [near_at[0].as_str(), near_at[1].as_str()]),
        ("other network", &far, [far_at[0].as_str(), far_at[1].as_str()]),
        ("node", &engine.node, NODE),
        ("outside", &outside, OUTSIDE),
    ];
    let check = |what: &str| {
        for (who, space, seen) in &clients {
            let who = format!("{what}: {who}");
            until(&format!("{who} is served"), || space.connect("10.96.0.1:80").is_ok());
            for port in [80, 443, 22] {
                let at = [format!("10.96.0.1:{port}"), format!("[fd96::1]:{port}")];
                assert_eq!(space.connect(&at[0]).unwrap().server, server4, "{who} {}", at[0]);
                assert_eq!(space.connect(&at[1]).unwrap().server, server6, "{who} {}", at[1]);
                assert_eq!(space.ask(&at[0]).unwrap(), server4, "{who} UDP {}", at[0]);
                assert_eq!(space.ask(&at[1]).unwrap(), server6, "{who} UDP {}", at[1]);
            }
            assert_eq!(space.connect("10.96.0.1:81").unwrap().seen, seen[0], "{who}");
            assert_eq!(space.connect("[fd96::1]:81").unwrap().seen, seen[1], "{who}");
            // The port that a container has published is not the service address'.
            for address in ["10.96.0.1:8443", "[fd96::1]:8443"] {
                space.is_refused(address);
            }
            let admitted = seen[0] == near_at[0];
            assert_eq!(space.connect("203.0.113.1:80").is_ok(), admitted, "{who}");
            assert_eq!(space.ask("203.0.113.1:80").is_ok(), admitted, "{who}");
        }
        for (who, space) in [("node", &engine.node), ("outside", &outside)] {
            for port in [80, 8443] {
                let heard = get(space, &format!("192.0.2.1:{port}")).unwrap();
                assert!(heard.contains("a published container"), "{what}: {who}: {heard:?}");
            }
        }
    };
    for calls in ["1", "0"] {
        engine.node.sh(&format!(
            "sysctl -qw net.bridge.bridge-nf-call-iptables={calls} net.bridge.bridge-nf-call-ip6tables={calls}"
        ));
        check(&format!("services first, bridges call netfilter: {calls}"));
        // Docker's rules are none that speak against the shortcut, and its bridges' clients do not take it.
        for (who, space, _) in &clients {
            for address in ["10.96.0.1:80", "[fd96::1]:80"] {
                let before = plane.short();
                space.connect(address).unwrap();
                assert_eq!(plane.short() > before, *who == "outside", "{who}: {address}");
            }
        }
    }
    // Then the other way round.
    plane.stop();
    assert!(get(&engine.node, "192.0.2.1:80").unwrap().contains("a published container"));
    let mut plane = Plane::start(&engine.node, &path, "");
    plane.apply(services());
    check("containers first");
    // What Docker keeps apart stays apart.
    near.connect(&four).unwrap_err();

    // Its rules come anew, and ours are there again.
    engine.restart();
    for (space, _) in [(&near, 0), (&far, 0), (&outside, 0), (&engine.node, 0)] {
        until("clients are served after a restart of dockerd", || {
            space.connect("10.96.0.1:80").is_ok()
        });
    }
    plane.stop();
    // Docker's own rules are others after its restart; of ours nothing is among them.
    let after = traces(&engine.node);
    for ours in ["berth", "10.96.0.1", "fd96::1", "203.0.113.1"] {
        assert!(!after.contains(ours) && !before.contains(ours), "{ours}: {after}");
    }
}
