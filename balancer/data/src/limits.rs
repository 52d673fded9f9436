// SPDX-License-Identifier: Apache-2.0
//! Bounds, each with its reason.

/// Payload of a frame on the control socket. A configuration of 10,000 services of 10 endpoints has 12 MB; one of the core's
/// largest tables (2^20 endpoints) about 100 MB.
pub const FRAME_BYTES_MAX: usize = 192 << 20;

/// A frame so large leaves much behind when it has been worked off, and what is free goes back to the system.
pub const FRAME_BYTES_LARGE: usize = 1 << 20;

/// Control connections at once: a control plane, a successor, and people who look.
pub const CONTROLS_MAX: usize = 16;

/// Time a control connection may take for the rest of a message that it began, in seconds.
pub const CONTROL_STALL_S: u64 = 10;

/// Workers.
pub const WORKERS_MAX: u32 = 256;

/// Connections that wait to be accepted, each listener: as many as the kernel allows by default (`net.core.somaxconn`).
pub const BACKLOG: i32 = 4_096;

/// Bytes of a worker's shared buffer: one read. Twice what makes a direction splice, and it still fits into the second-level cache
/// together with what else is hot.
pub const BUFFER_BYTES: usize = 64 << 10;

/// A read of so many bytes counts as bulk: two in a row, and the direction goes through a pipe.
pub const BULK_BYTES: usize = 32 << 10;

/// Bytes of a pipe: fewer cost system calls, more gained nothing.
pub const PIPE_BYTES: usize = 256 << 10;

/// Pipes of a worker; directions beyond go through memory. With all of them full they hold 256 MiB of the kernel's memory.
pub const PIPES_MAX: usize = 1_024;

/// Bytes that one direction forwards before others have their turn.
pub const TURN_BYTES: usize = 1 << 20;

/// Events taken at once.
pub const EVENTS_MAX: usize = 256;

/// Connections accepted from one listener before others have their turn.
pub const ACCEPTS_MAX: u8 = 16;

/// Endpoints tried for one connection.
pub const ATTEMPTS_MAX: u8 = 4;

/// Time in which a client must have sent its whole PROXY header, in milliseconds.
pub const HEADER_MS_MAX: u32 = 5_000;

/// Descriptors that a process asks for where it may raise its bound: the kernel's own default for one process (`fs.nr_open`).
pub const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Descriptors that neither listeners nor connections nor pipes are given: control connections, the successor's sockets, files.
pub const DESCRIPTORS_RESERVED: u64 = 64;

/// Places whose listeners are tried again before others may speak to the process.
pub const RETRIES_AT_ONCE: usize = 64;

/// Places from which on listeners are opened by several threads: below, starting them costs more.
pub const OPENED_ALONE_MAX: usize = 512;

/// Pause of accepting when descriptors ran out, in milliseconds.
pub const PAUSE_MS: u32 = 50;

/// Datagrams received or sent by one call.
pub const DATAGRAMS_MAX: usize = 64;

/// Bytes of a datagram.
pub const DATAGRAM_BYTES_MAX: usize = 65_536;

/// UDP flows of one worker, unless descriptors allow fewer: a socket each.
pub const FLOWS_MAX: u32 = 65_536;

/// Time between two messages of a worker that a port is unreachable, in nanoseconds: a thousand a second, as the kernel's own
/// `icmp_msgs_per_sec`.
pub const UNREACHABLE_NS: u64 = 1_000_000;

/// Clients whose affinity is kept, and clients that are counted for limits: of all workers together. About 100 bytes each.
pub const CLIENTS_MAX: u32 = 1 << 18;

/// Flows that one reply lists.
pub const FLOWS_LISTED_MAX: usize = 100_000;

/// Longest that a process whose successor serves keeps its connections, in seconds: a day, unless it is told otherwise.
pub const RETIRED_S_MAX: u64 = 86_400;
