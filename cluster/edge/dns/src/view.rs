// SPDX-License-Identifier: Apache-2.0
//! What is kept of objects: the little that names need.

use crate::settings::host_name;
use berth_cluster_client::{ObjectError, View};
use compact_str::CompactString as Text;
use hickory_proto::rr::Name;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;

/// A field that is missing or null has its default.
fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ObjectError> {
    serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))
}

/// A Namespace: it is there.
#[derive(Debug)]
pub(crate) struct Namespace;

impl View for Namespace {
    fn read(_: &[u8]) -> Result<Self, ObjectError> {
        Ok(Self)
    }
}

/// A Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub(crate) reach: Reach,
    pub(crate) ports: Vec<Port>,
    /// Endpoints have names before they are ready.
    pub(crate) not_ready_too: bool,
}

/// How a service is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reach {
    /// Not yet, or by nothing that is a name or an address.
    Nowhere,
    /// At addresses of its own.
    At(Vec<IpAddr>),
    /// At those of its endpoints.
    Headless,
    /// Under another name.
    Elsewhere(Name),
}

/// A port of a service, or of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    /// In lower case; empty if it has none.
    pub(crate) name: Text,
    /// In lower case.
    pub(crate) protocol: Text,
    pub(crate) number: u16,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawService {
    spec: RawServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawServiceSpec {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: Text,
    #[serde(rename = "clusterIP", deserialize_with = "nullable")]
    cluster_ip: Text,
    #[serde(rename = "clusterIPs", deserialize_with = "nullable")]
    cluster_ips: Vec<Text>,
    #[serde(deserialize_with = "nullable")]
    external_name: String,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<RawPort>,
    #[serde(deserialize_with = "nullable")]
    publish_not_ready_addresses: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPort {
    #[serde(deserialize_with = "nullable")]
    name: Text,
    #[serde(deserialize_with = "nullable")]
    protocol: Text,
    port: Option<u16>,
}

fn ports(raw: Vec<RawPort>) -> Vec<Port> {
    let lower = |text: &Text| text.to_ascii_lowercase();
    let port = |raw: RawPort| {
        let protocol = if raw.protocol.is_empty() { "tcp".into() } else { lower(&raw.protocol) };
        // A slice's port without a number means all ports, which no SRV record can say.
        Some(Port { name: lower(&raw.name), protocol, number: raw.port? })
    };
    let mut ports: Vec<_> = raw.into_iter().filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

impl View for Service {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let RawService { spec } = read(json)?;
        let reach = if spec.kind == "ExternalName" {
            host_name(&spec.external_name).map_or(Reach::Nowhere, Reach::Elsewhere)
        } else if spec.cluster_ip == "None" {
            Reach::Headless
        } else {
            let mut addresses: Vec<IpAddr> =
                spec.cluster_ips.iter().filter_map(|ip| ip.parse().ok()).collect();
            let first = spec.cluster_ip.parse().ok();
            if let Some(first) = first.filter(|first| !addresses.contains(first)) {
                addresses.insert(0, first);
            }
            if addresses.is_empty() { Reach::Nowhere } else { Reach::At(addresses) }
        };
        let not_ready_too = spec.publish_not_ready_addresses;
        Ok(Self { reach, ports: ports(spec.ports), not_ready_too })
    }
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slice {
    /// Whose endpoints they are; empty if nobody's.
    pub(crate) service: Text,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ports: Vec<Port>,
}

/// One that serves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    /// The first address is the one that counts (upstream's API says so of all that consume slices).
    pub(crate) address: IpAddr,
    pub(crate) ready: bool,
    /// In lower case; none if it is no label.
    pub(crate) hostname: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSlice {
    metadata: RawSliceMeta,
    #[serde(deserialize_with = "nullable")]
    endpoints: Vec<RawEndpoint>,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<RawPort>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSliceMeta {
    #[serde(deserialize_with = "nullable")]
    labels: RawLabels,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLabels {
    #[serde(rename = "kubernetes.io/service-name")]
    service: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEndpoint {
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<Text>,
    #[serde(deserialize_with = "nullable")]
    conditions: RawConditions,
    #[serde(deserialize_with = "nullable")]
    hostname: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
}

impl View for Slice {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let raw: RawSlice = read(json)?;
        let endpoint = |raw: RawEndpoint| {
            let hostname = Some(raw.hostname.to_ascii_lowercase());
            Some(Endpoint {
                // Slices of host names have none that is an address.
                address: raw.addresses.first()?.parse().ok()?,
                // What is not said counts as ready.
                ready: raw.conditions.ready != Some(false),
                hostname: hostname.filter(|name| is_label(name)),
            })
        };
        let endpoints = raw.endpoints.into_iter().filter_map(endpoint).collect();
        Ok(Self { service: raw.metadata.labels.service, endpoints, ports: ports(raw.ports) })
    }
}

/// Whether a text is one label of a host name. One that begins with `_` would be taken for a protocol.
fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// A Pod: its addresses, as long as it has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pod {
    pub(crate) addresses: Vec<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPod {
    #[serde(deserialize_with = "nullable")]
    status: RawPodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPodStatus {
    #[serde(deserialize_with = "nullable")]
    phase: Text,
    #[serde(rename = "podIP", deserialize_with = "nullable")]
    pod_ip: Text,
    #[serde(rename = "podIPs", deserialize_with = "nullable")]
    pod_ips: Vec<RawPodIp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPodIp {
    #[serde(deserialize_with = "nullable")]
    ip: Text,
}

impl View for Pod {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let RawPod { status } = read(json)?;
        // The addresses of those that have ended are given to others.
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return Ok(Self { addresses: Vec::new() });
        }
        let all = status.pod_ips.iter().map(|one| &one.ip).chain([&status.pod_ip]);
        let mut addresses: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(Self { addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(spec: &serde_json::Value) -> Service {
        Service::read(json!({"spec": spec}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_service_is_reached_as_its_type_and_addresses_say() {
        let at = |ips: &[&str]| Reach::At(ips.iter().map(|ip| ip.parse().unwrap()).collect());
        for (spec, want) in [
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd::1"]}),
                at(&["10.0.0.1", "fd::1"]),
            ),
            (json!({"clusterIP": "10.0.0.1", "clusterIPs": null}), at(&["10.0.0.1"])),
            (json!({"clusterIP": "None", "clusterIPs": ["None"]}), Reach::Headless),
            (json!({"clusterIP": ""}), Reach::Nowhere),
            (json!({}), Reach::Nowhere),
            (json!({"type": "ExternalName", "externalName": "1.2.3.4"}), Reach::Nowhere),
            (json!({"type": "ExternalName", "externalName": "a b"}), Reach::Nowhere),
            (json!({"type": "ExternalName", "externalName": "a..b"}), Reach::Nowhere),
            (
                json!({"type": "ExternalName", "externalName": "db.example.org"}),
                Reach::Elsewhere(Name::from_ascii("db.example.org.").unwrap()),
            ),
        ] {
            assert_eq!(service(&spec).reach, want, "{spec}");
        }
        let ports = json!([{"name": "DNS", "protocol": "UDP", "port": 53}, {"port": 80}]);
        let read = service(&json!({"ports": ports, "publishNotReadyAddresses": true})).ports;
        let port = |name: &str, protocol: &str, number| Port {
            name: name.into(),
            protocol: protocol.into(),
            number,
        };
        assert_eq!(read, [port("", "tcp", 80), port("dns", "udp", 53)]);
    }

    #[test]
    fn a_slice_has_endpoints_with_addresses_and_names_that_can_be_names() {
        let json = json!({"metadata": {"labels": {"kubernetes.io/service-name": "web", "x": "y"}}, "ports": null, "endpoints": [
            {"addresses": ["10.1.0.1", "10.1.0.9"], "hostname": "Web-0", "conditions": {"ready": false}},
            {"addresses": ["10.1.0.2"], "hostname": "_tcp", "conditions": {}},
            {"addresses": ["10.1.0.3"], "hostname": "a.b", "conditions": null},
            {"addresses": ["host.example.org"]}, {"addresses": []}, {}]});
        let slice = Slice::read(json.to_string().as_bytes()).unwrap();
        let endpoint = |address: &str, ready, hostname: Option<&str>| Endpoint {
            address: address.parse().unwrap(),
            ready,
            hostname: hostname.map(Text::from),
        };
        assert_eq!(slice.service, "web");
        let want = [
            endpoint("10.1.0.1", false, Some("web-0")),
            endpoint("10.1.0.2", true, None),
            endpoint("10.1.0.3", true, None),
        ];
        assert_eq!(slice.endpoints, want);
    }

    #[test]
    fn a_pod_that_has_ended_has_no_address() {
        let pod = |phase: &str| {
            let json = json!({"status": {"phase": phase, "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd::1"}]}});
            Pod::read(json.to_string().as_bytes()).unwrap().addresses.len()
        };
        assert_eq!([pod("Running"), pod("Pending"), pod("Failed"), pod("Succeeded")], [2, 2, 0, 0]);
    }
}
