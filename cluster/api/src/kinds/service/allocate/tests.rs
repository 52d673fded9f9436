// SPDX-License-Identifier: Apache-2.0
//! Tests of what services are given: types, wishes, full ranges; nothing is taken twice.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use super::*;
use crate::kinds::service::ServiceRules;
use crate::registry::{Part, Rules};
use std::collections::BTreeSet;

/// A cluster's addresses and ports, as the apiserver keeps them.
struct Cluster {
    ranges: Ranges,
    ips: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<u16>,
    seed: u64,
}

impl Cluster {
    fn new(network: &str, node_ports: RangeInclusive<u16>) -> Self {
        let ranges = Ranges { cluster_ips: network.parse().unwrap(), node_ports };
        Self { ranges, ips: BTreeSet::new(), ports: BTreeSet::new(), seed: 1 }
    }

    fn usual() -> Self {
        Self::new("10.0.0.0/24", 30_000..=32_767)
    }

    /// Books what changes hands; nothing may be taken twice, nor given back twice.
    fn book(&mut self, done: &Allocation) {
        for ip in &done.ips_taken {
            assert!(self.ips.insert(*ip), "{ip} is taken twice");
        }
        for port in &done.ports_taken {
            assert!(self.ports.insert(*port), "{port} is taken twice");
        }
        for ip in &done.ips_released {
            assert!(self.ips.remove(ip), "{ip} was not taken");
        }
        for port in &done.ports_released {
            assert!(self.ports.remove(port), "{port} was not taken");
        }
    }

    fn plan(&mut self, old: Option<&Map>, new: &mut Map) -> Result<Allocation, Refused> {
        let (ips, ports, seed) = (self.ips.clone(), self.ports.clone(), &mut self.seed);
        let taken = Taken { ip: &|ip| ips.contains(&ip), port: &|port| ports.contains(&port) };
        let mut chance = |below: u64| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (*seed >> 33) % below
        };
        plan(&self.ranges, old, new, taken, &mut chance)
    }

    /// A number below another.
    fn below(&mut self, most: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.seed >> 33).unwrap() % most
    }

    /// Writes a service of this spec; gives what is stored.
    fn write(&mut self, old: Option<&Map>, spec: Value) -> Result<Map, Refused> {
        let mut new =
            json!({ "metadata": { "name": "s" }, "spec": spec }).as_object().unwrap().clone();
        ServiceRules.default(&mut new);
        match old {
            None => ServiceRules.prepare_create(&mut new),
            Some(old) => ServiceRules.prepare_update(&mut new, old, Part::Main),
        }
        let done = self.plan(old, &mut new)?;
        let mut errors = Errors::new();
        ServiceRules.validate(&new, &mut errors);
        if let Some(old) = old {
            ServiceRules.validate_update(&new, old, Part::Main, &mut errors);
        }
        if !errors.is_empty() {
            return Err(Refused::Invalid(errors));
        }
        self.book(&done);
        Ok(new)
    }
}

fn ports(all: Value) -> Value {
    json!({ "ports": all })
}

fn of(kind: &str) -> Value {
    json!({ "type": kind, "ports": [{ "port": 80 }] })
}

fn text(refused: Refused) -> String {
    match refused {
        Refused::Invalid(errors) => errors.text(),
        Refused::Internal(why) => why,
    }
}

#[test]
fn an_address_is_taken_and_given_back() {
    let mut cluster = Cluster::usual();
    let stored = cluster.write(None, of("ClusterIP")).unwrap();
    let spec = stored.at("spec");
    assert_eq!(spec.at("clusterIPs"), &json!([spec.text("clusterIP")]));
    assert_eq!(spec.at("ipFamilies"), &json!(["IPv4"]));
    assert_eq!(spec.text("ipFamilyPolicy"), "SingleStack");
    assert!(cluster.ranges.cluster_ips.holds(spec.text("clusterIP").parse().unwrap()));
    assert!(cluster.ports.is_empty());
    cluster.book(&release(&stored));
    assert!(cluster.ips.is_empty());
}

#[test]
fn types_take_what_they_need_and_give_back_the_rest() {
    let mut cluster = Cluster::usual();
    let mut stored = cluster.write(None, of("ClusterIP")).unwrap();
    let local = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{ "port": 80 }] });
    let name = json!({ "type": "ExternalName", "externalName": "a.b", "ports": [{ "port": 80 }] });
    let steps = [
        (of("NodePort"), 1, 1),
        (of("LoadBalancer"), 1, 1),
        (local.clone(), 1, 2),
        (local, 1, 2),
        (of("NodePort"), 1, 1),
        (of("ClusterIP"), 1, 0),
        (name, 0, 0),
        (of("NodePort"), 1, 1),
        (of("ClusterIP"), 1, 0),
    ];
    for (spec, ips, ports) in steps {
        let shown = spec.to_string();
        stored = cluster.write(Some(&stored), spec).unwrap();
        assert_eq!((cluster.ips.len(), cluster.ports.len()), (ips, ports), "{shown}");
    }
    cluster.book(&release(&stored));
    assert!(cluster.ips.is_empty() && cluster.ports.is_empty());
}

#[test]
fn the_same_document_again_changes_nothing() {
    let mut cluster = Cluster::usual();
    for spec in [of("ClusterIP"), of("NodePort"), of("LoadBalancer")] {
        let stored = cluster.write(None, spec.clone()).unwrap();
        let (ips, ports) = (cluster.ips.clone(), cluster.ports.clone());
        assert_eq!(cluster.write(Some(&stored), spec).unwrap(), stored);
        assert_eq!((ips, ports), (cluster.ips.clone(), cluster.ports.clone()));
    }
}

#[test]
fn ports_of_one_number_share_a_port_of_nodes() {
    let mut cluster = Cluster::usual();
    let dns = json!([
        { "name": "u", "port": 53, "protocol": "UDP" },
        { "name": "t", "port": 53, "protocol": "TCP" },
        { "name": "m", "port": 9153 },
    ]);
    let mut spec = ports(dns);
    spec["type"] = "NodePort".into();
    let stored = cluster.write(None, spec).unwrap();
    let given = node_ports(stored.at("spec"));
    assert_eq!(given[0], given[1]);
    assert_ne!(given[0], given[2]);
    assert_eq!(cluster.ports.len(), 2);
    cluster.book(&release(&stored));
    assert!(cluster.ports.is_empty());
}

#[test]
fn wishes_that_cannot_be_met_are_refused() {
    let mut cluster = Cluster::usual();
    let wish = |ip: &str| json!({ "clusterIP": ip, "ports": [{ "port": 80 }] });
    let node =
        |port: u32| json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": port }] });
    cluster.write(None, wish("10.0.0.5")).unwrap();
    cluster.write(None, node(30_001)).unwrap();
    let mut refused = |spec| text(cluster.write(None, spec).unwrap_err());
    assert_eq!(
        refused(wish("10.0.0.5")),
        "spec.clusterIPs: Invalid value: []string{\"10.0.0.5\"}: failed to allocate IP 10.0.0.5: provided IP is already \
         allocated"
    );
    for outside in ["11.0.0.1", "10.0.0.0", "10.0.0.255"] {
        assert_eq!(
            refused(wish(outside)),
            format!(
                "spec.clusterIPs: Invalid value: []string{{\"{outside}\"}}: failed to allocate IP {outside}: the provided \
                 network does not match the current range"
            )
        );
    }
    assert_eq!(
        refused(node(30_001)),
        "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated"
    );
    assert_eq!(
        refused(node(80)),
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is \
         30000-32767"
    );
    assert_eq!(
        refused(json!({ "ipFamilyPolicy": "RequireDualStack", "ports": [{ "port": 80 }] })),
        "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services"
    );
    assert_eq!(
        refused(json!({ "ipFamilies": ["IPv6"], "ports": [{ "port": 80 }] })),
        "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"
    );
}

#[test]
fn a_full_range_is_said_to_be_full() {
    let mut cluster = Cluster::new("10.0.0.0/29", 30_000..=30_003);
    for _ in 0..6 {
        cluster.write(None, of("ClusterIP")).unwrap();
    }
    let full = text(cluster.write(None, of("ClusterIP")).unwrap_err());
    assert_eq!(full, "failed to allocate a serviceIP: range is full");
    let mut cluster = Cluster::new("10.0.0.0/24", 30_000..=30_003);
    for _ in 0..4 {
        cluster.write(None, of("NodePort")).unwrap();
    }
    let full = text(cluster.write(None, of("NodePort")).unwrap_err());
    assert_eq!(full, "failed to allocate a nodePort: range is full");
}

#[test]
fn the_lower_part_is_left_to_wishes_while_it_can_be() {
    let mut cluster = Cluster::usual();
    for count in 1..=254 {
        let stored = cluster.write(None, of("ClusterIP")).unwrap();
        let ip: Ipv4Addr = stored.at("spec").text("clusterIP").parse().unwrap();
        assert_eq!(ip.octets()[3] > 16, count <= 238, "{ip} is the {count}th");
    }
    assert!(cluster.write(None, of("ClusterIP")).is_err());
}

#[test]
fn headless_services_take_nothing() {
    let mut cluster = Cluster::usual();
    let spec = json!({ "clusterIP": "None", "ports": [{ "port": 80 }] });
    let stored = cluster.write(None, spec.clone()).unwrap();
    assert_eq!(stored.at("spec").at("ipFamilies"), &json!(["IPv4", "IPv6"]));
    assert_eq!(stored.at("spec").text("ipFamilyPolicy"), "RequireDualStack");
    cluster.write(Some(&stored), spec).unwrap();
    let with_pods =
        json!({ "clusterIP": "None", "selector": { "a": "b" }, "ports": [{ "port": 80 }] });
    let stored = cluster.write(None, with_pods).unwrap();
    assert_eq!(stored.at("spec").at("ipFamilies"), &json!(["IPv4"]));
    assert!(cluster.ips.is_empty() && release(&stored) == Allocation::default());
}

#[test]
fn a_balancer_may_do_without_ports_of_nodes() {
    let mut cluster = Cluster::usual();
    let spec = json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{ "port": 80 }] });
    let stored = cluster.write(None, spec).unwrap();
    assert!(cluster.ports.is_empty());
    cluster.write(Some(&stored), of("LoadBalancer")).unwrap();
    assert_eq!(cluster.ports.len(), 1);
}

#[test]
fn networks_are_read_and_shown() {
    assert_eq!("10.96.0.7/12".parse::<Network>().unwrap().to_string(), "10.96.0.0/12");
    for wrong in ["", "10.0.0.0", "10.0.0.0/33", "::/64", "10.0.0/24"] {
        assert_eq!(wrong.parse::<Network>(), Err(NoNetwork));
    }
    assert_eq!(Ranges::default().cluster_ips.first_host(), Ipv4Addr::new(10, 0, 0, 1));
}

/// Some spec, which may be refused: ports that are named, kept or left to the server, and what belongs to another type.
fn some_spec(cluster: &mut Cluster) -> Value {
    let kinds = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    let mut spec = json!({ "type": kinds[cluster.below(4)], "ports": [] });
    if spec["type"] == "ExternalName" {
        spec["externalName"] = "a.b".into();
    }
    for (name, protocol) in [("a", "TCP"), ("b", "UDP"), ("c", "TCP")] {
        if cluster.below(3) == 0 {
            continue;
        }
        let mut port = json!({ "name": name, "protocol": protocol, "port": 50 + cluster.below(3) });
        if cluster.below(4) == 0 {
            port["nodePort"] = (30_000 + cluster.below(20)).into();
        }
        spec["ports"].as_array_mut().unwrap().push(port);
    }
    match cluster.below(8) {
        0 => spec["clusterIP"] = "None".into(),
        1 => spec["clusterIP"] = format!("10.0.0.{}", cluster.below(32)).into(),
        2 => spec["externalTrafficPolicy"] = "Local".into(),
        3 => {
            spec["externalTrafficPolicy"] = "Local".into();
            spec["healthCheckNodePort"] = (30_000 + cluster.below(20)).into();
        }
        4 if spec["type"] == "LoadBalancer" => {
            spec["allocateLoadBalancerNodePorts"] = false.into();
        }
        _ => {}
    }
    spec
}

#[test]
fn what_is_taken_is_what_services_hold() {
    let mut cluster = Cluster::new("10.0.0.0/27", 30_000..=30_019);
    let mut services: Vec<Map> = Vec::new();
    let (mut written, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let at = cluster.below(12);
        if at < services.len() && cluster.below(5) == 0 {
            cluster.book(&release(&services.swap_remove(at)));
        } else {
            let spec = some_spec(&mut cluster);
            match cluster.write(services.get(at).cloned().as_ref(), spec) {
                Err(_) => refused += 1,
                Ok(new) => {
                    written += 1;
                    match services.get_mut(at) {
                        Some(old) => *old = new,
                        None => services.push(new),
                    }
                }
            }
        }
        let held: Vec<Allocation> = services.iter().map(release).collect();
        let ips: BTreeSet<Ipv4Addr> =
            held.iter().flat_map(|one| one.ips_released.clone()).collect();
        let ports: BTreeSet<u16> = held.iter().flat_map(|one| one.ports_released.clone()).collect();
        assert_eq!((&cluster.ips, &cluster.ports), (&ips, &ports));
        let count: usize = held.iter().map(|one| one.ports_released.len()).sum();
        assert_eq!(count, ports.len(), "two services hold one port");
    }
    assert!(written > 4_000 && refused > 2_000, "{written} written, {refused} refused");
}
