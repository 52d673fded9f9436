// SPDX-License-Identifier: Apache-2.0
//! What is said over the control socket.

use super::estate::Estate;
use super::wire::{choice, record};
use crate::stats::{Draining, FlowInfo, Stats};
use berth_balancer_core::Change;
use berth_balancer_core::model::{Config, Name, Protocol};
use std::net::{IpAddr, SocketAddr};

/// First message of each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// [`super::MAGIC`].
    pub(crate) magic: u64,
    /// [`super::VERSION`].
    pub(crate) version: u32,
}

/// What the process says of itself when it is greeted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Its process id.
    pub pid: u32,
    /// Version of its binary.
    pub version: String,
    /// Revision of the table that all workers use.
    pub revision: u64,
    /// Workers.
    pub workers: u32,
    /// Why no service can be on the fast path; empty if it can.
    pub fast_missing: String,
    /// Addresses of the host's interfaces.
    pub addresses: Vec<IpAddr>,
}

/// What becomes of a change some of whose addresses cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unservable {
    /// It is taken, and the reply says what is left out; that is tried again every second.
    #[default]
    LeaveOut,
    /// It is refused, if it adds any.
    Refuse,
}

/// An address that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// The service.
    pub service: Name,
    /// Its port.
    pub port: Name,
    /// Protocol.
    pub protocol: Protocol,
    /// The address.
    pub address: SocketAddr,
    /// Why, for people: the address is not local, the port is in use, a privilege lacks.
    pub reason: String,
}

/// A change that is in effect: every worker uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Revision of the table; counts up with each change that is taken.
    pub revision: u64,
    /// Nanoseconds from the receipt of the message until the last worker had adopted the table.
    pub took_ns: u64,
    /// All addresses that are not served, whichever change asked for them.
    pub unserved: Vec<Unserved>,
}

/// What is wrong with a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which of the changes, from 0; 0 where everything is replaced.
    pub change: u32,
    /// The field inside it, as the core's problems have it: `service.ports[0].port`, `services[2].ports[0].port`.
    pub path: String,
    /// What is wrong with it, for people.
    pub text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// Which flows are asked for; `None` does not ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowFilter {
    /// Of this service.
    pub service: Option<Name>,
    /// To this endpoint of it.
    pub endpoint: Option<Name>,
    /// No more than so many; 0 is as many as the process gives at once.
    pub most: u32,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Apply {
        changes: Vec<Change>,
        unservable: Unservable,
    },
    Replace {
        config: Box<Config>,
        unservable: Unservable,
    },
    Config,
    Stats,
    Flows(FlowFilter),
    Drains,
    /// The successor asks for the descriptors.
    HandOver,
    /// The successor is ready: stop taking new flows. It was told what is wanted as of this revision.
    Retire {
        revision: u64,
    },
    /// The successor asks for the network namespace.
    Namespace,
    /// End now.
    Stop,
    /// The successor asks for the connections of sources.
    Sources,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Applied(Applied),
    Refused(Vec<Problem>),
    Config {
        revision: u64,
        config: Box<Config>,
    },
    Stats(Box<Stats>),
    Flows(Vec<FlowInfo>),
    Drains(Vec<Draining>),
    /// Descriptors follow, in this order.
    Sockets(Vec<Handed>),
    /// Whether there is a network namespace; then its descriptor follows.
    Namespace(bool),
    Done,
    /// It cannot be done; for people.
    Failed(String),
    /// What is left to the successor. Descriptors follow, in this order.
    Retired {
        estate: Box<Estate>,
        sockets: Vec<Handed>,
    },
    Estate(Box<Estate>),
}

/// A socket that is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) worker: u32,
    pub(crate) protocol: Protocol,
    pub(crate) place: SocketAddr,
    /// Of a UDP flow's socket.
    pub(crate) flow: Option<HandedFlow>,
}

/// A UDP flow that is handed over with its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandedFlow {
    pub(crate) source: SocketAddr,
    pub(crate) service: Name,
    pub(crate) endpoint: Name,
    pub(crate) address: SocketAddr,
    pub(crate) replied: bool,
}

record!(Hello { magic, version });
record!(Greeting { pid, version, revision, workers, fast_missing, addresses });
record!(Unserved { service, port, protocol, address, reason });
record!(Applied { revision, took_ns, unserved });
record!(Problem { change, path, text });
record!(FlowFilter { service, endpoint, most });
record!(Handed { worker, protocol, place, flow });
record!(HandedFlow { source, service, endpoint, address, replied });
choice!(Unservable { 0 => LeaveOut, 1 => Refuse });
choice!(Request {
    0 => Apply { changes, unservable },
    1 => Replace { config, unservable },
    2 => Config,
    3 => Stats,
    4 => Flows(filter),
    5 => Drains,
    6 => HandOver,
    7 => Retire { revision },
    8 => Stop,
    9 => Sources,
    10 => Namespace,
});
choice!(Reply {
    0 => Applied(applied),
    1 => Refused(problems),
    2 => Config { revision, config },
    3 => Stats(stats),
    4 => Flows(flows),
    5 => Drains(drains),
    6 => Sockets(sockets),
    7 => Done,
    8 => Failed(text),
    9 => Retired { estate, sockets },
    10 => Estate(estate),
    11 => Namespace(is_there),
});
