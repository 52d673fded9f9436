// SPDX-License-Identifier: Apache-2.0
//! Who is let in.

use crate::client::As;
use crate::lab::{World, now};
use berth_cluster_auth::pki::{Options, Pki};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn the_api_says_who_may_do_what(world: &World) {
    let scraper = world.pki.issue_client("scraper", "scrapers", now()).unwrap();
    let who = As::Holder(&scraper);
    let words = |verb: &str, what: &str| {
        format!("Forbidden (user=scraper, verb={verb}, resource=nodes, subresource(s)=[{what}])")
    };
    assert_eq!(world.ask(who, "/metrics").await, (403, words("get", "metrics")));
    world.play.allow("scraper", &["get metrics", "get pods"]);
    // A no is kept for a moment; other questions are asked at once.
    assert_eq!(world.ask(who, "/metrics").await.0, 403);
    let pods = world.ask(who, "/pods").await;
    let list = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}"#;
    assert_eq!(pods, (200, list.to_owned()));
    for path in
        ["/exec/n/p/c?output=1&command=true", "/containerLogs/n/p/c", "/none", "/pods%2F..%2Fexec"]
    {
        assert_eq!(world.ask(who, path).await, (403, words("get", "proxy")), "{path}");
    }
    assert_eq!(world.ask(who, "/healthz").await, (403, words("get", "healthz proxy")));
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let (status, figures) = world.ask(who, "/metrics").await;
    assert_eq!(status, 200);
    assert!(figures.contains("\nberth_agent_running_containers 7\n"), "{figures}");
    assert!(figures.contains("_requests_total{path=\"metrics\",code=\"4xx\"} 2\n"), "{figures}");
    // What is kept is not asked again, and outlasts the API.
    let asked = world.play.0.lock().unwrap().asked.len();
    world.play.0.lock().unwrap().away = true;
    assert_eq!(world.ask(who, "/metrics").await.0, 200);
    assert_eq!(world.play.0.lock().unwrap().asked.len(), asked);
    let (status, words) = world.ask(who, "/stats/summary").await;
    assert_eq!(status, 500);
    assert!(words.starts_with("Authorization error (user=scraper, verb=get"), "{words}");
    world.play.0.lock().unwrap().away = false;
    assert_eq!(world.get("/healthz").await, (200, "ok".to_owned()));
    assert_eq!(world.get("/stats/summary").await, (404, "404 page not found".to_owned()));
    let groups = |asked: &Value| asked["spec"]["groups"].to_string();
    let asked = &world.play.0.lock().unwrap().asked;
    assert_eq!(groups(&asked[0]), r#"["scrapers","system:authenticated"]"#);
}

pub(crate) async fn tokens_are_those_of_the_api(world: &World) {
    world.play.0.lock().unwrap().tokens.insert("good".to_owned(), "robot".to_owned());
    world.play.allow("robot", &["get metrics"]);
    for (header, status) in [
        ("Bearer good", 200),
        ("bearer good", 200),
        ("Bearer bad", 401),
        ("Bearer ", 401),
        ("Basic good", 401),
        ("good", 401),
    ] {
        assert_eq!(world.ask(As::Header(header), "/metrics").await.0, status, "{header}");
    }
    let long = format!("Bearer {}", "x".repeat(20_000));
    assert_eq!(world.ask(As::Header(&long), "/metrics").await.0, 401);
    assert_eq!(world.ask(As::Header("Bearer good"), "/pods").await.0, 403);
    let is_token = |asked: &&Value| asked["kind"] == "TokenReview";
    let asked = world.play.0.lock().unwrap().asked.iter().filter(is_token).count();
    assert_eq!(asked, 2, "one for each token: what was said of one is kept");
}

pub(crate) async fn nobody_is_let_in_unnamed(world: &World) {
    for path in ["/pods", "/healthz", "/metrics", "/", "/exec/n/p/c?command=true&output=1"] {
        assert_eq!(world.ask(As::Nobody, path).await, (401, "Unauthorized".to_owned()), "{path}");
    }
    assert!(world.play.0.lock().unwrap().asked.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let other = Pki::open(folder.path(), &Options::default(), now()).unwrap();
    let stranger = other.issue_client(crate::lab::ADMIN, "system:masters", now()).unwrap();
    // Under TLS 1.3 a client hears of it when it reads.
    let refused = match world.connect(As::Holder(&stranger)).await {
        Err(_) => true,
        Ok(mut stream) => {
            let _ = stream.write_all(b"GET /pods HTTP/1.1\r\nHost: a\r\n\r\n").await;
            stream.read_u8().await.is_err()
        }
    };
    assert!(refused);
    let server = world.pki.node_server("x", vec!["127.0.0.1".to_owned()], now()).unwrap();
    let refused = match world.connect(As::Holder(&server)).await {
        Err(_) => true,
        Ok(mut stream) => {
            let _ = stream.write_all(b"GET /pods HTTP/1.1\r\nHost: a\r\n\r\n").await;
            stream.read_u8().await.is_err()
        }
    };
    assert!(refused, "a server's certificate is none of a client");
    let mut plain = TcpStream::connect(world.address()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/1.1 200"), "{said:?}");
}

pub(crate) async fn hostile_paths_and_queries_are_refused(world: &World) {
    world.shell("p", 2, "sleep 1000").await;
    for (path, status) in [
        ("/containerLogs/n/p/..%2F..%2Fetc%2Fpasswd", 404),
        ("/containerLogs/n/..%2f/c", 404),
        ("/containerLogs/n/p/c%00", 404),
        ("/containerLogs/n/p/%ff", 404),
        ("/containerLogs//p/c", 404),
        ("/containerLogs/n/p/c/", 404),
        ("/logs/../../etc/passwd", 404),
        ("/containerLogs/n/p/c?tailLines=99999999999999999999", 400),
        ("/containerLogs/n/p/c?sinceTime=%00", 400),
        ("/containerLogs/n/p/c?follow=%ff&limitBytes=1", 200),
        ("/exec/n/p/c?command=&output=1", 400),
        ("/exec/n/p/c?command=%00&output=1", 400),
        ("/exec/n/p/c?output=1&command=true&tty=2", 400),
        ("/attach/n/p/c?", 400),
        ("/portForward/n/p?port=99999", 400),
        ("/run/n/p/c?cmd=true", 404),
    ] {
        // What follows a log that never comes to its limit is not waited for.
        let answer = world.open(As::Admin, http::Method::GET, path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    for method in [http::Method::POST, http::Method::DELETE, http::Method::TRACE] {
        let answer = world.open(As::Admin, method.clone(), "/pods").await;
        assert_eq!(answer.status().as_u16(), 405, "{method}");
    }
    let mut stream = world.connect(As::Admin).await.unwrap();
    let head = format!("GET /pods HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "x".repeat(300_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/1.1 200"), "a head without an end is not kept");
    assert_eq!(world.get("/healthz").await.0, 200);
}

pub(crate) async fn a_certificate_is_swapped_under_way(world: &World) {
    let shown = async || {
        let stream = world.connect(As::Admin).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = shown().await;
    assert_eq!(shown().await, before);
    let new = world.pki.node_server("the-node", vec!["127.0.0.1".to_owned()], now()).unwrap();
    {
        let serving = world.serving.lock().unwrap();
        let certificate = serving.as_ref().unwrap().certificate();
        certificate.swap(&new.certificate, &new.key).unwrap();
        let other = world.pki.issue_client("x", "", now()).unwrap();
        assert!(certificate.swap(&new.certificate, &other.key).is_err());
        assert!(certificate.swap("", &new.key).is_err());
    }
    assert_ne!(shown().await, before);
}
