// SPDX-License-Identifier: Apache-2.0
//! The PROXY protocol, versions 1 and 2, read and written (HAProxy's `doc/proxy-protocol.txt`).
//!
//! A service that expects a header takes nothing without one: whoever may leave it out may also make it up. Whether a peer may
//! send one at all is the caller's business (source ranges).
//!
//! ```text
//! version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n                         at most 107 bytes
//! version 2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | 2 command | family transport | length, 2 bytes | addresses | TLVs
//! ```

mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use v1::{V1_BYTES_MAX, write as write_v1};
pub use v2::{V2_BYTES, write as write_v2};

use crate::model::{Protocol, ProxyProtocol};
use core::fmt;
use core::net::SocketAddr;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header. There is nothing to decide before so many bytes are there in all.
    NeedMore {
        /// More than were given, and no more than the header can have.
        bytes: usize,
    },
    /// A header.
    Header {
        /// What it says.
        header: Header,
        /// Its bytes; what comes behind is the client's.
        length: usize,
    },
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The connection that was proxied. `None`: the proxy's own (LOCAL, a health check), one over something else than TCP or UDP, or
    /// one of which it knows nothing (UNKNOWN); the peer's own address counts then.
    pub proxied: Option<Proxied>,
}

/// A connection that was proxied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    /// Its protocol.
    pub protocol: Protocol,
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// Why bytes are no header. The peer is at fault, and the connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// Another version, or no header at all.
    NoHeader,
    /// A line without end within 107 bytes, or a binary header above its bound.
    TooLong,
    /// A line that is not as it must be.
    Line,
    /// A version of the binary form that is not 2.
    Version(u8),
    /// A command that is neither LOCAL nor PROXY.
    Command(u8),
    /// An address family or transport that is not assigned.
    Family(u8),
    /// Shorter than its addresses.
    TooShort,
    /// A TLV that goes past the header's end.
    Tlv,
    /// The service expects no header: nothing was looked at.
    Off,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("no PROXY header of the expected version"),
            Self::TooLong => f.write_str("the PROXY header is too long"),
            Self::Line => f.write_str("the PROXY line is malformed"),
            Self::Version(version) => write!(f, "version {version} of the PROXY protocol"),
            Self::Command(command) => write!(f, "command {command} of the PROXY protocol"),
            Self::Family(family) => write!(f, "address family {family:#04x} of the PROXY protocol"),
            Self::TooShort => f.write_str("the PROXY header is shorter than its addresses"),
            Self::Tlv => f.write_str("a TLV goes past the end of the PROXY header"),
            Self::Off => f.write_str("no PROXY header is expected"),
        }
    }
}

impl core::error::Error for ProxyError {}

/// Reads a header of the expected version from the first bytes of a connection. Never looks at more than the bound of a header.
///
/// # Errors
/// Why there is none, as soon as that is certain.
pub fn parse(version: ProxyProtocol, bytes: &[u8]) -> Result<Parsed, ProxyError> {
    match version {
        ProxyProtocol::Off => Err(ProxyError::Off),
        ProxyProtocol::V1 => v1::parse(bytes),
        ProxyProtocol::V2 => v2::parse(bytes),
    }
}

/// The two addresses in one family: mapped where they are of two.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |socket: SocketAddr| SocketAddr::new(socket.ip().to_canonical(), socket.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |socket: SocketAddr| match socket {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => socket,
    };
    (mapped(source), mapped(destination))
}

/// Checks the beginning of a header as far as it is there.
fn begins(bytes: &[u8], with: &[u8]) -> Result<(), ProxyError> {
    let common = bytes.len().min(with.len());
    if bytes[..common] == with[..common] { Ok(()) } else { Err(ProxyError::NoHeader) }
}
