// SPDX-License-Identifier: Apache-2.0
//! Files as a kubelet writes them.

use super::*;
use serde_json::{Value, json};

fn pod(spec: Value) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": "web-0", "namespace": "n", "uid": "u"}, "spec": spec}),
    )
    .unwrap()
}

fn facts() -> Facts {
    Facts {
        cluster_dns: vec!["10.96.0.10".to_owned()],
        cluster_domain: "cluster.local".to_owned(),
        resolver: Resolver::parse(
            "# c\nnameserver 127.0.0.11\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch old.\nsearch a.example b.example.\noptions edns0 ndots:1\noptions edns0\nsortlist x\n",
        ),
        hosts: "127.0.0.1 localhost\n10.0.0.1 node\n".to_owned(),
        ..Facts::default()
    }
}

const HEAD: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

fn of(spec: Value) -> Etc {
    Etc::of(&pod(spec), &facts(), &["10.1.0.7".to_owned(), "fd::7".to_owned()]).unwrap()
}

#[test]
fn hosts() {
    let aliases = json!([{"ip": "1.2.3.4", "hostnames": ["a", "b"]}, {"ip": "5.6.7.8\n9.9.9.9", "hostnames": ["c\n6.6.6.6 bank"]}]);
    let tail = "\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n5.6.7.89.9.9.9\tc6.6.6.6 bank\n";
    for (spec, want) in [
        (json!({}), format!("{HEAD}10.1.0.7\tweb-0\nfd::7\tweb-0\n")),
        (json!({"hostname": "h"}), format!("{HEAD}10.1.0.7\th\nfd::7\th\n")),
        (
            json!({"subdomain": "s"}),
            format!(
                "{HEAD}10.1.0.7\tweb-0.s.n.svc.cluster.local\tweb-0\nfd::7\tweb-0.s.n.svc.cluster.local\tweb-0\n"
            ),
        ),
        (json!({"hostAliases": aliases}), format!("{HEAD}10.1.0.7\tweb-0\nfd::7\tweb-0\n{tail}")),
        (
            json!({"hostNetwork": true, "hostAliases": aliases}),
            format!(
                "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n10.0.0.1 node\n{tail}"
            ),
        ),
    ] {
        assert_eq!(of(spec).hosts, want);
    }
    assert_eq!(Etc::of(&pod(json!({})), &facts(), &[]).unwrap().hosts, "");
}

#[test]
fn resolvers() {
    let config = json!({"nameservers": ["1.1.1.1", "10.96.0.10", "127.0.0.11", "2.2.2.2\nsearch evil"], "searches": ["a.example", "own"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "debug"}, {"name": "x", "value": ""}]});
    let cluster = "search n.svc.cluster.local svc.cluster.local cluster.local a.example b.example\nnameserver 10.96.0.10\noptions ndots:5\n";
    let host = "search a.example b.example\nnameserver 9.9.9.9\noptions edns0 ndots:1\n";
    let host_net = "search a.example b.example\nnameserver 127.0.0.53\nnameserver 9.9.9.9\noptions edns0 ndots:1\n";
    for (spec, want) in [
        (json!({}), cluster),
        (json!({"dnsPolicy": "ClusterFirst"}), cluster),
        (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), host_net),
        (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), cluster),
        (json!({"dnsPolicy": "ClusterFirstWithHostNet"}), cluster),
        (json!({"dnsPolicy": "Default"}), host),
        (json!({"dnsPolicy": "None"}), ""),
        (json!({"dnsPolicy": "Sometimes"}), cluster),
        (
            json!({"dnsPolicy": "None", "dnsConfig": config}),
            "search a.example own\nnameserver 1.1.1.1\nnameserver 10.96.0.10\nnameserver 2.2.2.2searchevil\noptions ndots:2 debug x\n",
        ),
        (
            json!({"dnsConfig": config}),
            "search n.svc.cluster.local svc.cluster.local cluster.local a.example b.example own\nnameserver 10.96.0.10\nnameserver 1.1.1.1\nnameserver 2.2.2.2searchevil\noptions ndots:2 debug x\n",
        ),
    ] {
        let etc = of(spec.clone());
        assert_eq!(etc.resolv_conf, want, "{spec}");
        assert!(etc.warnings.is_empty() && !etc.resolv_conf.contains("127.0.0.11"));
    }
    let bare = Facts { cluster_dns: Vec::new(), ..facts() };
    let etc = Etc::of(&pod(json!({})), &bare, &[]).unwrap();
    assert_eq!((etc.resolv_conf.as_str(), etc.warnings[0].0), (host, "MissingClusterDNS"));
}

#[test]
fn what_resolvers_do_not_read_is_left_out_and_said() {
    let many = |count: usize, length: usize| -> Vec<String> {
        (0..count).map(|at| format!("{at:0>length$}")).collect()
    };
    let of = |servers: Vec<String>, searches: Vec<String>| {
        of(
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": servers, "searches": searches}}),
        )
    };
    let etc = of(
        vec!["1.1.1.1".into(), "2.2.2.2".into(), "3.3.3.3".into(), "4.4.4.4".into()],
        many(33, 4),
    );
    assert_eq!(etc.resolv_conf.matches("nameserver").count(), 3);
    assert_eq!(etc.resolv_conf.lines().next().unwrap().split(' ').count(), 33);
    let reasons: Vec<_> = etc
        .warnings
        .iter()
        .map(|(reason, text)| (*reason, text.split(',').next().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("DNSConfigForming", "Nameserver limits were exceeded"),
            ("DNSConfigForming", "Search Line limits were exceeded")
        ]
    );
    // 32 x 63 and the blanks between are 2,047: just within.
    assert!(of(vec![], many(32, 63)).warnings.is_empty());
    let etc = of(vec![], many(32, 64));
    assert_eq!(etc.resolv_conf.trim_end().len(), "search ".len() + 31 * 65 - 1);
    assert_eq!(etc.warnings.len(), 1);
}

#[test]
fn names_of_hosts() {
    let name = |pod: &Pod| kernel_hostname(pod, "cluster.local").map_err(|error| error.to_string());
    let named = |text: &str| {
        let mut pod = pod(json!({}));
        pod.metadata.name = Some(text.to_owned());
        pod
    };
    assert_eq!(name(&named("a.b-c")).as_deref(), Ok("a.b-c"));
    assert_eq!(name(&named(&"a".repeat(64))), Ok("a".repeat(63)));
    assert_eq!(name(&named(&format!("{}-.x", "a".repeat(61)))), Ok("a".repeat(61)));
    assert!(
        name(&named("-a")).is_err() && name(&named("a\nb")).is_err() && name(&named("")).is_err()
    );
    assert_eq!(
        name(&pod(json!({"hostname": "A"}))).unwrap_err(),
        "pod Hostname \"A\" is not a valid DNS label"
    );
    assert_eq!(
        name(&pod(json!({"subdomain": "a.b"}))).unwrap_err(),
        "pod Subdomain \"a.b\" is not a valid DNS label"
    );
    assert_eq!(
        name(&pod(json!({"subdomain": "s", "setHostnameAsFQDN": true}))).as_deref(),
        Ok("web-0.s.n.svc.cluster.local")
    );
    assert_eq!(name(&pod(json!({"setHostnameAsFQDN": true}))).as_deref(), Ok("web-0"));
    let long = name(&pod(
        json!({"hostname": "a".repeat(43), "subdomain": "s", "setHostnameAsFQDN": true}),
    ))
    .unwrap_err();
    assert!(long.contains("(64 characters is the max, 65 characters requested)"), "{long}");
    assert_eq!(of(json!({"hostname": "h"})).hostname, "h\n");
    assert_eq!(of(json!({"hostNetwork": true})).hostname, "");
}
