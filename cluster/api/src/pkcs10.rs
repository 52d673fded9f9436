// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates (PKCS #10, RFC 2986): who is to be named, and by which names a server is called. Whether who asks has the key is
//! not looked at here: who signs does.

use crate::der::{BITS, BOOLEAN, INTEGER, OBJECT_ID, OCTETS, SEQUENCE, SET, element, expect};
use crate::schema::base64;
use core::net::IpAddr;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// 1.2.840.113549.1.9.14
const EXTENSIONS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// 2.5.29.17
const ALTERNATIVES: &[u8] = &[0x55, 0x1d, 0x11];
const ATTRIBUTES: u8 = 0xa0;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The subject's common name; of several the last.
    pub common_name: String,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// Names of a server.
    pub dns_names: Vec<String>,
    /// Addresses of a server.
    pub ip_addresses: Vec<IpAddr>,
    /// Addresses of mail.
    pub email_addresses: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
}

/// Why a request cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// There is no request in it.
    NoRequest,
    /// What is in it is no request.
    Malformed,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoRequest => "PEM block type must be CERTIFICATE REQUEST",
            Self::Malformed => "asn1: structure error: malformed certificate request",
        })
    }
}

/// A block of PEM: its type, whether it has headers, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// `CERTIFICATE`, say.
    pub kind: String,
    /// Whether there are lines before the bytes.
    pub headers: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The first block of PEM in a text, and what follows it. What is not well formed is passed over.
pub fn block(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        rest = after;
        let Some((kind, after)) = after.split_once("-----") else { continue };
        let end = format!("-----END {kind}-----");
        let Some((inner, after)) = after.split_once(&end) else { continue };
        let (mut lines, mut headers) = (String::new(), false);
        for line in inner.lines() {
            if line.contains(':') {
                headers = true;
            } else {
                lines.extend(line.chars().filter(|one| !one.is_whitespace()));
            }
        }
        if let Some(bytes) = base64::decode(&lines) {
            return Some((Block { kind: kind.to_owned(), headers, bytes }, after));
        }
    }
}

impl Request {
    /// Reads one out of PEM.
    pub fn read(pem: &[u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(pem).map_err(|_| Unreadable::NoRequest)?;
        let (block, _) = block(text).ok_or(Unreadable::NoRequest)?;
        if block.kind != "CERTIFICATE REQUEST" {
            return Err(Unreadable::NoRequest);
        }
        Self::of_der(&block.bytes).ok_or(Unreadable::Malformed)
    }

    fn of_der(der: &[u8]) -> Option<Self> {
        let (request, rest) = expect(der, SEQUENCE)?;
        let (info, signed) = expect(request, SEQUENCE)?;
        let (_, signature) = expect(signed, SEQUENCE)?;
        let (_, end) = expect(signature, BITS)?;
        let (version, info) = expect(info, INTEGER)?;
        if !rest.is_empty() || !end.is_empty() || version != [0] {
            return None;
        }
        let (subject, info) = expect(info, SEQUENCE)?;
        let (_, attributes) = expect(info, SEQUENCE)?;
        let mut found = Self::default();
        found.subject(subject)?;
        if !attributes.is_empty() {
            found.attributes(expect(attributes, ATTRIBUTES)?.0)?;
        }
        Some(found)
    }

    fn subject(&mut self, mut subject: &[u8]) -> Option<()> {
        while !subject.is_empty() {
            let (mut set, rest) = expect(subject, SET)?;
            subject = rest;
            while !set.is_empty() {
                let (pair, rest) = expect(set, SEQUENCE)?;
                set = rest;
                let (id, value) = expect(pair, OBJECT_ID)?;
                let (_, value, _) = element(value)?;
                if id == COMMON_NAME {
                    self.common_name = text(value)?;
                } else if id == ORGANIZATION {
                    self.organizations.push(text(value)?);
                }
            }
        }
        Some(())
    }

    fn attributes(&mut self, mut attributes: &[u8]) -> Option<()> {
        while !attributes.is_empty() {
            let (attribute, rest) = expect(attributes, SEQUENCE)?;
            attributes = rest;
            let (id, values) = expect(attribute, OBJECT_ID)?;
            if id != EXTENSIONS {
                continue;
            }
            let (values, _) = expect(values, SET)?;
            let (mut extensions, _) = expect(values, SEQUENCE)?;
            while !extensions.is_empty() {
                let (extension, rest) = expect(extensions, SEQUENCE)?;
                extensions = rest;
                let (id, mut value) = expect(extension, OBJECT_ID)?;
                if let Some((_, rest)) = expect(value, BOOLEAN) {
                    value = rest;
                }
                let (value, _) = expect(value, OCTETS)?;
                if id == ALTERNATIVES {
                    self.alternatives(expect(value, SEQUENCE)?.0)?;
                }
            }
        }
        Some(())
    }

    fn alternatives(&mut self, mut names: &[u8]) -> Option<()> {
        while !names.is_empty() {
            let (tag, name, rest) = element(names)?;
            names = rest;
            match tag {
                EMAIL => self.email_addresses.push(text(name)?),
                DNS => self.dns_names.push(text(name)?),
                URI => self.uris.push(text(name)?),
                IP => self.ip_addresses.push(address(name)?),
                // Other forms of names are in no certificate that is signed here.
                _ => {}
            }
        }
        Some(())
    }
}

/// Text without what could be mistaken for another name.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then(|| text.to_owned())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
