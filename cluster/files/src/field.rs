// SPDX-License-Identifier: Apache-2.0
//! The downward API: fields and amounts of a pod as text (upstream's `pkg/fieldpath` and `pkg/api/v1/resource`).

use crate::error::ReferenceError;
use crate::facts::Facts;
use crate::pod;
use berth_scheduler_model::quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The value of a field of the pod's own object, as files and variables have it.
pub(crate) fn of_object(pod: &Pod, path: &str) -> Result<String, ReferenceError> {
    let metadata = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(ReferenceError::Field { path: path.to_owned() }),
        };
        let value = map.as_ref().and_then(|map| map.get(key));
        return Ok(value.cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod::name(pod).to_owned(),
        "metadata.namespace" => pod::namespace(pod).to_owned(),
        "metadata.uid" => pod::uid(pod).to_owned(),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        _ => return Err(ReferenceError::Field { path: path.to_owned() }),
    })
}

/// The value of a field as variables have it: of the object, and what is known once the pod is on its node.
pub(crate) fn of_running(
    pod: &Pod,
    path: &str,
    facts: &Facts,
    addresses: &[String],
) -> Result<String, ReferenceError> {
    let first = |all: &[String]| all.first().cloned().unwrap_or_default();
    let spec = pod::spec(pod);
    Ok(match path {
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&facts.addresses),
        "status.hostIPs" => facts.addresses.join(","),
        "status.podIP" => first(addresses),
        "status.podIPs" => addresses.join(","),
        _ => return of_object(pod, path),
    })
}

/// `metadata.labels['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// A line for each key, in order, with the value in quotation marks.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// As Go quotes a text (`strconv.Quote`).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{07}' => quoted.push_str("\\a"),
            '\u{08}' => quoted.push_str("\\b"),
            '\u{0c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{0b}' => quoted.push_str("\\v"),
            _ => push_printable(&mut quoted, c),
        }
    }
    quoted.push('"');
    quoted
}

fn push_printable(quoted: &mut String, c: char) {
    // Rust too writes what cannot be printed as an escape; of white space Go prints the blank alone.
    let escaped = "x".chars().chain([c]).collect::<String>().escape_debug().count() > 2;
    if c == ' ' || c == '\'' || !(escaped || c.is_whitespace()) {
        quoted.push(c);
        return;
    }
    let code = u32::from(c);
    let written = match code {
        0..0x80 => write!(quoted, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    written.expect("a String takes what it is given");
}

/// An amount of a container, in units of the divisor and rounded up. A limit that it lacks is what the node has for pods.
pub(crate) fn amount(
    pod: &Pod,
    container: Option<&Container>,
    reference: &ResourceFieldSelector,
    facts: &Facts,
) -> Result<String, ReferenceError> {
    let named = reference.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match (named, container) {
        (Some(name), _) => pod::container(pod, name),
        (None, container) => container,
    };
    let absent = || ReferenceError::Container { name: named.unwrap_or_default().to_owned() };
    let container = container.ok_or_else(absent)?;
    let resource = reference.resource.as_str();
    let unknown = || ReferenceError::Resource { resource: resource.to_owned() };
    let (list, name) = resource.split_once('.').ok_or_else(unknown)?;
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage");
    if !(known || name.starts_with("hugepages-")) {
        return Err(unknown());
    }
    let resources = container.resources.as_ref();
    let amounts = match list {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let mut value = match amounts.and_then(|amounts| amounts.get(name)) {
        Some(quantity) => read(name, quantity)?,
        None => 0,
    };
    if value == 0 && list == "limits" {
        value = match name {
            "cpu" => facts.allocatable.cpu_milli,
            "memory" => facts.allocatable.memory_bytes,
            "ephemeral-storage" => facts.allocatable.ephemeral_storage_bytes,
            _ => 0,
        };
    }
    let one = if name == "cpu" { 1_000 } else { 1 };
    let divisor = match &reference.divisor {
        Some(divisor) => read(name, divisor)?,
        None => 0,
    };
    let divisor = if divisor == 0 { one } else { divisor };
    Ok(u64::try_from(value).unwrap_or(0).div_ceil(u64::try_from(divisor).unwrap_or(1)).to_string())
}

/// Thousandths of a core, or bytes.
pub(crate) fn read(name: &str, quantity: &Quantity) -> Result<i64, ReferenceError> {
    let read =
        if name == "cpu" { quantity::milli(&quantity.0) } else { quantity::units(&quantity.0) };
    read.map_err(|why| ReferenceError::Quantity {
        resource: name.to_owned(),
        text: quantity.0.clone(),
        why: why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::NodeAmounts;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn fields_of_the_object() {
        let pod = pod(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u",
                "labels": {"b": "2", "a.io/x": "it's \"one\"\nline\\"}, "annotations": {"é\u{1}": "\u{a0}\u{7f}é"}},
        }));
        for (path, want) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels", "a.io/x=\"it's \\\"one\\\"\\nline\\\\\"\nb=\"2\""),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['a.io/x']", "it's \"one\"\nline\\"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations", "é\u{1}=\"\\u00a0\\x7fé\""),
        ] {
            assert_eq!(of_object(&pod, path).as_deref(), Ok(want), "{path}");
        }
        for path in
            ["", "spec.nodeName", "metadata", "metadata.finalizers['a']", "metadata.name['a']"]
        {
            let error = of_object(&pod, path).unwrap_err().to_string();
            assert_eq!(error, format!("unsupported fieldPath: {path}"));
        }
    }

    #[test]
    fn fields_of_a_running_pod() {
        let pod = pod(serde_json::json!({
            "metadata": {"name": "p"}, "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": []},
        }));
        let facts =
            Facts { addresses: vec!["10.0.0.1".into(), "fd::1".into()], ..Facts::default() };
        let addresses = ["10.1.0.9".to_owned(), "fd::9".to_owned()];
        for (path, want) in [
            ("spec.nodeName", "n1"),
            ("spec.serviceAccountName", "sa"),
            ("status.hostIP", "10.0.0.1"),
            ("status.hostIPs", "10.0.0.1,fd::1"),
            ("status.podIP", "10.1.0.9"),
            ("status.podIPs", "10.1.0.9,fd::9"),
            ("metadata.name", "p"),
        ] {
            assert_eq!(of_running(&pod, path, &facts, &addresses).as_deref(), Ok(want), "{path}");
        }
        assert_eq!(of_running(&pod, "status.podIP", &facts, &[]).as_deref(), Ok(""));
    }

    #[test]
    fn amounts() {
        let pod = pod(serde_json::json!({"spec": {
            "containers": [{"name": "a", "resources": {
                "limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"cpu": "250m", "hugepages-2Mi": "4Mi"}}}],
            "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "0"}}}]}}));
        let allocatable =
            NodeAmounts { cpu_milli: 3_900, memory_bytes: 7 << 30, ephemeral_storage_bytes: 11 };
        let facts = Facts { allocatable, ..Facts::default() };
        let value = |container: &str, resource: &str, divisor: Option<&str>| {
            let reference = ResourceFieldSelector {
                container_name: Some(container.to_owned()).filter(|name| !name.is_empty()),
                divisor: divisor.map(|text| Quantity(text.to_owned())),
                resource: resource.to_owned(),
            };
            amount(&pod, pod::container(&pod, "a"), &reference, &facts)
        };
        for (container, resource, divisor, want) in [
            ("", "limits.cpu", None, "2"),
            ("a", "limits.cpu", Some("1m"), "1500"),
            ("a", "limits.cpu", Some("0"), "2"),
            ("", "requests.cpu", Some("1m"), "250"),
            ("", "limits.memory", None, "104857600"),
            ("", "limits.memory", Some("1Mi"), "100"),
            ("", "limits.memory", Some("3Mi"), "34"),
            ("", "requests.memory", None, "0"),
            ("", "limits.ephemeral-storage", None, "11"),
            ("", "requests.hugepages-2Mi", Some("1Mi"), "4"),
            ("i", "limits.cpu", None, "4"),
            ("i", "limits.memory", Some("1Gi"), "7"),
        ] {
            let got = value(container, resource, divisor);
            assert_eq!(got.as_deref(), Ok(want), "{container} {resource}");
        }
        for resource in ["limits.pods", "cpu", "limits.nvidia.com/gpu", "used.cpu", ""] {
            let error = value("", resource, None).unwrap_err().to_string();
            assert_eq!(error, format!("unsupported container resource : {resource}"));
        }
        let error = value("none", "limits.cpu", None).unwrap_err();
        assert_eq!(error.to_string(), "container none not found");
        assert!(value("", "limits.cpu", Some("x")).is_err());
    }
}
