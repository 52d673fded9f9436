// SPDX-License-Identifier: Apache-2.0
//! The shortcut's listeners: one address on loopback for each version of IP, a socket for each worker. The rules of the host give them
//! connections to services' addresses ([`crate::space`] has the rules); an accepted socket says which address that was.
//!
//! They are listeners like others, with a place that no service has: workers watch them, and a successor gets them.

use super::{Places, Whose};
use crate::options;
use crate::process::listeners::Sockets;
use crate::space::{Ports, Space};
use crate::sys;
use crate::worker::Place;
use berth_balancer_core::model::Protocol;
use berth_balancer_host::address::Version;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where they are, and why there are none.
#[derive(Debug)]
pub(super) struct Shortcut {
    pub(super) mode: options::Shortcut,
    at: BTreeMap<Version, SocketAddr>,
    failed: BTreeMap<Version, String>,
    /// Connections of another process may be here that need the host's rules.
    inherits: bool,
}

impl Shortcut {
    pub(super) fn new(mode: options::Shortcut) -> Self {
        Self { mode, at: BTreeMap::new(), failed: BTreeMap::new(), inherits: false }
    }

    /// Goes on with the listeners of the process before.
    pub(super) fn inherit(&mut self, at: impl Iterator<Item = SocketAddr>) {
        self.inherits = true;
        if self.mode == options::Shortcut::Auto {
            self.at.extend(at.map(|at| (Version::of(at.ip()), at)));
        }
    }

    /// Whether one of its listeners is at a place.
    pub(super) fn has(&self, (protocol, at): &Place) -> bool {
        *protocol == Protocol::Tcp && self.at.get(&Version::of(at.ip())) == Some(at)
    }

    /// Why there is no listener of a version, though there may be one.
    pub(super) fn failed(&self, version: Version) -> Option<&str> {
        self.failed.get(&version).map(String::as_str)
    }

    pub(super) fn ports(&self) -> Ports {
        Version::BOTH.map(|version| self.at.get(&version).map(SocketAddr::port))
    }

    /// Opens those that are not there and were not tried yet.
    pub(super) fn open(&mut self, space: &mut Space, workers: usize) -> Vec<(Place, Sockets)> {
        let mut opened = Vec::new();
        for version in Version::BOTH {
            let tried = self.at.contains_key(&version) || self.failed.contains_key(&version);
            if tried || self.mode == options::Shortcut::Off {
                continue;
            }
            let diverted = space.divert(version).map_err(|error| format!("no rule: {error}"));
            let listening = diverted.and_then(|()| {
                listen(version, workers).map_err(|error| format!("no listener: {error}"))
            });
            match listening {
                Ok((at, sockets)) => {
                    self.at.insert(version, at);
                    opened.push(((Protocol::Tcp, at), sockets));
                }
                Err(why) => drop(self.failed.insert(version, why)),
            }
        }
        opened
    }

    /// Puts back the rules of routing that others removed.
    pub(super) fn repair(&self, space: &mut Space) {
        for version in Version::BOTH {
            if self.inherits || self.at.contains_key(&version) {
                // What fails is tried again at the next change.
                let _ = space.divert(version);
            }
        }
    }
}

impl Places {
    /// Opens the shortcut's listeners, once there is what it goes round.
    pub(in crate::process) fn open_shortcut(&mut self, workers: usize) -> Vec<(Place, Sockets)> {
        let (Some(space), Some(keeper)) = (&mut self.space, &self.keeper) else {
            return Vec::new();
        };
        let opened = self.shortcut.open(space, workers);
        if !opened.is_empty() {
            keeper.open(self.shortcut.ports());
        }
        opened
    }

    /// Whether one of the shortcut's listeners is at a place.
    pub(in crate::process) fn has_shortcut(&self, place: &Place) -> bool {
        self.shortcut.has(place)
    }

    /// Listeners at these places are in use: the shortcut takes connections to those that are taken, too.
    pub(in crate::process) fn serve(&self, opened: impl Iterator<Item = Place>) {
        let served: Vec<SocketAddr> = opened.filter_map(|place| self.short(&place)).collect();
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !served.is_empty()) {
            keeper.serve(&served);
        }
    }

    /// The same of all that are in use.
    pub(in crate::process) fn serve_only<'a>(&self, all: impl Iterator<Item = &'a Place>) {
        if let Some(keeper) = &self.keeper {
            keeper.serve_only(&all.filter_map(|place| self.short(place)).collect());
        }
    }

    /// Listeners at these places are about to be closed.
    pub(in crate::process) fn shun(&self, closing: &[Place]) {
        let gone: Vec<SocketAddr> = closing.iter().filter_map(|place| self.short(place)).collect();
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !gone.is_empty()) {
            keeper.shun(&gone);
        }
    }

    /// Where the shortcut takes connections to a place, if it may.
    fn short(&self, (protocol, at): &Place) -> Option<SocketAddr> {
        let is_ours = matches!(self.known.get(&at.ip()), Some(Whose::Ours { .. }));
        (is_ours && *protocol == Protocol::Tcp).then_some(*at)
    }

    /// Why the shortcut takes no connections, for each version; `None` if it does.
    pub(super) fn refusals(&self) -> [Option<String>; 2] {
        let because = |why: &str| Some(why.to_owned());
        let refuses = |version| match (self.shortcut.mode, &self.keeper) {
            (options::Shortcut::Off, _) => because("it is switched off"),
            (_, None) if self.space.is_some() => because("the host has no nf_tables"),
            (_, None) => because("there is no network namespace that it could go round"),
            (_, Some(keeper)) => {
                let failed = self.shortcut.failed(version).map(str::to_owned);
                failed.or_else(|| keeper.refuses(version))
            }
        };
        Version::BOTH.map(refuses)
    }

    pub(super) fn shortcut_because(&self) -> String {
        match self.refusals() {
            [None, None] => "clients that come over no bridge are accepted on the host".to_owned(),
            [Some(four), Some(six)] if four == six => four,
            [four, six] => {
                let said = [("IPv4", four), ("IPv6", six)];
                let said = said.into_iter().filter_map(|(what, why)| Some((what, why?)));
                let said: Vec<String> = said.map(|(what, why)| format!("{what}: {why}")).collect();
                said.join("; ")
            }
        }
    }
}

/// A group at one port that the kernel chooses, a socket for each worker.
fn listen(version: Version, workers: usize) -> Result<(SocketAddr, Sockets), Errno> {
    let first = sys::listen_for_others(&SocketAddr::new(crate::space::loopback(version), 0))?;
    let at = SocketAddr::try_from(rustix::net::getsockname(&first)?)?;
    let mut all = vec![(0, Arc::new(first))];
    for worker in 1..workers {
        all.push((worker, Arc::new(sys::listen_for_others(&at)?)));
    }
    Ok((at, all))
}
