// SPDX-License-Identifier: Apache-2.0
//! `berth apiserver`: the Kubernetes API over a store.

use crate::cli::ApiserverArgs;
use crate::stop::Stop;
use anyhow::{Context, anyhow};
use berth_cluster_api::kinds::service::allocate::Ranges;
use berth_cluster_apiserver::{
    Agents, CONTROLLERS, Control, Controllers, Listener, Listening, Server, Tolerations, read_meta,
};
use berth_cluster_auth::pki::{Options as Hosts, Pki};
use berth_cluster_auth::token::{Issuer, StaticTokens};
use berth_cluster_store::{Options, Store};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often certificates are looked at, whether they are to be renewed.
const RENEW: Duration = Duration::from_hours(6);

/// What an apiserver is started with.
pub(crate) struct Start {
    pub(crate) store: String,
    pub(crate) listen: SocketAddr,
    /// The flag that says so.
    pub(crate) listen_flag: &'static str,
    pub(crate) pki: PathBuf,
    /// The flags that say where its keys and its objects are.
    pub(crate) pki_flag: &'static str,
    pub(crate) store_flag: &'static str,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) hosts: Vec<String>,
    pub(crate) tokens: Option<PathBuf>,
    pub(crate) ranges: Ranges,
    pub(crate) advertised: Option<Ipv4Addr>,
    /// By which address clients are told to call it, where it is not the one that it listens on.
    pub(crate) called: Option<IpAddr>,
    pub(crate) without: Vec<String>,
    pub(crate) tolerations: Tolerations,
    /// Whether agents of nodes run on this machine, too.
    pub(crate) agents_here: bool,
    pub(crate) controllers: Vec<String>,
    /// Controllers that may be named, too, and run elsewhere.
    pub(crate) others: Vec<&'static str>,
}

impl Start {
    /// One with the defaults of `berth apiserver`.
    pub(crate) fn new(store: String, listen: SocketAddr, pki: PathBuf) -> Self {
        Self {
            store,
            listen,
            listen_flag: "--listen",
            kubeconfig: pki.join("kubeconfig"),
            pki,
            pki_flag: "--pki",
            store_flag: "--store",
            hosts: Vec::new(),
            tokens: None,
            ranges: Ranges::default(),
            advertised: None,
            called: None,
            without: Vec::new(),
            tolerations: Tolerations::default(),
            agents_here: false,
            controllers: vec!["*".to_owned()],
            others: Vec::new(),
        }
    }
}

/// An apiserver that runs.
pub(crate) struct Running {
    listening: Listening,
    controllers: Controllers,
    store: Store,
    renewal: tokio::task::JoinHandle<()>,
    /// The cluster's CA.
    pub(crate) pki: Arc<Pki>,
    pub(crate) url: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) server: Server,
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: ApiserverArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let pki = args.pki.clone().unwrap_or_else(|| beside(&args.store));
    let kubeconfig = args.kubeconfig.clone().unwrap_or_else(|| pki.join("kubeconfig"));
    let start = start(Start {
        kubeconfig,
        hosts: args.hosts,
        tokens: args.token_auth_file,
        ranges: Ranges {
            cluster_ips: args.service_cluster_ip_range,
            node_ports: args.service_node_port_range,
        },
        advertised: args.advertise_address,
        without: args.disable_admission_plugins,
        tolerations: args.stay.into(),
        controllers: args.controllers,
        ..Start::new(args.store.clone(), args.listen, pki)
    });
    let Some(running) = stop.unless_asked(start).await? else { return Ok(()) };
    println!("API        {}", running.url);
    println!("kubeconfig {}", running.kubeconfig.display());
    println!("store      {}", args.store);
    println!();
    println!("Try it:");
    println!("  kubectl --kubeconfig {} api-resources", running.kubeconfig.display());
    println!();
    println!("Ctrl-C stops it.");
    stop.asked().await;
    tracing::info!("stopping: running requests are answered");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// The folder of keys that belongs to a store.
fn beside(store: &str) -> PathBuf {
    match store.strip_prefix("sled:") {
        Some(folder) => Path::new(folder).join("pki"),
        None => crate::balancer::control_path(None).with_file_name("pki"),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Starts one.
pub(crate) async fn start(start: Start) -> anyhow::Result<Running> {
    let listener = Listener::bind(start.listen).await.with_context(|| {
        format!("cannot listen on {}; {} chooses another address", start.listen, start.listen_flag)
    })?;
    let service_ip = start.ranges.cluster_ips.at(1);
    let hosts = Hosts { service_ip: service_ip.into(), hosts: named(&start, listener.address()) };
    let pki = Pki::open(&start.pki, &hosts, now())
        .with_context(|| format!("{} {} cannot be used", start.pki_flag, start.pki.display()))?;
    let spec = start.store.clone();
    let opened =
        tokio::task::spawn_blocking(move || Store::open(&spec, read_meta(), Options::default()));
    let store = opened
        .await?
        .with_context(|| format!("{} {} cannot be used", start.store_flag, start.store))?;
    let place = reached(listener.address());
    let place = start.called.map_or(place, |ip| SocketAddr::new(ip, place.port()));
    let url = format!("https://{place}");
    let issuer = Issuer::new(
        "https://kubernetes.default.svc.cluster.local",
        pki.service_account_key()?,
        Vec::new(),
    );
    let names = chosen(&start.controllers, &start.without, &start.others)?;
    let agents = agents(&pki, start.agents_here)?;
    let mut builder = Server::builder(store.clone())
        .agents(agents)
        .issuer(issuer)
        .without_admission(start.without)
        .tolerations(start.tolerations)
        .ranges(start.ranges);
    if let Some(path) = &start.tokens {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        builder = builder.tokens(
            StaticTokens::read(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?,
        );
    }
    let server = builder.build();
    server
        .bootstrap()
        .await
        .map_err(|refusal| anyhow!("the first objects cannot be made: {refusal}"))?;
    let admin = pki.admin(now())?;
    pki.write_kubeconfig(&start.kubeconfig, &url, "kubernetes-admin", &admin)?;
    let advertised = advertised(start.advertised, listener.address());
    let control = Control {
        names,
        ca: pki.ca_pem().to_owned(),
        service_ip,
        url: Some(url.clone()),
        advertised,
    };
    let controllers = server.control(control);
    let address = listener.address();
    let listening = listener.serve(server.clone(), pki.server_config()?);
    let pki = Arc::new(pki);
    let renewal = tokio::spawn(renew(Arc::clone(&pki)));
    Ok(Running {
        listening,
        controllers,
        store,
        renewal,
        pki,
        url,
        address,
        kubeconfig: start.kubeconfig,
        server,
    })
}

/// How nodes' agents are called: with a certificate of the cluster's own CA, by which they have to be known too.
fn agents(pki: &Pki, here: bool) -> anyhow::Result<Agents> {
    let pair = pki.agents_client(now())?;
    let agents = Agents::new(pki.ca_pem(), &pair.certificate, &pair.key)?;
    Ok(if here { agents.allow_loopback() } else { agents })
}

/// The controllers that a list chooses.
fn chosen(list: &[String], without: &[String], others: &[&str]) -> anyhow::Result<Vec<String>> {
    let accounts = !without.iter().any(|plugin| plugin == "ServiceAccount");
    // They serve what the plugin asks for.
    let served = ["serviceaccount-controller", "root-ca-certificate-publisher-controller"];
    let usual = CONTROLLERS.iter().filter(|name| accounts || !served.contains(name));
    let usual: Vec<String> = usual.map(|name| (*name).to_owned()).collect();
    let mut names: Vec<String> = Vec::new();
    for word in list.iter().filter(|word| !word.is_empty()) {
        let name = word.strip_prefix('-').unwrap_or(word);
        // Of one list for several processes each takes what is its own.
        if others.contains(&name) {
            continue;
        }
        if name != "*" && !CONTROLLERS.contains(&name) {
            let all: Vec<&str> = CONTROLLERS.iter().chain(others).copied().collect();
            anyhow::bail!("--controllers: there is no {name}; there are {}", all.join(", "));
        }
        match (name, word.starts_with('-')) {
            ("*", _) => names.extend(usual.iter().cloned()),
            (name, true) => names.retain(|one| one != name),
            (name, false) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

/// Where pods reach the server: not at an address that is of this machine alone.
fn advertised(given: Option<Ipv4Addr>, address: SocketAddr) -> Option<SocketAddrV4> {
    let own = match address.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    };
    given.or(own).map(|ip| SocketAddrV4::new(ip, address.port()))
}

/// An address by which it can be called.
fn reached(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port())
}

fn named(start: &Start, address: SocketAddr) -> Vec<String> {
    let mut hosts = start.hosts.clone();
    hosts.push(reached(address).ip().to_string());
    hosts.extend(start.called.map(|ip| ip.to_string()));
    hosts
}

async fn renew(pki: Arc<Pki>) {
    loop {
        tokio::time::sleep(RENEW).await;
        match pki.renew_if_due(now()) {
            Ok(true) => tracing::info!("the server shows a new certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "certificates cannot be renewed"),
        }
    }
}

impl Running {
    /// Ends it in good order.
    pub(crate) async fn stop(self) {
        self.renewal.abort();
        self.controllers.stop().await;
        self.server.stop();
        self.listening.stop().await;
        self.store.close().await;
    }
}
