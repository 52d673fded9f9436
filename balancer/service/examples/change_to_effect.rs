// SPDX-License-Identifier: Apache-2.0
//! How long a running balancer takes for 10,000 services of 10 endpoints over gRPC, and for 1,000 changes of one endpoint after that.
//!
//! `berth balancer --listen 127.0.0.1:7303` in one terminal (`ulimit -n 65536` before: it listens on 10,000 addresses), and
//! `cargo run --release -p berth-balancer-service --example change_to_effect` in another.
#![allow(clippy::unwrap_used, clippy::panic, reason = "an example")]

use berth_proto::balancer as pb;
use berth_proto::balancer::balancer_client::BalancerClient;
use std::env;
use std::net::Ipv4Addr;
use std::time::Instant;
use tonic::transport::Endpoint;

fn service(number: u32) -> pb::Service {
    let endpoint = |at: u32| pb::Endpoint {
        name: format!("e{at}"),
        address: Ipv4Addr::from_bits(0x7f80_0000 + number * 10 + at).to_string(),
        ..pb::Endpoint::default()
    };
    pb::Service {
        name: format!("s{number}"),
        addresses: vec![Ipv4Addr::from_bits(0x7f10_0000 + number).to_string()],
        ports: vec![pb::Port { port: 8_080, ..pb::Port::default() }],
        endpoints: (0..10).map(endpoint).collect(),
        ..pb::Service::default()
    }
}

fn applied(answer: pb::ApplyResponse) -> pb::Applied {
    match answer.outcome {
        Some(pb::apply_response::Outcome::Applied(applied)) => applied,
        other => panic!("{other:?}"),
    }
}

#[tokio::main]
async fn main() {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7303".to_owned());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = BalancerClient::new(endpoint.connect().await.unwrap());
    let services = (0..10_000).map(service).collect();
    let all = pb::ApplyRequest { replace: true, services, ..Default::default() };
    let begun = Instant::now();
    let answer = applied(client.apply(all).await.unwrap().into_inner());
    let took = begun.elapsed();
    println!(
        "10,000 services of 10 endpoints: {took:.2?} as the client sees it, {:.2} s in the service, {} unserved",
        std::time::Duration::from_nanos(answer.took_ns).as_secs_f64(),
        answer.unserved.len()
    );
    let (mut seen, mut effect) = (Vec::new(), Vec::new());
    for number in 0..1_000_u32 {
        let endpoint = pb::Endpoint {
            name: "e3".into(),
            address: Ipv4Addr::from_bits(0x7fc0_0000 + number).to_string(),
            ports: vec![pb::EndpointPort { name: String::new(), port: 8_080 }],
            ..pb::Endpoint::default()
        };
        let what = Some(pb::endpoint_change::What::Set(endpoint));
        let change = pb::EndpointChange { service: format!("s{}", number * 7 % 10_000), what };
        let request = pb::ApplyRequest { endpoints: vec![change], ..Default::default() };
        let begun = Instant::now();
        let answer = applied(client.apply(request).await.unwrap().into_inner());
        seen.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
        effect.push(answer.took_ns / 1_000);
    }
    for (what, mut all) in [("receipt to effect", effect), ("as the client sees it", seen)] {
        all.sort_unstable();
        let at = |thousandths: usize| all[(all.len() * thousandths / 1_000).min(all.len() - 1)];
        println!(
            "one endpoint, {what}: p50 {} us, p99 {} us, max {} us",
            at(500),
            at(990),
            at(999)
        );
    }
}
