// SPDX-License-Identifier: Apache-2.0
//! Rules of ingresses, network policies, runtime classes, quotas and limits of which the record says nothing.
#![allow(clippy::unwrap_used, reason = "what a test writes has these fields")]

mod judge;

use berth_cluster_api::registry::Part;
use berth_cluster_json::{Value, json};
use judge::{changed, fields, kind, made, sound, with};

fn policy(ports: Value, from: Value) -> Value {
    let spec = json!({ "podSelector": {}, "ingress": [{ "ports": ports, "from": from }] });
    json!({ "metadata": { "name": "p" }, "spec": spec })
}

#[test]
fn ports_of_a_policy_are_ranges_of_numbers() {
    let ports =
        json!([{ "port": 5, "endPort": 4 }, { "port": "web", "endPort": 9 }, { "endPort": 9 }]);
    let wanted = [
        "spec.ingress[0].ports[0].endPort: Invalid value: 5: must be greater than or equal to `port`",
        "spec.ingress[0].ports[1].endPort: Invalid value: 9: may not be specified when `port` is non-numeric",
        "spec.ingress[0].ports[2].endPort: Invalid value: 9: may not be specified when `port` is not specified",
    ];
    assert_eq!(made("NetworkPolicy", &policy(ports, json!([]))).1, wanted);
    let block = |cidr: &str, except: &str| {
        let from = json!([{ "ipBlock": { "cidr": cidr, "except": [except] } }]);
        made("NetworkPolicy", &policy(json!([]), from)).1.len()
    };
    assert_eq!(block("10.0.0.0/8", "10.200.0.0/16"), 0);
    assert_eq!(block("::/0", "fd00::/8"), 0);
    for (cidr, except) in
        [("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.0/8", "fd00::/16"), ("10.0.0.0/8", "11.0.0.0/9")]
    {
        assert_eq!(block(cidr, except), 1, "{cidr} {except}");
    }
}

fn ingress(host: &str, path: &str, backend: Value) -> Value {
    let path = json!({ "path": path, "pathType": "Prefix", "backend": backend });
    let rule = json!({ "host": host, "http": { "paths": [path] } });
    json!({ "metadata": { "name": "i" }, "spec": { "rules": [rule] } })
}

#[test]
fn an_ingress_leads_from_a_host_and_a_path_to_one_backend() {
    let service = json!({ "service": { "name": "s", "port": { "number": 80 } } });
    sound("Ingress", &ingress("*.example.org", "/a", service.clone()));
    let errors = made("Ingress", &ingress("a.*.org", "/a//b/..", service)).1;
    assert!(errors[0].starts_with(
        "spec.rules[0].host: Invalid value: \"a.*.org\": a wildcard DNS-1123 subdomain"
    ));
    let path = "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\"";
    assert_eq!(
        errors[1..],
        [format!("{path}: must not contain '//'"), format!("{path}: cannot end with '/..'")]
    );
    for (backend, wrong) in [
        (json!({}), "resource or service backend is required"),
        (json!({ "service": { "name": "s" } }), "port name or number is required"),
        (
            json!({ "service": { "name": "s", "port": { "name": "a", "number": 1 } } }),
            "cannot set both port name & port number",
        ),
        (json!({ "resource": { "kind": "K" } }), "name is required"),
    ] {
        let errors = made("Ingress", &ingress("a.org", "/", backend)).1;
        assert!(errors.len() == 1 && errors[0].ends_with(wrong), "{errors:?}");
    }
}

#[test]
fn an_ingress_is_shown_with_its_first_hosts_and_addresses() {
    let mut object = sound(
        "Ingress",
        &ingress("a.org", "/", json!({ "service": { "name": "s", "port": { "name": "web" } } })),
    );
    let rule = object["spec"]["rules"][0].clone();
    let named = |host: &str| with(&rule, "/host", host.into());
    object["spec"]["rules"] = json!([rule, named("b.org"), named("c.org"), named("d.org")]);
    object["metadata"]["creationTimestamp"] = "1970-01-01T00:00:00Z".into();
    object["status"] =
        json!({ "loadBalancer": { "ingress": [{ "ip": "10.0.0.2" }, { "hostname": "x.org" }] } });
    let cells = kind("Ingress").rules.cells(object.as_object().unwrap(), 60);
    let wanted =
        json!(["i", "<none>", "a.org,b.org,c.org + 1 more...", "10.0.0.2,x.org", "80", "60s"]);
    assert_eq!(Value::from(cells), wanted);
    let bad = with(
        &object,
        "/status/loadBalancer/ingress",
        json!([{ "ip": "x", "hostname": "10.0.0.1" }]),
    );
    let errors = changed("Ingress", &object, &bad, Part::Status).1;
    let at = "status.loadBalancer.ingress[0]";
    assert_eq!(fields(&errors), [format!("{at}.ip"), format!("{at}.hostname")], "{errors:?}");
}

#[test]
fn a_class_of_ingresses_has_parameters_in_a_scope() {
    let class = |parameters: Value| json!({ "metadata": { "name": "c" }, "spec": { "controller": "a.org/b", "parameters": parameters } });
    let old =
        sound("IngressClass", &class(json!({ "apiGroup": "x.org", "kind": "K", "name": "n" })));
    assert_eq!(old["spec"]["parameters"]["scope"], "Cluster");
    let cells = kind("IngressClass").rules.cells(old.as_object().unwrap(), 0);
    assert_eq!(cells[2], "K.x.org/n");
    let bad = class(json!({ "kind": "K", "name": "n", "scope": "Namespace" }));
    let wanted =
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'";
    assert_eq!(made("IngressClass", &bad).1, [wanted]);
    let new = with(&old, "/spec/controller", "a.org/c".into());
    let errors = changed("IngressClass", &old, &new, Part::Main).1;
    assert_eq!(errors, ["spec.controller: Invalid value: \"a.org/c\": field is immutable"]);
}

#[test]
fn a_runtime_class_keeps_its_handler() {
    let toleration = json!({ "key": "k", "operator": "Exists" });
    let old = json!({
        "metadata": { "name": "r" }, "handler": "h",
        "overhead": { "podFixed": { "cpu": "1" } }, "scheduling": { "tolerations": [toleration] },
    });
    sound("RuntimeClass", &old);
    let bad = with(
        &with(&old, "/scheduling/tolerations", json!([toleration, toleration])),
        "/overhead/podFixed",
        json!({ "x": "1" }),
    );
    let errors = made("RuntimeClass", &bad).1;
    assert_eq!(
        fields(&errors),
        ["overhead.limits[x]", "overhead.limits[x]", "scheduling.tolerations[1]"],
        "{errors:?}"
    );
    let errors = changed("RuntimeClass", &old, &with(&old, "/handler", "i".into()), Part::Main).1;
    assert_eq!(errors, ["handler: Invalid value: \"i\": field is immutable"]);
}

#[test]
fn a_quota_has_scopes_that_agree() {
    let quota = |spec: Value| {
        made("ResourceQuota", &json!({ "metadata": { "name": "q" }, "spec": spec })).1
    };
    let hard = json!({ "pods": "1", "count/jobs.batch": "2", "requests.nvidia.com/gpu": "1" });
    assert_eq!(quota(json!({ "hard": hard, "scopes": ["NotBestEffort"] })), [""; 0]);
    assert_eq!(
        fields(&quota(json!({ "hard": { "things": "1", "pods": "-1" } }))),
        ["spec.hard[pods]", "spec.hard[things]", "spec.hard[things]"]
    );
    let errors =
        quota(json!({ "hard": { "cpu": "1" }, "scopes": ["BestEffort", "NotBestEffort", "X"] }));
    let ends: Vec<&str> = errors.iter().map(|it| it.rsplit_once(": ").unwrap().1).collect();
    assert_eq!(
        ends,
        ["unsupported scope", "unsupported scope applied to resource", "conflicting scopes"]
    );
    let term = json!({ "scopeName": "PriorityClass", "operator": "In" });
    let errors =
        quota(json!({ "hard": { "pods": "1" }, "scopeSelector": { "matchExpressions": [term] } }));
    assert_eq!(fields(&errors), ["spec.scopeSelector.matchExpressions.values"]);
}

#[test]
fn a_quota_is_shown_with_what_is_used() {
    let quota = json!({ "metadata": { "name": "q", "creationTimestamp": "1970-01-01T00:00:00Z" }, "status": {
        "hard": { "pods": "5", "limits.cpu": "2" }, "used": { "pods": "1" } } });
    let cells = kind("ResourceQuota").rules.cells(quota.as_object().unwrap(), 60);
    assert_eq!(Value::from(cells), json!(["q", "60s", "pods: 1/5", "limits.cpu: 0/2"]));
}

#[test]
fn limits_are_in_order() {
    let limits = |limit: Value| {
        made("LimitRange", &json!({ "metadata": { "name": "l" }, "spec": { "limits": [limit] } })).1
    };
    let bad = json!({ "type": "Container", "min": { "cpu": "3" }, "max": { "cpu": "2" }, "maxLimitRequestRatio": { "cpu": "500m" } });
    let errors = limits(bad);
    assert!(errors[0].ends_with("min value 3 is greater than max value 2"), "{errors:?}");
    assert!(errors.last().unwrap().ends_with("ratio 500m is less than 1"), "{errors:?}");
    let far = json!({ "type": "Pod", "min": { "cpu": "1" }, "max": { "cpu": "3" }, "maxLimitRequestRatio": { "cpu": "4" } });
    let wanted = "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"4\": ratio 4 is greater than max/min = 3.000000";
    assert_eq!(limits(far), [wanted]);
    assert_eq!(
        fields(&limits(json!({ "type": "Other", "max": { "x.org/y": "1" } }))),
        ["spec.limits[0].type"]
    );
}
