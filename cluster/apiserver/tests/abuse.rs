// SPDX-License-Identifier: Apache-2.0
//! Attack 31 of RELIABILITY: HTTP/2 as it is not meant, with frames written by hand over TLS. The connection that does it ends; the
//! server has nothing left of it, and others are served all the while.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    clippy::cast_possible_truncation,
    reason = "a connection that cannot be made is a failure of the test; lengths here are small"
)]

mod kit;
#[path = "kit/place.rs"]
mod place;

use kit::config;
use place::{Client, NEW, Place, bounded};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How many frames of a flood are sent, unless the connection ends before; the attack of RELIABILITY has 100,000 in a second.
fn frames() -> u32 {
    let text = std::env::var("BERTH_ABUSE_FRAMES").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut all = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    all.extend([kind, flags]);
    all.extend(stream.to_be_bytes());
    all.extend_from_slice(payload);
    all
}

/// A text of HPACK, in letters as they are (RFC 7541, 5.2).
fn literal(text: &str) -> Vec<u8> {
    let mut all = number(text.len(), 7, 0);
    all.extend_from_slice(text.as_bytes());
    all
}

/// A number of HPACK with so many bits in the first byte (5.1).
fn number(value: usize, bits: u32, first: u8) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if value < most {
        return vec![first | value as u8];
    }
    let (mut all, mut rest) = (vec![first | most as u8], value - most);
    while rest >= 128 {
        all.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    all.push(rest as u8);
    all
}

/// The head of a request: method (2: GET, 3: POST in HPACK's table), https, path, localhost.
fn request(method: u8, path: &str) -> Vec<u8> {
    let mut all = vec![0x80 | method, 0x87, 0x04];
    all.extend(literal(path));
    all.push(0x01);
    all.extend(literal("localhost"));
    all
}

/// A connection whose frames are written by hand.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    /// One of the administrator, on which everything is agreed.
    async fn new(place: &Place, settings: &[u8]) -> Self {
        let config = place.client(Some(&place.admin()), NEW);
        let mut stream = place.connect(config).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
        Self(stream)
    }

    /// Sends frames, reading what comes meanwhile, until the connection ends or there are no more; how many went out, and whether it
    /// ended.
    async fn flood(self, count: u32, make: impl Fn(u32) -> Vec<u8>) -> (u32, Option<End>) {
        let (mut reader, mut writer) = tokio::io::split(self.0);
        let reading = tokio::spawn(async move { end(&mut reader).await });
        let mut sent = 0;
        while sent < count {
            // A record holds many: it is the server that is to be busy, not the client.
            let piece: Vec<u8> = (sent..count.min(sent + 100)).flat_map(&make).collect();
            if writer.write_all(&piece).await.is_err() || writer.flush().await.is_err() {
                break;
            }
            sent = count.min(sent + 100);
        }
        let end = timeout(Duration::from_secs(5), reading).await;
        (sent, end.ok().map(|end| end.unwrap()))
    }
}

/// How the server ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It said so, and why.
    Said(u32),
    Cut,
}

async fn end(stream: &mut (impl AsyncReadExt + Unpin)) -> End {
    let mut end = End::Cut;
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) => {
                let known =
                    [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                assert!(known.contains(&error.kind()), "{error}");
                return end;
            }
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return end;
        }
        if head[3] == GOAWAY {
            let code = payload.get(4..8).and_then(|code| code.try_into().ok()).unwrap_or_default();
            end = End::Said(u32::from_be_bytes(code));
        }
    }
}

/// Somebody who asks all the time, until told to stop; how often they were answered.
struct Healthy {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<u32>,
}

impl Healthy {
    async fn new(place: &Place) -> Self {
        let stream = place.connect(place.client(Some(&place.admin()), NEW)).await.unwrap();
        let mut client = Client::new(stream).await.unwrap();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut count = 0;
            while stopped.try_recv().is_err() {
                let answer = timeout(Duration::from_secs(10), client.get("/api/v1/namespaces/t1"));
                assert_eq!(answer.await.expect("it is answered").unwrap().0, 200);
                count += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            count
        });
        Self { stop, task }
    }

    async fn done(self) {
        let _ = self.stop.send(());
        assert!(self.task.await.unwrap() > 0, "somebody was served meanwhile");
    }
}

/// One test at a time: each looks at the whole process.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

/// Processor time of this process.
fn used() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    let ticks: u64 = [fields[11], fields[12]].iter().map(|one| one.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The process is at rest again: nothing goes on working for a client that is gone.
async fn at_rest() {
    for _ in 0..50 {
        let before = used();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if used().saturating_sub(before) <= Duration::from_millis(50) {
            return;
        }
    }
    panic!("the processor is not at rest");
}

/// What it is called, and the frames of each step.
type Flood = (&'static str, Box<dyn Fn(u32) -> Vec<u8>>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_floods_end_the_connection() {
    let _alone = ALONE.lock().await;
    bounded(async {
        let place = Place::new().await;
        let get =
            |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(2, CONFIGS));
        let reset = |stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        let floods: Vec<Flood> = vec![
            ("rapid reset", Box::new(move |n| [get(2 * n + 1), reset(2 * n + 1)].concat())),
            ("empty SETTINGS", Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
            (
                "SETTINGS that move windows",
                Box::new(|n| {
                    frame(SETTINGS, 0, 0, &[&[0, 4][..], &(n % 2 * 65_535).to_be_bytes()].concat())
                }),
            ),
            ("PING", Box::new(|n| frame(PING, 0, 0, &u64::from(n).to_be_bytes()))),
            ("answers to no PING", Box::new(|n| frame(PING, 1, 0, &u64::from(n).to_be_bytes()))),
            ("PRIORITY", Box::new(|n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 9]))),
            ("WINDOW_UPDATE", Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))),
            ("frames that nobody knows", Box::new(|_| frame(0x77, 0, 0, &[1, 2, 3]))),
            (
                "empty DATA",
                Box::new(|n| {
                    let head = frame(HEADERS, END_HEADERS, 1, &request(3, CONFIGS));
                    if n == 0 { head } else { frame(DATA, 0, 1, &[]) }
                }),
            ),
            (
                "padded DATA",
                Box::new(|n| {
                    let head = frame(HEADERS, END_HEADERS, 1, &request(3, CONFIGS));
                    if n == 0 { head } else { frame(DATA, 8, 1, &[3, 0, 0, 0]) }
                }),
            ),
            (
                "CONTINUATION without an end",
                Box::new(|n| {
                    if n == 0 {
                        frame(HEADERS, 0, 1, &request(2, CONFIGS))
                    } else {
                        frame(CONTINUATION, 0, 1, &[0x0f, 0, 1, b'a', 0])
                    }
                }),
            ),
            (
                "empty CONTINUATION",
                Box::new(|n| {
                    if n == 0 {
                        frame(HEADERS, 0, 1, &request(2, CONFIGS))
                    } else {
                        frame(CONTINUATION, 0, 1, &[])
                    }
                }),
            ),
            (
                "streams beyond the bound",
                Box::new(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &request(3, CONFIGS))),
            ),
            (
                "windows that overflow",
                Box::new(|n| {
                    let head = frame(HEADERS, END_HEADERS, 2 * n + 1, &request(3, CONFIGS));
                    [head, frame(WINDOW_UPDATE, 0, 2 * n + 1, &i32::MAX.to_be_bytes())].concat()
                }),
            ),
        ];
        for (what, make) in floods {
            let healthy = Healthy::new(&place).await;
            let (sent, end) = Raw::new(&place, &[]).await.flood(frames(), make).await;
            eprintln!("{what}: {sent} frames, {end:?}");
            assert!(end.is_some(), "{what}: it goes on after {sent} frames");
            healthy.done().await;
            at_rest().await;
        }
        assert_eq!(place.status(&place.admin(), "/livez").await.unwrap().0, 200);
    })
    .await;
}

/// A collection whose list is some 4 MiB.
async fn filled(place: &Place) {
    for number in 0..40 {
        place.cluster.make(CONFIGS, config(&format!("c{number}"), &"x".repeat(100_000))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_a_head_that_unfolds_takes_no_memory() {
    let _alone = ALONE.lock().await;
    bounded(async {
        let place = Place::new().await;
        let mut raw = Raw::new(&place, &[]).await;
        let before = resident();
        // One header of 4,000 bytes, kept in the table, and then named by one byte as often as a frame has room: 64 MB.
        let mut head = request(2, CONFIGS);
        head.extend([0x40]);
        head.extend(literal("bomb"));
        head.extend(literal(&"x".repeat(4_000)));
        let once = head.len();
        head.resize(16_000, 0xbe);
        assert!(once < 5_000);
        let mut again = request(2, CONFIGS);
        again.resize(16_000, 0xbe);
        for stream in 0..50 {
            let head = if stream == 0 { &head } else { &again };
            let frame = frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, head);
            if raw.0.write_all(&frame).await.is_err() {
                break;
            }
        }
        // It answers (431), or it ends: in any case it is soon done with it.
        let healthy = Healthy::new(&place).await;
        at_rest_beside(&place).await;
        healthy.done().await;
        let more = resident().saturating_sub(before);
        assert!(more < 48 << 20, "{} MiB more", more >> 20);
        drop(raw);
        at_rest().await;
    })
    .await;
}

/// A request is answered as soon as any.
async fn at_rest_beside(place: &Place) {
    for _ in 0..5 {
        assert_eq!(place.status(&place.admin(), "/livez").await.unwrap().0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_31_a_window_of_zero_holds_back_no_memory_and_nobody_else() {
    let _alone = ALONE.lock().await;
    bounded(async {
        let place = Place::new().await;
        filled(&place).await;
        // All that one connection may ask at a time, none of which it takes.
        let mut raw = Raw::new(&place, &[0, 4, 0, 0, 0, 0]).await;
        let before = resident();
        for stream in 0..100 {
            let get =
                frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, &request(2, CONFIGS));
            raw.0.write_all(&get).await.unwrap();
        }
        // The last one is begun with when the answer to a PING behind it is there.
        raw.0.write_all(&frame(PING, 0, 0, b"allasked")).await.unwrap();
        let healthy = Healthy::new(&place).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        healthy.done().await;
        at_rest().await;
        let more = resident().saturating_sub(before);
        assert!(more < 64 << 20, "{} MiB more", more >> 20);
        // What is held is there, to the byte, when it is asked for.
        raw.0.write_all(&frame(WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes())).await.unwrap();
        let data = loop {
            let mut head = [0; 9];
            raw.0.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            raw.0.read_exact(&mut payload).await.unwrap();
            if head[3] == DATA {
                break payload;
            }
        };
        assert!(data.len() == 100 && data.starts_with(b"{\"kind\":\"ConfigMapList\""), "{data:?}");
        drop(raw);
        at_rest().await;
    })
    .await;
}
