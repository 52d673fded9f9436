// SPDX-License-Identifier: Apache-2.0
//! `berth up`: everything there is so far, in one process.

use crate::apiserver;
use crate::balancer;
use crate::cli::UpArgs;
use crate::schedule::{print_addresses, start, until_stopped};
use berth_balancer_service::source::file::File;
use berth_scheduler_service::Server;

/// Runs until it is told to stop.
pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
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
    let api = match apiserver::start(of_up(&args)).await {
        Ok(api) => api,
        Err(error) => {
            server.stop().await;
            return Err(
                error.context("the Kubernetes API did not start; --api chooses another address")
            );
        }
    };
    let mut balancer = balancer::builder(control.clone(), 0, &[])?
        .listen(args.balancer)
        .admin(args.balancer_admin);
    if let Some(path) = &args.balancer_config {
        balancer = balancer.source(Box::new(File::new(path.clone())));
    }
    let balancer = balancer::start(balancer).await;
    let balancer = match balancer {
        Ok(balancer) => balancer,
        Err(error) => {
            api.stop().await;
            server.stop().await;
            return Err(error.context("--balancer and --balancer-admin choose its addresses"));
        }
    };
    let scheduler = crate::scheduler::within(api.within("system:kube-scheduler"), &own)?;
    println!(
        "Berth is up: the Kubernetes API and its scheduler, the scheduling service and the balancer."
    );
    println!("API        {}", api.url);
    println!("kubeconfig {}", api.kubeconfig.display());
    print_addresses(&server, false);
    balancer::print_addresses(&balancer, false);
    match &args.data {
        Some(path) => println!("data       {}", path.display()),
        None => println!("data       in memory only; --data DIR keeps it"),
    }
    println!();
    println!("Try it:");
    println!("  kubectl --kubeconfig {} get namespaces", api.kubeconfig.display());
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
    let stopped = until_stopped(server).await;
    scheduler.stop().await;
    balancer.stop(true).await;
    api.stop().await;
    stopped
}

/// The apiserver of `up`: beside everything else that is kept, or in memory, with its keys where only this user can read.
fn of_up(args: &UpArgs) -> apiserver::Start {
    let folder = match &args.data {
        Some(data) => data.join("cluster"),
        None => balancer::control_path(None).with_file_name(format!("up-at-{}", args.api.port())),
    };
    let store = match &args.data {
        Some(_) => format!("sled:{}", folder.display()),
        None => "memory".to_owned(),
    };
    apiserver::Start::new(store, args.api, folder.join("pki"))
}
