// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth status`.

use super::ClusterArgs;

const STATUS_HELP: &str = "\
What is wrong comes first, each with what helps. Then who answers and who leads, the nodes with their pods and when their certificates end, and
the Services with where they are served.

Examples:
  berth status
        of the `berth up` or `berth server` of this machine, or of the cluster that kubectl takes
  berth status --kubeconfig FILE
        of any cluster
  berth status --json
        the same for programs: {\"cluster\", \"problems\", \"components\", \"nodes\", \"services\"}
The exit status is 1 if something is wrong, and 2 if nothing runs.";

/// Flags of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = STATUS_HELP)]
pub(crate) struct StatusOfArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    /// One object of JSON
    #[arg(long)]
    pub(crate) json: bool,
}
