// SPDX-License-Identifier: Apache-2.0
//! The command line.

pub mod api;
pub mod balance;
pub mod cluster;
pub mod oracle;
pub mod recovery;
pub mod schedule;
mod values;

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
Start here:
  berth-loadgen schedule
        starts a scheduling service, loads it with one row after the other, prints what it does a second
  berth-loadgen balance --against haproxy,nginx,nft,direct
        loads balancers side by side, prints what each does a second and what of the machine it takes for it
  berth-loadgen api
        starts an apiserver, storms it, prints what it does a second beside what that is held against
  berth-loadgen cluster --row bind
        starts a whole cluster with thousands of nodes, makes pods, prints how soon they are bound, checks where they are
  berth-loadgen oracle scheduler/testdata/oracle/*.jsonl.gz
        asks the engine for kube-scheduler's own recorded verdicts

`berth-loadgen help COMMAND` explains a command, with examples.

Exit status: 0 all held; 1 something did not (a refusal, a violation, a disagreement: it is printed);
2 the run could not be made.";

/// Loads Berth and checks every answer.
#[derive(Debug, Parser)]
#[command(name = "berth-loadgen", version, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load a scheduling service over gRPC, and check every answer
    Schedule(Box<schedule::ScheduleArgs>),
    /// Fill a service, kill it, and see how soon all of it is back
    Recovery(recovery::RecoveryArgs),
    /// Load balancers side by side, and check every answer
    Balance(Box<balance::BalanceArgs>),
    /// Load an apiserver as a user without special rights, over TLS, and measure it
    Api(Box<api::ApiArgs>),
    /// Load whole clusters of simulated nodes, and check every binding
    Cluster(Box<cluster::ClusterArgs>),
    /// Ask the engine for recorded verdicts of kube-scheduler, and count the agreements
    Oracle(oracle::OracleArgs),
    /// The service that `schedule` loads, as a process of its own
    #[command(hide = true)]
    ServeScheduler(schedule::ServeArgs),
    /// The backends that `balance` loads, as a process of its own
    #[command(hide = true)]
    ServeBackends(balance::BackendsArgs),
    /// The server of `api` that only has the bytes, as a process of its own
    #[command(hide = true)]
    ServeBytes(api::BytesArgs),
    /// What removes what `balance` made, also when that is killed
    #[command(hide = true)]
    Sweep(balance::SweepArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The examples in the help of a command.
    fn examples(help: &str) -> Vec<String> {
        let lines = help.lines().map(str::trim_start);
        lines.filter(|line| line.starts_with("berth-loadgen ")).map(str::to_owned).collect()
    }

    #[test]
    fn every_example_in_the_help_can_be_given() {
        let mut whole = Cli::command();
        Cli::command().debug_assert();
        let mut count = 0;
        for command in whole.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            for example in examples(&help) {
                let parsed = Cli::try_parse_from(example.split_whitespace());
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
                count += 1;
            }
        }
        assert!(count >= 12, "{count}");
    }

    #[test]
    fn numbers_out_of_bounds_are_refused_before_anything_starts() {
        for wrong in [
            "schedule --nodes 0",
            "recovery --nodes 0",
            "recovery --pods 0",
            "recovery --classes x",
            "balance --against squid",
            "balance --against proxy",
            "balance --only nobody",
            "balance --repetitions 0",
            "balance --duration 0",
            "balance --connections 0",
            "balance --rate 0",
            "balance --idle 8000",
            "balance --idle 8000,1000",
            "balance --against nft --only nft",
            "api --rounds 0",
            "api --duration 0",
            "api --connect https://127.0.0.1:6443",
            "cluster --nodes 0",
            "cluster --pods 0",
            "cluster --clients 0",
            "cluster --rate 0",
            "cluster --kills 0",
            "api --connect 127.0.0.1:6443 --kubeconfig x",
        ] {
            let arguments = ["berth-loadgen"].into_iter().chain(wrong.split_whitespace());
            assert!(Cli::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }
}
