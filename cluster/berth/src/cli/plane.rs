// SPDX-License-Identifier: Apache-2.0
//! Flags that `berth up` and `berth server` share: what a control plane does.

use super::{Pool, StayArgs};
use std::path::PathBuf;

/// Flags of a control plane.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Control plane")]
pub(crate) struct ControlPlaneArgs {
    /// Controllers that run, with commas: * is all that are on by default, NAME is one more, -NAME one less; empty for none
    #[arg(
        long,
        default_value = "*",
        value_name = "NAMES",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) controllers: Vec<String>,

    /// Addresses for Services of the type LoadBalancer, with commas: networks (192.168.7.32/28, without its first and last address), ranges
    /// (192.168.7.10-192.168.7.20), or single ones; empty for none. They are written into the Service's status, and nodes serve them.
    /// The default is of the block for benchmarks of networks (RFC 2544): it is routed nowhere, and is no home's, office's or Docker's
    #[arg(long, default_value = "198.19.0.0/24", value_name = "RANGES")]
    pub(crate) load_balancer_pool: Pool,

    /// Tokens of users of the API, one line each: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub(crate) token_auth_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) stay: StayArgs,
}
