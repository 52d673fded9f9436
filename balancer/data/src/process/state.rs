// SPDX-License-Identifier: Apache-2.0
//! What is wanted, what is open, and who works.

use super::estate::Elsewhere;
use super::fast::{Lane, new_ones};
use super::listeners::{Fresh, Listeners, Wanted, candidates, is_wanted};
use super::place::Places;
use crate::control::{Applied, Client, Greeting, Problem, Reply, Request, Unservable, Unserved};
use crate::counters::Counters;
use crate::limits::{DESCRIPTORS_RESERVED, RETRIES_AT_ONCE};
use crate::options::{Options, RunError};
use crate::shared::Shared;
use crate::sys;
use crate::worker::{Command, Mailbox, Place, Plan, Worker};
use berth_balancer_core::model::Config;
use berth_balancer_core::{Change, Compiler, Table};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The process.
#[derive(Debug)]
pub(crate) struct Process {
    state: Mutex<State>,
    pub(super) workers: Vec<Hand>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub(super) shared: Arc<Shared>,
    pub(super) started_ns: u64,
    stopped: AtomicBool,
    retired: AtomicBool,
    /// Flows are being given to a successor.
    handing: AtomicBool,
    /// Readable when one of the two became true.
    wake: OwnedFd,
}

/// A successor is being given something, as long as this is there.
pub(super) struct Handing<'a>(&'a AtomicBool);

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A worker, seen from outside.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) mailbox: Mailbox,
    pub(super) counters: Arc<Counters>,
}

/// What is wanted and what is open.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) compiler: Compiler,
    /// The table that all workers use.
    pub(super) table: Table,
    pub(super) open: Listeners,
    pub(super) unserved: BTreeMap<Place, Unserved>,
    pub(crate) fast: Lane,
    /// Where services' addresses are.
    pub(super) places: Places,
    /// Processes that were replaced and still have connections, latest first.
    pub(super) predecessors: Vec<Client>,
    /// Connections of sources that those have.
    pub(super) elsewhere: Elsewhere,
    pub(super) asked_ns: u64,
    tried_ns: u64,
}

/// Time between attempts to open what could not be opened.
const RETRY_NS: u64 = 1_000_000_000;

impl Process {
    /// Starts the workers, with nothing to do yet. Where another process serves (`before`) they take nothing new until they are told.
    pub(crate) fn start(
        options: &Options,
        workers: u32,
        before: Option<&Greeting>,
    ) -> Result<Arc<Self>, RunError> {
        let seed = random().map_err(|source| RunError::Start { what: "random numbers", source })?;
        let budget = Budget::of(options, workers);
        let shared = Arc::new(Shared::new(seed));
        let (mut hands, mut threads) = (Vec::new(), Vec::new());
        for number in 0..workers {
            let failed = |what| move |source| RunError::Start { what, source };
            let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
            let bell = Arc::new(bell.map_err(io::Error::from).map_err(failed("a descriptor"))?);
            let (sender, mail) = mpsc::channel();
            let counters = Arc::new(Counters::default());
            let plan = Plan {
                number,
                seed: seed.wrapping_add(u64::from(number) << 32 | 1),
                connections_max: budget.connections,
                flows_max: budget.flows,
                pipes_max: budget.pipes,
                rings: options.rings,
                shared: shared.clone(),
                waits: before.is_some(),
                counters: counters.clone(),
                mail,
                bell: bell.clone(),
            };
            let worker = Worker::new(plan).map_err(io::Error::from).map_err(failed("a worker"))?;
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            let thread = thread.spawn(move || {
                // `epoll_wait` fails only if its descriptor is none: nothing that another try would help.
                let _ = worker.run();
            });
            threads.push(thread.map_err(failed("a thread"))?);
            hands.push(Hand { mailbox: Mailbox { sender, bell }, counters });
        }
        Ok(Arc::new(Self {
            state: Mutex::new(State {
                compiler: Compiler::default(),
                table: Table::default(),
                open: Listeners::new(hands.len(), budget.listeners),
                unserved: BTreeMap::new(),
                fast: Lane::new(options, before),
                places: Places::new(options),
                predecessors: Vec::new(),
                elsewhere: Elsewhere::default(),
                asked_ns: 0,
                tried_ns: 0,
            }),
            workers: hands,
            threads: Mutex::new(threads),
            shared,
            started_ns: sys::now(),
            stopped: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            handing: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|error| RunError::Start { what: "a descriptor", source: error.into() })?,
        }))
    }

    /// The state. No worker ever waits for it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workers.
    pub(crate) fn workers(&self) -> u32 {
        u32::try_from(self.workers.len()).unwrap_or(u32::MAX)
    }

    /// Connections and flows of all workers.
    pub(crate) fn connections(&self) -> u64 {
        let own = self.workers.iter().map(|hand| &hand.counters.own);
        own.map(|own| own.connections.get() + own.flows.get()).sum()
    }

    /// Whether it was told to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether a successor serves.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Says that a successor serves.
    pub(super) fn hands(&self) -> Handing<'_> {
        self.handing.store(true, Ordering::Release);
        Handing(&self.handing)
    }

    /// Whether a successor is still being given something.
    pub(super) fn is_handing(&self) -> bool {
        self.handing.load(Ordering::Acquire)
    }

    /// A successor serves.
    pub(super) fn set_retired(&self) {
        self.retired.store(true, Ordering::Release);
        self.rouse();
    }

    /// Has the process end.
    pub(crate) fn ask_to_stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.rouse();
    }

    fn rouse(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Readable when the process is to stop, or a successor serves.
    pub(crate) fn wake(&self) -> &OwnedFd {
        &self.wake
    }

    /// Ends the workers, and all their connections.
    pub(super) fn stop(&self) {
        for hand in &self.workers {
            hand.mailbox.send(Command::Stop);
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A worker that panicked has told so on standard error.
            let _ = thread.join();
        }
    }

    /// What is to be done now and then: opens what could not be opened.
    pub(crate) fn tick(&self) {
        let mut state = self.state();
        let now = sys::now();
        self.ask_sources(&mut state, now);
        self.move_places(&mut state);
        let lacks = !state.unserved.is_empty() || !state.fast.left_out().is_empty();
        if !lacks || now.saturating_sub(state.tried_ns) < RETRY_NS {
            return;
        }
        state.tried_ns = now;
        let table = state.table.clone();
        state.fast.retry(&table);
        let places: Vec<Place> = state.unserved.keys().copied().collect();
        drop(state);
        // There may be many, and a change does not wait for all of them.
        for places in places.chunks(RETRIES_AT_ONCE) {
            let mut state = self.state();
            let table = state.table.clone();
            let still = places.iter().filter(|place| state.unserved.contains_key(place));
            let still = still.copied().collect();
            let fresh = self.open(&mut state, &table, still);
            if fresh.changes() {
                self.hand_out(&mut state, table, fresh);
            }
            drop(state);
            if places.len() == RETRIES_AT_ONCE {
                // A lock that is taken again at once is taken by who had it.
                thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// Takes changes, all or none. `began` is when the message came. `None`: a successor serves, and it was not the successor
    /// (`heir`) who asked.
    pub(crate) fn apply(
        &self,
        changes: Vec<Change>,
        unservable: Unservable,
        began: u64,
        heir: bool,
    ) -> Option<Reply> {
        let mut state = self.state();
        if self.is_retired() && !heir {
            return None;
        }
        let forward = (!state.predecessors.is_empty())
            .then(|| Request::Apply { changes: changes.clone(), unservable: Unservable::LeaveOut });
        let before = (unservable == Unservable::Refuse).then(|| state.compiler.clone());
        let problems = state.compiler.apply_all(changes, began).err().unwrap_or_default();
        let problems = problems.into_iter().map(|(at, problem)| Problem {
            change: u32::try_from(at).unwrap_or(u32::MAX),
            path: problem.path,
            text: problem.fault.to_string(),
        });
        let problems = problems.collect();
        Some(self.conclude(&mut state, (before, problems, forward), unservable, began))
    }

    /// Takes a whole configuration, as [`Self::apply`] takes changes.
    pub(crate) fn replace(
        &self,
        config: Config,
        unservable: Unservable,
        began: u64,
        heir: bool,
    ) -> Option<Reply> {
        let mut state = self.state();
        if self.is_retired() && !heir {
            return None;
        }
        let forward = (!state.predecessors.is_empty()).then(|| Request::Replace {
            config: Box::new(config.clone()),
            unservable: Unservable::LeaveOut,
        });
        let before = (unservable == Unservable::Refuse).then(|| state.compiler.clone());
        let problems = match state.compiler.replace(config, began) {
            Ok(()) => Vec::new(),
            Err(all) => all
                .into_iter()
                .map(|problem| Problem {
                    change: 0,
                    path: problem.path,
                    text: problem.fault.to_string(),
                })
                .collect(),
        };
        Some(self.conclude(&mut state, (before, problems, forward), unservable, began))
    }

    /// Publishes what was compiled, or goes back to what was there `before`.
    fn conclude(
        &self,
        state: &mut State,
        (before, mut problems, forward): (Option<Compiler>, Vec<Problem>, Option<Request>),
        unservable: Unservable,
        began: u64,
    ) -> Reply {
        if problems.is_empty() {
            let table = state.compiler.table().clone();
            let places = candidates(&state.table, &table);
            let known: Vec<Place> = state.unserved.keys().copied().collect();
            let fresh = self.open(state, &table, places.clone());
            let new =
                state.unserved.iter().filter(|(place, _)| known.binary_search(place).is_err());
            if unservable == Unservable::Refuse {
                problems.extend(new.map(|(_, unserved)| refusal(unserved)));
            }
            if problems.is_empty() {
                problems.extend(state.direct(&table, unservable));
            }
            if problems.is_empty() {
                self.hand_out(state, table, fresh);
                let State { table, fast, places: addresses, .. } = &mut *state;
                addresses.settle(table, fast, &places);
                state.forward(forward);
                return Reply::Applied(Applied {
                    revision: state.table.version(),
                    took_ns: sys::now().saturating_sub(began),
                    unserved: state.unserved(),
                });
            }
            for place in fresh.opened() {
                state.open.remove(&place);
            }
            let State { table, fast, places: addresses, .. } = &mut *state;
            addresses.settle(table, fast, &places);
            state.unserved.retain(|place, _| known.binary_search(place).is_ok());
        }
        if let Some(before) = before {
            state.compiler = before;
        }
        Reply::Refused(problems)
    }

    /// Opens the listeners of places that are wanted and not open, and says what is to be closed.
    pub(super) fn open(&self, state: &mut State, table: &Table, places: Vec<Place>) -> Fresh {
        let mut fresh = Fresh::default();
        let mut wanted = Vec::new();
        for place in &places {
            let wanted_here = is_wanted(table, &state.fast, place) && !self.is_retired();
            match (wanted_here, state.open.has(place)) {
                (true, false) => wanted.push(*place),
                (false, open) => {
                    state.unserved.remove(place);
                    if open && !state.places.has_shortcut(place) {
                        fresh.close(*place);
                    }
                }
                (true, true) => {}
            }
        }
        let threads = self.workers.len();
        let (wanted, without) = state.open.share_out(wanted);
        let mut outcomes = state.places.open(table, &state.fast, &places, &wanted, threads);
        let of_host: Vec<Wanted> =
            wanted.into_iter().filter(|(place, _)| !outcomes.contains_key(place)).collect();
        let opened = state.places.listen(&of_host, threads);
        outcomes.extend(of_host.iter().map(|(place, _)| *place).zip(opened));
        for (place, outcome) in outcomes {
            match outcome {
                Ok(sockets) => {
                    state.unserved.remove(&place);
                    fresh.add(place, &sockets);
                    state.open.insert(place, sockets);
                }
                Err(reason) => {
                    let unserved = super::place::unserved(table, &place, reason);
                    state.unserved.extend(unserved.map(|unserved| (place, unserved)));
                }
            }
        }
        if !without.is_empty() {
            let fresh = without.iter().filter(|place| !state.unserved.contains_key(place)).count();
            let reason = state.open.full(state.unserved.len() + fresh);
            for place in without {
                let unserved = super::place::unserved(table, &place, reason.clone());
                state.unserved.extend(unserved.map(|unserved| (place, unserved)));
            }
        }
        fresh
    }

    /// Opens places anew whose addresses the host has got in the meantime.
    fn move_places(&self, state: &mut State) {
        let moved = state.places.tick();
        if moved.is_empty() {
            return;
        }
        let table = state.table.clone();
        let mut fresh = Fresh::default();
        for place in &moved {
            fresh.close(*place);
        }
        self.hand_out(state, table.clone(), fresh);
        let fresh = self.open(state, &table, moved);
        self.hand_out(state, table, fresh);
    }

    /// Hands a table and its listeners to all workers, and waits until the last of them uses it.
    pub(super) fn hand_out(&self, state: &mut State, table: Table, mut fresh: Fresh) {
        let (done, all): (Sender<()>, Receiver<()>) = mpsc::channel();
        for (place, sockets) in state.places.open_shortcut(self.workers.len()) {
            fresh.add(place, &sockets);
            state.open.insert(place, sockets);
        }
        // The namespace's kernel refuses at once, as it does where no listener ever was.
        state.places.shun(fresh.closed());
        for place in fresh.closed() {
            state.open.remove(place);
        }
        for (hand, number) in self.workers.iter().zip(0..) {
            hand.mailbox.send(Command::Adopt {
                table: table.clone(),
                open: fresh.of(number),
                close: fresh.closed().to_vec(),
                done: done.clone(),
            });
        }
        drop(done);
        // Ends when each has answered, or has ended.
        while all.recv().is_ok() {}
        state.places.serve(fresh.opened());
        state.table = table;
    }
}

impl State {
    /// All places that are wanted and not served.
    fn unserved(&self) -> Vec<Unserved> {
        self.unserved.values().chain(self.fast.left_out()).cloned().collect()
    }

    /// Has the fast path take a table; says what keeps it from that.
    fn direct(&mut self, table: &Table, unservable: Unservable) -> Vec<Problem> {
        let before = self.fast.left_out().to_vec();
        if unservable == Unservable::LeaveOut {
            self.fast.take(table);
            return Vec::new();
        }
        if let Err(problem) = self.fast.apply(table) {
            return vec![problem];
        }
        let new = new_ones(&before, self.fast.left_out());
        if !new.is_empty() {
            // It was taken before, so it is taken again.
            let running = self.table.clone();
            let _ = self.fast.apply(&running);
        }
        new.iter().map(refusal).collect()
    }

    /// Tells processes that were replaced. One that does not answer has ended.
    fn forward(&mut self, request: Option<Request>) {
        if let Some(request) = request {
            self.predecessors.retain_mut(|client| client.ask(&request).is_ok());
        }
    }
}

fn refusal(unserved: &Unserved) -> Problem {
    Problem {
        change: 0,
        path: format!("services[{}].ports[{}]", unserved.service, unserved.port),
        text: format!("{} {}: {}", unserved.protocol, unserved.address, unserved.reason),
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// How descriptors are shared out, a worker each.
#[derive(Debug)]
struct Budget {
    connections: u32,
    flows: u32,
    pipes: usize,
    /// Of all workers together.
    listeners: usize,
}

impl Budget {
    /// Three quarters of all descriptors may go to listeners. Seven eighths may go to connections, two each; a quarter to flows, an
    /// eighth to pipes. Together that is more than there are: who comes late waits, as where the bound itself is reached.
    fn of(options: &Options, workers: u32) -> Self {
        let bound = sys::descriptors_max(options.descriptors_max);
        let all = bound.min(1 << 24).saturating_sub(DESCRIPTORS_RESERVED);
        let each = u32::try_from(all).unwrap_or(u32::MAX) / workers;
        let asked = |asked: u32, most: u32| match asked {
            0 => most.max(1),
            asked => (asked / workers).max(1),
        };
        Self {
            connections: asked(options.connections_max, each / 16 * 7),
            flows: asked(options.flows_max, (each / 4).min(crate::limits::FLOWS_MAX)),
            pipes: (each / 16) as usize,
            listeners: (each / 4 * 3) as usize * workers as usize,
        }
    }
}
