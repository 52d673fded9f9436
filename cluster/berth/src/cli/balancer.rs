// SPDX-License-Identifier: Apache-2.0
//! The command line of `berth balancer`.

use super::address;
use clap::Subcommand;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

const BALANCER_HELP: &str = "\
A configuration is a few lines (docs/balancer.md has every field, examples/balancer.yaml one of each):

  services:
  - name: web
    address: 127.0.0.1:8080
    endpoints: [127.0.0.1:9001, 127.0.0.1:9002]

Examples:
  berth balancer --check balancer.yaml
        says everything that is wrong with it; exit status 1 if anything is
  berth balancer --config balancer.yaml
        serves it; a changed file takes effect at once, a wrong one changes nothing and says why
  berth balancer --config balancer.yaml --admin 127.0.0.1:7304
        and shows the live table there: / for people, /table, /metrics, /healthz, /readyz
  berth balancer --listen 127.0.0.1:7303
        takes services over gRPC (proto/berth/balancer/v1/balancer.proto)
  berth balancer status
        the table in the terminal

Connections are forwarded by a process of its own (`berth balancer data`), which this command starts or, if it runs already, adopts.
It goes on forwarding when this command dies. Ctrl-C and SIGTERM end both, unless --keep-data is given.";

/// Flags of `balancer`.
#[derive(Debug, clap::Args)]
#[command(after_help = BALANCER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct BalancerArgs {
    /// Services and endpoints: YAML or JSON; watched
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say everything that is wrong with a configuration, and end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "listen", "admin"])]
    pub(crate) check: Option<PathBuf>,

    /// Where gRPC is served; port 0 takes a free one [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Where the live table, /metrics, /healthz and /readyz are served [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) admin: Option<SocketAddr>,

    /// The data plane's socket [default: berth/balancer.sock in the user's folder for such things]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) control: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) plane: PlaneArgs,

    /// Certificate chain of the server (PEM); with it, only TLS is spoken
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen"], help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Turn away clients whose certificate is not signed by one of these (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) client_ca: Option<PathBuf>,

    /// Something else than to serve.
    #[command(subcommand)]
    pub(crate) command: Option<BalancerCommand>,
}

/// Flags of whoever starts a data plane.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaneArgs {
    /// Worker threads of the data plane; 0 is one for each core
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) workers: u32,

    /// Serve everything on the proxy path: rules and routes of the host stay as they are
    #[arg(long)]
    pub(crate) no_fast: bool,

    /// Names what is made on the host: letters, digits and `-`, another name for each balancer on it [default: by --control]
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,

    /// Whether services' addresses that are not the host's get a network namespace of the data plane's own (root only)
    #[arg(long, value_enum, default_value_t = Namespace::Auto, value_name = "auto|off")]
    pub(crate) namespace: Namespace,

    /// Whether the data plane hands connections of small messages to the kernel's rings (io_uring, Linux 6.1 and newer)
    #[arg(long, value_enum, default_value_t = Rings::Auto, value_name = "auto|off")]
    pub(crate) rings: Rings,

    /// Whether clients that come over no bridge are accepted on the host, without a way through that namespace
    #[arg(long, value_enum, default_value_t = Shortcut::Auto, value_name = "auto|off")]
    pub(crate) shortcut: Shortcut,

    /// Leave the data plane running when this ends: the next start adopts it, and no connection is lost
    #[arg(long)]
    pub(crate) keep_data: bool,
}

impl PlaneArgs {
    /// As the data plane's own command line has them.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let [namespace, rings] = [self.namespace.word(), self.rings.word()];
        let shortcut = self.shortcut.word();
        let all = ["--namespace", namespace, "--rings", rings, "--shortcut", shortcut];
        let mut all: Vec<OsString> = all.map(Into::into).into();
        if self.no_fast {
            all.push("--no-fast".into());
        }
        if let Some(instance) = &self.instance {
            all.extend(["--instance".into(), instance.into()]);
        }
        all
    }
}

/// Whether the data plane may have a network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Namespace {
    /// Where it may, and a service has an address that is not the host's
    #[default]
    Auto,
    /// Never: such addresses are not served
    Off,
}

impl Namespace {
    /// As it stands on a command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

/// Whether the data plane uses io_uring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Rings {
    /// Where the kernel has it and allows it
    #[default]
    Auto,
    /// Never: epoll waits for all connections
    Off,
}

impl Rings {
    /// As it stands on a command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

/// Whether there is a way round that namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Shortcut {
    /// Where the kernel can, and no firewall of the host judges what its own sockets get: `berth balancer status` says
    #[default]
    Auto,
    /// Never: everybody takes the long way, a hop more
    Off,
}

impl Shortcut {
    /// As it stands on a command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

/// Something else than to serve.
#[derive(Debug, Subcommand)]
pub(crate) enum BalancerCommand {
    /// The process that forwards; `berth balancer` starts it
    Data(DataArgs),
    /// Show the running balancer's table in the terminal
    Status(StatusArgs),
}

/// Flags of `balancer data`.
#[derive(Debug, clap::Args)]
pub(crate) struct DataArgs {
    /// Worker threads; 0 is one for each core
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) workers: u32,

    /// Serve everything on the proxy path
    #[arg(long)]
    pub(crate) no_fast: bool,

    /// Names what is made on the host [default: by --control]
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,

    /// Whether services' addresses that are not the host's get a network namespace of this process' own (root only)
    #[arg(long, value_enum, default_value_t = Namespace::Auto, value_name = "auto|off")]
    pub(crate) namespace: Namespace,

    /// Whether connections of small messages are handed to the kernel's rings (io_uring, Linux 6.1 and newer)
    #[arg(long, value_enum, default_value_t = Rings::Auto, value_name = "auto|off")]
    pub(crate) rings: Rings,

    /// Whether clients that come over no bridge are accepted on the host, without a way through that namespace
    #[arg(long, value_enum, default_value_t = Shortcut::Auto, value_name = "auto|off")]
    pub(crate) shortcut: Shortcut,

    /// Descriptors at once; 0 is as many as it may have, which root raises to a million
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) descriptors: u64,

    /// Take the sockets of the process over that serves there now: an upgrade that resets nobody
    #[arg(long)]
    pub(crate) take_over: bool,

    /// The number of the user whose the control socket and its folder are, where root serves another user
    #[arg(long, value_name = "UID")]
    pub(crate) user: Option<u32>,
}

/// Flags of `balancer status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Services that are shown; none: all
    pub(crate) services: Vec<String>,

    /// And their endpoints
    #[arg(long)]
    pub(crate) endpoints: bool,
}
