// SPDX-License-Identifier: Apache-2.0
//! Where an engine is.

use std::fmt;
use std::path::PathBuf;

/// The socket that an engine has unless told otherwise.
const USUAL: &str = "/var/run/docker.sock";

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket of Unix.
    Socket(PathBuf),
    /// Host and port, without TLS: what is sent is for everybody on the way to read, and whoever reaches it is root.
    Tcp(String),
}

/// A text that names no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("DOCKER_HOST {0:?} is not understood; it is unix:///PATH or tcp://HOST:PORT")]
pub struct AddressError(String);

impl Address {
    /// Reads `DOCKER_HOST` or what is like it: `unix:///PATH`, `/PATH`, `tcp://HOST:PORT`. Nothing for the usual socket.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Socket(path.into()));
        }
        let host = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"));
        let host = host.map(|host| host.trim_end_matches('/')).filter(|host| is_host(host));
        host.map(|host| Self::Tcp(host.to_owned())).ok_or_else(|| AddressError(text.to_owned()))
    }
}

fn is_host(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !host.is_empty() && !text.contains(['/', '@', '?', '#', ' ']) && port.parse::<u16>().is_ok()
}

impl Default for Address {
    fn default() -> Self {
        Self::Socket(USUAL.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for (text, wanted) in [
            ("", Some("unix:///var/run/docker.sock")),
            ("unix:///a/b", Some("unix:///a/b")),
            ("/a/b", Some("unix:///a/b")),
            ("tcp://127.0.0.1:2375", Some("tcp://127.0.0.1:2375")),
            ("tcp://[::1]:2375/", Some("tcp://[::1]:2375")),
            ("tcp://host", None),
            ("tcp://host:x", None),
            ("tcp://a/b:1", None),
            ("unix://a", None),
            ("ssh://host", None),
            ("a", None),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.ok().map(|a| a.to_string()).as_deref(), wanted, "{text}");
        }
    }
}
