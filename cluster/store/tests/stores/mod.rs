// SPDX-License-Identifier: Apache-2.0
//! What the tests of the store share.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod etcd;
pub mod tier;

use berth_cluster_store::{Body, Compare, Meta, Op, Options, ReadMeta, Txn};
use std::sync::Arc;

/// A small generator: one seed, one sequence.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// An object whose body holds `value`.
pub fn body(value: &str) -> Body {
    let head = r#"{"metadata":{"resourceVersion":""#;
    let bytes = format!("{head}\"}},\"value\":\"{value}\"}}").into();
    Body { bytes, hole: u32::try_from(head.len()).unwrap() }
}

/// What `body(value)` is once written.
pub fn written(value: &str, revision: u64) -> String {
    format!(r#"{{"metadata":{{"resourceVersion":"{revision}"}},"value":"{value}"}}"#)
}

pub fn on(node: &str) -> Meta {
    Meta { fields: [("spec.nodeName".into(), node.into())].into(), ..Meta::default() }
}

pub fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), body: body(value), meta: on(value) }
}

pub fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

pub fn txn(ops: Vec<Op>) -> Txn {
    Txn { compares: Vec::new(), ops }
}

pub fn guarded(key: &str, revision: u64, op: Op) -> Txn {
    Txn { compares: vec![Compare { key: key.into(), revision }], ops: vec![op] }
}

/// No test writes with another version, so nothing is ever read anew.
pub fn read() -> ReadMeta {
    Arc::new(|_, _| Meta::default())
}

/// Small segments, so that snapshots are taken.
pub fn small() -> Options {
    let log = berth_scheduler_journal::Options { segment_bytes: 16_384, floor_bytes: 48_000 };
    Options { log, ..Options::default() }
}
