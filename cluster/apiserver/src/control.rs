// SPDX-License-Identifier: Apache-2.0
//! The controllers that the API cannot be used without: what each namespace has from the beginning, how it ends, the Service
//! `kubernetes`, and what a machine needs that wants to join. Each looks at the store for what has changed, and writes through the server's own door.

mod bootstrap;
mod content;
mod kubernetes;
mod namespaces;

use crate::server::Server;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often objects whose time is over are removed.
const EXPIRY: Duration = Duration::from_secs(1);

/// The controllers that there are, by upstream's names; `expiry` removes objects whose time is over.
pub const CONTROLLERS: [&str; 7] = [
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "kubernetes-service",
    "bootstrap-signer-controller",
    "token-cleaner-controller",
    "expiry",
];

/// What controllers are told.
#[derive(Debug, Clone)]
pub struct Control {
    /// Which of [`CONTROLLERS`] run.
    pub names: Vec<String>,
    /// The CA of the cluster, which each namespace gets to know (PEM).
    pub ca: String,
    /// The address of the Service `kubernetes`.
    pub service_ip: Ipv4Addr,
    /// Where machines reach this server that want to join; none if that is said elsewhere.
    pub url: Option<String>,
    /// Where pods reach this server; none if they cannot.
    pub advertised: Option<SocketAddrV4>,
}

/// Controllers that run. Dropping stops them at once.
#[derive(Debug)]
pub struct Controllers {
    server: Server,
    advertised: Option<SocketAddrV4>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts the controllers.
    pub fn control(&self, control: Control) -> Controllers {
        let advertised = control.advertised;
        let on = |name: &str| control.names.iter().any(|one| one == name);
        let duties = namespaces::Duties {
            deletion: on("namespace-controller"),
            accounts: on("serviceaccount-controller"),
            ca: on("root-ca-certificate-publisher-controller").then(|| control.ca.clone()),
        };
        let mut tasks = vec![tokio::spawn(namespaces::run(self.clone(), duties))];
        if on("expiry") {
            tasks.push(tokio::spawn(expire(self.clone())));
        }
        let joining = bootstrap::Duties {
            clean: on("token-cleaner-controller"),
            sign: on("bootstrap-signer-controller"),
            info: control.url.as_ref().map(|url| bootstrap::kubeconfig(url, &control.ca)),
        };
        if joining.clean || joining.sign {
            tasks.push(tokio::spawn(bootstrap::run(self.clone(), joining)));
        }
        if on("kubernetes-service") {
            tasks.push(tokio::spawn(kubernetes::run(self.clone(), control)));
        }
        Controllers { server: self.clone(), advertised, tasks }
    }
}

impl Controllers {
    /// Stops them; this server is no longer named by the Service `kubernetes`.
    pub async fn stop(mut self) {
        self.abort();
        if let Some(address) = self.advertised {
            kubernetes::leave(&self.server, address).await;
        }
    }

    fn abort(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.abort();
    }
}

async fn expire(server: Server) {
    loop {
        tokio::time::sleep(EXPIRY).await;
        let now = server.0.environment.now().seconds;
        server.0.store.expire(now).await;
    }
}
