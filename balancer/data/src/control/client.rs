// SPDX-License-Identifier: Apache-2.0
//! The control plane's side of the control socket. Blocking: a call takes microseconds to milliseconds.

use super::message::{Applied, FlowFilter, Greeting, Hello, Problem, Reply, Request, Unservable};
use super::wire::{Malformed, decode, encode};
use super::{MAGIC, VERSION, read_frame, write_frame};
use crate::stats::{Draining, FlowInfo, Stats};
use berth_balancer_core::Change;
use berth_balancer_core::model::{Config, Name};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no process, or it ended: connect again, or start one.
    #[error("the data plane cannot be reached")]
    Socket(#[source] io::Error),
    /// It is of another version: replace it.
    #[error(
        "the data plane speaks version {theirs} of the control protocol, and this is {VERSION}"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// What listens there is no data plane, or is broken.
    #[error("the data plane's answer makes no sense")]
    Malformed(#[source] Malformed),
    /// It answered something else than was asked.
    #[error("the data plane answered something else than was asked")]
    Unexpected,
    /// The change is wrong; the running table stays.
    #[error("{}", problems(.0))]
    Refused(Vec<Problem>),
    /// It could not do what was asked.
    #[error("the data plane: {0}")]
    Failed(String),
}

fn problems(all: &[Problem]) -> String {
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

impl ClientError {
    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Failed(_))
    }
}

/// How long the process may take to take or give a message.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to a data plane.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    greeting: Greeting,
}

impl Client {
    /// Connects to the process that listens at `path`, a new one or one that runs already (adoption): [`Self::greeting`] says who
    /// it is, [`Self::config`] what it has been told.
    ///
    /// # Errors
    /// Nobody listens there, or it is not a data plane of this version.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let mut stream = UnixStream::connect(path).map_err(ClientError::Socket)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(ClientError::Socket)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(ClientError::Socket)?;
        let hello = Hello { magic: MAGIC, version: VERSION };
        write_frame(&mut stream, &encode(&hello)).map_err(ClientError::Socket)?;
        let reply = read_frame(&mut stream).map_err(ClientError::Socket)?;
        let theirs: Hello = decode(&reply).map_err(ClientError::Malformed)?;
        if theirs.magic != MAGIC || theirs.version != VERSION {
            return Err(ClientError::Version { theirs: theirs.version });
        }
        let reply = read_frame(&mut stream).map_err(ClientError::Socket)?;
        let greeting = decode(&reply).map_err(ClientError::Malformed)?;
        Ok(Self { stream, greeting })
    }

    /// From now on the process may take so long to take or give a message.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))
    }

    /// Who answers.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Whether the process has ended, or has closed the connection: seen at once, also of one that nobody has waited for yet.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let seen =
            rustix::net::recv(&self.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(seen, Ok((1.., _)) | Err(Errno::AGAIN | Errno::INTR))
    }

    /// Takes changes, all or none. When this returns, every worker's next decision uses them. Addresses that cannot be served are
    /// left out, and the reply names them.
    ///
    /// # Errors
    /// All problems of all changes; the running table stays.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<Applied, ClientError> {
        self.apply_with(changes, Unservable::LeaveOut)
    }

    /// As [`Self::apply`], and says what becomes of changes with addresses that cannot be served.
    ///
    /// # Errors
    /// All problems of all changes; the running table stays.
    pub fn apply_with(
        &mut self,
        changes: Vec<Change>,
        unservable: Unservable,
    ) -> Result<Applied, ClientError> {
        self.applied(&Request::Apply { changes, unservable })
    }

    /// Takes a whole configuration instead of all that was there. What is the same stays the same: connections, books, listeners.
    ///
    /// # Errors
    /// All problems of the configuration; the running table stays.
    pub fn replace(
        &mut self,
        config: Config,
        unservable: Unservable,
    ) -> Result<Applied, ClientError> {
        self.applied(&Request::Replace { config: Box::new(config), unservable })
    }

    /// What active checks found of an endpoint's port.
    ///
    /// # Errors
    /// No service, port or endpoint has these names.
    pub fn health(
        &mut self,
        (service, port): (Name, Name),
        endpoint: Name,
        healthy: bool,
    ) -> Result<Applied, ClientError> {
        self.apply(vec![Change::Health { service, endpoint, port, healthy }])
    }

    /// What the process has been told, with the revision of its table.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn config(&mut self) -> Result<(u64, Config), ClientError> {
        match self.ask(&Request::Config)? {
            Reply::Config { revision, config } => Ok((revision, *config)),
            other => Err(unexpected(other)),
        }
    }

    /// All counters.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn stats(&mut self) -> Result<Stats, ClientError> {
        match self.ask(&Request::Stats)? {
            Reply::Stats(stats) => Ok(*stats),
            other => Err(unexpected(other)),
        }
    }

    /// Connections and UDP flows, as many as the filter and the process' own bound allow.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn flows(&mut self, filter: FlowFilter) -> Result<Vec<FlowInfo>, ClientError> {
        match self.ask(&Request::Flows(filter))? {
            Reply::Flows(flows) => Ok(flows),
            other => Err(unexpected(other)),
        }
    }

    /// Endpoints that left the table and still have connections.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn drains(&mut self) -> Result<Vec<Draining>, ClientError> {
        match self.ask(&Request::Drains)? {
            Reply::Drains(drains) => Ok(drains),
            other => Err(unexpected(other)),
        }
    }

    /// Takes an endpoint out: no new connection goes to it, and those it has live until they end or its service's drain time is
    /// over. [`Self::drains`] tells of them.
    ///
    /// # Errors
    /// No service has this name.
    pub fn drain(&mut self, service: Name, endpoint: Name) -> Result<Applied, ClientError> {
        self.apply(vec![Change::RemoveEndpoint { service, endpoint }])
    }

    /// Ends the process and all its connections.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn stop(&mut self) -> Result<(), ClientError> {
        match self.ask(&Request::Stop)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn applied(&mut self, request: &Request) -> Result<Applied, ClientError> {
        match self.ask(request)? {
            Reply::Applied(applied) => Ok(applied),
            other => Err(unexpected(other)),
        }
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        write_frame(&mut self.stream, &encode(request)).map_err(ClientError::Socket)?;
        let reply = read_frame(&mut self.stream).map_err(ClientError::Socket)?;
        decode(&reply).map_err(ClientError::Malformed)
    }

    /// The socket itself, for descriptors.
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

/// What a reply that is not the expected one says.
pub(crate) fn unexpected(reply: Reply) -> ClientError {
    match reply {
        Reply::Refused(problems) => ClientError::Refused(problems),
        Reply::Failed(text) => ClientError::Failed(text),
        _ => ClientError::Unexpected,
    }
}
