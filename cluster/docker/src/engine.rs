// SPDX-License-Identifier: Apache-2.0
//! The engine itself: reaching it, what it is, and whose things are on it.

use crate::address::Address;
use crate::error::CallError;
use crate::labels::{self, Agent};
use crate::limits;
use crate::wire::{Ask, Wire};
use bollard::Docker;
use bollard::errors::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The oldest version of the API that has all that is used here (Docker 20.10).
const VERSION_MIN: (usize, usize) = (1, 41);
/// bollard's own limit is for the head of an answer; each call here has one of its own, for all of it.
const BOLLARD: Duration = Duration::from_hours(24);

/// A connection to an engine, on behalf of one agent. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    pub(crate) wire: Wire,
    pub(crate) agent: Arc<Agent>,
    owned: Arc<Mutex<BTreeSet<String>>>,
    /// One at a time loads one of our images.
    pub(crate) loading: Arc<tokio::sync::Mutex<()>>,
    /// Whether scores below zero can be set.
    pub(crate) may_lower: Arc<tokio::sync::OnceCell<bool>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("wire", &self.wire)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// The version of the API that is spoken with it.
    pub api: String,
    /// `systemd` or `cgroupfs`: which words a cgroup's parent is said in.
    pub cgroup_driver: String,
    /// 1 or 2.
    pub cgroup_version: u32,
    /// Whether containers outlive its restart.
    pub live_restore: bool,
    /// Where it keeps all.
    pub root: String,
    /// How it keeps images.
    pub storage_driver: String,
    /// The host's kernel.
    pub kernel: String,
    /// The host's system.
    pub operating_system: String,
    /// `x86_64`, `aarch64` ...
    pub architecture: String,
    /// Processors.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl Engine {
    /// Reaches an engine, and agrees with it on a version.
    pub async fn connect(address: &Address, agent: Agent) -> Result<Self, CallError> {
        const CALL: &str = "connect to the Docker engine";
        let made = match address {
            Address::Socket(path) => {
                let path = path.to_string_lossy();
                Docker::connect_with_unix(&path, BOLLARD.as_secs(), bollard::API_DEFAULT_VERSION)
            }
            Address::Tcp(host) => {
                let url = format!("tcp://{host}");
                Docker::connect_with_http(&url, BOLLARD.as_secs(), bollard::API_DEFAULT_VERSION)
            }
        };
        let docker = made.map_err(|error| CallError::of(CALL, error))?;
        let docker = limited(CALL, limits::ASK, docker.negotiate_version()).await?;
        let version = docker.client_version();
        let (major, minor) = (version.major_version, version.minor_version);
        if (major, minor) < VERSION_MIN {
            let reason =
                format!("it speaks version {major}.{minor}, 1.41 (Docker 20.10) is needed");
            return Err(CallError::Unreadable { call: CALL, reason });
        }
        let wire = Wire { address: address.clone(), version: format!("{major}.{minor}") };
        let (owned, loading, may_lower) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { docker, wire, agent: Arc::new(agent), owned, loading, may_lower })
    }

    /// The same, for as long as the engine is away. `told` hears each time why.
    pub async fn wait(
        address: &Address,
        agent: Agent,
        mut told: impl FnMut(&CallError) + Send,
    ) -> Result<Self, CallError> {
        loop {
            match Self::connect(address, agent.clone()).await {
                Err(error) if error.may_retry() => told(&error),
                done => return done,
            }
            tokio::time::sleep(limits::AWAY).await;
        }
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), CallError> {
        limited("ping the Docker engine", limits::ASK, self.docker.ping()).await.map(drop)
    }

    /// The agent on whose behalf calls are made.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// What it is.
    pub async fn info(&self) -> Result<EngineInfo, CallError> {
        let info =
            limited("ask what the Docker engine is", limits::ASK, self.docker.info()).await?;
        let amount = |value: Option<i64>| value.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let version = info.cgroup_version.map(|version| version.to_string());
        Ok(EngineInfo {
            version: info.server_version.unwrap_or_default(),
            api: self.wire.version.clone(),
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
            cgroup_version: version.and_then(|text| text.parse().ok()).unwrap_or(1),
            live_restore: info.live_restore_enabled.unwrap_or(false),
            root: info.docker_root_dir.unwrap_or_default(),
            storage_driver: info.driver.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            operating_system: info.operating_system.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            cpus: amount(info.ncpu),
            memory_bytes: amount(info.mem_total),
        })
    }

    /// A GET whose answer is read by this crate, for bollard's types know newer engines only.
    pub(crate) async fn get(
        &self,
        call: &'static str,
        path: String,
        limit: Duration,
    ) -> Result<serde_json::Value, CallError> {
        self.wire.json(Ask { call, method: "GET", path, ..Ask::default() }, limit).await
    }

    /// Makes sure that a container is this agent's before anything is done with it. Ids are never given twice, and labels never change,
    /// so it is asked once.
    pub(crate) async fn check_owned(&self, call: &'static str, id: &str) -> Result<(), CallError> {
        if !is_id(id) {
            let message = format!("{id:?} is no id of a container");
            return Err(CallError::Refused { call, status: 400, message });
        }
        if self.owned().contains(id) {
            return Ok(());
        }
        let found = self.docker.inspect_container(id, no_options());
        let found = limited(call, limits::ASK, found).await?;
        let found_labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let found_labels: BTreeMap<String, String> = found_labels.into_iter().collect();
        let name = found.name.unwrap_or_default();
        let name = name.trim_start_matches('/');
        let is_ours = labels::read(&self.agent, name, &found_labels).is_some()
            || labels::is_helper(&self.agent, name, &found_labels)
            || labels::is_companion(&self.agent, name, &found_labels);
        if !is_ours {
            return Err(CallError::Foreign { call, what: format!("container {name}") });
        }
        self.note_owned(id);
        Ok(())
    }

    /// Notes that a container is this agent's.
    pub(crate) fn note_owned(&self, id: &str) {
        let mut owned = self.owned();
        if owned.len() >= limits::OWNED_MAX {
            owned.clear();
        }
        owned.insert(id.to_owned());
    }

    fn owned(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No options, of the type that bollard wants them to be.
pub(crate) fn no_options() -> Option<bollard::query_parameters::InspectContainerOptions> {
    None
}

/// Whether a text is a whole id: what is shorter may be the start of several, and a name may be given to another container.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A call of bollard with a limit of time.
pub(crate) async fn limited<T>(
    call: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| CallError::of(call, error)),
        Err(_) => Err(CallError::TimedOut { call, limit }),
    }
}
