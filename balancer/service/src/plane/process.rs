// SPDX-License-Identifier: Apache-2.0
//! The real data plane: a process of its own behind a control socket, found there or started.
//!
//! It outlives the control plane: it is put into a process group of its own, so that neither Ctrl-C nor a `kill` of the control
//! plane's group reaches it. One control plane at a time: a lock beside the socket says who.

use super::{Applied, DataPlane, Identity, Known, PlaneError, Unhealthy, Unserved};
use crate::choose::Available;
use crate::problem::Problems;
use berth_balancer_core::Change;
use berth_balancer_core::model::Config;
use berth_balancer_data::control::{self, Client, ClientError, Unservable};
use std::ffi::OsString;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process that was started may take until it answers, and how often that is tried.
const STARTING: Duration = Duration::from_secs(5);
const TRY: Duration = Duration::from_millis(5);
/// How often one is tried that took the connection and did not answer.
const ENDING_TRIES: usize = 20;
/// A process that dies at once is not started again and again without a pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How a data plane is started.
pub trait Launch: Debug + Send {
    /// Begins to start one, which will answer at the control socket.
    ///
    /// # Errors
    /// Why it cannot be started, for people.
    fn start(&mut self) -> Result<Box<dyn Started>, String>;
}

/// A data plane that was started.
pub trait Started: Debug + Send {
    /// How it ended, for people, if it has.
    fn ended(&mut self) -> Option<String>;
}

/// A program of this host, as a process of its own.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, the path of the control socket among them.
    pub arguments: Vec<OsString>,
}

impl Launch for Program {
    fn start(&mut self) -> Result<Box<dyn Started>, String> {
        let spawned = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn();
        let child =
            spawned.map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        Ok(Box::new(child))
    }
}

impl Started for Child {
    fn ended(&mut self) -> Option<String> {
        let status = self.try_wait().ok()??;
        Some(status.to_string())
    }
}

/// Why the data plane's place cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another control plane has it.
    #[error("another balancer uses {}; --control chooses another place", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The folder or the lock cannot be made.
    #[error("cannot use {}; --control chooses another place", path.display())]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A data plane at a control socket.
#[derive(Debug)]
pub struct Process {
    path: PathBuf,
    launch: Box<dyn Launch>,
    client: Option<Client>,
    /// The socket that it was connected to.
    socket: Option<(u64, u64)>,
    child: Option<Box<dyn Started>>,
    identity: Identity,
    available: Available,
    /// The process that was told everything there is.
    told: Option<u32>,
    started: Option<Instant>,
    pause: Duration,
    /// Held as long as this is.
    _lock: fs::File,
}

impl Process {
    /// Claims the place at `path`. Nothing is started yet.
    ///
    /// # Errors
    /// Another control plane has it, or the folder cannot be used.
    pub fn claim(path: PathBuf, launch: Box<dyn Launch>) -> Result<Self, ClaimError> {
        let lock = lock(&path)?;
        Ok(Self {
            path,
            launch,
            client: None,
            socket: None,
            child: None,
            identity: Identity::default(),
            available: Available::default(),
            told: None,
            started: None,
            pause: Duration::ZERO,
            _lock: lock,
        })
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, PlaneError> {
        let Some(client) = &mut self.client else {
            return Err(PlaneError::Gone("it is being started".to_owned()));
        };
        let called = call(client);
        called.map_err(|error| {
            if error.is_broken() {
                self.client = None;
            }
            failure(error)
        })
    }

    fn connect(&mut self) -> Result<(), ClientError> {
        self.socket = inode(&self.path);
        let client = Client::connect(&self.path)?;
        let greeting = client.greeting();
        (self.identity.pid, self.identity.workers) = (greeting.pid, greeting.workers);
        let missing = &greeting.fast_missing;
        self.available = Available {
            fast: if missing.is_empty() { Ok(()) } else { Err(missing.clone()) },
            own: greeting.addresses.iter().map(IpAddr::to_canonical).collect(),
            ..Available::default()
        };
        self.client = Some(client);
        Ok(())
    }

    /// Connects. A process that ends just now takes the connection and does not answer: a moment later nobody is there.
    fn connect_patiently(&mut self) -> Result<(), ClientError> {
        for _ in 0..ENDING_TRIES {
            match self.connect() {
                Err(ClientError::Socket(error)) if is_cut(&error) => std::thread::sleep(TRY),
                other => return other,
            }
        }
        self.connect()
    }

    /// Starts a process, and waits until it answers.
    fn launch(&mut self) -> Result<(), PlaneError> {
        if let Some(started) = self.started
            && started.elapsed() < self.pause
        {
            return Err(PlaneError::Gone(
                "it ended soon after its start; another try is near".into(),
            ));
        }
        self.pause = (self.pause * 2).clamp(Duration::from_millis(100), PAUSE_MAX);
        self.started = Some(Instant::now());
        let child = self.child.insert(self.launch.start().map_err(PlaneError::Gone)?);
        let end = Instant::now() + STARTING;
        loop {
            if let Some(how) = child.ended() {
                let why = format!("it ended at its start ({how}); its own words are in the log");
                return Err(PlaneError::Gone(why));
            }
            if Client::connect(&self.path).is_ok() {
                break;
            }
            if Instant::now() > end {
                let why = format!("it does not answer at {}", self.path.display());
                return Err(PlaneError::Gone(why));
            }
            std::thread::sleep(TRY);
        }
        self.connect().map_err(failure)
    }

    /// Takes note of a child that has ended.
    fn reap(&mut self) {
        if let Some(child) = &mut self.child
            && let Some(how) = child.ended()
        {
            tracing::warn!(how, "the data plane's process ended");
            self.child = None;
            self.client = None;
        }
    }

    /// Whether the process at the other end is there, and still the one whose socket lies at the path. Only looked at, not asked:
    /// one that has no descriptor left would let a new connection wait, and every change behind it.
    fn answers(&self) -> bool {
        let alive = self.client.as_ref().is_some_and(|client| !client.is_closed());
        alive && self.socket.is_some() && self.socket == inode(&self.path)
    }
}

/// Which socket lies at a path: a successor puts another one there.
fn inode(path: &Path) -> Option<(u64, u64)> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

impl DataPlane for Process {
    fn apply(&mut self, changes: Vec<Change>) -> Result<Applied, PlaneError> {
        self.call(|client| client.apply(changes)).map(applied)
    }

    fn replace(&mut self, config: Config) -> Result<Applied, PlaneError> {
        let replaced = self.call(|client| client.replace(config, Unservable::LeaveOut));
        if replaced.is_ok() {
            self.told = Some(self.identity.pid);
        }
        replaced.map(applied)
    }

    fn known(&mut self) -> Result<Known, PlaneError> {
        let (revision, config) = self.call(Client::config)?;
        let stats = self.call(Client::stats)?;
        let mut unhealthy = Vec::new();
        for port in &stats.ports {
            for endpoint in port.endpoints.iter().filter(|endpoint| !endpoint.is_healthy) {
                unhealthy.push(Unhealthy {
                    service: port.service.clone(),
                    endpoint: endpoint.name.clone(),
                    port: port.port.clone(),
                    address: endpoint.address.ip(),
                });
            }
        }
        self.told = Some(self.identity.pid);
        Ok(Known { config, revision, unhealthy })
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn available(&self) -> Available {
        self.available.clone()
    }

    fn ensure(&mut self) -> Result<bool, PlaneError> {
        self.reap();
        if self.answers() {
            self.pause = Duration::ZERO;
            return Ok(self.told.is_some_and(|told| told != self.identity.pid));
        }
        self.client = None;
        match self.connect_patiently() {
            Ok(()) => {
                self.identity.adopted = self.told.is_none();
                return Ok(self.told.is_some_and(|told| told != self.identity.pid));
            }
            Err(error @ ClientError::Version { .. }) => {
                let why = format!("{error}; end it, or replace it with `--take-over`");
                return Err(PlaneError::Gone(why));
            }
            Err(ClientError::Socket(error)) if !is_nobody(&error) => {
                // One that is slow still serves; another one beside it would share its listeners.
                return Err(PlaneError::Gone(format!("it is there and does not answer: {error}")));
            }
            Err(_) => {}
        }
        let first = self.told.is_none();
        self.launch()?;
        if !first {
            self.identity.restarts += 1;
            self.identity.adopted = false;
        }
        Ok(!first)
    }

    fn stop(&mut self) {
        if let Err(error) = self.call(Client::stop) {
            tracing::warn!(?error, "the data plane was not told to end");
        }
        // It has been told; who does not end by itself is not waited for.
        let end = Instant::now() + STARTING;
        let mut child = self.child.take();
        // One that was adopted is nobody's child here: it takes away what it made on the host until it is gone.
        let mut goes_on = || match &mut child {
            Some(child) => child.ended().is_none(),
            None => runs(self.identity.pid),
        };
        while goes_on() && Instant::now() < end {
            std::thread::sleep(TRY);
        }
    }
}

/// Whether there is a process of this number that has not ended.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its name, in brackets, may have anything in it; its state follows.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Whether connecting failed because nobody listens there.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Whether a connection was taken and then cut.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// The lock beside a socket.
fn lock(path: &Path) -> Result<fs::File, ClaimError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| ClaimError::Unusable { path, source }
    };
    control::make_folder(path).map_err(unusable(path))?;
    control::check_folder(path).map_err(unusable(path))?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(unusable(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(ClaimError::Taken { path: path.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(unusable(&name)(source)),
    }
}

fn failure(error: ClientError) -> PlaneError {
    match error {
        ClientError::Refused(all) => {
            let mut problems = Problems::default();
            for control::Problem { path, text, .. } in all {
                problems.note(path, text);
            }
            PlaneError::Refused(problems)
        }
        ClientError::Failed(text) => PlaneError::Refused(Problems::one("", text)),
        other => {
            let why = std::error::Error::source(&other).map(ToString::to_string);
            PlaneError::Gone(why.map_or_else(|| other.to_string(), |why| format!("{other}: {why}")))
        }
    }
}

fn applied(applied: control::Applied) -> Applied {
    let unserved = applied.unserved.into_iter().map(|one| Unserved {
        service: one.service,
        port: one.port,
        protocol: one.protocol,
        address: one.address,
        reason: one.reason,
    });
    Applied { revision: applied.revision, unserved: unserved.collect() }
}
