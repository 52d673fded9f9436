// SPDX-License-Identifier: Apache-2.0
//! Answers are kept as long as they hold, and no more of them than there is room for.

use super::*;
use hickory_proto::op::{MessageType, OpCode};
use hickory_proto::rr::rdata::{CNAME, SOA};
use std::net::Ipv4Addr;
use std::slice::from_ref;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn key(text: &str, kind: RecordType) -> Key {
    let (checking_disabled, dnssec_ok, edns) = (false, false, true);
    Key::of(&Asked { id: 7, name: name(text), kind, checking_disabled, dnssec_ok, edns })
}

fn address(ttl: u32) -> Record {
    Record::from_rdata(name("a.org."), ttl, RData::from(Ipv4Addr::LOCALHOST))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.org."), name("who.org."), 1, 1, 1, 1, minimum);
    Record::from_rdata(name("org."), ttl, RData::SOA(soa))
}

fn said(code: ResponseCode, answers: &[Record], authorities: &[Record]) -> Said {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    message.metadata.response_code = code;
    message.answers = answers.to_vec();
    message.authorities = authorities.to_vec();
    Said::of(message)
}

fn second(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_answer_holds_as_long_as_its_shortest_record_and_not_longer_than_the_bound() {
    let alias = Record::from_rdata(name("a.org."), 4, RData::CNAME(CNAME(name("b.org."))));
    let (fine, none) = (ResponseCode::NoError, ResponseCode::NXDomain);
    for (said, holds) in [
        (said(fine, &[address(9), address(7)], &[]), 7),
        (said(fine, &[address(900)], &[]), CACHED_SECONDS_MAX),
        (said(fine, &[address(0)], &[]), 0),
        (said(fine, &[alias.clone(), address(9)], &[]), 4),
        // There is none: as the SOA record says; without one nobody knows how long.
        (said(none, &[], &[soa(9, 6)]), 6),
        (said(none, &[], &[soa(5, 6)]), 5),
        (said(none, &[], &[]), 0),
        (said(fine, &[], &[soa(900, 900)]), CACHED_SECONDS_MAX),
        (said(fine, from_ref(&alias), &[]), 0),
        (said(fine, from_ref(&alias), &[soa(9, 9)]), 4),
        (said(none, &[alias], &[soa(3, 9)]), 3),
        (said(ResponseCode::ServFail, &[address(9)], &[soa(9, 9)]), 0),
    ] {
        assert_eq!(said.holds(RecordType::A), holds, "{said:?}");
    }
}

#[test]
fn what_is_kept_grows_old_and_is_gone_in_time() {
    let mut cache = Cache::default();
    let answer = said(ResponseCode::NoError, &[address(9)], &[soa(20, 20)]);
    cache.put(key("A.org.", RecordType::A), &answer, 100, second(1));
    assert!(cache.get(&key("a.org.", RecordType::AAAA), second(1)).is_none());
    let ttl = |said: Said| (said.answers[0].ttl, said.authorities[0].ttl);
    assert_eq!(cache.get(&key("a.ORG.", RecordType::A), second(5)).map(ttl), Some((5, 16)));
    assert_eq!(cache.get(&key("a.org.", RecordType::A), second(9)).map(ttl), Some((1, 12)));
    assert!(cache.get(&key("a.org.", RecordType::A), second(10)).is_none());
    assert_eq!((cache.kept.len(), cache.order.len(), cache.bytes), (0, 0, 0));
}

#[test]
fn those_that_were_not_used_for_longest_make_room() {
    let mut cache = Cache::default();
    let answer = said(ResponseCode::NoError, &[address(9)], &[]);
    let at = |at: usize| key(&format!("n{at}.org."), RecordType::A);
    for one in 0..CACHED_MAX {
        cache.put(at(one), &answer, 10, second(1));
    }
    assert!(cache.get(&at(0), second(2)).is_some());
    cache.put(at(CACHED_MAX), &answer, 10, second(2));
    assert_eq!(
        (cache.kept.len(), cache.order.len(), cache.bytes),
        (CACHED_MAX, CACHED_MAX, 10 * CACHED_MAX)
    );
    assert!(cache.get(&at(0), second(2)).is_some() && cache.get(&at(1), second(2)).is_none());
    // Long ones take the room of many.
    cache.put(key("long.org.", RecordType::A), &answer, CACHED_BYTES_MAX - 15, second(2));
    assert_eq!((cache.kept.len(), cache.bytes), (2, CACHED_BYTES_MAX - 5));
    assert!(cache.get(&at(0), second(2)).is_some());
    cache.put(key("longer.org.", RecordType::A), &answer, CACHED_BYTES_MAX + 1, second(2));
    assert_eq!(cache.kept.len(), 2);
    // Said again, it takes the place of what was said before.
    cache.put(at(0), &answer, 12, second(3));
    assert_eq!((cache.kept.len(), cache.order.len(), cache.bytes), (2, 2, CACHED_BYTES_MAX - 3));
}

#[test]
fn nothing_that_nobody_asked_for_is_handed_on() {
    let glue = Record::from_rdata(
        name("evil.org."),
        9,
        RData::NS(hickory_proto::rr::rdata::NS(name("evil.org."))),
    );
    let said = said(ResponseCode::NoError, &[address(900)], &[glue, soa(9, 9)]);
    assert_eq!((said.authorities.len(), said.answers[0].ttl), (1, CACHED_SECONDS_MAX));
}
