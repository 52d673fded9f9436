// SPDX-License-Identifier: Apache-2.0
//! `berth up`: a whole cluster in one process, and this machine as its node.

use crate::apiserver;
use crate::balancer;
use crate::cli::UpArgs;
use crate::components::{Components, Wanted};
use crate::controllers;
use crate::network::Network;
use crate::node::{self, Contained, Node, Place};
use crate::record::Record;
use crate::schedule::{print_addresses, start, until_stopped};
use crate::stop::Stop;
use anyhow::Context;
use berth_balancer_kubernetes::Kubernetes;
use berth_balancer_service::source::file::File;
use berth_cluster_client::Api;
use berth_cluster_controllers::CONTROLLERS;
use berth_cluster_docker::Address;
use berth_scheduler_service::{Builder, Server};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The port of an API that nobody chose another for.
const USUAL_PORT: u16 = 6443;
/// What is waited for after a failure.
const AGAIN: Duration = Duration::from_millis(500);

/// Runs until it is told to stop.
pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let begun = Instant::now();
    // What is wrong with flags is told before anything is started.
    let network = Network::default();
    let settings = controllers::settings(args.plane.load_balancer_pool.clone(), Some(&network))?;
    let place = place(&args)?;
    let engine = engine(&args)?;
    let server = start(scheduling(&args)).await?;
    let own = own_name(&args);
    let control = balancer::control_path(None).with_file_name(format!("{own}.sock"));
    let api = match apiserver::start(of_up(&args, &network, place.as_ref())?).await {
        Ok(api) => api,
        Err(error) => {
            server.stop().await;
            tidy(&args, &control);
            return Err(error.context("the Kubernetes API did not start"));
        }
    };
    let cluster = node::Cluster::new(&api);
    let contained = contained(&args, place.as_ref(), &engine, &control).await;
    let mut balancer = balancing(&args, &control, contained.as_ref())?;
    let mut start = None;
    if let Some(place) = place {
        let source = services_of(&cluster, &place);
        let rotation = source.rotation();
        balancer = balancer.source(Box::new(source));
        let contained = contained.clone();
        let demo = args.node.demo;
        start = Some(node::Start { place, engine, network, rotation, contained, demo, begun });
    }
    let balancer = balancer::start(balancer, "--balancer and --balancer-admin").await;
    let balancer = match balancer {
        Ok(balancer) => balancer,
        Err(error) => {
            if let Some(contained) = contained {
                contained.remove().await;
            }
            api.stop().await;
            server.stop().await;
            tidy(&args, &control);
            return Err(error);
        }
    };
    let (controllers, simulate) = (args.plane.controllers.as_slice(), args.simulate);
    let wanted = Wanted { controllers, settings, simulate, own: &own };
    let components = Components::start(&api, wanted)?;
    let told = tokio::spawn(tell(cluster.admin(), network));
    let record = Record::write("up", &api, Some(&control));
    let place = start.as_ref().map(|start| &start.place);
    say(&args, &api, &server, &balancer, (place, &control), contained.is_some());
    let node = start.map(|start| Node::start(start, cluster));
    until_stopped(server, &stop).await;
    if let Some(node) = node {
        node.stop(args.node.keep).await;
    }
    told.abort();
    drop(record);
    components.stop().await;
    balancer.stop(!args.node.keep).await;
    if let Some(contained) = contained.filter(|_| !args.node.keep) {
        contained.remove().await;
    }
    api.stop().await;
    tidy(&args, &control);
    Ok(())
}

/// What is this one's own is called so: `up` twice on one machine is two of everything; and the same one again finds what a crash left
/// on the host.
fn own_name(args: &UpArgs) -> String {
    match args.balancer.port() {
        0 => format!("up-{}", std::process::id()),
        port => format!("up-at-{port}"),
    }
}

/// The scheduling service.
fn scheduling(args: &UpArgs) -> Builder {
    let builder = Server::builder().listen(args.listen).metrics(args.metrics);
    match &args.data {
        Some(path) => builder.data(path),
        None => builder,
    }
}

/// The balancer, whose data plane is a process, or a container.
fn balancing(
    args: &UpArgs,
    control: &Path,
    contained: Option<&Contained>,
) -> anyhow::Result<berth_balancer_service::Builder> {
    let balancer = match contained {
        Some(contained) => balancer::claim(control.to_owned(), contained.data_plane())?,
        None => balancer::builder(control.to_owned(), 0, &[])?,
    };
    let balancer = balancer.listen(args.balancer).admin(args.balancer_admin);
    Ok(match &args.balancer_config {
        Some(path) => balancer.source(Box::new(File::new(path.clone()))),
        None => balancer,
    })
}

/// Who does for the node what takes root's rights, where this process has none and the engine is there.
async fn contained(
    args: &UpArgs,
    place: Option<&Place>,
    engine: &Address,
    control: &Path,
) -> Option<Contained> {
    let place = place.filter(|_| !args.node.no_helper && !rustix::process::geteuid().is_root())?;
    let found = Contained::find(engine, &place.name, control).await;
    let told = found.inspect_err(|error| tracing::warn!("no containers help this node: {error:#}"));
    told.ok()
}

/// The place of this machine's node, if there is to be one.
fn place(args: &UpArgs) -> anyhow::Result<Option<Place>> {
    if args.node.no_node || args.simulate > 0 {
        return Ok(None);
    }
    let name = args.node.node_name.clone().unwrap_or_else(|| {
        let host = node::host_name();
        match args.api.port() {
            USUAL_PORT => host,
            0 => format!("{host}-{}", std::process::id()),
            port => format!("{host}-{port}"),
        }
    });
    berth_cluster_docker::Agent::new(&name).context("--node-name")?;
    Place::find(name, args.node.pod_network).map(Some)
}

/// The engine that runs the node's containers.
fn engine(args: &UpArgs) -> anyhow::Result<Address> {
    let said = || Address::parse(&std::env::var("DOCKER_HOST").unwrap_or_default());
    Ok(args.node.docker.clone().map_or_else(said, Ok)?)
}

/// Services as the node's data plane serves them. Other nodes ask it before they end pods.
fn services_of(cluster: &node::Cluster, place: &Place) -> Kubernetes {
    let mut settings = berth_balancer_kubernetes::Settings::new(&place.name);
    settings.health = node::proxy_address(place.address);
    Kubernetes::new(cluster.door(node::PROXY, &[]), settings)
        .announced_by(cluster.node(&place.name))
}

/// Tells nodes of the cluster's addresses, and pods of its DNS.
pub(crate) async fn tell(api: Api, network: Network) {
    while let Err(error) = network.publish(&api).await {
        tracing::warn!(%error, "nodes are not told of the cluster's addresses yet");
        tokio::time::sleep(AGAIN).await;
    }
    node::names::keep(api, network.dns).await;
}

/// Says where everything is, and what to try.
fn say(
    args: &UpArgs,
    api: &apiserver::Running,
    server: &Server,
    balancer: &berth_balancer_service::Server,
    (place, control): (Option<&Place>, &Path),
    contained: bool,
) {
    println!("Berth is up: a Kubernetes cluster, the scheduling service and the balancer.");
    println!("API        {}", api.url);
    println!("kubeconfig {}", api.kubeconfig.display());
    if args.simulate > 0 {
        println!("nodes      {} simulated: berth.dev/simulated=true", args.simulate);
    }
    if let Some(place) = place {
        println!("node       {} starts; its pods have addresses of {}", place.name, place.pods);
        if contained {
            println!(
                "           two containers do what takes root: they serve Services, and lead pods' traffic"
            );
        } else if !rustix::process::geteuid().is_root() {
            println!(
                "           without root Services have only addresses that any program may take, and pods reach nothing"
            );
            println!("           outside of the cluster: sudo gives both");
        }
    }
    print_addresses(server, false);
    balancer::print_addresses(balancer, false);
    match &args.data {
        Some(path) => println!("data       {}", path.display()),
        None => println!("data       in memory only; --data DIR keeps it"),
    }
    println!();
    println!("Try it:");
    let kubectl = format!("kubectl --kubeconfig {}", api.kubeconfig.display());
    if args.simulate > 0 {
        println!("  {kubectl} get nodes");
        println!("  {kubectl} create deployment web --image=web --replicas=10");
        println!("  {kubectl} get pods -o wide --watch");
    } else if place.is_some() {
        println!("  {kubectl} get nodes,pods,services --all-namespaces");
    } else {
        println!("  {kubectl} get namespaces");
    }
    let address = server.address();
    println!(
        "  cargo run --release -p berth-loadgen -- schedule --connect http://{address} --row basic"
    );
    println!("  grpcurl -plaintext {address} berth.scheduler.v1.Scheduler/Stats");
    if let Some(address) = balancer.address() {
        println!(
            "  grpcurl -plaintext -d '{{\"services\": [{{\"name\": \"web\", \"addresses\": [\"127.0.0.1\"], \\\n    \
             \"ports\": [{{\"port\": 8080, \"target_port\": 9001}}], \"endpoints\": [{{\"address\": \"127.0.0.1\"}}]}}]}}' \\\n    \
             {address} berth.balancer.v1.Balancer/Apply"
        );
    }
    println!("  cargo run --release -- balancer status --control {}", control.display());
    println!();
    println!("Ctrl-C stops it.");
}

/// Where the keys are of a cluster that keeps nothing else: on a fixed port always in the same place, so that a kubeconfig stays good;
/// on a free one in a place of its own, which goes with the process.
fn in_memory(args: &UpArgs) -> PathBuf {
    let name = match args.api.port() {
        0 => format!("up-{}", std::process::id()),
        port => format!("up-at-{port}"),
    };
    balancer::control_path(None).with_file_name(name)
}

/// Removes what is named after this process, and so is nobody's when it has ended.
fn tidy(args: &UpArgs, control: &Path) {
    if args.data.is_none() && args.api.port() == 0 {
        drop(std::fs::remove_dir_all(in_memory(args)));
    }
    if args.balancer.port() == 0 {
        drop(std::fs::remove_file(control));
        drop(std::fs::remove_file(control.with_extension("sock.lock")));
    }
}

/// The apiserver of `up`: beside everything else that is kept, or in memory, with its keys where only this user can read.
fn of_up(
    args: &UpArgs,
    network: &Network,
    place: Option<&Place>,
) -> anyhow::Result<apiserver::Start> {
    let folder = match &args.data {
        Some(data) => data.join("cluster"),
        None => in_memory(args),
    };
    let store = match &args.data {
        Some(_) => format!("sled:{}", folder.display()),
        None => "memory".to_owned(),
    };
    Ok(apiserver::Start {
        listen_flag: "--api",
        pki_flag: if args.data.is_some() { "--data:" } else { "the folder of keys" },
        store_flag: "--data:",
        tokens: args.plane.token_auth_file.clone(),
        controllers: args.plane.controllers.clone(),
        tolerations: args.plane.stay.into(),
        ranges: network.ranges()?,
        // Pods reach it at the machine's own address on their bridge.
        advertised: place.map(|place| place.gateway),
        hosts: place.map(|place| place.gateway.to_string()).into_iter().collect(),
        agents_here: true,
        others: CONTROLLERS.iter().map(|(name, _)| *name).collect(),
        ..apiserver::Start::new(store, args.api, folder.join("pki"))
    })
}
