// SPDX-License-Identifier: Apache-2.0
//! What a client sees, byte for byte, and what an agent gets to see of it.

use crate::fake::World;
use crate::kit::rule;
use crate::place::{OLD, bounded};
use berth_cluster_apiserver::{Agents, Times};
use berth_cluster_auth::pki::Pair;
use berth_cluster_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const POD: &str = "/api/v1/namespaces/t1/pods/p";
const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n";

impl World {
    async fn send(
        &self,
        pair: &Pair,
        method: &str,
        path: &str,
        headers: &str,
    ) -> TlsStream<TcpStream> {
        let tls = self.place.client(Some(pair), OLD);
        let mut stream = self.place.connect(tls).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The whole answer to a request after which the connection ends.
    async fn say(&self, pair: &Pair, method: &str, path: &str, headers: &str) -> String {
        let mut stream = self.send(pair, method, path, &format!("{headers}X-Other: x\r\n")).await;
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    async fn admin(&self, method: &str, path: &str, headers: &str) -> String {
        self.say(&self.place.admin(), method, path, headers).await
    }
}

async fn head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A client's frame, masked with nothing.
fn masked(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x82, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

const CLOSE: &str = "Connection: close\r\n";

#[tokio::test]
async fn a_log_is_what_the_agent_has() {
    bounded(async {
        let world = World::new().await;
        let token = format!(
            "{CLOSE}Cookie: c\r\nAuthorization: Bearer ta\r\n\
             Impersonate-User: admin\r\nImpersonate-Group: system:masters\r\n"
        );
        let text =
            world.admin("GET", &format!("{POD}/log?tailLines=2&timestamps=true"), &token).await;
        assert!(
            text.starts_with("HTTP/1.1 200 ")
                && text.contains("text/plain")
                && text.contains("one\ntwo\n"),
            "{text}"
        );
        assert!(!text.contains("set-cookie"), "{text}");
        assert_eq!(world.seen.last(), "GET /containerLogs/t1/p/main?tailLines=2&timestamps=true");
        let text = world.admin("GET", &format!("{POD}/log?previous=true"), CLOSE).await;
        assert!(
            text.starts_with("HTTP/1.1 400 ")
                && text.contains(
                    "previous terminated container \\\"main\\\" in pod \\\"p\\\" not found"
                ),
            "{text}"
        );
        let text = world.admin("GET", "/api/v1/namespaces/t1/pods/two/log", CLOSE).await;
        assert!(
            text.contains("a container name must be specified for pod two, choose one of: [a b]"),
            "{text}"
        );
        let text = world.admin("GET", &format!("{POD}/log?tailLines=-1"), CLOSE).await;
        assert!(text.starts_with("HTTP/1.1 422 "), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_log_comes_as_messages_where_they_are_asked_for() {
    bounded(async {
        let world = World::new().await;
        let socket = SOCKET.replace("v5.channel.k8s.io", "binary.k8s.io");
        world.place.cluster.grant("reader", "t1", rule(&["pods/log"], &["get"])).await;
        let reader = world.place.pki.issue_client("reader", "", crate::place::now()).unwrap();
        let mut stream =
            world.send(&reader, "GET", &format!("{POD}/log?tailLines=2"), &socket).await;
        let said = head(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
        assert!(said.contains("sec-websocket-protocol: binary.k8s.io"), "{said}");
        assert!(said.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{said}");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert!(all.ends_with(&[0x88, 2, 3, 0xe8]), "{all:?}");
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(text.contains("one") && text.contains("two\n"), "{text:?}");
        assert_eq!(world.seen.last(), "GET /containerLogs/t1/p/main?tailLines=2");
        // What went wrong is said before the protocol changes.
        let close = format!("{socket}Connection: close\r\n");
        let text = world.admin("GET", &format!("{POD}/log?previous=true"), &close).await;
        assert!(
            text.starts_with("HTTP/1.1 400 ") && text.contains("previous terminated"),
            "{text}"
        );
        let channels = format!("{SOCKET}Connection: close\r\n");
        let text = world.admin("GET", &format!("{POD}/log"), &channels).await;
        assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("binary.k8s.io"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_log_is_followed_until_the_client_goes_or_the_server_stops() {
    bounded(async {
        let world = World::new().await;
        let mut stream =
            world.send(&world.place.admin(), "GET", &format!("{POD}/log?follow=true"), "").await;
        let mut all = String::new();
        while !all.contains("line 9\n") {
            let mut piece = [0; 100];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "{all}");
            all += std::str::from_utf8(&piece[..count]).unwrap();
        }
        assert!(all.contains("transfer-encoding: chunked"), "{all}");
        world.place.cluster.server.stop();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap_or_default();
    })
    .await;
}

#[tokio::test]
async fn a_command_runs_through_the_server() {
    bounded(async {
        let world = World::new().await;
        let path = format!("{POD}/exec?command=sh&command=-c&command=cat%3B+exit+3&stdin=true&stdout=true&stderr=true");
        let mut stream = world.send(&world.place.admin(), "GET", &path, SOCKET).await;
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_lowercase().contains("sec-websocket-protocol: v5.channel.k8s.io\r\n"), "{head}");
        stream.write_all(&[masked(b"\0hello"), masked(&[255, 0])].concat()).await.unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let text = String::from_utf8_lossy(&all);
        assert!(text.contains("\u{1}hello") && text.contains("\"reason\":\"ExitCode\""), "{text}");
        assert!(all.ends_with(&[0x88, 2, 0x03, 0xe8]), "the close is the last");
        assert_eq!(
            world.seen.last(),
            "GET /exec/t1/p/main?input=1&output=1&error=1&command=sh&command=-c&command=cat%3B+exit+3"
        );
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_gone_for_the_agent() {
    bounded(async {
        let world = World::new().await;
        for stop in [false, true] {
            let path = format!("{POD}/exec?command=sleep&command=1000&stdin=true");
            let mut stream = world.send(&world.place.admin(), "GET", &path, SOCKET).await;
            assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
            world.seen.gone.lock().unwrap().clear();
            if stop {
                world.place.cluster.server.stop();
            } else {
                drop(stream);
            }
            while world.seen.gone.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_failed_switch_stays_open() {
    bounded(async {
        let world = World::new().await;
        let exec = |word: &str| format!("{POD}/exec?command={word}");
        // The first request is followed by one for the agent itself: nobody reads it.
        let smuggled =
            |headers: &str| format!("{headers}\r\nGET /stats/smuggled HTTP/1.1\r\nHost: a\r\n");
        for (word, status, words) in [
            ("refuse", "403", "not with me"),
            ("redirect", "502", "the agent answered with 302 Found"),
            ("switch", "502", "the agent switched to a subprotocol that was not offered"),
        ] {
            let text = world
                .admin("GET", &exec(word), &smuggled(&format!("{SOCKET}Connection: close\r\n")))
                .await;
            assert!(
                text.starts_with(&format!("HTTP/1.1 {status} ")) && text.contains(words),
                "{word}: {text}"
            );
            assert!(
                !text.to_lowercase().contains("location") && !text.contains("set-cookie"),
                "{text}"
            );
        }
        let text = world.admin("GET", &exec("flood"), SOCKET).await;
        assert!(text.starts_with("HTTP/1.1 500 ") && text.len() < 70_000, "{}", text.len());
        let text = world.admin("POST", &exec("refuse"), &smuggled(SPDY)).await;
        assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("connection: close"), "{text}");
        assert!(!world.seen.requests.lock().unwrap().iter().any(|line| line.contains("smuggled")));
        let text =
            world.admin("POST", &exec("ls"), "Content-Length: 0\r\nConnection: close\r\n").await;
        assert!(
            text.starts_with("HTTP/1.1 400 ") && text.contains("Upgrade request required"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn who_may_read_may_not_run() {
    bounded(async {
        let world = World::new().await;
        let cluster = &world.place.cluster;
        let all = ["pods/exec", "pods/attach", "pods/portforward", "pods/log", "nodes/proxy"];
        cluster.grant("reader", "", rule(&all, &["get"])).await;
        cluster.grant("writer", "t1", rule(&["pods/exec"], &["create"])).await;
        cluster.grant("both", "t1", rule(&["pods/exec"], &["get", "create"])).await;
        let of = |name: &str| world.place.pki.issue_client(name, "", crate::place::now()).unwrap();
        let (reader, writer, both) = (of("reader"), of("writer"), of("both"));
        let exec = format!("{POD}/exec?command=true");
        let close = format!("{SOCKET}Connection: close\r\n");
        for (pair, method, path, headers, status) in [
            (&reader, "GET", exec.clone(), &*close, "403"),
            (&reader, "GET", format!("{POD}/attach"), &close, "403"),
            (&reader, "GET", format!("{POD}/portforward?ports=1"), &close, "403"),
            (
                &reader,
                "GET",
                "/api/v1/nodes/n1/proxy/exec/t1/p/main?command=true".to_owned(),
                &close,
                "403",
            ),
            (&reader, "GET", format!("{POD}/log"), CLOSE, "200"),
            (&reader, "GET", "/api/v1/nodes/n1/proxy/stats/summary".to_owned(), CLOSE, "200"),
            (&reader, "POST", "/api/v1/nodes/n1/proxy/stats/summary".to_owned(), CLOSE, "403"),
            (&writer, "GET", exec.clone(), &close, "403"),
            (&writer, "POST", format!("{POD}/attach"), SPDY, "403"),
            (&both, "GET", "/api/v1/namespaces/default/pods/p/exec".to_owned(), &close, "403"),
        ] {
            let text = world.say(pair, method, &path, headers).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {text}");
        }
        for (pair, method, headers) in [(&both, "GET", SOCKET), (&writer, "POST", SPDY)] {
            let mut stream = world.send(pair, method, &exec, headers).await;
            assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "), "{method}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_of_an_agent_are_shown_and_redirects_are_not() {
    bounded(async {
        let world = World::new().await;
        let proxy = "/api/v1/nodes/n1/proxy";
        let text = world
            .admin(
                "POST",
                &format!("{proxy}/stats/summary?a=b"),
                "Connection: close\r\nContent-Length: 0\r\n",
            )
            .await;
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("stats of 0 bytes"), "{text}");
        assert_eq!(world.seen.last(), "POST /stats/summary?a=b");
        let text = world.admin("GET", &format!("{proxy}/"), CLOSE).await;
        assert!(text.starts_with("HTTP/1.1 404 ") && text.contains("404 page not found"), "{text}");
        let text = world.admin("GET", &format!("{proxy}/stats?redirect"), CLOSE).await;
        assert!(text.starts_with("HTTP/1.1 502 ") && !text.contains("169.254"), "{text}");
        for odd in ["/../stats", "/%2e%2e/stats", "/a//b"] {
            let text = world.admin("GET", &format!("{proxy}{odd}"), CLOSE).await;
            assert!(text.starts_with("HTTP/1.1 400 "), "{odd}: {text}");
        }
        let text = world.admin("GET", "/api/v1/nodes/none/proxy/stats", CLOSE).await;
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
    })
    .await;
}

#[tokio::test]
async fn agents_are_called_at_addresses_of_nodes_only() {
    bounded(async {
        let world = World::with(Times::default(), |agents| agents).await;
        world.node("cloud", "169.254.169.254", 80).await;
        world.node("here", "0.0.0.0", 80).await;
        for node in ["cloud", "here"] {
            world.pod(&format!("on-{node}"), node, &["c"]).await;
            let text = world
                .admin("GET", &format!("/api/v1/namespaces/t1/pods/on-{node}/log"), CLOSE)
                .await;
            assert!(
                text.starts_with("HTTP/1.1 503 ") && text.contains("is not one of a node"),
                "{text}"
            );
        }
        let text = world.admin("GET", &format!("{POD}/log"), CLOSE).await;
        assert!(text.contains("its address 127.0.0.1 is not one of a node"), "{text}");
        world.pod("lost", "gone", &["c"]).await;
        let text = world.admin("GET", "/api/v1/namespaces/t1/pods/lost/log", CLOSE).await;
        assert!(text.contains("nodes \\\"gone\\\" not found"), "{text}");
        assert_eq!(world.seen.last(), "", "nobody was called");
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_not_of_this_cluster_is_an_error() {
    bounded(async {
        let world = World::new().await;
        let other = World::new().await;
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        world.node("off", "127.0.0.1", port).await;
        world.pod("off", "off", &["c"]).await;
        let text = world.admin("GET", "/api/v1/namespaces/t1/pods/off/log", CLOSE).await;
        assert!(
            text.starts_with("HTTP/1.1 500 ")
                && text.contains("error dialing backend: dial tcp 127.0.0.1"),
            "{text}"
        );
        let node = other.place.cluster.get("/api/v1/nodes/n1").await;
        let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap();
        world.node("foreign", "127.0.0.1", u16::try_from(port).unwrap()).await;
        world.pod("foreign", "foreign", &["c"]).await;
        let text = world
            .admin(
                "GET",
                "/api/v1/namespaces/t1/pods/foreign/log?insecureSkipTLSVerifyBackend=true",
                CLOSE,
            )
            .await;
        assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("certificate"), "{text}");
        assert_eq!(other.seen.last(), "", "it was not asked anything");
    })
    .await;
}

#[tokio::test]
async fn connections_to_agents_have_a_bound_and_an_end() {
    bounded(async {
        let change = |agents: Agents| {
            agents.allow_loopback().connections(1).idle(Duration::from_millis(300))
        };
        let world = World::with(Times::default(), change).await;
        let path = format!("{POD}/exec?command=sleep&command=1000");
        let mut stream = world.send(&world.place.admin(), "GET", &path, SOCKET).await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        let text = world.admin("GET", &format!("{POD}/log"), CLOSE).await;
        // Unless the machine was so slow that the first was idle for too long before.
        assert!(text.starts_with("HTTP/1.1 429 ") || text.starts_with("HTTP/1.1 200 "), "{text}");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        loop {
            let text = world.admin("GET", &format!("{POD}/log"), CLOSE).await;
            if text.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_for_long_is_not_cut_off() {
    bounded(async {
        let times = Times { body: Duration::from_millis(200), ..Times::default() };
        let world = World::with(times, Agents::allow_loopback).await;
        let path = format!("{POD}/exec?command=sh&command=-c&command=yes+%7C+head+-c+30000000");
        let mut stream = world.send(&world.place.admin(), "GET", &path, SOCKET).await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let yes = all.windows(2).filter(|two| *two == b"y\n").count();
        assert!(yes > 14_990_000, "{yes} of {}", all.len());
        assert!(all.ends_with(&[0x88, 2, 0x03, 0xe8]));
    })
    .await;
}

#[tokio::test]
async fn a_simulated_node_and_a_server_without_agents_say_so() {
    bounded(async {
        let world = World::new().await;
        let cluster = &world.place.cluster;
        let labels =
            json!({ "metadata": { "name": "sim", "labels": { "berth.dev/simulated": "true" } } });
        cluster.make("/api/v1/nodes", labels).await;
        let text = world.admin("GET", "/api/v1/nodes/sim/proxy/stats", CLOSE).await;
        assert!(
            text.starts_with("HTTP/1.1 501 ")
                && text.contains("node sim is simulated: there is no agent"),
            "{text}"
        );
    })
    .await;
}
