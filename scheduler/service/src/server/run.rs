// SPDX-License-Identifier: Apache-2.0
//! The sequencer's thread: takes what waits, has it decided, and hands the round on.

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
use crossbeam_channel::RecvTimeoutError;
use std::sync::Arc;
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

/// The sequencer with its surroundings.
pub(super) struct Running {
    core: Core,
    durable: Option<Durable>,
    outlet: Outlet,
    history: Arc<History>,
    shared: Arc<Shared>,
    clock: Clock,
    round: Round,
    chores: Instant,
    stopping: bool,
}

impl Running {
    pub(super) fn new(
        core: Core,
        durable: Option<Durable>,
        outlet: Outlet,
        history: Arc<History>,
    ) -> Self {
        let clock = Clock::new();
        let shared = Arc::new(Shared::new(clock));
        if let Some(durable) = &durable {
            shared.publish(durable.stats());
        }
        let round = Round::default();
        let chores = Instant::now();
        Self { core, durable, outlet, history, shared, clock, round, chores, stopping: false }
    }

    /// What it shows of itself to others.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn run(mut self) {
        let _alive = self.shared.alive();
        let mut more = false;
        while !self.stopping {
            if self.durable.as_mut().is_some_and(Durable::is_pressed) {
                // More work would need more of the disk than is promised.
                if !self.do_chores() {
                    thread::sleep(NAP);
                }
                continue;
            }
            let first = self.wait(more);
            let now = self.clock.now();
            if let Some(durable) = &mut self.durable {
                durable.watch(&mut self.core, self.stopping);
            }
            if let Some(first) = first {
                self.take(now, first);
            }
            more = self.tick(now);
            self.finish();
            more |= self.do_chores();
        }
        if let Some(durable) = self.durable {
            durable.close();
        }
    }

    /// The next piece of work, if there is one before something else is to be done.
    fn wait(&mut self, more: bool) -> Option<Work> {
        if more {
            return self.outlet.receive.try_recv().ok();
        }
        let mut patience = REST;
        if let Some(at) = self.core.next_wake() {
            patience = patience.min(Duration::from_millis(at.saturating_sub(self.clock.now())));
        }
        if self.durable.as_ref().is_some_and(Durable::is_saving) {
            patience = patience.min(NAP);
        }
        match self.outlet.receive.recv_timeout(patience) {
            Ok(work) => Some(work),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.stopping = true;
                None
            }
        }
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
    fn take(&mut self, now: Millis, first: Work) {
        let mut next = Some(first);
        let (mut messages, mut pods) = (0, 0);
        while let Some(work) = next {
            self.outlet.took(&work);
            pods += self.work(now, work);
            messages += 1;
            let full = messages >= MESSAGES || pods >= PODS || self.core.round_bytes() >= BYTES;
            if full || self.stopping {
                break;
            }
            next = self.outlet.receive.try_recv().ok();
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
