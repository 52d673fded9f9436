// SPDX-License-Identifier: Apache-2.0
//! `berth proxy`: the Services of a Kubernetes cluster on this node, alone and on any cluster.

use crate::balancer;
use crate::cli::ProxyArgs;
use crate::stop::Stop;
use berth_balancer_kubernetes::{Kubernetes, Settings};
use berth_cluster_client::Api;

/// Runs until it is told to stop.
pub(crate) async fn run(args: ProxyArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let api = Api::connect(&args.kubeconfig).await?;
    let node = args.node_name.clone().unwrap_or_else(crate::node::host_name);
    let settings = Settings {
        node_ports: args.nodeport_addresses.clone(),
        external_ips: args.external_ips,
        host_ports: !args.no_host_ports,
        health: args.healthz.0,
        seed: u64::from(std::process::id()),
        ..Settings::new(&node)
    };
    let control = balancer::control_path(args.control.clone());
    let mut builder = balancer::builder(control.clone(), args.plane.workers, &args.plane.words())?
        .source(Box::new(Kubernetes::new(api, settings)));
    if let Some(address) = args.admin {
        builder = builder.admin(address);
    }
    let server = balancer::start(builder, "--admin").await?;
    println!("serves     the Services of the cluster of {}", args.kubeconfig.display());
    println!("node       {node}");
    if let Some(address) = args.healthz.0 {
        println!("health     http://{address}/healthz (/metrics)");
    }
    balancer::print_addresses(&server, false);
    println!("data plane {}", control.display());
    println!();
    println!("`berth balancer status` shows the table; Ctrl-C stops it.");
    balancer::until_stopped(server, &stop, !args.plane.keep_data).await;
    Ok(())
}
