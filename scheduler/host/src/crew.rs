// SPDX-License-Identifier: Apache-2.0
//! Threads that the engine may share work out over.
//!
//! What it shares out takes some 20 us, and comes again as soon. A pool that sleeps between two calls takes longer than that to
//! wake up (measured with rayon: nothing was gained), so these threads look out for work for a while before they sleep.

use berth_scheduler_core::Parallel;
use std::hint::spin_loop;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{self, JoinHandle};

/// How often a thread looks for work before it sleeps: some 100 us.
const LOOKS: u32 = 5_000;

/// So many threads, the caller's included; `None` for a single one, which needs no others.
pub fn threads(count: usize) -> io::Result<Option<Arc<dyn Parallel>>> {
    if count < 2 {
        return Ok(None);
    }
    let mates = (1..count).map(Mate::start).collect::<io::Result<Vec<Mate>>>()?;
    Ok(Some(Arc::new(Crew { mates, busy: Mutex::new(()) })))
}

/// A thread that takes one task at a time.
#[derive(Debug)]
struct Mate {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

type Task = &'static mut (dyn FnMut() + Send);

/// Where a task is laid down; cleared when it is done.
#[derive(Debug, Default)]
struct Desk {
    task: AtomicPtr<Task>,
    asleep: AtomicBool,
    panicked: AtomicBool,
    stop: AtomicBool,
}

impl Desk {
    fn work(&self) {
        let mut looks = 0;
        while !self.stop.load(Ordering::Acquire) {
            let task = self.task.load(Ordering::Acquire);
            if !task.is_null() {
                self.run(task);
                looks = 0;
            } else if looks < LOOKS {
                looks += 1;
                spin_loop();
            } else {
                self.asleep.store(true, Ordering::SeqCst);
                // What was laid down before that was seen is still taken up; what comes later wakes this thread.
                if self.task.load(Ordering::SeqCst).is_null() && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
            }
        }
    }

    #[expect(unsafe_code, reason = "the caller keeps the task until it is done")]
    fn run(&self, task: *mut Task) {
        // SAFETY: `Crew::run` laid it down, holds its only borrow, and does not return before it is cleared.
        let task = unsafe { &mut *task };
        if catch_unwind(AssertUnwindSafe(task)).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.task.store(null_mut(), Ordering::Release);
    }
}

impl Mate {
    fn start(at: usize) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let its = Arc::clone(&desk);
        let name = format!("scheduler-{at}");
        let thread = thread::Builder::new().name(name).spawn(move || its.work())?;
        Ok(Self { desk, thread: Some(thread) })
    }

    fn wake(&self) {
        if self.desk.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Mate {
    fn drop(&mut self) {
        self.desk.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends with its work; that it ended in a panic was told when that happened.
            drop(thread.join());
        }
    }
}

#[derive(Debug)]
struct Crew {
    /// All but the caller's thread.
    mates: Vec<Mate>,
    /// Held by the caller whose tasks lie on the desks: another one must not lay its own on top of them.
    busy: Mutex<()>,
}

/// Waits until all desks are clear, also while a panic unwinds: what lies there is borrowed.
struct Wait<'a>(&'a [Mate]);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        for mate in self.0 {
            let mut looks = 0;
            while !mate.desk.task.load(Ordering::Acquire).is_null() {
                looks += 1;
                if looks < LOOKS {
                    spin_loop();
                } else {
                    thread::yield_now();
                }
            }
        }
    }
}

impl Parallel for Crew {
    fn threads(&self) -> usize {
        self.mates.len() + 1
    }

    fn run(&self, tasks: &mut [&mut (dyn FnMut() + Send)]) {
        let busy = match self.busy.try_lock() {
            // What a panic left behind is clear desks.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            other => other.ok(),
        };
        // Who finds the others at work does all of it alone.
        let others = if busy.is_some() { self.mates.len() } else { 0 };
        let given = others.min(tasks.len().saturating_sub(1));
        let (theirs, ours) = tasks.split_at_mut(given);
        let wait = Wait(&self.mates[..given]);
        for (mate, task) in self.mates.iter().zip(theirs) {
            let task: *mut &mut (dyn FnMut() + Send) = task;
            // The lifetime goes; `wait` keeps this call, and with it the borrow, until the desk is clear again.
            mate.desk.task.store(task.cast::<Task>(), Ordering::SeqCst);
            mate.wake();
        }
        for task in ours {
            task();
        }
        drop(wait);
        let panicked = |mate: &Mate| mate.desk.panicked.swap(false, Ordering::Relaxed);
        let lost = self.mates[..given].iter().filter(|mate| panicked(mate)).count();
        assert!(lost == 0, "a task of another thread panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn add(crew: &dyn Parallel, sums: &mut [u64]) {
        let mut work: Vec<_> = sums.iter_mut().map(|sum| move || *sum += 1).collect();
        let mut tasks: Vec<&mut (dyn FnMut() + Send)> =
            work.iter_mut().map(|work| work as &mut (dyn FnMut() + Send)).collect();
        crew.run(&mut tasks);
    }

    #[test]
    fn each_task_runs_once() {
        for count in [2, 3, 5] {
            let crew = threads(count).unwrap().unwrap();
            assert_eq!(crew.threads(), count);
            let mut sums = [0; 7];
            for round in 1..2_000 {
                let some = round % 8;
                let before = sums;
                add(&*crew, &mut sums[..some]);
                for at in 0..7 {
                    assert_eq!(sums[at], before[at] + u64::from(at < some));
                }
                if round % 500 == 0 {
                    // So long that they sleep.
                    thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    #[test]
    fn a_panic_comes_through_and_the_crew_goes_on() {
        let crew = threads(2).unwrap().unwrap();
        for who in 0..2 {
            let mut done = [false; 2];
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let mut work: Vec<_> = (0..)
                    .zip(&mut done)
                    .map(|(at, done)| {
                        move || {
                            assert_ne!(at, who, "as planned");
                            *done = true;
                        }
                    })
                    .collect();
                let mut tasks: Vec<&mut (dyn FnMut() + Send)> =
                    work.iter_mut().map(|work| work as &mut (dyn FnMut() + Send)).collect();
                crew.run(&mut tasks);
            }));
            assert!(outcome.is_err());
            assert_eq!(done, [who != 0, who != 1]);
            let mut sums = [0; 2];
            add(&*crew, &mut sums);
            assert_eq!(sums, [1, 1]);
        }
    }

    #[test]
    fn callers_do_not_take_each_others_desks() {
        let crew = threads(3).unwrap().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut sums = [0; 4];
                    for round in 1..5_000 {
                        add(&*crew, &mut sums);
                        assert_eq!(sums, [round; 4]);
                    }
                });
            }
        });
    }

    #[test]
    fn one_thread_needs_no_others() {
        assert!(threads(0).unwrap().is_none());
        assert!(threads(1).unwrap().is_none());
    }
}
