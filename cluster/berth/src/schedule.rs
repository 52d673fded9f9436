// SPDX-License-Identifier: Apache-2.0
//! `berth scheduler --standalone`: the scheduling service alone.

use crate::cli::{Budgets, SchedulerArgs};
use crate::stop::Stop;
use anyhow::{Context, anyhow};
use berth_scheduler_objects::config::configuration;
use berth_scheduler_service::{Builder, Server, StartError, TlsFiles};
use std::fs;
use std::path::Path;

/// Runs until it is told to stop.
pub(crate) async fn run(args: SchedulerArgs) -> anyhow::Result<()> {
    if !args.standalone {
        return crate::scheduler::run(args).await;
    }
    let stop = Stop::listen()?;
    let mut builder = Server::builder()
        .listen(args.listen)
        .seed(args.seed)
        .threads(usize::from(args.threads))
        .strict_budgets(args.pdb == Budgets::Strict);
    if let Some(address) = args.metrics {
        builder = builder.metrics(address);
    }
    if let Some(path) = &args.data {
        builder = builder.data(path);
    }
    if let Some(path) = &args.config {
        builder = configured(builder, path)?;
    }
    if let (Some(certificate), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) {
        builder = builder.tls(TlsFiles { certificate, key, client_ca: args.client_ca.clone() });
    }
    let tls = args.tls_cert.is_some();
    let Some(server) = stop.unless_asked(start(builder)).await? else { return Ok(()) };
    print_addresses(&server, tls);
    until_stopped(server, &stop).await;
    Ok(())
}

/// Takes profiles and backoffs from a KubeSchedulerConfiguration.
fn configured(builder: Builder, path: &Path) -> anyhow::Result<Builder> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let read = configuration(&text).map_err(|error| anyhow!("{}:\n{error}", path.display()))?;
    Ok(builder.profiles(read.profiles).backoff(berth_scheduler_service::Backoff {
        initial_ms: u64::from(read.pod_initial_backoff_seconds) * 1_000,
        max_ms: u64::from(read.pod_max_backoff_seconds) * 1_000,
        ..berth_scheduler_service::Backoff::default()
    }))
}

/// Starts a service, and says what to do where it does not.
pub(crate) async fn start(builder: Builder) -> anyhow::Result<Server> {
    builder.start().await.map_err(|error| {
        let hint = match &error {
            StartError::Listen { .. } => "; --listen and --metrics choose other addresses",
            StartError::Data { .. } => "; --data chooses another directory",
            _ => "",
        };
        anyhow::Error::from(error).context(format!("the service did not start{hint}"))
    })
}

/// Says where the service is.
pub(crate) fn print_addresses(server: &Server, tls: bool) {
    if let Some(recovered) = server.recovered() {
        println!(
            "recovered  {} nodes and {} pods at revision {} in {:.2?}",
            recovered.nodes, recovered.pods, recovered.revision, recovered.took
        );
        for remark in &recovered.remarks {
            println!("           note: {remark}");
        }
    }
    let scheme = if tls { "https" } else { "http" };
    println!("gRPC       {scheme}://{}", server.address());
    if let Some(address) = server.metrics_address() {
        println!("metrics    http://{address}/metrics");
    }
}

/// Waits until it is told to stop, and stops in good order.
pub(crate) async fn until_stopped(server: Server, stop: &Stop) {
    stop.asked().await;
    tracing::info!("stopping: what was taken up is answered");
    server.stop().await;
    tracing::info!("stopped");
}
