// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth agent`.

use super::engine;
use berth_cluster_agent_network::Range;
use berth_cluster_auth::token::join::JoinToken;
use std::net::Ipv4Addr;
use std::path::PathBuf;

const AGENT_HELP: &str = "\
Examples:
  sudo berth agent --server https://192.168.7.2:6443 --token TOKEN
        this machine joins as a node, and runs pods on its Docker Engine; `berth server` and `berth token create` print the token
  sudo berth agent --server https://192.168.7.2:6443
        the next time: its certificate is kept, and renewed before it ends
  sudo berth agent --server URL --token TOKEN --node-name b --label zone=b
        a second node on this machine: several share one engine, each with a name, pods' addresses and labels of its own
  sudo berth agent --server URL --remove
        and when it is stopped, nothing is left: no container, network, rule or file. Then `kubectl delete node NAME`

Before it tells the server anything secret, it makes sure that the server is the one the token is of. Ctrl-C, SIGTERM and a crash leave pods
and their Services as they are: the next start takes them over. What is left when a machine is to be a node no more is removed by --remove.
Root is needed, for pods' network and for Services.";

/// Flags of `agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = AGENT_HELP)]
pub(crate) struct AgentArgs {
    /// The API of the cluster: https://HOST:PORT [default: where it was the last time]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// The token by which it joins; not needed once it has a certificate
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<JoinToken>,

    /// The same in a file, where others do not see it in the list of processes
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// The node's name [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// The node's address, by which others reach it [default: the one by which this machine sends to others]
    #[arg(long, value_name = "IP")]
    pub(crate) node_ip: Option<Ipv4Addr>,

    /// A label of the node; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,

    /// The Docker Engine (20.10 or newer) that runs the containers: unix:///PATH or tcp://HOST:PORT [default: what DOCKER_HOST says, or
    /// unix:///var/run/docker.sock]
    #[arg(long, value_name = "URL", value_parser = engine)]
    pub(crate) docker: Option<berth_cluster_docker::Address>,

    /// The addresses of this node's pods, of the cluster's [default: the cluster gives them]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) pod_network: Option<Range>,

    /// Where its certificates and its pods' files are kept [default: /var/lib/berth/nodes/NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Serve all Services on the proxy path of the data plane: no rules of packets are made on the host for them
    #[arg(long)]
    pub(crate) no_fast: bool,

    /// When it stops, end its pods, and leave nothing on this machine: no container, network, rule or file
    #[arg(long)]
    pub(crate) remove: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is no label: NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
