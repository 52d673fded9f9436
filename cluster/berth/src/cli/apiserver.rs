// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth apiserver`.

use super::address;
use berth_cluster_api::kinds::service::allocate::Network;
use berth_cluster_apiserver::Tolerations;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

const APISERVER_HELP: &str = "\
Examples:
  berth apiserver --store sled:/var/lib/berth/cluster
        durable, on 127.0.0.1:6443; the first lines say where the kubeconfig is
  berth apiserver --store memory --listen 127.0.0.1:0
        for a test: on a free port, gone with the process
  berth apiserver --store sled:DIR --listen 0.0.0.0:6443 --host api.example.org
        for clients of other machines, who call it by that name

Try it:
  kubectl --kubeconfig KUBECONFIG create configmap hello --from-literal=a=b
  kubectl --kubeconfig KUBECONFIG get configmaps -A --watch

Ctrl-C stops it: watches end, running requests are answered, the store is closed.";

/// Flags of `apiserver`.
#[derive(Debug, clap::Args)]
#[command(after_help = APISERVER_HELP)]
pub(crate) struct ApiserverArgs {
    /// Where objects are kept: memory, sled:DIR (a folder, made if it is not there), or
    /// etcd:URL,URL,...[?ca=FILE&cert=FILE&key=FILE], on which several servers may run at once
    #[arg(long, default_value = "sled:berth-data", value_name = "STORE")]
    pub(crate) store: String,

    /// Where it is served (HTTPS); port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// The cluster's CA, keys and certificates, made if they are not there [default: the folder pki beside the objects]
    #[arg(long, value_name = "DIR")]
    pub(crate) pki: Option<PathBuf>,

    /// Where the administrator's kubeconfig is written [default: the file kubeconfig in the folder of --pki]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// A name or an IP by which clients call the server, for its certificate; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// Tokens of users, one line each: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub(crate) token_auth_file: Option<PathBuf>,

    /// Links of the chain of admission that are left out, with commas: NamespaceLifecycle, ServiceAccount, NodeRestriction, Priority,
    /// DefaultTolerationSeconds, DefaultStorageClass
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) disable_admission_plugins: Vec<String>,

    #[command(flatten)]
    pub(crate) stay: StayArgs,

    /// Controllers that run, with commas: * is all that are on by default, NAME is one more, -NAME one less; empty for none.
    /// Without the admission plugin ServiceAccount, those that serve it are off by default
    #[arg(
        long,
        default_value = "*",
        value_name = "NAMES",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) controllers: Vec<String>,

    /// Addresses that Services get; the first one is the Service kubernetes
    #[arg(long, default_value = "10.0.0.0/24", value_name = "NETWORK")]
    pub(crate) service_cluster_ip_range: Network,

    /// Ports of nodes that Services get
    #[arg(long, default_value = "30000-32767", value_name = "PORTS", value_parser = ports)]
    pub(crate) service_node_port_range: RangeInclusive<u16>,

    /// Where pods reach this server [default: the address of --listen, unless that is of this machine alone]
    #[arg(long, value_name = "IP")]
    pub(crate) advertise_address: Option<Ipv4Addr>,
}

/// How long pods stay on a node that is lost.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct StayArgs {
    /// Seconds that a pod stays on a node that is not ready, if the pod does not say so itself
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) default_not_ready_toleration_seconds: i64,

    /// Seconds that a pod stays on a node that cannot be reached, if the pod does not say so itself
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) default_unreachable_toleration_seconds: i64,
}

impl From<StayArgs> for Tolerations {
    fn from(args: StayArgs) -> Self {
        Self {
            not_ready_seconds: args.default_not_ready_toleration_seconds,
            unreachable_seconds: args.default_unreachable_toleration_seconds,
        }
    }
}

const BACKUP_HELP: &str = "\
A store is opened by one process at a time. Of a server that runs, its administrator takes a backup with
`kubectl get --raw /backup > FILE`; for `berth backup` it has to be stopped.

Examples:
  berth backup cluster.backup --store sled:/var/lib/berth/cluster
        writes all objects, of one revision
  berth restore cluster.backup --store sled:/var/lib/berth/new
        fills an empty store from it; a server on it, under any address, has the objects. Revisions go on far above those of the
        backup, so that no client takes an old one for a new one; keys and certificates are not in it: they are in the folder pki";

/// Flags of `backup` and `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = BACKUP_HELP)]
pub(crate) struct BackupArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The store: sled:DIR
    #[arg(long, default_value = "sled:berth-data", value_name = "STORE")]
    pub(crate) store: String,
}

/// `30000-32767`
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{text:?} is no range of ports: 30000-32767 is one");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if first == 0 || first > last { Err(wrong()) } else { Ok(first..=last) }
}
