// SPDX-License-Identifier: Apache-2.0
//! The steps of the walk. Each leaves the cluster as the next one expects it: a Deployment `web`, and nodes that take pods.

use crate::kubectl::{Kubectl, Said};
use std::collections::BTreeSet;

const STATUS: &str = "rollout status deployment web";
const RAN: &str = "successfully rolled out";
const PODS: &str = "get pods -o wide";
/// Of the revision in the Deployment all is there, and nothing else.
const SETTLED: &str = "{.metadata.generation}={.status.observedGeneration},{.spec.replicas}={.status.replicas}={.status.availableReplicas}={.status.updatedReplicas}";

/// The pods of a table by `get pods -o wide`: name, status, address and node.
fn pods(said: &Said) -> Vec<(String, String, String, String)> {
    let cell = |row: &[&str], place: usize| row.get(place).copied().unwrap_or_default().to_owned();
    let rows = said.rows();
    rows.iter().map(|row| (cell(row, 0), cell(row, 2), cell(row, 5), cell(row, 6))).collect()
}

/// Waits until exactly so many pods are there, and all run.
fn all_run(kubectl: &Kubectl, count: usize) -> Said {
    kubectl.until(PODS, &format!("{count} pods, and all run"), |said| {
        let pods = pods(said);
        pods.len() == count && pods.iter().all(|(_, status, ..)| status == "Running")
    })
}

fn on(said: &Said, node: &str) -> BTreeSet<String> {
    pods(said).into_iter().filter(|pod| pod.3 == node).map(|pod| pod.0).collect()
}

pub(crate) fn nodes(kubectl: &Kubectl, count: usize) {
    let said = kubectl.until("get nodes", "all nodes are there, and ready", |said| {
        said.rows().iter().filter(|row| row.get(1) == Some(&"Ready")).count() == count
    });
    for node in 0..count {
        let name = format!("sim-{node:05}");
        let row = said.rows().into_iter().find(|row| row[0] == name);
        let right = row.is_some_and(|row| row[2] == "<none>" && row[4].contains("simulated"));
        said.check(right, &format!("{name} is not as it should be"));
    }
    kubectl.ok("get nodes -o wide", &["sim-00000 Ready <none>", "172.16.0.1", "simulated://"]);
    kubectl.ok("get nodes -l berth.dev/simulated=true -o name", &["node/sim-00005"]);
}

pub(crate) fn deployment(kubectl: &Kubectl) {
    kubectl.ok("create deployment web --image=web --replicas=10", &["deployment.apps/web created"]);
    kubectl.ok(STATUS, &[RAN]);
    kubectl.ok("wait --for=condition=Available deployment/web --timeout=60s", &["condition met"]);
    kubectl.ok("get deployment web", &["web 10/10 10 10"]);
    let said = kubectl.ok(PODS, &["NODE", "NOMINATED NODE"]);
    let all = pods(&said);
    said.check(all.len() == 10, "there are not ten");
    let right = all.iter().all(|(name, status, _, node)| {
        name.starts_with("web-") && status == "Running" && node.starts_with("sim-0000")
    });
    said.check(right, "a pod does not run on a simulated node");
    let distinct = |part: fn(&(String, String, String, String)) -> &String| {
        all.iter().map(part).collect::<BTreeSet<_>>().len()
    };
    said.check(distinct(|pod| &pod.2) == 10, "two have one address");
    said.check(distinct(|pod| &pod.3) >= 5, "they are not spread");
    let said = kubectl.ok("get rs -l app=web -o wide", &["10 10 10", "pod-template-hash="]);
    said.check(said.rows().len() == 1, "there is not one ReplicaSet");
}

pub(crate) fn service(kubectl: &Kubectl) {
    kubectl.ok("expose deployment web --port=80 --type=LoadBalancer", &["service/web exposed"]);
    kubectl.until("get service web", "an address of the pool", |said| {
        said.rows().iter().any(|row| row[1] == "LoadBalancer" && row[3] == "198.19.0.1")
    });
    let said = kubectl.until("get endpointslices", "a slice of the Service", |said| {
        said.rows().iter().any(|row| row[0].starts_with("web-"))
    });
    said.has(&["IPv4 80", "+ 7 more..."]);
    kubectl.ok("get endpoints web", &[":80", "+ 7 more..."]);
    // The same ten addresses, three times.
    let addresses = |line: &str| -> BTreeSet<String> {
        kubectl.ok(line, &[]).out.split_whitespace().map(str::to_owned).collect()
    };
    let of_pods = addresses("get pods -l app=web -o jsonpath={.items[*].status.podIP}");
    assert_eq!(of_pods.len(), 10, "{of_pods:?}");
    let slices = "get endpointslices -l kubernetes.io/service-name=web -o jsonpath={.items[*].endpoints[*].addresses[0]}";
    assert_eq!(addresses(slices), of_pods);
    let endpoints = "get endpoints web -o jsonpath={.subsets[*].addresses[*].ip}";
    assert_eq!(addresses(endpoints), of_pods);
    let words =
        ["LoadBalancer Ingress: 198.19.0.1", "EnsuredLoadBalancer", "Ensured load balancer"];
    kubectl
        .until("describe service web", "its event", |said| said.out.contains(words[1]))
        .has(&words);
}

/// Addresses are given once, and given back.
pub(crate) fn pool(kubectl: &Kubectl) {
    let has = |name: &str, address: &str| {
        let path = "{.status.loadBalancer.ingress[*].ip}";
        let line = format!("get service {name} -o jsonpath={path}");
        kubectl.until(&line, &format!("it has {address:?}"), |said| said.out == address);
    };
    let expose = |name: &str| {
        let line = format!("expose deployment web --name={name} --port=81 --type=LoadBalancer");
        kubectl.ok(&line, &["exposed"]);
    };
    expose("second");
    has("second", "198.19.0.2");
    expose("third");
    has("third", "198.19.0.3");
    kubectl.ok("delete service second", &["service \"second\" deleted"]);
    expose("fourth");
    has("fourth", "198.19.0.2");
    // One that needs none any more gives it back, too.
    let patch = "patch service third --type=merge -p {\"spec\":{\"type\":\"ClusterIP\"}}";
    kubectl.ok(patch, &["service/third patched"]);
    has("third", "");
    expose("fifth");
    has("fifth", "198.19.0.3");
    kubectl.ok("delete service third fourth fifth", &["\"third\" deleted", "\"fifth\" deleted"]);
    has("web", "198.19.0.1");
}

pub(crate) fn scale(kubectl: &Kubectl) {
    kubectl.ok("scale deployment web --replicas=50", &["deployment.apps/web scaled"]);
    kubectl.ok(STATUS, &[RAN]);
    kubectl.ok("get deployment web", &["web 50/50 50 50"]);
    all_run(kubectl, 50);
}

/// The image that all pods have, and the Deployment.
fn has_image(kubectl: &Kubectl, image: &str) {
    let path = "{.spec.template.spec.containers[*].image}";
    assert_eq!(kubectl.part("deployment/web", path), image);
    let line = "get pods -l app=web -o jsonpath={.items[*].spec.containers[*].image}";
    kubectl.until(line, &format!("all pods have {image}"), |said| {
        let mut images = said.out.split_whitespace();
        images.clone().count() == 50 && images.all(|one| one == image)
    });
}

/// The revisions that there are.
fn has_revisions(kubectl: &Kubectl, wanted: &[&str]) {
    let said = kubectl.ok("rollout history deployment web", &["REVISION CHANGE-CAUSE"]);
    let rows = said.out.lines().filter_map(|line| line.split_whitespace().next());
    let revisions: Vec<&str> = rows.filter(|cell| cell.parse::<u32>().is_ok()).collect();
    said.check(revisions == wanted, &format!("the revisions are not {wanted:?}"));
}

pub(crate) fn rollouts(kubectl: &Kubectl) {
    has_revisions(kubectl, &["1"]);
    kubectl.ok("set image deployment/web web=web:2", &["image updated"]);
    kubectl.ok(STATUS, &[RAN]);
    has_image(kubectl, "web:2");
    kubectl.ok("get rs -l app=web", &["50 50 50", "0 0 0"]);
    has_revisions(kubectl, &["1", "2"]);
    kubectl
        .ok("rollout history deployment web --revision=2", &["with revision #2", "Image: web:2"]);
    // Back is a revision of its own, in the place of that to which it goes.
    kubectl.ok("rollout undo deployment web", &["deployment.apps/web rolled back"]);
    kubectl.ok(STATUS, &[RAN]);
    has_image(kubectl, "web");
    has_revisions(kubectl, &["2", "3"]);
    kubectl.ok("rollout undo deployment web --to-revision=2", &["rolled back"]);
    kubectl.ok(STATUS, &[RAN]);
    has_image(kubectl, "web:2");
    has_revisions(kubectl, &["3", "4"]);
    kubectl.refused("rollout undo deployment web --to-revision=9", &["unable to find", "revision"]);
    kubectl.ok("rollout restart deployment web", &["deployment.apps/web restarted"]);
    kubectl.ok(STATUS, &[RAN]);
    has_revisions(kubectl, &["3", "4", "5"]);
    let note = "get pods -l app=web -o jsonpath={.items[*].metadata.annotations}";
    let said = kubectl.until(note, "the old pods are gone", |said| {
        said.out.matches("kubectl.kubernetes.io/restartedAt").count() == 50
    });
    said.has(&["restartedAt"]);
}

pub(crate) fn pause(kubectl: &Kubectl) {
    kubectl.ok("rollout pause deployment web", &["deployment.apps/web paused"]);
    kubectl.ok("set image deployment/web web=web:3", &["image updated"]);
    let seen = "{.metadata.generation}={.status.observedGeneration}";
    let line = format!("get deployment web -o jsonpath={seen}");
    kubectl.until(&line, "the controller has seen it", |said| {
        said.out.split_once('=').is_some_and(|(is, seen)| is == seen)
    });
    let said = kubectl.ok("get rs -l app=web -o wide", &["web:2"]);
    said.check(!said.out.contains("web:3"), "what is paused goes on");
    kubectl.refused("rollout undo deployment web", &["paused"]);
    kubectl.refused("rollout restart deployment web", &["paused"]);
    kubectl.ok("rollout resume deployment web", &["deployment.apps/web resumed"]);
    kubectl.ok(STATUS, &[RAN]);
    has_image(kubectl, "web:3");
    // Requests, for what nodes say of them.
    let line = "set resources deployment web --requests=cpu=100m,memory=64Mi";
    kubectl.ok(line, &["resource requirements updated"]);
    kubectl.ok(STATUS, &[RAN]);
    all_run(kubectl, 50);
}

pub(crate) fn descriptions(kubectl: &Kubectl) {
    let words = [
        "Replicas: 50 desired | 50 updated | 50 total | 50 available | 0 unavailable",
        "StrategyType: RollingUpdate",
        "RollingUpdateStrategy: 25% max unavailable, 25% max surge",
        "Image: web:3",
        "Available True MinimumReplicasAvailable",
        "Progressing True NewReplicaSetAvailable",
        "NewReplicaSet: web-",
        "Normal ScalingReplicaSet",
        "deployment-controller Scaled up replica set web-",
    ];
    kubectl.ok("describe deployment web", &words);
    let said = kubectl.ok(PODS, &[]);
    let (name, _, address, node) = pods(&said).into_iter().next().expect("a pod");
    let words = [
        &format!("Node: {node}/172.16.0."),
        "Status: Running",
        &format!("IP: {address}"),
        "Controlled By: ReplicaSet/web-",
        "Container ID: simulated://",
        "State: Running",
        "Restart Count: 0",
        "cpu: 100m",
        "ContainersReady True",
        "PodScheduled True",
        "QoS Class: Burstable",
        "Normal Scheduled",
        &format!("Successfully assigned default/{name} to {node}"),
    ];
    kubectl.ok(&format!("describe pod {name}"), &words);
    let count = on(&said, &node).len();
    let words = [
        "berth.dev/simulated=true",
        "Taints: <none>",
        "Unschedulable: false",
        &format!("HolderIdentity: {node}"),
        "MemoryPressure False",
        "Ready True",
        "KubeletReady",
        "pods: 110",
        "PodCIDR: 10.244.",
        &format!("Non-terminated Pods: ({count} in total)"),
        &format!("default {name} 100m (0%)"),
        "Allocated resources:",
        &format!("cpu {}m (", count * 100),
        &format!("memory {}Mi (", count * 64),
    ];
    let said = kubectl.ok(&format!("describe node {node}"), &words);
    // Debian's client asks for events of a node whose uid is its name.
    if kubectl.minor >= 27 {
        said.has(&["Normal RegisteredNode"]);
    }
}

/// What is not there says so.
pub(crate) fn refusals(kubectl: &Kubectl) {
    let said = kubectl.ok(PODS, &[]);
    let (name, _, _, node) = pods(&said).into_iter().next().expect("a pod");
    let why = format!("pod {name} is on the simulated node {node}, where nothing runs");
    for line in [format!("logs {name}"), format!("exec {name} -- ls"), format!("attach {name}")] {
        kubectl.refused(&line, &["Error from server (NotImplemented)", &why]);
    }
    kubectl.refused(&format!("logs -f {name}"), &[&why, "there is no log"]);
    kubectl.refused(&format!("port-forward {name} :80"), &[&why, "there is no port"]);
    kubectl.refused("logs nothing", &["pods \"nothing\" not found"]);
    let missing = "could not find the requested resource";
    let line = "autoscale deployment web --max=60";
    kubectl.refused(line, &[missing, "horizontalpodautoscalers.autoscaling"]);
    kubectl.refused("create job work --image=work", &[missing, "jobs.batch"]);
    kubectl.refused("get jobs", &["the server doesn't have a resource type \"jobs\""]);
}

pub(crate) fn drain(kubectl: &Kubectl) {
    let before = all_run(kubectl, 50);
    before.check(!on(&before, "sim-00003").is_empty(), "there is nothing to drain");
    // Debian's client knows an older version of budgets only.
    if kubectl.minor >= 21 {
        let line = "create poddisruptionbudget web --selector=app=web --max-unavailable=5";
        kubectl.ok(line, &["poddisruptionbudget.policy/web created"]);
        kubectl.until("get poddisruptionbudget web", "five may go", |said| {
            said.rows().iter().any(|row| row[1..4] == ["N/A", "5", "5"])
        });
    }
    let words = ["node/sim-00003 cordoned", "evicting pod default/web-"];
    kubectl.ok("drain sim-00003 --ignore-daemonsets", &words);
    let after = kubectl.ok(PODS, &[]);
    after.check(on(&after, "sim-00003").is_empty(), "its pods are still there");
    kubectl.ok("get node sim-00003", &["sim-00003 Ready,SchedulingDisabled"]);
    kubectl.ok("uncordon sim-00003", &["node/sim-00003 uncordoned"]);
    let said = kubectl.ok("get node sim-00003", &["sim-00003 Ready <none>"]);
    said.check(!said.out.contains("SchedulingDisabled"), "it takes no pods");
    all_run(kubectl, 50);
}

/// A budget that allows nothing makes a drain wait, and one that allows something lets it go on.
pub(crate) fn budget(kubectl: &Kubectl) {
    kubectl.ok("delete poddisruptionbudget web", &["deleted"]);
    let line = "create poddisruptionbudget all --selector=app=web --min-available=50";
    kubectl.ok(line, &["poddisruptionbudget.policy/all created"]);
    let budget = |allowed: &str| {
        kubectl.until("get poddisruptionbudget all", &format!("{allowed} may go"), |said| {
            said.rows().iter().any(|row| row[1..4] == ["50", "N/A", allowed])
        });
    };
    budget("0");
    let before = all_run(kubectl, 50);
    before.check(!on(&before, "sim-00000").is_empty(), "there is nothing to drain");
    let mut draining = kubectl.begin("drain sim-00000 --ignore-daemonsets");
    kubectl.until("get node sim-00000", "the drain is refused", |_| {
        draining.so_far().check(draining.runs(), "it does not wait");
        draining.so_far().refers_to("would violate the pod's disruption budget")
    });
    let still = kubectl.ok(PODS, &[]);
    let same = on(&still, "sim-00000") == on(&before, "sim-00000");
    still.check(same, "a pod went that may not");
    // With ten more, ten may go at a time.
    kubectl.ok("scale deployment web --replicas=60", &["scaled"]);
    let said = kubectl.end(draining);
    said.check(said.well, "it does not end well");
    said.has(&["drained"]);
    let after = all_run(kubectl, 60);
    after.check(on(&after, "sim-00000").is_empty(), "its pods are still there");
    kubectl.ok("uncordon sim-00000", &["uncordoned"]);
    kubectl.ok("delete poddisruptionbudget all", &["deleted"]);
    kubectl.ok("scale deployment web --replicas=50", &["scaled"]);
    all_run(kubectl, 50);
}

pub(crate) fn cordon_and_taint(kubectl: &Kubectl) {
    let before = on(&all_run(kubectl, 50), "sim-00001");
    kubectl.ok("cordon sim-00001", &["node/sim-00001 cordoned"]);
    kubectl.ok("scale deployment web --replicas=60", &["scaled"]);
    let said = all_run(kubectl, 60);
    said.check(on(&said, "sim-00001") == before, "a cordoned node took or lost pods");
    kubectl.ok("uncordon sim-00001", &["uncordoned"]);
    kubectl.ok("taint node sim-00002 for=others:NoExecute", &["node/sim-00002 tainted"]);
    kubectl.until(PODS, "the tainted node's pods run elsewhere", |said| {
        let pods = pods(said);
        let right =
            |pod: &(String, String, String, String)| pod.1 == "Running" && pod.3 != "sim-00002";
        pods.len() == 60 && pods.iter().all(right)
    });
    kubectl.ok("describe node sim-00002", &["Taints: for=others:NoExecute"]);
    kubectl.ok("taint node sim-00002 for-", &["node/sim-00002 untainted"]);
    kubectl.ok("scale deployment web --replicas=50", &["scaled"]);
    all_run(kubectl, 50);
}

/// A node that falls silent, and one that is removed: their pods are made again elsewhere.
pub(crate) fn loss(kubectl: &Kubectl) {
    let before = all_run(kubectl, 50);
    let lost = [on(&before, "sim-00004"), on(&before, "sim-00005")];
    before.check(lost.iter().all(|pods| !pods.is_empty()), "a node has no pods to lose");
    kubectl.ok("annotate node sim-00004 berth.dev/simulated-silent=true", &["annotated"]);
    kubectl.ok("delete node sim-00005", &["node \"sim-00005\" deleted"]);
    kubectl.until("get nodes", "one is not ready, and one is gone", |said| {
        let rows = said.rows();
        rows.len() == 5 && rows.iter().any(|row| row[..2] == ["sim-00004", "NotReady"])
    });
    kubectl.until(PODS, "50 run on the nodes that are left", |said| {
        let left = |node: &str| node < "sim-00004";
        pods(said).iter().filter(|pod| pod.1 == "Running" && left(&pod.3)).count() == 50
    });
    let words = ["Ready Unknown", "NodeStatusUnknown", "node.kubernetes.io/unreachable:NoExecute"];
    kubectl.ok("describe node sim-00004", &words);
    kubectl.until("get events", "the node's event", |said| said.refers_to("NodeNotReady"));
    let gone = |said: &Said| lost.iter().flatten().all(|name| !said.out.contains(name.as_str()));
    kubectl.ok("annotate node sim-00004 berth.dev/simulated-silent-", &["annotated"]);
    kubectl.until("get nodes", "it is back", |said| {
        said.rows().iter().any(|row| row[..2] == ["sim-00004", "Ready"])
    });
    kubectl.until(PODS, "what was on the lost nodes is gone", gone);
    kubectl.until("describe node sim-00004", "its taints are gone", |said| {
        said.out.contains("Taints:             <none>")
    });
    kubectl.ok(STATUS, &[RAN]);
    let line = format!("get deployment web -o jsonpath={SETTLED}");
    kubectl.until(&line, "all is as it should be", |said| said.out.ends_with(",50=50=50=50"));
}

pub(crate) fn events(kubectl: &Kubectl) {
    let said = kubectl.ok("get events", &["LAST SEEN TYPE REASON OBJECT MESSAGE"]);
    for (reason, object) in [
        ("Scheduled", "pod/web-"),
        ("SuccessfulCreate", "replicaset/web-"),
        ("ScalingReplicaSet", "deployment/web"),
        ("RegisteredNode", "node/sim-00000"),
        ("EnsuredLoadBalancer", "service/web"),
    ] {
        let has = said.rows().iter().any(|row| {
            row.len() > 4 && row[1] == "Normal" && row[2] == reason && row[3].starts_with(object)
        });
        said.check(has, &format!("there is no {reason} of {object}"));
    }
    let line = "get events --field-selector reason=ScalingReplicaSet -o name";
    kubectl.ok(line, &["event/web."]);
}

pub(crate) fn deletions(kubectl: &Kubectl) {
    kubectl.ok("delete deployment web", &["deployment.apps \"web\" deleted"]);
    kubectl.until("get pods,rs", "all that was its own is gone", |said| said.out.is_empty());
    kubectl.ok("delete service web", &["service \"web\" deleted"]);
    // Orphans stay.
    kubectl.ok("create deployment orphan --image=web --replicas=3", &["created"]);
    kubectl.ok("rollout status deployment orphan", &[RAN]);
    kubectl.ok("scale deployment orphan --replicas=2", &["scaled"]);
    // Of an object that so much happens to as to web's ReplicaSets, not all is told (client-go's bound, as everywhere).
    kubectl.until("get events", "a pod less is told", |said| {
        said.rows().iter().any(|row| {
            row.len() > 3
                && row[2] == "SuccessfulDelete"
                && row[3].starts_with("replicaset/orphan-")
        })
    });
    kubectl.ok("delete deployment orphan --cascade=orphan", &["deleted"]);
    let owner = "{.items[*].metadata.ownerReferences}";
    let line = format!("get rs -l app=orphan -o jsonpath={owner}");
    kubectl.until(&line, "its ReplicaSet has no owner", |said| said.out.is_empty());
    kubectl.ok("get rs -l app=orphan", &["2 2 2"]);
    all_run(kubectl, 2);
    kubectl.ok("delete rs -l app=orphan", &["deleted"]);
    kubectl.until("get pods,rs", "all is gone", |said| said.out.is_empty());
    // In the foreground the Deployment goes last.
    kubectl.ok("create deployment front --image=web --replicas=3", &["created"]);
    kubectl.ok("wait --for=condition=Available deployment/front --timeout=60s", &["condition met"]);
    kubectl.ok("delete deployment front --cascade=foreground", &["deleted"]);
    let said = kubectl.ok("get deployments,rs,pods", &[]);
    said.check(said.out.is_empty(), "something outlived its owner");
}
