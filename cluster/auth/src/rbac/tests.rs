// SPDX-License-Identifier: Apache-2.0
//! Tests of decisions: tables, escalation, and against a naive evaluator.

use super::*;
use berth_cluster_json::{Value, json};

fn index(objects: &[(&str, Value)]) -> Index {
    let mut index = Index::default();
    for (kind, object) in objects {
        index.put(kind, object);
    }
    index
}

fn one_rule(rule: &Value) -> Index {
    index(&[
        ("ClusterRole", json!({"metadata":{"name":"r"},"rules":[rule]})),
        (
            "ClusterRoleBinding",
            json!({"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"r"},
                   "subjects":[{"kind":"User","name":"u"}]}),
        ),
    ])
}

#[test]
fn wildcards_subresources_names_and_paths_are_as_upstream() {
    let user = User::authenticated("u", "", vec![]);
    let rule = |groups: &str, resource: &str, names: Value| json!({"verbs":["get"],"apiGroups":[groups],"resources":[resource],"resourceNames":names});
    for (rule, resource, sub, name, want) in [
        (rule("", "pods", json!([])), "pods", "", "", true),
        (rule("", "pods", json!([])), "pods", "log", "", false),
        (rule("", "pods/log", json!([])), "pods", "log", "", true),
        (rule("", "pods/log", json!([])), "pods", "", "", false),
        (rule("", "pods/*", json!([])), "pods", "log", "", false),
        (rule("", "*/scale", json!([])), "deployments", "scale", "", true),
        (rule("", "*/scale", json!([])), "scale", "", "", false),
        (rule("", "*", json!([])), "pods", "exec", "", true),
        (rule("*", "pods", json!([])), "pods", "", "", true),
        (rule("apps", "pods", json!([])), "pods", "", "", false),
        (rule("", "pods", json!(["a"])), "pods", "", "a", true),
        (rule("", "pods", json!(["a"])), "pods", "", "b", false),
        (rule("", "pods", json!(["a"])), "pods", "", "", false),
    ] {
        let asked = Attributes {
            subresource: sub,
            name,
            ..Attributes::resource(&user, "get", "", resource)
        };
        assert_eq!(one_rule(&rule).allowed(&asked).allowed, want, "{rule} {asked:?}");
    }
    for (url, path, want) in [
        ("/healthz", "/healthz", true),
        ("/healthz", "/healthz/x", false),
        ("/healthz/*", "/healthz/x", true),
        ("/healthz/*", "/healthz", false),
        ("*", "/anything", true),
    ] {
        let index = one_rule(&json!({"verbs":["get"],"nonResourceURLs":[url]}));
        let got = index.allowed(&Attributes::path(&user, "get", path)).allowed;
        assert_eq!(got, want, "{url} {path}");
    }
}

#[test]
fn messages_are_upstreams() {
    let user = User::authenticated("x", "", vec![]);
    let pods = Attributes::resource(&user, "list", "", "pods");
    let table = [
        (
            Attributes { namespace: "y", ..pods },
            r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y""#,
        ),
        (
            pods,
            r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope"#,
        ),
        (
            Attributes { verb: "get", name: "a", subresource: "log", namespace: "y", ..pods },
            r#"pods "a" is forbidden: User "x" cannot get resource "pods/log" in API group "" in the namespace "y""#,
        ),
        (Attributes::path(&user, "get", "/z"), r#"forbidden: User "x" cannot get path "/z""#),
    ];
    for (asked, want) in table {
        assert_eq!(forbidden(&asked, "").message, want);
    }
}

#[test]
fn a_binding_of_a_namespace_holds_there_only_and_goes_when_removed() {
    let user = User::service_account("a", "robot", "1");
    let mut index = index(&[
        (
            "Role",
            json!({"metadata":{"name":"r","namespace":"a"},
                "rules":[{"verbs":["*"],"apiGroups":[""],"resources":["pods"]},
                         {"verbs":["*"],"nonResourceURLs":["*"]}]}),
        ),
        (
            "RoleBinding",
            json!({"metadata":{"name":"b","namespace":"a"},"roleRef":{"kind":"Role","name":"r"},
                   "subjects":[{"kind":"ServiceAccount","name":"robot"}]}),
        ),
    ]);
    let in_namespace =
        |namespace| Attributes { namespace, ..Attributes::resource(&user, "get", "", "pods") };
    assert!(index.allowed(&in_namespace("a")).allowed);
    assert!(!index.allowed(&in_namespace("b")).allowed);
    assert!(!index.allowed(&in_namespace("")).allowed);
    let path = Attributes { namespace: "a", ..Attributes::path(&user, "get", "/x") };
    assert!(!index.allowed(&path).allowed, "no namespace grants a path");
    index.remove("RoleBinding", "a", "b");
    assert!(!index.allowed(&in_namespace("a")).allowed);
    assert!(index.users.is_empty());
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let rule = |verbs: Value, resources: Value| {
        Rule::read(&json!({"verbs":verbs,"apiGroups":[""],"resources":resources}))
    };
    let have = [rule(json!(["get"]), json!(["pods"])), rule(json!(["list"]), json!(["pods"]))];
    assert!(uncovered(&have, &[rule(json!(["get", "list"]), json!(["pods"]))]).is_empty());
    assert_eq!(uncovered(&have, &[rule(json!(["*"]), json!(["pods"]))]).len(), 1);
    assert_eq!(uncovered(&have, &[rule(json!(["get"]), json!(["pods", "secrets"]))]).len(), 1);
    assert_eq!(uncovered(&have, &[rule(json!(["get"]), json!(["*"]))]).len(), 1);
    let user = User::authenticated("u", "", vec![]);
    let missing = uncovered(&have, &[rule(json!(["get"]), json!(["secrets"]))]);
    assert_eq!(
        not_held(&user, "roles", "r", &missing).message,
        "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"u\" (groups=[\"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
    );
}

/// Numbers that repeat, so that a failure does.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// The rules by the book, over the objects themselves.
fn naive(objects: &[(&str, Value)], asked: &Attributes<'_>) -> bool {
    let has = |list: &Value, text: &str| {
        list.as_array().is_some_and(|list| list.iter().any(|one| one == "*" || one == text))
    };
    objects.iter().filter(|(kind, _)| kind.ends_with("Binding")).any(|(_, binding)| {
        let home = &binding["metadata"]["namespace"];
        let here = home.is_null() || home == asked.namespace;
        let mine = binding["subjects"].as_array().unwrap().iter().any(|one| {
            (one["kind"] == "User" && one["name"] == *asked.user.name)
                || (one["kind"] == "Group" && asked.user.is_in(one["name"].as_str().unwrap()))
        });
        here && mine
            && objects.iter().any(|(kind, role)| {
                let reference = &binding["roleRef"];
                reference["kind"] == *kind
                    && role["metadata"]["name"] == reference["name"]
                    && (*kind == "ClusterRole" || role["metadata"]["namespace"] == *home)
                    && role["rules"].as_array().unwrap().iter().any(|rule| {
                        has(&rule["verbs"], asked.verb)
                            && has(&rule["apiGroups"], asked.group)
                            && (has(&rule["resources"], &asked.full_resource())
                                || (!asked.subresource.is_empty()
                                    && has(
                                        &rule["resources"],
                                        &format!("*/{}", asked.subresource),
                                    )))
                            && (rule["resourceNames"] == json!([])
                                || rule["resourceNames"] == json!([asked.name]))
                    })
            })
    })
}

fn random_objects(dice: &mut Dice) -> Vec<(&'static str, Value)> {
    let mut objects = Vec::new();
    for name in ["p", "q"] {
        for home in [None, Some("a"), Some("b")] {
            let rule = json!({"verbs":[dice.pick(&["get", "list", "*"])],"apiGroups":[dice.pick(&["", "apps", "*"])],
                "resources":[dice.pick(&["pods", "pods/log", "*", "*/log", "secrets"])],
                "resourceNames": if dice.below(3) == 0 { json!(["n"]) } else { json!([]) }});
            let subject =
                json!({"kind":dice.pick(&["User", "Group"]),"name":dice.pick(&["u", "v", "g"])});
            let kind =
                if home.is_some() { dice.pick(&["Role", "ClusterRole"]) } else { "ClusterRole" };
            let role = json!({"metadata":{"name":name,"namespace":home},"rules":[rule]});
            let binding = json!({"metadata":{"name":name,"namespace":home},
                "roleRef":{"kind":kind,"name":dice.pick(&["p", "q", "gone"])},"subjects":[subject]});
            let kinds = if home.is_some() {
                ("Role", "RoleBinding")
            } else {
                ("ClusterRole", "ClusterRoleBinding")
            };
            objects.push((kinds.0, role));
            objects.push((kinds.1, binding));
        }
    }
    objects
}

#[test]
fn the_index_decides_as_a_naive_evaluator() {
    let mut dice = Dice(7);
    let mut yes = 0;
    for round in 0..2_000 {
        let objects = random_objects(&mut dice);
        let index = index(&objects);
        for _ in 0..20 {
            let groups = if dice.below(2) == 0 { vec!["g".to_owned()] } else { vec![] };
            let user = User::authenticated(dice.pick(&["u", "v"]), "", groups);
            let asked = Attributes {
                subresource: dice.pick(&["", "log"]),
                namespace: dice.pick(&["", "a", "b"]),
                name: dice.pick(&["", "n", "m"]),
                ..Attributes::resource(
                    &user,
                    dice.pick(&["get", "list"]),
                    dice.pick(&["", "apps"]),
                    dice.pick(&["pods", "secrets"]),
                )
            };
            let got = index.allowed(&asked).allowed;
            yes += u32::from(got);
            assert_eq!(got, naive(&objects, &asked), "round {round}: {asked:?} {objects:?}");
        }
    }
    assert!(yes > 1_000, "the mix must allow something: {yes}");
}
