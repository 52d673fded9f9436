// SPDX-License-Identifier: Apache-2.0
//! What keeps the host's own rules from coming between clients and the namespace.
//!
//! | rule | where | because |
//! |---|---|---|
//! | to and from our pair is accepted | `DOCKER-USER`, or `FORWARD` where it drops | Docker forwards nothing from outside, nor between its networks |
//! | to our pair the source stays | own table, postrouting 95 | Docker masquerades what leaves its networks, at 100; limits, affinity and source ranges need the client |
//!
//! They name the interface and nothing else, so none of them does anything once the pair is gone.

use super::Instance;
use berth_balancer_host::address::Version;
use berth_balancer_host::exception::{self, Exception};
use berth_balancer_host::nft::expression::{Expression, write};
use berth_balancer_host::nft::{Batch, Hook, Nft};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often rules are looked at: by their generation, which counts up with every change. Legacy tables have none, and are read
/// every fourth time.
const WATCH: Duration = Duration::from_millis(500);

/// Keeps the rules in place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Makes the rules, and watches them from now on.
    pub(crate) fn start(instance: &Instance) -> io::Result<Self> {
        let mut rules = Rules::open(instance)?;
        rules.put_back();
        let stops = Arc::new(AtomicBool::new(false));
        let told = stops.clone();
        let thread = thread::Builder::new().name("rules".to_owned());
        let thread = thread.spawn(move || rules.keep(&told))?;
        Ok(Self { stops, thread: Some(thread) })
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
    rules.exceptions.iter().for_each(Exception::remove);
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
    exceptions: Vec<Exception>,
}

impl Rules {
    fn open(instance: &Instance) -> io::Result<Self> {
        let mut link = [0; 16];
        link[..instance.link.len()].copy_from_slice(instance.link.as_bytes());
        let exception = |way: &str, flag: &str| {
            Exception::new(&format!("{}-{way}", instance.table), &[flag, &instance.link])
        };
        let exceptions = vec![exception("in", "-o"), exception("out", "-i")];
        Ok(Self { nft: Nft::open(&instance.table)?, link, exceptions })
    }

    fn keep(&mut self, stops: &AtomicBool) {
        let (mut generation, mut round) = (self.nft.generation().ok(), 0_u32);
        while !stops.load(Ordering::Acquire) {
            thread::park_timeout(WATCH);
            round = round.wrapping_add(1);
            let now = self.nft.generation().ok();
            if now != generation || (round.is_multiple_of(4) && exception::has_legacy()) {
                self.put_back();
                generation = self.nft.generation().ok();
            }
        }
    }

    /// Makes the rules that are missing. What fails is tried again at the next change: without them some clients are not let
    /// through, and others are.
    fn put_back(&mut self) {
        for version in Version::BOTH {
            let there = self.nft.find(version);
            if !matches!(there, Ok(Some(found)) if found.rules == 1) {
                let mut batch = self.nft.batch();
                if matches!(there, Ok(Some(_))) {
                    batch.delete_table(version);
                }
                self.keep_source(&mut batch, version);
                let _ = self.nft.commit(batch);
            }
        }
        exception::ensure(&self.exceptions);
    }

    fn keep_source(&self, batch: &mut Batch, version: Version) {
        const POSTROUTING: u32 = 4;
        const LEAVES_THROUGH: u32 = 7;
        batch.add_table(version);
        let hook = Hook { kind: "nat", number: POSTROUTING, priority: 95 };
        batch.add_chain(version, "leave", Some(hook));
        let (offset, length) = (version.source_offset(), version.bytes());
        batch.add_rule(version, "leave", |writer| {
            let all = [
                Expression::Meta { key: LEAVES_THROUGH, to: 0 },
                Expression::Equal { register: 0, value: &self.link },
                Expression::Load { base: 1, offset, length, to: 4 },
                Expression::Source { version, address: 4 },
            ];
            write(writer, &all);
        });
    }
}
