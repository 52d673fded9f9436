// SPDX-License-Identifier: Apache-2.0
//! Every fault of a configuration is found, and named by its field's path.

mod fixture;

use berth_balancer_core::model::{
    Cidr, ClientIp, Config, DataPath, EndpointPort, EndpointSet, HealthCheck, Limits, Node,
    Outlier, Probe, Protocol, ProxyProtocol, Rate, Settings, SlowStart, Timeouts,
};
use berth_balancer_core::{Change, Compiler, validate};
use fixture::{config, endpoint, endpoints, port, service};
use std::sync::Arc;

/// A configuration that is right, after `spoil`.
fn check(spoil: impl FnOnce(&mut Config), expected: &[&str]) {
    let mut config = config(vec![
        (service("web", 1), vec![endpoint("a", "10.0.0.1:80"), endpoint("b", "10.0.0.2:80")]),
        (service("api", 2), vec![endpoint("a", "10.0.1.1:80")]),
    ]);
    assert_eq!(validate(&config), Ok(()));
    spoil(&mut config);
    let found = validate(&config).err().unwrap_or_default();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    // What is refused leaves the compiler as it was.
    let mut compiler = Compiler::new();
    assert_eq!(compiler.replace(config, 0).is_err(), !expected.is_empty());
    assert_eq!(compiler.table().version(), u64::from(expected.is_empty()));
}

fn settings(spoil: impl FnOnce(&mut Settings), expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|text| format!("services[0].settings.{text}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(|config| spoil(Arc::make_mut(&mut config.services[0].settings)), &expected);
}

#[test]
fn names_and_lists() {
    check(
        |c| c.services[0].name = "".into(),
        &[
            "services[0].name: must not be empty",
            "endpoints[0].service: no service is called \"web\"",
        ],
    );
    check(
        |c| c.services[1].name = "web".into(),
        &[
            "services[1].name: \"web\" stands there twice",
            "endpoints[1].service: no service is called \"api\"",
        ],
    );
    check(
        |c| c.services[0].name = "x".repeat(513).into(),
        &[
            "services[0].name: longer than 512",
            "endpoints[0].service: no service is called \"web\"",
        ],
    );
    check(
        |c| c.endpoints[1].service = "web".into(),
        &["endpoints[1].service: \"web\" stands there twice"],
    );
    check(
        |c| c.services[0].ports.clear(),
        &[
            "services[0].ports: must not be empty",
            "endpoints[0].endpoints[0].ports[0].name: the service has no port \"\"",
            "endpoints[0].endpoints[1].ports[0].name: the service has no port \"\"",
        ],
    );
    check(
        |c| c.services[0].cluster_ips.clear(),
        &["services[0].cluster_ips: the service has neither an address nor a node port"],
    );
}

#[test]
fn addresses_and_ports() {
    check(
        |c| c.services[0].cluster_ips[0] = "0.0.0.0".parse().unwrap(),
        &["services[0].cluster_ips[0]: stands for no host"],
    );
    check(
        |c| c.services[0].external_ips.push("ff02::1".parse().unwrap()),
        &["services[0].external_ips[0]: stands for no host"],
    );
    check(
        |c| c.services[0].load_balancer_ips.push("255.255.255.255".parse().unwrap()),
        &["services[0].load_balancer_ips[0]: stands for no host"],
    );
    check(
        |c| c.services[0].ports[0].port = 0,
        &["services[0].ports[0].port: 0 is not between 1 and 65535"],
    );
    check(
        |c| c.services[1].ports.extend([port("", 81), port("x", 82), port("x", 83)]),
        &[
            "services[1].ports[0].name: must not be empty",
            "services[1].ports[1].name: must not be empty",
            "services[1].ports[1].name: \"\" stands there twice",
            "services[1].ports[3].name: \"x\" stands there twice",
        ],
    );
    let range = |c: &mut Config, node_port| {
        c.node.node_ports = Some((30_000, 32_767));
        c.services[0].ports[0].node_port = Some(node_port);
    };
    check(|c| range(c, 32_767), &[]);
    check(
        |c| range(c, 32_768),
        &["services[0].ports[0].node_port: 32768 is not between 30000 and 32767"],
    );
    check(
        |c| c.node = Node { node_ports: Some((0, 0)), ..Node::default() },
        &["node.node_ports[0]: 0 is not between 1 and 65535"],
    );
    check(
        |c| c.node = Node { node_ports: Some((9, 8)), ..Node::default() },
        &["node.node_ports[0]: must not be above node.node_ports[1]"],
    );
}

#[test]
fn overlaps() {
    check(
        |c| c.services[1].cluster_ips = c.services[0].cluster_ips.clone(),
        &["services[1].cluster_ips[0]: TCP 10.96.0.1:80 belongs to \"web\" already"],
    );
    check(
        |c| c.services[1].external_ips.push("::ffff:10.96.0.1".parse().unwrap()),
        &["services[1].external_ips[0]: TCP 10.96.0.1:80 belongs to \"web\" already"],
    );
    check(
        |c| {
            c.services[1].cluster_ips = c.services[0].cluster_ips.clone();
            c.services[1].ports[0].protocol = Protocol::Udp;
        },
        &[],
    );
    let ports = |c: &mut Config| {
        c.services[0].ports[0].node_port = Some(30_080);
        c.services[1].ports[0].node_port = Some(30_080);
    };
    check(
        ports,
        &["services[1].ports[0].node_port: TCP port 30080 of the node belongs to \"web\" already"],
    );
    let health = |c: &mut Config| {
        c.services[0].ports[0].node_port = Some(30_080);
        Arc::make_mut(&mut c.services[1].settings).health_check_node_port = Some(30_080);
    };
    check(
        health,
        &[
            "services[1].settings.health_check_node_port: TCP port 30080 of the node belongs to \"web\" already",
        ],
    );
    // An external address that is the node's own, on a port that is another service's node port.
    let node = |c: &mut Config| {
        c.node.addresses = vec!["192.0.2.7".parse().unwrap()];
        c.services[0].ports[0].node_port = Some(80);
        c.services[1].external_ips = c.node.addresses.clone();
    };
    check(node, &["services[1].external_ips[0]: TCP 192.0.2.7:80 belongs to \"web\" already"]);
    let other_way = |c: &mut Config| {
        node(c);
        c.services.swap(0, 1);
    };
    check(
        other_way,
        &["services[1].ports[0].node_port: TCP port 80 of the node belongs to \"api\" already"],
    );
}

#[test]
fn endpoints_of_a_service() {
    check(
        |c| c.endpoints[0].endpoints[1].weight = 0,
        &["endpoints[0].endpoints[1].weight: 0 is not between 1 and 65535"],
    );
    check(
        |c| c.endpoints[0].endpoints[1].weight = 65_536,
        &["endpoints[0].endpoints[1].weight: 65536 is not between 1 and 65535"],
    );
    check(
        |c| c.endpoints[0].endpoints[1].name = "a".into(),
        &["endpoints[0].endpoints[1].name: \"a\" stands there twice"],
    );
    check(
        |c| c.endpoints[0].endpoints[1].address = "10.0.0.1".parse().unwrap(),
        &[
            "endpoints[0].endpoints[1].address: another endpoint of this port has 10.0.0.1:80 already",
        ],
    );
    check(
        |c| c.endpoints[0].endpoints[0].address = "224.0.0.1".parse().unwrap(),
        &["endpoints[0].endpoints[0].address: stands for no host"],
    );
    check(
        |c| c.endpoints[0].endpoints[0].ports[0].port = 0,
        &["endpoints[0].endpoints[0].ports[0].port: 0 is not between 1 and 65535"],
    );
    let twice = |c: &mut Config| {
        c.endpoints[0].endpoints[0].ports.push(EndpointPort { name: "".into(), port: 81 });
    };
    check(twice, &["endpoints[0].endpoints[0].ports[1].name: \"\" stands there twice"]);
    check(
        |c| c.endpoints[0].endpoints[0].address = "10.96.0.1".parse().unwrap(),
        &["endpoints[0].endpoints[0].ports[0].port: 10.96.0.1:80 is the service itself"],
    );
}

#[test]
fn settings_by_themselves() {
    let range = Cidr { address: "10.0.0.0".parse().unwrap(), prefix: 33 };
    settings(
        |s| s.source_ranges = vec![range],
        &["source_ranges[0]: 10.0.0.0/33: the prefix is longer than the address"],
    );
    settings(
        |s| s.affinity = Some(ClientIp { timeout_ns: 0 }),
        &["affinity.timeout_ns: 0 is not between 1 and 86400000000000"],
    );
    let rate = Some(Rate { per_second: 0, burst: 0 });
    let limits = Limits { connections_max: Some(0), rate_per_source: rate, ..Limits::default() };
    settings(
        |s| s.limits = limits,
        &[
            "limits.connections_max: 0 is not between 1 and 4294967295",
            "limits.rate_per_source.per_second: 0 is not between 1 and 1000000",
            "limits.rate_per_source.burst: 0 is not between 1 and 4294967295",
        ],
    );
    settings(
        |s| s.slow_start = Some(SlowStart { window_ns: 0, percent_min: 101 }),
        &[
            "slow_start.window_ns: 0 is not between 1 and 31622400000000000",
            "slow_start.percent_min: 101 is not between 1 and 100",
        ],
    );
    let outlier = Outlier { failures: 0, ejection_ns: 2, ejection_ns_max: 1, percent_max: 101 };
    settings(
        |s| s.outlier = Some(outlier),
        &[
            "outlier.failures: 0 is not between 1 and 65535",
            "outlier.percent_max: 101 is not between 0 and 100",
            "outlier.ejection_ns: must not be above ejection_ns_max",
        ],
    );
    let timeouts = Timeouts { connect_ns: 0, idle_ns: Some(0), ..Timeouts::default() };
    settings(
        |s| s.timeouts = timeouts,
        &[
            "timeouts.connect_ns: 0 is not between 1 and 31622400000000000",
            "timeouts.idle_ns: 0 is not between 1 and 31622400000000000",
        ],
    );
    let probe = Probe::Http { path: "healthz".into(), host: None };
    let check = HealthCheck { probe, timeout_ns: 3_000_000_000, rise: 0, ..HealthCheck::default() };
    settings(
        |s| s.health_check = Some(check),
        &[
            "health_check.timeout_ns: must not be above interval_ns",
            "health_check.rise: 0 is not between 1 and 65535",
            "health_check.probe.path: must begin with '/'",
        ],
    );
}

#[test]
fn settings_against_each_other() {
    let fast = |s: &mut Settings| {
        s.path = DataPath::Fast;
        s.proxy_out = ProxyProtocol::V2;
        s.timeouts.first_byte_ns = Some(1);
    };
    settings(
        fast,
        &[
            "path: not together with proxy_out: only the proxy path has it",
            "path: not together with timeouts.first_byte_ns: only the proxy path has it",
        ],
    );
    let udp = |c: &mut Config| {
        c.services[0].ports[0].protocol = Protocol::Udp;
        Arc::make_mut(&mut c.services[0].settings).proxy_out = ProxyProtocol::V1;
    };
    check(
        udp,
        &[
            "services[0].settings.proxy_out: not together with a UDP port: version 1 of the PROXY protocol knows TCP only",
        ],
    );
}

#[test]
fn a_hundred_thousand_endpoints_in_one_service_are_fine() {
    let config = config(vec![(service("large", 1), endpoints(100_000))]);
    let mut compiler = Compiler::new();
    compiler.replace(config, 0).expect("it is right");
    assert_eq!(compiler.table().counts().backends, 100_000);
    let more = Change::Endpoint { service: "large".into(), endpoint: endpoint("z", "10.9.9.9:1") };
    compiler.apply(more, 1).expect("one more");
    assert_eq!(compiler.table().counts().backends, 100_001);
}

#[test]
fn changes_are_judged_as_the_whole_is() {
    let mut compiler = Compiler::new();
    let whole = config(vec![
        (service("web", 1), vec![endpoint("a", "10.0.0.1:80")]),
        (service("api", 2), Vec::new()),
    ]);
    compiler.replace(whole, 0).expect("it is right");
    let mut refused = |change: Change, expected: &[&str]| {
        let problems = compiler.apply(change, 1).err().unwrap_or_default();
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, expected);
        assert_eq!(compiler.table().version(), 1, "nothing was touched");
    };
    let add = |service: &str, endpoint| Change::Endpoint { service: service.into(), endpoint };
    refused(
        add("nobody", endpoint("b", "10.0.0.2:80")),
        &["service: no service is called \"nobody\""],
    );
    refused(
        add("web", endpoint("b", "10.0.0.1:80")),
        &["endpoint.address: another endpoint of this port has 10.0.0.1:80 already"],
    );
    let mut odd = endpoint("b", "10.0.0.2:80");
    odd.weight = 0;
    odd.ports[0].name = "metrics".into();
    refused(
        add("web", odd),
        &[
            "endpoint.weight: 0 is not between 1 and 65535",
            "endpoint.ports[0].name: the service has no port \"metrics\"",
        ],
    );
    let gone = |service: &str, endpoint: &str| Change::RemoveEndpoint {
        service: service.into(),
        endpoint: endpoint.into(),
    };
    refused(gone("web", "b"), &["endpoint: the service has no endpoint \"b\""]);
    refused(gone("nobody", "b"), &["service: no service is called \"nobody\""]);
    let set = EndpointSet { service: "x".into(), endpoints: Vec::new() };
    refused(Change::Endpoints(set), &["service: no service is called \"x\""]);
    let health = |port: &str, endpoint: &str| Change::Health {
        service: "web".into(),
        endpoint: endpoint.into(),
        port: port.into(),
        healthy: false,
    };
    refused(
        health("x", "b"),
        &["port: the service has no port \"x\"", "endpoint: the service has no endpoint \"b\""],
    );
    refused(
        Change::Service(Box::new(service("new", 2))),
        &["service.cluster_ips[0]: TCP 10.96.0.2:80 belongs to \"api\" already"],
    );
    let mut itself = service("web", 1);
    itself.external_ips = vec!["10.0.0.1".parse().unwrap()];
    refused(
        Change::Service(Box::new(itself)),
        &["service.ports: 10.0.0.1:80 is the service itself"],
    );
    let mut twice = service("two", 3);
    twice.external_ips = twice.cluster_ips.clone();
    refused(
        Change::Service(Box::new(twice)),
        &["service.external_ips[0]: TCP 10.96.0.3:80 belongs to \"two\" already"],
    );
}
