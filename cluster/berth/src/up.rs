// SPDX-License-Identifier: Apache-2.0
//! `berth up`: everything there is so far, in one process.

use crate::cli::UpArgs;
use crate::schedule::{print_addresses, start, until_stopped};
use berth_scheduler_service::Server;

/// Runs until it is told to stop.
pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    let mut builder = Server::builder().listen(args.listen).metrics(args.metrics);
    if let Some(path) = &args.data {
        builder = builder.data(path);
    }
    let server = start(builder).await?;
    println!("Berth is up: the scheduling service.");
    print_addresses(&server, false);
    match &args.data {
        Some(path) => println!("data       {}", path.display()),
        None => println!("data       in memory only; --data DIR keeps it"),
    }
    println!();
    println!("Try it:");
    let address = server.address();
    println!(
        "  cargo run --release -p berth-loadgen -- schedule --connect http://{address} --row basic"
    );
    println!("  grpcurl -plaintext {address} berth.scheduler.v1.Scheduler/Stats");
    println!();
    println!("Ctrl-C stops it.");
    until_stopped(server).await
}
