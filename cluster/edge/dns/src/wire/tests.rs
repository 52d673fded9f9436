// SPDX-License-Identifier: Apache-2.0
//! Packets of all sorts.

use super::*;
use hickory_proto::rr::{RData, Record};
use std::net::Ipv4Addr;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A query for `a.b A`, in the form of its bytes.
fn query() -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(b"\x01a\x01B\x00\x00\x01\x00\x01");
    packet
}

fn opt(payload: u16, version: u8, flags: u8) -> Vec<u8> {
    let [high, low] = payload.to_be_bytes();
    vec![0, 0, 41, high, low, 0, version, flags, 0, 0, 0]
}

fn with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = query();
    change(&mut packet);
    packet
}

fn code(packet: &[u8]) -> Option<ResponseCode> {
    match read(packet) {
        Ok(_) => Some(ResponseCode::NoError),
        Err(Unread::Silent) => None,
        Err(Unread::Header(code) | Unread::Question(code, _)) => Some(code),
    }
}

#[test]
fn what_is_no_query_is_refused_in_its_own_way() {
    use ResponseCode::{BADVERS, FormErr, NoError, NotImp, Refused};
    let kind = |kind: u16| with(|packet| packet[17..19].copy_from_slice(&kind.to_be_bytes()));
    let extra = |count: u8, extra: &[u8]| {
        with(|packet| {
            packet[11] = count;
            packet.extend_from_slice(extra);
        })
    };
    let twice = [opt(1232, 0, 0), opt(1232, 0, 0)].concat();
    for (what, packet, want) in [
        ("a query", query(), Some(NoError)),
        ("nothing", Vec::new(), None),
        ("too short", query()[..11].to_vec(), None),
        ("an answer", with(|packet| packet[2] |= 0x80), None),
        ("a notification", with(|packet| packet[2] |= 4 << 3), Some(NotImp)),
        ("an update", with(|packet| packet[2] |= 5 << 3), Some(NotImp)),
        ("no question", with(|packet| packet[5] = 0), Some(FormErr)),
        ("two questions", with(|packet| packet[5] = 2), Some(FormErr)),
        ("65,535 questions", with(|packet| packet[4..6].fill(255)), Some(FormErr)),
        ("an answer in a query", with(|packet| packet[7] = 1), Some(FormErr)),
        ("more records than said", with(|packet| packet[11] = 1), Some(FormErr)),
        ("very many records", with(|packet| packet[10..12].fill(255)), Some(FormErr)),
        (
            "a name that points to itself",
            with(|packet| packet[12..14].copy_from_slice(&[0xc0, 12])),
            Some(FormErr),
        ),
        (
            "a name that points ahead",
            with(|packet| packet[12..14].copy_from_slice(&[0xc0, 14])),
            Some(FormErr),
        ),
        ("a label of an unknown kind", with(|packet| packet[12] = 0x80), Some(FormErr)),
        ("cut in its name", query()[..14].to_vec(), Some(FormErr)),
        ("cut in its class", query()[..20].to_vec(), Some(FormErr)),
        ("class CH", with(|packet| packet[20] = 3), Some(Refused)),
        ("class ANY", with(|packet| packet[20] = 255), Some(Refused)),
        ("a whole zone", kind(252), Some(Refused)),
        ("a part of a zone", kind(251), Some(Refused)),
        ("OPT as a question", kind(41), Some(FormErr)),
        ("type 65,280", kind(65_280), Some(NoError)),
        ("EDNS", extra(1, &opt(1232, 0, 0)), Some(NoError)),
        ("EDNS of another version", extra(1, &opt(1232, 1, 0)), Some(BADVERS)),
        ("EDNS twice", extra(2, &twice), Some(FormErr)),
        ("too long", with(|packet| packet.resize(QUERY_BYTES_MAX + 1, 0)), Some(FormErr)),
    ] {
        assert_eq!(code(&packet), want, "{what}");
    }
}

#[test]
fn a_query_is_read_with_what_it_wishes() {
    let packet = with(|packet| {
        packet[3] = 0x10;
        packet[11] = 1;
        packet.extend(opt(4000, 0, 0x80));
    });
    let request = read(&packet).unwrap();
    assert_eq!(
        (request.id, request.recursion_desired, request.checking_disabled),
        (0x1234, true, true)
    );
    assert_eq!(request.edns, Some(Edns { payload: 4000, dnssec_ok: true }));
    assert_eq!(request.query.name.to_ascii(), "a.B.", "its case is kept");
    for (edns, allowed, bytes) in [
        (None, 1232, 512),
        (Some(4000), 1232, 1232),
        (Some(4000), 4096, 4000),
        (Some(1000), 1232, 1000),
        (Some(0), 1232, 512),
    ] {
        let edns = edns.map(|payload| Edns { payload, dnssec_ok: false });
        let request = Request { edns, ..request.clone() };
        assert_eq!(datagram_bytes(&request, allowed), bytes);
    }
}

fn answers(count: u8) -> Reply {
    let one = |at| Record::from_rdata(name("a.B."), 5, RData::from(Ipv4Addr::new(10, 0, 0, at)));
    Reply {
        authoritative: true,
        answers: (0..count).map(one).collect(),
        ..Reply::of(ResponseCode::NoError)
    }
}

#[test]
fn an_answer_is_as_long_as_it_may_be_and_says_what_is_missing() {
    let plain = read(&query()).unwrap();
    let edns = Request { edns: Some(Edns { payload: 600, dnssec_ok: true }), ..plain.clone() };
    for (request, limit, told, truncated) in [
        // 21 bytes of header and question, 16 for each address, and 11 for OPT.
        (&plain, 512, 30, true),
        (&plain, 21 + 40 * 16, 40, false),
        (&plain, 20 + 40 * 16, 39, true),
        (&edns, 512, 30, true),
        (&edns, 21 + 40 * 16 + 11, 40, false),
        (&edns, 20 + 40 * 16 + 11, 39, true),
        (&edns, 65_535, 40, false),
    ] {
        let written = write(request, &answers(40), limit, 1232);
        assert!(written.bytes.len() <= limit);
        let message = Message::from_vec(&written.bytes).unwrap();
        assert_eq!((message.answers.len(), written.truncated), (told, truncated), "{limit}");
        assert_eq!(message.metadata.truncation, truncated);
        let said = message.edns.as_ref().map(|edns| (edns.max_payload(), edns.flags().dnssec_ok));
        assert_eq!(said, request.edns.map(|_| (1232, true)));
        assert!(message.metadata.authoritative && message.metadata.recursion_available);
        assert!(message.queries[0].name.eq_case(&request.query.name));
    }
}

#[test]
fn what_is_only_added_may_be_missing_without_a_word() {
    let request = read(&query()).unwrap();
    let mut reply = answers(2);
    reply.additionals = answers(60).answers;
    let written = write(&request, &reply, 512, 1232);
    let message = Message::from_vec(&written.bytes).unwrap();
    assert_eq!(
        (message.answers.len(), message.additionals.len(), written.truncated),
        (2, 28, false)
    );
    assert!(!message.metadata.truncation);
    reply.authorities = answers(60).answers;
    assert!(write(&request, &reply, 512, 1232).truncated);
}

#[test]
fn codes_of_more_than_four_bits_are_told_in_two_parts() {
    let request =
        Request { edns: Some(Edns { payload: 600, dnssec_ok: false }), ..read(&query()).unwrap() };
    let written = write(&request, &Reply::of(ResponseCode::BADVERS), 512, 1232);
    let message = Message::from_vec(&written.bytes).unwrap();
    assert_eq!(u16::from(message.metadata.response_code), 16);
    let said = header(&with(|packet| packet[2] = 0x29), ResponseCode::NotImp);
    assert_eq!(said, [0x12, 0x34, 0xa9, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
}

fn asked() -> Asked {
    let (kind, checking_disabled, dnssec_ok, edns) = (RecordType::A, true, true, true);
    Asked { id: 0x1234, name: name("a.B."), kind, checking_disabled, dnssec_ok, edns }
}

#[test]
fn a_question_to_an_upstream_is_a_query_that_can_be_read() {
    let request = read(&ask(&asked(), 1232)).unwrap();
    assert_eq!(
        (request.id, request.recursion_desired, request.checking_disabled),
        (0x1234, true, true)
    );
    assert_eq!(request.edns, Some(Edns { payload: 1232, dnssec_ok: true }));
    assert!(request.query.name.eq_case(&name("a.B.")));
    let plain = read(&ask(&Asked { edns: false, ..asked() }, 1232)).unwrap();
    assert_eq!(plain.edns, None);
}

#[test]
fn only_the_answer_to_the_question_is_believed() {
    let request = read(&query()).unwrap();
    let answer = write(&request, &answers(3), 512, 1232).bytes;
    assert!(
        matches!(heard(&answer, &asked()), Heard::Answer(message) if message.answers.len() == 3)
    );
    let lower = Asked { name: name("A.b."), ..asked() };
    assert!(matches!(heard(&answer, &lower), Heard::Answer(_)), "case does not count");
    for (what, packet, asked) in [
        ("another id", answer.clone(), Asked { id: 1, ..asked() }),
        ("another name", answer.clone(), Asked { name: name("a.c."), ..asked() }),
        ("another type", answer.clone(), Asked { kind: RecordType::AAAA, ..asked() }),
        ("a query", query(), asked()),
        ("cut", answer[..answer.len() - 1].to_vec(), asked()),
        ("nothing", Vec::new(), asked()),
    ] {
        assert_eq!(heard(&packet, &asked), Heard::Lie, "{what}");
    }
    let mut cut = answer[..40].to_vec();
    cut[2] |= TC;
    assert_eq!(heard(&cut, &asked()), Heard::Truncated);
    assert_eq!(heard(&cut, &Asked { name: name("x."), ..asked() }), Heard::Lie);
    assert_eq!(heard(&cut[..15], &asked()), Heard::Lie);
}
