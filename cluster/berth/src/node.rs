// SPDX-License-Identifier: Apache-2.0
//! The node of `berth up`: this machine, with its agent, its DNS, and a door to the API for its pods.

mod names;
mod place;

pub(crate) use place::{Place, all_pods, host_name};

use crate::apiserver;
use crate::demo;
use crate::dns::{Dns, own_upstreams};
use anyhow::{Context, anyhow};
use berth_balancer_kubernetes::Rotation;
use berth_cluster_agent::{Agent, HostNetwork, Late, Leaving, Running, Serve, Settings, Stop};
use berth_cluster_agent_network::Range;
use berth_cluster_apiserver::Caller;
use berth_cluster_auth::pki::Pki;
use berth_cluster_auth::user::{MASTERS, NODE_PREFIX, NODES, User};
use berth_cluster_client::Api;
use berth_cluster_docker::{Address, Agent as AgentName, Engine, NetworkError, NetworkSpec};
use berth_cluster_edge_dns::{Options as DnsOptions, Range as Names, Settings as DnsSettings};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Where agents listen, as everybody knows.
const AGENT_PORT: u16 = 10_250;
const DNS_PORT: u16 = 53;
const DOMAIN: &str = "cluster.local";
/// How long pods have when the whole cluster ends.
const GRACE: Duration = Duration::from_secs(10);

/// What a node is started with.
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) engine: Address,
    /// The addresses of Services, and the one of the cluster's DNS.
    pub(crate) services: Range,
    pub(crate) dns_ip: Ipv4Addr,
    /// When services' data plane of this node sends a pod nothing more.
    pub(crate) rotation: Rotation,
    /// Whether the demonstration follows.
    pub(crate) demo: bool,
    /// When all began.
    pub(crate) begun: Instant,
}

/// A node that starts, or runs.
pub(crate) struct Node {
    task: JoinHandle<Option<Parts>>,
    stop: watch::Sender<bool>,
    /// Where its agent keeps files.
    root: PathBuf,
}

struct Parts {
    agent: Running,
    _dns: Dns,
    /// Where pods reach the API.
    door: berth_cluster_apiserver::Listening,
    /// The folder is this agent's while this is open.
    _claim: std::fs::File,
}

/// The cluster that a node is of, in this process.
#[derive(Clone)]
pub(crate) struct Cluster {
    server: berth_cluster_apiserver::Server,
    pki: Arc<Pki>,
    /// Where the API is served on this machine; pods reach the same port at their gateway.
    address: SocketAddr,
}

impl Cluster {
    pub(crate) fn new(running: &apiserver::Running) -> Self {
        let (server, pki) = (running.server.clone(), Arc::clone(&running.pki));
        Self { server, pki, address: running.address }
    }

    /// The API, as this user.
    pub(crate) fn door(&self, user: &str, groups: &[&str]) -> Api {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Api::within(self.server.clone(), Caller(User::authenticated(user, "", groups)))
    }
}

impl Node {
    /// Begins to start one: the engine may have to be waited for.
    pub(crate) fn start(start: Start, cluster: Cluster) -> Self {
        let (stop, stopping) = watch::channel(false);
        let root = start.place.root.clone();
        let task = tokio::spawn(Box::pin(run(start, cluster, stopping)));
        Self { task, stop, root }
    }

    /// Ends it. What it has on the engine goes, unless it is to be kept.
    pub(crate) async fn stop(self, keep: bool) {
        self.stop.send_replace(true);
        match self.task.await {
            Ok(Some(parts)) => {
                let how = if keep { Stop::Leave } else { Stop::Remove { grace: GRACE } };
                parts.agent.stop(how).await;
                parts.door.stop().await;
            }
            // It never came to be.
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the node did not end well"),
        }
        if keep {
            return;
        }
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, root = %self.root.display(), "files of pods are left");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Starts the parts, tells of them, and waits for the end. What does not start is said here: nobody waits for it.
async fn run(start: Start, cluster: Cluster, mut stopping: watch::Receiver<bool>) -> Option<Parts> {
    let (demo, begun, address) = (start.demo, start.begun, start.place.address);
    let name = start.place.name.clone();
    let started = tokio::select! {
        biased;
        _ = stopping.wait_for(|stop| *stop) => return None,
        started = Box::pin(parts(start, &cluster)) => started,
    };
    let told = started.inspect_err(|error| eprintln!("error: the node did not start: {error:#}"));
    let (parts, echo) = told.ok()?;
    let admin = cluster.door("system:admin", &[MASTERS]);
    let tell = async {
        ready(&admin, &name).await;
        println!("node       {name} Ready after {:.2} s", begun.elapsed().as_secs_f64());
        if demo && let Err(error) = demo::run(&admin, &echo, IpAddr::V4(address)).await {
            eprintln!("error: the demo did not succeed: {error:#}");
        }
        // There is nothing more to tell.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = stopping.wait_for(|stop| *stop) => {}
        () = tell => {}
    }
    Some(parts)
}

/// Waits until a node is ready.
async fn ready(api: &Api, name: &str) {
    let path = format!("/api/v1/nodes/{name}");
    loop {
        let is_ready = |node: &serde_json::Value| {
            let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        if let Ok(read) = api.get(&path).await
            && serde_json::from_slice(&read).is_ok_and(|node| is_ready(&node))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts all parts of the node; also gives the name of the demonstration's image.
async fn parts(start: Start, cluster: &Cluster) -> anyhow::Result<(Parts, String)> {
    let claim = place::claim(&start.place.root)?;
    let Place { name, pods, gateway, bridge, .. } = start.place.clone();
    let engine = engine(&start.engine, &name).await?;
    let network = NetworkSpec {
        subnet: pods.first(),
        prefix: pods.prefix(),
        gateway,
        bridge: bridge.clone(),
        mtu: None,
    };
    engine.ensure_network(&network).await.map_err(|error| match error {
        NetworkError::AddressConflict { .. } => {
            anyhow!("{error}; --pod-network chooses other addresses")
        }
        error => error.into(),
    })?;
    let door = cluster.listen(gateway).await?;
    let dns = dns(&start, cluster)?;
    let answers = *dns.addresses.first().context("the DNS has no address")?;
    // On the port that everybody asks it needs nobody between; else it is reached as the Service.
    let direct = answers.port() == DNS_PORT;
    let asked = if direct { gateway } else { start.dns_ip };
    let admin = cluster.door("system:admin", &[MASTERS]);
    tokio::spawn(names::publish(admin, name.clone(), start.dns_ip, answers));
    let echo = if start.demo { engine.ensure_echo().await? } else { String::new() };
    let agent = Agent::start(settings(&start, cluster, asked)?).await?;
    Ok((Parts { agent, door, _dns: dns, _claim: claim }, echo))
}

/// Waits for the engine, and says so once.
async fn engine(address: &Address, name: &str) -> anyhow::Result<Engine> {
    let mut said = false;
    let told = |error: &berth_cluster_docker::CallError| {
        if !std::mem::replace(&mut said, true) {
            let why = anyhow::Error::msg(error.to_string());
            println!("node       waits for a Docker Engine at {address}: {why}");
            println!("           start one, or name another by --docker; --no-node goes without");
        }
    };
    let engine = Box::pin(Engine::wait(address, AgentName::new(name)?, told)).await;
    engine.context("the Docker Engine cannot be used; users need to be in the group docker")
}

fn dns(start: &Start, cluster: &Cluster) -> anyhow::Result<Dns> {
    let api = cluster.door("system:coredns", &[]);
    let names = |range: Range| Names::new(range.first().into(), range.prefix());
    let settings = DnsSettings {
        domain: DOMAIN.to_owned(),
        ranges: [start.services, all_pods()].into_iter().filter_map(names).collect(),
        addresses: vec![IpAddr::V4(start.dns_ip)],
        ..DnsSettings::default()
    };
    let on = |port| DnsOptions {
        listen: vec![(start.place.gateway, port).into()],
        upstreams: own_upstreams(),
        ..DnsOptions::default()
    };
    // Without root the port may not be had, and pods ask the Service.
    Dns::start(&api, settings.clone(), &on(DNS_PORT))
        .or_else(|_| Dns::start(&api, settings, &on(0)))
        .context("the DNS did not start")
}

impl Cluster {
    /// A door to the API for pods, which the machine's own loopback is closed to.
    async fn listen(
        &self,
        gateway: Ipv4Addr,
    ) -> anyhow::Result<berth_cluster_apiserver::Listening> {
        let address = (gateway, self.address.port());
        let listener = berth_cluster_apiserver::Listener::bind(address.into()).await;
        let listener = listener.with_context(|| {
            format!("cannot listen on {}:{}, where pods look for the API", address.0, address.1)
        })?;
        Ok(listener.serve(self.server.clone(), self.pki.server_config()?))
    }
}

fn settings(start: &Start, cluster: &Cluster, dns: Ipv4Addr) -> anyhow::Result<Settings> {
    let Place { name, address, pods, bridge, root, .. } = start.place.clone();
    let api = cluster.door(&format!("{NODE_PREFIX}{name}"), &[NODES]);
    let mut settings = Settings::new(&name, address.into(), api, start.engine.clone(), pods);
    settings.root = root;
    settings.bridge = bridge;
    settings.cluster_dns = vec![dns.to_string()];
    DOMAIN.clone_into(&mut settings.cluster_domain);
    settings.rotation = Arc::new(Leave(start.rotation.clone()));
    settings.serve = Some(serve(&start.place, &cluster.pki)?);
    settings.host =
        Some(HostNetwork { pods: vec![all_pods()], services: vec![start.services], nodes: None });
    Ok(settings)
}

/// The agent's own server: at the node's address, with a certificate for it.
fn serve(place: &Place, pki: &Pki) -> anyhow::Result<Serve> {
    let hosts = vec![place.address.to_string(), place.name.clone()];
    let pair = pki.node_server(&place.name, hosts, apiserver::now())?;
    // Another kubelet, or another of these, may have the port that everybody knows.
    let usual = SocketAddr::from((place.address, AGENT_PORT));
    let free = std::net::TcpListener::bind(usual).is_ok();
    let address = if free { usual } else { (place.address, 0).into() };
    let client_ca = pki.ca_pem().to_owned();
    Ok(Serve { address, certificate: pair.certificate, key: pair.key, client_ca })
}

/// Services' data planes are asked whether they still send a pod something.
#[derive(Debug)]
struct Leave(Rotation);

impl berth_cluster_agent::Rotation for Leave {
    fn leave(&self, pod: Leaving) -> Late<'_> {
        Box::pin(async move {
            let addresses: Vec<IpAddr> =
                pod.addresses.iter().filter_map(|address| address.parse().ok()).collect();
            self.0.left(&addresses, pod.limit).await
        })
    }
}
