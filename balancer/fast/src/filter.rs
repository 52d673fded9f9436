// SPDX-License-Identifier: Apache-2.0
//! Which events of flows the kernel passes on: those of our flows that say something new.
//!
//! | event | passed on |
//! |---|---|
//! | of a flow that has not our mark | no |
//! | the endpoint's first answer | yes |
//! | TCP: FIN from both sides, by the mark; TIME_WAIT, CLOSE | yes |
//! | the entry is gone | yes; after FIN from both sides only if bytes are counted |
//! | all others: the third packet, the first FIN, new labels | no |
//!
//! A classic socket filter (1993), which any kernel has, on this socket alone. It spares this process the reading; that most are not
//! even written is done by the rules, where the kernel lets them.

use crate::conntrack::{DELETE, tcp};
use crate::rules::{FLOW_FINS, FLOW_OURS};
use socket2::{SockFilter, SockRef};
use std::io;
use std::os::fd::AsFd;

/// An instruction: operation, jumps if true and if false, constant (linux/filter.h).
type Step = (u16, u8, u8, u32);

const LOAD_IMMEDIATE: u16 = 0x00;
const LOAD_X_IMMEDIATE: u16 = 0x01;
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_WORD_AT_X: u16 = 0x40;
const LOAD_BYTE_AT_X: u16 = 0x50;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_SET: u16 = 0x45;
const TO_X: u16 = 0x07;
const RETURN: u16 = 0x06;

/// Places that stand for functions of the kernel: the attribute X behind A, and inside the attribute at A; 0 if there is none.
const ATTRIBUTE: u32 = 0xffff_f000 + 12;
const ATTRIBUTE_INSIDE: u32 = 0xffff_f000 + 16;

/// Where the first attribute stands: behind the headers of netlink and of its family.
const FIRST: u32 = 20;
/// The value of an attribute, from its beginning on.
const VALUE: u32 = 4;

const PROGRAM: [Step; 41] = {
    const NO_STATE: u8 = 25;
    const OVER: u8 = 33;
    const PASS: u8 = 39;
    const DROP: u8 = 40;
    /// From the step behind `at` to `to`.
    const fn to(at: u8, to: u8) -> u8 {
        to - at - 1
    }
    // The kind as it stands in memory, read as a number of the network's order.
    let gone = u16::from_be_bytes(DELETE.to_ne_bytes()) as u32;
    [
        (LOAD_IMMEDIATE, 0, 0, FIRST), // 0: the mark
        (LOAD_X_IMMEDIATE, 0, 0, 8),
        (LOAD_WORD, 0, 0, ATTRIBUTE),
        (IF_EQUAL, to(3, DROP), 0, 0),
        (TO_X, 0, 0, 0),
        (LOAD_WORD_AT_X, 0, 0, VALUE),
        (IF_SET, 0, to(6, DROP), FLOW_OURS),
        (AND, 0, 0, FLOW_FINS),
        (IF_EQUAL, to(8, OVER), 0, FLOW_FINS),
        (LOAD_HALF, 0, 0, 4), // 9: gone
        (IF_EQUAL, to(10, PASS), 0, gone),
        (LOAD_IMMEDIATE, 0, 0, FIRST), // 11: TCP's state, three attributes deep
        (LOAD_X_IMMEDIATE, 0, 0, 4),
        (LOAD_WORD, 0, 0, ATTRIBUTE),
        (IF_EQUAL, to(14, NO_STATE), 0, 0),
        (LOAD_X_IMMEDIATE, 0, 0, 1),
        (LOAD_WORD, 0, 0, ATTRIBUTE_INSIDE),
        (IF_EQUAL, to(17, NO_STATE), 0, 0),
        (LOAD_X_IMMEDIATE, 0, 0, 1),
        (LOAD_WORD, 0, 0, ATTRIBUTE_INSIDE),
        (IF_EQUAL, to(20, NO_STATE), 0, 0),
        (TO_X, 0, 0, 0),
        (LOAD_BYTE_AT_X, 0, 0, VALUE),
        (IF_EQUAL, to(23, PASS), 0, tcp::TIME_WAIT as u32),
        (IF_EQUAL, to(24, PASS), 0, tcp::CLOSE as u32),
        (LOAD_IMMEDIATE, 0, 0, FIRST), // 25: answered for the first time
        (LOAD_X_IMMEDIATE, 0, 0, 3),
        (LOAD_WORD, 0, 0, ATTRIBUTE),
        (IF_EQUAL, to(28, PASS), 0, 0),
        (TO_X, 0, 0, 0),
        (LOAD_WORD_AT_X, 0, 0, VALUE),
        (AND, 0, 0, 2 | 4), // answered, assured
        (IF_EQUAL, to(32, PASS), to(32, DROP), 2),
        (LOAD_HALF, 0, 0, 4), // 33: over, or over and now gone
        (IF_EQUAL, 0, to(34, PASS), gone),
        (LOAD_IMMEDIATE, 0, 0, FIRST),
        (LOAD_X_IMMEDIATE, 0, 0, 9),
        (LOAD_WORD, 0, 0, ATTRIBUTE),
        (IF_EQUAL, to(38, DROP), to(38, PASS), 0),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
};

/// Has a socket of events pass on only what is needed.
pub(crate) fn attach(socket: &impl AsFd) -> io::Result<()> {
    let steps = PROGRAM.map(|(operation, yes, no, k)| SockFilter::new(operation, yes, no, k));
    SockRef::from(socket).attach_filter(&steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrack::{Tuple, written_event};
    use crate::netlink::attributes;
    use berth_balancer_core::model::Protocol;

    /// The kernel's way with it.
    fn passes(bytes: &[u8]) -> bool {
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        let number = |from: u32, length: usize| -> Option<u32> {
            let bytes = bytes.get(from as usize..from as usize + length)?;
            Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        };
        let find = |from: u32, to: usize, kind: u32| -> u32 {
            let all = bytes.get(from as usize..to).unwrap_or_default();
            let found = attributes(all).find(|(found, _)| u32::from(*found) == kind);
            found.map_or(0, |(_, value)| {
                u32::try_from(value.as_ptr().addr() - bytes.as_ptr().addr() - 4).unwrap()
            })
        };
        loop {
            let (operation, yes, no, k) = PROGRAM[at];
            at += 1;
            let mut jump = |is_so| at += usize::from(if is_so { yes } else { no });
            let loaded = match (operation, k) {
                (LOAD_WORD, ATTRIBUTE) => Some(find(a, bytes.len(), x)),
                (LOAD_WORD, ATTRIBUTE_INSIDE) => {
                    let end = a as usize + usize::from(bytes[a as usize]);
                    Some(find(a + 4, end, x))
                }
                (LOAD_IMMEDIATE, k) => Some(k),
                (LOAD_HALF, k) => number(k, 2),
                (LOAD_WORD_AT_X, k) => number(x + k, 4),
                (LOAD_BYTE_AT_X, k) => number(x + k, 1),
                (AND, k) => Some(a & k),
                (LOAD_X_IMMEDIATE, k) => {
                    x = k;
                    Some(a)
                }
                (TO_X, _) => {
                    x = a;
                    Some(a)
                }
                (IF_EQUAL, k) => {
                    jump(a == k);
                    Some(a)
                }
                (IF_SET, k) => {
                    jump(a & k != 0);
                    Some(a)
                }
                (RETURN, k) => return k != 0,
                other => unreachable!("{other:?}"),
            };
            let Some(loaded) = loaded else { return false };
            a = loaded;
        }
    }

    #[test]
    fn what_says_something_new_of_our_flows_is_passed_on() {
        let tuple = Tuple {
            protocol: Protocol::Tcp,
            source: "10.0.0.2:40000".parse().unwrap(),
            destination: "10.96.0.1:80".parse().unwrap(),
        };
        let written = |mark, gone, state, status| written_event(&tuple, mark, gone, state, status);
        let event = |gone, state, status| written(FLOW_OURS, gone, state, status);
        assert!(passes(&event(false, 2, 2)), "the first answer");
        for state in 3..7 {
            assert!(!passes(&event(false, state, 2 | 4)), "established, each FIN");
            for one in [0x0800_0000, 0x1000_0000] {
                assert!(!passes(&written(FLOW_OURS | one, false, state, 2 | 4)), "the first FIN");
            }
        }
        assert!(!passes(&event(false, 1, 0)), "another SYN");
        for state in [tcp::TIME_WAIT, tcp::CLOSE] {
            assert!(passes(&event(false, state, 2 | 4)), "the end");
        }
        assert!(passes(&written(FLOW_OURS | FLOW_FINS, false, 6, 2 | 4)), "the second FIN");
        for state in 1..9 {
            assert!(passes(&event(true, state, 2 | 4)), "gone, with its bytes");
        }
        let uncounted = |mark, state| {
            let mut bytes = written(FLOW_OURS | mark, true, state, 2);
            bytes.truncate(bytes.len() - 32); // the last two attributes
            bytes
        };
        assert!(!passes(&uncounted(FLOW_FINS, tcp::TIME_WAIT)), "its end was told");
        assert!(passes(&written(FLOW_OURS | FLOW_FINS, true, tcp::TIME_WAIT, 2)), "its bytes");
        assert!(passes(&uncounted(0, tcp::TIME_WAIT)), "its end was not told");
        assert!(passes(&uncounted(0, 3)));
        let mut other = event(false, tcp::CLOSE, 2);
        let mark = FLOW_OURS.to_be_bytes();
        let at = other.chunks_exact(4).position(|word| word == mark).unwrap();
        other[4 * at] = 0;
        assert!(!passes(&other), "not ours");
        for cut in 0..other.len() {
            let _ = passes(&other[..cut]);
        }
    }
}
