// SPDX-License-Identifier: Apache-2.0
//! Bounds, each with its reason.

use std::time::Duration;

/// What a client without EDNS takes over UDP (RFC 1035).
pub(crate) const UDP_BYTES_MIN: usize = 512;
/// What passes every path without fragments (DNS flag day 2020).
pub(crate) const UDP_BYTES: usize = 1_232;
/// The most that an option can allow, and a buffer for datagrams holds.
pub(crate) const UDP_BYTES_MAX: usize = 4_096;
/// The longest query, over TCP too: a name has 255 bytes, and options of EDNS are short.
pub(crate) const QUERY_BYTES_MAX: usize = 4_096;
/// The longest message that the length prefix of TCP can say.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_535;
/// The shortest record: a pointer to its name, the fixed part, and an IPv4 address. It bounds how many are made for an answer of some length.
pub(crate) const RECORD_BYTES_MIN: usize = 16;
/// Records behind a query's question: OPT, perhaps a signature, and some that nobody has thought of yet.
pub(crate) const EXTRAS_MAX: u16 = 8;

/// Aliases that are followed for one question; resolvers give up after about as many.
pub(crate) const CHAIN_MAX: usize = 8;
/// Targets of SRV records whose addresses are added; more would not fit into a datagram anyway, and who needs them asks.
pub(crate) const TARGETS_ADDED_MAX: usize = 64;

/// Seconds that a record of the cluster is kept by others; CoreDNS's default.
pub(crate) const TTL: u32 = 5;
/// More would tell of services that are long gone.
pub(crate) const TTL_MAX: u32 = 3_600;

/// Questions that are being asked elsewhere at a time; each costs a socket and some KiB. kubeadm's `max_concurrent`.
pub(crate) const ASKED_MAX: usize = 1_000;
/// Of these from one address, so that one pod that asks without end leaves room for others.
pub(crate) const ASKED_BY_ONE_MAX: u32 = 250;
/// Upstreams that are asked at all; CoreDNS's bound.
pub(crate) const UPSTREAMS_MAX: usize = 15;
/// How long one upstream is waited for, and all together. Resolvers ask again, or elsewhere, after five seconds.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);
pub(crate) const PATIENCE: Duration = Duration::from_millis(4_500);
/// How long an upstream that did not answer is asked last.
pub(crate) const SHUNNED: Duration = Duration::from_secs(10);
/// Packets that are no answer to the question, after which an attempt is given up: somebody guesses.
pub(crate) const LIES_MAX: usize = 64;

/// Answers of upstreams that are kept, and their bytes on the wire in all; in memory they take about five times that.
pub(crate) const CACHED_MAX: usize = 4_096;
pub(crate) const CACHED_BYTES_MAX: usize = 2 << 20;
/// Seconds that one is kept at most; kubeadm's `cache 30`.
pub(crate) const CACHED_SECONDS_MAX: u32 = 30;

/// Connections at a time, and from one address: pods use TCP where an answer was truncated, and close it then.
pub(crate) const CONNECTIONS_MAX: usize = 256;
pub(crate) const CONNECTIONS_OF_ONE_MAX: u32 = 32;
/// The most that options can say of connections and of questions that are being asked: each has a file descriptor.
pub(crate) const DESCRIPTORS_MAX: usize = 65_536;
/// Questions of one connection that are being answered; others wait in the socket.
pub(crate) const PIPELINE_MAX: usize = 32;
/// How long a connection may be without a whole question (RFC 7766 speaks of seconds), and how long an answer may take to be taken.
pub(crate) const IDLE: Duration = Duration::from_secs(10);
/// Sockets for UDP on one address; more than cores are of no use.
pub(crate) const WORKERS_MAX: usize = 64;
