// SPDX-License-Identifier: Apache-2.0
//! The host of a node: looked at, and told what is missing.

use crate::plan::{Action, Observed, Route, Wanted, plan};
use crate::route::Routes;
use crate::rules::{self, VERSION};
use berth_balancer_host::exception::{self, Exception};
use berth_balancer_host::nft::Nft;
use std::fmt;
use std::io;

/// Bytes of an interface's name: the kernel's `IFNAMSIZ`, less the zero.
const LINK_MAX: usize = 15;

/// Why the host was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// This process may not. The node goes on without: pods reach one another on this node and what their engine lets them reach.
    #[error(
        "the host's rules and routes for pods need root (CAP_NET_ADMIN): pods of this node reach nothing outside, and nobody on other networks"
    )]
    NotPermitted,
    /// The bridge's name is none of an interface.
    #[error("{0:?} is no name of a bridge")]
    Bridge(String),
    /// The process that has the rights for it does not do it.
    #[error("the process that tells the host of pods' traffic does not")]
    Elsewhere {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused.
    #[error("cannot {what}")]
    Kernel {
        /// What was asked.
        what: &'static str,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// What is not as it should be, and not for the agent to change, or not now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The host forwards no packets.
    ForwardingOff,
    /// There is no route to another node's pods: mostly that node is not on one layer 2 with this one.
    NoRoute {
        /// Which.
        route: Route,
        /// What the kernel says.
        why: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForwardingOff => {
                f.write_str("the host forwards no packets: sysctl -w net.ipv4.ip_forward=1")
            }
            Self::NoRoute { route, why } => write!(
                f,
                "pods in {} are not reached: no route by their node {}, which has to be on one layer 2 with this one: {why}",
                route.range, route.via
            ),
        }
    }
}

/// What came of a look at the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// What was missing, and is done.
    pub done: Vec<Action>,
    /// Whether the host's firewall had to be told, too.
    pub excepted: bool,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

/// An agent's part of a host. Calls wait for the kernel, and for commands; they belong to the network namespace of the thread that
/// opened it.
#[derive(Debug)]
pub struct Host {
    table: String,
    exception: Exception,
    nft: Nft,
    routes: Routes,
    /// The rules as this process made them.
    made: Option<u64>,
    /// Of all rules of the host, when the firewall was last looked at.
    generation: Option<u32>,
}

impl Host {
    /// The part of the agent of that name.
    pub fn open(agent: &str) -> Result<Self, HostError> {
        let table = rules::name(agent);
        let failed = |error| kernel("ask for the host's rules", error);
        let mut nft = Nft::open(&table).map_err(failed)?;
        nft.find(VERSION).map_err(failed)?;
        let routes = Routes::open(agent);
        let routes = routes.map_err(|error| kernel("ask for the host's routes", error))?;
        let exception = rules::exception(&table);
        Ok(Self { table, exception, nft, routes, made: None, generation: None })
    }

    /// What its rules are called: `nft list table ip NAME` shows them.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Looks at the host and makes what is missing. To be called every few seconds: it costs little where nothing has changed, and a
    /// firewall that was loaded anew has forgotten all of it.
    pub fn check(&mut self, wanted: &Wanted) -> Result<Checked, HostError> {
        let name = &wanted.bridge;
        let odd = |b: u8| b == b'/' || b.is_ascii_whitespace() || b == 0;
        if name.is_empty() || name.len() > LINK_MAX || name.bytes().any(odd) {
            return Err(HostError::Bridge(name.chars().take(64).collect()));
        }
        let observed = self.observe(wanted)?;
        let mut checked = Checked::default();
        for action in plan(&observed, wanted) {
            if let Some(problem) = self.act(action, wanted)? {
                checked.problems.push(problem);
            } else {
                checked.done.push(action);
            }
        }
        let generation = self.nft.generation().ok();
        if generation.is_none() || generation != self.generation || exception::has_legacy() {
            checked.excepted = self.exception.ensure();
            self.generation = self.nft.generation().ok();
        }
        if !forwards() {
            checked.problems.push(Problem::ForwardingOff);
        }
        Ok(checked)
    }

    /// Removes all that this agent has told the host.
    pub fn remove(&mut self) -> Result<(), HostError> {
        for route in self.list()? {
            let gone = self.routes.remove(route);
            gone.map_err(|error| kernel("remove a route", error))?;
        }
        self.exception.remove();
        let found = self.nft.find(VERSION);
        if found.map_err(|error| kernel("ask for the host's rules", error))?.is_some() {
            let mut batch = self.nft.batch();
            batch.delete_table(VERSION);
            let gone = self.nft.commit(batch);
            gone.map_err(|error| kernel("remove the rules of pods", error))?;
        }
        (self.made, self.generation) = (None, None);
        Ok(())
    }

    fn observe(&mut self, wanted: &Wanted) -> Result<Observed, HostError> {
        let failed = |error| kernel("ask for the host's rules", error);
        let found = self.nft.find(VERSION).map_err(failed)?;
        let note = self.nft.note(VERSION).map_err(failed)?;
        let note = note.and_then(|text| u64::from_str_radix(&text, 16).ok());
        let as_made = found.is_some_and(|found| {
            found.rules == rules::count(wanted) && self.made.is_none_or(|made| made == found.digest)
        });
        let addresses = self.routes.addresses();
        let addresses = addresses.map_err(|error| kernel("ask for the host's addresses", error))?;
        self.made = self.made.or(found.map(|found| found.digest));
        Ok(Observed {
            rules: note.filter(|_| as_made),
            routes: self.list()?,
            connected: addresses.networks,
            addresses: addresses.own,
        })
    }

    fn list(&mut self) -> Result<std::collections::BTreeSet<Route>, HostError> {
        self.routes.list().map_err(|error| kernel("ask for the host's routes", error))
    }

    fn act(&mut self, action: Action, wanted: &Wanted) -> Result<Option<Problem>, HostError> {
        match action {
            Action::MakeRules => self.make(wanted).map(|()| None),
            Action::RemoveRoute(route) => {
                let gone = self.routes.remove(route);
                gone.map(|()| None).map_err(|error| kernel("remove a route", error))
            }
            Action::AddRoute(route) => match self.routes.add(route) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Err(HostError::NotPermitted)
                }
                Err(error) => Ok(Some(Problem::NoRoute { route, why: error.to_string() })),
                Ok(()) => Ok(None),
            },
        }
    }

    fn make(&mut self, wanted: &Wanted) -> Result<(), HostError> {
        let failed = |error| kernel("make the rules of pods", error);
        let there = self.nft.find(VERSION).map_err(failed)?.is_some();
        let mut batch = self.nft.batch();
        if there {
            batch.delete_table(VERSION);
        }
        rules::make(&mut batch, wanted);
        self.nft.commit(batch).map_err(failed)?;
        self.made = self.nft.find(VERSION).map_err(failed)?.map(|found| found.digest);
        Ok(())
    }
}

fn kernel(what: &'static str, source: io::Error) -> HostError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => HostError::NotPermitted,
        _ => HostError::Kernel { what, source },
    }
}

/// Whether the host forwards packets, as the calling thread's network namespace has it.
fn forwards() -> bool {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
    text.is_ok_and(|text| text.trim() != "0")
}
