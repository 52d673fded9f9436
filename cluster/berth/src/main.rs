// SPDX-License-Identifier: Apache-2.0
//! The binary `berth`: reads the command line, runs the command, tells the exit status.
#![forbid(unsafe_code)]

mod agent;
mod apiserver;
mod backup;
mod balancer;
mod cli;
mod components;
mod controllers;
mod demo;
mod dns;
mod logs;
mod network;
mod node;
mod proxy;
mod record;
mod schedule;
mod scheduler;
mod server;
mod status;
mod stop;
mod token;
mod up;

use anyhow::Context;
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    logs::begin(cli.log)?;
    if matches!(
        cli.command,
        cli::Command::Up(_)
            | cli::Command::Apiserver(_)
            | cli::Command::Controllers(_)
            | cli::Command::Server(_)
    ) {
        // Buffers come and go by the thousand: a kernel that clears two megabytes for each new one of a few kilobytes takes a fifth of the
        // time of binding pods. Where the kernel does not know the call, nothing is lost.
        rustix::thread::disable_transparent_huge_pages(true).ok();
    }
    // The data plane has threads of its own and no runtime.
    if let cli::Command::Balancer(args) = &cli.command {
        match &args.command {
            Some(cli::BalancerCommand::Data(data)) => {
                return balancer::data(data, args.control.clone());
            }
            Some(cli::BalancerCommand::Status(_)) | None => {}
        }
        if let Some(file) = &args.check {
            return Ok(balancer::check(file));
        }
    }
    if let cli::Command::Hands(args) = cli.command {
        return node::contained::serve(args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("berth")
        .build()
        .context("cannot start the runtime's threads")?;
    runtime.block_on(async {
        match cli.command {
            cli::Command::Status(args) => return Box::pin(status::run(args)).await,
            cli::Command::Up(args) => Box::pin(up::run(*args)).await?,
            cli::Command::Scheduler(args) => Box::pin(schedule::run(*args)).await?,
            cli::Command::Controllers(args) => Box::pin(controllers::run(args)).await?,
            cli::Command::Backup(args) => backup::write(args).await?,
            cli::Command::Restore(args) => backup::restore(args).await?,
            cli::Command::Apiserver(args) => Box::pin(apiserver::run(*args)).await?,
            cli::Command::Balancer(args) => Box::pin(balancer::run(*args)).await?,
            cli::Command::Dns(args) => Box::pin(dns::run(*args)).await?,
            // It has no runtime either.
            cli::Command::Hands(_) => {}
            cli::Command::Proxy(args) => Box::pin(proxy::run(*args)).await?,
            cli::Command::Server(args) => Box::pin(server::run(*args)).await?,
            cli::Command::Agent(args) => Box::pin(agent::run(*args)).await?,
            cli::Command::Token(args) => token::run(args).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
