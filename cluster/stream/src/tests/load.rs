// SPDX-License-Identifier: Apache-2.0
//! Much at once: bytes, sessions, and readers that do not read.

use super::kit::{Chance, Seen, Spdy, bounded, pod, process, websocket};
use crate::{Exec, Forward, Outcome, Streams, Times};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio_tungstenite::tungstenite::Message;

const BOTH: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: false };

/// Writes what it reads.
async fn cat(mut exec: Exec) {
    let (mut from, mut to) = (exec.stdin.take().unwrap(), exec.stdout.take().unwrap());
    if copy(&mut from, &mut to).await.is_ok() {
        drop(to);
        exec.control.finish(Outcome::Exit(0)).await;
    }
}

/// Sends so many bytes of chance in messages of chance, and compares what comes back.
async fn through_cat(seed: u64, total: usize, largest: usize) {
    let socket = websocket(process(BOTH, Times::default(), cat), "", "v5.channel.k8s.io").await;
    let (mut sink, mut stream) = socket.split();
    let sending = tokio::spawn(async move {
        let (mut sizes, mut bytes, mut left) = (Chance(seed), Chance(seed + 1), total);
        while left > 0 {
            let count = (sizes.below(largest / 8) * 8 + 8).min(left);
            let message = [&[0][..], &bytes.bytes(count)].concat();
            sink.send(Message::binary(message)).await.unwrap();
            left -= count;
        }
        sink.send(Message::binary(vec![255, 0])).await.unwrap();
        sink
    });
    let (mut want, mut got, mut over) = (Chance(seed + 1), 0, Vec::new());
    while let Some(message) = stream.next().await {
        let Message::Binary(message) = message.unwrap() else { continue };
        if message[0] != 1 {
            continue;
        }
        over.extend_from_slice(&message[1..]);
        let whole = over.len() / 8 * 8;
        let expected = want.bytes(whole);
        assert!(over[..whole] == expected, "seed {seed}: it differs after {got}");
        over.drain(..whole);
        got += whole;
    }
    assert_eq!(got + over.len(), total, "seed {seed}");
    drop(sending.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_both_ways_byte_for_byte() {
    bounded(async {
        // Messages of up to 3 MB, which nobody holds.
        through_cat(1, 48 << 20, 3 << 20).await;
        through_cat(2, 4 << 20, 100).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_sessions_run_at_once() {
    bounded(async {
        let all: Vec<_> =
            (0..100).map(|seed| tokio::spawn(through_cat(seed, 300_000, 50_000))).collect();
        for one in all {
            one.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_connections_share_one() {
    bounded(async {
        let echo = |mut forward: Forward| async move {
            while let Some(one) = forward.next().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = split(one.data);
                    let _ = copy(&mut from, &mut to).await;
                });
            }
        };
        let mut spdy = Spdy::begin(pod(Times::default(), echo), "portforward.k8s.io").await;
        let mut client = std::mem::replace(&mut spdy.frames, crate::spdy::tests::Client::new());
        let (mut reader, mut writer) = split(spdy.socket);
        let content = |id: u32| Chance(u64::from(id)).bytes(200_000 + id as usize);
        let sending = tokio::spawn(async move {
            for at in 0..100_u32 {
                let request = at.to_string();
                for (id, kind) in [(4 * at + 1, "error"), (4 * at + 3, "data")] {
                    let open = client.open(
                        id,
                        0,
                        &[("streamtype", kind), ("port", "1"), ("requestid", &request)],
                    );
                    writer.write_all(&open).await.unwrap();
                }
            }
            let all: Vec<(u32, Vec<u8>)> =
                (0..100).map(|at| (4 * at + 3, content(4 * at + 3))).collect();
            for round in 0.. {
                let mut more = false;
                for (id, bytes) in &all {
                    let from = round * 7_001;
                    if let Some(rest) = bytes.get(from..) {
                        let part = &rest[..rest.len().min(7_001)];
                        let end = rest.len() <= 7_001;
                        let frame = crate::spdy::tests::data(*id, part, end);
                        writer.write_all(&frame).await.unwrap();
                        more |= !end;
                    }
                }
                if !more {
                    break;
                }
            }
            writer
        });
        let mut got = std::collections::BTreeMap::<u32, Vec<u8>>::new();
        let mut ended = 0;
        while ended < 100 {
            let mut head = [0; 8];
            reader.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize];
            reader.read_exact(&mut payload).await.unwrap();
            let id = u32::from_be_bytes(head[..4].try_into().unwrap());
            if id < 1 << 31 && id % 4 == 3 {
                got.entry(id).or_default().extend(payload);
                ended += usize::from(head[4]);
            }
        }
        for (id, bytes) in got {
            assert!(bytes == content(id), "stream {id}");
        }
        sending.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_process_that_does_not_read_stops_its_client() {
    bounded(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Exec>(1);
        let run = move |exec: Exec| {
            let sender = sender.clone();
            async move { sender.send(exec).await.unwrap() }
        };
        let mut socket =
            websocket(process(BOTH, Times::default(), run), "", "v5.channel.k8s.io").await;
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let sending = tokio::spawn(async move {
            let message = Message::binary(vec![0; 10_001]);
            for _ in 0..200 {
                socket.send(message.clone()).await.unwrap();
                counted.fetch_add(10_000, Ordering::SeqCst);
            }
            socket.send(Message::binary(vec![255, 0])).await.unwrap();
            socket
        });
        let mut exec = receiver.recv().await.unwrap();
        // It stands still when what the buffers hold is reached, and not before its reader reads.
        let mut before = usize::MAX;
        loop {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            let now = sent.load(Ordering::SeqCst);
            if now == before {
                break;
            }
            before = now;
        }
        assert!((60_000..400_000).contains(&before), "{before} bytes were taken");
        let mut all = Vec::new();
        exec.stdin.take().unwrap().read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 2_000_000);
        sending.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_process() {
    bounded(async {
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let run = move |mut exec: Exec| {
            let counted = Arc::clone(&counted);
            async move {
                let mut stdout = exec.stdout.take().unwrap();
                for _ in 0..200 {
                    stdout.write_all(&[7; 10_000]).await.unwrap();
                    counted.fetch_add(10_000, Ordering::SeqCst);
                }
                drop(stdout);
                exec.control.finish(Outcome::Exit(0)).await;
            }
        };
        let mut socket =
            websocket(process(BOTH, Times::default(), run), "", "v5.channel.k8s.io").await;
        let mut before = usize::MAX;
        loop {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            let now = written.load(Ordering::SeqCst);
            if now == before && now > 0 {
                break;
            }
            before = now;
        }
        assert!((60_000..400_000).contains(&before), "{before} bytes were taken");
        let mut got = 0;
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) if bytes[0] == 1 => got += bytes.len() - 1,
                _ => {}
            }
        }
        assert_eq!(got, 2_000_000);
    })
    .await;
}

#[tokio::test]
async fn a_window_holds_this_side_once_the_client_keeps_windows() {
    bounded(async {
        let run = |mut forward: Forward| async move {
            let mut one = forward.next().await.unwrap();
            one.data.output.write_all(&vec![7; 300_000]).await.unwrap();
            drop(one);
            forward.finish().await;
        };
        let mut spdy = Spdy::begin(pod(Times::default(), run), "portforward.k8s.io").await;
        // Streams begin with a window of 1,000 bytes.
        spdy.numbers(4, &[1, 7, 1_000]).await;
        for (id, kind) in [(1, "error"), (3, "data")] {
            spdy.open(id, &[("streamtype", kind), ("port", "1"), ("requestid", "0")]).await;
            assert_eq!(spdy.next().await, Some(Seen::Reply(id)));
        }
        let mut got = 0;
        for window in [1_000_usize, 1, 50_000, 248_999] {
            if got > 0 {
                let more = u32::try_from(window).unwrap();
                spdy.numbers(9, &[3, more]).await;
            }
            let mut here = 0;
            while here < window {
                let seen = spdy.next().await;
                if matches!(seen, Some(Seen::Data(1, ..))) {
                    continue;
                }
                let Some(Seen::Data(3, bytes, _)) = seen else { panic!("{seen:?}") };
                here += bytes.len();
            }
            assert_eq!(here, window, "not a byte more");
            // Nothing else comes: the answer to this is next.
            if got + here < 300_000 {
                spdy.numbers(6, &[1]).await;
                let mut seen = spdy.next().await;
                if matches!(seen, Some(Seen::Data(1, ..))) {
                    seen = spdy.next().await;
                }
                assert_eq!(seen, Some(Seen::Ping(1)));
            }
            got += here;
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_waits_for_what_a_shut_window_holds_back() {
    bounded(async {
        let run = |mut forward: Forward| async move {
            let mut one = forward.next().await.unwrap();
            one.data.output.write_all(&[7; 100]).await.unwrap();
            forward.finish().await;
        };
        let mut spdy = Spdy::begin(pod(Times::default(), run), "portforward.k8s.io").await;
        spdy.numbers(4, &[1, 7, 10]).await;
        for (id, kind) in [(1, "error"), (3, "data")] {
            spdy.open(id, &[("streamtype", kind), ("port", "1"), ("requestid", "0")]).await;
            assert_eq!(spdy.next().await, Some(Seen::Reply(id)));
        }
        let mut got = Vec::new();
        while got.len() < 2 {
            match spdy.next().await {
                Some(Seen::Data(1, ..)) => got.push(1),
                Some(Seen::Data(3, bytes, false)) if bytes.len() == 10 => got.push(3),
                other => panic!("{other:?}"),
            }
        }
        spdy.numbers(9, &[3, 1_000]).await;
        assert_eq!(spdy.next().await, Some(Seen::Data(3, vec![7; 90], true)));
        assert_eq!(spdy.next().await, Some(Seen::Away));
    })
    .await;
}
