// SPDX-License-Identifier: Apache-2.0
//! `berth scheduler --kubeconfig`: the scheduler of a Kubernetes cluster, this one or another.

use crate::cli::{Budgets, ClusterSchedulerArgs, SchedulerArgs};
use crate::stop::Stop;
use anyhow::{Context, anyhow};
use berth_cluster_client::{Api, election};
use berth_proto_serve::pages::{self, PLAIN, Page, Pages, page};
use berth_scheduler_kubernetes::{Health, Options, Replica, Stats};
use berth_scheduler_objects::config::{Configuration, configuration};
use http::StatusCode;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Runs until it is told to stop.
pub(crate) async fn run(args: SchedulerArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let read = read(args.config.as_deref())?;
    let kubeconfig = args.cluster.kubeconfig.clone();
    let of_file = || read.client_connection.kubeconfig.as_ref().map(Into::into);
    let kubeconfig = kubeconfig.or_else(of_file).context(
        "no cluster is named: --kubeconfig FILE, or clientConnection.kubeconfig in the file of --config",
    )?;
    let api = Api::connect(&kubeconfig).await?;
    let election = elected(&read, &args.cluster)?;
    let mut options = options(&read, args.seed);
    options.strict_budgets = args.pdb == Budgets::Strict;
    let lease = election.as_ref().map(|election| election.name.clone());
    let listener = match args.metrics {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; --metrics chooses another address")
        })?),
        None => None,
    };
    let replica = Replica::start(api, options, election);
    println!("schedules  the cluster of {}", kubeconfig.display());
    let (end, ending) = watch::channel(false);
    if let Some(listener) = listener {
        println!("metrics    http://{}/metrics", listener.local_addr()?);
        let machine =
            Machine { stats: Arc::clone(replica.stats()), health: replica.health(), lease };
        tokio::spawn(pages::serve(machine, listener, ending));
    }
    println!();
    println!("Ctrl-C stops it.");
    stop.asked().await;
    tracing::info!("stopping: bindings that are under way are waited for");
    replica.stop().await;
    end.send_replace(true);
    tracing::info!("stopped");
    Ok(())
}

/// Who this process is to others that contend: no two are alike.
pub(crate) fn identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}_{:016x}", random())
}

/// What a file says, or kube-scheduler's defaults.
fn read(path: Option<&Path>) -> anyhow::Result<Configuration> {
    let Some(path) = path else {
        let nothing =
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        return configuration(nothing).map_err(|error| anyhow!("{error}"));
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    configuration(&text).map_err(|error| anyhow!("{}:\n{error}", path.display()))
}

fn options(read: &Configuration, seed: u64) -> Options {
    let mut options = Options { profiles: read.profiles.clone(), seed, ..Options::default() };
    options.backoff.initial_ms = u64::from(read.pod_initial_backoff_seconds) * 1_000;
    options.backoff.max_ms = u64::from(read.pod_max_backoff_seconds) * 1_000;
    options.hash_seed = random();
    options
}

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}

/// How the leader is chosen; flags come before the file.
fn elected(
    read: &Configuration,
    args: &ClusterSchedulerArgs,
) -> anyhow::Result<Option<election::Options>> {
    let of_file = &read.leader_election;
    if !args.leader_elect.unwrap_or(of_file.leader_elect) {
        return Ok(None);
    }
    let time = |flag: Option<Duration>, ms: u64| flag.unwrap_or(Duration::from_millis(ms));
    let namespace = args.leader_elect_resource_namespace.as_ref();
    let namespace = namespace.unwrap_or(&of_file.resource_namespace);
    let name = args.leader_elect_resource_name.as_ref().unwrap_or(&of_file.resource_name);
    let election = election::Options {
        lease_duration: time(args.leader_elect_lease_duration, of_file.lease_duration_ms),
        renew_deadline: time(args.leader_elect_renew_deadline, of_file.renew_deadline_ms),
        retry_period: time(args.leader_elect_retry_period, of_file.retry_period_ms),
        ..election::Options::new(namespace, name, &identity())
    };
    election.check().map_err(|why| anyhow!("--leader-elect-…: {why}"))?;
    Ok(Some(election))
}

/// Pages for machines.
#[derive(Clone)]
struct Machine {
    stats: Arc<Stats>,
    health: Health,
    lease: Option<String>,
}

impl Pages for Machine {
    async fn page(&self, path: &str) -> Page {
        let (status, text) = match path {
            "/metrics" => (StatusCode::OK, self.stats.page(self.lease.as_deref())),
            // Who does not lead is ready to.
            "/healthz" | "/livez" | "/readyz" if self.health.is_alive() => {
                (StatusCode::OK, "ok\n".to_owned())
            }
            "/healthz" | "/livez" | "/readyz" => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the scheduler has ended\n".to_owned())
            }
            _ => {
                let text = "there are /metrics, /healthz, /livez and /readyz\n";
                (StatusCode::NOT_FOUND, text.to_owned())
            }
        };
        page(status, PLAIN, text)
    }
}

/// The scheduler of `up`, in the process of the apiserver that it calls.
pub(crate) fn within(api: Api, identity: &str) -> anyhow::Result<Replica> {
    let options = options(&read(None)?, 0);
    // A store of one process has one scheduler: the Lease of an earlier run is its own.
    let election = election::Options::new("kube-system", "kube-scheduler", identity);
    Ok(Replica::start(api, options, Some(election)))
}
