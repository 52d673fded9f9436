// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth hands`, which a node of a user without root starts in a container.

use std::path::PathBuf;

/// Flags of `hands`.
#[derive(Debug, clap::Args)]
pub(crate) struct HandsArgs {
    /// The node whose agent is served
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,

    /// Where the agent keeps files
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,

    /// Where to listen: in a folder of the user's
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,

    /// The number of the agent's user
    #[arg(long, value_name = "UID")]
    pub(crate) user: u32,
}
