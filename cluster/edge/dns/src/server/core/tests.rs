// SPDX-License-Identifier: Apache-2.0
//! Random and mutated packets, through all but the sockets.

use super::*;
use crate::answer::tests::{settings, world};
use crate::limits::{UDP_BYTES, UDP_BYTES_MIN};
use hickory_proto::op::Message;
use hickory_proto::serialize::binary::BinEncodable;
use serde_json::{Value, json};

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

fn core() -> Core {
    let mut world = world(settings());
    let one =
        |at: u32| -> Value { json!({"addresses": [format!("10.1.{}.{}", at / 200, at % 200)]}) };
    let ports = json!([{"name": "p", "port": 1}]);
    let many: Value = (0..9_000).map(one).collect();
    world.service("default", "many", Some(&json!({"clusterIP": "None"})));
    world.slice("default", "many", Some(("many", &json!({"endpoints": many, "ports": ports}))));
    let live = Live::of(world.zone);
    Core::new(live, None, Arc::default(), Limits::default())
}

fn query(chance: &mut Chance) -> Vec<u8> {
    let names = [
        "web",
        "db",
        "many",
        "_p._tcp.many",
        "out",
        "ring",
        "in",
        "db-0.db",
        "nobody",
        "_http._tcp.web",
    ];
    let name = match chance.below(6) {
        0 => "7.0.96.10.in-addr.arpa.".to_owned(),
        1 => "www.example.org.".to_owned(),
        2 => "cluster.local.".to_owned(),
        _ => format!("{}.default.svc.cluster.local.", names[chance.below(names.len())]),
    };
    let kinds = [1, 28, 33, 12, 5, 16, 2, 6, 255, 65, 252, 41];
    let asked = Asked {
        id: chance.byte().into(),
        name: hickory_proto::rr::Name::from_ascii(&name).unwrap(),
        kind: kinds[chance.below(kinds.len())].into(),
        checking_disabled: chance.below(2) == 0,
        dnssec_ok: chance.below(2) == 0,
        edns: chance.below(2) == 0,
    };
    wire::ask(&asked, chance.below(5_000))
}

fn mutated(chance: &mut Chance, mut packet: Vec<u8>) -> Vec<u8> {
    for _ in 0..chance.below(4) {
        let at = chance.below(packet.len().max(1));
        match chance.below(4) {
            0 => packet.truncate(at),
            1 => packet.insert(at.min(packet.len()), chance.byte()),
            2 => packet.extend((0..chance.below(40)).map(|_| chance.byte())),
            _ => {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = chance.byte();
                }
            }
        }
    }
    packet
}

/// What came of a packet, after it was looked at.
fn look(core: &Core, packet: &[u8], transport: Transport, seed: u64) -> Option<Message> {
    let step = core.handle(packet, [10, 1, 0, 1].into(), transport);
    let bytes = match step {
        Step::Nothing => {
            assert!(packet.len() < 12 || packet[2] & 0x80 != 0, "seed {seed}: {packet:?}");
            return None;
        }
        Step::Reply(bytes) => bytes,
        Step::Ask(pending) => panic!("nobody can be asked: {pending:?}"),
    };
    let wished = wire::read(packet).ok().and_then(|request| request.edns);
    let most = match (transport, wished) {
        (Transport::Tcp, _) => MESSAGE_BYTES_MAX,
        (Transport::Udp, Some(edns)) => usize::from(edns.payload).clamp(UDP_BYTES_MIN, UDP_BYTES),
        (Transport::Udp, None) => UDP_BYTES_MIN,
    };
    assert!(bytes.len() <= most, "seed {seed}: {} bytes for {packet:?}", bytes.len());
    if matches!(wire::read(packet), Err(Unread::Header(_))) {
        assert!(bytes.len() <= packet.len(), "seed {seed}: no more than was sent");
    }
    let answer = Message::from_vec(&bytes)
        .unwrap_or_else(|error| panic!("seed {seed}: {error} in the answer to {packet:?}"));
    assert_eq!(answer.metadata.id.to_be_bytes(), packet[..2], "seed {seed}");
    assert_ne!(bytes[2] & 0x80, 0, "seed {seed}: it is an answer");
    Some(answer)
}

#[test]
fn no_packet_breaks_it_or_gets_more_than_is_allowed() {
    let core = core();
    let (mut answered, mut truncated) = (0, 0);
    for seed in 0..30_000 {
        let mut chance = Chance(seed);
        let packet = match chance.below(8) {
            0 => (0..chance.below(600)).map(|_| chance.byte()).collect(),
            _ => {
                let query = query(&mut chance);
                mutated(&mut chance, query)
            }
        };
        let transport = if chance.below(20) == 0 { Transport::Tcp } else { Transport::Udp };
        if let Some(answer) = look(&core, &packet, transport, seed) {
            answered += usize::from(!answer.answers.is_empty());
            truncated += usize::from(answer.metadata.truncation);
        }
    }
    assert!(
        answered > 1_000 && truncated > 100,
        "{answered} {truncated}: most packets should be of use"
    );
}

#[test]
fn the_longest_answer_over_a_connection_is_one_message() {
    let core = core();
    for (name, kind) in [("many", 1), ("_p._tcp.many", 33)] {
        let name = format!("{name}.default.svc.cluster.local.");
        let (checking_disabled, dnssec_ok, edns) = (false, false, true);
        let name = hickory_proto::rr::Name::from_ascii(&name).unwrap();
        let asked = Asked { id: 1, name, kind: kind.into(), checking_disabled, dnssec_ok, edns };
        let answer = look(&core, &wire::ask(&asked, 1232), Transport::Tcp, 0).unwrap();
        assert!(
            answer.metadata.truncation && answer.answers.len() > 500,
            "{}",
            answer.answers.len()
        );
        let bytes = answer.to_bytes().unwrap().len();
        assert!(bytes > 65_000, "{bytes}: as much as fits");
    }
    assert!(core.stats.events(Event::Truncated) == 2);
}

#[test]
fn what_is_not_the_clusters_is_refused_where_nobody_can_be_asked() {
    let core = core();
    let name = hickory_proto::rr::Name::from_ascii("www.example.org.").unwrap();
    let (checking_disabled, dnssec_ok, edns) = (false, false, true);
    let asked = Asked { id: 1, name, kind: 1.into(), checking_disabled, dnssec_ok, edns };
    let answer = look(&core, &wire::ask(&asked, 1232), Transport::Udp, 0).unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert_eq!((core.stats.answers("REFUSED"), core.stats.queries("A")), (1, 1));
}
