// SPDX-License-Identifier: Apache-2.0
//! Ten pods on three nodes, without a cluster and without a service: the engine as a library.
//!
//! Nodes and pods are read as Kubernetes has them. The last pod wants more than is left, and the engine says what is missing.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for people")]

use berth_scheduler_core::{Engine, Options, Outcome, PodId};
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::rules::Plugin;
use berth_scheduler_objects::{ObjectError, node, pod};
use serde_json::{Value, json};

fn main() -> Result<(), ObjectError> {
    let mut engine = Engine::new(Options { seed: 1, ..Options::default() });
    for (name, zone, cpu) in [("a", "north", "2"), ("b", "north", "4"), ("c", "south", "4")] {
        engine.apply(Event::Node(Box::new(node(node_object(name, zone, cpu))?)));
    }
    for serial in 1..=10 {
        let cpu = if serial == 10 { "4" } else { "500m" };
        let pod = pod(pod_object(serial, cpu))?.pod;
        let id = PodId { uid: &pod.uid, namespace: &pod.namespace, name: &pod.name };
        match engine.place(id, &pod.spec) {
            Outcome::Placed(placement) => println!(
                "{:7} goes to {} (total {}, {} nodes would do)",
                pod.name,
                engine.node_name(placement.node),
                placement.total,
                placement.feasible
            ),
            Outcome::Refused(refusal) => {
                println!("{:7} has to wait:", pod.name);
                for (plugin, nodes) in Plugin::ALL.iter().zip(refusal.nodes) {
                    if nodes > 0 {
                        println!("        {plugin:?} refuses {nodes} nodes");
                    }
                }
            }
            Outcome::Known(_) => println!("{:7} is placed already", pod.name),
        }
    }
    Ok(())
}

fn node_object(name: &str, zone: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone,
        }},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
    })
}

fn pod_object(serial: u32, cpu: &str) -> Value {
    let zones = json!({
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}},
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{serial}"), "namespace": "default",
            "uid": format!("uid-{serial}"), "labels": {"app": "web"},
        },
        "spec": {
            "topologySpreadConstraints": [zones],
            "containers": [{"name": "c", "image": "web:1",
                "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}}],
        },
    })
}
