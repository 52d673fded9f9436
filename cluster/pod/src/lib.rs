// SPDX-License-Identifier: Apache-2.0
//! The life of a pod on a node, as a pure machine: events in, commands out. What upstream's kubelet does is what it does.
//!
//! [`Spec::read`] reads the pod, [`Machine::new`] takes over what the engine has of it, and [`Machine::handle`] takes an [`Event`] at a time and
//! gives [`Command`]s and the time at which it wants to be called again. There is no clock and no IO: an agent carries the commands out, in the
//! order of their numbers where they are about the same thing, and tells what came of them. Where to start reading: [`Action`], [`Event`], `machine`.
//!
//! - Each command can be carried out twice. A result that was lost is had by carrying out [`Machine::open`] again.
//! - A container is known by its name and attempt, so an answer that was lost leads to no second one.
//! - A machine that is made anew from the engine's view and the API's status goes on where the last one was.
#![forbid(unsafe_code)]

mod backoff;
mod command;
mod event;
mod image;
mod machine;
mod probe;
mod reasons;
mod spec;
mod status;
mod time;

pub use command::{Action, Command, CommandId, Hook, Instance, Making, Notice, ProbeKind};
pub use event::{Answer, ContainerView, Event, Exit, Failure, Outcome, SandboxView, State, View};
pub use image::PullPolicy;
pub use machine::{Machine, Node, Output};
pub use spec::{ContainerSpec, Kind, ProbeSpec, RestartPolicy, Spec};
pub use time::Millis;
