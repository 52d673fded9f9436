// SPDX-License-Identifier: Apache-2.0
//! What keeps the host's own rules from coming between clients and the namespace.
//!
//! | rule | where | because |
//! |---|---|---|
//! | to and from our pair is accepted | `DOCKER-USER`, or `FORWARD` where it drops | Docker forwards nothing from outside, nor between its networks |
//! | what is forwarded through our pair is not tracked | own table, prerouting -300 | a quarter of a short connection's cost; and what is not tracked nobody masquerades (Docker does what leaves its networks): limits, affinity and source ranges need the client |
//! | connections that need not go through the pair do not | own table, see `table` | the shortcut: a hop less each way |
//!
//! Clients on the host itself are tracked: many a host lets in what conntrack knows and nothing else.
//!
//! None of them does anything once the pair and the listeners are gone: they name them, or addresses that nobody has then.

use super::Instance;
use super::ledger::{Ports, Rules};
use berth_balancer_host::address::Version;
use berth_balancer_host::exception::{self, Exception, Objections};
use berth_balancer_host::route::Local;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often rules are looked at: by their generation, which counts up with every change. Legacy tables have none, and are read
/// every fourth time.
const WATCH: Duration = Duration::from_millis(500);

/// Keeps the rules in place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    rules: Arc<Mutex<Rules>>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Makes the rules anew, and watches them from now on. Where it goes on for another process the addresses that are in them stay:
    /// connections that are not tracked must not be from their next packet on.
    pub(crate) fn start(instance: &Instance, begins: Begins) -> io::Result<Self> {
        let mut rules = Rules::open(instance)?;
        rules.has_shortcut = begins.goes_on || begins.shortcut;
        rules.ports = begins.ports;
        if begins.goes_on {
            rules.read();
        }
        rules.look(ask(rules.has_shortcut));
        rules.put_back(true);
        let exceptions = exceptions(instance);
        exception::ensure(&exceptions);
        let rules = Arc::new(Mutex::new(rules));
        let stops = Arc::new(AtomicBool::new(false));
        let (kept, told) = (rules.clone(), stops.clone());
        let thread = thread::Builder::new().name("rules".to_owned());
        let thread = thread.spawn(move || keep(&kept, &exceptions, &told))?;
        Ok(Self { rules, stops, thread: Some(thread) })
    }

    /// What is forwarded to these addresses is not tracked from now on.
    pub(crate) fn add(&self, all: &[Local]) {
        lock(&self.rules).add(&addresses(all), &[]);
    }

    /// These addresses are nobody's any more.
    pub(crate) fn remove(&self, all: &[Local]) {
        lock(&self.rules).remove(&addresses(all), &[]);
    }

    /// The shortcut takes connections at these places from now on.
    pub(crate) fn serve(&self, all: &[SocketAddr]) {
        lock(&self.rules).add(&[], all);
    }

    /// The namespace has these places to itself.
    pub(crate) fn shun(&self, all: &[SocketAddr]) {
        lock(&self.rules).remove(&[], all);
    }

    /// There are listeners for the shortcut.
    pub(crate) fn open(&self, ports: Ports) {
        let mut rules = lock(&self.rules);
        rules.ports = ports;
        rules.settle();
    }

    /// Why the shortcut takes no connections of a version; `None` if it does.
    pub(crate) fn refuses(&self, version: Version) -> Option<String> {
        lock(&self.rules).refuses(version)
    }

    /// All others are nobody's any more.
    pub(crate) fn retain(&self, is_taken: impl Fn(IpAddr) -> bool) {
        let mut rules = lock(&self.rules);
        let gone: Vec<IpAddr> =
            rules.addresses.iter().copied().filter(|address| !is_taken(*address)).collect();
        rules.remove(&gone, &[]);
    }

    /// The shortcut takes connections at these places and at no other.
    pub(crate) fn serve_only(&self, all: &BTreeSet<SocketAddr>) {
        let mut rules = lock(&self.rules);
        let gone: Vec<SocketAddr> = rules.served.difference(all).copied().collect();
        let new: Vec<SocketAddr> = all.difference(&rules.served).copied().collect();
        rules.remove(&[], &gone);
        rules.add(&[], &new);
    }
}

/// How a keeper begins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Begins {
    /// Another process had the rules before.
    pub(crate) goes_on: bool,
    /// There may be a shortcut.
    pub(crate) shortcut: bool,
    /// Where its listeners are, if it has some already.
    pub(crate) ports: Ports,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // One that panicked has told so on standard error.
            let _ = thread.join();
        }
    }
}

fn exceptions(instance: &Instance) -> [Exception; 2] {
    [("in", "-o"), ("out", "-i")].map(|(way, flag)| {
        Exception::new(&format!("{}-{way}", instance.table), &[flag, &instance.link])
    })
}

fn lock(rules: &Mutex<Rules>) -> MutexGuard<'_, Rules> {
    rules.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(rules: &Mutex<Rules>, exceptions: &[Exception], stops: &AtomicBool) {
    let mut round = 0_u32;
    while !stops.load(Ordering::Acquire) {
        thread::park_timeout(WATCH);
        round = round.wrapping_add(1);
        let mut locked = lock(rules);
        let now = locked.nft.generation().ok();
        if now != locked.generation || (round.is_multiple_of(4) && exception::has_legacy()) {
            locked.put_back(false);
            let asks = locked.has_shortcut;
            drop(locked);
            // By commands: the addresses need not wait for them.
            exception::ensure(exceptions);
            let mut locked = lock(rules);
            locked.generation = locked.nft.generation().ok();
            drop(locked);
            let told = ask(asks);
            let mut locked = lock(rules);
            locked.look(told);
            locked.settle();
        } else {
            locked.look_at_weather();
        }
    }
}

/// What iptables has to say, if it is of interest.
fn ask(of_interest: bool) -> Option<[Objections; 2]> {
    of_interest.then(|| Version::BOTH.map(Objections::read))
}

/// Removes the rules of an instance.
pub(super) fn remove(instance: &Instance) -> io::Result<()> {
    let mut rules = Rules::open(instance)?;
    // The table is made first and removed last: it says that there may be others.
    let mut found = false;
    for version in Version::BOTH {
        found |= matches!(rules.nft.find(version), Ok(Some(_)));
    }
    if !found {
        return Ok(());
    }
    exceptions(instance).iter().for_each(Exception::remove);
    for version in Version::BOTH {
        if matches!(rules.nft.find(version), Ok(Some(_))) {
            let mut batch = rules.nft.batch();
            batch.delete_table(version);
            rules.nft.commit(batch)?;
        }
    }
    Ok(())
}

fn addresses(all: &[Local]) -> Vec<IpAddr> {
    all.iter().map(|local| local.address).collect()
}
