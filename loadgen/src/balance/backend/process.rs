// SPDX-License-Identifier: Apache-2.0
//! The backends as a process of their own.
//!
//! ```text
//! parent → child   report            (the end of the input ends it)
//! child → parent   SERVICE ENDPOINT ADDRESS    for each endpoint
//!                  ready
//!                  a line of counts, for each report
//! ```

use super::{Backends, Counts, Endpoint, Protocol};
use crate::balance::place::{Place, Role};
use crate::error::Error;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The hidden command.
pub const COMMAND: &str = "serve-backends";

/// The line behind the endpoints.
const READY: &str = "ready";

/// A service that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its number.
    pub service: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// How many endpoints it has.
    pub endpoints: u32,
}

impl Wanted {
    fn argument(self) -> String {
        let protocol = match self.protocol {
            Protocol::Echo => "echo",
            Protocol::Bulk => "bulk",
            Protocol::Http => "http",
            Protocol::Datagram => "datagram",
        };
        format!("{}:{protocol}:{}", self.service, self.endpoints)
    }

    /// Reads an argument of the hidden command.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: not SERVICE:PROTOCOL:ENDPOINTS");
        let parts: Vec<&str> = text.split(':').collect();
        let [service, protocol, endpoints] = parts[..] else { return Err(wrong()) };
        let protocol = match protocol {
            "echo" => Protocol::Echo,
            "bulk" => Protocol::Bulk,
            "http" => Protocol::Http,
            "datagram" => Protocol::Datagram,
            _ => return Err(wrong()),
        };
        let service = service.parse().map_err(|_| wrong())?;
        let endpoints = endpoints.parse().map_err(|_| wrong())?;
        Ok(Self { service, protocol, endpoints })
    }
}

/// What the hidden command does.
pub fn serve(address: IpAddr, wanted: &[Wanted]) -> Result<(), Error> {
    raise_descriptor_limit();
    serve_on(address, wanted).map_err(Error::Backends)
}

fn serve_on(address: IpAddr, wanted: &[Wanted]) -> io::Result<()> {
    let mut backends = Backends::new()?;
    let mut out = io::stdout().lock();
    for want in wanted {
        for index in 0..want.endpoints {
            let Endpoint { service, index, address } =
                backends.open(address, want.protocol, (want.service, index))?;
            writeln!(out, "{service} {index} {address}")?;
        }
    }
    writeln!(out, "{READY}")?;
    out.flush()?;
    let input = io::stdin();
    backends.serve(&input, |counts| {
        let mut bytes = [0; 256];
        let read = input.lock().read(&mut bytes)?;
        if read == 0 {
            return Ok(false);
        }
        for _ in bytes[..read].iter().filter(|byte| **byte == b'\n') {
            writeln!(out, "{}", counts.line())?;
        }
        out.flush()?;
        Ok(true)
    })
}

/// Lifts the limit on descriptors as far as this process may: each held connection takes one.
pub fn raise_descriptor_limit() {
    const ENOUGH: u64 = 200_000;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= ENOUGH) {
        return;
    }
    let both = Rlimit { current: Some(ENOUGH), maximum: Some(ENOUGH) };
    if maximum.is_some_and(|most| most < ENOUGH) && setrlimit(Resource::Nofile, both).is_ok() {
        return;
    }
    let up_to = maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(up_to), maximum });
}

/// How many descriptors a process that is started from here may have.
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    endpoints: Vec<Endpoint>,
}

impl Process {
    /// Starts it where the backends belong.
    pub fn start(place: &Place, wanted: &[Wanted]) -> Result<Self, Error> {
        let mut command = Command::new(crate::balance::own_program()?);
        command.arg(COMMAND).arg(place.backend_address().to_string());
        command.args(wanted.iter().map(|want| want.argument()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = place.spawn(Role::Backend, &mut command)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Backends(io::Error::other("no pipes")));
        };
        let output = BufReader::new(output);
        let mut process = Self { child, input, output, endpoints: Vec::new() };
        loop {
            let line = process.line()?;
            if line == READY {
                return Ok(process);
            }
            let endpoint = endpoint(&line).ok_or_else(|| process.broken(&line))?;
            process.endpoints.push(endpoint);
        }
    }

    /// Where the endpoints are.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has seen so far.
    pub fn counts(&mut self) -> Result<Counts, Error> {
        self.input.write_all(b"report\n").map_err(Error::Backends)?;
        let line = self.line()?;
        Counts::read(&line).ok_or_else(|| self.broken(&line))
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).map_err(Error::Backends)?;
        if read == 0 {
            return Err(self.broken("nothing"));
        }
        Ok(line.trim_end().to_owned())
    }

    fn broken(&self, said: &str) -> Error {
        Error::Backends(io::Error::other(format!("process {} said {said:?}", self.child.id())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn endpoint(line: &str) -> Option<Endpoint> {
    let mut parts = line.split(' ');
    let service = parts.next()?.parse().ok()?;
    let index = parts.next()?.parse().ok()?;
    let address = parts.next()?.parse().ok()?;
    Some(Endpoint { service, index, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_an_argument() {
        for protocol in [Protocol::Echo, Protocol::Bulk, Protocol::Http, Protocol::Datagram] {
            let wanted = Wanted { service: 3, protocol, endpoints: 4 };
            assert_eq!(Wanted::read(&wanted.argument()), Ok(wanted));
        }
        for wrong in ["", "1:echo", "1:echo:x", "1:tcp:4", "1:echo:4:5"] {
            assert!(Wanted::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_and_endpoints_are_lines() {
        let counts = Counts { requests: 5, misdirected: 1, ..Counts::default() };
        assert_eq!(Counts::read(&counts.line()), Some(counts));
        let want = Endpoint { service: 1, index: 2, address: "127.0.0.1:99".parse().unwrap() };
        assert_eq!(endpoint("1 2 127.0.0.1:99"), Some(want));
        assert_eq!(endpoint("1 2"), None);
    }
}
