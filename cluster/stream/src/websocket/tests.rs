// SPDX-License-Identifier: Apache-2.0
//! Frames of WebSocket, whole, in pieces and broken.

use super::*;

/// A client's frame: `head` is its first byte.
pub(crate) fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out, Opcode::Binary, &[payload]);
    let size = out.len() - payload.len();
    out[0] = head;
    out[1] |= 0x80;
    let mask = [1, 2, 3, u8::try_from(payload.len() % 251).unwrap()];
    let mut all = out[..size].to_vec();
    all.extend(mask);
    all.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    all
}

/// All frames; a message's parts as one.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, WireError> {
    let (mut decoder, mut input, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    let mut message = Vec::new();
    for part in bytes.chunks(piece) {
        input.extend_from_slice(part);
        while let Some(frame) = decoder.next(&mut input)? {
            match frame {
                Frame::Part { bytes, first, last } => {
                    assert_eq!(first, message.is_empty() && !bytes.is_empty() || first);
                    message.extend_from_slice(&bytes);
                    if last {
                        let bytes = std::mem::take(&mut message).into();
                        frames.push(Frame::Part { bytes, first: true, last });
                    }
                }
                frame => frames.push(frame),
            }
        }
    }
    Ok(frames)
}

#[test]
fn messages_are_read_from_pieces_of_any_size() {
    let long: Vec<u8> = (0..70_000_u32).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let all = [
        masked(0x82, b"abc"),
        masked(0x81, &[9; 126]),
        masked(0x01, b"in "),
        masked(0x89, b"ping"),
        masked(0x00, &long),
        masked(0x8a, b""),
        masked(0x80, b""),
        masked(0x82, b""),
        masked(0x88, &[3, 0xe8, b'x']),
        masked(0x88, b""),
    ]
    .concat();
    let whole =
        |bytes: &[u8]| Frame::Part { bytes: bytes.to_vec().into(), first: true, last: true };
    for piece in [1, 2, 3, 5, 13, 1_000, 200_000] {
        let want = vec![
            whole(b"abc"),
            whole(&[9; 126]),
            Frame::Ping(Bytes::from_static(b"ping")),
            Frame::Pong,
            whole(&[b"in ", &long[..]].concat()),
            whole(b""),
            Frame::Close(Some(NORMAL)),
            Frame::Close(None),
        ];
        assert_eq!(read(&all, piece), Ok(want), "pieces of {piece}");
    }
}

#[test]
fn a_message_is_not_waited_for() {
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
    input.extend_from_slice(&[0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42]);
    let part = Frame::Part { bytes: vec![42].into(), first: true, last: false };
    assert_eq!(decoder.next(&mut input), Ok(Some(part)));
    assert_eq!(decoder.next(&mut input), Ok(None));
}

#[test]
fn what_the_rfc_forbids_ends_it() {
    let unmasked = [0x82, 1, b'x'];
    for (bytes, why) in [
        (&unmasked[..], "a client has to mask"),
        (&masked(0xc2, b""), "reserved bits"),
        (&masked(0x83, b""), "an unknown opcode"),
        (&masked(0x8b, b""), "an unknown opcode"),
        (&masked(0x80, b"x"), "a message goes on that did not begin"),
        (&[masked(0x02, b"x"), masked(0x82, b"x")].concat(), "a message begins in another one"),
        (&masked(0x09, b""), "a control frame is too long or in parts"),
        (&masked(0x89, &[0; 126]), "a control frame is too long or in parts"),
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "a frame is too long"),
    ] {
        assert_eq!(read(bytes, 4), Err(WireError::WebSocket(why)), "{bytes:?}");
    }
}

#[test]
fn lengths_are_written_in_their_shortest_form() {
    for (length, head) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut out = BytesMut::new();
        put(&mut out, Opcode::Binary, &[&vec![7; length]]);
        assert_eq!(&out[..head.len()], head);
        assert_eq!(out.len(), head.len() + length);
    }
}
