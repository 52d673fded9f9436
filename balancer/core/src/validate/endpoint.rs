// SPDX-License-Identifier: Apache-2.0
//! Judges the endpoints of one service.

use super::Judge;
use crate::limits::{BACKENDS_MAX, WEIGHT_MAX};
use crate::model::{Endpoint, Name, Service};
use crate::problem::Fault;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

/// Judges all endpoints of a service. `path` is where the list stands.
pub(crate) fn endpoints(
    path: impl Fn() -> String,
    service: &Service,
    all: &[Endpoint],
    judge: &mut Judge,
) {
    judge.length(&path, all.len(), BACKENDS_MAX);
    let mut names = BTreeSet::new();
    let mut addresses: BTreeSet<(&Name, SocketAddr)> = BTreeSet::new();
    for (at, one) in all.iter().enumerate() {
        let path = || format!("{}[{at}]", path());
        if !names.insert(&one.name) {
            judge.note(format!("{}.name", path()), Fault::DuplicateName(one.name.clone()));
        }
        endpoint(path, service, one, judge);
        for port in &one.ports {
            let address = SocketAddr::new(one.address.to_canonical(), port.port);
            if !addresses.insert((&port.name, address)) {
                let fault = Fault::DuplicateEndpoint(address);
                judge.note(format!("{}.address", path()), fault);
            }
        }
    }
}

/// Judges one endpoint by itself and against its service. `path` is where it stands; only problems ask for it, since a hundred
/// thousand endpoints would spend most of their time on the text.
pub(crate) fn endpoint(
    path: impl Fn() -> String,
    service: &Service,
    endpoint: &Endpoint,
    judge: &mut Judge,
) {
    judge.name(|| format!("{}.name", path()), &endpoint.name);
    judge.host(|| format!("{}.address", path()), endpoint.address);
    judge.range(|| format!("{}.weight", path()), endpoint.weight.into(), 1, WEIGHT_MAX.into());
    for (at, port) in endpoint.ports.iter().enumerate() {
        let path = || format!("{}.ports[{at}]", path());
        judge.range(|| format!("{}.port", path()), port.port.into(), 1, 65_535);
        if endpoint.ports[..at].iter().any(|other| other.name == port.name) {
            let fault = Fault::DuplicateName(port.name.clone());
            judge.note(format!("{}.name", path()), fault);
        }
        let Some(own) = service.ports.iter().find(|own| own.name == port.name) else {
            judge.note(format!("{}.name", path()), Fault::UnknownPort(port.name.clone()));
            continue;
        };
        let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
        let same = |ip: &core::net::IpAddr| ip.to_canonical() == endpoint.address.to_canonical();
        if own.port == port.port && lists.into_iter().flatten().any(same) {
            let fault = Fault::Loop(SocketAddr::new(endpoint.address, port.port));
            judge.note(format!("{}.port", path()), fault);
        }
    }
}
