// SPDX-License-Identifier: Apache-2.0
//! What a node's agent writes for a pod, and works out for its containers. Nothing here knows a container engine or a network.
//!
//! What upstream's kubelet (v1.33) does for the same pod is the specification. The order of calls:
//!
//! 1. [`needs`]: which objects a pod refers to. The caller fetches them into [`Sources`], and keeps them fresh.
//! 2. [`Folder::prepare`]: the pod's volumes, below `ROOT/pods/UID`.
//! 3. [`sandbox`]: the pod's host name, namespaces, DNS and kernel parameters; and [`Folder::write_etc`], once its addresses are known.
//! 4. [`container`]: environment, command, user, rights and limits of one container, as plain values.
//! 5. [`Folder::binds`]: what of the host that container sees where.
//! 6. [`Folder::refresh`] when a source has changed, [`Folder::tear_down`] when the containers are gone; [`Root::sweep`] for the folders
//!    of pods that nobody knows any more.
//!
//! 1, 3 and 4 are pure. The others do their work through descriptors of folders, so that a symbolic link which a container planted leads
//! nowhere, and can be called again after any of them was cut off at any step.
#![forbid(unsafe_code)]

mod env;
mod error;
mod etc;
mod facts;
mod field;
mod folder;
mod names;
mod needs;
mod payload;
mod pod;
mod resources;
mod security;
mod settings;
mod sources;
mod termination;

pub use error::{Cause, ConfigError, ReferenceError, SandboxError, VolumeError};
pub use etc::{Etc, Resolver};
pub use facts::{Facts, NodeAmounts};
pub use folder::{Bind, Folder, Prepared, Propagation, Root, Swept, Usage};
pub use names::NameError;
pub use needs::{Needs, TokenNeed, needs};
pub use resources::{Qos, Resources, pod_resources, qos};
pub use security::{AppArmor, Seccomp, Security};
pub use settings::{Given, SandboxSettings, Settings, container, sandbox};
pub use sources::{Claim, LinkPort, Lookup, ServiceLink, Sources, Token};
pub use termination::{MESSAGE_BYTES_MAX, message_share};
