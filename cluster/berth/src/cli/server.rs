// SPDX-License-Identifier: Apache-2.0
//! The command lines of `berth server` and of `berth token`.

use super::{ControlPlaneArgs, address, duration};
use berth_cluster_agent_network::Range;
use clap::Subcommand;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const SERVER_HELP: &str = "\
Examples:
  berth server --data /var/lib/berth/server
        the control plane of a cluster: the API on port 6443 of all addresses, the scheduler, the controllers; objects and keys survive a
        restart. It prints the line by which other machines, and this one, join as nodes
  berth server --data DIR --advertise-address 192.168.7.2 --host api.example.org
        on a machine with several addresses: nodes and pods call it by that one, people by that name, too
  berth server --listen 127.0.0.1:0
        for a try on this machine: on a free port, gone with the process
  berth server --store etcd:http://10.0.0.1:2379,http://10.0.0.2:2379 --data DIR
        on etcd: several servers with the same keys (the folder DIR/cluster/pki) may run, and one leads

Then, on each machine that is to run pods:
  berth agent --server https://SERVER:6443 --token TOKEN
and here:
  berth token create        another token
  berth status              what runs, and what is wrong

Nodes have to be on one network (layer 2). Ctrl-C stops it; nodes and their pods go on.";

/// Flags of `server`.
#[derive(Debug, clap::Args)]
#[command(after_help = SERVER_HELP)]
pub(crate) struct ServerArgs {
    /// Where the Kubernetes API is served (HTTPS); port 0 takes a free one
    #[arg(long, default_value = "0.0.0.0:6443", value_name = "ADDR", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// By which address nodes and pods call it [default: that of --listen, or the one by which this machine sends to others]
    #[arg(long, value_name = "IP")]
    pub(crate) advertise_address: Option<Ipv4Addr>,

    /// Another name or IP by which clients call it, for its certificate; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// Keep objects and keys in this directory, made if it is not there [default: nothing is kept]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Where objects are kept instead, as `berth apiserver --store` has it: etcd:URL,URL,...
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,

    /// Addresses of pods: each node gets a /24 of it
    #[arg(long, default_value = "10.244.0.0/16", value_name = "NETWORK")]
    pub(crate) cluster_cidr: Range,

    /// Addresses that Services get; the first one is the Service kubernetes, the tenth the cluster's DNS
    #[arg(long, default_value = "10.96.0.0/16", value_name = "NETWORK")]
    pub(crate) service_cluster_ip_range: Range,

    /// How long certificates of nodes last, at most, such as 8760h. Nodes renew theirs before
    #[arg(long, default_value = "8760h", value_name = "TIME", value_parser = duration)]
    pub(crate) cluster_signing_duration: Duration,

    #[command(flatten)]
    pub(crate) plane: ControlPlaneArgs,
}

/// Which cluster is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterArgs {
    /// The cluster, and the user as whom it is asked [default: of the `berth up` or `berth server` of this machine; else what kubectl takes]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

const TOKEN_HELP: &str = "\
A token lets a machine ask for a node's certificate, and do nothing else: it is ID.SECRET.FINGERPRINT, the last of the cluster's CA, by which
the machine knows the server before it tells it the secret. Nodes that have joined need none any more.

Examples:
  berth token create
        prints one that is good for a day
  berth token create --ttl 15m --print-join-command
        the whole line for the other machine
  berth token list
  berth token delete abcdef";

/// Flags of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make one, and print it
    Create {
        /// How long it is good, such as 15m or 24h; 0 for ever
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = lasting)]
        ttl: Lasting,

        /// What `list` shows of it
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,

        /// Print the line by which a machine joins
        #[arg(long)]
        print_join_command: bool,
    },
    /// Show all, without what is secret
    List,
    /// Take one back, by its ID or all of it
    Delete {
        /// The token, or its ID
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

/// How long; none for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasting(pub(crate) Option<Duration>);

fn lasting(text: &str) -> Result<Lasting, String> {
    if text == "0" {
        return Ok(Lasting(None));
    }
    let time = duration(text)?;
    Ok(Lasting(Some(time.max(Duration::from_secs(1)))))
}
