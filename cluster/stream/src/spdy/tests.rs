// SPDX-License-Identifier: Apache-2.0
//! Frames of SPDY, as clients write them and as they must not be.

use super::head::tests::Deflater;
use super::*;

/// Writes frames as clients do.
#[derive(Debug)]
pub(crate) struct Client(Deflater);

impl Client {
    pub(crate) fn new() -> Self {
        Self(Deflater::new())
    }

    pub(crate) fn open(&mut self, id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend([0; 6]);
        payload.extend(self.0.block(fields));
        frame(SYN_STREAM, flags, &payload)
    }

    pub(crate) fn headers(&mut self, id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend(self.0.block(fields));
        frame(HEADERS, flags, &payload)
    }
}

/// A control frame.
pub(crate) fn frame(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    control(&mut out, kind, payload.len());
    out[4] = flags;
    out.extend_from_slice(payload);
    out.to_vec()
}

/// A control frame of numbers.
pub(crate) fn numbers(kind: u16, numbers: &[u32]) -> Vec<u8> {
    let payload: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    frame(kind, 0, &payload)
}

pub(crate) fn data(id: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_data(&mut out, id, bytes, end);
    out.to_vec()
}

/// All frames; parts of data that follow one another are put together.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, WireError> {
    let (mut decoder, mut input, mut frames) = (Decoder::new(), BytesMut::new(), Vec::new());
    for part in bytes.chunks(piece) {
        input.extend_from_slice(part);
        while let Some(frame) = decoder.next(&mut input)? {
            match (frames.last_mut(), frame) {
                (Some(Frame::Data { id, bytes }), Frame::Data { id: next, bytes: more })
                    if *id == next =>
                {
                    *bytes = [&bytes[..], &more[..]].concat().into();
                }
                (_, frame) => frames.push(frame),
            }
        }
    }
    Ok(frames)
}

#[test]
fn frames_are_read_from_pieces_of_any_size() {
    let mut client = Client::new();
    let settings = [3, 4, 100, 7, 65_536, 1 << 24 | 7, 1_000].map(u32::to_be_bytes).concat();
    let all = [
        client.open(1, 0, &[("streamtype", "error")]),
        client.open(3, FIN, &[("streamtype", "data"), ("port", "80")]),
        data(1, &[7; 300], false),
        data(1, b"", true),
        client.headers(1, 0, &[("a", "b")]),
        client.headers(3, FIN, &[("a", "c")]),
        numbers(RST_STREAM, &[3, 5]),
        frame(SETTINGS, 0, &settings),
        numbers(PING, &[9]),
        numbers(WINDOW_UPDATE, &[0x8000_0001, 0x8000_0100]),
        numbers(0x77, &[1, 2, 3]),
        numbers(GOAWAY, &[0, 0]),
    ]
    .concat();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for piece in [1, 2, 3, 7, 8, 9, 64, 100_000] {
        let want = vec![
            Frame::Open { id: 1, end: false, fields: vec![field("streamtype", "error")] },
            Frame::Open {
                id: 3,
                end: true,
                fields: vec![field("streamtype", "data"), field("port", "80")],
            },
            Frame::Data { id: 1, bytes: vec![7; 300].into() },
            Frame::End { id: 1 },
            Frame::Other,
            Frame::End { id: 3 },
            Frame::Reset { id: 3 },
            Frame::InitialWindow(1_000),
            Frame::Ping { id: 9 },
            Frame::Window { id: 1, more: 0x100 },
            Frame::Other,
            Frame::Away,
        ];
        assert_eq!(read(&all, piece), Ok(want), "pieces of {piece}");
    }
}

#[test]
fn the_payload_of_data_is_not_waited_for() {
    let (mut decoder, mut input) = (Decoder::new(), BytesMut::new());
    // A frame of 16 MiB, of which a byte is there.
    input.extend_from_slice(&[0, 0, 0, 5, FIN, 0xff, 0xff, 0xff, 42]);
    let part = Frame::Data { id: 5, bytes: vec![42].into() };
    assert_eq!(decoder.next(&mut input), Ok(Some(part)));
    assert_eq!(decoder.next(&mut input), Ok(None));
}

#[test]
fn what_is_no_frame_ends_it() {
    for (bytes, why) in [
        (&[0x80, 2, 0, 1, 0, 0, 0, 0][..], "not version 3"),
        (&[0x80, 3, 0, 1, 0, 0, 0x40, 1], "a control frame is too large"),
        (&[0, 0, 0, 0, 0, 0, 0, 1], "data without a stream"),
        (&frame(SYN_STREAM, 0, &[0; 9]), "a control frame is too short"),
        (&frame(PING, 0, &[0; 3]), "a control frame is too short"),
        (&frame(WINDOW_UPDATE, 0, &[0; 7]), "a control frame is too short"),
        (&frame(RST_STREAM, 0, &[0; 3]), "a control frame is too short"),
        (&frame(SETTINGS, 0, &[0; 3]), "settings are too short"),
        (&frame(SETTINGS, 0, &[0, 0, 0, 1]), "settings do not have their length"),
        (&frame(SETTINGS, 0, &[0xff; 12]), "settings do not have their length"),
        (&frame(SYN_STREAM, 0, &[0; 20]), "a head is not zlib"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a head is not zlib"),
    ] {
        match read(bytes, 5) {
            // A request of HTTP looks like a frame of data.
            Ok(frames) => assert!(matches!(frames[..], [Frame::Data { .. }]), "{bytes:?}"),
            Err(error) => assert_eq!(error, WireError::Spdy(why), "{bytes:?}"),
        }
    }
}

#[test]
fn what_is_written_can_be_read() {
    let mut out = BytesMut::new();
    put_reply(&mut out, 1, true);
    put_reply(&mut out, 3, false);
    put_data(&mut out, 1, b"abc", true);
    put_reset(&mut out, 3, Status::Cancel);
    put_ping(&mut out, 2);
    put_window(&mut out, 1, 5);
    put_away(&mut out, 3);
    let want = vec![
        Frame::Other,
        Frame::Other,
        Frame::Data { id: 1, bytes: Bytes::from_static(b"abc") },
        Frame::End { id: 1 },
        Frame::Reset { id: 3 },
        Frame::Ping { id: 2 },
        Frame::Window { id: 1, more: 5 },
        Frame::Away,
    ];
    assert_eq!(read(&out, 4), Ok(want));
}
