// SPDX-License-Identifier: Apache-2.0
//! The data plane as the control plane sees it. [`process`] is the real one, a process of its own.

pub mod process;

use crate::choose::Available;
use crate::problem::Problems;
use berth_balancer_core::Change;
use berth_balancer_core::model::{Config, Name, Protocol};
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

/// A change that is in effect: every worker uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Revision of the table.
    pub revision: u64,
    /// All addresses that are not served, whichever change asked for them.
    pub unserved: Vec<Unserved>,
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
    /// Why, for people.
    pub reason: String,
}

/// Why a change is not in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaneError {
    /// It is wrong; the running table stays.
    Refused(Problems),
    /// The data plane cannot be reached: why, for people.
    Gone(String),
}

/// What a data plane has been told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Services and endpoints.
    pub config: Config,
    /// Revision of its table.
    pub revision: u64,
    /// What active checks found unhealthy.
    pub unhealthy: Vec<Unhealthy>,
}

/// An endpoint's port that active checks found unhealthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    /// The service.
    pub service: Name,
    /// The endpoint.
    pub endpoint: Name,
    /// The service's port.
    pub port: Name,
    /// The endpoint's address.
    pub address: IpAddr,
}

/// Who the data plane is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Workers.
    pub workers: u32,
    /// It ran already when this control plane began.
    pub adopted: bool,
    /// How often it had to be started anew.
    pub restarts: u64,
}

/// What the control plane asks of a data plane. Calls block, and return when all workers have done what was asked.
pub trait DataPlane: Debug + Send {
    /// Takes changes one after the other, all or none.
    ///
    /// # Errors
    /// All problems; or that nobody is there.
    fn apply(&mut self, changes: Vec<Change>) -> Result<Applied, PlaneError>;

    /// Takes everything anew; what is the same stays the same.
    ///
    /// # Errors
    /// All problems; or that nobody is there.
    fn replace(&mut self, config: Config) -> Result<Applied, PlaneError>;

    /// What it has been told.
    ///
    /// # Errors
    /// Nobody is there.
    fn known(&mut self) -> Result<Known, PlaneError>;

    /// What it and its host can do, as it said when it was last reached.
    fn available(&self) -> Available {
        Available::default()
    }

    /// Who it is.
    fn identity(&self) -> Identity;

    /// Makes sure that it is there, starting it if need be. True: it has begun from nothing, and has to be told everything.
    ///
    /// # Errors
    /// It is not there, and cannot be started.
    fn ensure(&mut self) -> Result<bool, PlaneError>;

    /// Ends it, and all its connections.
    fn stop(&mut self);
}
