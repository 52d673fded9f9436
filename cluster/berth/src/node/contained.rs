// SPDX-License-Identifier: Apache-2.0
//! A node of a user who may use a Docker Engine and is not root: what takes root's rights is done by this same program in two containers on
//! the host's network. One is the Services' data plane; the other tells the host of pods' traffic, and removes what containers wrote.
//!
//! They may what is named here, and nothing else:
//!
//! | capability | for |
//! |---|---|
//! | NET_ADMIN, NET_RAW | rules, routes, addresses, refusals |
//! | NET_BIND_SERVICE | Services' ports below 1024 |
//! | SYS_ADMIN | the proxy path's network namespace |
//! | DAC_OVERRIDE, CHOWN, FOWNER | the control sockets and files of the user |

use crate::cli::HandsArgs;
use anyhow::Context;
use berth_balancer_service::plane::process::{Launch, Started};
use berth_cluster_agent::hands;
use berth_cluster_docker::{Address, Agent, Companion, Engine};
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// The companions, by what they do.
const DATA: &str = "data-plane";
const HANDS: &str = "host";
const DATA_MAY: [&str; 7] =
    ["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE", "SYS_ADMIN", "DAC_OVERRIDE", "CHOWN", "FOWNER"];
const HANDS_MAY: [&str; 5] = ["NET_ADMIN", "NET_RAW", "DAC_OVERRIDE", "CHOWN", "FOWNER"];
/// An engine that does not answer by then is none.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the engine is asked whether a companion still runs.
const LOOK: Duration = Duration::from_millis(500);

/// The engine that runs the companions of a node.
#[derive(Clone)]
pub(crate) struct Contained {
    engine: Engine,
    program: PathBuf,
    /// The data plane's control socket; the others lie beside it.
    control: PathBuf,
}

impl fmt::Debug for Contained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contained").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// `berth hands`: what runs in the one container.
pub(crate) fn serve(args: HandsArgs) -> anyhow::Result<ExitCode> {
    let HandsArgs { node, root, socket, user } = args;
    hands::serve(&hands::Options { node, root, socket, user })
        .context("an agent's work that takes root's rights is not done")?;
    Ok(ExitCode::SUCCESS)
}

impl Contained {
    /// The engine, if it is there. Why not, else.
    pub(crate) async fn find(
        address: &Address,
        node: &str,
        control: &Path,
    ) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find this program")?;
        let connecting = Engine::connect(address, Agent::new(node)?);
        let engine = tokio::time::timeout(PATIENCE, Box::pin(connecting)).await;
        let engine = engine.context("it does not answer")??;
        Ok(Self { engine, program, control: control.to_owned() })
    }

    /// How a data plane is started there.
    pub(crate) fn data_plane(&self) -> Box<dyn Launch> {
        let words = crate::balancer::words(&self.control, 0);
        let mut command = self.command(&[]);
        command.extend(words.iter().map(|word| word.to_string_lossy().into_owned()));
        command.extend(["--user".to_owned(), user().to_string()]);
        let companion = companion(DATA, command, &DATA_MAY, vec![self.folder()]);
        Box::new(DataPlane { of: self.clone(), companion, runtime: Handle::current() })
    }

    /// Starts what does the agent's part; gives its socket.
    pub(crate) async fn hands(&self, node: &str, root: &Path) -> anyhow::Result<PathBuf> {
        let socket = self.control.with_extension("host");
        let mut command = self.command(&["--log", "warn", "hands", "--node", node]);
        let user = user().to_string();
        let paths = [root, socket.as_path()].map(|path| path.to_string_lossy().into_owned());
        let [root_text, socket_text] = paths;
        command.extend(["--root".to_owned(), root_text, "--socket".to_owned(), socket_text]);
        command.extend(["--user".to_owned(), user]);
        let folders = vec![self.folder(), root.to_owned()];
        let companion = companion(HANDS, command, &HANDS_MAY, folders);
        self.engine.start_companion(&companion).await?;
        Ok(socket)
    }

    /// Removes the companions. The data plane is told to end before.
    pub(crate) async fn remove(&self) {
        for name in [HANDS, DATA] {
            if let Err(error) = self.engine.remove_companion(name).await {
                tracing::warn!(%error, name, "a container of this node is left on the engine");
            }
        }
    }

    /// The folder of the sockets.
    fn folder(&self) -> PathBuf {
        self.control.parent().unwrap_or(Path::new("/")).to_owned()
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        [program].into_iter().chain(words.iter().map(|&word| word.to_owned())).collect()
    }
}

fn companion(name: &str, command: Vec<String>, may: &[&str], folders: Vec<PathBuf>) -> Companion {
    let capabilities = may.iter().map(|&one| one.to_owned()).collect();
    Companion { name: name.to_owned(), command, capabilities, folders }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[derive(Debug)]
struct DataPlane {
    of: Contained,
    companion: Companion,
    runtime: Handle,
}

impl Launch for DataPlane {
    fn start(&mut self) -> Result<Box<dyn Started>, String> {
        let started = self.runtime.block_on(self.of.engine.start_companion(&self.companion));
        let id = started.map_err(|error| error.to_string())?;
        let (engine, runtime) = (self.of.engine.clone(), self.runtime.clone());
        Ok(Box::new(Running { engine, runtime, id, looked: None }))
    }
}

struct Running {
    engine: Engine,
    runtime: Handle,
    id: String,
    looked: Option<Instant>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Started for Running {
    fn ended(&mut self) -> Option<String> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return None;
        }
        self.looked = Some(Instant::now());
        // An engine that is away says nothing of it.
        self.runtime.block_on(self.engine.companion_ended(&self.id)).ok()?
    }
}
