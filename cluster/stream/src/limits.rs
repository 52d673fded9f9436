// SPDX-License-Identifier: Apache-2.0
//! How much a connection may hold and how long it may take.

use std::time::Duration;

/// Bytes of a stream that wait for their reader. With one more read of the connection on top, a stream holds at most twice that.
pub(crate) const INBOUND_MAX: usize = 64 << 10;
/// Bytes of all streams of a connection that wait for their readers: a client with hundreds of streams gets no megabyte for each.
pub(crate) const INBOUND_TOTAL_MAX: usize = 4 << 20;
/// Bytes of a stream that wait to be sent.
pub(crate) const OUTBOUND_MAX: usize = 64 << 10;
/// Bytes of one read, and of one frame that is sent: what kubectl and Docker use, too.
pub(crate) const PIECE: usize = 32 << 10;
/// Framed bytes that wait for the socket. While so many wait nothing is read, so that a client which only sends pings cannot fill it.
pub(crate) const OUT_MAX: usize = 64 << 10;
/// Streams of a connection at a time: 256 forwarded connections. A browser opens six for each host name.
pub(crate) const STREAMS_MAX: usize = 512;
/// Bytes of a SPDY frame that is no data. Upstream's clients send heads of some 100 bytes.
pub(crate) const CONTROL_MAX: usize = 16 << 10;
/// Bytes of a head once it is inflated: deflate makes up to 1,000 bytes of one.
pub(crate) const HEAD_MAX: usize = 16 << 10;
/// Fields of a head; upstream's clients send three.
pub(crate) const FIELDS_MAX: usize = 64;
/// Bytes of sizes of a terminal that do not make a whole one yet.
pub(crate) const RESIZE_MAX: usize = 4 << 10;
/// Ports that one WebSocket forwards: two channels each, numbered in a byte, of which 255 means something else.
pub(crate) const PORTS_MAX: usize = 127;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A connection ends on which nothing comes or goes for so long. Upstream's default is four hours.
    pub idle: Duration,
    /// How long a SPDY client may take to open the streams that belong together. Upstream's is 30 seconds.
    pub creation: Duration,
    /// How long the end waits for the client to take what was sent: closing at once would throw it away.
    pub linger: Duration,
    /// How often a silent client is asked for a sign of life. A dead one answers by a reset, also while nothing is read from it.
    pub ping: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            idle: Duration::from_hours(4),
            creation: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            ping: Duration::from_secs(10),
        }
    }
}
