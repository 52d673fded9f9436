// SPDX-License-Identifier: Apache-2.0
//! Pipes for bulk: a direction has one while it has bytes in it, and gives it back.

use crate::limits::{PIPE_BYTES, PIPES_MAX};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::os::fd::OwnedFd;

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) reader: OwnedFd,
    pub(super) writer: OwnedFd,
    pub(super) filled: usize,
}

/// Pipes that nobody uses.
#[derive(Debug)]
pub(super) struct Pipes {
    idle: Vec<Pipe>,
    made: usize,
    most: usize,
}

/// Idle pipes that are kept: making one takes three system calls.
const IDLE_MAX: usize = 64;

impl Pipes {
    /// No pipes yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { idle: Vec::new(), made: 0, most: most.min(PIPES_MAX) }
    }

    /// A pipe, if there is one to be had.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if self.made >= self.most {
            return None;
        }
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        // Past a user's share of pipe memory the kernel says no: a smaller pipe does too.
        let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
        self.made += 1;
        Some(Pipe { reader, writer, filled: 0 })
    }

    /// Gives a pipe back. One with bytes in it is no good to anybody else.
    pub(super) fn give_back(&mut self, pipe: Pipe) {
        if pipe.filled == 0 && self.idle.len() < IDLE_MAX {
            self.idle.push(pipe);
        } else {
            self.made -= 1;
        }
    }
}
