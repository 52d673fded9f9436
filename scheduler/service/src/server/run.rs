// SPDX-License-Identifier: Apache-2.0
//! The sequencer's desk. Its thread takes what waits, has it decided, and hands the round on; who brings little, and finds nobody at work,
//! does it himself ([`Desk::at_once`]).

use super::clock::Clock;
use super::durable::Durable;
use super::history::History;
use super::inbox::{Core, Outlet, Work};
use super::metrics::Shared;
use super::round::{Answer, Round};
use super::status;
use crate::sequencer::{Accepting, Millis};
use berth_proto::raw::request::Parts;
use berth_proto::raw::result::ResponseWriter;
use berth_proto::wire::Span;
use crossbeam_channel::{RecvTimeoutError, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};
use tonic::Status;

/// A round ends after so many messages, pods, or bytes of records: answers wait for all of it.
const MESSAGES: usize = 1_024;
const PODS: usize = 4_096;
const BYTES: usize = 1 << 20;
/// Things that time brings are done so many at a time, and for so long in one round: the first pod of a class may take
/// milliseconds on a large cluster, and who asks something waits for the round.
const TICKS: usize = 16;
const TICKING: Duration = Duration::from_millis(2);
/// How long it sleeps at most, and while a snapshot waits for the disk.
const REST: Duration = Duration::from_millis(500);
const NAP: Duration = Duration::from_millis(1);
/// How long slices of a snapshot are taken between two rounds: the sooner it is done, the less the log grows beside it.
const SAVING: Duration = Duration::from_millis(1);
/// How often the journal's counts are published.
const CHORES: Duration = Duration::from_millis(100);

/// Where the sequencer works: one at a time. A panic there leaves it closed for good, and health checks say so.
pub(super) struct Desk {
    running: Mutex<Running>,
    /// The thread has work in its hands, and goes first.
    claimed: AtomicBool,
}

/// The sequencer with its surroundings.
struct Running {
    core: Core,
    durable: Option<Durable>,
    history: Arc<History>,
    shared: Arc<Shared>,
    clock: Clock,
    round: Round,
    chores: Instant,
    stopping: bool,
    /// Until when the thread rests if nobody calls it, and whether somebody has.
    rests_until: Millis,
    called: bool,
}

impl Desk {
    pub(super) fn new(core: Core, durable: Option<Durable>, history: Arc<History>) -> Self {
        let clock = Clock::new();
        let shared = Arc::new(Shared::new(clock));
        if let Some(durable) = &durable {
            shared.publish(durable.stats());
        }
        let running = Running {
            core,
            durable,
            history,
            shared,
            clock,
            round: Round::default(),
            chores: Instant::now(),
            stopping: false,
            rests_until: 0,
            called: false,
        };
        Self { running: Mutex::new(running), claimed: AtomicBool::new(false) }
    }

    /// What it shows of itself to others.
    pub(super) fn shared(&self) -> Arc<Shared> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&running.shared)
    }

    /// What the sequencer's thread does, until it is told to stop or nobody is left who could ask.
    pub(super) fn run(&self, outlet: &Outlet) {
        let _alive = self.shared().alive();
        let mut more = false;
        loop {
            let Ok(mut running) = self.running.lock() else { return };
            if running.stopping {
                break;
            }
            if running.is_pressed() {
                // More work would need more of the disk than is promised.
                let idle = !running.do_chores();
                drop(running);
                if idle {
                    thread::sleep(NAP);
                }
                continue;
            }
            let patience = running.rest(more);
            drop(running);
            let first = outlet.receive.recv_timeout(patience);
            self.claimed.store(true, Ordering::Release);
            let running = self.running.lock();
            self.claimed.store(false, Ordering::Release);
            let Ok(mut running) = running else { return };
            running.stopping |= matches!(first, Err(RecvTimeoutError::Disconnected));
            more = running.round(first.ok(), outlet);
        }
        if let Ok(mut running) = self.running.lock()
            && let Some(durable) = running.durable.take()
        {
            durable.close();
        }
    }

    /// Does a small piece of work at once, if nothing waits and nobody is at work; gives it back otherwise. It spares a call two changes of
    /// threads, each of which takes longer than a decision.
    pub(super) fn at_once(&self, work: Work, waiting: &Sender<Work>) -> Option<Work> {
        if self.claimed.load(Ordering::Acquire) || !waiting.is_empty() {
            return Some(work);
        }
        let mut running = match self.running.try_lock() {
            Ok(running) => running,
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Some(work),
        };
        if running.stopping || running.is_pressed() {
            return Some(work);
        }
        let now = running.begin();
        running.work(now, work);
        running.finish();
        let calls = running.calls_the_thread();
        drop(running);
        if calls {
            // Where there is no room it is awake.
            drop(waiting.try_send(Work::Look));
        }
        None
    }
}

impl Running {
    /// Whether work has to wait until the disk has room.
    fn is_pressed(&mut self) -> bool {
        self.durable.as_mut().is_some_and(Durable::is_pressed)
    }

    /// How long the thread may rest.
    fn rest(&mut self, more: bool) -> Duration {
        let now = self.clock.now();
        let mut patience = REST;
        if let Some(at) = self.core.next_wake() {
            patience = patience.min(Duration::from_millis(at.saturating_sub(now)));
        }
        if self.durable.as_ref().is_some_and(Durable::is_saving) {
            patience = patience.min(NAP);
        }
        if more {
            patience = Duration::ZERO;
        }
        self.rests_until = now + u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.called = false;
        patience
    }

    /// Whether there is something for the thread to do before it wakes by itself; once for each rest.
    fn calls_the_thread(&mut self) -> bool {
        if let Some(durable) = &mut self.durable {
            durable.consider_snapshot(&mut self.core);
        }
        let saving = self.durable.as_ref().is_some_and(Durable::is_saving);
        let due = self.core.next_wake().is_some_and(|at| at < self.rests_until);
        (saving || due) && !std::mem::replace(&mut self.called, true)
    }

    /// A round, with what was waited for and what waits; whether there is more to be done at once.
    fn round(&mut self, first: Option<Work>, outlet: &Outlet) -> bool {
        let now = self.begin();
        if let Some(first) = first {
            self.take(now, first, outlet);
        }
        let more = self.tick(now);
        self.finish();
        self.do_chores() | more
    }

    /// Begins a round.
    fn begin(&mut self) -> Millis {
        if let Some(durable) = &mut self.durable {
            durable.watch(&mut self.core, self.stopping);
        }
        self.clock.now()
    }

    /// Does what time brings; whether there is more of it.
    fn tick(&mut self, now: Millis) -> bool {
        let begun = Instant::now();
        while self.core.tick(now, TICKS) {
            if begun.elapsed() > TICKING || self.core.round_bytes() >= BYTES {
                return true;
            }
        }
        false
    }

    /// Does a round's work.
    fn take(&mut self, now: Millis, first: Work, outlet: &Outlet) {
        let mut next = Some(first);
        let (mut messages, mut pods) = (0, 0);
        while let Some(work) = next {
            outlet.took(&work);
            pods += self.work(now, work);
            messages += 1;
            let full = messages >= MESSAGES || pods >= PODS || self.core.round_bytes() >= BYTES;
            if full || self.stopping {
                break;
            }
            next = outlet.receive.try_recv().ok();
        }
    }

    /// Does one piece of work; how many pods it was about.
    fn work(&mut self, now: Millis, work: Work) -> usize {
        match work {
            Work::Schedule { message, parts, reply, deadline } => {
                if reply.is_closed() {
                    return 0;
                }
                if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    let late = "the deadline passed before the request was worked on; it was not";
                    drop(reply.send(Err(Status::deadline_exceeded(late))));
                    return 0;
                }
                let mut writer = ResponseWriter::schedule();
                writer.reserve(16 + 96 * parts.pods.len());
                self.schedule(now, &message.0, &parts, None, &mut writer);
                let bytes = writer.finish(self.core.revision());
                self.round.answers.push(Answer::Schedule(reply, bytes));
                parts.pods.len()
            }
            Work::Stream { message, parts, stream } => {
                let mut writer = ResponseWriter::stream(parts.id);
                writer.reserve(32 + 48 * parts.pods.len());
                self.give_back(&message.0, &parts, &mut writer);
                self.schedule(now, &message.0, &parts, Some(&stream), &mut writer);
                let bytes = writer.finish(self.core.revision());
                self.round.answers.push(Answer::Stream(stream, bytes));
                parts.pods.len()
            }
            Work::Call(call) => {
                let answer = call(&mut self.core, now);
                self.round.answers.push(answer);
                0
            }
            Work::Look => 0,
            Work::Stop => {
                self.core.set_accepting(Accepting::No(status::stopping()));
                // What came before it is worked on; nothing comes after.
                self.stopping = true;
                0
            }
        }
    }

    /// Releases, confirmations and cancellations of a stream's message.
    fn give_back(&mut self, message: &[u8], parts: &Parts, writer: &mut ResponseWriter) {
        if parts.release.is_empty() && parts.confirm.is_empty() && parts.cancel.is_empty() {
            return;
        }
        if let Some(why) = self.core.not_accepted() {
            writer.not_accepted(why);
            return;
        }
        let text = |uid: &Span| -> &str { uid.text(message) };
        self.core.release(parts.release.iter().map(text), |uid| writer.unknown(uid));
        self.core.confirm(parts.confirm.iter().map(text), |uid| writer.unknown(uid));
        self.core.cancel(parts.cancel.iter().map(text), |uid| writer.unknown(uid));
    }

    fn schedule(
        &mut self,
        now: Millis,
        message: &[u8],
        parts: &Parts,
        stream: Option<&Arc<super::stream::Stream>>,
        writer: &mut ResponseWriter,
    ) {
        if parts.pods.is_empty() {
            return;
        }
        let begun = Instant::now();
        let before = self.core.counts().results();
        self.core.schedule(now, message, parts, stream, stream.is_none(), writer);
        let after = self.core.counts().results();
        self.shared.attempts(begun.elapsed(), after.0 - before.0, after.1 - before.1);
    }

    /// Ends the round.
    fn finish(&mut self) {
        let spare = self.durable.as_ref().map_or_else(Vec::new, Durable::buffer);
        let batches = self.core.take_round(spare, &mut self.round.later);
        match &mut self.durable {
            None => {
                for (span, records) in batches {
                    self.history.publish(span, records.into());
                }
                self.round.deliver(&self.history, None);
            }
            Some(durable) => {
                let nothing = self.round.answers.is_empty() && self.round.later.is_empty();
                if batches.is_empty() && nothing {
                    return;
                }
                durable.submit(batches, std::mem::take(&mut self.round), &self.history);
            }
        }
    }

    /// What is done between rounds; whether there is more to be done at once.
    fn do_chores(&mut self) -> bool {
        let due = self.chores.elapsed() > CHORES;
        if due {
            self.chores = Instant::now();
        }
        let Some(durable) = &mut self.durable else { return false };
        if due {
            self.shared.publish(durable.stats());
        }
        durable.consider_snapshot(&mut self.core);
        let begun = Instant::now();
        while durable.save(&mut self.core) {
            if begun.elapsed() > SAVING {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::{Options, Sequencer};

    /// Work that says when it is done.
    fn work(done: &Arc<AtomicBool>) -> Work {
        let done = Arc::clone(done);
        Work::Call(Box::new(move |_, _| {
            Answer::Call(Box::new(move |failed| done.store(failed.is_none(), Ordering::Release)))
        }))
    }

    #[test]
    fn small_work_is_done_at_once_unless_others_come_first() {
        let options =
            Options { engine: berth_scheduler_core::Options::default(), nomination_hold_ms: 1 };
        let desk = Desk::new(Sequencer::new(options), None, Arc::new(History::new(1_000)));
        let (send, receive) = crossbeam_channel::bounded(2);
        let done = Arc::new(AtomicBool::new(false));
        let tried = |desk: &Desk| desk.at_once(work(&done), &send).is_none();
        // Something waits.
        send.send(Work::Look).unwrap();
        assert!(!tried(&desk));
        receive.recv().unwrap();
        // The thread has something in its hands, or is at work.
        desk.claimed.store(true, Ordering::Release);
        assert!(!tried(&desk));
        desk.claimed.store(false, Ordering::Release);
        let at_work = desk.running.lock().unwrap();
        assert!(!tried(&desk));
        drop(at_work);
        assert!(!done.load(Ordering::Acquire), "none of it was done");
        assert!(tried(&desk));
        assert!(done.load(Ordering::Acquire), "and it is answered");
        assert!(receive.is_empty(), "nothing is due for the thread");
        desk.running.lock().unwrap().stopping = true;
        assert!(!tried(&desk));
    }
}
