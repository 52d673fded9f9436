// SPDX-License-Identifier: Apache-2.0
//! The thread that makes batches durable: one frame, one write, one sync for all that gathered while the last one ran.

use super::{Completion, Shared};
use crate::error::CommitError;
use crate::frame::FrameBuilder;
use crate::log::{AppendError, Log};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::time::Duration;

/// Submissions under way.
const SUBMISSIONS_MAX: usize = 256;
/// Buffers kept for the next batches, and their size at most: more would be memory that is hardly used.
const SPARE_MAX: usize = 8;
const SPARE_BYTES_MAX: usize = 1 << 20;
/// Larger frames gain nothing, and a batch waits for all of its group.
const GROUP_BYTES: usize = 1 << 20;
/// How often a write that found no space is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Submission<T> {
    pub(crate) batch: Vec<u8>,
    pub(crate) answer: T,
}

pub(crate) fn channel<T>() -> (Sender<Submission<T>>, Receiver<Submission<T>>) {
    bounded(SUBMISSIONS_MAX)
}

pub(crate) fn spare() -> (Sender<Vec<u8>>, Receiver<Vec<u8>>) {
    bounded(SPARE_MAX)
}

pub(crate) struct Committer<T> {
    log: Log,
    shared: Arc<Shared>,
    receive: Receiver<Submission<T>>,
    give_back: Sender<Vec<u8>>,
    completion: Completion<T>,
    frame: FrameBuilder,
    group: Vec<T>,
    /// A frame takes no further batch above this size.
    group_bytes: usize,
    /// A batch was given up: what comes after it must not take its number.
    failed: bool,
}

impl<T> Committer<T> {
    pub(crate) fn new(
        log: Log,
        shared: Arc<Shared>,
        receive: Receiver<Submission<T>>,
        give_back: Sender<Vec<u8>>,
        completion: Completion<T>,
    ) -> Self {
        let frame = FrameBuilder::default();
        Self {
            // A last batch of half a segment still has room after a quarter of one.
            group_bytes: GROUP_BYTES.min(log.segment_bytes() / 4),
            log,
            shared,
            receive,
            give_back,
            completion,
            frame,
            group: Vec::new(),
            failed: false,
        }
    }

    pub(crate) fn run(mut self) {
        // Ends when the journal has dropped its sender and all is taken.
        while let Ok(first) = self.receive.recv() {
            self.frame.begin(self.log.last() + 1);
            let mut bytes = self.take(first);
            while self.frame.len_with(0) < self.group_bytes
                && let Ok(next) = self.receive.try_recv()
            {
                bytes += self.take(next);
            }
            let result = if self.frame.is_empty() { Ok(()) } else { self.commit() };
            let submissions = self.group.len() as u64;
            for answer in self.group.drain(..) {
                (self.completion)(answer, result);
            }
            self.shared.completed(submissions, bytes);
        }
    }

    fn take(&mut self, submission: Submission<T>) -> u64 {
        let mut batch = submission.batch;
        let bytes = batch.len();
        if bytes > 0 {
            self.frame.push(&batch);
        }
        self.group.push(submission.answer);
        if batch.capacity() <= SPARE_BYTES_MAX {
            batch.clear();
            // With enough of them there, this one goes.
            drop(self.give_back.try_send(batch));
        }
        bytes as u64
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        if self.failed {
            return Err(CommitError::Failed);
        }
        loop {
            match self.log.append(&mut self.frame) {
                Ok(()) => {
                    self.shared.wrote(self.log.last(), self.frame.len_with(0) as u64);
                    return Ok(());
                }
                Err(AppendError::NoSegment) => match self.shared.take_next() {
                    Some(next) => self.log.give_next(next),
                    None => return self.fail(),
                },
                // The space was allocated, but some file systems copy what is written again. Nothing is lost by waiting.
                Err(AppendError::Full(error)) => {
                    self.shared.note_trouble("write to the log", &error);
                    self.shared.set_full(true);
                    if !self.shared.pause(TRY_AGAIN) {
                        return self.fail();
                    }
                }
                Err(AppendError::Fatal(error)) => {
                    self.shared.note_trouble("write to the log", &error);
                    return self.fail();
                }
            }
        }
    }

    fn fail(&mut self) -> Result<(), CommitError> {
        self.failed = true;
        self.shared.fail();
        Err(CommitError::Failed)
    }
}
