// SPDX-License-Identifier: Apache-2.0
//! Pods' sandboxes and containers on a Docker Engine (API 1.41 and newer): what an agent asks for, done so that it can be asked again.
//!
//! - **Every call may be made again.** An answer can be lost after the deed; so names are known beforehand, what is there already is
//!   adopted if it is what was wanted, what runs is started, and what is gone is removed.
//! - **Only this agent's things are touched.** [`labels`](Identity) say which those are; each call looks first.
//! - **Every call ends.** Each has a limit of time of its own, and errors say whether to try again ([`CallError::may_retry`]).
//!
//! Start with [`Engine::wait`], [`Engine::ensure_network`], [`Engine::create_sandbox`], [`Engine::create_container`], [`Engine::start`],
//! [`Engine::list`] and [`Engine::events`]. What is said to the engine is made in `body.rs` (pure); programs that run on it (`pause`,
//! `echo`, `reach`) are compiled by `build.rs` out of folders of those names.
#![forbid(unsafe_code)]

mod address;
mod body;
mod companion;
mod container;
mod engine;
mod error;
mod events;
mod exec;
mod image;
mod labels;
mod limits;
mod lines;
mod logs;
mod moment;
mod namespace;
mod network;
mod probe;
mod session;
mod spec;
mod state;
mod stats;
mod streams;
mod wire;

pub use address::{Address, AddressError};
pub use companion::Companion;
pub use container::Made;
pub use engine::{Engine, EngineInfo};
pub use error::{CallError, CreateError, StartError};
pub use events::{Change, Event, Events};
pub use exec::{Exec, ExecSpec, ExecState, Streams};
pub use image::archive::ImageFiles;
pub use image::builtin::echo_image;
pub use image::pull::{Credentials, Progress, PullError};
pub use image::reference::{Reference, ReferenceError};
pub use image::{Image, ImageError, ListedImage, Removal};
pub use labels::{Agent, Identity, NameError, Part, PodRef};
pub use logs::{LogLine, LogOptions, Logs};
pub use moment::Moment;
pub use network::NetworkError;
pub use session::{Input, Output};
pub use spec::{
    ContainerSpec, Device, LogFiles, NetworkSpec, PodNetwork, Processes, SandboxSpec, Tmpfs, Ulimit,
};
pub use state::{Phase, Seen, State, View};
pub use stats::{DiskUsage, Usage};
pub use streams::Stream;
