// SPDX-License-Identifier: Apache-2.0
//! Version 2: binary.

use super::{Header, Parsed, Proxied, ProxyError, begins, same_family};
use crate::limits::PROXY_V2_BYTES_MAX;
use crate::model::Protocol;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const START: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const HEAD: usize = 16;

/// Bytes of the longest header that is written: the head and two IPv6 addresses with ports.
pub const V2_BYTES: usize = HEAD + 36;

const LOCAL: u8 = 0;
const PROXY: u8 = 1;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    begins(bytes, &START)?;
    // What is wrong already need not be waited for.
    if let Some(byte) = bytes.get(12) {
        if byte >> 4 != 2 {
            return Err(ProxyError::Version(byte >> 4));
        }
        if byte & 0xf > PROXY {
            return Err(ProxyError::Command(byte & 0xf));
        }
    }
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        return Ok(Parsed::NeedMore { bytes: HEAD });
    };
    let length = HEAD + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > PROXY_V2_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let local = head[12] & 0xf == LOCAL;
    let kind = Kind::read(head[13]);
    let addresses = match &kind {
        _ if local => 0,
        Ok(kind) => kind.bytes(),
        Err(error) => return Err(*error),
    };
    if length < HEAD + addresses {
        return Err(ProxyError::TooShort);
    }
    let Some(body) = bytes.get(HEAD..length) else { return Ok(Parsed::NeedMore { bytes: length }) };
    let proxied = match kind {
        Ok(kind) if !local => {
            if !matches!(kind, Kind::Unspecified) {
                tlvs(&body[addresses..])?;
            }
            kind.addresses(body)
        }
        _ => None,
    };
    Ok(Parsed::Header { header: Header { proxied }, length })
}

/// What the addresses are of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Unspecified,
    V4(Protocol),
    V6(Protocol),
    Unix,
}

impl Kind {
    fn read(byte: u8) -> Result<Self, ProxyError> {
        match byte {
            0x00 => Ok(Self::Unspecified),
            0x11 => Ok(Self::V4(Protocol::Tcp)),
            0x12 => Ok(Self::V4(Protocol::Udp)),
            0x21 => Ok(Self::V6(Protocol::Tcp)),
            0x22 => Ok(Self::V6(Protocol::Udp)),
            0x31 | 0x32 => Ok(Self::Unix),
            _ => Err(ProxyError::Family(byte)),
        }
    }

    /// Bytes of the two addresses with their ports.
    fn bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4(_) => 12,
            Self::V6(_) => 36,
            Self::Unix => 216,
        }
    }

    fn addresses(self, body: &[u8]) -> Option<Proxied> {
        let (protocol, source, destination, ports) = match self {
            Self::Unspecified | Self::Unix => return None,
            Self::V4(protocol) => {
                let address = |at| body[at..].first_chunk::<4>().map(|b| Ipv4Addr::from(*b).into());
                (protocol, address(0)?, address(4)?, 8)
            }
            Self::V6(protocol) => {
                let address =
                    |at| body[at..].first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into());
                (protocol, address(0)?, address(16)?, 32)
            }
        };
        let port = |at: usize| body[at..].first_chunk::<2>().map(|b| u16::from_be_bytes(*b));
        let socket = |address: IpAddr, at| Some(SocketAddr::new(address, port(at)?));
        Some(Proxied {
            protocol,
            source: socket(source, ports)?,
            destination: socket(destination, ports + 2)?,
        })
    }
}

/// Passes over TLVs: a type, a length of two bytes, and so many bytes.
fn tlvs(mut rest: &[u8]) -> Result<(), ProxyError> {
    while !rest.is_empty() {
        let [_, high, low] = *rest.first_chunk::<3>().ok_or(ProxyError::Tlv)?;
        let length = 3 + usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(length..).ok_or(ProxyError::Tlv)?;
    }
    Ok(())
}

/// Writes the header for a connection or a datagram; `None` for the balancer's own (LOCAL). The bytes written.
pub fn write(
    protocol: Protocol,
    connection: Option<(SocketAddr, SocketAddr)>,
    buffer: &mut [u8; V2_BYTES],
) -> usize {
    buffer[..12].copy_from_slice(&START);
    let Some((source, destination)) = connection else {
        buffer[12..16].copy_from_slice(&[0x20 | LOCAL, 0, 0, 0]);
        return HEAD;
    };
    let transport = match protocol {
        Protocol::Tcp => 1,
        Protocol::Udp => 2,
    };
    let (source, destination) = same_family(source, destination);
    let size = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            buffer[12..16].copy_from_slice(&[0x20 | PROXY, 0x10 | transport, 0, 12]);
            buffer[16..20].copy_from_slice(&from.octets());
            buffer[20..24].copy_from_slice(&to.octets());
            8
        }
        (from, to) => {
            buffer[12..16].copy_from_slice(&[0x20 | PROXY, 0x20 | transport, 0, 36]);
            buffer[16..32].copy_from_slice(&six(from));
            buffer[32..48].copy_from_slice(&six(to));
            32
        }
    };
    let ports = HEAD + size;
    buffer[ports..ports + 2].copy_from_slice(&source.port().to_be_bytes());
    buffer[ports + 2..ports + 4].copy_from_slice(&destination.port().to_be_bytes());
    ports + 4
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
