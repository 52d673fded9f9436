// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth controllers`.

use berth_cluster_controllers::load_balancer::pool::Range;
use berth_cluster_controllers::load_balancer::ranges::{self, RangeError};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const CONTROLLERS_HELP: &str = "\
Examples:
  berth controllers --kubeconfig controllers.kubeconfig
        all controllers, as the user of the file: system:kube-controller-manager has the rights that are needed
  berth controllers --kubeconfig F --controllers deployment-controller,replicaset-controller
        two of them
  berth controllers --kubeconfig F --load-balancer-pool 192.168.7.32/28
        and Services of the type LoadBalancer get addresses of that network

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

    /// Addresses for Services of the type LoadBalancer, with commas: networks (192.168.7.32/28, without its first and last address), ranges
    /// (192.168.7.10-192.168.7.20), or single ones. They are written into the Service's status; that they are reached is your network's part
    /// [default: none]
    #[arg(long, value_name = "RANGES")]
    pub(crate) load_balancer_pool: Option<Pool>,

    /// How long certificates last that are signed, at most, such as 8760h
    #[arg(long, default_value = "8760h", value_name = "TIME", value_parser = super::duration)]
    pub(crate) cluster_signing_duration: Duration,
}

/// A pool of addresses in the words of a flag; empty for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool(pub(crate) Vec<Range>);

impl FromStr for Pool {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let pool = text.split(',').map(ranges::read).collect::<Result<Vec<_>, _>>()?;
        ranges::check(&pool, &[])?;
        Ok(Self(pool))
    }
}
