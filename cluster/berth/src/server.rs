// SPDX-License-Identifier: Apache-2.0
//! `berth server`: the control plane of a cluster of several machines, which is itself no node.

use crate::apiserver;
use crate::balancer;
use crate::cli::ServerArgs;
use crate::components::{Components, Wanted};
use crate::controllers;
use crate::network::Network;
use crate::node::place::{host_name, own_address};
use crate::record::Record;
use crate::scheduler::identity;
use crate::stop::Stop;
use crate::token;
use crate::up::tell;
use anyhow::Context;
use berth_cluster_apiserver::Caller;
use berth_cluster_auth::pki::fingerprint;
use berth_cluster_auth::token::join::JoinToken;
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::Api;
use berth_cluster_controllers::CONTROLLERS;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// How long the token lasts that is printed at the start, as kubeadm's.
const TOKEN: Duration = Duration::from_hours(24);

/// Runs until it is told to stop.
pub(crate) async fn run(args: ServerArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let network = Network::new(args.cluster_cidr, args.service_cluster_ip_range)
        .context("--cluster-cidr and --service-cluster-ip-range")?;
    let mut settings =
        controllers::settings(args.plane.load_balancer_pool.clone(), Some(&network))?;
    settings.signing_seconds = controllers::seconds(args.cluster_signing_duration);
    let start = start(&args, &network)?;
    let store = start.store.clone();
    let begun = async { apiserver::start(start).await.context("the control plane did not start") };
    let Some(api) = stop.unless_asked(begun).await? else { return Ok(()) };
    let server = api.server.clone();
    let masters = User::authenticated("system:admin", "", vec![MASTERS.to_owned()]);
    let admin = Api::within(server, Caller(masters));
    // Several servers may share a store of etcd; any other has one server, whose Leases of an earlier run are its own.
    let own =
        if store.starts_with("etcd:") { identity() } else { format!("server-{}", api.address) };
    let wanted = Wanted { controllers: &args.plane.controllers, settings, simulate: 0, own: &own };
    let components = Components::start(&api, wanted)?;
    let told = tokio::spawn(tell(admin.clone(), network));
    let record = Record::write("server", &api, None);
    say(&args, &api, &network, &store, &admin).await?;
    stop.asked().await;
    tracing::info!("stopping: running requests are answered");
    told.abort();
    drop(record);
    components.stop().await;
    api.stop().await;
    if args.data.is_none() && args.store.is_none() && args.listen.port() == 0 {
        drop(std::fs::remove_dir_all(folder(&args)));
    }
    tracing::info!("stopped");
    Ok(())
}

/// Where it keeps its keys, and its objects if they are kept.
fn folder(args: &ServerArgs) -> PathBuf {
    if let Some(data) = &args.data {
        return data.join("cluster");
    }
    // On a fixed port always in the same place, so that a kubeconfig stays good.
    let name = match args.listen.port() {
        0 => format!("server-{}", std::process::id()),
        port => format!("server-at-{port}"),
    };
    balancer::control_path(None).with_file_name(name)
}

/// The address by which other machines call it.
fn called(args: &ServerArgs) -> Option<Ipv4Addr> {
    let listens = match args.listen.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    };
    args.advertise_address.or(listens).or_else(|| Some(own_address()))
}

fn start(args: &ServerArgs, network: &Network) -> anyhow::Result<apiserver::Start> {
    let folder = folder(args);
    let store = match (&args.store, &args.data) {
        (Some(store), _) => store.clone(),
        (None, Some(_)) => format!("sled:{}", folder.display()),
        (None, None) => "memory".to_owned(),
    };
    let called = called(args);
    let mut hosts = args.hosts.clone();
    hosts.push(host_name());
    Ok(apiserver::Start {
        pki_flag: if args.data.is_some() { "--data:" } else { "the folder of keys" },
        store_flag: if args.store.is_some() { "--store" } else { "--data:" },
        hosts,
        tokens: args.plane.token_auth_file.clone(),
        controllers: args.plane.controllers.clone(),
        tolerations: args.plane.stay.into(),
        ranges: network.ranges()?,
        advertised: called.filter(|ip| !ip.is_loopback()),
        called: called.map(IpAddr::V4),
        // Who can reach it on the loopback alone is on this machine.
        agents_here: called.is_some_and(|ip| ip.is_loopback()),
        others: CONTROLLERS.iter().map(|(name, _)| *name).collect(),
        ..apiserver::Start::new(store, args.listen, folder.join("pki"))
    })
}

/// Says where everything is, and how a machine joins.
async fn say(
    args: &ServerArgs,
    api: &apiserver::Running,
    network: &Network,
    store: &str,
    admin: &Api,
) -> anyhow::Result<()> {
    println!(
        "Berth's control plane runs: the API, the scheduler and the controllers. It is no node itself."
    );
    println!("API        {}", api.url);
    println!("kubeconfig {}", api.kubeconfig.display());
    println!("store      {store}");
    if args.data.is_none() && args.store.is_none() {
        println!("           in memory only; --data DIR keeps it");
    }
    println!("pods       have addresses of {}, Services of {}", network.pods, network.services);
    let description = "printed by berth server when it started";
    let made = token::create(admin, Some(TOKEN), description).await;
    let made = made.context("no token can be made for machines that join")?;
    let join = JoinToken { token: made, ca: fingerprint(api.pki.ca_pem()) };
    println!();
    println!(
        "A machine with a Docker Engine joins by this, as root; the token is good for a day (`berth token create` makes others):"
    );
    println!("  {}", token::command(&api.url, &join));
    println!();
    println!("Try it:");
    println!("  kubectl --kubeconfig {} get nodes --watch", api.kubeconfig.display());
    println!();
    println!("Ctrl-C stops it; nodes and their pods go on, and find it again.");
    Ok(())
}
