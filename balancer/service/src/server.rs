// SPDX-License-Identifier: Apache-2.0
//! The service: puts the control plane, its sources, the checker, gRPC and the admin port together.

use crate::admin::Admin;
use crate::control::{self, Control};
use crate::grpc::Calls;
use crate::health::{Checker, Counts, Targets};
use crate::observe::Observer;
use crate::plane::{DataPlane, PlaneError};
use crate::source::Source;
use crate::wanted::Owner;
use berth_proto::DESCRIPTORS;
use berth_proto::balancer::balancer_server::BalancerServer;
use berth_proto_serve::{Acceptor, Bounds, Serving, TlsError, TlsFiles, pages};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

/// Bytes of one message: 100,000 endpoints with all there is to say about them have some 10 MB.
const MESSAGE: usize = 64 << 20;
/// Bounds of its connections: clients of a control channel are few.
const BOUNDS: Bounds = Bounds {
    connections: 256,
    calls: 64,
    stream_window: 1 << 20,
    connection_window: 2 << 20,
    send_buffer: 1 << 20,
};
/// How long a stop waits for clients.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data plane is not there and cannot be started.
    #[error("the data plane does not run: {0}")]
    DataPlane(String),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Sets a service up.
#[derive(Debug)]
pub struct Builder {
    plane: Box<dyn DataPlane>,
    observer: Observer,
    sources: Vec<Box<dyn Source>>,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    tls: Option<TlsFiles>,
}

impl Builder {
    /// A source of truth.
    #[must_use]
    pub fn source(mut self, source: Box<dyn Source>) -> Self {
        self.sources.push(source);
        self
    }

    /// Where gRPC is served; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Where the table, `/metrics`, `/healthz` and `/readyz` are served.
    #[must_use]
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.admin = Some(address);
        self
    }

    /// Serves gRPC over TLS.
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Adopts the data plane, or starts it, and begins.
    ///
    /// # Errors
    /// What is in the way. Nothing runs then but a data plane that ran before.
    pub async fn start(self) -> Result<Server, StartError> {
        let acceptor = Acceptor::new(self.tls.as_ref())?;
        let listener = listen(self.listen).await?;
        let admin = listen(self.admin).await?;
        // Of what is borrowed here nothing is held while others are waited for: a source need not be shared between threads.
        let (with_file, with_cluster) = {
            let with = |owner| self.sources.iter().any(|source| source.owner() == owner);
            (with(Owner::File), with(Owner::Kubernetes))
        };
        let heir = match (listener.is_some(), with_cluster && !with_file) {
            (true, _) => Owner::Grpc,
            (false, true) => Owner::Kubernetes,
            (false, false) => Owner::File,
        };
        let mut plane = self.plane;
        let adopted = tokio::task::spawn_blocking(move || {
            plane.ensure()?;
            let known = plane.known()?;
            Ok((plane, known))
        });
        let (plane, known) = match adopted.await {
            Ok(Ok(adopted)) => adopted,
            Ok(Err(PlaneError::Gone(why))) => return Err(StartError::DataPlane(why)),
            Ok(Err(PlaneError::Refused(problems))) => {
                return Err(StartError::DataPlane(problems.to_string()));
            }
            Err(error) => return Err(StartError::Thread(io::Error::other(error))),
        };
        let (targets, targets_end) = Targets::new();
        let (control, thread) =
            control::start(plane, known, heir, targets).map_err(StartError::Thread)?;
        // Without a file or a cluster there is nothing to wait for.
        let ready = !with_file && !with_cluster;
        control.shared().change(|moment| (moment.ready, moment.open) = (ready, !with_file));

        let (stop, stopping) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let mut tasks = Vec::new();
        let checker = Checker::new(control.clone(), Arc::clone(&counts));
        tasks.push(tokio::spawn(checker.run(targets_end, stopping.clone())));
        for source in self.sources {
            tasks.push(tokio::spawn(source.run(control.clone(), stopping.clone())));
        }
        let (mut address, mut admin_address) = (None, None);
        if let Some((listener, local)) = listener {
            address = Some(local);
            let calls = Calls::new(control.clone(), self.observer.clone(), stopping.clone());
            let balancer = BalancerServer::new(calls).max_decoding_message_size(MESSAGE);
            let serving = Serving::new(balancer, DESCRIPTORS, acceptor, BOUNDS, stopping.clone());
            tasks.push(tokio::spawn(serving.serve(listener)));
        }
        if let Some((listener, local)) = admin {
            admin_address = Some(local);
            let admin = Admin::new(control.clone(), self.observer, counts, stopping.clone());
            tasks.push(tokio::spawn(pages::serve(admin, listener, stopping)));
        }
        let thread = Some(thread);
        Ok(Server { address, admin_address, control, stop, tasks, thread })
    }
}

async fn listen(
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let fail = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let local = listener.local_addr().map_err(fail)?;
    Ok(Some((listener, local)))
}

/// A service that runs.
pub struct Server {
    address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
    control: Control,
    stop: watch::Sender<bool>,
    tasks: Vec<Task<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to set a service up over a data plane, and the way to its counters.
    #[must_use]
    pub fn builder(plane: Box<dyn DataPlane>, observer: Observer) -> Builder {
        Builder { plane, observer, sources: Vec::new(), listen: None, admin: None, tls: None }
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where the admin port is.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The way to the control plane.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Stops. The data plane goes on serving its last table, unless `all` says that it ends too.
    pub async fn stop(mut self, all: bool) {
        // Nobody listens if everything has ended already.
        let _ = self.stop.send(true);
        for task in self.tasks.drain(..) {
            if tokio::time::timeout(PATIENCE, task).await.is_err() {
                tracing::warn!("stopped without waiting longer for a client");
            }
        }
        let control = self.control.clone();
        let thread = self.thread.take();
        let ended = tokio::task::spawn_blocking(move || {
            control.stop(all);
            // A thread that panicked has said so.
            drop(thread.map(JoinHandle::join));
        });
        drop(ended.await);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("admin_address", &self.admin_address)
            .finish_non_exhaustive()
    }
}
