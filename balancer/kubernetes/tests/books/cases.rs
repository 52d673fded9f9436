// SPDX-License-Identifier: Apache-2.0
//! Case by case, as kube-proxy v1.33 does it.

use crate::support::{
    around, endpoint, merge, put_pod, put_service, put_slice, service, slice, table,
};
use berth_balancer_kubernetes::{Around, Books, Object};
use serde_json::{Value, json};

/// The table of one Service `web` with these endpoints.
fn check(spec: &Value, endpoints: &[&str], want: &[&str]) {
    let mut books = Books::new(around());
    put_service(&mut books, "web", &service("10.96.0.1", spec));
    let endpoints: Vec<Value> = endpoints.iter().map(|words| endpoint(words)).collect();
    put_slice(&mut books, "web-1", &slice("web", &endpoints));
    assert_eq!(table(&mut books), want, "{spec}");
}

/// Why not all of an object is served.
fn reasons(books: &mut Books, object: Object) -> Vec<String> {
    let _ = table(books);
    books.notes(&object).into_iter().map(|note| note.reason.to_owned()).collect()
}

fn web() -> Object {
    Object::Service(("d".into(), "web".into()))
}

#[test]
fn a_cluster_address_has_the_endpoints_of_its_slices() {
    check(
        &json!({}),
        &["a 1 ready", "b 2 not", "c 3 ending", "e 4 ended", "f 5 unsaid"],
        &[
            "d/web cluster=10.96.0.1 80/TCP>[10.1.0.1:8080 10.1.0.2:8080! 10.1.0.3:8080~ 10.1.0.4:8080x 10.1.0.5:8080]",
        ],
    );
    check(&json!({}), &[], &["d/web cluster=10.96.0.1 80/TCP>[]"]);
}

#[test]
fn ports_on_nodes_and_addresses_of_load_balancers() {
    let node = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] });
    check(&node, &[], &["d/web cluster=10.96.0.1 80/TCP@30080>[]"]);
    let mut books = Books::new(around());
    let balanced = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
        "ports": [{ "port": 80, "nodePort": 30080 }],
    });
    let mut object = service("10.96.0.1", &balanced);
    let status = json!({ "status": { "loadBalancer": { "ingress": [
        { "ip": "198.19.0.1" }, { "ip": "198.19.0.2", "ipMode": "Proxy" },
        { "ip": "198.19.0.3", "ipMode": "VIP" }, { "hostname": "lb.example.com" }, { "ip": "fd00::1" },
    ] } } });
    merge(&mut object, &status);
    put_service(&mut books, "web", &object);
    let want = "d/web cluster=10.96.0.1 balancer=198.19.0.1 balancer=198.19.0.3 80/TCP@30080>[] external-local health=31000";
    assert_eq!(table(&mut books), [want]);
    // With ranges, its addresses are apart: the node's ports are for all, as with kube-proxy.
    object["spec"]["loadBalancerSourceRanges"] =
        json!(["10.0.0.0/8", " 192.0.2.0/24 ", "nonsense"]);
    put_service(&mut books, "web", &object);
    let want = [
        "d/web cluster=10.96.0.1 80/TCP@30080>[] external-local health=31000",
        "d/web (load balancer) balancer=198.19.0.1 balancer=198.19.0.3 80/TCP>[] external-local \
         from=10.0.0.0/8 from=192.0.2.0/24 from=255.255.255.255/32",
    ];
    assert_eq!(table(&mut books), want);
    // Another type: the status is of no more use, and the health check goes.
    object["spec"]["type"] = json!("ClusterIP");
    object["spec"]["ports"] = json!([{ "port": 80 }]);
    put_service(&mut books, "web", &object);
    assert_eq!(table(&mut books), ["d/web cluster=10.96.0.1 80/TCP>[]"]);
}

#[test]
fn policies_and_affinity() {
    check(
        &json!({ "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local" }),
        &[],
        &["d/web cluster=10.96.0.1 80/TCP>[] internal-local"],
    );
    check(
        &json!({ "type": "NodePort", "externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP" }),
        &[],
        &["d/web cluster=10.96.0.1 80/TCP>[] external-local affinity=10800s"],
    );
    check(
        &json!({
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 60 } },
        }),
        &[],
        &["d/web cluster=10.96.0.1 80/TCP>[] affinity=60s"],
    );
    // A number without the word says nothing.
    check(
        &json!({
            "sessionAffinity": "None", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 60 } },
        }),
        &[],
        &["d/web cluster=10.96.0.1 80/TCP>[]"],
    );
}

#[test]
fn what_is_not_for_this_proxy_is_left_out() {
    for spec in [
        json!({ "clusterIP": "None", "clusterIPs": ["None"] }),
        json!({ "type": "ExternalName", "clusterIP": "", "clusterIPs": null }),
        json!({ "clusterIP": "", "clusterIPs": null }),
    ] {
        check(&spec, &["a 1 ready"], &[]);
    }
    for label in ["service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"] {
        let mut object = service("10.96.0.1", &json!({}));
        object["metadata"]["labels"] = json!({ label: "" });
        let mut books = Books::new(around());
        put_service(&mut books, "web", &object);
        assert!(table(&mut books).is_empty(), "{label}");
    }
}

#[test]
fn several_ports_go_by_their_names_and_protocols() {
    let spec = json!({ "ports": [
        { "name": "dns", "port": 53, "protocol": "UDP" },
        { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
        { "name": "metrics", "port": 9153 },
        { "name": "gossip", "port": 99, "protocol": "SCTP" },
    ] });
    let mut books = Books::new(around());
    put_service(&mut books, "web", &service("10.96.0.10", &spec));
    let mut one = slice("web", &[endpoint("a 1 ready")]);
    one["ports"] = json!([
        { "name": "dns", "port": 5353, "protocol": "UDP" },
        { "name": "dns-tcp", "port": 5354, "protocol": "TCP" },
        { "name": "metrics", "port": null },
        { "name": "gossip", "port": 99, "protocol": "SCTP" },
        { "name": "unknown", "port": 1 },
    ]);
    put_slice(&mut books, "web-1", &one);
    // Another pod has the named port elsewhere, and stands in a slice of its own.
    let mut two = slice("web", &[endpoint("b 2 ready")]);
    two["ports"] = json!([
        { "name": "dns", "port": 53, "protocol": "TCP" },
        { "name": "metrics", "port": 9999, "protocol": "TCP" },
    ]);
    put_slice(&mut books, "web-2", &two);
    let want = "d/web cluster=10.96.0.10 dns53/UDP>[10.1.0.1:5353] dns-tcp53/TCP>[10.1.0.1:5354] \
                metrics9153/TCP>[10.1.0.2:9999]";
    assert_eq!(table(&mut books), [want]);
    assert_eq!(reasons(&mut books, web()), ["ProtocolNotSupported"]);
}

#[test]
fn slices_that_overlap_are_one_and_the_better_one_counts() {
    let mut books = Books::new(around());
    put_slice(&mut books, "web-2", &slice("web", &[endpoint("a 1 not"), endpoint("b 2 ready")]));
    assert!(table(&mut books).is_empty(), "a slice before its Service");
    put_service(&mut books, "web", &service("10.96.0.1", &json!({})));
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("a 1 ready"), endpoint("c 3 ready")]));
    let want = "d/web cluster=10.96.0.1 80/TCP>[10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080]";
    assert_eq!(table(&mut books), [want]);
    // One pod that got the address of another: one of both, and not a conflict.
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("z 2 ready")]));
    let want = "d/web cluster=10.96.0.1 80/TCP>[10.1.0.1:8080! 10.1.0.2:8080]";
    assert_eq!(table(&mut books), [want]);
    // A slice moves to another Service.
    put_service(&mut books, "api", &service("10.96.0.2", &json!({})));
    put_slice(&mut books, "web-2", &slice("api", &[endpoint("a 1 ready")]));
    let want = [
        "d/api cluster=10.96.0.2 80/TCP>[10.1.0.1:8080]",
        "d/web cluster=10.96.0.1 80/TCP>[10.1.0.2:8080]",
    ];
    assert_eq!(table(&mut books), want);
}

#[test]
fn two_pods_of_one_name_and_two_ports_of_one_pod_are_all_there() {
    let mut books = Books::new(around());
    put_service(&mut books, "web", &service("10.96.0.1", &json!({})));
    // A StatefulSet's pod that is made anew while the old one ends.
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("a 1 ending"), endpoint("a 2 ready")]));
    let mut moved = slice("web", &[endpoint("a 2 ready")]);
    moved["ports"][0]["port"] = json!(9090);
    put_slice(&mut books, "web-2", &moved);
    let want = "d/web cluster=10.96.0.1 80/TCP>[10.1.0.1:8080~ 10.1.0.2:8080 10.1.0.2:9090]";
    assert_eq!(table(&mut books), [want]);
}

#[test]
fn other_versions_of_ip_are_counted_and_not_used() {
    let mut books = Books::new(around());
    put_service(
        &mut books,
        "web",
        &service("10.96.0.1", &json!({ "clusterIPs": ["10.96.0.1", "fd00::1"] })),
    );
    let mut six = slice("web", &[endpoint("a 1 ready")]);
    six["addressType"] = json!("IPv6");
    put_slice(&mut books, "web-6", &six);
    assert_eq!(table(&mut books), ["d/web cluster=10.96.0.1 80/TCP>[]"]);
    assert_eq!(books.counts().2, 1);
    put_service(&mut books, "web", &service("fd00::1", &json!({})));
    assert!(table(&mut books).is_empty());
    assert_eq!(reasons(&mut books, web()), ["AddressNotSupported"]);
    books.slice("d".into(), "web-6".into(), None);
    assert_eq!(books.counts().2, 0);
}

#[test]
fn hints_are_followed_when_all_ready_endpoints_have_them_and_one_is_for_here() {
    for (endpoints, want) in [
        (
            &["a 1 ready for=z1", "b 2 ready zone=z2 for=z2"][..],
            "[10.1.0.1:8080 10.1.0.2:8080-] zone-first",
        ),
        // An endpoint of another zone that is meant for this one counts as near.
        (
            &["a 1 ready zone=z2 for=z1", "b 2 ready for=z2"],
            "[10.1.0.1:8080 10.1.0.2:8080-] zone-first",
        ),
        (&["a 1 ready for=z1", "b 2 ready zone=z2"], "[10.1.0.1:8080 10.1.0.2:8080-]"),
        (&["a 1 ready for=z2", "b 2 ready zone=z2 for=z2"], "[10.1.0.1:8080 10.1.0.2:8080-]"),
        // Those that are not ready say nothing.
        (&["a 1 ready for=z1", "b 2 not zone=z2"], "[10.1.0.1:8080 10.1.0.2:8080!-] zone-first"),
        (&["a 1 not for=z1"], "[10.1.0.1:8080!]"),
        (
            &["a 1 ready for=z1 fornode=n1", "b 2 ready for=z1 node=n2 fornode=n2"],
            "[10.1.0.1:8080 10.1.0.2:8080-] node-first",
        ),
        (
            &["a 1 ready for=z1 fornode=n2", "b 2 ready for=z2 fornode=n2"],
            "[10.1.0.1:8080 10.1.0.2:8080-] zone-first",
        ),
    ] {
        check(&json!({}), endpoints, &[&format!("d/web cluster=10.96.0.1 80/TCP>{want}")]);
    }
}

#[test]
fn external_addresses_are_off_unless_they_are_allowed() {
    let mut books = Books::new(around());
    let object = service("10.96.0.1", &json!({ "externalIPs": ["203.0.113.9"] }));
    put_service(&mut books, "web", &object);
    assert_eq!(table(&mut books), ["d/web cluster=10.96.0.1 80/TCP>[]"]);
    assert_eq!(reasons(&mut books, web()), ["ExternalIPsOff"]);
    books.around(Around { external_ips: true, ..around() });
    assert_eq!(table(&mut books), ["d/web cluster=10.96.0.1 external=203.0.113.9 80/TCP>[]"]);
    assert!(reasons(&mut books, web()).is_empty());
}

#[test]
fn of_two_that_want_a_place_the_older_has_it_until_it_goes() {
    let mut books = Books::new(around());
    let spec = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] });
    let mut young = service("10.96.0.1", &spec);
    young["metadata"]["creationTimestamp"] = json!("2027-01-15T09:00:00Z");
    put_service(&mut books, "web", &young);
    assert_eq!(table(&mut books), ["d/web cluster=10.96.0.1 80/TCP@30080>[]"]);
    put_service(&mut books, "old", &service("10.96.0.2", &spec));
    let want = ["d/old cluster=10.96.0.2 80/TCP@30080>[]", "d/web cluster=10.96.0.1 80/TCP>[]"];
    assert_eq!(table(&mut books), want);
    assert_eq!(reasons(&mut books, web()), ["PortConflict"]);
    books.service(("d".into(), "old".into()), None);
    assert_eq!(table(&mut books), ["d/web cluster=10.96.0.1 80/TCP@30080>[]"]);
    assert!(reasons(&mut books, web()).is_empty());
    // UDP is another place.
    let udp = json!({ "type": "NodePort", "ports": [{ "port": 80, "protocol": "UDP", "nodePort": 30080 }] });
    put_service(&mut books, "old", &service("10.96.0.2", &udp));
    let want =
        ["d/old cluster=10.96.0.2 80/UDP@30080>[]", "d/web cluster=10.96.0.1 80/TCP@30080>[]"];
    assert_eq!(table(&mut books), want);
}

#[test]
fn nobody_takes_a_cluster_address_by_an_external_one() {
    let mut books = Books::new(Around { external_ips: true, ..around() });
    let mut thief = service("10.96.0.9", &json!({ "externalIPs": ["10.96.0.1"] }));
    thief["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    put_service(&mut books, "thief", &thief);
    put_service(&mut books, "web", &service("10.96.0.1", &json!({})));
    let want = ["d/thief cluster=10.96.0.9 80/TCP>[]", "d/web cluster=10.96.0.1 80/TCP>[]"];
    assert_eq!(table(&mut books), want);
}

#[test]
fn an_endpoint_that_is_the_service_itself_is_left_out() {
    let mut books = Books::new(around());
    let spec = json!({ "ports": [{ "port": 8080 }] });
    put_service(&mut books, "web", &service("10.1.0.1", &spec));
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("a 1 ready"), endpoint("b 2 ready")]));
    assert_eq!(table(&mut books), ["d/web cluster=10.1.0.1 8080/TCP>[10.1.0.2:8080]"]);
}

fn pod(ports: &Value, more: &Value) -> Value {
    let mut pod = json!({
        "metadata": { "creationTimestamp": "2027-01-15T08:00:00Z" },
        "spec": { "nodeName": "n1", "containers": [{ "ports": ports }] },
        "status": { "phase": "Running", "podIP": "10.1.0.7" },
    });
    merge(&mut pod, more);
    pod
}

#[test]
fn ports_of_pods_on_this_node_are_served() {
    let ports = json!([
        { "hostPort": 8080, "containerPort": 80 },
        { "hostPort": 5353, "containerPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1" },
        { "containerPort": 9000 },
        { "hostPort": 7, "containerPort": 7, "protocol": "SCTP" },
        { "hostPort": 81, "containerPort": 81, "hostIP": "203.0.113.1" },
    ]);
    let check = |more: &Value, want: &[&str]| {
        let mut books = Books::new(around());
        put_pod(&mut books, "p", &pod(&ports, more));
        assert_eq!(table(&mut books), want, "{more}");
        books
    };
    let served = [
        "hostport/d/p/127.0.0.1:5353-53/UDP balancer=127.0.0.1 5353/UDP>[10.1.0.7:53]",
        "hostport/d/p/8080-80/TCP 8080/TCP@8080>[10.1.0.7:80]",
    ];
    let mut books = check(&json!({}), &served);
    let object = Object::Pod(("d".into(), "p".into()));
    assert_eq!(reasons(&mut books, object), ["AddressNotLocal", "ProtocolNotSupported"]);
    let ending = [
        "hostport/d/p/127.0.0.1:5353-53/UDP balancer=127.0.0.1 5353/UDP>[10.1.0.7:53~]",
        "hostport/d/p/8080-80/TCP 8080/TCP@8080>[10.1.0.7:80~]",
    ];
    check(&json!({ "metadata": { "deletionTimestamp": "2027-01-15T08:01:00Z" } }), &ending);
    check(&json!({ "spec": { "hostNetwork": true } }), &[]);
    check(&json!({ "spec": { "nodeName": "n2" } }), &[]);
    check(&json!({ "status": { "phase": "Succeeded" } }), &[]);
    check(&json!({ "status": { "podIP": "" } }), &[]);
}

#[test]
fn a_services_node_port_goes_before_a_pods_port() {
    let mut books = Books::new(around());
    put_pod(
        &mut books,
        "p",
        &pod(&json!([{ "hostPort": 30080, "containerPort": 80 }]), &json!({})),
    );
    put_pod(
        &mut books,
        "q",
        &pod(&json!([{ "hostPort": 80, "containerPort": 80, "hostIP": "127.0.0.1" }]), &json!({})),
    );
    assert_eq!(table(&mut books).len(), 2);
    let spec = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] });
    put_service(&mut books, "web", &service("10.96.0.1", &spec));
    let want = [
        "d/web cluster=10.96.0.1 80/TCP@30080>[]",
        "hostport/d/q/127.0.0.1:80-80/TCP balancer=127.0.0.1 80/TCP>[10.1.0.7:80]",
    ];
    assert_eq!(table(&mut books), want);
    let object = Object::Pod(("d".into(), "p".into()));
    assert_eq!(reasons(&mut books, object), ["PortConflict"]);
    // Two ports of one pod that want the same: one of them.
    let twice =
        json!([{ "hostPort": 99, "containerPort": 1 }, { "hostPort": 99, "containerPort": 2 }]);
    put_pod(&mut books, "q", &pod(&twice, &json!({})));
    let want =
        ["d/web cluster=10.96.0.1 80/TCP@30080>[]", "hostport/d/q/99-1/TCP 99/TCP@99>[10.1.0.7:1]"];
    assert_eq!(table(&mut books), want);
}
