// SPDX-License-Identifier: Apache-2.0
//! What calls may take, each with its reason. An engine that hangs must not hang its agent: a call that is cut can be made again.

use std::time::Duration;

/// Questions: milliseconds usually; an engine that starts hundreds of containers at once has been seen to need seconds.
pub(crate) const ASK: Duration = Duration::from_secs(20);
/// Making a container copies its image's files with some storage drivers.
pub(crate) const CREATE: Duration = Duration::from_mins(2);
/// Starting: runc, the network, and hooks.
pub(crate) const START: Duration = Duration::from_mins(2);
/// What stopping may take beyond its grace: the kill, and the engine's own wait for it.
pub(crate) const STOP: Duration = Duration::from_secs(30);
/// Removing frees a container's files, of any number.
pub(crate) const REMOVE: Duration = Duration::from_mins(2);
/// Loading an image: this crate's own are small, those of others are not.
pub(crate) const LOAD: Duration = Duration::from_mins(10);
/// Disk usage is counted file by file.
pub(crate) const USAGE: Duration = Duration::from_mins(2);
/// A pull that says nothing for that long hangs (the engine tells of each layer several times a second).
pub(crate) const PULL_SILENCE: Duration = Duration::from_mins(2);
/// The first word of a pull comes after the registry has answered.
pub(crate) const PULL_BEGIN: Duration = Duration::from_mins(2);
/// How long to wait for a container's processes to be gone after all were killed.
pub(crate) const END: Duration = Duration::from_secs(10);
/// A stream of events that is silent for that long is tried with a ping.
pub(crate) const EVENTS_SILENCE: Duration = Duration::from_secs(30);

/// Between two looks at something that is about to change.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// Between two attempts to reach an engine that is away.
pub(crate) const AWAY: Duration = Duration::from_millis(200);

/// Questions for details at a time while listing: more make no engine faster.
pub(crate) const INSPECTS: usize = 8;
/// Containers that are known to be ours, so that they need not be asked for again: 20 for each of 200 pods. 100 bytes each.
pub(crate) const OWNED_MAX: usize = 4_096;
/// Events that wait for the agent: a burst of all of 200 pods' containers. Beyond it the agent is told to list.
pub(crate) const EVENTS_MAX: usize = 4_096;
/// Bytes of an answer that is read as a whole: an engine's disk usage lists all that it has.
pub(crate) const ANSWER_MAX: usize = 64 << 20;
/// Bytes of one line of events or of a pull's progress: labels of an image are in it.
pub(crate) const LINE_MAX: usize = 1 << 20;
