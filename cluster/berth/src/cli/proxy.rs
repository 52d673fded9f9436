// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth proxy`.

use super::{PlaneArgs, address};
use berth_balancer_kubernetes::NodePorts;
use std::net::SocketAddr;
use std::path::PathBuf;

const PROXY_HELP: &str = "\
Examples:
  sudo berth proxy --kubeconfig proxy.kubeconfig
        the Services of the cluster on this node: cluster addresses, node ports, addresses of load balancers; instead of kube-proxy.
        The user needs the rights of system:node-proxier; docs/service-proxy.md lists what more is worth giving
  sudo berth proxy --kubeconfig F --node-name worker-1 --nodeport-addresses 192.168.7.0/24
        on a node whose name is not its host's name; node ports in one of its networks alone
  sudo berth proxy --kubeconfig F --admin 127.0.0.1:7304
        and shows the live table there: / for people, /table, /metrics
  berth balancer status
        the table in the terminal

Why a port is not served stands on its Service: `kubectl get service NAME -o yaml` has the condition berth.dev/Served, with the
command that helps. Without root, addresses that are not the host's and ports below 1024 are not served.

Connections are forwarded by a process of its own, which goes on while the API is away, and when this command dies. Ctrl-C and SIGTERM end
both, unless --keep-data is given.";

/// Flags of `proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = PROXY_HELP)]
pub(crate) struct ProxyArgs {
    /// The cluster, and the user as whom it is read
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,

    /// Name of this node's Node object [default: the host's name, in lower case]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// On which of the host's addresses node ports are served: all (loopback too), primary (the Node's first), or ranges with commas
    #[arg(long, default_value = "all", value_name = "WHERE")]
    pub(crate) nodeport_addresses: NodePorts,

    /// Serve externalIPs. Off: who may write a Service could take any address that is routed here (CVE-2020-8554)
    #[arg(long)]
    pub(crate) external_ips: bool,

    /// Do not serve hostPorts of this node's pods; without this, the user needs the right to list pods
    #[arg(long)]
    pub(crate) no_host_ports: bool,

    /// Where /healthz, /metrics and /rotation/ADDRESS are served: other nodes ask there whether a pod is out of rotation before it ends;
    /// `off` for nowhere
    #[arg(long, default_value = "0.0.0.0:10256", value_name = "ADDR", value_parser = place)]
    pub(crate) healthz: Place,

    /// Where the live table and its /metrics are served [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) admin: Option<SocketAddr>,

    /// The data plane's socket [default: berth/balancer.sock in the user's folder for such things]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) plane: PlaneArgs,
}

/// An address, or nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(pub(crate) Option<SocketAddr>);

fn place(text: &str) -> Result<Place, String> {
    if text == "off" { Ok(Place(None)) } else { address(text).map(Some).map(Place) }
}
