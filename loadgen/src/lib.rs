// SPDX-License-Identifier: Apache-2.0
//! The load generator: what proves Berth's figures, on the user's own machine.
//!
//! - [`cli`]: the command line. Each subcommand has a module of the same name there, with its flags and its help.
//! - [`books`]: the client's own books, against which every answer is checked.
//! - [`oracle`]: recorded verdicts of kube-scheduler, asked of the engine.
//! - [`schedule`]: load on a scheduling service.
//! - [`recovery`]: a large state, killed and brought back.
//! - [`balance`]: load on balancers, ours and others.
//! - [`trace`]: the same with what a production cluster was asked for.
//! - [`api`]: load on an apiserver, beside what its figures are held against.
//! - [`cluster`]: load on whole clusters of nodes that are simulated.
//! - [`report`]: what a run found out, as a table and as JSON.
//!
//! Not here: anything that decides. What the checks know of Kubernetes' rules is written apart from the engine, on purpose.
#![forbid(unsafe_code)]

pub mod api;
pub mod balance;
pub mod books;
pub mod cli;
pub mod cluster;
pub mod error;
pub mod oracle;
pub mod progress;
pub mod recovery;
pub mod report;
pub mod schedule;
pub mod trace;

pub use cli::Cli;
pub use error::{Error, chain};

use std::process::ExitCode;

/// How a run ended that ended properly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the exit status says it"]
pub enum Verdict {
    /// Everything held.
    Passed,
    /// Something did not hold: a disagreement, a refusal, a violation. What it was is printed.
    Failed,
}

impl Verdict {
    /// Failed if `failed`.
    pub fn failed_if(failed: bool) -> Self {
        if failed { Self::Failed } else { Self::Passed }
    }

    /// The process's exit status: 0 or 1. (2 is for runs that could not be made.)
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Passed => ExitCode::SUCCESS,
            Self::Failed => ExitCode::from(1),
        }
    }
}

/// Runs a command; `line` is the command line as given, for the records.
pub fn run(cli: Cli, line: &str) -> Result<Verdict, Error> {
    let out = &mut std::io::stdout();
    match cli.command {
        cli::Command::Schedule(args) => schedule::run(&args, line, out),
        cli::Command::ServeScheduler(args) => {
            schedule::serve::run(&args, out).map(|()| Verdict::Passed)
        }
        cli::Command::Recovery(args) => recovery::run(&args, line, out),
        cli::Command::Balance(args) => balance::run(&args, line, out),
        cli::Command::Api(args) => api::run(&args, line, out),
        cli::Command::Cluster(args) => cluster::run(&args, line, out),
        cli::Command::ServeBackends(args) => {
            balance::backend::process::serve(args.address, &args.services).map(|()| Verdict::Passed)
        }
        cli::Command::ServeBytes(args) => {
            api::peer::bytes::run(&args.folder, out).map(|()| Verdict::Passed)
        }
        cli::Command::Sweep(args) => {
            balance::place::broom::run(&args.namespaces);
            Ok(Verdict::Passed)
        }
        cli::Command::Oracle(args) => oracle::run(&args, line, out),
    }
}
