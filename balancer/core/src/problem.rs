// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a configuration or a change: each problem with the field's path.

use crate::model::{Cidr, Name, Protocol};
use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, from the top of the configuration: `services[2].ports[0].port`.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.fault)
    }
}

impl core::error::Error for Problem {}

/// What is wrong with a field. The configuration's author is at fault in all cases, and the same again does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Empty where something must stand.
    Empty,
    /// A list or a text is longer than its bound.
    TooLong {
        /// The bound.
        most: usize,
    },
    /// A number outside its range.
    OutOfRange {
        /// What it is.
        value: u64,
        /// The smallest that is allowed.
        least: u64,
        /// The largest that is allowed.
        most: u64,
    },
    /// The name stands there twice.
    DuplicateName(Name),
    /// Another service has this address, port and protocol.
    Overlap {
        /// Address and port.
        address: SocketAddr,
        /// Protocol.
        protocol: Protocol,
        /// The service that has it.
        with: Name,
    },
    /// Another service has this port on the node's addresses.
    NodePortOverlap {
        /// Port.
        port: u16,
        /// Protocol.
        protocol: Protocol,
        /// The service that has it.
        with: Name,
    },
    /// An address that stands for no host: unspecified, multicast or broadcast.
    NoHostAddress,
    /// The service has no address and no node port, so nobody can reach it.
    Unreachable,
    /// A range whose prefix is longer than its address.
    Range(Cidr),
    /// No service has this name.
    UnknownService(Name),
    /// The service has no port of this name.
    UnknownPort(Name),
    /// The service has no endpoint of this name.
    UnknownEndpoint(Name),
    /// Two endpoints of one port have this address and port.
    DuplicateEndpoint(SocketAddr),
    /// The endpoint is the service itself.
    Loop(SocketAddr),
    /// The smaller of two figures is the larger one.
    Above {
        /// The field that must not be smaller.
        field: &'static str,
    },
    /// Two settings exclude each other.
    Excludes {
        /// The other setting.
        other: &'static str,
        /// Why.
        because: &'static str,
    },
    /// The text does not begin as it must.
    MustBeginWith(char),
    /// There are more ports or endpoints in all than a table has room for.
    TableFull {
        /// How many it has room for.
        most: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { most } => write!(f, "longer than {most}"),
            Self::OutOfRange { value, least, most } => {
                write!(f, "{value} is not between {least} and {most}")
            }
            Self::DuplicateName(name) => write!(f, "\"{name}\" stands there twice"),
            Self::Overlap { address, protocol, with } => {
                write!(f, "{protocol} {address} belongs to \"{with}\" already")
            }
            Self::NodePortOverlap { port, protocol, with } => {
                write!(f, "{protocol} port {port} of the node belongs to \"{with}\" already")
            }
            Self::NoHostAddress => f.write_str("stands for no host"),
            Self::Unreachable => f.write_str("the service has neither an address nor a node port"),
            Self::Range(range) => write!(f, "{range}: the prefix is longer than the address"),
            Self::UnknownService(name) => write!(f, "no service is called \"{name}\""),
            Self::UnknownPort(name) => write!(f, "the service has no port \"{name}\""),
            Self::UnknownEndpoint(name) => write!(f, "the service has no endpoint \"{name}\""),
            Self::DuplicateEndpoint(address) => {
                write!(f, "another endpoint of this port has {address} already")
            }
            Self::Loop(address) => write!(f, "{address} is the service itself"),
            Self::Above { field } => write!(f, "must not be above {field}"),
            Self::Excludes { other, because } => write!(f, "not together with {other}: {because}"),
            Self::MustBeginWith(character) => write!(f, "must begin with '{character}'"),
            Self::TableFull { most } => write!(f, "a table has room for {most} in all"),
        }
    }
}
