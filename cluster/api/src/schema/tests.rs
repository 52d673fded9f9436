// SPDX-License-Identifier: Apache-2.0
//! The table is whole, and says what upstream's types say.

use super::*;

/// The lists of a kind are made, not told by the table.
fn is_list(one: &Structure) -> bool {
    one.fields.len() == 4 && one.fields.contains_key("items") && one.fields.contains_key("kind")
}

#[test]
fn every_line_of_the_table_is_read() {
    let lines = TABLE.lines().filter(|line| !line.starts_with(['#', '@'])).count();
    let fields: usize = built_in()
        .structures
        .iter()
        .filter(|one| one.name != "any" && !is_list(one))
        .map(|one| one.fields.len())
        .sum();
    assert_eq!(fields, lines);
    let empty: Vec<&str> = built_in()
        .structures
        .iter()
        .filter(|one| one.fields.is_empty())
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(empty, ["apiextensions.v1.CustomResourceSubresourceStatus"], "named, but not told");
}

#[test]
fn kinds_are_found_with_their_lists() {
    for (group, version, kind) in [
        ("", "v1", "Pod"),
        ("", "v1", "PodList"),
        ("apps", "v1", "Deployment"),
        ("events.k8s.io", "v1", "Event"),
        ("discovery.k8s.io", "v1", "EndpointSlice"),
        ("autoscaling", "v1", "Scale"),
        ("autoscaling", "v2", "HorizontalPodAutoscaler"),
        ("policy", "v1", "Eviction"),
        ("authentication.k8s.io", "v1", "TokenRequest"),
        ("authorization.k8s.io", "v1", "SelfSubjectAccessReview"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("rbac.authorization.k8s.io", "v1", "ClusterRoleBindingList"),
        ("apps", "v1", "DeleteOptions"),
    ] {
        assert!(lookup(group, version, kind).is_some(), "{group}/{version} {kind}");
    }
    assert!(lookup("", "v1", "Deployment").is_none());
}

#[test]
fn a_field_has_its_keys_and_its_place() {
    let spec = named("core.v1.PodSpec").unwrap();
    let (containers, list) = spec.field("containers").unwrap();
    assert!(containers.patch.merge && containers.required);
    assert_eq!(containers.merge_key, "name");
    let container = list.items().unwrap();
    let (ports, _) = container.field("ports").unwrap();
    assert_eq!(ports.merge_key, "containerPort");
    assert_eq!(ports.map_keys, ["containerPort", "protocol"]);
    assert_eq!(named("core.v1.Volume").unwrap().field("emptyDir").unwrap().0.tags, [2, 2]);
    assert!(Schema::any().field("metadata").unwrap().1.field("name").is_some());
}
