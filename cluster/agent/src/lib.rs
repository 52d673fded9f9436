// SPDX-License-Identifier: Apache-2.0
//! The agent of a node: it registers the node and keeps it alive in the API, runs the pods that are bound to it on a Docker Engine, and
//! tells how they are. What upstream's kubelet (v1.33) does is the measure.
//!
//! Start with [`Agent::start`]. Inside, `pods` gives each pod a task of its own (`worker`), which owns the pod's pure machine
//! (`berth-cluster-pod`) and carries out what that asks for (`carry`); `publish` brings its status into the API; `node` tells of the node.
//! Pure are `view` (the engine's words into the machine's), `admit` (does a pod fit here), `diff` (what of a status is to be written),
//! `credentials` and `node/object`.
#![forbid(unsafe_code)]

mod admit;
mod agent;
mod carry;
mod credentials;
mod diff;
pub mod hands;
mod host;
mod node;
mod pods;
mod publish;
mod serving;
mod settings;
mod shared;
mod sources;
mod task;
mod view;
mod worker;

pub use agent::{Agent, Running};
pub use settings::{
    HostNetwork, Late, Leaving, Pause, Pressure, Rotation, Serve, Settings, StartError, Stop,
};
