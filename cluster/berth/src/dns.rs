// SPDX-License-Identifier: Apache-2.0
//! The cluster's DNS: `berth dns --kubeconfig`, and that of `up`.

use crate::cli::{DnsArgs, PodNames};
use crate::stop::Stop;
use anyhow::{Context, anyhow};
use berth_cluster_client::Api;
use berth_cluster_edge_dns::{
    Follower, Live, Options, Pods, Server, Settings, Stats, follow, of_resolv_conf,
};
use berth_proto_serve::pages::{self, PLAIN, Page, Pages, page};
use http::StatusCode;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What this machine itself asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A DNS server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Dns {
    task: JoinHandle<()>,
    _follower: Follower,
    live: Arc<Live>,
    stats: Arc<Stats>,
    /// Where it answers.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// Starts to answer at these addresses what this API says.
    pub(crate) fn start(api: &Api, settings: Settings, options: &Options) -> anyhow::Result<Self> {
        let live = Live::new(settings).map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            anyhow!("{}", all.join("; "))
        })?;
        let server = Server::bind(options, Arc::clone(&live))?;
        let (addresses, stats) = (server.addresses().to_vec(), server.stats());
        let follower = follow(api, Arc::clone(&live), crate::scheduler::random());
        let task = tokio::spawn(server.run());
        Ok(Self { task, _follower: follower, live, stats, addresses })
    }
}

/// Whom everything is asked that is not the cluster's.
pub(crate) fn upstreams(path: &Path) -> anyhow::Result<Vec<SocketAddr>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(of_resolv_conf(&text)),
        // A machine without one asks nobody.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The upstreams of this machine; none, and a warning, where they cannot be read.
pub(crate) fn own_upstreams() -> Vec<SocketAddr> {
    upstreams(Path::new(RESOLV_CONF)).unwrap_or_else(|error| {
        tracing::warn!("{error:#}: the cluster's DNS knows the cluster's names only");
        Vec::new()
    })
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: DnsArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let given = !args.upstream.is_empty();
    let upstreams = if given { args.upstream } else { upstreams(Path::new(RESOLV_CONF))? };
    let api = Api::connect(&args.kubeconfig).await?;
    let settings = Settings {
        domain: args.domain,
        ttl: args.ttl,
        ranges: args.reverse,
        addresses: args.service_ip,
        pods: match args.pods {
            PodNames::Disabled => Pods::Disabled,
            PodNames::Insecure => Pods::Insecure,
            PodNames::Verified => Pods::Verified,
        },
    };
    let listener = match args.metrics {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; --metrics chooses another address")
        })?),
        None => None,
    };
    let options = Options { listen: args.listen, upstreams, ..Options::default() };
    let dns = Dns::start(&api, settings, &options)
        .context("the DNS did not start; --listen chooses where it answers")?;
    println!("names      of the cluster of {}", args.kubeconfig.display());
    for address in &dns.addresses {
        println!("DNS        {address} (UDP and TCP)");
    }
    let upstreams: Vec<String> = options.upstreams.iter().map(ToString::to_string).collect();
    println!(
        "others     {}",
        if upstreams.is_empty() { "nobody".into() } else { upstreams.join(", ") }
    );
    let (end, ending) = watch::channel(false);
    if let Some(listener) = listener {
        println!("metrics    http://{}/metrics", listener.local_addr()?);
        let machine = Machine { live: Arc::clone(&dns.live), stats: Arc::clone(&dns.stats) };
        tokio::spawn(pages::serve(machine, listener, ending));
    }
    println!();
    println!("Ctrl-C stops it.");
    stop.asked().await;
    end.send_replace(true);
    drop(dns);
    Ok(())
}

/// Pages for machines.
#[derive(Clone)]
struct Machine {
    live: Arc<Live>,
    stats: Arc<Stats>,
}

impl Pages for Machine {
    async fn page(&self, path: &str) -> Page {
        let (status, text) = match path {
            "/metrics" => (StatusCode::OK, self.stats.page()),
            "/healthz" | "/livez" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if self.live.is_ready() => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the cluster's services were not read yet\n".to_owned(),
            ),
            _ => {
                let text = "there are /metrics, /healthz, /livez and /readyz\n";
                (StatusCode::NOT_FOUND, text.to_owned())
            }
        };
        page(status, PLAIN, text)
    }
}
