// SPDX-License-Identifier: Apache-2.0
//! The thread that watches: it puts back what others removed of rules and routes, unless another process of the instance is their
//! owner.

use super::Shared;
use crate::decider::{Command, Handle};
use crate::kernel::{ApplyError, Standing};
use crate::netlink::{DATAGRAM, Family, Socket};
use crate::owner::Turn;
use crate::queue;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often rules and routes are looked at; they are back within five times that.
const WATCH: Duration = Duration::from_millis(500);

/// Rounds after which everything is looked at, whatever the kernel says: legacy tables have no generation.
const ALL: u32 = 4;

/// Groups of events: interfaces and routes of both versions.
const GROUPS: u32 = 0x40 | 0x400 | 0x1;

/// Looks after rules and routes until the end.
pub(super) fn watch(shared: &Shared, decider: &Handle) {
    let changes = Socket::open(Family::Route, GROUPS).ok();
    let mut buffer = vec![0; DATAGRAM];
    let mut round = 0_u32;
    loop {
        std::thread::sleep(WATCH);
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        round = round.wrapping_add(1);
        let mut changed = false;
        while let Some(changes) = &changes
            && !matches!(changes.try_receive(&mut buffer), Ok(None))
        {
            changed = true;
        }
        let all = round.is_multiple_of(ALL);
        let repaired = look(shared, decider, (all, changed, round == ALL)).unwrap_or(false);
        shared.counters.repaired.add(u64::from(repaired));
    }
}

/// One look. True if something had to be put back.
fn look(
    shared: &Shared,
    decider: &Handle,
    (all, routes, settled): (bool, bool, bool),
) -> Result<bool, ApplyError> {
    let mut repaired = false;
    let mut state = shared.lock();
    if shared.retired.load(Ordering::Acquire) {
        return Ok(false);
    }
    let rules = all || !state.kernel.is_untouched();
    if rules {
        let standing = state.kernel.standing()?;
        let (pid, queue) = state.overtaken_by.unwrap_or_default();
        match standing {
            Standing::Own => (),
            // It lives, and puts back itself what others removed.
            Standing::Lost if pid != 0 && queue::state(queue).is_some() => return Ok(false),
            Standing::Lost => {
                state.kernel.put_back()?;
                if state.overtaken_by.take().is_some() {
                    serve_again(decider, state.kernel.turn());
                }
                repaired = true;
            }
            // Alive: somebody reads its queue.
            Standing::Overtaken(other) if queue::state(other.queue).is_some() => {
                state.overtaken_by = Some((other.pid, other.queue));
                decider.send(Command::Do(Box::new(|engine, _| engine.rest())));
                return Ok(false);
            }
            Standing::Overtaken(_) => {
                state.kernel.take()?;
                serve_again(decider, state.kernel.turn());
                state.kernel.repair_routes()?;
                state.overtaken_by = None;
                repaired = true;
            }
        }
    }
    if routes {
        repaired |= state.kernel.repair_routes()?;
    }
    if settled {
        state.kernel.forget_former()?;
    }
    drop(state);
    // Without the lock: it takes other programs, which may wait for each other.
    if rules {
        repaired |= shared.exception.ensure();
    }
    Ok(repaired)
}

/// The process that had taken over is dead.
fn serve_again(decider: &Handle, turn: Turn) {
    decider.send(Command::Do(Box::new(move |engine, now| {
        engine.serve(turn);
        drop(engine.resync(now));
    })));
}
