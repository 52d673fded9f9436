// SPDX-License-Identifier: Apache-2.0
//! From pods and neighbours to what is not for them.

use crate::machine::Machine;
use crate::{inside, pod, says};
use berth_balancer_testkit::until;

/// Who may, and who may not, beside the neighbour's own address.
const ALLOWED: &str = "192.168.77.9";

pub(crate) fn attack_47_what_is_the_nodes_own(machine: &Machine) {
    let (node, outside) = (&machine.engine.node, &machine.outside);
    // A program that trusts the node's loopback, and a port of a pod that is published nowhere.
    let _trusting = node.spawn("busybox httpd -f -p 127.0.0.1:18765 -h /proc/sys/kernel");
    until("the node itself is answered", || {
        node.try_sh("curl -fsS -m 2 http://127.0.0.1:18765/hostname").is_some()
    });
    let serve = "echo private > /tmp/page; exec httpd -f -p 8080 -h /tmp";
    let probe = ", readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}";
    machine.apply(&pod("private", serve, probe, ""));
    machine.tell("wait --for=condition=Ready pod/private --timeout=60s");
    let ip = machine.tell("get pod private -o jsonpath={.status.podIP}");
    let page = format!("http://{ip}:8080/page");
    assert_eq!(inside(machine, "victim", &format!("wget -qO- {page}")), "private\n");
    let gateway = ip.rsplit_once('.').unwrap().0.to_owned() + ".1";
    // The API's own loopback, the scheduler, the balancer, Docker, kube-proxy's and kubelet's open ports, clouds' metadata.
    let ports = [6443, 7301, 7302, 7303, 7304, 2375, 2376, 10_248, 10_255, 18_765];
    for place in [gateway.as_str(), "192.168.77.2"] {
        // At the gateway pods find the API.
        let is_api = |port: u16| place == gateway && port == 6443;
        for port in ports.into_iter().filter(|port| !is_api(*port)) {
            let line = format!("nc -w 2 {place} {port} </dev/null && echo open");
            assert_ne!(inside(machine, "victim", &line), "open\n", "{place}:{port} from a pod");
        }
    }
    let metadata = "timeout 2 wget -qO- http://169.254.169.254/ && echo open";
    assert_ne!(inside(machine, "victim", metadata), "open\n");
    // A neighbour who sends everything to the node.
    outside.sh(
        "ip route add 10.244.0.0/16 via 192.168.77.2; ip route add 172.16.0.0/12 via 192.168.77.2",
    );
    assert!(outside.try_sh(&format!("curl -fsS -m 2 {page}")).is_none(), "a pod's own port");
    for port in ports {
        let line = format!(
            "curl -sk -m 2 http://192.168.77.2:{port}/ || curl -sk -m 2 https://192.168.77.2:{port}/"
        );
        assert!(outside.try_sh(&line).is_none(), "port {port} from a neighbour");
    }
    // As CVE-2020-8558 had it: packets to the loopback of somebody else.
    outside.sh("sysctl -qw net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.0/8 via 192.168.77.2 src 192.168.77.1");
    assert!(outside.try_sh("curl -fsS -m 2 http://127.0.0.1:18765/hostname").is_none());
    outside.sh("ip route del 127.0.0.0/8; ip addr add 127.0.0.1/8 dev lo");
    let all = node.sh("cat /proc/sys/net/ipv4/conf/*/route_localnet");
    assert!(all.lines().all(|line| line == "0"), "{all}");
}

pub(crate) fn attack_52_clients_out_of_range(machine: &Machine) {
    let outside = &machine.outside;
    outside.sh(&format!(
        "ip addr add {ALLOWED}/24 dev in; ip route add 198.19.0.0/24 via 192.168.77.2"
    ));
    let serve = "echo ranged > /tmp/page; exec httpd -f -p 8080 -h /tmp";
    let probe = ", readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}";
    let labelled = pod("ranged", serve, probe, "")
        .replace("{name: ranged}", "{name: ranged, labels: {app: ranged}}");
    machine.apply(&labelled);
    machine.apply(&format!(
        "apiVersion: v1
kind: Service
metadata: {{name: ranged}}
spec:
  type: LoadBalancer
  allocateLoadBalancerNodePorts: false
  loadBalancerSourceRanges: [{ALLOWED}/32]
  selector: {{app: ranged}}
  ports: [{{port: 80, targetPort: 8080}}]
"
    ));
    let address = "get service ranged -o jsonpath={.status.loadBalancer.ingress[0].ip}";
    let ip = says(machine, address, "an address", |said| !said.is_empty());
    let get = |from: &str| {
        outside.try_sh(&format!("curl -fsS -m 2 --interface {from} http://{ip}/page 2>/dev/null"))
    };
    until("who may is answered", || get(ALLOWED).is_some_and(|page| page == "ranged\n"));
    let pod_ip = machine.tell("get pod ranged -o jsonpath={.status.podIP}");
    for _ in 0..20 {
        assert!(get("192.168.77.1").is_none(), "who may not is not");
    }
    // Who says to be somebody else is heard as little.
    let proxied = format!(
        "curl -sS -m 2 --haproxy-clientip {ALLOWED} --interface 192.168.77.1 http://{ip}/page"
    );
    assert!(outside.try_sh(&proxied).is_none());
    let direct = format!("curl -fsS -m 2 --interface 192.168.77.1 http://{pod_ip}:8080/page");
    assert!(outside.try_sh(&direct).is_none(), "not past the Service either");
    assert!(get(ALLOWED).is_some(), "and it goes on");
}
