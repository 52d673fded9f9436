// SPDX-License-Identifier: Apache-2.0
//! Attack 32 of RELIABILITY: clients that send or take a byte now and then, or nothing. Each is let go when its time is over, and not
//! before; others are served meanwhile. The times are a second here, where they are 30 to 60 by default.

use crate::kit::config;
use crate::place::{Client, NEW, OLD, Place, bounded};
use berth_cluster_apiserver::{Builder, Options, Times};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const SECOND: Duration = Duration::from_secs(1);
/// Far more than a second, for a machine that has other things to do.
const LATE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A second for all but the sign of life of HTTP/2, which would come first.
const TIMES: Times = Times { head: SECOND, body: SECOND, ping: Duration::from_mins(1) };

fn hasty(builder: Builder) -> Builder {
    builder.options(Options { request_time: SECOND, ..Options::default() })
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What it is, the protocols that are offered, what is sent at once, and what slowly.
type Row<'a> = (&'a str, Option<&'a [&'a [u8]]>, &'a [u8], &'a [u8]);

/// Sends the first part at once and the rest one byte each tenth of a second, then nothing; how long the server bears it, and what it
/// has said.
async fn drip(stream: Box<dyn Stream>, at_once: &[u8], slowly: &[u8]) -> (Duration, Vec<u8>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let begun = Instant::now();
    let reading = async {
        let mut said = Vec::new();
        let mut piece = [0; 4_096];
        while let Ok(count @ 1..) = reader.read(&mut piece).await {
            said.extend_from_slice(&piece[..count]);
        }
        (begun.elapsed(), said)
    };
    let writing = async {
        let _ = writer.write_all(at_once).await;
        let _ = writer.flush().await;
        for byte in slowly {
            sleep(Duration::from_millis(100)).await;
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let both = async {
        tokio::select! { end = reading => end, () = writing => unreachable!("it has no end") }
    };
    timeout(LATE, both).await.unwrap_or((LATE, Vec::new()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_32_who_is_slow_is_let_go_in_time() {
    bounded(async {
        let place = Place::with(TIMES, hasty).await;
        let place = &place;
        // Without protocols it is a connection on which nobody has spoken of TLS yet.
        let connect = async |protocols: Option<&[&[u8]]>| {
            let stream: Box<dyn Stream> = match protocols {
                None => Box::new(TcpStream::connect(place.address).await.unwrap()),
                Some(protocols) => {
                    let config = place.client(Some(&place.admin()), protocols);
                    Box::new(place.connect(config).await.unwrap())
                }
            };
            stream
        };
        let slow = [b'a'; 400];
        let new = [PREFACE, SETTINGS].concat();
        // The beginning of a head of 400 bytes; one that is to go on; the beginning of a PING.
        let part = [&new[..], &[0, 1, 0x90, 1, 5, 0, 0, 0, 1]].concat();
        let open = [&new[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
        let ping = [&new[..], &[0, 0, 8, 6, 0, 0, 0, 0, 0]].concat();
        let old = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: ";
        let rows: Vec<Row<'_>> = vec![
            ("nothing over TCP", None, b"", b""),
            ("a handshake that does not go on", None, &[22, 3, 1, 1, 0x90], b""),
            ("a slow handshake", None, &[22, 3, 1, 1, 0x90], &slow),
            ("HTTP/1.1: nothing", Some(OLD), b"", b""),
            ("HTTP/1.1: a slow head", Some(OLD), old, &slow),
            ("HTTP/1.1: a slow first line", Some(OLD), b"", &slow),
            ("HTTP/1.1: the beginning of the other version", Some(OLD), &PREFACE[..9], b""),
            ("HTTP/2: nothing", Some(NEW), b"", b""),
            ("HTTP/2: a slow preface", Some(NEW), b"", PREFACE),
            ("HTTP/2: a preface that does not go on", Some(NEW), &PREFACE[..9], b""),
            ("HTTP/2: a slow head", Some(NEW), &part, &slow),
            ("HTTP/2: a head that goes on, but does not", Some(NEW), &open, b""),
            ("HTTP/2: a slow PING", Some(NEW), &ping, b""),
            ("HTTP/2: half of a frame's beginning", Some(NEW), &new[..new.len() - 4], b""),
        ];
        let ends = rows.into_iter().map(async |(what, protocols, at_once, slowly)| {
            (what, drip(connect(protocols).await, at_once, slowly).await.0)
        });
        let ends = join_all(ends).await;
        println!("{ends:#?}");
        for (what, after) in ends {
            assert!(after < LATE, "{what}: it is borne");
            assert!(after > SECOND.mul_f32(0.7), "{what}: it had no time at all: {after:?}");
        }
        assert_eq!(place.status(&place.admin(), "/livez").await.unwrap().0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_32_a_slow_body_is_not_waited_for() {
    bounded(async {
        let place = Place::with(TIMES, hasty).await;
        let stream = place.connect(place.client(Some(&place.admin()), OLD)).await.unwrap();
        let head = format!("POST {CONFIGS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{{");
        let (after, said) = drip(Box::new(stream), head.as_bytes(), &[b' '; 300]).await;
        let said = String::from_utf8_lossy(&said);
        assert!(after < LATE && said.starts_with("HTTP/1.1 504 "), "{after:?}: {said}");
        // Of a connection that others use as well only the request ends.
        let stream = place.connect(place.client(Some(&place.admin()), NEW)).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, http_body_util::combinators::BoxBody<bytes::Bytes, std::io::Error>>(
                hyper_util::rt::TokioExecutor::new(),
                hyper_util::rt::TokioIo::new(stream),
            )
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = |method: &str, path: &str, body| {
            let builder = http::Request::builder().method(method).uri(format!("https://localhost{path}"));
            builder.header("content-type", "application/json").body(body).unwrap()
        };
        let endless = futures_util::stream::unfold((), async |()| {
            sleep(Duration::from_millis(100)).await;
            Some((Ok(http_body::Frame::data(bytes::Bytes::from_static(b" "))), ()))
        });
        let endless = http_body_util::StreamBody::new(endless).boxed();
        let answer = timeout(LATE, sender.send_request(request("POST", CONFIGS, endless))).await.expect("in time").unwrap();
        assert_eq!(answer.status(), 504);
        let none = http_body_util::Empty::new().map_err(|never| match never {}).boxed();
        let answer = sender.send_request(request("GET", "/livez", none)).await.unwrap();
        assert_eq!(answer.status(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_32_an_answer_that_nobody_takes_is_given_up() {
    bounded(async {
        let place = Place::with(TIMES, hasty).await;
        for number in 0..80 {
            place.cluster.make(CONFIGS, config(&format!("c{number}"), &"x".repeat(200_000))).await;
        }
        let old = format!("GET {CONFIGS} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        // Windows of 2 GiB, and a request: the connection takes it all, only the client does not.
        let widen = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xfe, 0, 0];
        let mut new =
            [PREFACE, &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff], &widen].concat();
        let mut head = vec![0x82, 0x87, 0x04, u8::try_from(CONFIGS.len()).unwrap()];
        head.extend(CONFIGS.as_bytes());
        head.extend([0x01, 1, b'a']);
        new.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
        new.extend(head);
        for (what, protocols, bytes) in [("HTTP/1.1", OLD, old), ("HTTP/2", NEW, new)] {
            // With a small buffer: the machine's own could take all of it.
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(64 << 10).unwrap();
            let stream = socket.connect(place.address).await.unwrap();
            let tls = TlsConnector::from(Arc::new(place.client(Some(&place.admin()), protocols)));
            let mut stream = tls.connect("localhost".try_into().unwrap(), stream).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            // It is let go meanwhile; what lies in the sockets can still be read, the rest is not there.
            sleep(3 * SECOND).await;
            let mut taken = 0;
            let mut piece = vec![0; 1 << 16];
            let reading = async {
                while let Ok(count @ 1..) = stream.read(&mut piece).await {
                    taken += count;
                }
            };
            let ended = timeout(LATE, reading).await.is_ok();
            println!("{what}: {taken} bytes of 16 MB");
            assert!(ended && taken > 0 && taken < 15_000_000, "{what}: {taken} bytes");
        }
    })
    .await;
}

/// How many connections do nothing; the attack of RELIABILITY has 4,000 (two descriptors each).
fn idle() -> usize {
    let text = std::env::var("BERTH_IDLE").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_32_idle_connections_are_in_nobodys_way_and_end() {
    bounded(async {
        // So long that all are there before the first one ends.
        let time = 3 * SECOND + Duration::from_millis(idle() as u64);
        let times = Times { head: time, ping: time, ..TIMES };
        let place = Place::with(times, hasty).await;
        let mut all = Vec::new();
        for number in 0..idle() {
            let protocols = if number % 2 == 0 { OLD } else { NEW };
            let mut stream =
                place.connect(place.client(Some(&place.admin()), protocols)).await.unwrap();
            if protocols == NEW {
                // It begins, and then gives no sign of life.
                stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
            }
            all.push(stream);
        }
        let mut healthy =
            Client::new(place.connect(place.client(Some(&place.admin()), NEW)).await.unwrap())
                .await
                .unwrap();
        for _ in 0..200 {
            assert_eq!(healthy.get(CONFIGS).await.unwrap().0, 200);
        }
        assert_eq!(
            place.status(&place.admin(), "/livez").await.unwrap().0,
            200,
            "there is room for more"
        );
        let ends = all.into_iter().map(async |mut stream| {
            let mut piece = [0; 4_096];
            let end = async { while let Ok(1..) = stream.read(&mut piece).await {} };
            timeout(LATE, end).await.is_ok()
        });
        let held: Vec<_> =
            join_all(ends).await.into_iter().enumerate().filter(|(_, ended)| !ended).collect();
        assert!(held.is_empty(), "{} are not let go, the first {:?}", held.len(), held.first());
        assert_eq!(healthy.get(CONFIGS).await.unwrap().0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_waits_is_not_slow() {
    bounded(async {
        let place = Place::with(Times { ping: SECOND, ..TIMES }, hasty).await;
        let stream = place.connect(place.client(Some(&place.admin()), NEW)).await.unwrap();
        let mut client = Client::new(stream).await.unwrap();
        // A watch that is quiet for longer than anything may take, on a connection that answers.
        let path = format!("{CONFIGS}?watch=1&resourceVersion={}", place.cluster.store.revision());
        for protocols in [OLD, NEW] {
            let stream =
                place.connect(place.client(Some(&place.admin()), protocols)).await.unwrap();
            let mut watcher = Client::new(stream).await.unwrap();
            let mut body = watcher.send("GET", &path, "").await.unwrap().into_body();
            sleep(3 * SECOND).await;
            let name = format!("c{}", protocols[0].len());
            place.cluster.make(CONFIGS, config(&name, "")).await;
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(String::from_utf8_lossy(&piece).contains("ADDED"));
        }
        assert_eq!(
            client.get("/livez").await.unwrap().0,
            200,
            "an idle connection of HTTP/2 stays"
        );
    })
    .await;
}
