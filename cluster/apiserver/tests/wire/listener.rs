// SPDX-License-Identifier: Apache-2.0
//! The listener, over real sockets of the loopback: TLS (attacks 4, 8 and 9 of RELIABILITY), both versions of HTTP, who a client's
//! certificate names, many connections, and a stop that cuts nobody off.

use crate::kit::{config, rule};
use crate::place::{Client, NEW, OLD, Place, bounded, now};
use berth_cluster_auth::pki::{Options, Pair, Pki};
use berth_cluster_json::{Value, json};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const DAY: i64 = 24 * 60 * 60;

/// Suites of TLS 1.2 that are good today: ECDHE with AES-GCM or ChaCha20.
const GOOD: &[u16] = &[0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9];

// ---- versions of HTTP ----

#[tokio::test]
async fn both_versions_of_http_are_answered() {
    bounded(async {
        let place = Place::new().await;
        let both: &[&[u8]] = &[b"h2", b"http/1.1"];
        for (offered, agreed) in [
            (OLD, Some(&b"http/1.1"[..])),
            (NEW, Some(&b"h2"[..])),
            (both, Some(&b"h2"[..])),
            (&[], None),
        ] {
            let stream = place.connect(place.client(Some(&place.admin()), offered)).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
            let mut client = Client::new(stream).await.unwrap();
            let name = format!("c{}{}", offered.len(), agreed.map_or(0, <[u8]>::len));
            let made = client.send("POST", CONFIGS, &config(&name, "x").to_string()).await.unwrap();
            assert_eq!(made.status(), 201, "{agreed:?}");
            drop(made.into_body().collect().await.unwrap());
            // The connection is kept.
            let (status, found) = client.get(&format!("{CONFIGS}/{name}")).await.unwrap();
            assert_eq!((status, &found["data"]["text"]), (200, &json!("x")), "{agreed:?}");
            assert_eq!(client.get("/livez").await.unwrap().0, 200, "{agreed:?}");
        }
        let other = place.connect(place.client(None, &[b"spdy/3"])).await;
        assert!(other.is_err(), "a protocol that nobody has agreed upon");
    })
    .await;
}

#[tokio::test]
async fn a_watch_comes_over_both_versions_as_it_happens() {
    bounded(async {
        let place = Place::new().await;
        for (round, offered) in [OLD, NEW].into_iter().enumerate() {
            let stream = place.connect(place.client(Some(&place.admin()), offered)).await.unwrap();
            let mut client = Client::new(stream).await.unwrap();
            let path =
                format!("{CONFIGS}?watch=1&resourceVersion={}", place.cluster.store.revision());
            let mut body = client.send("GET", &path, "").await.unwrap().into_body();
            for number in 0..3 {
                let name = format!("r{round}-{number}");
                place.cluster.make(CONFIGS, config(&name, "")).await;
                let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
                let event: Value = serde_json::from_slice(&piece).unwrap();
                assert_eq!(event["object"]["metadata"]["name"], name);
            }
        }
    })
    .await;
}

// ---- who ----

#[tokio::test]
async fn a_certificate_names_a_user_and_its_group() {
    bounded(async {
        let place = Place::new().await;
        let role = json!({ "metadata": { "name": "reader" }, "rules": rule(&["secrets"], &["list"]) });
        let binding = json!({
            "metadata": { "name": "devs" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader" },
            "subjects": [{ "kind": "Group", "name": "devs", "apiGroup": "rbac.authorization.k8s.io" }],
        });
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        place.cluster.make(&format!("{rbac}/clusterroles"), role).await;
        place.cluster.make(&format!("{rbac}/clusterrolebindings"), binding).await;
        let issue = |name: &str, group: &str| place.pki.issue_client(name, group, now()).unwrap();
        let path = "/api/v1/secrets";
        let status = async |pair: &Pair| place.status(pair, path).await.unwrap();
        assert_eq!(status(&issue("alice", "devs")).await.0, 200);
        let (refused, why) = status(&issue("alice", "ops")).await;
        assert_eq!(refused, 403);
        assert!(why["message"].as_str().unwrap().contains("User \"alice\" cannot list"), "{why}");
        assert_eq!(status(&issue("devs", "")).await.0, 403, "a name is no group");
        assert_eq!(status(&place.admin()).await.0, 200);
        let (refused, why) = place.ask(place.client(None, NEW), path).await.unwrap();
        assert!([401, 403].contains(&refused));
        assert!(why["message"].as_str().unwrap().contains("system:anonymous"), "{why}");
        // Each request of a connection is its user's, however many others there are.
        let (alice, mallory) = (issue("alice", "devs"), issue("mallory", ""));
        let near = place.connect(place.client(Some(&alice), NEW)).await.unwrap();
        let far = place.connect(place.client(Some(&mallory), NEW)).await.unwrap();
        let (mut near, mut far) = (Client::new(near).await.unwrap(), Client::new(far).await.unwrap());
        for _ in 0..20 {
            let (one, other) = tokio::join!(near.get(path), far.get(path));
            assert_eq!((one.unwrap().0, other.unwrap().0), (200, 403));
        }
    })
    .await;
}

#[tokio::test]
async fn attack_4_a_certificate_that_does_not_hold_opens_nothing() {
    bounded(async {
        let place = Place::new().await;
        let (folder, masters) = (tempfile::tempdir().unwrap(), "system:masters");
        let other = Pki::open(folder.path(), &Options::default(), now()).unwrap();
        let issue = |pki: &Pki, at: i64| pki.issue_client("root", masters, at).unwrap();
        // That of the server itself: of the right CA, and not meant for clients.
        let read = |name: &str| std::fs::read_to_string(place.folder.path().join(name)).unwrap();
        let server = Pair { certificate: read("server.crt"), key: read("server.key") };
        for (what, pair) in [
            ("another CA", issue(&other, now())),
            ("another CA's administrator", other.admin(now()).unwrap()),
            ("expired", issue(&place.pki, now() - 366 * DAY)),
            ("not yet", issue(&place.pki, now() + DAY)),
            ("for servers only", server),
        ] {
            for protocols in [OLD, NEW] {
                let config = place.client(Some(&pair), protocols);
                if let Ok((status, answer)) = place.ask(config, "/api/v1/secrets").await {
                    assert_eq!(status, 401, "{what}: {answer}");
                }
            }
        }
        let good = issue(&place.pki, now());
        assert_eq!(place.status(&good, "/api/v1/secrets").await.unwrap().0, 200);
    })
    .await;
}

// ---- bytes that are no TLS, or a bad one ----

/// A ClientHello: the version that is asked for, suites, methods of compression.
fn hello(version: [u8; 2], suites: &[u16], compression: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut extensions = Vec::new();
    // Curves, their points, algorithms to sign by: without them nobody could go on.
    for (kind, content) in
        [(10_u16, &[0, 4, 0, 29, 0, 23][..]), (11, &[1, 0]), (13, &[0, 6, 4, 3, 8, 4, 4, 1])]
    {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(length(content.len()));
        extensions.extend_from_slice(content);
    }
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(length(suites.len() * 2));
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.push(u8::try_from(compression.len()).unwrap());
    body.extend_from_slice(compression);
    body.extend(length(extensions.len()));
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(length(body.len()));
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(length(message.len()));
    record.extend(message);
    record
}

/// What the port says to these bytes until it closes; at most so much of it.
async fn said_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A port that has closed already refuses to be written to.
    drop(stream.write_all(bytes).await);
    let mut all = Vec::new();
    let mut piece = [0; 4_096];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        all.extend_from_slice(&piece[..count]);
        // The server's hello: it goes on.
        if all.first() == Some(&22) {
            break;
        }
    }
    all
}

#[tokio::test]
async fn attack_8_an_old_version_or_a_weak_suite_is_refused() {
    bounded(async {
        let place = Place::new().await;
        let fine = said_to(place.address, &hello([3, 3], GOOD, &[0])).await;
        assert_eq!(fine.first(), Some(&22), "TLS 1.2 with a good suite is answered: {fine:?}");
        for (what, hello) in [
            ("SSL 3.0", hello([3, 0], GOOD, &[0])),
            ("TLS 1.0", hello([3, 1], GOOD, &[0])),
            ("TLS 1.1", hello([3, 2], GOOD, &[0])),
            ("RC4", hello([3, 3], &[0x0004, 0x0005, 0xc007, 0xc011], &[0])),
            ("3DES", hello([3, 3], &[0x000a, 0xc008, 0xc012], &[0])),
            ("no encryption", hello([3, 3], &[0x0001, 0x0002, 0x003b, 0xc006], &[0])),
            ("nobody's key", hello([3, 3], &[0x0018, 0x0034, 0xc015], &[0])),
            ("CBC, RSA", hello([3, 3], &[0x002f, 0x0035, 0xc009, 0xc013], &[0])),
            ("compression only", hello([3, 3], GOOD, &[1])),
        ] {
            let said = said_to(place.address, &hello).await;
            assert_ne!(said.first(), Some(&22), "{what} is answered");
            assert!(said.is_empty() || said[0] == 21, "{what}: an alert, or nothing: {said:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn attack_9_what_is_no_tls_is_closed_and_told_nothing() {
    bounded(async {
        let place = Place::new().await;
        for (what, bytes) in [
            ("HTTP/1.1", &b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("SSH", b"SSH-2.0-x\r\n"),
            ("zeros", &[0; 4_096]),
            ("a record that is too long", &[22, 3, 3, 0xff, 0xff, 1, 2, 3]),
        ] {
            let said = said_to(place.address, bytes).await;
            let text = String::from_utf8_lossy(&said);
            assert!(!text.contains("200") && !text.contains("gitVersion"), "{what}: {text}");
        }
        assert_eq!(
            place.status(&place.admin(), "/livez").await.unwrap().0,
            200,
            "others are served"
        );
    })
    .await;
}

#[tokio::test]
async fn attack_9_plain_http_is_told_that_it_is_wrong() {
    bounded(async {
        let place = Place::new().await;
        let said = said_to(place.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let text = String::from_utf8_lossy(&said);
        assert!(text.starts_with("HTTP/1.") && text.contains(" 400 "), "{text}");
    })
    .await;
}

/// What HTTP/1.1 says over TLS to these bytes, until it closes or has said so much.
async fn exchange(place: &Place, bytes: &[u8], until: &str) -> String {
    let mut stream = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut all = String::new();
    let mut piece = [0; 4_096];
    while !all.contains(until) {
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => all.push_str(&String::from_utf8_lossy(&piece[..count])),
            _ => break,
        }
    }
    all
}

#[tokio::test]
async fn attack_22_a_length_that_lies_stores_nothing() {
    bounded(async {
        let place = Place::new().await;
        let body = config("lie", "x").to_string();
        let head = |more: &str| {
            format!("POST {CONFIGS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{more}\r\n\r\n")
        };
        // Short of what was said, and then closed.
        let mut stream = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
        let short = format!("{}{body}", head(&format!("Content-Length: {}", body.len() + 10)));
        stream.write_all(short.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        drop(stream.read_to_end(&mut said).await);
        assert!(!String::from_utf8_lossy(&said).contains(" 201 "));
        for (what, more) in [
            ("two lengths", "Content-Length: 5\r\nContent-Length: 6".to_owned()),
            ("a negative length", "Content-Length: -1".to_owned()),
            ("a length with a sign", format!("Content-Length: +{}", body.len())),
            ("an unknown coding", "Transfer-Encoding: chunky".to_owned()),
            ("a space before the colon", format!("Content-Length : {}", body.len())),
        ] {
            let said = exchange(&place, format!("{}{body}", head(&more)).as_bytes(), "\r\n\r\n").await;
            let refused = said.is_empty() || said.contains(" 400 ");
            assert!(refused, "{what}: {said}");
        }
        let list = place.cluster.get(CONFIGS).await;
        assert_eq!(list["items"], json!([]));
    })
    .await;
}

// ---- many, and the end ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_are_served_at_once() {
    bounded(async {
        let place = Arc::new(Place::new().await);
        let mut clients = Vec::new();
        // All are connected before the first one asks.
        for number in 0..100 {
            let protocols = if number % 2 == 0 { OLD } else { NEW };
            let config = place.client(Some(&place.admin()), protocols);
            clients.push(Client::new(place.connect(config).await.unwrap()).await.unwrap());
        }
        let mut running = Vec::new();
        for (number, mut client) in clients.into_iter().enumerate() {
            running.push(tokio::spawn(async move {
                for round in 0..5 {
                    let object = config(&format!("c{number}-{round}"), "").to_string();
                    let answer = client.send("POST", CONFIGS, &object).await.unwrap();
                    assert_eq!(answer.status(), 201);
                    drop(answer.into_body().collect().await.unwrap());
                }
            }));
        }
        for one in running {
            one.await.unwrap();
        }
        let list = place.cluster.get(CONFIGS).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 500);
    })
    .await;
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    bounded(async {
        let place = Place::new().await;
        let stream = place.connect(place.client(Some(&place.admin()), NEW)).await.unwrap();
        let Client::New(sender) = Client::new(stream).await.unwrap() else { unreachable!("h2") };
        let mut running = Vec::new();
        // More than the server takes at a time: the rest waits for its turn.
        for number in 0..300 {
            let mut client = Client::New(sender.clone());
            running.push(tokio::spawn(async move {
                let object = config(&format!("c{number}"), "").to_string();
                let answer = client.send("POST", CONFIGS, &object).await.unwrap();
                drop(answer.into_body().collect().await.unwrap());
                client.get(&format!("{CONFIGS}/c{number}")).await.unwrap().0
            }));
        }
        for one in running {
            assert_eq!(one.await.unwrap(), 200);
        }
    })
    .await;
}

#[tokio::test]
async fn whatever_becomes_of_one_connection_the_others_are_served() {
    bounded(async {
        let place = Place::new().await;
        let mut good =
            Client::new(place.connect(place.client(Some(&place.admin()), NEW)).await.unwrap())
                .await
                .unwrap();
        assert_eq!(good.get("/livez").await.unwrap().0, 200);
        // The largest numbers there are, whether or not the server takes them.
        let stream = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
        let mut bad = Client::new(stream).await.unwrap();
        let path = format!("{CONFIGS}?watch=1&timeoutSeconds={}", i64::MAX);
        drop(bad.send("GET", &path, "").await);
        // Connections that are cut in the middle of anything.
        for bytes in [
            &b"GET /api/v1/se"[..],
            b"POST /api/v1/namespaces HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
        ] {
            let mut stream = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
            stream.write_all(bytes).await.unwrap();
        }
        drop(TcpStream::connect(place.address).await.unwrap());
        assert_eq!(good.get("/api/v1/secrets").await.unwrap().0, 200);
        assert_eq!(place.status(&place.admin(), "/livez").await.unwrap().0, 200);
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_watches_answers_what_runs_and_takes_nothing_new() {
    bounded(async {
        let place = Place::new().await;
        let mut watches = Vec::new();
        for protocols in [OLD, NEW] {
            let stream = place.connect(place.client(Some(&place.admin()), protocols)).await.unwrap();
            let mut client = Client::new(stream).await.unwrap();
            let body = client.send("GET", &format!("{CONFIGS}?watch=1"), "").await.unwrap().into_body();
            watches.push((client, body));
        }
        let idle = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
        let mut idle = Client::new(idle).await.unwrap();
        assert_eq!(idle.get("/livez").await.unwrap().0, 200);
        // A request that the server has begun with: it has asked for the body.
        let mut running = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
        let body = config("last", "x").to_string();
        let head = format!(
            "POST {CONFIGS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        running.write_all(head.as_bytes()).await.unwrap();
        let mut said = [0; 25];
        running.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");

        let Place { listening, address, cluster, .. } = place;
        let stopped = tokio::spawn(listening.stop());
        for (_, body) in watches {
            // An end, not a cut.
            assert_eq!(body.collect().await.unwrap().to_bytes(), Bytes::new());
        }
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
        running.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        drop(running.read_to_string(&mut answer).await);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        stopped.await.unwrap();
        assert_eq!(cluster.get(&format!("{CONFIGS}/last")).await["data"]["text"], "x");
        assert!(idle.get("/livez").await.is_err(), "a connection that had nothing to do is closed");
    })
    .await;
}
