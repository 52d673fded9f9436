// SPDX-License-Identifier: Apache-2.0
//! What fuzzers run, and a test with random bytes where there is no fuzzer: each takes any bytes and panics if something is wrong.
//!
//! Packets come from whoever sends them; messages come from the kernel, and other versions of it may say more. Bytes that mean
//! nothing end at the first check, so they are also taken as edits of what is right.

use crate::netlink::{Writer, attributes, messages};
use crate::owner::Owner;
use crate::packet::{Kind, Packet, parse};
use crate::{conntrack, end, queue};
use berth_balancer_core::model::Protocol;
use std::net::SocketAddr;

/// Bytes edit what is good: two say where, one what stands there then.
fn edited(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = edit[2];
        }
    }
    bytes
}

/// Whether a part lies within a whole.
fn within(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr()) && part.len() <= whole.len()
}

/// Messages and their attributes, some levels deep.
///
/// # Panics
/// Something is read that is not there, or twice.
pub fn netlink(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), edited(&event(), bytes), edited(&queued(&syn()), bytes)] {
        let mut read = 0;
        for message in messages(&bytes) {
            assert!(within(message.body, &bytes));
            read += 16 + message.body.len();
            for skip in [0, 4] {
                nested(message.body.get(skip..).unwrap_or_default(), 4);
            }
        }
        assert!(read <= bytes.len());
    }
}

fn nested(bytes: &[u8], depth: usize) {
    let mut read = 0;
    for (kind, value) in attributes(bytes) {
        assert!(kind < 1 << 14 && within(value, bytes));
        read += 4 + value.len();
        if depth > 0 {
            nested(value, depth - 1);
        }
    }
    assert!(read <= bytes.len());
}

/// Datagrams of a queue, and the packets in them.
///
/// # Panics
/// A packet is read that is not there.
pub fn queued_packets(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), edited(&queued(&syn()), bytes), queued(bytes)] {
        for one in queue::packets(&bytes) {
            assert!(within(one.payload, &bytes));
            let _ = parse(one.payload);
        }
    }
    // What the kernel tells of queues as text.
    let text = String::from_utf8_lossy(bytes);
    let _ = (queue::read_state(&text, 47_616), Owner::read(&text));
}

/// Events of flows.
///
/// # Panics
/// An entry is read that cannot be.
pub fn entries(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), edited(&event(), bytes)] {
        for entry in conntrack::entries(&bytes) {
            for tuple in [entry.original, entry.reply] {
                let written = conntrack::written(&tuple);
                let read = conntrack::entries(&written).next();
                assert!(read.is_some_and(|read| read.original == tuple), "what is read is written");
            }
        }
    }
}

/// Packets from their IP header on.
///
/// # Panics
/// More is read than is there: a packet cut short that is read as another one.
pub fn packet(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), edited(&syn(), bytes), edited(&syn6(), bytes)] {
        let whole = parse(&bytes);
        for cut in 0..bytes.len().min(128) {
            if let Some(part) = parse(&bytes[..cut]) {
                assert_eq!(Some(part), whole, "cut at {cut}");
            }
        }
        if let Some(Packet { protocol: Protocol::Udp, kind, .. }) = whole {
            assert_eq!(kind, Kind::First);
        }
    }
}

const CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 40_000);
const SERVICE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1)), 80);

fn syn() -> Vec<u8> {
    end::syn(CLIENT, SERVICE)
}

/// With extension headers before TCP.
fn syn6() -> Vec<u8> {
    let to_v6 = |at: SocketAddr| {
        let std::net::IpAddr::V4(v4) = at.ip() else { return at };
        SocketAddr::new(v4.to_ipv6_compatible().into(), at.port())
    };
    let mut bytes = end::syn(to_v6(CLIENT), to_v6(SERVICE));
    let next = std::mem::replace(&mut bytes[6], 0);
    bytes.splice(40..40, [60, 0, 1, 4, 0, 0, 0, 0, next, 1, 1, 12, 0, 0, 0, 0]);
    bytes.splice(56..56, [0; 8]);
    bytes
}

fn queued(packet: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.begin(3 << 8, 0, 0);
    writer.put(&[2, 0, 0, 3]);
    writer.attribute(1, &[0, 0, 0, 9, 8, 0, 3]);
    writer.u32(7, 12);
    writer.attribute(10, packet.get(..packet.len().min(1 << 12)).unwrap_or_default());
    writer.end();
    writer.bytes().to_vec()
}

fn event() -> Vec<u8> {
    let tuple = conntrack::Tuple { protocol: Protocol::Tcp, source: CLIENT, destination: SERVICE };
    conntrack::written(&tuple)
}
