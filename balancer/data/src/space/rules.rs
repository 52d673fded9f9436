// SPDX-License-Identifier: Apache-2.0
//! What keeps the host's own rules from coming between clients and the namespace.
//!
//! | rule | where | because |
//! |---|---|---|
//! | to and from our pair is accepted | `DOCKER-USER`, or `FORWARD` where it drops | Docker forwards nothing from outside, nor between its networks |
//! | what is forwarded through our pair is not tracked | own table, prerouting -300 | a quarter of a short connection's cost; and what is not tracked nobody masquerades (Docker does what leaves its networks): limits, affinity and source ranges need the client |
//!
//! Clients on the host itself are tracked: many a host lets in what conntrack knows and nothing else.
//!
//! None of them does anything once the pair is gone: they name it, or addresses that nobody has then.

use super::Instance;
use berth_balancer_host::address::{Version, from_octets, octets};
use berth_balancer_host::exception::{self, Exception};
use berth_balancer_host::nft::expression::{Expression, write};
use berth_balancer_host::nft::{Batch, Element, Hook, Nft, Set};
use berth_balancer_host::route::Local;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often rules are looked at: by their generation, which counts up with every change. Legacy tables have none, and are read
/// every fourth time.
const WATCH: Duration = Duration::from_millis(500);

/// Services' addresses.
const ADDRESSES: &str = "addresses";
/// How many rules there are for a version of IP.
const RULES: usize = 2;

/// Keeps the rules in place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    rules: Arc<Mutex<Rules>>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Makes the rules anew, and watches them from now on. With `goes_on` the addresses that are in them stay: connections that
    /// are not tracked must not be from their next packet on.
    pub(crate) fn start(instance: &Instance, goes_on: bool) -> io::Result<Self> {
        let mut rules = Rules::open(instance)?;
        if goes_on {
            rules.read();
        }
        rules.put_back(true);
        let exceptions = exceptions(instance);
        exception::ensure(&exceptions);
        rules.generation = rules.nft.generation().ok();
        let rules = Arc::new(Mutex::new(rules));
        let stops = Arc::new(AtomicBool::new(false));
        let (kept, told) = (rules.clone(), stops.clone());
        let thread = thread::Builder::new().name("rules".to_owned());
        let thread = thread.spawn(move || keep(&kept, &exceptions, &told))?;
        Ok(Self { rules, stops, thread: Some(thread) })
    }

    /// What is forwarded to these addresses is not tracked from now on.
    pub(crate) fn add(&self, all: &[Local]) {
        lock(&self.rules).change(&addresses(all), true);
    }

    /// These addresses are nobody's any more.
    pub(crate) fn remove(&self, all: &[Local]) {
        lock(&self.rules).change(&addresses(all), false);
    }

    /// All others are nobody's any more.
    pub(crate) fn retain(&self, is_taken: impl Fn(IpAddr) -> bool) {
        let mut rules = lock(&self.rules);
        let gone: Vec<IpAddr> =
            rules.addresses.iter().copied().filter(|address| !is_taken(*address)).collect();
        rules.change(&gone, false);
    }
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
            drop(locked);
            // By commands: the addresses need not wait for them.
            exception::ensure(exceptions);
            let mut locked = lock(rules);
            locked.generation = locked.nft.generation().ok();
        }
    }
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

#[derive(Debug)]
struct Rules {
    nft: Nft,
    /// The interface's name, as the kernel compares it.
    link: [u8; 16],
    addresses: BTreeSet<IpAddr>,
    /// Of the host's rules, when these were last looked at.
    generation: Option<u32>,
}

impl Rules {
    fn open(instance: &Instance) -> io::Result<Self> {
        let mut link = [0; 16];
        link[..instance.link.len()].copy_from_slice(instance.link.as_bytes());
        let nft = Nft::open(&instance.table)?;
        Ok(Self { nft, link, addresses: BTreeSet::new(), generation: None })
    }

    /// The addresses of the process before.
    fn read(&mut self) {
        for version in Version::BOTH {
            let keys = self.nft.keys(version, ADDRESSES).unwrap_or_default();
            self.addresses.extend(keys.iter().filter_map(|key| from_octets(key)));
        }
    }

    /// Makes the tables that are not as they were made, or all of them. What fails is tried again at the next change: without
    /// them some clients are seen with another address, and others are not.
    fn put_back(&mut self, all: bool) {
        for version in Version::BOTH {
            let there = self.nft.find(version);
            if all || !matches!(there, Ok(Some(found)) if found.rules == RULES) {
                let mut batch = self.nft.batch();
                if matches!(there, Ok(Some(_))) {
                    batch.delete_table(version);
                }
                self.make(&mut batch, version);
                let _ = self.nft.commit(batch);
            }
        }
    }

    fn make(&self, batch: &mut Batch, version: Version) {
        const PREROUTING: u32 = 0;
        const CAME_THROUGH: u32 = 6;
        /// A kind of address: the host's own.
        const LOCAL: u32 = 2;
        let (offset, length) = (version.destination_offset(), version.bytes());
        batch.add_table(version);
        batch.add_set(version, &Set::of_addresses(ADDRESSES, version));
        let own = |address: &&IpAddr| Version::of(**address) == version;
        let elements: Vec<Element> =
            self.addresses.iter().filter(own).map(|address| element(*address)).collect();
        batch.add_elements(version, ADDRESSES, &elements);
        // Before conntrack, at -200.
        let hook = Hook { kind: "filter", number: PREROUTING, priority: -300 };
        batch.add_chain(version, "enter", Some(hook));
        let mut rule = |all: &[Expression<'_>]| {
            batch.add_rule(version, "enter", |writer| write(writer, all));
        };
        rule(&[
            Expression::Load { base: 1, offset, length, to: 4 },
            Expression::Lookup { set: ADDRESSES, register: 4, to: None },
            Expression::NoTrack,
        ]);
        rule(&[
            Expression::Meta { key: CAME_THROUGH, to: 0 },
            Expression::Equal { register: 0, value: &self.link },
            Expression::DestinationKind { to: 4 },
            Expression::Differs { register: 4, value: &LOCAL.to_ne_bytes() },
            Expression::NoTrack,
        ]);
    }

    fn change(&mut self, all: &[IpAddr], is_added: bool) {
        let changes = |address: &IpAddr| self.addresses.contains(address) != is_added;
        let all: Vec<IpAddr> = all.iter().copied().filter(changes).collect();
        if all.is_empty() {
            return;
        }
        for address in &all {
            if is_added {
                self.addresses.insert(*address);
            } else {
                self.addresses.remove(address);
            }
        }
        let before = self.nft.generation().ok();
        let mut batch = self.nft.batch();
        for version in Version::BOTH {
            let own = |address: &&IpAddr| Version::of(**address) == version;
            let elements: Vec<Element> =
                all.iter().filter(own).map(|address| element(*address)).collect();
            if is_added {
                batch.add_elements(version, ADDRESSES, &elements);
            } else {
                batch.delete_elements(version, ADDRESSES, &elements);
            }
        }
        match self.nft.commit(batch) {
            // This change is no reason to look at all rules; one of others is.
            Ok(()) if before == self.generation => {
                let next = before.map(|before| before.wrapping_add(1));
                self.generation = self.nft.generation().ok().filter(|now| Some(*now) == next);
            }
            Ok(()) => {}
            // Somebody removed the table.
            Err(_) => self.put_back(true),
        }
    }
}

fn addresses(all: &[Local]) -> Vec<IpAddr> {
    all.iter().map(|local| local.address).collect()
}

fn element(address: IpAddr) -> Element {
    (octets(address), Vec::new())
}
