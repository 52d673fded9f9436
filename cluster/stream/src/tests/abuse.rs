// SPDX-License-Identifier: Apache-2.0
//! What no client sends.

use super::kit::{Chance, Seen, Spdy, bounded, odd_frame, pod, process, upgrade};
use crate::spdy::tests::{Client, data, numbers};
use crate::websocket::tests::masked;
use crate::{Exec, Forward, Gone, Outcome, Streams, Times};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, split};
use tokio::sync::mpsc;

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

/// Reads all there is and tells how the session ended.
fn reader(
    sender: mpsc::Sender<Gone>,
) -> impl Fn(Exec) -> futures_util::future::BoxFuture<'static, ()> + Clone + Send + Sync {
    move |mut exec: Exec| {
        let sender = sender.clone();
        Box::pin(async move {
            let mut all = Vec::new();
            let _ = exec.stdin.take().unwrap().read_to_end(&mut all).await;
            sender.send(exec.control.gone().await).await.unwrap();
        })
    }
}

async fn begin(socket: &mut DuplexStream, protocol: &str) {
    let protocol = format!("Sec-WebSocket-Protocol: {protocol}");
    let headers = [
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &protocol,
    ];
    let answer = upgrade(socket, "GET", "port=7", &headers).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_and_cut_off() {
    bounded(async {
        for bytes in
            [&b"\x82\x01x"[..], b"GET / HTTP/1.1\r\n\r\n", &[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]]
        {
            let (sender, mut receiver) = mpsc::channel(1);
            let mut socket = process(ALL, Times::default(), reader(sender));
            begin(&mut socket, "v5.channel.k8s.io").await;
            socket.write_all(bytes).await.unwrap();
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, [0x88, 2, 0x03, 0xea], "a close with 1002");
            assert!(matches!(receiver.recv().await, Some(Gone::Wire(_))));
        }
    })
    .await;
}

#[tokio::test]
async fn base64_that_is_none_ends_it() {
    bounded(async {
        for text in ["0aGV", "0a", "0aGVs!GVs", "0aGVsbG8=aGVs"] {
            let (sender, mut receiver) = mpsc::channel(1);
            let mut socket = process(ALL, Times::default(), reader(sender));
            begin(&mut socket, "v4.base64.channel.k8s.io").await;
            socket.write_all(&masked(0x81, text.as_bytes())).await.unwrap();
            assert!(matches!(receiver.recv().await, Some(Gone::Wire(_))), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    bounded(async {
        let keep = |mut forward: Forward| async move {
            let mut all = Vec::new();
            while let Some(one) = forward.next().await {
                all.push(one);
            }
        };
        let spdy = Spdy::begin(pod(Times::default(), keep), "portforward.k8s.io").await;
        let mut frames = spdy.frames;
        let (read, mut write) = split(spdy.socket);
        let sending = tokio::spawn(async move {
            for id in (1..).step_by(2).take(600) {
                let request = id.to_string();
                let open = frames.open(
                    id,
                    0,
                    &[("streamtype", "data"), ("port", "7"), ("requestid", &request)],
                );
                write.write_all(&open).await.unwrap();
            }
            write
        });
        let joined = tokio::io::join(read, tokio::io::sink());
        let mut client = Spdy { socket: joined, frames: Client::new() };
        let (mut replies, mut refused) = (0, 0);
        while replies + refused < 600 {
            match client.next().await.unwrap() {
                Seen::Reply(_) => replies += 1,
                Seen::Reset(_, 3) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((replies, refused), (512, 88));
        sending.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn numbers_of_streams_only_grow_and_are_odd() {
    bounded(async {
        for ids in [&[1_u32, 1][..], &[3, 1], &[2], &[0]] {
            let nothing =
                |mut forward: Forward| async move { while forward.next().await.is_some() {} };
            let mut spdy = Spdy::begin(pod(Times::default(), nothing), "portforward.k8s.io").await;
            for id in ids {
                let open = spdy.frames.open(*id, 0, &[("streamtype", "data"), ("port", "7")]);
                let _ = spdy.socket.write_all(&open).await;
            }
            let (_, others) = spdy.rest().await;
            assert_eq!(others.last(), Some(&Seen::Away), "{ids:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn pings_without_end_are_answered_only_as_fast_as_the_answers_are_read() {
    bounded(async {
        let (sender, _receiver) = mpsc::channel(1);
        let mut socket = process(ALL, Times::default(), reader(sender));
        begin(&mut socket, "v5.channel.k8s.io").await;
        let pings = masked(0x89, &[7; 125]).repeat(100);
        let mut sent = 0;
        // Nobody reads: at some point no more is taken.
        loop {
            let write = tokio::time::timeout(
                std::time::Duration::from_millis(300),
                socket.write_all(&pings),
            );
            if write.await.is_err() {
                break;
            }
            sent += pings.len();
            assert!(sent < 1 << 20, "the answers are piling up");
        }
    })
    .await;
}

/// A client's bytes that make sense, to be spoilt.
fn sensible(chance: &mut Chance, mode: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut client = Client::new();
    let mut id = 1;
    for _ in 0..chance.below(30) {
        let count = chance.below(300);
        let bytes = chance.bytes(count);
        let frame = match mode {
            0 => match chance.below(6) {
                0 => {
                    masked(0x82, &[&[255][..], &[u8::try_from(chance.below(6)).unwrap()]].concat())
                }
                1 => masked(0x89, &bytes[..bytes.len().min(125)]),
                2 => masked(0x02, &[&[0], &bytes[..]].concat()),
                3 => masked(0x80, &bytes),
                _ => {
                    masked(0x82, &[&[u8::try_from(chance.below(6)).unwrap()], &bytes[..]].concat())
                }
            },
            _ => {
                let kinds = ["error", "data", "stdin", "stdout", "stderr", "resize"];
                let target = u32::try_from(chance.below(12)).unwrap();
                let number = u32::try_from(chance.below(1 << 31)).unwrap();
                match chance.below(12) {
                    0..=4 => {
                        id += 2;
                        let request = chance.below(4).to_string();
                        client.open(
                            id,
                            u8::from(chance.below(5) == 0),
                            &[
                                ("streamtype", kinds[chance.below(6)]),
                                ("port", "7"),
                                ("requestid", &request),
                            ],
                        )
                    }
                    5 => numbers(3, &[target, 5]),
                    6 => numbers(9, &[target, number]),
                    7 => numbers(6, &[number]),
                    8 => numbers(4, &[1, 7, number]),
                    9 => client.headers(target, 1, &[("a", "b")]),
                    10 => odd_frame(u16::try_from(chance.below(12)).unwrap(), 1, &bytes),
                    _ => data(target.max(1), &bytes, chance.below(4) == 0),
                }
            }
        };
        all.extend(frame);
    }
    for _ in 0..chance.below(4) {
        if !all.is_empty() {
            let at = chance.below(all.len());
            all[at] ^= 1 << chance.below(8);
        }
    }
    all
}

#[tokio::test]
async fn no_bytes_of_a_client_harm_the_server() {
    bounded(async {
        let run = |mut exec: Exec| async move {
            let (mut from, mut to) = (exec.stdin.take().unwrap(), exec.stdout.take().unwrap());
            let _ = copy(&mut from, &mut to).await;
            exec.control.finish(Outcome::Exit(0)).await;
        };
        let echo = |mut forward: Forward| async move {
            while let Some(one) = forward.next().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = split(one.data);
                    let _ = copy(&mut from, &mut to).await;
                });
            }
        };
        for seed in 0..600_u64 {
            let mut chance = Chance(seed);
            let times = Times { linger: std::time::Duration::from_millis(1), ..Times::default() };
            let mode = chance.below(4);
            let socket = match mode {
                0 => {
                    let mut socket = process(ALL, times, run);
                    begin(
                        &mut socket,
                        ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"]
                            [chance.below(3)],
                    )
                    .await;
                    socket
                }
                1 => Spdy::begin(process(ALL, times, run), "v4.channel.k8s.io").await.socket,
                2 => Spdy::begin(pod(times, echo), "portforward.k8s.io").await.socket,
                _ => {
                    let mut socket = pod(times, echo);
                    begin(&mut socket, "SPDY/3.1+portforward.k8s.io").await;
                    socket
                }
            };
            let mut bytes = sensible(&mut chance, mode);
            if mode == 3 {
                bytes = bytes.chunks(40).flat_map(|piece| masked(0x82, piece)).collect();
            }
            let (mut read, mut write) = split(socket);
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                let _ = read.read_to_end(&mut all).await;
            });
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = (1 + chance.below(400)).min(rest.len());
                if write.write_all(&rest[..count]).await.is_err() {
                    break;
                }
                rest = &rest[count..];
            }
            // Whatever it was: when the client goes, the connection ends.
            let _ = write.shutdown().await;
            let ended = tokio::time::timeout(std::time::Duration::from_mins(2), reading).await;
            assert!(ended.is_ok(), "seed {seed} hangs");
        }
    })
    .await;
}
