// SPDX-License-Identifier: Apache-2.0
//! The process: compiles what it is told, opens the listeners that it takes, hands both to the workers, and answers when the last
//! of them uses it.
//!
//! `state` has a change's way, `listeners` which sockets there must be, `report` what is told of it all, `succession` how one
//! process takes over from another. Nothing here is on the way of a connection, and no worker ever waits for it.

mod estate;
mod fast;
mod listeners;
mod place;
mod report;
mod state;
mod succession;

pub(crate) use fast::own_addresses;
pub(crate) use state::Process;

use crate::control::{Client, server};
use crate::limits::WORKERS_MAX;
use crate::options::{Options, RunError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the data plane until it is told to stop, or until a successor has taken over and its last connection is gone.
///
/// # Errors
/// Why it did not start.
pub fn run(options: Options) -> Result<(), RunError> {
    // Large tables that are hardly used would take whole huge pages for each of their parts: 80 MiB before the first client.
    // Where the kernel knows no such switch it is as it was.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let predecessor = succession::find(&options)?;
    let own = match options.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers as usize,
    };
    let theirs = predecessor.as_ref().map_or(0, |client| client.greeting().workers);
    let workers = u32::try_from(own).unwrap_or(1).max(theirs).clamp(1, WORKERS_MAX);
    let process = Process::start(&options, workers, predecessor.as_ref().map(Client::greeting))?;
    let listener = match predecessor {
        Some(client) => succession::take_over(&process, client, &options)?,
        None => {
            process.state().places.clean();
            server::bind(&options.control, options.user)?
        }
    };
    server::serve(&process, &listener, Duration::from_secs(1), || process.tick());
    drop(listener);
    // A successor serves: what is left here ends by itself, or at the bound.
    let bound = Instant::now() + options.retired_max;
    while !process.is_stopped() && Instant::now() < bound {
        thread::sleep(Duration::from_millis(100));
        process.tick();
        // Those before it hear of changes through it.
        if process.connections() == 0 && !process.is_handing() && process.is_last() {
            break;
        }
    }
    process.stop();
    // Where a successor serves, rules and routes are its.
    if !process.is_retired() {
        process.state().fast.stop();
    }
    process.state().places.stop();
    Ok(())
}
