// SPDX-License-Identifier: Apache-2.0
//! Rows of services in tables.

use super::spec::texts;
use crate::kinds::row::{column, wide};
use crate::kinds::view::View;
use crate::registry::Column;
use crate::{Map, cells};
use berth_cluster_json::Value;
use std::collections::BTreeSet;

/// The columns between the name and the age.
pub(super) fn columns() -> [Column; 4] {
    [
        column("Type", "string", "How the service is exposed."),
        column("Cluster-IP", "string", "The address of the service in the cluster."),
        column("External-IP", "string", "Addresses and names by which it is reached from outside."),
        column(
            "Port(s)",
            "string",
            "The ports of the service, and those of nodes that lead to them.",
        ),
    ]
}

/// The column after the age.
pub(super) const SELECTOR: Column =
    wide("Selector", "string", "Labels of the pods that traffic goes to.");

/// The cells of a service.
pub(super) fn service(object: &Map, now: i64) -> Vec<Value> {
    let spec = object.at("spec");
    let address = texts(spec, "clusterIPs").first().copied().unwrap_or("<none>");
    vec![
        cells::name(object),
        spec.text("type").into(),
        address.into(),
        outside(object).into(),
        or_none(spec.list("ports").iter().map(port).collect()).into(),
        cells::age(object, now),
        cells::labels(spec.map("selector")).into(),
    ]
}

fn or_none(all: Vec<String>) -> String {
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}

fn port(port: &Value) -> String {
    let (number, protocol) = (port.int("port").unwrap_or(0), port.text("protocol"));
    match port.int("nodePort").filter(|port| *port > 0) {
        Some(node) => format!("{number}:{node}/{protocol}"),
        None => format!("{number}/{protocol}"),
    }
}

fn outside(object: &Map) -> String {
    let spec = object.at("spec");
    let mut external: Vec<String> =
        texts(spec, "externalIPs").into_iter().map(str::to_owned).collect();
    match spec.text("type") {
        "ClusterIP" | "NodePort" => or_none(external),
        "LoadBalancer" => {
            let given = object.at("status").at("loadBalancer").list("ingress");
            let given: BTreeSet<&str> = given
                .iter()
                .map(|one| if one.has("ip") { one.text("ip") } else { one.text("hostname") })
                .filter(|one| !one.is_empty())
                .collect();
            let mut all: Vec<String> = given.into_iter().map(str::to_owned).collect();
            all.append(&mut external);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => spec.text("externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}
