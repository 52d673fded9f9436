// SPDX-License-Identifier: Apache-2.0
//! Questions to a zone that is made of objects as the API tells them.

mod naive;

use super::*;
use crate::books::Books;
use crate::settings::{Pods, Settings};
use crate::view::{Service, Slice};
use berth_cluster_client::{Change, Id, Item, View};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Objects, and the zone that follows them.
pub(crate) struct World {
    pub(crate) zone: Zone,
    books: Books,
    services: BTreeMap<(Text, Text), Arc<Item<Service>>>,
    slices: BTreeMap<(Text, Text), Arc<Item<Slice>>>,
}

fn item<V: View>(namespace: &str, name: &str, json: &Value) -> Arc<Item<V>> {
    let id = Id { namespace: namespace.into(), name: name.into(), ..Id::default() };
    Arc::new(Item { id, view: V::read(json.to_string().as_bytes()).unwrap() })
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut zone = Zone::new(settings).unwrap();
        zone.ready = true;
        let (services, slices) = (BTreeMap::new(), BTreeMap::new());
        Self { zone, books: Books::default(), services, slices }
    }

    /// A service is so; with nothing, it is gone.
    pub(crate) fn service(&mut self, namespace: &str, name: &str, spec: Option<&Value>) {
        let key = (namespace.into(), name.into());
        let after = spec.map(|spec| item(namespace, name, &json!({"spec": spec})));
        let before = match &after {
            Some(after) => self.services.insert(key, Arc::clone(after)),
            None => self.services.remove(&key),
        };
        let mut touched = BTreeSet::new();
        self.books.service(Change { before, after }, &mut touched);
        self.carry(touched);
    }

    /// A slice of a service is so.
    pub(crate) fn slice(&mut self, namespace: &str, name: &str, slice: Option<(&str, &Value)>) {
        let key = (namespace.into(), name.into());
        let after = slice.map(|(service, json)| {
            let mut json = json.clone();
            json["metadata"] = json!({"labels": {"kubernetes.io/service-name": service}});
            item(namespace, name, &json)
        });
        let before = match &after {
            Some(after) => self.slices.insert(key, Arc::clone(after)),
            None => self.slices.remove(&key),
        };
        let mut touched = BTreeSet::new();
        self.books.slice(Change { before, after }, &mut touched);
        self.carry(touched);
    }

    fn carry(&mut self, touched: BTreeSet<(Text, Text)>) {
        for key in touched {
            let entry = self.books.entry(&key).map(Arc::new);
            self.zone.set_service(&key.0, &key.1, entry);
        }
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        ranges: ["10.96.0.0/16", "10.1.0.0/16", "fd00::/16"]
            .map(|one| one.parse().unwrap())
            .to_vec(),
        addresses: vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()],
        ..Settings::default()
    }
}

/// A cluster with one of each.
pub(crate) fn world(settings: Settings) -> World {
    let mut world = World::new(settings);
    world.zone.set_namespace(&"default".into(), true);
    world.zone.set_namespace(&"empty".into(), true);
    let ports = json!([{"name": "http", "port": 80}, {"name": "dns", "protocol": "UDP", "port": 53}, {"name": "dns", "protocol": "TCP", "port": 53}]);
    let web =
        json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "ports": ports});
    world.service("default", "web", Some(&web));
    world.service(
        "default",
        "plain",
        Some(&json!({"clusterIP": "10.96.0.8", "ports": [{"port": 80}]})),
    );
    world.service(
        "default",
        "db",
        Some(&json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]})),
    );
    let endpoints = json!([
        {"addresses": ["10.1.0.1"], "hostname": "db-0", "conditions": {"ready": true}},
        {"addresses": ["10.1.0.2"], "hostname": "db-1", "conditions": {"ready": false}},
        {"addresses": ["10.1.0.3"], "conditions": {}}]);
    let ports = json!([{"name": "sql", "protocol": "TCP", "port": 5432}]);
    world.slice("default", "db-4", Some(("db", &json!({"endpoints": endpoints, "ports": ports}))));
    let six = json!([{"addresses": ["fd00::1"], "hostname": "db-0"}]);
    world.slice("default", "db-6", Some(("db", &json!({"endpoints": six, "ports": ports}))));
    world.service("default", "none", Some(&json!({"clusterIP": "None"})));
    let eager = json!({"clusterIP": "None", "publishNotReadyAddresses": true});
    world.service("default", "eager", Some(&eager));
    let late =
        json!([{"addresses": ["10.1.0.9"], "hostname": "late", "conditions": {"ready": false}}]);
    world.slice("default", "eager-1", Some(("eager", &json!({"endpoints": late}))));
    for (name, target) in [
        ("out", "www.example.org"),
        ("in", "web.default.svc.cluster.local"),
        ("deep", "in.default.svc.cluster.local."),
        ("lost", "nobody.default.svc.cluster.local"),
        ("ring", "gnir.default.svc.cluster.local"),
        ("gnir", "ring.default.svc.cluster.local"),
        ("self", "self.default.svc.cluster.local"),
        ("number", "10.0.0.1"),
    ] {
        let spec = json!({"type": "ExternalName", "externalName": target});
        world.service("default", name, Some(&spec));
    }
    world
}

pub(crate) fn ask(zone: &Zone, name: &str, kind: &str, choice: Choice) -> Answer {
    let query = Query::query(Name::from_ascii(name).unwrap(), kind.parse().unwrap());
    answer(&query, zone, choice)
}

const FIRST: Choice = Choice { turn: 0, most: 1_000 };

/// `NAME TYPE DATA`.
pub(crate) fn line(record: &Record) -> String {
    format!("{} {} {}", record.name, record.record_type(), record.data)
}

/// Code, records, `|` and those of the authority (by name and type), `+` and what is added.
fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Elsewhere { before, name } => {
            let before: String = before.iter().map(|record| line(record) + ", ").collect();
            format!("{before}elsewhere {name}")
        }
        Answer::Whole(reply) => {
            assert_eq!(
                reply.authoritative,
                reply.code != ResponseCode::ServFail || !reply.answers.is_empty()
            );
            let mut text = format!("{:?}", reply.code);
            for record in &reply.answers {
                text.extend([", ", &line(record)]);
            }
            for record in &reply.authorities {
                let (name, kind) = (record.name.to_ascii(), record.record_type().to_string());
                text.extend([" | ", &name, " ", &kind]);
            }
            for record in &reply.additionals {
                text.extend([" + ", &line(record)]);
            }
            text
        }
    }
}

fn check(zone: &Zone, table: &[(&str, &str, &str)]) {
    for (name, kind, want) in table {
        let want = want.replace('~', "default.svc.cluster.local.");
        let name = name.replace('~', "default.svc.cluster.local.");
        assert_eq!(shown(&ask(zone, &name, kind, FIRST)), want, "{name} {kind}");
    }
}

#[test]
fn services_with_addresses_of_their_own() {
    check(
        &world(settings()).zone,
        &[
            ("web.~", "A", "NoError, web.~ A 10.96.0.7"),
            ("web.~", "AAAA", "NoError, web.~ AAAA fd00::7"),
            (
                "WEB.Default.SVC.cluster.LOCAL.",
                "A",
                "NoError, WEB.Default.SVC.cluster.LOCAL. A 10.96.0.7",
            ),
            ("plain.~", "AAAA", "NoError | cluster.local. SOA"),
            ("web.~", "MX", "NoError | cluster.local. SOA"),
            ("web.~", "ANY", "NoError, web.~ HINFO RFC8482 "),
            (
                "_http._tcp.web.~",
                "SRV",
                "NoError, _http._tcp.web.~ SRV 0 100 80 web.~ + web.~ A 10.96.0.7 + web.~ AAAA fd00::7",
            ),
            (
                "_dns._udp.web.~",
                "SRV",
                "NoError, _dns._udp.web.~ SRV 0 100 53 web.~ + web.~ A 10.96.0.7 + web.~ AAAA fd00::7",
            ),
            (
                "_HTTP._TCP.web.~",
                "SRV",
                "NoError, _HTTP._TCP.web.~ SRV 0 100 80 web.~ + web.~ A 10.96.0.7 + web.~ AAAA fd00::7",
            ),
            ("_http._tcp.web.~", "A", "NoError | cluster.local. SOA"),
            ("_tcp.web.~", "SRV", "NoError | cluster.local. SOA"),
            ("_udp.web.~", "A", "NoError | cluster.local. SOA"),
            ("_sctp.web.~", "A", "NXDomain | cluster.local. SOA"),
            ("_http._udp.web.~", "SRV", "NXDomain | cluster.local. SOA"),
            ("_ftp._tcp.web.~", "SRV", "NXDomain | cluster.local. SOA"),
            ("http.tcp.web.~", "SRV", "NXDomain | cluster.local. SOA"),
            ("_._tcp.plain.~", "SRV", "NXDomain | cluster.local. SOA"),
            ("_tcp.plain.~", "SRV", "NXDomain | cluster.local. SOA"),
            ("plain.~", "SRV", "NoError, plain.~ SRV 0 100 80 plain.~ + plain.~ A 10.96.0.8"),
            ("x.web.~", "A", "NXDomain | cluster.local. SOA"),
            ("a._http._tcp.web.~", "A", "NXDomain | cluster.local. SOA"),
            ("nobody.~", "A", "NXDomain | cluster.local. SOA"),
            ("web.empty.svc.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
            ("web.nowhere.svc.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
        ],
    );
}

#[test]
fn headless_services_and_their_endpoints() {
    check(
        &world(settings()).zone,
        &[
            ("db.~", "A", "NoError, db.~ A 10.1.0.1, db.~ A 10.1.0.3"),
            ("db.~", "AAAA", "NoError, db.~ AAAA fd00::1"),
            ("db-0.db.~", "A", "NoError, db-0.db.~ A 10.1.0.1"),
            ("DB-0.db.~", "AAAA", "NoError, DB-0.db.~ AAAA fd00::1"),
            ("10-1-0-3.db.~", "A", "NoError, 10-1-0-3.db.~ A 10.1.0.3"),
            ("10-1-0-3.db.~", "AAAA", "NoError | cluster.local. SOA"),
            ("10-1-0-1.db.~", "A", "NXDomain | cluster.local. SOA"),
            ("db-1.db.~", "A", "NXDomain | cluster.local. SOA"),
            ("x.db-0.db.~", "A", "NXDomain | cluster.local. SOA"),
            (
                "_sql._tcp.db.~",
                "SRV",
                "NoError, _sql._tcp.db.~ SRV 0 50 5432 10-1-0-3.db.~, _sql._tcp.db.~ SRV 0 50 5432 db-0.db.~ \
            + 10-1-0-3.db.~ A 10.1.0.3 + db-0.db.~ A 10.1.0.1 + db-0.db.~ AAAA fd00::1",
            ),
            ("none.~", "A", "NXDomain | cluster.local. SOA"),
            ("eager.~", "A", "NoError, eager.~ A 10.1.0.9"),
            ("eager.~", "SRV", "NoError | cluster.local. SOA"),
            ("late.eager.~", "A", "NoError, late.eager.~ A 10.1.0.9"),
        ],
    );
}

#[test]
fn aliases_are_followed_within_the_zone_and_out_of_it() {
    let web = "web.~ A 10.96.0.7";
    check(
        &world(settings()).zone,
        &[
            ("out.~", "A", "out.~ CNAME www.example.org., elsewhere www.example.org."),
            ("out.~", "CNAME", "NoError, out.~ CNAME www.example.org."),
            ("out.~", "ANY", "NoError, out.~ HINFO RFC8482 "),
            ("x.out.~", "A", "NXDomain | cluster.local. SOA"),
            ("_x._tcp.out.~", "SRV", "NXDomain | cluster.local. SOA"),
            ("in.~", "A", &format!("NoError, in.~ CNAME web.~, {web}")),
            ("in.~", "TXT", "NoError, in.~ CNAME web.~ | cluster.local. SOA"),
            ("deep.~", "A", &format!("NoError, deep.~ CNAME in.~, in.~ CNAME web.~, {web}")),
            ("lost.~", "A", "NXDomain, lost.~ CNAME nobody.~ | cluster.local. SOA"),
            ("number.~", "A", "NXDomain | cluster.local. SOA"),
        ]
        .map(|(name, kind, want)| (name, kind, want)),
    );
    for name in ["ring.default.svc.cluster.local.", "self.default.svc.cluster.local."] {
        let text = shown(&ask(&world(settings()).zone, name, "A", FIRST));
        assert!(
            text.starts_with("ServFail") && text.matches("CNAME").count() == CHAIN_MAX + 1,
            "{text}"
        );
    }
}

#[test]
fn names_of_the_domain_itself() {
    check(
        &world(settings()).zone,
        &[
            (
                "cluster.local.",
                "NS",
                "NoError, cluster.local. NS ns.dns.cluster.local. + ns.dns.cluster.local. A 10.96.0.10 + ns.dns.cluster.local. AAAA fd00::a",
            ),
            ("cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("ns.dns.cluster.local.", "A", "NoError, ns.dns.cluster.local. A 10.96.0.10"),
            ("dns.cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("dns-version.cluster.local.", "TXT", "NoError, dns-version.cluster.local. TXT 1.1.0"),
            ("dns-version.cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("svc.cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("pod.cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("default.svc.cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("empty.svc.cluster.local.", "A", "NoError | cluster.local. SOA"),
            ("nowhere.svc.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
            ("default.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
            ("x.cluster.local.", "ANY", "NXDomain | cluster.local. SOA"),
            ("notcluster.local.", "A", "elsewhere notcluster.local."),
            ("local.", "A", "elsewhere local."),
            (".", "NS", "elsewhere ."),
            ("www.Example.org.", "A", "elsewhere www.Example.org."),
        ],
    );
    let Answer::Whole(reply) = ask(&world(settings()).zone, "cluster.local.", "SOA", FIRST) else {
        panic!("not ours")
    };
    let [soa] = &reply.answers[..] else { panic!("{reply:?}") };
    let RData::SOA(data) = &soa.data else { panic!("{soa:?}") };
    assert_eq!((soa.ttl, data.minimum, reply.authorities.len()), (5, 5, 0));
    assert_eq!(data.mname.to_ascii(), "ns.dns.cluster.local.");
}

#[test]
fn addresses_have_names_within_the_ranges() {
    let mut world = world(settings());
    let far = json!({"endpoints": [{"addresses": ["8.8.8.8"], "hostname": "dns"}, {"addresses": ["10.96.0.7"], "hostname": "not-web"}]});
    world.slice("default", "far", Some(("db", &far)));
    check(
        &world.zone,
        &[
            ("7.0.96.10.in-addr.arpa.", "PTR", "NoError, 7.0.96.10.in-addr.arpa. PTR web.~"),
            ("1.0.1.10.IN-ADDR.arpa.", "PTR", "NoError, 1.0.1.10.IN-ADDR.arpa. PTR db-0.db.~"),
            ("3.0.1.10.in-addr.arpa.", "PTR", "NXDomain | 1.10.in-addr.arpa. SOA"),
            ("1.0.1.10.in-addr.arpa.", "A", "NoError | 1.10.in-addr.arpa. SOA"),
            ("1.0.1.10.in-addr.arpa.", "ANY", "NoError, 1.0.1.10.in-addr.arpa. HINFO RFC8482 "),
            ("x.1.0.1.10.in-addr.arpa.", "PTR", "NXDomain | 1.10.in-addr.arpa. SOA"),
            ("0.1.10.in-addr.arpa.", "PTR", "NoError | 1.10.in-addr.arpa. SOA"),
            ("1.10.in-addr.arpa.", "NS", "NoError | 1.10.in-addr.arpa. SOA"),
            ("8.8.8.8.in-addr.arpa.", "PTR", "elsewhere 8.8.8.8.in-addr.arpa."),
            ("10.in-addr.arpa.", "NS", "elsewhere 10.in-addr.arpa."),
            (
                "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                "PTR",
                "NoError, 7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR web.~",
            ),
        ],
    );
    world.service("default", "web", None);
    check(
        &world.zone,
        &[("7.0.96.10.in-addr.arpa.", "PTR", "NoError, 7.0.96.10.in-addr.arpa. PTR not-web.db.~")],
    );
}

#[test]
fn pods_by_their_addresses() {
    let table =
        |known: &'static str, unknown: &'static str, six: &'static str, above: &'static str| {
            [
                ("10-1-0-7.default.pod.cluster.local.", "A", known),
                ("10-1-0-8.default.pod.cluster.local.", "A", unknown),
                ("fd00--7.default.pod.cluster.local.", "AAAA", six),
                ("default.pod.cluster.local.", "A", above),
                ("10-1-0-7.nowhere.pod.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
                ("nowhere.pod.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
                ("10-1-0.default.pod.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
                ("10-1-0-256.default.pod.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
                ("x.10-1-0-7.default.pod.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
            ]
        };
    let seven = "NoError, 10-1-0-7.default.pod.cluster.local. A 10.1.0.7";
    let six = "NoError, fd00--7.default.pod.cluster.local. AAAA fd00::7";
    let (none, empty) = ("NXDomain | cluster.local. SOA", "NoError | cluster.local. SOA");
    let of = |pods| {
        let mut world = world(Settings { pods, ..settings() });
        let addresses = ["10.1.0.7", "fd00::7"].map(|ip| ip.parse().unwrap());
        world.zone.set_pod(&"default".into(), &[], &addresses);
        world.zone.set_pod(&"default".into(), &[], &addresses);
        world.zone.set_pod(&"default".into(), &addresses, &[]);
        world.zone.set_pod(&"other".into(), &[], &["10.1.0.8".parse().unwrap()]);
        world
    };
    let eight = "NoError, 10-1-0-8.default.pod.cluster.local. A 10.1.0.8";
    check(&of(Pods::Insecure).zone, &table(seven, eight, six, empty));
    let mut verified = of(Pods::Verified);
    check(&verified.zone, &table(seven, none, six, empty));
    verified.zone.set_pod(
        &"default".into(),
        &["10.1.0.7", "fd00::7"].map(|ip| ip.parse().unwrap()),
        &[],
    );
    check(&verified.zone, &table(none, none, none, empty));
    check(&of(Pods::Disabled).zone, &table(none, none, none, none));
}

#[test]
fn nothing_is_denied_before_all_is_known() {
    let mut world = World::new(settings());
    world.zone.ready = false;
    for name in ["web.default.svc.cluster.local.", "x.cluster.local.", "7.0.96.10.in-addr.arpa."] {
        assert_eq!(shown(&ask(&world.zone, name, "A", FIRST)), "ServFail", "{name}");
    }
    assert_eq!(shown(&ask(&world.zone, "example.org.", "A", FIRST)), "elsewhere example.org.");
}

#[test]
fn who_comes_first_goes_round_and_no_more_are_told_than_fit() {
    let world = world(settings());
    let first = |turn| match ask(
        &world.zone,
        "db.default.svc.cluster.local.",
        "A",
        Choice { turn, most: 9 },
    ) {
        Answer::Whole(reply) => {
            reply.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>()
        }
        Answer::Elsewhere { .. } => Vec::new(),
    };
    assert_eq!(first(0), ["10.1.0.1", "10.1.0.3"]);
    assert_eq!(first(1), ["10.1.0.3", "10.1.0.1"]);
    assert_eq!(first(u64::MAX), first(1));
    for kind in ["A", "SRV"] {
        let one =
            ask(&world.zone, "db.default.svc.cluster.local.", kind, Choice { turn: 1, most: 1 });
        let Answer::Whole(reply) = one else { panic!("not ours") };
        assert_eq!(reply.answers.len(), 1);
    }
}

#[test]
fn a_change_touches_its_service_and_nothing_stays_of_what_is_gone() {
    let mut world = world(settings());
    let serial = world.zone.serial;
    let moved = json!({"endpoints": [{"addresses": ["10.1.0.1"], "hostname": "db-0"}]});
    // The slice goes to another service, which takes its endpoint with its name.
    world.slice("default", "db-4", Some(("none", &moved)));
    check(
        &world.zone,
        &[
            ("db.~", "A", "NoError | cluster.local. SOA"),
            ("db.~", "AAAA", "NoError, db.~ AAAA fd00::1"),
            ("none.~", "A", "NoError, none.~ A 10.1.0.1"),
            ("1.0.1.10.in-addr.arpa.", "PTR", "NoError, 1.0.1.10.in-addr.arpa. PTR db-0.none.~"),
        ],
    );
    assert_eq!(world.zone.serial, serial + 2);
    world.slice("default", "db-4", None);
    world.service("default", "none", None);
    world.zone.set_namespace(&"empty".into(), false);
    check(
        &world.zone,
        &[
            ("none.~", "A", "NXDomain | cluster.local. SOA"),
            ("1.0.1.10.in-addr.arpa.", "PTR", "NXDomain | 1.10.in-addr.arpa. SOA"),
            ("empty.svc.cluster.local.", "A", "NXDomain | cluster.local. SOA"),
        ],
    );
}

#[test]
fn labels_that_are_no_text_are_names_of_nothing() {
    let world = world(settings());
    let of = |end: &str| {
        let labels =
            [&b"\xff\xfe"[..], b"default"].into_iter().chain(end.split('.').map(str::as_bytes));
        let mut name = Name::from_labels(labels).unwrap();
        name.set_fqdn(true);
        answer(&Query::query(name, RecordType::A), &world.zone, FIRST)
    };
    assert_eq!(shown(&of("svc.cluster.local")), "NXDomain | cluster.local. SOA");
    assert!(matches!(of("example.org"), Answer::Elsewhere { .. }));
}
