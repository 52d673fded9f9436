// SPDX-License-Identifier: Apache-2.0
//! Both ways on the wire bring the same bytes.

use super::*;
use crate::spdy::tests::{Client, data, numbers};
use crate::websocket::tests::masked;

/// What these bytes mean, read in pieces; data that follows one another as one.
fn events(wire: &mut Wire, bytes: &[u8], piece: usize) -> Vec<Event> {
    let (mut input, mut out, mut all) = (BytesMut::new(), BytesMut::new(), Vec::new());
    for part in bytes.chunks(piece) {
        input.extend_from_slice(part);
        while let Some(event) = wire.next(&mut input, &mut out).unwrap() {
            match (all.last_mut(), event) {
                (_, Event::Alive) => {}
                (
                    Some(Event::Data { stream, bytes }),
                    Event::Data { stream: next, bytes: more },
                ) if *stream == next => {
                    *bytes = [&bytes[..], &more[..]].concat().into();
                }
                (_, event) => all.push(event),
            }
        }
    }
    all
}

fn came(stream: u32, bytes: &[u8]) -> Event {
    Event::Data { stream, bytes: bytes.to_vec().into() }
}

#[test]
fn messages_go_where_their_first_byte_says() {
    let all = [
        masked(0x82, b"\0abc"),
        masked(0x82, b"\x04{}"),
        masked(0x02, b"\0d"),
        masked(0x80, b"\x04ef"),
        masked(0x02, b""),
        masked(0x80, b"\x04g"),
        masked(0x82, b"\x01no"),
        masked(0x82, b"\x07no"),
        masked(0x82, b""),
        masked(0x82, b"\xff\x01"),
        masked(0x82, b"\xff\x00"),
        masked(0x88, b""),
    ]
    .concat();
    let begin = [came(0, b"abc"), came(4, b"{}"), came(0, b"d\x04ef"), came(4, b"g")];
    for (coding, end) in
        [(Coding::Closing, vec![Event::Ended { stream: 0 }]), (Coding::Binary, vec![])]
    {
        for piece in [1, 3, 1_000] {
            let mut wire = Wire::Channels(Channels::new(coding, vec![0, 4]));
            let got = events(&mut wire, &all, piece);
            let (first, rest) = got.split_at(begin.len());
            assert_eq!(first, begin);
            let mut want: Vec<&Event> = end.iter().collect();
            want.push(&Event::Closed);
            assert_eq!(rest.iter().collect::<Vec<_>>(), want, "{coding:?}");
        }
    }
}

#[test]
fn base64_may_be_cut_anywhere() {
    let all = [
        masked(0x81, b"0aGVsbG8="),
        masked(0x01, b"0d"),
        masked(0x80, b"29ybGQ="),
        masked(0x81, b"4e30="),
    ]
    .concat();
    for piece in 1..20 {
        let mut wire = Wire::Channels(Channels::new(Coding::Base64, vec![0, 4]));
        assert_eq!(events(&mut wire, &all, piece), [came(0, b"helloworld"), came(4, b"{}")]);
    }
}

#[test]
fn a_tunnel_carries_the_same_as_the_wire() {
    let bytes = || {
        let mut client = Client::new();
        let open = |client: &mut Client, id| client.open(id, 0, &[("streamtype", "data")]);
        [
            open(&mut client, 1),
            data(1, &[7; 1_000], false),
            open(&mut client, 3),
            data(3, b"abc", true),
            numbers(3, &[1, 5]),
            numbers(9, &[3, 100]),
            numbers(6, &[2]),
        ]
        .concat()
    };
    let fields = || vec![("streamtype".to_owned(), "data".to_owned())];
    for piece in [1, 2, 9, 10_000] {
        let want = [
            Event::Opened { stream: 1, fields: fields(), ended: false },
            came(1, &[7; 1_000]),
            Event::Opened { stream: 3, fields: fields(), ended: false },
            came(3, b"abc"),
            Event::Ended { stream: 3 },
            Event::Reset { stream: 1 },
            Event::Room { stream: Some(3) },
            Event::Pong,
        ];
        let mut plain = Wire::Spdy(Multiplex::new(|_| true));
        assert_eq!(events(&mut plain, &bytes(), piece), want);
        let mut tunnel = Wire::Tunnel(Tunnel::new(Multiplex::new(|_| true)));
        let messages: Vec<u8> = bytes().chunks(piece).flat_map(|part| masked(0x82, part)).collect();
        assert_eq!(events(&mut tunnel, &messages, 11), want);
    }
}

#[test]
fn windows_bind_only_with_those_who_keep_them() {
    let mut wire = Wire::Spdy(Multiplex::new(|_| true));
    let mut out = BytesMut::new();
    events(&mut wire, &Client::new().open(1, 0, &[]), 100);
    wire.data(1, &vec![0; 100_000], false, &mut out);
    assert!(wire.room(1) > 1 << 40, "Go's library sends no windows");
    events(&mut wire, &numbers(9, &[1, 50_000]), 100);
    assert_eq!(wire.room(1), 65_536 + 50_000 - 100_000);
    events(&mut wire, &numbers(4, &[1, 7, 65_636]), 100);
    assert_eq!(wire.room(1), 15_636);
    // The connection's own.
    events(&mut wire, &numbers(9, &[0, 40_000]), 100);
    assert_eq!(wire.room(1), 65_536 + 40_000 - 100_000);
    wire.data(1, &[0; 5_536], false, &mut out);
    assert_eq!(wire.room(1), 0);
    events(&mut wire, &numbers(4, &[1, 7, 0]), 100);
    assert_eq!(wire.room(1), 0, "a window may be below nothing");
}

#[test]
fn a_window_has_an_end() {
    let mut wire = Wire::Spdy(Multiplex::new(|_| true));
    events(&mut wire, &Client::new().open(1, 0, &[]), 100);
    for frame in [[1, 0x7fff_ffff], [0, 0x7fff_ffff]] {
        let mut input = BytesMut::from(&numbers(9, &frame)[..]);
        assert!(wire.next(&mut input, &mut BytesMut::new()).is_err());
    }
}

#[test]
fn readers_that_take_much_widen_the_window() {
    let mut wire = Wire::Spdy(Multiplex::new(|_| true));
    let mut out = BytesMut::new();
    events(&mut wire, &Client::new().open(1, 0, &[]), 100);
    wire.taken(1, 20_000, &mut out);
    assert!(out.is_empty());
    wire.taken(1, 20_000, &mut out);
    assert_eq!(out[..], numbers(9, &[1, 40_000])[..], "and nothing of the connection's own");
    events(&mut wire, &numbers(9, &[0, 1]), 100);
    out.clear();
    wire.taken(1, 32_768, &mut out);
    assert_eq!(out[..], [numbers(9, &[1, 32_768]), numbers(9, &[0, 32_768])].concat()[..]);
}
