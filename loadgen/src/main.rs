// SPDX-License-Identifier: Apache-2.0
//! The binary `berth-loadgen`: reads the command line, runs the command, tells the exit status.

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = berth_loadgen::Cli::parse();
    let line: Vec<String> = std::env::args().skip(1).collect();
    match berth_loadgen::run(cli, &line.join(" ")) {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => {
            eprintln!("error: {}", berth_loadgen::chain(&error));
            ExitCode::from(2)
        }
    }
}
