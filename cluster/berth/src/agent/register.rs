// SPDX-License-Identifier: Apache-2.0
//! The node in the API before its agent runs: that its name is not another machine's, and which addresses its pods have.

use anyhow::{Context, bail};
use berth_cluster_agent_network::Range;
use berth_cluster_client::{Api, CallError, Media};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The annotation that tells agents of one name apart.
pub(super) const ID: &str = "berth.dev/agent";
const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// An agent renews its Lease every 10 s: one that has not for so long is gone.
const SILENT: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(50);
/// After so long it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is registered.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// The addresses that its pods shall have, where somebody says so.
    pub(super) pods: Option<Range>,
    /// By what this agent is told from others.
    pub(super) id: String,
}

impl Registration {
    /// Registers the node, or takes it over if it is this agent's or nobody's any more. The addresses of its pods.
    pub(super) async fn register(&self, api: &Api) -> anyhow::Result<Range> {
        let made = api.post(NODES, self.object().to_string().into()).await;
        match made {
            Ok(_) => {}
            Err(error) if error.code() == Some(409) => self.take_over(api).await?,
            Err(error) => return Err(error.into()),
        }
        let path = format!("{NODES}/{}", self.name);
        // Its server's certificate is for what stands here.
        let status = json!({ "status": { "addresses": self.addresses() } });
        let status = status.to_string().into();
        api.patch(&format!("{path}/status"), Media::Strategic, status).await?;
        self.range(api, &path).await
    }

    fn addresses(&self) -> Value {
        json!([
            { "type": "InternalIP", "address": self.address.to_string() },
            { "type": "Hostname", "address": self.name },
        ])
    }

    fn object(&self) -> Value {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": self.name, "annotations": { ID: self.id },
                "labels": { "kubernetes.io/hostname": self.name },
            },
            "status": { "addresses": self.addresses() },
        });
        if let Some(pods) = self.pods {
            object["spec"] = json!({ "podCIDR": pods.to_string(), "podCIDRs": [pods.to_string()] });
        }
        object
    }

    /// Makes the node that is there this agent's.
    async fn take_over(&self, api: &Api) -> anyhow::Result<()> {
        let path = format!("{NODES}/{}", self.name);
        let node: Value = serde_json::from_slice(&api.get(&path).await?)?;
        if node["metadata"]["annotations"][ID] != self.id.as_str() {
            self.is_silent(api, &node).await?;
            let own = json!({ "metadata": { "annotations": { ID: self.id } } });
            api.patch(&path, Media::Merge, own.to_string().into()).await?;
        }
        Ok(())
    }

    /// Whether nobody keeps the node alive; if somebody does, that is said.
    async fn is_silent(&self, api: &Api, node: &Value) -> anyhow::Result<()> {
        let before = renewed(api, &self.name).await?;
        if before.is_null() {
            return Ok(());
        }
        let address = node["status"]["addresses"][0]["address"].as_str().unwrap_or("unknown");
        println!(
            "node       {} is known already, at {address}: it is looked whether another machine has the name",
            self.name
        );
        let end = Instant::now() + SILENT;
        while Instant::now() < end {
            sleep(LOOK * 10).await;
            if renewed(api, &self.name).await? != before {
                bail!(
                    "the name {} is taken: the node at {address} lives; --node-name gives this one another. If that is this machine, stop its other agent",
                    self.name
                );
            }
        }
        Ok(())
    }

    /// Waits until it is known which addresses its pods have.
    async fn range(&self, api: &Api, path: &str) -> anyhow::Result<Range> {
        let (begun, mut said) = (Instant::now(), false);
        loop {
            let node: Value = serde_json::from_slice(&api.get(path).await?)?;
            let text = node["spec"]["podCIDR"].as_str().unwrap_or_default();
            if !text.is_empty() {
                let range: Range = text.parse().context("the cluster's addresses for pods")?;
                if let Some(wanted) = self.pods.filter(|wanted| *wanted != range) {
                    bail!(
                        "--pod-network {wanted}: the node's pods have {range} already, which does not change; `kubectl delete node {}` first",
                        self.name
                    );
                }
                return Ok(range);
            }
            if begun.elapsed() > PATIENCE && !std::mem::replace(&mut said, true) {
                println!(
                    "           waits for addresses for its pods, which the cluster's controllers give; --pod-network names some"
                );
            }
            sleep(LOOK).await;
        }
    }
}

/// When the node's Lease was renewed; null if it has none.
async fn renewed(api: &Api, name: &str) -> Result<Value, CallError> {
    match api.get(&format!("{LEASES}/{name}")).await {
        Err(error) if error.code() == Some(404) => Ok(Value::Null),
        read => {
            let lease: Value = serde_json::from_slice(&read?).unwrap_or_default();
            Ok(lease["spec"]["renewTime"].clone())
        }
    }
}
