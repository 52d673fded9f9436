// SPDX-License-Identifier: Apache-2.0
//! What of a pod only the agent of its node could answer: its log, and ways into its containers. No agent is called yet, and a simulated
//! node has none: who asks is told so, and why.

use crate::object;
use crate::path::Resource;
use crate::server::Inner;
use crate::shape::parse;
use berth_cluster_api::Refusal;
use berth_cluster_api::registry::Kind;

/// The label of nodes that exist in the API only.
const SIMULATED: &str = "berth.dev/simulated";

/// The refusal of a subresource that the kind does not have.
pub(crate) fn absent(server: &Inner, kind: &Kind, target: &Resource) -> Refusal {
    let of_pods = kind.group.is_empty() && &*kind.plural == "pods" && !target.name.is_empty();
    let nothing = match target.subresource.as_str() {
        "log" => "there is no log",
        "exec" => "there is nothing that a command could be run in",
        "attach" => "there is nothing to attach to",
        "portforward" => "there is no port to forward to",
        _ => return Refusal::no_such_path(),
    };
    if !of_pods {
        return Refusal::no_such_path();
    }
    let name = &target.name;
    let Some(pod) = server.store.latest(&object::key(kind, &target.namespace, name)) else {
        return Refusal::not_found(&kind.group, &kind.plural, name);
    };
    let pod = match parse(&pod.bytes) {
        Ok(pod) => pod,
        Err(refusal) => return refusal,
    };
    let node = pod.get("spec").and_then(|spec| spec["nodeName"].as_str()).unwrap_or_default();
    if node.is_empty() {
        // Upstream's sentence.
        return Refusal::bad_request(format!("pod {name} does not have a host assigned"));
    }
    let why = if is_simulated(server, node) {
        format!("pod {name} is on the simulated node {node}, where nothing runs: {nothing}")
    } else {
        format!("pod {name} is on node {node}, and this server does not call agents of nodes yet")
    };
    Refusal::new(501, "NotImplemented", why)
}

fn is_simulated(server: &Inner, node: &str) -> bool {
    let Some(node) = server.store.latest(&format!("nodes/{node}")) else { return false };
    let label = |node: &berth_cluster_api::Map| {
        node.get("metadata").is_some_and(|metadata| metadata["labels"][SIMULATED] == "true")
    };
    parse(&node.bytes).is_ok_and(|node| label(&node))
}
