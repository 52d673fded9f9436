// SPDX-License-Identifier: Apache-2.0
//! Exec and attach.

use super::kit::{Seen, Spdy, bounded, process, upgrade, websocket};
use crate::{Exec, Gone, Outcome, Size, Streams, Times};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Error, Message};

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
const TTY: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };

/// Writes what it reads in capitals, complains of how much that was, and ends with 3.
async fn shout(mut exec: Exec) {
    let mut all = Vec::new();
    exec.stdin.take().unwrap().read_to_end(&mut all).await.unwrap();
    exec.stdout.take().unwrap().write_all(&all.to_ascii_uppercase()).await.unwrap();
    let count = format!("{} bytes", all.len());
    exec.stderr.take().unwrap().write_all(count.as_bytes()).await.unwrap();
    assert_eq!(exec.control.finish(Outcome::Exit(3)).await, Gone::Finished);
}

/// What comes on each channel, in order, up to the end; and the code of the close.
async fn channels<S>(socket: &mut S) -> (Vec<(u8, Vec<u8>)>, Option<u16>)
where
    S: StreamExt<Item = Result<Message, Error>> + Unpin,
{
    let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
    while let Some(message) = socket.next().await {
        match message.unwrap() {
            Message::Binary(bytes) => match all.last_mut() {
                Some((channel, have)) if *channel == bytes[0] => {
                    have.extend_from_slice(&bytes[1..]);
                }
                _ => all.push((bytes[0], bytes[1..].to_vec())),
            },
            Message::Close(frame) => return (all, frame.map(|frame| frame.code.into())),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (all, None)
}

fn failure(code: &str) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code}]},
    })
}

#[tokio::test]
async fn a_command_is_run_over_a_websocket_with_its_streams_and_code() {
    bounded(async {
        let mut socket = websocket(
            process(ALL, Times::default(), shout),
            "",
            "v5.channel.k8s.io,v4.channel.k8s.io",
        )
        .await;
        for message in
            [&b"\0hello "[..], b"\0", b"\0world", b"\x01no output of mine", b"\x09nor this", b""]
        {
            socket.send(Message::binary(message.to_vec())).await.unwrap();
        }
        socket.send(Message::Ping(vec![1, 2].into())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(vec![1, 2].into()));
        socket.send(Message::binary(vec![255, 0])).await.unwrap();
        let (all, code) = channels(&mut socket).await;
        assert_eq!(code, Some(1_000));
        let text = |channel: u8| all.iter().find(|(have, _)| *have == channel).unwrap().1.clone();
        assert_eq!((text(1), text(2)), (b"HELLO WORLD".to_vec(), b"11 bytes".to_vec()));
        assert_eq!(all.last().unwrap().0, 3, "the outcome is the last word");
        assert_eq!(serde_json::from_slice::<Value>(&text(3)).unwrap(), failure("3"));
        assert!(socket.next().await.is_none(), "and the connection is closed");
    })
    .await;
}

/// A client need not wait for its streams to be open: what it sends along with its request arrives. Many at a time, on more threads than
/// there are processors, for it is about who is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn nothing_is_lost_that_comes_at_once() {
    let one = || async {
        let socket = process(ALL, Times::default(), shout);
        let mut socket = websocket(socket, "", "v5.channel.k8s.io").await;
        socket.feed(Message::binary(b"\0hello".to_vec())).await.unwrap();
        socket.send(Message::binary(vec![255, 0])).await.unwrap();
        let (all, _) = channels(&mut socket).await;
        assert!(all.contains(&(1, b"HELLO".to_vec())), "{all:?}");
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        tasks.spawn(async move {
            for _ in 0..500 {
                tokio::time::timeout(Duration::from_mins(1), one()).await.expect("all arrives");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn text_is_taken_as_bytes() {
    bounded(async {
        let run = |mut exec: Exec| async move {
            let mut five = [0; 5];
            exec.stdin.as_mut().unwrap().read_exact(&mut five).await.unwrap();
            assert_eq!(&five, b"hello");
            exec.control.finish(Outcome::Exit(0)).await;
        };
        let mut socket =
            websocket(process(ALL, Times::default(), run), "", "v4.channel.k8s.io").await;
        // Older protocols have a first message that says nothing.
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(vec![1]));
        socket.send(Message::text("\0hello")).await.unwrap();
        let (all, code) = channels(&mut socket).await;
        let success = br#"{"metadata":{},"status":"Success"}"#.to_vec();
        assert_eq!((all, code), (vec![(3, success)], Some(1_000)));
    })
    .await;
}

#[tokio::test]
async fn standard_input_ends_when_the_client_says_goodbye() {
    bounded(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let run = move |mut exec: Exec| {
            let sender = sender.clone();
            async move {
                let mut all = Vec::new();
                exec.stdin.take().unwrap().read_to_end(&mut all).await.unwrap();
                sender.send((all, exec.control.gone().await)).await.unwrap();
            }
        };
        let mut socket =
            websocket(process(ALL, Times::default(), run), "", "v4.channel.k8s.io").await;
        socket.send(Message::binary(b"\0abc".to_vec())).await.unwrap();
        socket.close(None).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), (b"abc".to_vec(), Gone::Closed));
    })
    .await;
}

#[tokio::test]
async fn base64_is_spoken_with_those_who_ask_for_it() {
    bounded(async {
        let run = |mut exec: Exec| async move {
            let mut five = [0; 5];
            exec.stdin.as_mut().unwrap().read_exact(&mut five).await.unwrap();
            exec.stdout.as_mut().unwrap().write_all(&five).await.unwrap();
            exec.control.finish(Outcome::Exit(0)).await;
        };
        for (protocol, first) in
            [("v4.base64.channel.k8s.io", "3eyJ"), ("base64.channel.k8s.io", "")]
        {
            let mut socket = websocket(process(ALL, Times::default(), run), "", protocol).await;
            // "hel" and "lo".
            socket.send(Message::text("0aGVs")).await.unwrap();
            socket.send(Message::text("0bG8=")).await.unwrap();
            let (all, code) = channels(&mut socket).await;
            assert_eq!(all[0], (b'1', b"aGVsbG8=".to_vec()));
            assert_eq!(code, Some(1_000));
            let last =
                all.get(1).map(|(_, text)| [&b"3"[..], &text[..3]].concat()).unwrap_or_default();
            assert_eq!(last, first.as_bytes(), "{protocol}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_terminal_tells_its_sizes() {
    bounded(async {
        let run = |mut exec: Exec| async move {
            let mut sizes = exec.resizes.take().unwrap();
            assert!(exec.stderr.is_none());
            assert_eq!(sizes.next().await, Some(Size { width: 80, height: 24 }));
            assert_eq!(sizes.next().await, Some(Size { width: 132, height: 50 }));
            assert_eq!(sizes.next().await, None, "garbage ends it");
            let failed = "error executing command in container: it is gone".to_owned();
            exec.control.finish(Outcome::Failed(failed)).await;
        };
        let mut socket =
            websocket(process(TTY, Times::default(), run), "", "v5.channel.k8s.io").await;
        for text in ["{\"Width\":80,\"Height\":24}", "{\"Width\":132,", "\"Height\":50}", "{]"] {
            socket.send(Message::binary([b"\x04", text.as_bytes()].concat())).await.unwrap();
        }
        let (all, _) = channels(&mut socket).await;
        let status: Value = serde_json::from_slice(&all.last().unwrap().1).unwrap();
        assert_eq!(status["reason"], "InternalError");
        assert_eq!(
            status["message"],
            "Internal error occurred: error executing command in container: it is gone"
        );
    })
    .await;
}

#[tokio::test]
async fn a_command_is_run_over_spdy() {
    bounded(async {
        for (protocol, last) in [
            ("v5.channel.k8s.io, v4.channel.k8s.io", failure("3").to_string()),
            (
                "v2.channel.k8s.io",
                "command terminated with non-zero exit code: exit status 3".to_owned(),
            ),
        ] {
            let mut spdy = Spdy::begin(process(ALL, Times::default(), shout), protocol).await;
            for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
                spdy.open(id, &[("streamtype", kind)]).await;
                assert_eq!(spdy.next().await, Some(Seen::Reply(id)));
            }
            // kubectl has nothing to say on the error stream.
            spdy.data(1, b"", true).await;
            spdy.data(3, b"hello ", false).await;
            spdy.data(3, b"world", true).await;
            let (streams, others) = spdy.rest().await;
            assert_eq!(streams[&5], (b"HELLO WORLD".to_vec(), true));
            assert_eq!(streams[&7], (b"11 bytes".to_vec(), true));
            assert_eq!(streams[&3], (Vec::new(), true));
            assert!(streams[&1].1);
            let said = String::from_utf8(streams[&1].0.clone()).unwrap();
            let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
            assert!(
                said == last || parsed(&said) == parsed(&last) && said.starts_with('{'),
                "{said}"
            );
            assert_eq!(others, [Seen::Away]);
        }
    })
    .await;
}

#[tokio::test]
async fn the_servers_side_of_standard_input_stays_open_as_long_as_the_command_runs() {
    bounded(async {
        let mut spdy =
            Spdy::begin(process(ALL, Times::default(), shout), "v4.channel.k8s.io").await;
        for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            spdy.open(id, &[("streamtype", kind)]).await;
            assert_eq!(spdy.next().await, Some(Seen::Reply(id)));
        }
        // The answer to this is the next frame: no end of any stream comes before.
        spdy.numbers(6, &[11]).await;
        assert_eq!(spdy.next().await, Some(Seen::Ping(11)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_open_all_streams_is_cut_off() {
    bounded(async {
        let mut spdy =
            Spdy::begin(process(ALL, Times::default(), shout), "v4.channel.k8s.io").await;
        spdy.open(1, &[("streamtype", "error")]).await;
        spdy.open(3, &[("streamtype", "video")]).await;
        spdy.open(5, &[("streamtype", "stdin")]).await;
        spdy.open(7, &[("streamtype", "stdin")]).await;
        let (_, others) = spdy.rest().await;
        assert!(others.contains(&Seen::Reset(3, 1)), "what has no meaning: {others:?}");
        assert!(others.contains(&Seen::Reset(7, 5)), "what is there: {others:?}");
        assert!(!others.contains(&Seen::Reset(5, 5)));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_at_once() {
    bounded(async {
        for polite in [false, true] {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
            let run = move |exec: Exec| {
                let sender = sender.clone();
                async move { sender.send(exec.control.gone().await).await.unwrap() }
            };
            let mut socket =
                websocket(process(ALL, Times::default(), run.clone()), "", "v5.channel.k8s.io")
                    .await;
            if polite {
                socket.close(None).await.unwrap();
            } else {
                drop(socket);
            }
            let gone = receiver.recv().await.unwrap();
            assert!(matches!(gone, Gone::Closed | Gone::Lost(_)), "{gone:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_happens_ends() {
    bounded(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let run = move |exec: Exec| {
            let sender = sender.clone();
            async move { sender.send(exec.control.gone().await).await.unwrap() }
        };
        let times = Times { idle: Duration::from_mins(1), ..Times::default() };
        let mut socket = websocket(process(ALL, times, run), "", "v5.channel.k8s.io").await;
        // It is asked for signs of life; those that it gives do not count, for they were asked for.
        let mut pings = 0;
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                Message::Close(frame) => break assert_eq!(u16::from(frame.unwrap().code), 1_001),
                other => panic!("{other:?}"),
            }
        }
        assert!((4..=6).contains(&pings), "{pings}");
        assert_eq!(receiver.recv().await, Some(Gone::Idle));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_is_not_idle() {
    bounded(async {
        let run = |exec: Exec| async move {
            tokio::time::sleep(Duration::from_mins(4)).await;
            exec.control.finish(Outcome::Exit(0)).await;
        };
        let times = Times { idle: Duration::from_mins(1), ..Times::default() };
        let mut socket = websocket(process(ALL, times, run), "", "v5.channel.k8s.io").await;
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            socket.send(Message::Ping(Vec::new().into())).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(Vec::new().into()));
        }
    })
    .await;
}

#[tokio::test]
async fn who_cannot_agree_is_answered_and_not_upgraded() {
    bounded(async {
        let mut socket = process(ALL, Times::default(), shout);
        let headers = ["Upgrade: SPDY/3.1", "Content-Length: 0", "X-Stream-Protocol-Version: v9"];
        let answer = upgrade(&mut socket, "POST", "", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(
            answer.contains("x-accepted-stream-protocol-versions: v4.channel.k8s.io\r\n"),
            "{answer}"
        );
    })
    .await;
}

#[test]
fn the_streams_of_a_query_are_those_that_a_kubelet_gives() {
    let parse = |query| Streams::parse(query).map_err(|refused| refused.text);
    assert_eq!(parse("command=a&input=1&output=1&error=1"), Ok(ALL));
    assert_eq!(parse("input=1&output=1&error=1&tty=1"), Ok(TTY), "a terminal has no second output");
    let none = Err("you must specify at least 1 of stdin, stdout, stderr".to_owned());
    for query in
        ["", "tty=1", "output=true", "error=1&tty=1", "output=0&output=1", "command=output=1"]
    {
        assert_eq!(parse(query), none, "{query}");
    }
}
