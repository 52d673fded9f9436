// SPDX-License-Identifier: Apache-2.0
//! The record of a real kube-apiserver, as the tests read it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part; what is recorded can be read"
)]

use berth_cluster_json::Value;
use flate2::read::GzDecoder;
use std::io::Read;

fn text() -> String {
    let mut text = String::new();
    let packed = include_bytes!("../../testdata/scenarios.jsonl.gz");
    GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text
}

fn read(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All scenarios. Those of policy/v1beta1, which 1.33 has no more, are told as of its first version.
pub fn scenarios() -> Vec<Value> {
    let mut all = read(&text());
    for step in all.iter_mut().filter_map(|one| one["steps"].as_array_mut()).flatten() {
        for part in ["request", "response"] {
            let told = step[part].to_string().replace("policy/v1beta1", "policy/v1");
            step[part] = serde_json::from_str(&told).unwrap();
        }
    }
    all
}

/// All scenarios, with some time in the place of each that stands for any.
pub fn scenarios_with_times() -> Vec<Value> {
    read(&text().replace("\"$time\"", "\"2020-01-01T00:00:00Z\""))
}

/// A text of a query.
pub fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let code = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&code).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}
