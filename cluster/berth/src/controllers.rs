// SPDX-License-Identifier: Apache-2.0
//! The controllers: `berth controllers --kubeconfig`, and those of `up`.

use crate::cli::{ControllersArgs, Pool};
use crate::network::{NODE_BITS, Network};
use crate::stop::Stop;
use anyhow::anyhow;
use berth_cluster_client::election::{self, Election, Leading};
use berth_cluster_client::{Api, Clock};
use berth_cluster_controllers::load_balancer::ranges;
use berth_cluster_controllers::{CONTROLLERS, Config, Controllers, Settings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The API as a ServiceAccount of `kube-system`, or as the user of the controllers' common informers.
pub(crate) type Doors = Arc<dyn Fn(&str) -> Api + Send + Sync>;

/// Controllers that run while they lead. Dropping it ends them at once.
#[derive(Debug)]
pub(crate) struct Leader {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leader {
    /// Starts these controllers, behind the Lease `kube-controller-manager`.
    pub(crate) fn start(chosen: Chosen, doors: Doors, election: election::Options) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(lead(chosen, doors, election, stopped));
        Self { task, stop }
    }

    /// Ends them, and lets others lead.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        drop((&mut self.task).await);
    }
}

async fn lead(
    chosen: Chosen,
    doors: Doors,
    election: election::Options,
    mut stop: watch::Receiver<bool>,
) {
    let identity = election.identity.clone();
    let own = doors(berth_cluster_controllers::SHARED);
    let mut contender = Election::start(own, election);
    loop {
        let leading = tokio::select! {
            biased;
            leading = contender.elected() => leading,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        tracing::info!(identity, "these controllers lead");
        let controllers = started(chosen.clone(), Arc::clone(&doors), leading.clone());
        let ended = tokio::select! {
            biased;
            () = leading.lost() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        drop(controllers);
        if ended {
            break;
        }
        tracing::warn!(identity, "these controllers lead no more");
    }
    contender.release().await;
}

fn started(chosen: Chosen, doors: Doors, leading: Leading) -> Controllers {
    Controllers::start(Config {
        names: chosen.names,
        api: Box::new(move |account| leading.fenced(doors(account))),
        recorder: None,
        clock: Clock::Machine,
        seed: 0,
        settings: chosen.settings,
    })
}

/// Which controllers run, and what they are told.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) names: Vec<String>,
    pub(crate) settings: Settings,
}

/// Settings with this pool, which has to lie apart from what else the cluster gives.
pub(crate) fn settings(pool: Pool, network: Option<&Network>) -> anyhow::Result<Settings> {
    let mut settings = Settings { load_balancer_pool: pool.0, ..Settings::default() };
    if let Some(network) = network {
        settings.cluster_cidr = (network.pods.first(), network.pods.prefix());
        settings.node_cidr_bits = NODE_BITS;
    }
    let (pods, length) = settings.cluster_cidr;
    let services = network.map(Network::service_pool);
    let services = services.map(|range| (range, "the addresses of the cluster's Services"));
    let pods = (ranges::whole(pods, length), "the addresses of its pods");
    let others: Vec<_> = services.into_iter().chain([pods]).collect();
    ranges::check(&settings.load_balancer_pool, &others)
        .map_err(|error| anyhow!("--load-balancer-pool: {error}"))?;
    Ok(settings)
}

/// As many whole seconds, one at least.
pub(crate) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX).max(1)
}

/// Which of the controllers a list chooses that is of controllers of any process: `*`, `NAME`, `-NAME`.
pub(crate) fn chosen(list: &[String]) -> Vec<String> {
    let all = || CONTROLLERS.iter().map(|(name, _)| (*name).to_owned());
    let mut names: Vec<String> = Vec::new();
    for word in list.iter().filter(|word| !word.is_empty()) {
        match word.strip_prefix('-') {
            Some(less) => names.retain(|name| name != less),
            None if word == "*" => names.extend(all()),
            None => names.extend(all().filter(|name| name == word)),
        }
    }
    names
}

/// Whether a controller of this name runs here.
pub(crate) fn is_known(name: &str) -> bool {
    CONTROLLERS.iter().any(|(known, _)| *known == name)
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: ControllersArgs) -> anyhow::Result<()> {
    for word in args.controllers.iter().filter(|word| !word.is_empty() && *word != "*") {
        let name = word.strip_prefix('-').unwrap_or(word);
        if !is_known(name) {
            let names: Vec<_> = CONTROLLERS.iter().map(|(name, _)| *name).collect();
            return Err(anyhow!(
                "--controllers: there is no {name}; there are {}",
                names.join(", ")
            ));
        }
    }
    let stop = Stop::listen()?;
    let api = Api::connect(&args.kubeconfig).await?;
    let election = election::Options::new(
        "kube-system",
        "kube-controller-manager",
        &crate::scheduler::identity(),
    );
    let names = chosen(&args.controllers);
    let mut settings = settings(args.load_balancer_pool.unwrap_or_default(), None)?;
    settings.signing_seconds = seconds(args.cluster_signing_duration);
    println!("controls   the cluster of {}", args.kubeconfig.display());
    println!("           {}", names.join(", "));
    println!();
    println!("Ctrl-C stops it.");
    let leader =
        Leader::start(Chosen { names, settings }, Arc::new(move |_| api.clone()), election);
    stop.asked().await;
    leader.stop().await;
    Ok(())
}
