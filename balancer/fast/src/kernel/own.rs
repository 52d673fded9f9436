// SPDX-License-Identifier: Apache-2.0
//! Rules are written as long as they are this process's, and by nobody else in between: each transaction names the generation of
//! the host's rules at which that was so, and the kernel refuses it if they have changed since.

use super::change::elements;
use super::{ApplyError, Kernel};
use crate::address::Version;
use crate::decider::now;
use crate::nft::{Batch, RESTART};
use crate::owner::{Owner, Turn};
use crate::probe::to_user;
use crate::rules;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::BackendId;
use std::io;
use std::net::SocketAddr;

/// Times that a transaction is tried which others come before.
const TRIES: usize = 64;

/// Whose the rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// This process's, and as it made them.
    Own,
    /// Nobody's, or others changed them.
    Lost,
    /// Those of a process that began later.
    Overtaken(Owner),
}

/// What is there of an earlier owner.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    /// The one that came last.
    owner: Option<Owner>,
    /// All is there, and as this version makes it.
    complete: bool,
}

impl Kernel {
    pub(crate) fn turn(&self) -> Turn {
        self.owner.turn
    }

    /// Makes the rules this process's, with all elements, in one transaction: there is no moment without.
    pub(crate) fn take(&mut self) -> Result<(), ApplyError> {
        self.install(true)
    }

    /// Puts back what others removed, unless another process owns it by now.
    pub(crate) fn put_back(&mut self) -> Result<(), ApplyError> {
        self.install(false)
    }

    fn install(&mut self, take: bool) -> Result<(), ApplyError> {
        for _ in 0..TRIES {
            let generation = self.generation()?;
            let before = self.before()?;
            match before.owner {
                _ if take => {
                    self.owner = Owner::after(before.owner.as_ref(), self.owner.queue, now());
                }
                Some(other) if other.is_after(&self.owner) => {
                    return Err(ApplyError::Overtaken { pid: other.pid });
                }
                _ => (),
            }
            let mut done = Err(io::ErrorKind::NotFound.into());
            if before.complete {
                done = self.install_at(generation, true);
            }
            if done.as_ref().is_err_and(|error| error.raw_os_error() != Some(RESTART)) {
                done = self.install_at(generation, false);
            }
            match done {
                Ok(()) => return self.look(),
                Err(error) if error.raw_os_error() == Some(RESTART) => (),
                Err(error) => return Err(self.rules(error)),
            }
        }
        Err(self.rules(io::ErrorKind::ResourceBusy.into()))
    }

    /// `in_place`: chains and sets stay. With a chain that goes the kernel drops all packets that wait for a verdict.
    fn install_at(&mut self, generation: u32, in_place: bool) -> io::Result<()> {
        let owner = self.owner;
        let Some(to_user) = self.to_user else {
            // To find out is a change itself.
            self.to_user = Some(to_user(owner.queue)?);
            return Err(io::Error::from_raw_os_error(RESTART));
        };
        let addresses = self.served();
        let ports: Vec<(Protocol, u16)> = self.ports.keys().copied().collect();
        let backends: Vec<(BackendId, SocketAddr)> = self.backends.values().copied().collect();
        let mut there = [false; 2];
        for (there, version) in there.iter_mut().zip(Version::BOTH) {
            *there = self.nft.find(version)?.is_some();
        }
        let mut batch = self.nft.batch_at(generation);
        for (there, version) in there.into_iter().zip(Version::BOTH) {
            if in_place {
                rules::replace(&mut batch, version, &owner);
            } else if there {
                batch.delete_table(version);
            }
            batch.add_table(version);
            rules::install(&mut batch, version, to_user, &owner);
            for (set, elements) in elements(version, owner.turn, &addresses, &ports, &backends) {
                batch.add_elements(version, set, &elements);
            }
        }
        self.nft.commit(batch)
    }

    /// Remembers the rules as they are now.
    fn look(&mut self) -> Result<(), ApplyError> {
        self.verified = None;
        for (at, version) in Version::BOTH.into_iter().enumerate() {
            self.installed[at] = self.find(version)?;
        }
        Ok(())
    }

    fn before(&mut self) -> Result<Before, ApplyError> {
        let mut before = Before { owner: None, complete: true };
        for version in Version::BOTH {
            let note = self.comment(version)?;
            let owner = note.as_deref().and_then(Owner::read);
            before.complete &= owner.is_some_and(|owner| owner.has_layout());
            if let Some(owner) = owner
                && before.owner.is_none_or(|other| owner.is_after(&other))
            {
                before.owner = Some(owner);
            }
        }
        Ok(before)
    }

    fn comment(&mut self, version: Version) -> Result<Option<String>, ApplyError> {
        match self.nft.note(version) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map_err(|source| self.rules(source)),
        }
    }

    /// Whose the rules are now.
    pub(crate) fn standing(&mut self) -> Result<Standing, ApplyError> {
        self.verified = None;
        let generation = self.generation()?;
        let before = self.before()?;
        if let Some(owner) = before.owner.filter(|owner| owner.is_after(&self.owner)) {
            return Ok(Standing::Overtaken(owner));
        }
        for (at, version) in Version::BOTH.into_iter().enumerate() {
            let found = self.find(version)?;
            if found.is_none() || found != self.installed[at] {
                return Ok(Standing::Lost);
            }
        }
        self.verified = Some(generation);
        Ok(Standing::Own)
    }

    /// Whether nothing of the host's rules has changed since they were this process's.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.verified.is_some() && self.generation().ok() == self.verified
    }

    fn generation(&mut self) -> Result<u32, ApplyError> {
        self.nft.generation().map_err(|source| self.rules(source))
    }

    /// Changes elements, if the rules are this process's; puts them back before if others removed them.
    pub(super) fn change(&mut self, fill: impl Fn(&mut Batch)) -> Result<(), ApplyError> {
        for _ in 0..TRIES {
            let Some(generation) = self.verified else {
                match self.standing()? {
                    Standing::Own => (),
                    Standing::Lost => self.put_back()?,
                    Standing::Overtaken(other) => {
                        return Err(ApplyError::Overtaken { pid: other.pid });
                    }
                }
                continue;
            };
            let mut batch = self.nft.batch_at(generation);
            fill(&mut batch);
            if batch.is_empty() {
                return Ok(());
            }
            match self.nft.commit(batch) {
                Ok(()) => {
                    // The next one of the host's, unless others were quicker: then that is found out by the next change.
                    self.verified = Some(generation.wrapping_add(1).max(1));
                    return Ok(());
                }
                Err(error) if error.raw_os_error() == Some(RESTART) => self.verified = None,
                Err(error) => {
                    self.verified = None;
                    return Err(self.rules(error));
                }
            }
        }
        Err(self.rules(io::ErrorKind::ResourceBusy.into()))
    }

    /// Takes out the backends of the owner before: no packet is under way with its verdict any more.
    pub(crate) fn forget_former(&mut self) -> Result<(), ApplyError> {
        let former = rules::backends(self.owner.turn.next());
        self.change(|batch| {
            for version in Version::BOTH {
                batch.empty_set(version, former);
            }
        })
    }
}
