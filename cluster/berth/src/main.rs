// SPDX-License-Identifier: Apache-2.0
//! The binary `berth`: reads the command line, runs the command, tells the exit status.
#![forbid(unsafe_code)]

mod cli;
mod logs;
mod schedule;
mod up;

use anyhow::Context;
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<()> {
    logs::begin(cli.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("berth")
        .build()
        .context("cannot start the runtime's threads")?;
    runtime.block_on(async {
        match cli.command {
            cli::Command::Up(args) => Box::pin(up::run(args)).await,
            cli::Command::Scheduler(args) => Box::pin(schedule::run(*args)).await,
        }
    })
}
