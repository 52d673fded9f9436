// SPDX-License-Identifier: Apache-2.0
//! The node of `berth up`: this machine, with its agent, its DNS, and a door to the API for its pods.

pub(crate) mod contained;
pub(crate) mod names;
mod parts;
pub(crate) mod place;

pub(crate) use contained::Contained;
pub(crate) use parts::{Blueprint, Doors, agent_address, expiry, proxy_address, tell_expiry};
pub(crate) use place::{Place, host_name};

use crate::apiserver;
use crate::demo;
use crate::dns::Dns;
use crate::network::Network;
use anyhow::Context;
use berth_balancer_kubernetes::Rotation;
use berth_cluster_agent::{Late, Leaving, Running, Serve, Stop};
use berth_cluster_apiserver::Caller;
use berth_cluster_auth::pki::{Pair, Pki};
use berth_cluster_auth::user::{MASTERS, NODE_PREFIX, NODES, User};
use berth_cluster_client::Api;
use berth_cluster_docker::Address;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long pods have when the whole cluster ends.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether the agent's certificate is to be renewed, and how many seconds of it are left then: as the API's own.
const RENEW: Duration = Duration::from_hours(6);
const RENEW_SECONDS: i64 = 90 * 24 * 3_600;
/// As whom Services are read.
pub(crate) const PROXY: &str = "system:kube-proxy";

/// What a node is started with.
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) engine: Address,
    /// The cluster's addresses.
    pub(crate) network: Network,
    /// When services' data plane of this node sends a pod nothing more.
    pub(crate) rotation: Rotation,
    /// Who does what takes root's rights, where this process has none.
    pub(crate) contained: Option<Contained>,
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
    agent: Arc<Running>,
    _dns: Dns,
    /// Where pods reach the API.
    door: berth_cluster_apiserver::Listening,
    /// The folder is this agent's while this is open.
    _claim: std::fs::File,
    renewal: JoinHandle<()>,
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

    /// The API, as the agent of a node.
    pub(crate) fn node(&self, name: &str) -> Api {
        self.door(&format!("{NODE_PREFIX}{name}"), &[NODES])
    }

    /// The API, as its administrator.
    pub(crate) fn admin(&self) -> Api {
        self.door("system:admin", &[MASTERS])
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
                parts.renewal.abort();
                // It has ended now, and so this is the last one who has the agent.
                drop(parts.renewal.await);
                if let Some(agent) = Arc::into_inner(parts.agent) {
                    agent.stop(how).await;
                }
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
    let admin = cluster.admin();
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
pub(crate) async fn ready(api: &Api, name: &str) {
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
    let demo = start.demo;
    let mut blueprint = blueprint(start, cluster);
    let (serve, expires) = serve(&blueprint.place, &cluster.pki)?;
    blueprint.annotations.extend([expiry(expires)]);
    let engine = blueprint.engine().await?;
    let door = cluster.listen(blueprint.place.gateway).await?;
    let dns = blueprint.dns()?;
    let echo = if demo { engine.ensure_echo().await? } else { String::new() };
    let agent = Arc::new(blueprint.agent(&dns, serve).await?);
    let renewal =
        tokio::spawn(renew(Arc::clone(&agent), blueprint.place, cluster.clone(), expires));
    Ok((Parts { agent, door, _dns: dns, _claim: claim, renewal }, echo))
}

fn blueprint(start: Start, cluster: &Cluster) -> Blueprint {
    let doors = Doors {
        node: cluster.node(&start.place.name),
        services: cluster.door(PROXY, &[]),
        names: cluster.door("system:coredns", &[]),
    };
    Blueprint {
        place: start.place,
        engine: start.engine,
        network: start.network,
        doors,
        rotation: Arc::new(Leave::new(start.rotation)),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        contained: start.contained,
    }
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

/// What the agent's own server is told: its address, with a certificate for it, which ends at this second.
fn serve(place: &Place, pki: &Pki) -> anyhow::Result<(Serve, i64)> {
    let pair = certificate(place, pki)?;
    let ends = pair.validity().map_or(0, |(_, ends)| ends);
    let (address, client_ca) = (agent_address(place.address), pki.ca_pem().to_owned());
    Ok((Serve { address, certificate: pair.certificate, key: pair.key, client_ca }, ends))
}

fn certificate(place: &Place, pki: &Pki) -> anyhow::Result<Pair> {
    let hosts = vec![place.address.to_string(), place.name.clone()];
    Ok(pki.node_server(&place.name, hosts, apiserver::now())?)
}

/// Shows a new certificate before the old one ends, for ever.
async fn renew(agent: Arc<Running>, place: Place, cluster: Cluster, mut ends: i64) {
    loop {
        tokio::time::sleep(RENEW).await;
        if ends - apiserver::now() > RENEW_SECONDS {
            continue;
        }
        let shown = certificate(&place, &cluster.pki).and_then(|pair| {
            agent.show(&pair.certificate, &pair.key)?;
            Ok(pair.validity().map_or(0, |(_, ends)| ends))
        });
        match shown {
            Ok(until) => {
                ends = until;
                let api = cluster.node(&place.name);
                tell_expiry(&api, &place.name, ends).await;
            }
            Err(error) => tracing::error!("the agent's certificate cannot be renewed: {error:#}"),
        }
    }
}

/// Services' data planes are asked whether they still send a pod something.
#[derive(Debug)]
pub(crate) struct Leave(RwLock<Rotation>);

impl Leave {
    pub(crate) fn new(rotation: Rotation) -> Self {
        Self(RwLock::new(rotation))
    }

    /// From now on others are asked.
    pub(crate) fn change(&self, rotation: Rotation) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rotation;
    }
}

impl berth_cluster_agent::Rotation for Leave {
    fn leave(&self, pod: Leaving) -> Late<'_> {
        let rotation = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let addresses: Vec<IpAddr> =
                pod.addresses.iter().filter_map(|address| address.parse().ok()).collect();
            rotation.left(&addresses, pod.limit).await
        })
    }
}
