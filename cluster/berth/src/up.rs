// SPDX-License-Identifier: Apache-2.0
//! `berth up`: a whole cluster in one process, and this machine as its node.

use crate::apiserver;
use crate::balancer;
use crate::cli::UpArgs;
use crate::controllers::{self, Chosen, Leader};
use crate::node::{self, Node, Place};
use crate::schedule::{print_addresses, start, until_stopped};
use anyhow::Context;
use berth_balancer_kubernetes::{Kubernetes, Rotation};
use berth_balancer_service::source::file::File;
use berth_cluster_api::kinds::service::allocate::Ranges;
use berth_cluster_apiserver::Caller;
use berth_cluster_auth::pki::Pki;
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::{Api, election};
use berth_cluster_controllers::certificates::{Authority, Order, Signer};
use berth_cluster_controllers::load_balancer::{pool::Range, ranges};
use berth_cluster_controllers::{CONTROLLERS, SHARED, Settings};
use berth_cluster_docker::Address;
use berth_cluster_hollow::{Hollow, Identity, Options};
use berth_scheduler_kubernetes::Replica;
use berth_scheduler_service::Server;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// The addresses of Services, and which of them is the DNS's, as everybody has it.
const SERVICES: &str = "10.96.0.0/16";
const DNS: u64 = 10;
/// The port of an API that nobody chose another for.
const USUAL_PORT: u16 = 6443;

/// Runs until it is told to stop.
pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    // What is wrong with flags is told before anything is started.
    let settings = controllers::settings(args.load_balancer_pool.clone(), Some(services()))?;
    let place = place(&args)?;
    let engine = engine(&args)?;
    let mut builder = Server::builder().listen(args.listen).metrics(args.metrics);
    if let Some(path) = &args.data {
        builder = builder.data(path);
    }
    let server = start(builder).await?;
    // `up` twice on one machine is two of everything; and the same one again finds what a crash left on the host.
    let own = match args.balancer.port() {
        0 => format!("up-{}", std::process::id()),
        port => format!("up-at-{port}"),
    };
    let control = balancer::control_path(None).with_file_name(format!("{own}.sock"));
    let api = match apiserver::start(of_up(&args, place.as_ref())).await {
        Ok(api) => api,
        Err(error) => {
            server.stop().await;
            tidy(&args, &control);
            return Err(error.context("the Kubernetes API did not start"));
        }
    };
    let cluster = node::Cluster::new(&api);
    let mut balancer = balancer::builder(control.clone(), 0, &[])?
        .listen(args.balancer)
        .admin(args.balancer_admin);
    if let Some(path) = &args.balancer_config {
        balancer = balancer.source(Box::new(File::new(path.clone())));
    }
    let mut start = None;
    if let Some(place) = place {
        let source = services_of(&cluster, &place);
        let rotation = source.rotation();
        balancer = balancer.source(Box::new(source));
        start = Some(of_node(&args, place, engine, rotation, begun));
    }
    let balancer = balancer::start(balancer, "--balancer and --balancer-admin").await;
    let balancer = match balancer {
        Ok(balancer) => balancer,
        Err(error) => {
            api.stop().await;
            server.stop().await;
            tidy(&args, &control);
            return Err(error);
        }
    };
    let components = Components::start(&api, &args, settings, &own)?;
    let place = start.as_ref().map(|start| &start.place);
    say(&args, &api, &server, &balancer, (place, &control));
    let node = start.map(|start| Node::start(start, cluster));
    let stopped = until_stopped(server).await;
    if let Some(node) = node {
        node.stop(args.node.keep).await;
    }
    components.stop().await;
    balancer.stop(!args.node.keep).await;
    api.stop().await;
    tidy(&args, &control);
    stopped
}

/// What this machine's node is started with.
fn of_node(
    args: &UpArgs,
    place: Place,
    engine: Address,
    rotation: Rotation,
    begun: Instant,
) -> node::Start {
    let dns_ip = ranges().cluster_ips.at(DNS);
    let services = service_range();
    node::Start { place, engine, services, dns_ip, rotation, demo: args.node.demo, begun }
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

/// Services as the node's data plane serves them.
fn services_of(cluster: &node::Cluster, place: &Place) -> Kubernetes {
    let settings = berth_balancer_kubernetes::Settings::new(&place.name);
    Kubernetes::new(cluster.door("system:kube-proxy", &[]), settings)
}

/// Says where everything is, and what to try.
fn say(
    args: &UpArgs,
    api: &apiserver::Running,
    server: &Server,
    balancer: &berth_balancer_service::Server,
    (place, control): (Option<&Place>, &Path),
) {
    println!("Berth is up: a Kubernetes cluster, the scheduling service and the balancer.");
    println!("API        {}", api.url);
    println!("kubeconfig {}", api.kubeconfig.display());
    if args.simulate > 0 {
        println!("nodes      {} simulated: berth.dev/simulated=true", args.simulate);
    }
    if let Some(place) = place {
        println!("node       {} starts; its pods have addresses of {}", place.name, place.pods);
        if !rustix::process::geteuid().is_root() {
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

/// What makes a cluster of the API.
struct Components {
    scheduler: Replica,
    controllers: Leader,
    nodes: Option<Hollow>,
}

impl Components {
    /// Starts it. `own` is who this process is to others that contend for a Lease.
    fn start(
        api: &apiserver::Running,
        args: &UpArgs,
        settings: Settings,
        own: &str,
    ) -> anyhow::Result<Self> {
        let server = api.server.clone();
        let door = move |user: User| Api::within(server.clone(), Caller(user));
        let component = door.clone();
        let doors = move |account: &str| {
            component(match account {
                SHARED => User::authenticated("system:kube-controller-manager", "", Vec::new()),
                account => User::service_account("kube-system", account, ""),
            })
        };
        // A store of one process has one of each: the Lease of an earlier run is its own.
        let lease = election::Options::new("kube-system", "kube-controller-manager", own);
        let authority: Arc<dyn Authority> = Arc::new(Own(Arc::clone(&api.pki)));
        let settings = Settings { authority: Some(Signer(authority)), ..settings };
        let chosen = Chosen { names: controllers::chosen(&args.controllers), settings };
        let scheduler = User::authenticated("system:kube-scheduler", "", Vec::new());
        Ok(Self {
            scheduler: crate::scheduler::within(door(scheduler), own)?,
            controllers: Leader::start(chosen, Arc::new(doors), lease),
            nodes: (args.simulate > 0).then(|| simulated(door, args.simulate)),
        })
    }

    async fn stop(self) {
        if let Some(nodes) = self.nodes {
            nodes.stop().await;
        }
        self.scheduler.stop().await;
        self.controllers.stop().await;
    }
}

/// The addresses and ports that Services of the cluster get: addresses that are no home's, office's or Docker's.
fn ranges() -> Ranges {
    let cluster_ips = SERVICES.parse().unwrap_or(Ranges::default().cluster_ips);
    Ranges { cluster_ips, ..Ranges::default() }
}

/// The same for the node.
fn service_range() -> berth_cluster_agent_network::Range {
    SERVICES.parse().unwrap_or_else(|_| unreachable!("a constant is a network"))
}

/// The addresses that Services of the cluster get.
fn services() -> Range {
    let network = ranges().cluster_ips;
    let text = network.to_string();
    let length = text.split_once('/').and_then(|(_, length)| length.parse().ok());
    ranges::whole(network.at(0), length.unwrap_or(0))
}

/// Nodes that are simulated; each writes as itself.
fn simulated(door: impl Fn(User) -> Api + Send + Sync + 'static, nodes: u32) -> Hollow {
    let masters = vec![MASTERS.to_owned()];
    let own = door(User::authenticated("system:simulated-nodes", "", masters));
    let node = move |name: &str| {
        let groups = vec!["system:nodes".to_owned(), MASTERS.to_owned()];
        door(User::authenticated(&format!("system:node:{name}"), "", groups))
    };
    let identity = Some(Identity(Arc::new(node)));
    Hollow::start(own, Options { nodes, identity, ..Options::default() })
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

/// The cluster's own CA signs certificates.
struct Own(Arc<Pki>);

impl Authority for Own {
    fn sign(&self, order: &Order<'_>) -> Result<String, String> {
        let signed = self.0.sign_request(order.request, order.usages, order.seconds, order.now);
        signed.map_err(|error| error.to_string())
    }
}

/// The apiserver of `up`: beside everything else that is kept, or in memory, with its keys where only this user can read.
fn of_up(args: &UpArgs, place: Option<&Place>) -> apiserver::Start {
    let folder = match &args.data {
        Some(data) => data.join("cluster"),
        None => in_memory(args),
    };
    let store = match &args.data {
        Some(_) => format!("sled:{}", folder.display()),
        None => "memory".to_owned(),
    };
    apiserver::Start {
        listen_flag: "--api",
        pki_flag: if args.data.is_some() { "--data:" } else { "the folder of keys" },
        store_flag: "--data:",
        tokens: args.token_auth_file.clone(),
        controllers: args.controllers.clone(),
        tolerations: args.stay.into(),
        ranges: ranges(),
        // Pods reach it at the machine's own address on their bridge.
        advertised: place.map(|place| place.gateway),
        hosts: place.map(|place| place.gateway.to_string()).into_iter().collect(),
        agents_here: true,
        others: CONTROLLERS.iter().map(|(name, _)| *name).collect(),
        ..apiserver::Start::new(store, args.api, folder.join("pki"))
    }
}
