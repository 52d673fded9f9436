// SPDX-License-Identifier: Apache-2.0
//! The fast path as a whole: starts, takes tables, stops.
//!
//! Two threads. One decides (`decider`): it owns the queue, the events and the books. The other watches: it puts back what others
//! removed of rules and routes. Tables are applied by the caller's thread: the kernel's elements first, then the decider, then
//! what is to be taken out.

mod watch;

use crate::conflict::{Conflict, Host};
use crate::conntrack::{Conntrack, Events};
use crate::counters::{Counters, Stats};
use crate::decider::{self, Command, Decider, Handle};
use crate::end::Probes;
use crate::engine::{Engine, Outside, Sizes, Takes};
use crate::fits::fits;
use crate::kernel::{ApplyError, Conflicts, Kernel, Standing};
use crate::notes::Notes;
use crate::queue::{self, Queue};
use crate::report::{DrainReport, FlowQuery, FlowReport, PortReport};
use crate::route::Routes;
use crate::ways::Ways;
use berth_balancer_core::Table;
use berth_balancer_core::model::Cidr;
use berth_balancer_core::table::{BackendId, Diff, Frontend};
use berth_balancer_host::address::Network;
use berth_balancer_host::exception::Exception;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long packets that wait are sent on to a successor before a process leaves.
const DRAIN: Duration = Duration::from_secs(1);

/// First of the numbers among which a free queue is sought, and how many.
const QUEUES: (u16, u16) = (47_616, 256);

/// Settings of an instance.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names rules and routes. Two instances on one host have two names, of letters, digits and `-`.
    pub instance: String,
    /// Which services are taken.
    pub takes: Takes,
    /// Flows that are booked, of TCP and of UDP each; 200 bytes each once used.
    pub flows_max: u32,
    /// First packets that wait for a decision; more are dropped and come again.
    pub queue_max: u32,
    /// Where notes for the next run are kept.
    pub state: PathBuf,
    /// Bytes for events that wait; `None` for the usual.
    pub event_bytes: Option<usize>,
    /// What becomes of a table some of whose addresses are somebody else's.
    pub conflicts: Conflicts,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            instance: String::from("main"),
            takes: fits,
            flows_max: 1 << 18,
            // At 100,000 decisions a second the last of them waits 80 ms: less than a client's first repetition.
            queue_max: 8_192,
            state: PathBuf::from("/run/berth"),
            event_bytes: None,
            conflicts: Conflicts::Refuse,
        }
    }
}

/// Why the fast path does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name cannot be part of a table's.
    #[error("instance {0:?}: letters, digits and - only, at most 32 of them")]
    Name(String),
    /// The kernel refused something: most often for want of `CAP_NET_ADMIN`.
    #[error("cannot open {what}")]
    Kernel {
        /// What was opened.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The first table was refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

fn kernel(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Kernel { what, source }
}

/// A running fast path. Dropping it leaves rules and flows as they are, as if the process had died.
#[derive(Debug)]
pub struct Fast {
    shared: Arc<Shared>,
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    conflicts: Conflicts,
}

#[derive(Debug)]
struct Shared {
    kernel: Mutex<State>,
    exception: Exception,
    counters: Arc<Counters>,
    queue: u16,
    stopped: AtomicBool,
    /// A successor takes over, or has.
    retired: AtomicBool,
}

#[derive(Debug)]
struct State {
    kernel: Kernel,
    table: Table,
    /// Where the notes are.
    notes: PathBuf,
    instance: String,
    /// The process that took over without this one having been told, and its queue.
    overtaken_by: Option<(u32, u16)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fast {
    /// Starts with a first table. What an earlier run of the same instance left is taken over: its flows go on, its rules are
    /// replaced in one step.
    ///
    /// A process of the same instance that still runs is overtaken: no first packet is lost, if it then does [`Self::leave`]. From
    /// that step on it changes nothing of the host, whether it was told to [`Self::retire`] or not.
    ///
    /// # Errors
    /// What is missing. Nothing is left behind then but what was there before.
    pub fn start(options: &Options, table: &Table) -> Result<Self, StartError> {
        check_name(&options.instance)?;
        let queue =
            Queue::open(QUEUES.0, QUEUES.1, options.queue_max).map_err(kernel("a queue"))?;
        let number = queue.number();
        let events = Events::open(options.event_bytes).map_err(kernel("the events of flows"))?;
        let outside = Outside {
            conntrack: Conntrack::open().map_err(kernel("the table of flows"))?,
            ways: Ways::open().map_err(kernel("the table of routes"))?,
            probes: Probes::open().map_err(kernel("raw sockets"))?,
            notes: Notes::read(&options.state, &options.instance),
        };
        let counters = Arc::new(Counters::default());
        let seed = seed();
        let sizes = Sizes { flows_max: options.flows_max, seed, takes: options.takes };
        let engine = Engine::new(sizes, outside, counters.clone());
        let name = table_name(&options.instance);
        let mut kernel_side = Kernel::open(&name, metric(&options.instance), number, options.takes)
            .map_err(kernel("the rules"))?;
        let mut engine = engine;
        begin(&mut kernel_side, &mut engine, table, options.conflicts)?;
        let exception = exception(&name);
        exception.ensure();
        let state = State {
            kernel: kernel_side,
            table: table.clone(),
            notes: options.state.clone(),
            instance: options.instance.clone(),
            overtaken_by: None,
        };
        let shared = Arc::new(Shared {
            kernel: Mutex::new(state),
            exception,
            counters,
            queue: number,
            stopped: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        });
        let (handle, decider) = Decider::new(engine, queue, events).map_err(kernel("a thread"))?;
        let deciding = std::thread::Builder::new()
            .name("fast-decider".into())
            .spawn(move || decider.run())
            .map_err(kernel("a thread"))?;
        let (watched, decider) = (shared.clone(), handle.clone());
        let watching = std::thread::Builder::new()
            .name("fast-watch".into())
            .spawn(move || watch::watch(&watched, &decider))
            .map_err(kernel("a thread"))?;
        let threads = vec![deciding, watching];
        Ok(Self { shared, handle, threads, conflicts: options.conflicts })
    }

    /// Takes a new table: when this returns, every decision is made by it, and flows of UDP to endpoints that are gone have ended.
    /// After [`Self::retire`] nothing is done: the successor's table counts.
    ///
    /// # Errors
    /// Why not; the running table stays.
    pub fn apply(&self, table: &Table) -> Result<(), ApplyError> {
        if self.shared.retired.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.shared.lock();
        let diff = Diff::between(&state.table, table);
        let (prepared, removals) = state.kernel.prepare(table, &diff, self.conflicts)?;
        let next = table.clone();
        let adopt = move |engine: &mut Engine, now| engine.adopt(next, prepared, now);
        self.handle.call(adopt).ok_or(ApplyError::Stopped)?;
        state.table = table.clone();
        state.kernel.finish(&removals)
    }

    /// Addresses that are wanted and somebody else's.
    #[must_use]
    pub fn left_out(&self) -> Vec<Conflict> {
        self.shared.lock().kernel.left_out()
    }

    /// Looks again whether addresses that were left out are free, and takes them. True if there were some.
    ///
    /// # Errors
    /// The kernel refused; they stay left out.
    pub fn retry(&self) -> Result<bool, ApplyError> {
        let mut state = self.shared.lock();
        let table = state.table.clone();
        let Some(prepared) = state.kernel.retry(&table)? else { return Ok(false) };
        let adopt = move |engine: &mut Engine, now| engine.adopt(table, prepared, now);
        self.handle.call(adopt).ok_or(ApplyError::Stopped)?;
        Ok(true)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        if let Some(state) = queue::state(self.shared.queue) {
            self.shared.counters.queue_full.set(state.dropped);
        }
        self.shared.counters.read()
    }

    /// Flows of a backend that are booked, and until when it is passed over (nanoseconds of [`now`]; in the past if it is not).
    #[must_use]
    pub fn seen(&self, frontend: &Arc<Frontend>, backend: BackendId) -> Option<(u32, u64)> {
        let frontend = frontend.clone();
        self.handle.call(move |engine, now| {
            let ejected = engine.ejected_until(&frontend, backend, now);
            (engine.active(&frontend, backend, now), ejected)
        })
    }

    /// All ports that the fast path serves, with their endpoints. Empty when it has stopped.
    #[must_use]
    pub fn ports(&self) -> Vec<PortReport> {
        let Some(snapshot) = self.handle.call(|engine, now| engine.snapshot(now)) else {
            return Vec::new();
        };
        let (table, takes) = {
            let state = self.shared.lock();
            (state.table.clone(), state.kernel.takes())
        };
        snapshot.ports(&table, takes)
    }

    /// Flows that are booked, in no order. Looks at all of them: a millisecond for some tens of thousands, in which no packet is decided
    /// on.
    #[must_use]
    pub fn flows(&self, query: &FlowQuery) -> Vec<FlowReport> {
        let query = query.clone();
        self.handle.call(move |engine, now| engine.list(&query, now)).unwrap_or_default()
    }

    /// Endpoints that left the table and still have connections.
    #[must_use]
    pub fn draining(&self) -> Vec<DrainReport> {
        self.handle.call(|engine, _| engine.draining()).unwrap_or_default()
    }

    /// Reads the kernel's table of flows anew, as after lost events.
    #[must_use]
    pub fn resync(&self) -> bool {
        self.handle.call(|engine, now| engine.resync(now).is_ok()).unwrap_or(false)
    }

    /// A successor takes over: from here on this process changes nothing of rules, routes and flows. It still decides on packets that
    /// come to it, until the successor's rules are there, and then sends those that wait on to the successor. Call [`Self::leave`]
    /// when the successor has started.
    pub fn retire(&self) {
        self.shared.retired.store(true, Ordering::Release);
        // Whatever the watcher or another caller was doing is done when the lock is free.
        drop(self.shared.lock());
        self.handle.send(Command::Do(Box::new(|engine, _| engine.rest())));
    }

    /// The successor did not come: this process serves on, with the table that it has.
    pub fn resume(&self) {
        let state = self.shared.lock();
        self.shared.retired.store(false, Ordering::Release);
        let turn = state.kernel.turn();
        self.handle.send(Command::Do(Box::new(move |engine, now| {
            engine.serve(turn);
            drop(engine.resync(now));
        })));
    }

    /// The process of the same instance that has taken over though this one was not told to [`Self::retire`]. Found out within half a
    /// second, and by [`Self::apply`]. Should that process die without having stopped, this one serves again.
    #[must_use]
    pub fn overtaken_by(&self) -> Option<u32> {
        self.shared.lock().overtaken_by.map(|(pid, _)| pid)
    }

    /// Ends this process' part and leaves rules and flows as they are: another one starts in its place. If one has, packets that
    /// still wait here are sent on to it first; that takes at most a second.
    pub fn leave(mut self) {
        self.retire();
        let standing = self.shared.lock().kernel.standing();
        if matches!(standing, Ok(Standing::Overtaken(_))) {
            let begun = Instant::now();
            let mut idle = 0;
            // A packet that passed the old rules a moment ago may be about to come.
            while idle < 3 && begun.elapsed() < DRAIN {
                let waiting = queue::state(self.shared.queue).map_or(0, |state| state.waiting);
                idle = if waiting == 0 { idle + 1 } else { 0 };
                std::thread::sleep(DRAIN / 100);
            }
        }
        self.end_threads();
    }

    /// Stops, and removes every rule and route and what else was changed on the host, unless a successor has it now.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn stop(mut self) -> Result<(), ApplyError> {
        self.end_threads();
        let mut state = self.shared.lock();
        if matches!(state.kernel.standing(), Ok(Standing::Overtaken(_))) {
            return Ok(());
        }
        self.shared.exception.remove();
        let mut notes = Notes::read(&state.notes, &state.instance);
        for port in notes.ports() {
            drop(state.kernel.set_hairpin(port, false));
        }
        notes.remove();
        state.kernel.clean()
    }

    fn end_threads(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.handle.send(Command::Stop);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Fast {
    fn drop(&mut self) {
        self.end_threads();
    }
}

/// The first table. What was made of it is removed if it fails half way and there was nothing before.
fn begin(
    side: &mut Kernel,
    engine: &mut Engine,
    table: &Table,
    conflicts: Conflicts,
) -> Result<(), ApplyError> {
    let earlier = side.is_installed()?;
    let diff = Diff::between(&Table::default(), table);
    let now = decider::now();
    let begun = side.begin(table, &diff, conflicts).and_then(|prepared| {
        engine.serve(side.turn());
        engine.adopt(table.clone(), prepared, now);
        // Flows of an earlier run are in the books before the first packet is decided on.
        drop(engine.resync(now));
        if earlier {
            engine.resync_soon(now);
        }
        side.clean_stale_routes()
    });
    if begun.is_err() && !earlier {
        drop(side.clean());
    }
    begun
}

/// Removes what an instance that is not running left on the host.
///
/// # Errors
/// What could not be removed.
pub fn clean(options: &Options) -> Result<(), StartError> {
    check_name(&options.instance)?;
    let name = table_name(&options.instance);
    let mut side = Kernel::open(&name, metric(&options.instance), 0, options.takes)
        .map_err(kernel("the rules"))?;
    // The table is made first and removed last: without it there is no rule among those of others.
    if side.is_installed()? {
        exception(&name).remove();
    }
    let mut notes = Notes::read(&options.state, &options.instance);
    for port in notes.ports() {
        drop(side.set_hairpin(port, false));
    }
    notes.remove();
    Ok(side.clean()?)
}

/// Ranges from which services' addresses shall come, as far as they are somebody's already.
///
/// # Errors
/// The kernel did not tell addresses and routes.
pub fn conflicts(options: &Options, ranges: &[Cidr]) -> io::Result<Vec<Conflict>> {
    let host = Host::read(&mut Routes::open()?)?;
    let metric = metric(&options.instance);
    let network = |range: &Cidr| Network { address: range.address, prefix: range.prefix };
    Ok(ranges.iter().filter_map(|range| host.conflict(network(range), metric)).collect())
}

/// The rule among those of others: flows with our mark are forwarded.
fn exception(name: &str) -> Exception {
    // As iptables writes it.
    const MARK: &str = "0x1000000/0x1000000";
    const _: () = assert!(crate::rules::FLOW_OURS == 0x0100_0000);
    Exception::new(name, &["-m", "connmark", "--mark", MARK])
}

/// Addresses that interfaces of this host have.
///
/// # Errors
/// The kernel did not tell them.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let addresses = Routes::open()?.addresses()?;
    Ok(addresses.iter().map(|own| own.destination).collect())
}

/// The clock of all times here: nanoseconds of the monotonic clock.
#[must_use]
pub fn now() -> u64 {
    decider::now()
}

fn check_name(instance: &str) -> Result<(), StartError> {
    let right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if instance.is_empty() || instance.len() > 32 || !instance.bytes().all(right) {
        return Err(StartError::Name(instance.to_owned()));
    }
    Ok(())
}

fn table_name(instance: &str) -> String {
    format!("berth-fast-{instance}")
}

/// Tells the routes of instances apart: FNV-1a of the name, never 0.
fn metric(instance: &str) -> u32 {
    let mix = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    instance.bytes().fold(0x811c_9dc5, mix).max(1)
}

/// Not to be guessed by who sends packets.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}
