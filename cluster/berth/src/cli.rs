// SPDX-License-Identifier: Apache-2.0
//! The command line.

mod agent;
mod apiserver;
mod balancer;
mod controllers;
mod dns;
mod hands;
mod plane;
mod proxy;
mod server;
mod status;

pub(crate) use agent::AgentArgs;
pub(crate) use apiserver::{ApiserverArgs, BackupArgs, StayArgs};
pub(crate) use balancer::{
    BalancerArgs, BalancerCommand, DataArgs, Namespace, PlaneArgs, Rings, Shortcut, StatusArgs,
};
pub(crate) use controllers::{ControllersArgs, Pool};
pub(crate) use dns::{DnsArgs, PodNames};
pub(crate) use hands::HandsArgs;
pub(crate) use plane::ControlPlaneArgs;
pub(crate) use proxy::ProxyArgs;
pub(crate) use server::{ClusterArgs, ServerArgs, TokenArgs, TokenCommand};
pub(crate) use status::StatusOfArgs;

use clap::{Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Start here:
  berth up
        a whole cluster of this machine; prints where it is, and a line to try
  berth server --data /var/lib/berth/server
        the control plane of a cluster of several machines; prints the line by which they join, such as
  berth agent --server https://192.168.7.2:6443 --token TOKEN
  berth apiserver --store sled:/var/lib/berth/cluster
        the Kubernetes API alone, durable
  berth scheduler --standalone --listen 0.0.0.0:7301 --data /var/lib/berth
        the scheduling service alone, durable
  berth scheduler --kubeconfig scheduler.kubeconfig
        the scheduler of a Kubernetes cluster, this one or any other
  berth balancer --config balancer.yaml
        the balancer alone, from a file that is watched
  berth proxy --kubeconfig proxy.kubeconfig
        the Services of a Kubernetes cluster on this node, this one or any other

`berth help COMMAND` explains a command, with examples.";

/// Gives every container its place and every connection its way: a scheduling engine that answers over gRPC, a balancer, and the
/// Kubernetes API.
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    /// How much is logged, to standard error
    #[arg(long, global = true, value_enum, default_value_t = Log::Info, value_name = "LEVEL")]
    pub(crate) log: Log,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Levels of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Nothing.
    Off,
    /// What a human must act on.
    Error,
    /// And what was recovered from.
    Warn,
    /// And changes of state.
    Info,
    /// And single connections.
    Debug,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything there is so far: a Kubernetes cluster, the scheduling service and the balancer
    Up(Box<UpArgs>),
    /// Run the control plane of a cluster of several machines: the API, the scheduler, the controllers
    Server(Box<ServerArgs>),
    /// Make this machine a node of a cluster: it runs pods on its Docker Engine, with DNS and Services
    Agent(Box<AgentArgs>),
    /// Make, list and delete the tokens by which machines join
    Token(TokenArgs),
    /// One screen of what runs in a cluster, what is wrong first
    Status(StatusOfArgs),
    /// Run the scheduler alone: of a Kubernetes cluster, or as a service over gRPC
    Scheduler(Box<SchedulerArgs>),
    /// Run the controllers alone, of a Kubernetes cluster
    Controllers(ControllersArgs),
    /// Run the Kubernetes API alone, over a store
    Apiserver(Box<ApiserverArgs>),
    /// Write all objects of a store into a file
    Backup(BackupArgs),
    /// Fill an empty store from a backup
    Restore(BackupArgs),
    /// Run the balancer alone, check its configuration, or see how it fares
    Balancer(Box<BalancerArgs>),
    /// Serve the Services of a Kubernetes cluster on this node, this cluster or any other: what kube-proxy does
    Proxy(Box<ProxyArgs>),
    /// Answer for the names of a Kubernetes cluster, this one or any other: what CoreDNS does
    Dns(Box<DnsArgs>),
    /// Do what takes root's rights for the agent of another user
    #[command(hide = true)]
    Hands(HandsArgs),
}

const UP_HELP: &str = "\
Examples:
  berth up
        a Kubernetes cluster of this machine, which runs containers on its Docker Engine; its API is on 127.0.0.1:6443, and the first
        lines say where its kubeconfig is;
        the scheduling service on 127.0.0.1:7301, its metrics on 127.0.0.1:7302, nothing kept;
        the balancer's control channel on 127.0.0.1:7303, its table and metrics on 127.0.0.1:7304
  berth up --balancer-config balancer.yaml
        and the services of a file
  berth up --data ./berth-data
        objects and placements survive a restart
  berth up --demo
        and deploys three pods behind a Service, calls it through each of its addresses, and says how long everything took
  berth up --simulate 100
        with 100 nodes that are simulated, in the place of this machine: deploy something, and see it spread
  berth up --no-node
        without containers: neither Docker nor root is needed
  berth up --load-balancer-pool 192.168.7.32/28,192.168.7.100
        Services of the type LoadBalancer get addresses of your own network
  berth up --listen 127.0.0.1:0 --api 127.0.0.1:0
        on free ports; the first lines say which

Ctrl-C stops it: what was taken up is answered, the journal is closed, and of containers, networks, rules and files nothing is left,
unless --keep says so.";

/// Flags of `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = UP_HELP)]
pub(crate) struct UpArgs {
    /// Where gRPC is served; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7301", value_name = "ADDR", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// Where /metrics, /livez and /readyz are served
    #[arg(long, default_value = "127.0.0.1:7302", value_name = "ADDR", value_parser = address)]
    pub(crate) metrics: SocketAddr,

    /// Keep objects, keys and the scheduler's journal in this directory, made if it is not there [default: nothing is kept]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Where the Kubernetes API is served (HTTPS); port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR", value_parser = address)]
    pub(crate) api: SocketAddr,

    /// So many nodes that only exist in the API, 32768 at most: they renew leases and take pods through their phases, and are labelled
    /// berth.dev/simulated=true. One with the annotation berth.dev/simulated-silent=true falls silent, as if its machine was off
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = simulated, allow_negative_numbers = true)]
    pub(crate) simulate: u32,

    /// Where the balancer's control channel (gRPC) is served; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7303", value_name = "ADDR", value_parser = address)]
    pub(crate) balancer: SocketAddr,

    /// Where the balancer's live table and metrics are served
    #[arg(long, default_value = "127.0.0.1:7304", value_name = "ADDR", value_parser = address)]
    pub(crate) balancer_admin: SocketAddr,

    /// Services and endpoints in a file (docs/balancer.md), watched [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) balancer_config: Option<PathBuf>,

    // Each has a heading of its own, which would hold for what comes after it.
    #[command(flatten)]
    pub(crate) node: NodeArgs,

    #[command(flatten)]
    pub(crate) plane: ControlPlaneArgs,
}

/// Flags of `up` about this machine as a node.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "This machine as a node")]
pub(crate) struct NodeArgs {
    /// Run no containers: this machine is no node of the cluster. Simulated nodes are instead of it, too
    #[arg(long)]
    pub(crate) no_node: bool,

    /// The node's name [default: the host's; on another --api than usual followed by its port]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// The Docker Engine (20.10 or newer) that runs the containers: unix:///PATH or tcp://HOST:PORT [default: what DOCKER_HOST says, or
    /// unix:///var/run/docker.sock]
    #[arg(long, value_name = "URL", value_parser = engine)]
    pub(crate) docker: Option<berth_cluster_docker::Address>,

    /// The addresses of this node's pods [default: the first of 10.244.0.0/24, 10.244.1.0/24 ... that leads nowhere yet]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) pod_network: Option<berth_cluster_agent_network::Range>,

    /// Once the node is ready, deploy three pods behind a Service, call it through each of its addresses, and say how long each step took
    #[arg(long, conflicts_with_all = ["no_node", "simulate"])]
    pub(crate) demo: bool,

    /// Without root: start no containers that serve Services and tell the host of pods' traffic. Services then have only addresses that any
    /// program may take, and pods reach nothing outside of the cluster
    #[arg(long, conflicts_with = "no_node")]
    pub(crate) no_helper: bool,

    /// Leave containers and Services' data plane running at the end: the next `up` on the same ports and --data takes them over
    #[arg(long, conflicts_with = "no_node")]
    pub(crate) keep: bool,
}

fn engine(text: &str) -> Result<berth_cluster_docker::Address, String> {
    berth_cluster_docker::Address::parse(text).map_err(|error| error.to_string())
}

const SCHEDULER_HELP: &str = "\
Examples:
  berth scheduler --standalone --listen 127.0.0.1:7301
        in memory: a restart forgets everything
  berth scheduler --standalone --listen 0.0.0.0:7301 --data /var/lib/berth --metrics 0.0.0.0:7302
        durable: an answer comes after it is on disk, a restart recovers
  berth scheduler --standalone --listen 0.0.0.0:7301 --config scheduler.yaml
        with the profiles of a KubeSchedulerConfiguration, chosen by a pod's scheduler_name
  berth scheduler --kubeconfig scheduler.kubeconfig --metrics 127.0.0.1:10259
        the scheduler of a Kubernetes cluster: start a second one, and one of them leads; it needs no more rights than
        system:kube-scheduler has, and serves pods whose schedulerName one of its profiles has
  berth scheduler --standalone --listen 0.0.0.0:7301 --tls-cert c.pem --tls-key k.pem --client-ca ca.pem
        over TLS, for clients with a certificate of that authority

Try it:
  grpcurl -plaintext 127.0.0.1:7301 list
  grpcurl -plaintext 127.0.0.1:7301 berth.scheduler.v1.Scheduler/Stats
  berth-loadgen schedule --connect http://127.0.0.1:7301 --row basic

The contract, with all that it promises, stands in proto/berth/scheduler/v1/scheduler.proto.";

/// Flags of `scheduler`.
#[derive(Debug, clap::Args)]
#[command(after_help = SCHEDULER_HELP)]
pub(crate) struct SchedulerArgs {
    /// Serve gRPC without a Kubernetes cluster
    #[arg(long)]
    pub(crate) standalone: bool,

    /// Of a Kubernetes cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterSchedulerArgs,

    /// Where gRPC is served; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7301", value_name = "ADDR", value_parser = address, requires = "standalone")]
    pub(crate) listen: SocketAddr,

    /// Where /metrics, /livez and /readyz are served [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) metrics: Option<SocketAddr>,

    /// Keep a journal in this directory, made if it is not there [default: nothing is kept]
    #[arg(long, value_name = "DIR", requires = "standalone")]
    pub(crate) data: Option<PathBuf>,

    /// A KubeSchedulerConfiguration, YAML or JSON [default: kube-scheduler's own defaults]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Whether preemption may violate disruption budgets where nothing else helps
    #[arg(long, value_enum, default_value_t = Budgets::BestEffort, value_name = "MODE")]
    pub(crate) pdb: Budgets,

    /// Orders nodes of equal score; the same seed and requests give the same placements
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// Threads that decide: more than one help with large messages of many kinds of pods, and change no decision
    #[arg(
        long, default_value_t = 1, value_name = "N", requires = "standalone",
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub(crate) threads: u16,

    /// Certificate chain of the server (PEM); with it, only TLS is spoken
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "standalone"], help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Turn away clients whose certificate is not signed by one of these (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) client_ca: Option<PathBuf>,
}

/// Flags of `scheduler` about a Kubernetes cluster; names and defaults are kube-scheduler's.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of a Kubernetes cluster")]
pub(crate) struct ClusterSchedulerArgs {
    /// Schedule the pods of this cluster, as the user of the file
    #[arg(long, value_name = "FILE", conflicts_with = "standalone")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Schedule only while being the leader, by a Lease [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) leader_elect: Option<bool>,

    /// After how long without a renewal others take the Lease, such as 15s [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) leader_elect_lease_duration: Option<Duration>,

    /// After how long without a renewal the leader stops [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) leader_elect_renew_deadline: Option<Duration>,

    /// How often the Lease is renewed, and looked at by others [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) leader_elect_retry_period: Option<Duration>,

    /// Name of the Lease [default: kube-scheduler]
    #[arg(long, value_name = "NAME")]
    pub(crate) leader_elect_resource_name: Option<String>,

    /// Namespace of the Lease [default: kube-system]
    #[arg(long, value_name = "NAME")]
    pub(crate) leader_elect_resource_namespace: Option<String>,
}

/// The most simulated nodes: each of so many has a network of its own for its pods.
const SIMULATED_MAX: u32 = 32_768;

/// How many simulated nodes.
fn simulated(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number <= SIMULATED_MAX);
    number
        .ok_or_else(|| format!("{text:?} is no number of nodes: there may be 0 to {SIMULATED_MAX}"))
}

/// An address with a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        format!(
            "{text:?} is no address with a port, such as 127.0.0.1:6443 or [::1]:6443; names are not looked up"
        )
    };
    text.parse().map_err(|_| wrong())
}

/// A duration as Go writes it: `15s`, `500ms`, `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 15s, 500ms or 1m30s");
    let (mut sum, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        sum += Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(sum) }
}

/// How preemption treats disruption budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budgets {
    /// As kube-scheduler: they are violated as a last resort.
    BestEffort,
    /// They are never violated: the pod stays pending.
    Strict,
}
