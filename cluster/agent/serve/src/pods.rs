// SPDX-License-Identifier: Apache-2.0
//! What the server asks the agent: which pods there are, and by which ids the engine knows their containers.
//!
//! Nothing here waits: the agent answers out of what it holds in memory. What it says may be old by the time it is used; then the engine
//! says so.

use bytes::Bytes;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// The agent's pods, as its server sees them.
pub trait Pods: fmt::Debug + Send + Sync {
    /// The pod of that name; with a uid, only if it is the pod of that uid.
    fn find(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<Pod>;

    /// Each pod of the node as a `v1` object in JSON, with its status: what `/pods` lists.
    fn objects(&self) -> Vec<Bytes>;

    /// How many there are.
    fn count(&self) -> Count;

    /// Whether the agent goes on with its work; else why not, in words for `/healthz`.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Adds the agent's own figures to `/metrics`, in Prometheus' text form.
    fn metrics(&self, into: &mut dyn fmt::Write) -> fmt::Result {
        into.write_str("")
    }
}

/// How much runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Pods whose sandbox runs.
    pub pods: u64,
    /// Containers that run.
    pub containers: u64,
}

/// A pod that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The engine's id of its sandbox, if it runs.
    pub sandbox: Option<String>,
    /// Where its ports are.
    pub place: Place,
    /// Its containers of all kinds (init and ephemeral ones, too), as its specification names them.
    pub containers: Vec<Container>,
}

/// Where the ports of a pod are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At an address of its own.
    Own(IpAddr),
    /// It has the node's network: at 127.0.0.1.
    Host,
    /// It has no address yet, or no longer.
    Nowhere,
}

/// A container of a pod's specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// How its latest run is.
    pub state: State,
    /// The engine's id of the run before that, if the engine still has it: for `previous`.
    pub previous: Option<String>,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has not begun, or waits to begin again.
    Waiting {
        /// What its status has for a reason, as `ImagePullBackOff`.
        reason: String,
    },
    /// It runs.
    Running(Run),
    /// It has ended.
    Terminated {
        /// The engine's id of it; none if it never came to be.
        id: Option<String>,
    },
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The engine's id of it.
    pub id: String,
    /// Whether its specification has `tty`.
    pub tty: bool,
    /// Whether its specification has `stdin`.
    pub stdin: bool,
}

impl Pod {
    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|one| one.name == name)
    }

    /// The run of a container in which something can be done.
    #[must_use]
    pub fn running(&self, name: &str) -> Option<&Run> {
        match &self.container(name)?.state {
            State::Running(run) => Some(run),
            State::Waiting { .. } | State::Terminated { .. } => None,
        }
    }

    /// The engine's id of the container whose log is meant; else what is wrong, in upstream's words.
    pub(crate) fn log(&self, name: &str, previous: bool) -> Result<&str, String> {
        let of = format!("container {name:?} in pod {:?}", self.name);
        let Some(container) = self.container(name) else {
            return Err(format!("{of} is not available"));
        };
        let before = container.previous.as_deref();
        if previous {
            return before.ok_or_else(|| format!("previous terminated {of} not found"));
        }
        match &container.state {
            State::Running(run) => Ok(&run.id),
            State::Terminated { id } => {
                id.as_deref().or(before).ok_or_else(|| format!("{of} is terminated"))
            }
            State::Waiting { reason } => before.ok_or_else(|| {
                let mut words = format!("{of} is waiting to start");
                let known = match reason.as_str() {
                    "ErrImagePull" => ": image can't be pulled",
                    "ImagePullBackOff" => ": trying and failing to pull image",
                    "" => " - no logs yet",
                    other => {
                        let _ = write!(words, ": {other}");
                        ""
                    }
                };
                words.push_str(known);
                words
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_that_is_meant_is_found() {
        let waiting = |reason: &str| State::Waiting { reason: reason.to_owned() };
        let run = |id: &str| State::Running(Run { id: id.to_owned(), tty: false, stdin: false });
        let ended = |id: Option<&str>| State::Terminated { id: id.map(str::to_owned) };
        let start = "container \"c\" in pod \"p\" is waiting to start";
        for (state, before, previous, expected) in [
            (run("2"), Some("1"), false, Ok("2")),
            (run("2"), Some("1"), true, Ok("1")),
            (
                run("2"),
                None,
                true,
                Err("previous terminated container \"c\" in pod \"p\" not found".to_owned()),
            ),
            (ended(Some("2")), Some("1"), false, Ok("2")),
            (ended(None), Some("1"), false, Ok("1")),
            (
                ended(None),
                None,
                false,
                Err("container \"c\" in pod \"p\" is terminated".to_owned()),
            ),
            (waiting("CrashLoopBackOff"), Some("1"), false, Ok("1")),
            (waiting("ErrImagePull"), None, false, Err(format!("{start}: image can't be pulled"))),
            (
                waiting("ImagePullBackOff"),
                None,
                false,
                Err(format!("{start}: trying and failing to pull image")),
            ),
            (waiting("ContainerCreating"), None, false, Err(format!("{start}: ContainerCreating"))),
            (waiting(""), None, false, Err(format!("{start} - no logs yet"))),
        ] {
            let previous_id = before.map(str::to_owned);
            let container = Container { name: "c".to_owned(), state, previous: previous_id };
            let pod = Pod {
                namespace: "n".to_owned(),
                name: "p".to_owned(),
                uid: "u".to_owned(),
                sandbox: None,
                place: Place::Nowhere,
                containers: vec![container],
            };
            assert_eq!(
                pod.log("c", previous),
                expected.as_ref().map(|id| *id).map_err(Clone::clone)
            );
            assert_eq!(
                pod.log("d", false).unwrap_err(),
                "container \"d\" in pod \"p\" is not available"
            );
        }
    }
}
