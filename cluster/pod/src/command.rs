// SPDX-License-Identifier: Apache-2.0
//! What the machine wants done.

use crate::time::Millis;
use k8s_openapi::api::core::v1::PodStatus;

/// The number of a command; its result names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// Something to be done. Each can be carried out again: what is there is not made twice, what is gone is not an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its number.
    pub id: CommandId,
    /// What.
    pub action: Action,
}

/// A container of the engine: its name in the pod, which attempt it is, and the engine's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The container's name in the pod.
    pub container: String,
    /// The how manieth, from 0: the restart count.
    pub attempt: u32,
    /// The engine's id. Empty where only pod, name and attempt are known, by which the engine's name is known too.
    pub id: String,
}

/// What a container is made of that its pod does not say; the agent notes it down in labels, and gives it back in a [`View`](crate::View).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// The container's name in the pod.
    pub container: String,
    /// The how manieth it is.
    pub attempt: u32,
    /// The id of the sandbox that it joins.
    pub sandbox: String,
    /// Which attempt that sandbox is.
    pub sandbox_attempt: u32,
    /// The image as it was written.
    pub image: String,
    /// The engine's id of that image.
    pub image_id: String,
    /// The wait that was in force before this attempt; 0 for none.
    pub backoff: Millis,
}

/// What runs in a container beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Right after its start.
    PostStart,
    /// Before it is told to end.
    PreStop,
}

/// What is asked of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Whether it is up; nothing else is asked before.
    Startup,
    /// Whether it lives; if not, it is started again.
    Liveness,
    /// Whether it can be sent work.
    Readiness,
}

impl ProbeKind {
    /// All of them, in the order of [`ContainerSpec::probes`](crate::ContainerSpec).
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As events name it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// An event for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The part of the pod that it is about, such as `spec.containers{web}`; empty for the pod.
    pub field_path: String,
    /// Whether it is of type Warning.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// What is to be done, and which outcome tells that it is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the volumes, or what changed of them. `Done`.
    PrepareVolumes,
    /// Make and start the pod's sandbox. `SandboxReady`.
    CreateSandbox {
        /// The how manieth, from 0.
        attempt: u32,
    },
    /// Look for an image. `ImageFound` or `ImageAbsent`.
    FindImage {
        /// For which container.
        container: String,
        /// The image as it was written.
        image: String,
    },
    /// Pull an image. `ImagePulled`.
    PullImage {
        /// For which container.
        container: String,
        /// The image as it was written.
        image: String,
    },
    /// Make a container, and do not start it. `Created`.
    CreateContainer(Making),
    /// Start one. `Started`.
    StartContainer(Instance),
    /// Run a hook. `Done`, or `Failed`.
    RunHook {
        /// In which container.
        instance: Instance,
        /// Which.
        hook: Hook,
        /// How long it may take; `None` for a postStart hook, which may take as long as it likes.
        limit: Option<Millis>,
    },
    /// Ask once. `Probed`, after `timeout` at the latest.
    Probe {
        /// Which container.
        instance: Instance,
        /// What.
        probe: ProbeKind,
        /// How long an answer may take.
        timeout: Millis,
    },
    /// See to it that no service sends the pod new connections. `RotationLeft`; the machine waits no longer than `limit`.
    LeaveRotation {
        /// How long it waits.
        limit: Millis,
    },
    /// Tell a container to end. `Done`.
    Signal {
        /// Which.
        instance: Instance,
        /// By which signal; `None` for the image's, or else SIGTERM.
        signal: Option<String>,
    },
    /// End a container with SIGKILL. `Done`; that it died is told by `ContainerDied`.
    Kill(Instance),
    /// Remove a container, with SIGKILL if it should run. `Done`.
    RemoveContainer(Instance),
    /// End the sandbox and remove it. `Done`.
    RemoveSandbox {
        /// The how manieth.
        attempt: u32,
        /// The engine's id; may be empty.
        id: String,
    },
    /// Take the volumes down. `Done`.
    TearDownVolumes,
    /// Say what the engine has of this pod, because an answer is in doubt. `Looked`.
    Look,
    /// Put this status into the API. No result: a later one replaces it.
    Publish(Box<PodStatus>),
    /// Tell users. No result.
    Tell(Notice),
    /// The result of an earlier command is not wanted any more; end it if that is possible. No result.
    Abandon(CommandId),
    /// Nothing is left of the pod: delete it from the API with grace 0 and its uid, and drop the machine. No result.
    Conclude,
}

impl Action {
    /// Whether the machine waits for a result.
    pub fn has_result(&self) -> bool {
        !matches!(self, Self::Publish(_) | Self::Tell(_) | Self::Abandon(_) | Self::Conclude)
    }
}
