// SPDX-License-Identifier: Apache-2.0
//! Objects in few words, and the table as text.

use berth_balancer_core::model::{Distribution, Endpoint, TrafficPolicy};
use berth_balancer_kubernetes::view::{Pod, Service, Slice};
use berth_balancer_kubernetes::{Around, Books};
use berth_balancer_service::wanted::Wish;
use berth_cluster_client::View;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn around() -> Around {
    Around {
        node: Some("n1".into()),
        zone: Some("z1".into()),
        addresses: vec!["192.168.7.2".parse().unwrap(), "127.0.0.1".parse().unwrap()],
        external_ips: false,
    }
}

/// A ClusterIP Service of one port 80, and what else its spec says.
pub(crate) fn service(address: &str, more: &Value) -> Value {
    let mut spec = json!({
        "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address],
        "ports": [{ "port": 80, "protocol": "TCP" }],
    });
    merge(&mut spec, more);
    json!({ "metadata": { "creationTimestamp": "2027-01-15T08:00:00Z" }, "spec": spec })
}

pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A slice of a Service: its endpoints have port 8080.
pub(crate) fn slice(service: &str, endpoints: &[Value]) -> Value {
    json!({
        "metadata": { "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4",
        "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
        "endpoints": endpoints,
    })
}

/// An endpoint `a` at 10.1.0.1 on n1, in words: `a 1 ready|not|ending|ended`, then what else it has.
pub(crate) fn endpoint(words: &str) -> Value {
    let mut all = words.split(' ');
    let (name, number, state) = (all.next().unwrap(), all.next().unwrap(), all.next().unwrap());
    let conditions = match state {
        "ready" => json!({ "ready": true, "serving": true, "terminating": false }),
        "not" => json!({ "ready": false, "serving": false, "terminating": false }),
        "ending" => json!({ "ready": false, "serving": true, "terminating": true }),
        "ended" => json!({ "ready": false, "serving": false, "terminating": true }),
        "unsaid" => json!({}),
        other => panic!("{other}"),
    };
    let mut one = json!({
        "addresses": [format!("10.1.0.{number}")],
        "conditions": conditions,
        "targetRef": { "kind": "Pod", "name": name },
        "nodeName": "n1",
        "zone": "z1",
    });
    for word in all {
        let (key, value) = word.split_once('=').unwrap();
        let named = json!([{ "name": value }]);
        match key {
            "node" => one["nodeName"] = json!(value),
            "zone" => one["zone"] = json!(value),
            "for" => one["hints"]["forZones"] = named,
            "fornode" => one["hints"]["forNodes"] = named,
            other => panic!("{other}"),
        }
    }
    one
}

pub(crate) fn read<V: View>(object: &Value) -> V {
    V::read(object.to_string().as_bytes()).unwrap()
}

pub(crate) fn put_service(books: &mut Books, name: &str, object: &Value) {
    books.service(("d".into(), name.into()), Some(read::<Service>(object)));
}

pub(crate) fn put_slice(books: &mut Books, name: &str, object: &Value) {
    books.slice("d".into(), name.into(), Some(read::<Slice>(object)));
}

pub(crate) fn put_pod(books: &mut Books, name: &str, object: &Value) {
    books.pod(("d".into(), name.into()), Some(read::<Pod>(object)));
}

/// What is wanted, a line each.
pub(crate) fn table(books: &mut Books) -> Vec<String> {
    books.wanted().values().map(text).collect()
}

fn text(wish: &Arc<Wish>) -> String {
    let service = &wish.service;
    let mut words = vec![service.name.to_string()];
    let lists = [
        ("cluster", &service.cluster_ips),
        ("external", &service.external_ips),
        ("balancer", &service.load_balancer_ips),
    ];
    for (kind, list) in lists {
        words.extend(list.iter().map(|ip| format!("{kind}={ip}")));
    }
    for port in &service.ports {
        let node = port.node_port.map(|port| format!("@{port}")).unwrap_or_default();
        let all = wish.endpoints.iter().filter_map(|one| {
            let own = one.ports.iter().find(|own| own.name == port.name)?;
            Some(format!("{}:{}{}", one.address, own.port, marks(one)))
        });
        let all = all.collect::<Vec<_>>().join(" ");
        words.push(format!("{}{}/{}{node}>[{all}]", port.name, port.port, port.protocol));
    }
    let settings = &service.settings;
    if settings.internal_policy == TrafficPolicy::Local {
        words.push("internal-local".into());
    }
    if settings.external_policy == TrafficPolicy::Local {
        words.push("external-local".into());
    }
    if let Some(affinity) = settings.affinity {
        words.push(format!("affinity={}s", affinity.timeout_ns / 1_000_000_000));
    }
    words.extend(settings.source_ranges.iter().map(|range| format!("from={range}")));
    words.extend(settings.health_check_node_port.map(|port| format!("health={port}")));
    match settings.distribution {
        Distribution::Any => {}
        Distribution::PreferSameZone => words.push("zone-first".into()),
        Distribution::PreferSameNode => words.push("node-first".into()),
    }
    words.join(" ")
}

/// `!` not ready, `~` terminating and serving, `x` terminating; `*` in this zone.
fn marks(one: &Endpoint) -> String {
    let state = match (one.ready, one.serving, one.terminating) {
        (true, _, false) => "",
        (true, _, true) => "?",
        (false, true, true) => "~",
        (false, false, true) => "x",
        (false, ..) => "!",
    };
    let zone = if one.zone.as_deref() == Some("z1") { "" } else { "-" };
    format!("{state}{zone}")
}
