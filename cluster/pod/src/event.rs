// SPDX-License-Identifier: Apache-2.0
//! What happened.

use crate::command::CommandId;
use crate::spec::Spec;
use crate::time::Millis;

/// Something that the machine is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The pod as the API has it by now, perhaps with a deletion.
    Pod(Box<Spec>),
    /// The API has no such pod any more.
    Gone,
    /// A command came to this.
    Result {
        /// Which.
        id: CommandId,
        /// To what.
        outcome: Outcome,
    },
    /// A container ended.
    ContainerDied {
        /// Its name in the pod.
        container: String,
        /// The how manieth.
        attempt: u32,
        /// How.
        exit: Exit,
    },
    /// A sandbox ended.
    SandboxDied {
        /// The how manieth.
        attempt: u32,
    },
    /// The engine does not answer: nothing is asked of it until it is back.
    EngineGone,
    /// The engine answers again, and has this. What ended meanwhile ended with it, and nobody waits for that.
    EngineBack(View),
    /// The engine has this, after events may have been missed.
    Seen(View),
    /// The machine goes down: the pod has that long to end.
    Shutdown {
        /// How long.
        grace: Millis,
    },
    /// Time has passed.
    Tick,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The sandbox runs.
    SandboxReady {
        /// The engine's id.
        id: String,
        /// The pod's addresses, the first one first.
        addresses: Vec<String>,
    },
    /// The image is there.
    ImageFound {
        /// Its id, as the status has it.
        image_id: String,
    },
    /// The image is not there.
    ImageAbsent,
    /// The image was pulled.
    ImagePulled {
        /// Its id, as the status has it.
        image_id: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The container was made.
    Created {
        /// The engine's id.
        id: String,
    },
    /// The container was started.
    Started {
        /// When.
        at: Millis,
    },
    /// What was asked was answered.
    Probed(Answer),
    /// No service sends new connections.
    RotationLeft {
        /// Names of nodes that did not confirm it.
        late: Vec<String>,
    },
    /// What the engine has.
    Looked(View),
    /// It came to nothing.
    Failed(Failure),
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A good one.
    Good,
    /// A bad one, or none in time.
    Bad(String),
    /// It could not be asked; counts for nothing.
    Unknown(String),
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The engine, or whoever was asked, did not answer: it may have been done or not.
    Unreachable(String),
    /// It was refused, with this text.
    Refused(String),
    /// What the pod refers to is missing or wrong, with this text: the container cannot be made.
    Config(String),
    /// Nothing will ever come of it: the pod has failed.
    Fatal {
        /// One word for the pod's status.
        reason: String,
        /// A sentence.
        message: String,
    },
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Its exit code.
    pub code: i32,
    /// Whether the kernel ended it, or a child of it, for want of memory.
    pub oom: bool,
    /// When it began.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Millis,
    /// Its last words.
    pub message: String,
}

/// What the engine has of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// When it was asked: what was made after that may be missing.
    pub taken_at: Millis,
    /// Sandboxes.
    pub sandboxes: Vec<SandboxView>,
    /// Containers, dead ones too.
    pub containers: Vec<ContainerView>,
}

/// A sandbox of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxView {
    /// The how manieth.
    pub attempt: u32,
    /// The engine's id.
    pub id: String,
    /// Whether it runs.
    pub running: bool,
    /// The pod's addresses.
    pub addresses: Vec<String>,
}

/// A container of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// What it was made of, from its labels.
    pub making: crate::command::Making,
    /// The engine's id.
    pub id: String,
    /// In which state it is.
    pub state: State,
}

/// The state of a container of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was not started yet.
    Created,
    /// It runs.
    Running {
        /// Since when.
        started_at: Millis,
    },
    /// It has ended.
    Exited(Exit),
}
