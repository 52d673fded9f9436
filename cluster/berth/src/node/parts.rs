// SPDX-License-Identifier: Apache-2.0
//! The parts of a node, wherever its cluster's API is: the network of its pods, its DNS, its agent.

use super::contained::Contained;
use super::names;
use super::place::Place;
use crate::dns::{Dns, own_upstreams};
use crate::network::{DOMAIN, Network};
use crate::status::EXPIRES;
use anyhow::{Context, anyhow};
use berth_cluster_agent::{Agent, HostNetwork, Running, Serve, Settings, StartError};
use berth_cluster_agent_network::Range;
use berth_cluster_client::{Api, Media, clock};
use berth_cluster_docker::{Address, Agent as AgentName, Engine, NetworkError, NetworkSpec};
use berth_cluster_edge_dns::{Options as DnsOptions, Range as Names, Settings as DnsSettings};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Where agents listen, as everybody knows.
const AGENT_PORT: u16 = 10_250;
/// Where service proxies are asked, as everybody knows.
const PROXY_PORT: u16 = 10_256;
const DNS_PORT: u16 = 53;

/// The API as those whom a node's parts are.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    /// As the agent: `system:node:NAME`.
    pub(crate) node: Api,
    /// As who may read Services, their endpoints, and nodes.
    pub(crate) services: Api,
    /// As who may read what has names.
    pub(crate) names: Api,
}

/// What a node is made of.
pub(crate) struct Blueprint {
    pub(crate) place: Place,
    pub(crate) engine: Address,
    pub(crate) network: Network,
    pub(crate) doors: Doors,
    pub(crate) rotation: Arc<dyn berth_cluster_agent::Rotation>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Who does what takes root's rights, where this process has none.
    pub(crate) contained: Option<Contained>,
}

impl Blueprint {
    /// Waits for the engine, saying so once, and makes the network of the pods there.
    pub(crate) async fn engine(&self) -> anyhow::Result<Engine> {
        let Place { name, pods, gateway, bridge, .. } = self.place.clone();
        let engine = engine(&self.engine, &name).await?;
        let network =
            NetworkSpec { subnet: pods.first(), prefix: pods.prefix(), gateway, bridge, mtu: None };
        engine.ensure_network(&network).await.map_err(|error| match error {
            NetworkError::AddressConflict { .. } => {
                anyhow!("{error}; --pod-network chooses other addresses")
            }
            error => error.into(),
        })?;
        Ok(engine)
    }

    /// Starts its DNS at the pods' gateway.
    pub(crate) fn dns(&self) -> anyhow::Result<Dns> {
        let names = |range: Range| Names::new(range.first().into(), range.prefix());
        let settings = DnsSettings {
            domain: DOMAIN.to_owned(),
            ranges: [self.network.services, self.network.pods]
                .into_iter()
                .filter_map(names)
                .collect(),
            addresses: vec![IpAddr::V4(self.network.dns)],
            ..DnsSettings::default()
        };
        let on = |port| DnsOptions {
            listen: vec![(self.place.gateway, port).into()],
            upstreams: own_upstreams(),
            ..DnsOptions::default()
        };
        // Without root the port may not be had, and pods ask the Service.
        Dns::start(&self.doors.names, settings.clone(), &on(DNS_PORT))
            .or_else(|_| Dns::start(&self.doors.names, settings, &on(0)))
            .context("the DNS did not start")
    }

    /// Starts its agent, whose pods ask this DNS.
    pub(crate) async fn agent(&self, dns: &Dns, serve: Serve) -> anyhow::Result<Running> {
        let answers = *dns.addresses.first().context("the DNS has no address")?;
        // On the port that everybody asks it needs nobody between; else it is reached as the Service.
        let asked = if answers.port() == DNS_PORT { self.place.gateway } else { self.network.dns };
        let Place { name, address, pods, bridge, root, .. } = self.place.clone();
        let mut settings = Settings::new(
            &name,
            address.into(),
            self.doors.node.clone(),
            self.engine.clone(),
            pods,
        );
        settings.root = root;
        settings.bridge = bridge;
        settings.labels.clone_from(&self.labels);
        settings.annotations.clone_from(&self.annotations);
        settings.annotations.insert(names::ANNOTATION.to_owned(), answers.to_string());
        settings.cluster_dns = vec![asked.to_string()];
        DOMAIN.clone_into(&mut settings.cluster_domain);
        settings.rotation = Arc::clone(&self.rotation);
        if let Some(contained) = &self.contained {
            settings.hands = Some(contained.hands(&name, &settings.root).await?);
        }
        settings.serve = Some(serve);
        settings.host = Some(HostNetwork {
            pods: vec![self.network.pods],
            services: vec![self.network.services],
            nodes: Some(self.doors.services.clone()),
        });
        match Agent::start(settings.clone()).await {
            // Another agent of this machine was faster at the port that everybody knows.
            Err(StartError::Serve(error)) => {
                tracing::info!(%error, "the agent's server takes a free port");
                if let Some(serve) = &mut settings.serve {
                    serve.address.set_port(0);
                }
                Ok(Agent::start(settings).await?)
            }
            started => Ok(started?),
        }
    }
}

/// Says when a certificate of the node ends, for who asks for the cluster's status.
pub(crate) fn expiry(second: i64) -> (String, String) {
    (EXPIRES.to_owned(), clock::seconds(second.saturating_mul(1_000_000)))
}

/// Says it on a node that is there.
pub(crate) async fn tell_expiry(api: &Api, node: &str, second: i64) {
    let (name, value) = expiry(second);
    let patch = json!({ "metadata": { "annotations": { name: value } } });
    let path = format!("/api/v1/nodes/{node}");
    if let Err(error) = api.patch(&path, Media::Merge, patch.to_string().into()).await {
        tracing::debug!(%error, "it is not told when the node's certificate ends");
    }
}

/// Waits for the engine, and says so once.
async fn engine(address: &Address, name: &str) -> anyhow::Result<Engine> {
    let mut said = false;
    let told = |error: &berth_cluster_docker::CallError| {
        if !std::mem::replace(&mut said, true) {
            let why = anyhow::Error::msg(error.to_string());
            println!("node       waits for a Docker Engine at {address}: {why}");
            println!(
                "           start one, or name another by --docker; `up` goes without by --no-node"
            );
        }
    };
    let engine = Box::pin(Engine::wait(address, AgentName::new(name)?, told)).await;
    engine.context("the Docker Engine cannot be used; users need to be in the group docker")
}

/// Where the agent's own server listens.
pub(crate) fn agent_address(address: Ipv4Addr) -> SocketAddr {
    let usual = SocketAddr::from((address, AGENT_PORT));
    // Another kubelet, or another of these, may have the port that everybody knows.
    if is_free(usual) { usual } else { (address, 0).into() }
}

/// Where the node's service proxy is asked. Others are told, so it is a port that is known.
pub(crate) fn proxy_address(address: Ipv4Addr) -> Option<SocketAddr> {
    let usual = SocketAddr::from((address, PROXY_PORT));
    if is_free(usual) {
        return Some(usual);
    }
    let other = TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr());
    other.ok()
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
