// SPDX-License-Identifier: Apache-2.0
//! The fast path beside the workers: it takes the frontends whose services are on it, and tells what it leaves out.
//!
//! It starts with the first such service, so that a host without one keeps its rules and routes as they are. Listeners and fast
//! path do not know of each other: `is_taken` says of each place who has it.

use crate::control::{Greeting, Problem, Unserved};
use crate::options::Options;
use berth_balancer_core::Table;
use berth_balancer_core::model::{DataPath, Protocol};
use berth_balancer_core::table::{Frontend, Served};
use berth_balancer_fast::{Conflict, Conflicts, Fast, Missing};
use std::net::{IpAddr, SocketAddr};

/// The fast path of this process, running or not.
#[derive(Debug)]
pub(crate) struct Lane {
    options: berth_balancer_fast::Options,
    /// Why there is none.
    missing: Option<String>,
    running: Option<Fast>,
    /// What an earlier run left was looked for.
    is_clean: bool,
    /// Places that it should have and has not.
    left_out: Vec<Unserved>,
    /// The last table was not taken.
    is_stale: bool,
    /// The process before may still use what is on the host.
    waits: bool,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            options: berth_balancer_fast::Options::default(),
            missing: Some("the data plane was started without it".to_owned()),
            running: None,
            is_clean: true,
            left_out: Vec::new(),
            is_stale: false,
            waits: false,
        }
    }
}

impl Lane {
    /// Finds out whether this host has a fast path. To try that is a change of the host's rules, which is undone at once, and others
    /// who change them wait for it: the process before (`before`) knows already.
    pub(crate) fn new(options: &Options, before: Option<&Greeting>) -> Self {
        let missing = if !options.fast {
            Some("the data plane was started without it".to_owned())
        } else if !rustix::process::geteuid().is_root() {
            Some("the fast path needs root".to_owned())
        } else if before.is_some_and(|before| before.fast_missing.is_empty()) {
            None
        } else {
            let fatal = berth_balancer_fast::probe().missing.into_iter().find(Missing::is_fatal);
            fatal.map(|what| format!("this host has no fast path: {what}"))
        };
        let options = berth_balancer_fast::Options {
            instance: options.instance.clone(),
            takes: is_fast,
            conflicts: Conflicts::LeaveOut,
            ..berth_balancer_fast::Options::default()
        };
        let is_clean = missing.is_some();
        Self { options, missing, is_clean, ..Self::default() }
    }

    /// Why there is none.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// The running one.
    pub(crate) fn running(&self) -> Option<&Fast> {
        self.running.as_ref()
    }

    /// Whether the process before may still use what is on the host: until it has left, nothing is removed.
    pub(crate) fn set_waiting(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Whether packets to an address of a frontend are its, and not a listener's.
    pub(crate) fn is_taken(&self, frontend: &Frontend, address: SocketAddr) -> bool {
        // A packet from a loopback address does not leave the host.
        self.missing.is_none() && is_fast(frontend) && !address.ip().is_loopback()
    }

    /// Whether it has a frontend.
    pub(crate) fn has(&self, frontend: &Frontend) -> bool {
        self.running.is_some() && is_fast(frontend)
    }

    /// Places that somebody else has.
    pub(crate) fn left_out(&self) -> &[Unserved] {
        &self.left_out
    }

    /// Takes a table.
    ///
    /// # Errors
    /// Why not; the one before is in use.
    pub(crate) fn apply(&mut self, table: &Table) -> Result<(), Problem> {
        if self.missing.is_some() {
            return Ok(());
        }
        match &self.running {
            Some(fast) => fast.apply(table).map_err(|error| problem(&error))?,
            None if has_fast(table) => {
                let fast = Fast::start(&self.options, table).map_err(|error| problem(&error))?;
                (self.running, self.is_clean) = (Some(fast), true);
            }
            None if self.is_clean || self.waits => {}
            None => {
                // What cannot be removed now is tried again with the next table.
                self.is_clean = berth_balancer_fast::clean(&self.options).is_ok();
            }
        }
        self.list(table);
        Ok(())
    }

    /// Takes a table; what keeps it from that is told of all places that it should have, and tried again.
    pub(crate) fn take(&mut self, table: &Table) {
        match self.apply(table) {
            Ok(()) => self.is_stale = false,
            Err(problem) => {
                self.is_stale = true;
                self.left_out = unserved(table, |_| Some(problem.text.clone()));
            }
        }
    }

    /// Looks whether what could not be had can be had now.
    pub(crate) fn retry(&mut self, table: &Table) {
        if self.is_stale {
            return self.take(table);
        }
        if let Some(fast) = &self.running
            && !self.left_out.is_empty()
            && fast.retry().unwrap_or(false)
        {
            self.list(table);
        }
    }

    /// A successor has it.
    pub(crate) fn leave(self) {
        if let Some(fast) = self.running {
            fast.leave();
        }
    }

    /// Ends it: nothing of it stays on the host.
    pub(crate) fn stop(&mut self) {
        self.missing = Some("it has stopped".to_owned());
        let failed = match self.running.take() {
            Some(fast) => fast.stop().err().map(|error| chain(&error)),
            None if self.is_clean => None,
            None => berth_balancer_fast::clean(&self.options).err().map(|error| chain(&error)),
        };
        if let Some(why) = failed {
            eprintln!("berth: not all rules and routes of the fast path are gone: {why}");
        }
        self.is_clean = true;
    }

    fn list(&mut self, table: &Table) {
        let conflicts = self.running.as_ref().map(Fast::left_out).unwrap_or_default();
        let why = |address: IpAddr| {
            let same = |conflict: &&Conflict| conflict.range.address == address;
            conflicts.iter().find(same).map(ToString::to_string)
        };
        self.left_out = if conflicts.is_empty() { Vec::new() } else { unserved(table, why) };
    }
}

/// Which frontends are on it.
fn is_fast(frontend: &Frontend) -> bool {
    frontend.settings.path == DataPath::Fast
}

fn has_fast(table: &Table) -> bool {
    let mut has = false;
    table.each(|frontend| has |= is_fast(frontend));
    has
}

/// Places of frontends on the fast path that are not served, and why.
fn unserved(table: &Table, why: impl Fn(IpAddr) -> Option<String>) -> Vec<Unserved> {
    let mut all = Vec::new();
    table.each(|frontend| {
        for served in frontend.served.iter().filter(|_| is_fast(frontend)) {
            if let Served::At { address, .. } = *served
                && let Some(reason) = why(address.ip().to_canonical())
            {
                all.push(Unserved {
                    service: frontend.service.clone(),
                    port: frontend.port.clone(),
                    protocol: frontend.protocol,
                    address,
                    reason,
                });
            }
        }
    });
    all
}

/// Addresses that this host's interfaces have. None where the kernel does not tell them.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    berth_balancer_fast::own_addresses().unwrap_or_default()
}

/// What of places was not left out before.
pub(crate) fn new_ones(before: &[Unserved], now: &[Unserved]) -> Vec<Unserved> {
    let key = |one: &Unserved| (one.protocol, one.address);
    let known: std::collections::BTreeSet<(Protocol, SocketAddr)> =
        before.iter().map(key).collect();
    now.iter().filter(|one| !known.contains(&key(one))).cloned().collect()
}

fn problem(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem { change: 0, path: "fast path".to_owned(), text: chain(error) }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
