// SPDX-License-Identifier: Apache-2.0
//! A journal is read by two threads: this one reads files and records, another puts the state together. Each takes about as long
//! as the other, and the time of a start is the longer of the two.

use super::history::History;
use super::inbox::Core;
use super::stream::Stream;
use crate::sequencer::record::Reader;
use crate::sequencer::{Ahead, Options, Restore, Span, Steps};
use berth_scheduler_journal::Replay;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Steps go to the other thread when they take so many bytes: some thousands of pods.
const AT_ONCE: usize = 256 << 10;
/// So many portions are on their way.
const UNDER_WAY: usize = 4;

type State = Restore<Arc<Stream>>;

/// What is read so far.
pub(super) struct Reading<'a> {
    options: Options,
    history: &'a History,
    ahead: Ahead,
    steps: Steps,
    behind: Option<Behind>,
    state: Option<State>,
}

/// The other thread.
struct Behind {
    send: Sender<Steps>,
    /// Portions that were taken, to be filled again.
    spare: Receiver<Steps>,
    thread: JoinHandle<Result<State, String>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(options: Options, history: &'a History) -> Self {
        let state = Restore::new(options.clone());
        let ahead = state.ahead();
        Self { options, history, ahead, steps: Steps::default(), behind: None, state: Some(state) }
    }

    /// The state as it was.
    pub(super) fn finish(self) -> Core {
        self.state.unwrap_or_else(|| Restore::new(self.options)).finish()
    }

    fn read(&mut self, batch: &[u8]) -> Result<(), String> {
        self.ahead.read(batch, &mut self.steps)?;
        if self.steps.size() > AT_ONCE { self.hand_over() } else { Ok(()) }
    }

    /// Hands what was read to the other thread.
    fn hand_over(&mut self) -> Result<(), String> {
        if self.behind.is_none() {
            let state = self.state.take().ok_or("nothing can come after the end")?;
            self.behind = Some(Behind::start(state)?);
        }
        let Some(behind) = &self.behind else { return Ok(()) };
        let spare = behind.spare.try_recv().unwrap_or_default();
        let steps = std::mem::replace(&mut self.steps, spare);
        match behind.send.send(steps) {
            Ok(()) => Ok(()),
            // It has ended, and says why.
            Err(_) => self.join(),
        }
    }

    /// Waits until the other thread has taken everything.
    fn join(&mut self) -> Result<(), String> {
        let Some(Behind { send, thread, .. }) = self.behind.take() else { return Ok(()) };
        drop(send);
        match thread.join() {
            Ok(state) => self.state = Some(state?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(())
    }
}

impl Behind {
    fn start(mut state: State) -> Result<Self, String> {
        let (send, receive) = crossbeam_channel::bounded::<Steps>(UNDER_WAY);
        // With room for all there are, so that giving one back never waits.
        let (give_back, spare) = crossbeam_channel::bounded(UNDER_WAY + 2);
        let work = move || {
            for mut steps in receive {
                state.take(&mut steps)?;
                drop(give_back.try_send(steps));
            }
            Ok(state)
        };
        let thread = thread::Builder::new().name("recovery".into()).spawn(work);
        let thread = thread.map_err(|error| format!("no thread can be started: {error}"))?;
        Ok(Self { send, spare, thread })
    }
}

impl Replay for Reading<'_> {
    fn begin(&mut self) {
        // What comes of what was read before does not matter.
        if let Some(Behind { send, thread, .. }) = self.behind.take() {
            drop(send);
            drop(thread.join());
        }
        let state = Restore::new(self.options.clone());
        self.ahead = state.ahead();
        self.steps = Steps::default();
        self.state = Some(state);
        self.history.begin(0);
    }

    fn chunk(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let (slice, rest) = rest.split_at_checked(length).ok_or("a slice is cut")?;
            self.read(slice)?;
            bytes = rest;
        }
        Ok(())
    }

    fn batch(&mut self, _: u64, bytes: &[u8]) -> Result<(), String> {
        self.read(bytes)?;
        let before = Reader::new(bytes).map_err(|error| error.to_string())?.base();
        let last = self.ahead.revision();
        self.history.publish(Span { before, last }, Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.hand_over()?;
        self.join()
    }
}
