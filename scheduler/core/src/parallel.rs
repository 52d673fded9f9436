// SPDX-License-Identifier: Apache-2.0
//! Work shared out over threads. The pure engine does not know how to make any: it is given somebody who does.

use alloc::vec::Vec;
use core::fmt::Debug;

/// Runs pieces of work side by side. Which thread runs which piece changes no answer.
pub trait Parallel: Debug + Send + Sync {
    /// Number of threads, the caller's included.
    fn threads(&self) -> usize;

    /// Runs all tasks, each once, and returns when all are done.
    fn run(&self, tasks: &mut [&mut (dyn FnMut() + Send)]);
}

/// Calls `work` for each item, on the threads of `parallel`.
pub(crate) fn for_each<T: Send>(
    parallel: &dyn Parallel,
    items: &mut [T],
    work: impl Fn(&mut T) + Sync,
) {
    let share = items.len().div_ceil(parallel.threads().max(1)).max(1);
    let work = &work;
    let mut pieces: Vec<_> =
        items.chunks_mut(share).map(|chunk| move || chunk.iter_mut().for_each(work)).collect();
    let mut tasks: Vec<&mut (dyn FnMut() + Send)> =
        pieces.iter_mut().map(|piece| piece as &mut (dyn FnMut() + Send)).collect();
    parallel.run(&mut tasks);
}
