// SPDX-License-Identifier: Apache-2.0
//! The control channel over a real connection.

use crate::fixture::{Double, apply, connect, local, service};
use berth_balancer_core::Change;
use berth_balancer_core::model::{Algorithm, HashKey, Probe};
use berth_balancer_service::choose::Available;
use berth_balancer_service::state::State;
use berth_balancer_service::{config, grpc};
use berth_proto::balancer as pb;
use berth_proto::balancer::endpoint_change::What;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

fn one(service: &str, what: What) -> pb::ApplyRequest {
    let change = pb::EndpointChange { service: service.to_owned(), what: Some(what) };
    pb::ApplyRequest { endpoints: vec![change], ..pb::ApplyRequest::default() }
}

#[tokio::test]
async fn services_are_applied_listed_drained_and_removed() {
    let double = Double::default();
    let server = double.builder().listen(local()).start().await.unwrap();
    let mut client = connect(&server).await;
    let services = vec![service("a", "10.0.0.1", 2), service("b", "10.0.0.2", 1)];
    let all = pb::ApplyRequest { replace: true, services, ..Default::default() };
    let planned = client.plan(all.clone()).await.unwrap().into_inner();
    assert_eq!(
        (planned.services, double.config().services.len()),
        (vec!["a".into(), "b".into()], 0)
    );
    let applied = apply(&mut client, all.clone()).await.unwrap();
    let summary = applied.summary.unwrap();
    assert_eq!((summary.services_added, summary.endpoints_added), (2, 3));
    assert_eq!(double.config().services.len(), 2);
    let again = apply(&mut client, all).await.unwrap();
    assert_eq!((again.revision, again.summary), (applied.revision, Some(pb::Summary::default())));

    // One endpoint is one change of one service.
    let ports = vec![pb::EndpointPort { name: String::new(), port: 81 }];
    let e9 =
        pb::Endpoint { name: "e9".into(), address: "11.0.0.9".into(), ports, ..Default::default() };
    apply(&mut client, one("a", What::Set(e9))).await.unwrap();
    let last = double.told(|told| told.calls.last().cloned().unwrap());
    assert!(matches!(&last[..], [Change::Endpoint { service, endpoint }]
        if &**service == "a" && &*endpoint.name == "e9" && endpoint.ports[0].port == 81));

    let drain = |undo| pb::DrainRequest { service: "a".into(), endpoints: vec!["e9".into()], undo };
    client.drain(drain(false)).await.unwrap();
    let count =
        || double.config().endpoints.iter().map(|set| set.endpoints.len()).collect::<Vec<_>>();
    assert_eq!(count(), [2, 1]);
    let got = client.get(pb::GetRequest { name: "a".into() }).await.unwrap().into_inner();
    let view = got.service.unwrap();
    assert_eq!((view.drained, view.owner.as_str()), (vec!["e9".to_owned()], "grpc"));
    assert_eq!(view.service.unwrap().endpoints.len(), 3);
    client.drain(drain(true)).await.unwrap();
    assert_eq!(count(), [3, 1]);

    let mut page = pb::ListRequest { page_size: 1, brief: true, ..Default::default() };
    let mut names = Vec::new();
    loop {
        let answer = client.list(page.clone()).await.unwrap().into_inner();
        assert_eq!(answer.total, 2);
        names.extend(answer.services.into_iter().map(|view| view.service.unwrap().name));
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b"]);
    let remove = pb::ApplyRequest { remove: vec!["a".into()], ..Default::default() };
    apply(&mut client, remove).await.unwrap();
    let missing = client.get(pb::GetRequest { name: "a".into() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let status = client.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.services, status.endpoints), (1, 1));
    let watch = pb::WatchRequest::default();
    let mut watching = client.watch(watch).await.unwrap().into_inner();
    assert!(watching.next().await.unwrap().is_ok());
    server.stop(true).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_a_whole_with_every_path() {
    let double = Double::default();
    let server = double.builder().listen(local()).start().await.unwrap();
    let mut client = connect(&server).await;
    let good =
        pb::ApplyRequest { services: vec![service("a", "10.0.0.1", 1)], ..Default::default() };
    apply(&mut client, good).await.unwrap();
    let before = double.config();
    let mut b = service("b", "10.0.0.1", 1);
    b.endpoints[0].weight = Some(0);
    let mut c = service("c", "10.0.0.3", 1);
    c.ports[0].port = 65_536;
    c.settings = Some(pb::Settings {
        drain: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        balance: 99,
        ..Default::default()
    });
    let unreadable = pb::ApplyRequest { services: vec![c], ..Default::default() };
    assert_eq!(
        apply(&mut client, unreadable).await.unwrap_err(),
        [
            "services[0].ports[0].port: 65536 is not between 1 and 65535",
            "services[0].balance: 99 is none of the values",
            "services[0].drain: not a duration from 0 on",
        ]
    );
    let mixed = pb::ApplyRequest {
        services: vec![service("d", "10.0.0.4", 1), b],
        remove: vec!["nobody".into()],
        endpoints: vec![
            pb::EndpointChange { service: "x".into(), what: Some(What::Remove("e".into())) },
            pb::EndpointChange { service: "a".into(), what: Some(What::Remove("e7".into())) },
        ],
        ..Default::default()
    };
    let problems = apply(&mut client, mixed).await.unwrap_err();
    assert_eq!(
        problems,
        [
            "endpoints[0].service: no service is called \"x\"",
            "endpoints[1].remove: the service has no endpoint \"e7\"",
            "services[1].addresses[0]: TCP 10.0.0.1:80 belongs to \"a\" already",
            "services[1].endpoints[0].weight: 0 is not between 1 and 65535",
        ]
    );
    let half = pb::ApplyRequest {
        endpoints: vec![pb::EndpointChange { service: "a".into(), what: None }],
        ..Default::default()
    };
    assert_eq!(
        apply(&mut client, half).await.unwrap_err(),
        ["endpoints[0]: neither set nor remove"]
    );
    let overlap =
        pb::ApplyRequest { services: vec![service("e", "10.0.0.1", 0)], ..Default::default() };
    assert_eq!(
        apply(&mut client, overlap).await.unwrap_err(),
        ["services[0].addresses[0]: TCP 10.0.0.1:80 belongs to \"a\" already"]
    );
    assert_eq!(double.config(), before, "nothing of it was taken");
    server.stop(true).await;
}

#[tokio::test]
async fn garbage_is_told_apart_and_harms_nobody() {
    let double = Double::default();
    let server = double.builder().listen(local()).start().await.unwrap();
    // Bytes that are no HTTP/2.
    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    stream.write_all(&[0xff; 4_096]).await.unwrap();
    let mut rest = Vec::new();
    // Closed or reset, as it likes.
    drop(stream.read_to_end(&mut rest).await);
    let mut client = connect(&server).await;
    let good =
        pb::ApplyRequest { services: vec![service("a", "10.0.0.1", 1)], ..Default::default() };
    apply(&mut client, good).await.unwrap();
    server.stop(true).await;
}

/// Bytes as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Passes bytes of a client on, and cuts the connection after so many of them.
async fn cut(server: std::net::SocketAddr, after: u64) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(local()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        let ((from, mut back), (mut answers, mut to)) = (client.split(), server.split());
        let mut from = from.take(after);
        tokio::select! {
            _ = tokio::io::copy(&mut from, &mut to) => {}
            _ = tokio::io::copy(&mut answers, &mut back) => {}
        }
    });
    address
}

#[tokio::test]
async fn half_a_configuration_changes_nothing() {
    let double = Double::default();
    let server = double.builder().listen(local()).start().await.unwrap();
    let mut client = connect(&server).await;
    let good =
        pb::ApplyRequest { services: vec![service("a", "10.0.0.1", 1)], ..Default::default() };
    apply(&mut client, good).await.unwrap();
    let (before, calls) = (double.config(), double.told(|told| told.calls.len()));
    // Some 150 KB, which end anywhere: between services, inside one, inside the frame's head.
    let services: Vec<_> = (0..500)
        .map(|n| service(&format!("s{n}"), &format!("10.0.{}.{}", n / 250 + 1, n % 250 + 1), 10))
        .collect();
    let all = pb::ApplyRequest { replace: true, services, ..Default::default() };
    for after in [60, 200, 1_000, 20_000, 60_000] {
        let address = cut(server.address().unwrap(), after).await;
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let Ok(channel) = endpoint.connect().await else { continue };
        let mut client = berth_proto::balancer::balancer_client::BalancerClient::new(channel);
        let error = client.apply(all.clone()).await.expect_err("it was cut");
        assert_ne!(error.code(), Code::Ok, "after {after} bytes");
    }
    assert_eq!(double.config(), before);
    assert_eq!(double.told(|told| told.calls.len()), calls, "the data plane heard of nothing");
    // A frame that is whole, and half a message or none in it.
    let whole = all.encode_to_vec();
    for bytes in [&whole[..whole.len() / 2], &[9, 1, 2], &[0xff; 64]] {
        let endpoint = format!("http://{}", server.address().unwrap());
        let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await;
        let mut grpc = tonic::client::Grpc::new(channel.unwrap());
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/berth.balancer.v1.Balancer/Apply");
        let request = tonic::Request::new(bytes.to_vec());
        let error = grpc.unary(request, path, Raw).await.expect_err("it is none");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains("decode Protobuf message"), "{error}");
    }
    assert_eq!(double.config(), before);
    server.stop(true).await;
}

#[tokio::test]
async fn a_page_of_settings_reads_back_as_it_was_written() {
    let text = "services:
- name: a
  addresses: [10.0.0.1]
  ports: [{name: x, port: 1, node_port: 30001}, {name: y, port: 2, protocol: UDP}]
  balance: ring_hash
  hash: flow
  internal_policy: local
  external_policy: local
  distribution: prefer_same_node
  source_ranges: [10.0.0.0/8, fd00::/8]
  affinity: {timeout: 90s}
  limits: {connections_max: 5, connections_per_endpoint_max: 6, connections_per_source_max: 7,
           rate_per_endpoint: {per_second: 8, burst: 9}, rate_per_source: 10}
  slow_start: {window: 7s, percent_min: 3}
  outlier: {failures: 2, ejection: 1s, ejection_max: 2s, percent_max: 0}
  drain: 1500ms
  timeouts: {connect: 1s, first_byte: 2s, idle: 3s, age_max: 4s, udp_unreplied: 5s, udp_replied: 6s}
  proxy_in: v2
  proxy_out: v2
  health_check: {http: {path: /x, host: h}, port: 99, interval: 9s, timeout: 8s, rise: 7, fall: 6}
  health_check_node_port: 30002
  path: proxy
  source: masquerade
  endpoints: [{name: e, address: 11.0.0.1, ports: {x: 8, y: 9}, weight: 4, zone: z, node: n, terminating: true}]";
    let double = Double::default();
    let server = double.builder().listen(local()).start().await.unwrap();
    let mut client = connect(&server).await;
    let wish = config::read(text).unwrap().services.remove(0).wish;
    // Through the state of one service into a message, and into another service.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, text).unwrap();
    let from_file = Double::default();
    let source = berth_balancer_service::source::file::File::new(file);
    let other = from_file.builder().source(Box::new(source)).listen(local()).start().await.unwrap();
    let mut reader = connect(&other).await;
    crate::fixture::until("the file is read", async || !from_file.config().services.is_empty())
        .await;
    let view = reader.get(pb::GetRequest { name: "a".into() }).await.unwrap().into_inner();
    let message = view.service.unwrap().service.unwrap();
    let request = pb::ApplyRequest { services: vec![message], ..Default::default() };
    let read = grpc::update(request.clone()).unwrap().services.remove(0).wish;
    assert_eq!(read, wish);
    assert_eq!(read.service.settings.algorithm, Algorithm::RingHash(HashKey::Flow));
    assert!(matches!(
        read.service.settings.health_check.as_ref().unwrap().probe,
        Probe::Http { .. }
    ));
    apply(&mut client, request).await.unwrap();
    assert_eq!(double.config(), from_file.config());
    server.stop(true).await;
    other.stop(true).await;
}

#[tokio::test]
async fn ten_thousand_services_and_a_hundred_thousand_endpoints_of_one() {
    let double = Double::default();
    let server = double.builder().listen(local()).start().await.unwrap();
    let mut client = connect(&server).await;
    let address = |number: u32| Ipv4Addr::from_bits(0x0a00_0000 + number).to_string();
    let services = (0..10_000).map(|n| service(&format!("s{n}"), &address(n), 10)).collect();
    let all = pb::ApplyRequest { replace: true, services, ..Default::default() };
    let applied = apply(&mut client, all).await.unwrap();
    println!("10,000 services of 10 endpoints: {} us", applied.took_ns / 1_000);
    let large = vec![service("large", &address(10_001), 100_000)];
    let large = pb::ApplyRequest { services: large, ..Default::default() };
    let applied = apply(&mut client, large).await.unwrap();
    println!("100,000 endpoints of one service: {} us", applied.took_ns / 1_000);
    let table = double.told(|told| told.compiler.table().counts());
    assert_eq!((table.frontends, table.backends), (10_001, 200_000));
    server.stop(true).await;
}

#[test]
fn an_empty_request_is_an_update_of_nothing() {
    let update = grpc::update(pb::ApplyRequest::default()).unwrap();
    assert!(State::default().plan(update, &Available::default()).unwrap().is_empty());
}
