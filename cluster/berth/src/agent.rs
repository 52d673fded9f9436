// SPDX-License-Identifier: Apache-2.0
//! `berth agent`: this machine as a node of a cluster whose API is elsewhere. `join` is how it gets in, `services` what is shared by several
//! agents of one machine, `renewal` how it stays in.

mod folder;
mod join;
mod register;
mod renewal;
mod request;
mod services;
mod trouble;

use crate::apiserver::now;
use crate::cli::AgentArgs;
use crate::network::Network;
use crate::node::{self, Blueprint, Doors, GRACE, Place, agent_address, expiry, host_name, place};
use crate::stop::Stop as Wish;
use anyhow::{Context, bail};
use berth_cluster_agent::{Running, Serve, Stop};
use berth_cluster_agent_network::Range;
use berth_cluster_auth::pki::{Pair, fingerprint};
use berth_cluster_auth::token::join::JoinToken;
use berth_cluster_client::{Api, Way};
use berth_cluster_docker::Address;
use folder::{Cluster, Folder};
use join::Wait;
use register::{ID, Registration};
use renewal::{Renewal, User};
use request::{Asker, Kind};
use services::{Services, Told};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use trouble::{Trouble, of};

/// Runs until it is told to stop.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<()> {
    let stop = Wish::listen()?;
    let begun = Instant::now();
    let name = args.node_name.clone().unwrap_or_else(host_name);
    berth_cluster_docker::Agent::new(&name).context("--node-name")?;
    let address = args.node_ip.unwrap_or_else(place::own_address);
    let root = match &args.data {
        Some(data) => data.clone(),
        None => place::root(&name)?,
    };
    let claim = place::claim(&root)?;
    let folder = Folder::new(root);
    let asker = Asker { node: name, address };
    // Where it is told to stop meanwhile, it never came to be.
    if let Some(parts) = stop.unless_asked(Box::pin(start(&args, &folder, &asker))).await? {
        let api = parts.api.clone();
        let tell = async {
            node::ready(&api, &asker.node).await;
            let seconds = begun.elapsed().as_secs_f64();
            println!("node       {} Ready after {seconds:.2} s", asker.node);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = stop.asked() => {}
            () = tell => {}
        }
        tracing::info!(pods = if args.remove { "end" } else { "go on" }, "stopping");
        parts.stop(args.remove).await;
    }
    if args.remove {
        folder.remove()?;
    }
    drop(claim);
    Ok(())
}

/// What runs.
struct Parts {
    agent: Arc<Running>,
    services: Services,
    renewals: JoinSet<()>,
    _dns: crate::dns::Dns,
    /// As the node's agent.
    api: Api,
}

impl Parts {
    async fn stop(mut self, remove: bool) {
        self.renewals.shutdown().await;
        let how = if remove { Stop::Remove { grace: GRACE } } else { Stop::Leave };
        // The renewals had the others.
        if let Some(agent) = Arc::into_inner(self.agent) {
            agent.stop(how).await;
        }
        self.services.stop(remove).await;
    }
}

/// Starts all parts, one after the other; each waits for what it needs, and says so.
async fn start(args: &AgentArgs, folder: &Folder, asker: &Asker) -> anyhow::Result<Parts> {
    let engine = match &args.docker {
        Some(engine) => engine.clone(),
        None => Address::parse(&std::env::var("DOCKER_HOST").unwrap_or_default())?,
    };
    let cluster = enter(args, folder, asker).await?;
    let client = folder.pair(Kind::Client, now())?.context("the certificate is gone")?;
    let (api, way) = Api::changing(&cluster.api(&client).await?);
    let id = folder.id()?;
    let registration = Registration {
        name: asker.node.clone(),
        address: asker.address,
        pods: args.pod_network,
        id: id.clone(),
    };
    let pods = registered(&registration, &api, &cluster.url).await?;
    let services = certificate(folder, asker, &api, Kind::Services).await?;
    let serving = certificate(folder, asker, &api, Kind::Serving).await?;
    let (door, services_way) = Api::changing(&cluster.api(&services).await?);
    let network = Network::read(&door).await.context("the cluster's addresses are not known")?;
    if !network.pods.contains(pods.first()) || pods.prefix() < network.pods.prefix() {
        bail!("--pod-network {pods}: the cluster's pods have addresses of {}", network.pods);
    }
    say(asker, &cluster.url, pods);
    let cluster_id = fingerprint(&cluster.ca).unwrap_or_default();
    let told = Told {
        node: asker.node.clone(),
        address: asker.address,
        services: door.clone(),
        agent: api.clone(),
        no_fast: args.no_fast,
    };
    let place = Place::told(asker.node.clone(), asker.address, pods, folder.pods());
    let serve = serve(asker.address, &cluster, &serving);
    let rotation = told.others();
    let blueprint = Blueprint {
        place,
        engine,
        network,
        doors: Doors { node: api.clone(), services: door.clone(), names: door },
        contained: None,
        rotation: Arc::clone(&rotation) as Arc<dyn berth_cluster_agent::Rotation>,
        labels: args.labels.iter().cloned().collect(),
        annotations: [(ID.to_owned(), id), expiry(client.validity().map_or(0, |(_, ends)| ends))]
            .into(),
    };
    blueprint.engine().await?;
    let running = Services::start(told, &cluster_id, rotation)?;
    let dns = blueprint.dns()?;
    let agent = Arc::new(blueprint.agent(&dns, serve).await?);
    let renewal =
        Renewal { folder: folder.clone(), cluster, asker: asker.clone(), api: api.clone() };
    let certificates = Certificates {
        client: (client, way),
        services: (services, services_way),
        serving: (serving, Arc::clone(&agent)),
    };
    let renewals = certificates.renew(&renewal);
    println!();
    println!(
        "Ctrl-C stops it; {}.",
        if args.remove { "its pods end, and nothing is left" } else { "its pods go on" }
    );
    Ok(Parts { agent, services: running, renewals, _dns: dns, api })
}

/// Says what it is a node of.
fn say(asker: &Asker, url: &str, pods: Range) {
    println!("joined     {url} as the node {}", asker.node);
    println!("node       {} at {}; its pods have addresses of {pods}", asker.node, asker.address);
    if !rustix::process::geteuid().is_root() {
        println!(
            "           without root pods reach nothing outside of this node, and their Services are not served: sudo gives both"
        );
    }
}

/// Certificates, and where new ones go.
struct Certificates {
    client: (Pair, Way),
    services: (Pair, Way),
    serving: (Pair, Arc<Running>),
}

impl Certificates {
    fn renew(self, renewal: &Renewal) -> JoinSet<()> {
        let mut all = JoinSet::new();
        let (pair, way) = self.client;
        all.spawn(renewal.clone().keep(Kind::Client, pair, User::Calls(way)));
        let (pair, way) = self.services;
        all.spawn(renewal.clone().keep(Kind::Services, pair, User::Calls(way)));
        let (pair, agent) = self.serving;
        all.spawn(renewal.clone().keep(Kind::Serving, pair, User::Shows(agent)));
        all
    }
}

fn serve(address: Ipv4Addr, cluster: &Cluster, pair: &Pair) -> Serve {
    Serve {
        address: agent_address(address),
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        client_ca: cluster.ca.clone(),
    }
}

/// Sees to it that the folder has a client's certificate that is good; the cluster that it is of.
async fn enter(args: &AgentArgs, folder: &Folder, asker: &Asker) -> anyhow::Result<Cluster> {
    let known = folder.cluster();
    let url = args.server.clone().or_else(|| known.as_ref().map(|one| one.url.clone()));
    let url = url.context("no cluster is known yet: --server https://HOST:PORT --token TOKEN, as `berth server` prints them")?;
    let url = url.trim_end_matches('/').to_owned();
    if !url.starts_with("https://") {
        bail!("--server {url}: https://HOST:PORT is wanted");
    }
    if let Some(mut cluster) = known
        && folder.pair(Kind::Client, now())?.is_some()
    {
        // It may be called by another name than before; the CA says whether it is the same one.
        if cluster.url != url {
            cluster.url = url;
            folder.keep_cluster(&cluster)?;
        }
        return Ok(cluster);
    }
    let Some(token) = token(args)? else {
        if folder.has(Kind::Client) {
            bail!(
                "the certificate of this node is over, since it was not renewed in time (or this machine's clock is wrong): --token TOKEN gets \
                 another one; `berth token create` on the server prints it"
            );
        }
        bail!(
            "this machine has not joined yet: --token TOKEN is needed once; `berth server` printed one, and `berth token create` there makes others"
        );
    };
    join::join(folder, asker, &url, &token).await?;
    folder.cluster().context("the cluster is not kept")
}

/// The token that is given.
fn token(args: &AgentArgs) -> anyhow::Result<Option<JoinToken>> {
    if let Some(path) = &args.token_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--token-file: cannot read {}", path.display()))?;
        return Ok(Some(JoinToken::parse(&text).context("--token-file")?));
    }
    Ok(args.token.clone())
}

/// Registers the node, however long the server is away.
async fn registered(registration: &Registration, api: &Api, url: &str) -> anyhow::Result<Range> {
    let mut wait = Wait::new(url);
    loop {
        match registration.register(api).await {
            Ok(pods) => return Ok(pods),
            Err(error) => match of(&error) {
                Trouble::Away(why) => wait.say(&why).await,
                Trouble::Tls(why) => bail!(why),
                Trouble::Unknown401 => bail!(
                    "the server does not know this node's certificate: it is of another cluster, or over; --token TOKEN with another --data DIR \
                     joins anew"
                ),
                Trouble::Other => return Err(error.context("the node cannot be registered")),
            },
        }
    }
}

/// A certificate that is kept and good, or a new one.
async fn certificate(
    folder: &Folder,
    asker: &Asker,
    api: &Api,
    kind: Kind,
) -> anyhow::Result<Pair> {
    let kept = folder.pair(kind, now())?;
    // One of the server is for an address, which may have changed.
    if let Some(pair) = kept.filter(|_| kind != Kind::Serving) {
        return Ok(pair);
    }
    let pair = asker.certificate(api, kind).await?;
    folder.keep(kind, &pair)?;
    Ok(pair)
}
