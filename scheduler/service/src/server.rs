// SPDX-License-Identifier: Apache-2.0
//! The shell around the sequencer: sockets, threads, the disk.

mod calls;
mod clock;
mod cut;
mod durable;
mod gauge;
mod history;
mod http;
mod inbox;
mod metrics;
mod reading;
mod round;
mod run;
mod status;
mod stream;
mod watch;

use crate::sequencer::{Options, Sequencer};
use berth_proto::DESCRIPTORS;
use berth_proto::hot::scheduler_server::SchedulerServer;
use berth_proto_serve::{Acceptor, Bounds, Serving, TlsError, TlsFiles, pages};
use berth_scheduler_journal::disk::Disk;
use berth_scheduler_journal::store::SnapshotStore;
use berth_scheduler_model::profile::Profile;
use calls::Calls;
use durable::OpenFailed;
use history::History;
use inbox::Inbox;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use tokio::task::JoinHandle as Task;

/// Bounds of its connections. Windows: the product of 256 pods a message and 350 bytes a pod is 90 KB; some dozens of them keep a
/// fast network busy.
const BOUNDS: Bounds = Bounds {
    connections: 4_096,
    calls: 4_096,
    stream_window: 4 << 20,
    connection_window: 16 << 20,
    send_buffer: 1 << 20,
};

/// Bounds of the service. What is beyond is answered as overload.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages that wait for the sequencer.
    pub inbox_messages: usize,
    /// Their bytes.
    pub inbox_bytes: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Messages of one stream that are not answered; more are not read.
    pub stream_messages: usize,
    /// Bytes of later decisions that one stream may leave unread.
    pub stream_unread_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// How long a client may leave answers unread before its connection is cut.
    pub unread: Duration,
    /// Bytes of changes that are kept for watches.
    pub history_bytes: usize,
    /// How long a stop waits for clients to take their answers.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half a second of work with one pod a message.
            inbox_messages: 65_536,
            inbox_bytes: 64 << 20,
            message_bytes: 4 << 20,
            // Twice the deepest pipeline that gains anything on a fast network.
            stream_messages: 2_048,
            stream_unread_bytes: 8 << 20,
            connections: BOUNDS.connections,
            unread: Duration::from_secs(30),
            // The last 150,000 placements.
            history_bytes: 16 << 20,
            stop: Duration::from_secs(10),
        }
    }
}

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
    /// The data directory cannot be used.
    #[error("cannot use {}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: berth_scheduler_journal::OpenError,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// What was found in the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Revision of the state.
    pub revision: u64,
    /// Nodes.
    pub nodes: u32,
    /// Pods.
    pub pods: usize,
    /// How long it took.
    pub took: Duration,
    /// What an operator should know: a torn tail that was cut, a snapshot that was set aside.
    pub remarks: Vec<String>,
}

/// Sets a server up.
#[derive(Debug, Clone)]
pub struct Builder {
    listen: SocketAddr,
    metrics: Option<SocketAddr>,
    data: Option<Data>,
    journal: berth_scheduler_journal::Options,
    tls: Option<TlsFiles>,
    limits: Limits,
    options: Options,
    threads: usize,
}

/// Where the journal is.
#[derive(Debug, Clone)]
enum Data {
    Folder(PathBuf),
    Disk(Arc<dyn Disk>, Arc<dyn SnapshotStore>),
}

impl Builder {
    /// Where gRPC is served; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[must_use]
    pub fn metrics(mut self, address: SocketAddr) -> Self {
        self.metrics = Some(address);
        self
    }

    /// Keeps a journal in this directory.
    #[must_use]
    pub fn data(mut self, path: &Path) -> Self {
        self.data = Some(Data::Folder(path.to_owned()));
        self
    }

    /// Keeps a journal on a disk of another kind: one that fails on command, most likely.
    #[must_use]
    pub fn data_on(mut self, disk: Arc<dyn Disk>, store: Arc<dyn SnapshotStore>) -> Self {
        self.data = Some(Data::Disk(disk, store));
        self
    }

    /// Sizes of the journal's files: small ones for a test that wants to see many of them.
    #[must_use]
    pub fn journal(mut self, sizes: berth_scheduler_journal::Options) -> Self {
        self.journal = sizes;
        self
    }

    /// Serves over TLS.
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The profiles that there are; without, the default one.
    #[must_use]
    pub fn profiles(mut self, profiles: Vec<Profile>) -> Self {
        self.options.engine.profiles = profiles;
        self
    }

    /// Orders nodes of equal score.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.engine.seed = seed;
        self
    }

    /// Preemption refuses to violate disruption budgets.
    #[must_use]
    pub fn strict_budgets(mut self, strict: bool) -> Self {
        self.options.engine.strict_budgets = strict;
        self
    }

    /// Threads that decide, the sequencer's own included. More than one help with messages of many pods of many classes, and
    /// with scans of very many nodes; decisions stay the same.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How refused pods back off.
    #[must_use]
    pub fn backoff(mut self, backoff: berth_scheduler_core::Backoff) -> Self {
        self.options.engine.backoff = backoff;
        self
    }

    /// Bytes that compiled classes may take.
    #[must_use]
    pub fn class_bytes(mut self, bytes: usize) -> Self {
        self.options.engine.class_bytes = bytes;
        self
    }

    /// Recovers what the data directory holds, and starts to serve.
    pub async fn start(self) -> Result<Server, StartError> {
        let acceptor = Acceptor::new(self.tls.as_ref())?;
        let listener = listen(self.listen).await?;
        let metrics_listener = match self.metrics {
            None => None,
            Some(address) => Some(listen(address).await?),
        };
        let history = Arc::new(History::new(self.limits.history_bytes));
        let (mut options, data, limits) = (self.options, self.data, self.limits);
        let sizes = self.journal;
        options.engine.parallel =
            berth_scheduler_host::threads(self.threads).map_err(StartError::Thread)?;
        let opened = Arc::clone(&history);
        // Recovery reads much and decides nothing: it is no work for the runtime's threads.
        let opening = tokio::task::spawn_blocking(move || match data {
            None => Ok((Sequencer::new(options), None, None)),
            Some(data) => durable::open(&data, sizes, options, &opened)
                .map(|(sequencer, journal, recovered)| (sequencer, Some(journal), Some(recovered)))
                .map_err(|OpenFailed { source }| StartError::Data { path: data.path(), source }),
        });
        let (sequencer, journal, recovered) = match opening.await {
            Ok(opened) => opened?,
            Err(error) => return Err(StartError::Thread(io::Error::other(error))),
        };
        history.begin(sequencer.revision());
        let desk = Arc::new(run::Desk::new(sequencer, journal, Arc::clone(&history)));
        let shared = desk.shared();
        let (inbox, outlet) = inbox::channel(&limits, Arc::clone(&desk));
        let thread = std::thread::Builder::new().name("sequencer".into());
        let thread = thread.spawn(move || desk.run(&outlet)).map_err(StartError::Thread)?;

        let (stop, stopping) = signal::channel(false);
        let address = local(&listener, self.listen)?;
        let seen = Arc::clone(&shared);
        let calls = Calls::new(inbox.clone(), history, limits, stopping.clone(), seen);
        let cutter = calls.cutter();
        let scheduler = SchedulerServer::new(calls).max_decoding_message_size(limits.message_bytes);
        let bounds = Bounds { connections: limits.connections, ..BOUNDS };
        let server = Serving::new(scheduler, DESCRIPTORS, acceptor, bounds, stopping.clone());
        let mut tasks = vec![
            tokio::spawn(server.serve(listener)),
            tokio::spawn(cutter.run(limits.unread, stopping.clone())),
        ];
        let mut metrics_address = None;
        if let (Some(listener), Some(address)) = (metrics_listener, self.metrics) {
            metrics_address = Some(local(&listener, address)?);
            let machine = http::Machine::new(inbox.clone(), shared, stopping.clone());
            tasks.push(tokio::spawn(pages::serve(machine, listener, stopping)));
        }
        Ok(Server {
            address,
            metrics_address,
            recovered,
            inbox,
            stop,
            tasks,
            thread: Some(thread),
            limits,
        })
    }
}

impl Data {
    fn path(&self) -> PathBuf {
        match self {
            Self::Folder(path) => path.clone(),
            Self::Disk(..) => PathBuf::from("the given disk"),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { address, source })
}

/// A service that runs. Dropping it without [`Server::stop`] leaves it running with the runtime.
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    recovered: Option<Recovered>,
    inbox: Inbox,
    stop: signal::Sender<bool>,
    tasks: Vec<Task<()>>,
    thread: Option<JoinHandle<()>>,
    limits: Limits,
}

impl Server {
    /// Begins to set a server up, on a free port of this machine.
    pub fn builder() -> Builder {
        let engine = berth_scheduler_core::Options {
            vector: berth_scheduler_host::vector(),
            hash_seed: clock::seed(),
            ..berth_scheduler_core::Options::default()
        };
        Builder {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: None,
            data: None,
            journal: berth_scheduler_journal::Options::default(),
            tls: None,
            limits: Limits::default(),
            options: Options { engine, nomination_hold_ms: 60_000 },
            threads: 1,
        }
    }

    /// Where gRPC is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What was recovered; `None` without a data directory.
    pub fn recovered(&self) -> Option<&Recovered> {
        self.recovered.as_ref()
    }

    /// Stops: says so to health checks, takes nothing new, answers what was taken, and closes the journal.
    pub async fn stop(mut self) {
        // Nobody listens if everything has ended already.
        let _ = self.stop.send(true);
        for task in self.tasks.drain(..) {
            let patience = self.limits.stop;
            if tokio::time::timeout(patience, task).await.is_err() {
                tracing::warn!("stopped without waiting longer for a client");
            }
        }
        self.inbox.stop();
        if let Some(thread) = self.thread.take() {
            // A sequencer that panicked has said so.
            let joined = tokio::task::spawn_blocking(move || drop(thread.join()));
            drop(joined.await);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("metrics_address", &self.metrics_address)
            .finish_non_exhaustive()
    }
}
