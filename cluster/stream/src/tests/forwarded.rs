// SPDX-License-Identifier: Apache-2.0
//! Port-forward.

use super::kit::{Seen, Spdy, bounded, pod, upgrade, websocket};
use crate::spdy::tests::Client;
use crate::{Forward, Gone, Times};
use futures_util::{SinkExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio_tungstenite::tungstenite::Message;

/// Port 7 echoes; others say that nobody is there.
async fn echo(mut forward: Forward) {
    while let Some(mut one) = forward.next().await {
        tokio::spawn(async move {
            if one.port != 7 {
                let text = format!("error forwarding port {}: connection refused", one.port);
                one.error.write_all(text.as_bytes()).await.unwrap();
                return;
            }
            let (mut from, mut to) = split(one.data);
            let _ = copy(&mut from, &mut to).await;
        });
    }
    forward.finish().await;
}

const ERROR: &str = "error";
const DATA: &str = "data";

#[tokio::test]
async fn connections_are_forwarded_over_spdy() {
    bounded(async {
        let mut spdy = Spdy::begin(pod(Times::default(), echo), "portforward.k8s.io").await;
        let field =
            |kind, port, request| [("streamtype", kind), ("port", port), ("requestid", request)];
        // As kubectl does it: the error stream first, half closed. Two connections at once.
        for (id, kind, port, request) in
            [(1, ERROR, "7", "0"), (3, ERROR, "9", "1"), (5, DATA, "9", "1"), (7, DATA, "7", "0")]
        {
            spdy.open(id, &field(kind, port, request)).await;
            if kind == ERROR {
                spdy.data(id, b"", true).await;
            }
        }
        spdy.data(7, b"hello", false).await;
        let (mut got, mut replies) = (BTreeMap::<u32, (Vec<u8>, bool)>::new(), Vec::new());
        while got.len() < 3
            || !got[&5].1
            || !got[&3].1
            || got.get(&7).is_none_or(|(have, _)| have.len() < 5)
        {
            let seen = spdy.next().await.unwrap();
            if let Seen::Reply(id) = seen {
                replies.push(id);
                continue;
            }
            let Seen::Data(id, bytes, end) = seen else { panic!("{seen:?}") };
            assert!(replies.contains(&id), "the reply to {id} comes first");
            let stream = got.entry(id).or_default();
            stream.0.extend(bytes);
            stream.1 |= end;
        }
        assert_eq!(got[&3].0, b"error forwarding port 9: connection refused");
        assert_eq!(got[&7], (b"hello".to_vec(), false));
        spdy.data(7, b" again", true).await;
        let mut rest = Vec::new();
        let mut ended = BTreeSet::new();
        while ended.len() < 2 {
            let Some(Seen::Data(id, bytes, end)) = spdy.next().await else { panic!() };
            rest.extend(bytes);
            if end {
                ended.insert(id);
            }
        }
        assert_eq!(rest, b" again");
        // The half-closed stream of errors ends without a word, and so does the data.
        assert_eq!(ended.into_iter().collect::<Vec<_>>(), [1, 7]);
    })
    .await;
}

#[tokio::test]
async fn spdy_goes_through_a_websocket() {
    bounded(async {
        let socket = pod(Times::default(), echo);
        let mut socket = websocket(socket, "", "SPDY/3.1+portforward.k8s.io").await;
        let mut client = Client::new();
        let mut bytes = Vec::new();
        for (id, kind) in [(1, ERROR), (3, DATA)] {
            bytes.extend(client.open(
                id,
                0,
                &[("streamtype", kind), ("port", "7"), ("requestid", "0")],
            ));
        }
        bytes.extend(crate::spdy::tests::data(3, b"through the tunnel", true));
        // Frames need not be whole messages.
        for piece in bytes.chunks(7) {
            socket.send(Message::binary(piece.to_vec())).await.unwrap();
        }
        let mut got = Vec::new();
        while !got.windows(18).any(|part| part == b"through the tunnel") {
            if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
                got.extend_from_slice(&bytes);
            }
        }
        assert_eq!(got[..4], [0x80, 3, 0, 2], "a reply first");
        socket.close(None).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn ports_of_a_websocket_have_two_channels_each() {
    bounded(async {
        for (offer, query) in [
            ("v5.channel.k8s.io,v4.channel.k8s.io", "&ports=7%2C9"),
            ("v4.channel.k8s.io", "port=7&port=9"),
            ("", "ports=7,9"),
        ] {
            let mut socket = websocket(pod(Times::default(), echo), query, offer).await;
            let mut got = BTreeMap::<u8, Vec<u8>>::new();
            socket.send(Message::binary(b"\0hello".to_vec())).await.unwrap();
            socket.send(Message::binary(b"\x01not for me".to_vec())).await.unwrap();
            while got.get(&0).is_none_or(|have| have.len() < 7)
                || got.get(&3).is_none_or(|have| have.len() < 40)
            {
                let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() else {
                    panic!()
                };
                got.entry(bytes[0]).or_default().extend_from_slice(&bytes[1..]);
            }
            assert_eq!(got[&0], b"\x07\0hello");
            assert_eq!(got[&1], b"\x07\0");
            assert_eq!(got[&2], b"\x09\0");
            assert_eq!(got[&3], b"\x09\0error forwarding port 9: connection refused");
        }
    })
    .await;
}

#[tokio::test]
async fn a_websocket_ends_with_the_last_of_its_connections() {
    bounded(async {
        let socket = pod(Times::default(), echo);
        let mut socket = websocket(socket, "ports=8&ports=9", "v4.channel.k8s.io").await;
        loop {
            if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
                break assert_eq!(u16::from(frame.unwrap().code), 1_000);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn ports_that_are_none_are_refused() {
    bounded(async {
        let many = "port=1&".repeat(128);
        for (query, text) in [
            ("", "query parameter \"port\" is required"),
            ("port=0", "port \"0\" is not a valid port number"),
            ("port=80&port=65536", "port \"65536\" is not a valid port number"),
            ("ports=80,", "port \"\" is not a valid port number"),
            (&many, "more than 127 ports"),
        ] {
            let mut socket = pod(Times::default(), echo);
            let headers = [
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Protocol: v4.channel.k8s.io",
            ];
            let answer = upgrade(&mut socket, "GET", query, &headers).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            let mut body = vec![0; text.len()];
            socket.read_exact(&mut body).await.unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), text);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stays_alone_is_reset() {
    bounded(async {
        let mut spdy = Spdy::begin(pod(Times::default(), echo), "portforward.k8s.io").await;
        for (id, fields) in [
            (1, &[("streamtype", "data"), ("port", "7"), ("requestid", "0")][..]),
            (3, &[("streamtype", "data"), ("port", "7"), ("requestid", "0")]),
            (5, &[("streamtype", "data"), ("requestid", "1")]),
            (7, &[("streamtype", "data"), ("port", "0"), ("requestid", "1")]),
            (9, &[("streamtype", "data"), ("port", "65536"), ("requestid", "1")]),
            (11, &[("port", "7"), ("requestid", "1")]),
            // Without a number of the request, the data is two after the error.
            (13, &[("streamtype", "error"), ("port", "9")]),
            (15, &[("streamtype", "data"), ("port", "9")]),
        ] {
            spdy.open(id, fields).await;
        }
        let mut resets = Vec::new();
        let mut words = Vec::new();
        while resets.len() < 6 {
            match spdy.next().await.unwrap() {
                Seen::Reset(id, status) => resets.push((id, status)),
                Seen::Data(13, bytes, _) => words.extend(bytes),
                _ => {}
            }
        }
        resets.sort_unstable();
        assert_eq!(resets, [(1, 5), (3, 5), (5, 1), (7, 1), (9, 1), (11, 1)]);
        assert_eq!(words, b"error forwarding port 9: connection refused");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_a_client_that_is_slow_to_go_but_not_for_ever() {
    bounded(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let run = move |mut forward: Forward| {
            let sender = sender.clone();
            async move {
                let mut one = forward.next().await.unwrap();
                one.data.output.write_all(b"last").await.unwrap();
                sender.send(forward.finish().await).await.unwrap();
            }
        };
        let mut spdy = Spdy::begin(pod(Times::default(), run), "portforward.k8s.io").await;
        for (id, kind) in [(1, ERROR), (3, DATA)] {
            spdy.open(id, &[("streamtype", kind), ("port", "7"), ("requestid", "0")]).await;
        }
        let (streams, _) = spdy.rest().await;
        assert_eq!(streams[&3], (b"last".to_vec(), true));
        let waiting = tokio::time::timeout(Duration::from_secs(2), receiver.recv()).await;
        assert!(waiting.is_err(), "it is still waiting: {waiting:?}");
        assert_eq!(receiver.recv().await, Some(Gone::Finished));
    })
    .await;
}
