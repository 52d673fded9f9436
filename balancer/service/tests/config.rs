// SPDX-License-Identifier: Apache-2.0
//! The configuration file: what it says, and what is said about one that is wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use berth_balancer_core::model::{
    Algorithm, HashKey, Probe, Protocol, ProxyProtocol, Rate, Settings, TrafficPolicy,
};
use berth_balancer_service::choose::Available;
use berth_balancer_service::state::State;
use berth_balancer_service::wanted::Wish;
use berth_balancer_service::{Problems, config};
use std::fmt::Write;

/// The services of a text that is right.
fn wishes(text: &str) -> Vec<Wish> {
    let update = config::read(text).unwrap_or_else(|problems| panic!("{problems}"));
    State::default()
        .plan(update.clone(), &Available::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
    update.services.into_iter().map(|draft| draft.wish).collect()
}

/// All problems of a text, a line each: of reading, or of what was read.
fn problems(text: &str) -> Vec<String> {
    let all = |problems: Problems| problems.list.iter().map(ToString::to_string).collect();
    match config::read(text) {
        Err(problems) => all(problems),
        Ok(update) => {
            all(State::default().plan(update, &Available::default()).err().unwrap_or_default())
        }
    }
}

#[test]
fn four_lines_are_a_configuration() {
    let wishes = wishes(
        "services:
- name: web
  address: 127.0.0.1:8080
  endpoints: [127.0.0.1:9001, 127.0.0.1:9002]",
    );
    let [web] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(&*web.service.name, "web");
    assert_eq!(web.service.cluster_ips, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((web.service.ports[0].port, web.service.ports[0].protocol), (8080, Protocol::Tcp));
    assert_eq!(*web.service.settings, Settings::default());
    assert_eq!(web.endpoints.len(), 2);
    assert_eq!(&*web.endpoints[1].name, "127.0.0.1:9002");
    assert_eq!(web.endpoints[1].ports[0].port, 9002);
    assert!(web.endpoints[1].ready && web.endpoints[1].serving && web.endpoints[1].weight == 1);
}

#[test]
fn the_example_is_right() {
    let wishes = wishes(include_str!("../../../examples/balancer.yaml"));
    let api = &wishes[1];
    assert_eq!(api.service.settings.algorithm, Algorithm::LeastConnections);
    assert_eq!(
        api.service.settings.limits.rate_per_source,
        Some(Rate { per_second: 100, burst: 100 })
    );
    assert_eq!(api.service.settings.drain_ns, 60_000_000_000);
    let check = api.service.settings.health_check.clone().unwrap();
    assert!(matches!(check.probe, Probe::Http { path, host: None } if &*path == "/healthz"));
    let ports: Vec<u16> = api.endpoints[1].ports.iter().map(|port| port.port).collect();
    assert_eq!(ports, [8000, 9100], "where the service says they listen");
    assert!(api.endpoints[2].terminating && !api.endpoints[2].ready && api.endpoints[2].serving);
    assert_eq!(wishes[2].service.settings.affinity.unwrap().timeout_ns, 3_600_000_000_000);
    assert_eq!(wishes[2].service.ports[0].protocol, Protocol::Udp);
}

#[test]
fn settings_come_from_the_service_then_from_the_defaults() {
    let wishes = wishes(
        "defaults: {balance: maglev, drain: 5s, outlier: off, proxy_out: v2, external_policy: local}
services:
- {name: a, address: 10.0.0.1:80}
- {name: b, address: '[fd00::1]:80', hash: flow, drain: 1m30s, outlier: {failures: 2}, proxy_out: off}",
    );
    let (a, b) = (&wishes[0].service.settings, &wishes[1].service.settings);
    assert_eq!(a.algorithm, Algorithm::Maglev(HashKey::Source));
    assert_eq!(b.algorithm, Algorithm::Maglev(HashKey::Flow));
    assert_eq!((a.drain_ns, b.drain_ns), (5_000_000_000, 90_000_000_000));
    assert_eq!((a.outlier, b.outlier.unwrap().failures), (None, 2));
    assert_eq!((a.proxy_out, b.proxy_out), (ProxyProtocol::V2, ProxyProtocol::Off));
    assert_eq!(b.external_policy, TrafficPolicy::Local);
}

#[test]
fn every_problem_is_told_with_its_path() {
    let found = problems(
        "nodes: {}
services:
- name: web
  adress: 10.0.0.1:80
  port: 70000
  balance: fair
  drain: soon
  limits: {connections: 5}
  endpoints: [10.0.0.1:8080, nowhere, {adress: 10.0.0.2}, 7]
- name: api
  address: 10.0.0.2:80
  ports: [{name: http}]
  health_check: maybe
  endpoints: [{address: 10.0.0.1, port: 80, weight: -1, ready: perhaps}]",
    );
    let want = [
        "services[0].port: 70000 is no whole number between 0 and 65535",
        "services[0].balance: \"fair\" is not one of peak_ewma, power_of_two, least_connections, \
         round_robin, smooth_weighted, maglev, ring_hash, random",
        "services[0].limits.connections: unknown field",
        "services[0].drain: \"soon\" is no duration, such as 1500ms, 30s, 5m, 3h",
        "services[0].endpoints[1]: \"nowhere\" is no address, such as 10.0.0.1:8080",
        "services[0].endpoints[2].address: missing",
        "services[0].endpoints[2].adress: unknown field; did you mean \"address\"?",
        "services[0].endpoints[3]: expected an address or fields, found a number",
        "services[0].adress: unknown field; did you mean \"address\"?",
        "services[1].address: says a port; not together with ports",
        "services[1].ports[0].port: missing",
        "services[1].health_check: \"maybe\" is not one of off, tcp, grpc, a path to GET (/)",
        "services[1].endpoints[0].ready: expected true or false, found \"perhaps\"",
        "services[1].endpoints[0].weight: -1 is no whole number between 0 and 4294967295",
        "nodes: unknown field; did you mean \"node\"?",
    ];
    assert_eq!(found.len(), want.len(), "{found:#?}");
    for (found, want) in found.iter().zip(want) {
        assert!(found.starts_with(want), "{found}\nis not\n{want}");
    }
}

#[test]
fn what_cannot_be_balanced_is_told_in_the_words_of_the_file() {
    let found = problems(
        "node: {node_ports: 30000-32767, addresses: [192.0.2.1]}
services:
- {name: a, address: 10.0.0.1:80, endpoints: [{address: 10.1.0.1:80, weight: 0}]}
- {name: b, address: 10.0.0.1:80, endpoints: [10.0.0.1:80]}
- {name: c, address: 10.0.0.3:80, timeouts: {connect: 0s}, slow_start: {window: 0}}
- {name: d, address: 10.0.0.4, ports: [{name: x, port: 1, node_port: 80}, {name: x, port: 0}]}
- {name: e, port: 80}
- {name: a, address: 10.0.0.9:80}
- {name: f, address: 10.0.0.10:80, endpoints: [{name: x, address: 10.2.0.1}, {name: x, address: 0.0.0.0}]}
- {name: g, address: 10.0.0.11:53, protocol: UDP, proxy_in: v1}
- {name: h, address: 10.0.0.12:53, health_check: {interval: 1s, timeout: 2s}}
- {name: i, address: 10.0.0.13:53, external_ips: [198.51.100.7], load_balancer: true}
- {name: j, address: 10.0.0.14:53, path: fast, source: keep}",
    );
    let text = found.join("\n");
    for want in [
        "services[5].name: \"a\" stands there twice",
        "services[0].endpoints[0].weight: 0 is not between 1 and 65535",
        "services[1].address: TCP 10.0.0.1:80 belongs to \"a\" already",
        "services[1].endpoints[0].port: 10.0.0.1:80 is the service itself",
        "services[2].timeouts.connect: 0 is not between 1 and",
        "services[2].slow_start.window: 0 is not between 1 and",
        "services[3].ports[0].node_port: 80 is not between 30000 and 32767",
        "services[3].ports[1].name: \"x\" stands there twice",
        "services[3].ports[1].port: 0 is not between 1 and 65535",
        "services[4].address: the service has neither an address nor a node port",
        "services[6].endpoints[1].name: \"x\" stands there twice",
        "services[6].endpoints[1].address: stands for no host",
        "services[7].proxy_in: not together with a UDP port",
        "services[8].health_check.timeout: must not be above interval",
        "services[9].external_ips: external addresses are off",
        "services[9].load_balancer: there is no pool to give an address from",
        "services[10].path: fast cannot be had",
    ] {
        assert!(found.iter().any(|line| line.starts_with(want)), "{want}\nis not in\n{text}");
    }
}

#[test]
fn a_text_that_is_no_yaml_says_where() {
    for (text, want) in [
        ("services: [", "line"),
        ("services:\n- name: a\n  name: b\n", "name"),
        ("a: &a [*a]", ""),
        ("\u{0}", ""),
        ("[]", "expected fields"),
        ("services: {}", "services: expected a list"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(want), "{found:?}");
    }
    assert_eq!(problems(""), Vec::<String>::new(), "nothing is wanted");
}

#[test]
fn aliases_do_not_multiply_without_end() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{inner}]").unwrap();
    }
    assert_eq!(problems(&text).len(), 1);
}

#[test]
fn a_hundred_thousand_endpoints_fit_into_one_service() {
    let mut text = "services:\n- name: a\n  address: 10.0.0.1:80\n  endpoints:\n".to_owned();
    for number in 0..100_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + number);
        writeln!(text, "  - {address}:80").unwrap();
    }
    assert_eq!(wishes(&text)[0].endpoints.len(), 100_000);
    // Each of them wrong: the first ones are told, the rest is counted.
    let wrong = text.replace(":80\n", ":x\n");
    let problems = config::read(&wrong).unwrap_err();
    assert_eq!((problems.list.len(), problems.count()), (1_000, 100_001));
}
