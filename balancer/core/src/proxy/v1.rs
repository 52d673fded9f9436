// SPDX-License-Identifier: Apache-2.0
//! Version 1: a line of text.

use super::{Header, Parsed, Proxied, ProxyError, begins, same_family};
use crate::model::Protocol;
use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// The longest line, its end included (section 2.1).
pub const V1_BYTES_MAX: usize = 107;

const START: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    begins(bytes, START)?;
    let looked = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = looked.windows(2).position(|two| two == b"\r\n") else {
        if bytes.len() >= V1_BYTES_MAX {
            return Err(ProxyError::TooLong);
        }
        return Ok(Parsed::NeedMore { bytes: bytes.len() + 1 });
    };
    let line = looked.get(START.len()..end).ok_or(ProxyError::Line)?;
    let header = Header { proxied: read(line)? };
    Ok(Parsed::Header { header, length: end + 2 })
}

/// Reads what stands between `PROXY ` and the end of the line.
fn read(line: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    // Behind UNKNOWN anything may stand, and none of it counts.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let text = core::str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(ProxyError::Line);
    let (family, source, destination) = (word()?, word()?, word()?);
    let (from, to) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(ProxyError::Line);
    }
    let (source, destination) = match family {
        "TCP4" => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(destination)?),
        "TCP6" => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(destination)?),
        _ => return Err(ProxyError::Line),
    };
    Ok(Some(Proxied {
        protocol: Protocol::Tcp,
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    }))
}

fn address<A: FromStr + Into<IpAddr>>(word: &str) -> Result<IpAddr, ProxyError> {
    word.parse::<A>().map(Into::into).map_err(|_| ProxyError::Line)
}

/// A port without sign and leading zeros.
fn port(word: &str) -> Result<u16, ProxyError> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (word.len() > 1 && word.starts_with('0')) {
        return Err(ProxyError::Line);
    }
    word.parse().map_err(|_| ProxyError::Line)
}

/// Writes the line for a TCP connection; `None` for one of which nothing is known. The bytes written.
pub fn write(
    connection: Option<(SocketAddr, SocketAddr)>,
    buffer: &mut [u8; V1_BYTES_MAX],
) -> usize {
    let mut line = Line { buffer, length: 0 };
    // The longest line fits: two addresses of 39 bytes, two ports of 5 and 16 more are 104.
    let written = match connection {
        None => line.write_str("PROXY UNKNOWN\r\n"),
        Some((source, destination)) => {
            let (source, destination) = same_family(source, destination);
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.port(), destination.port());
            let (source, destination) = (source.ip(), destination.ip());
            write!(line, "PROXY {family} {source} {destination} {from} {to}\r\n")
        }
    };
    debug_assert!(written.is_ok(), "the buffer has the longest line's length");
    line.length
}

struct Line<'a> {
    buffer: &'a mut [u8; V1_BYTES_MAX],
    length: usize,
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.buffer.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
