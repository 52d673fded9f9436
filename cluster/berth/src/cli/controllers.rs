// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth controllers`.

use std::path::PathBuf;

const CONTROLLERS_HELP: &str = "\
Examples:
  berth controllers --kubeconfig controllers.kubeconfig
        all controllers, as the user of the file: system:kube-controller-manager has the rights that are needed
  berth controllers --kubeconfig F --controllers deployment-controller,replicaset-controller
        two of them

Start it twice, and one of them leads (Lease kube-system/kube-controller-manager).";

/// Flags of `controllers`.
#[derive(Debug, clap::Args)]
#[command(after_help = CONTROLLERS_HELP)]
pub(crate) struct ControllersArgs {
    /// The cluster, and the user as whom everything is done
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,

    /// Controllers that run, with commas: * is all, NAME is one more, -NAME one less
    #[arg(
        long,
        default_value = "*",
        value_name = "NAMES",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) controllers: Vec<String>,
}
