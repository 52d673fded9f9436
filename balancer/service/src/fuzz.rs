// SPDX-License-Identifier: Apache-2.0
//! What fuzzers run, and a test with random bytes where there is no fuzzer: each takes any bytes and panics if something is wrong.
//!
//! Bytes that mean nothing end at the first check. So they are also taken as edits of a configuration that is right.

use crate::choose::Available;
use crate::config;
use crate::grpc;
use crate::state::{State, Told};
use crate::wanted::Update;
use berth_balancer_core::Compiler;
use berth_proto::balancer as pb;
use prost::Message;

const GOOD: &str = "node: {addresses: [192.0.2.1], node_ports: 30000-32767}
load_balancer_pools: [203.0.113.0/28]
services:
- {name: a, address: 10.0.0.1:80, endpoints: [11.0.0.1, 11.0.0.2:81], drain: 5s}
- {name: b, addresses: [10.0.0.2], ports: [{name: x, port: 1, node_port: 30001}], load_balancer: true}
- {name: c, address: '[fd00::1]:53', protocol: UDP, affinity: {timeout: 1h}, balance: maglev, hash: flow}
";

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

/// A configuration: read, judged, and if it is right, compiled, once after the other over what was before.
///
/// # Panics
/// What is right cannot be compiled.
pub fn configuration(bytes: &[u8]) {
    let mut state = State::default();
    let mut compiler = Compiler::new();
    for text in [bytes.to_vec(), GOOD.into(), edited(GOOD.as_bytes(), bytes)] {
        if let Ok(text) = std::str::from_utf8(&text)
            && let Ok(update) = config::read(text)
        {
            take(&mut state, &mut compiler, update);
        }
    }
}

/// A message of the control channel, in the same way.
///
/// # Panics
/// What is right cannot be compiled.
pub fn request(bytes: &[u8]) {
    let mut state = State::default();
    let mut compiler = Compiler::new();
    let one = |name: &str, address: &str| pb::Service {
        name: name.to_owned(),
        addresses: vec![address.to_owned()],
        ports: vec![pb::Port { port: 80, ..pb::Port::default() }],
        endpoints: vec![pb::Endpoint { address: "11.0.0.1".into(), ..pb::Endpoint::default() }],
        ..pb::Service::default()
    };
    let services = vec![one("a", "10.0.0.1"), one("b", "10.0.0.2")];
    let good = pb::ApplyRequest { services, ..pb::ApplyRequest::default() }.encode_to_vec();
    for message in [bytes.to_vec(), good.clone(), edited(&good, bytes)] {
        if let Ok(message) = pb::ApplyRequest::decode(&*message)
            && let Ok(update) = grpc::update(message)
        {
            take(&mut state, &mut compiler, update);
        }
    }
}

fn take(state: &mut State, compiler: &mut Compiler, update: Update) {
    let Ok(plan) = state.plan(update, &Available::default()) else { return };
    let told = plan.told.clone();
    state.commit(plan);
    let taken = match told {
        Told::Everything => compiler.replace(state.config(), 0),
        Told::Changes(changes) => {
            changes.into_iter().try_for_each(|change| compiler.apply(change, 0))
        }
    };
    assert_eq!(taken, Ok(()), "what the control plane took, the data plane takes");
}
