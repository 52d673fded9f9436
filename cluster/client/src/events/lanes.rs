// SPDX-License-Identifier: Apache-2.0
//! Many things are sent at a time, but of one object one after the other. No IO and no clock.

use super::book::Job;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// May be sent at once.
    ready: VecDeque<Job>,
    /// Of each object of which something is ready or under way: what comes after it.
    behind: HashMap<Arc<str>, VecDeque<Job>>,
    held: usize,
}

impl Lanes {
    /// How many are waiting or under way.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// One more.
    pub(super) fn push(&mut self, job: Job) {
        let Some(behind) = self.behind.get_mut(&job.about) else {
            self.behind.insert(Arc::clone(&job.about), VecDeque::new());
            self.ready.push_back(job);
            self.held += 1;
            return;
        };
        // A series that has not been sent yet is sent once, as it is by then.
        let same = |waiting: &&mut Job| {
            waiting.series.is_some() && Arc::ptr_eq(&waiting.event, &job.event)
        };
        match behind.back_mut().filter(same) {
            Some(waiting) => waiting.series = job.series,
            None => {
                behind.push_back(job);
                self.held += 1;
            }
        }
    }

    /// One that may be sent now. [`Lanes::done`] has to be called for it.
    pub(super) fn next(&mut self) -> Option<Job> {
        self.ready.pop_front()
    }

    /// What was sent about this object is done with.
    pub(super) fn done(&mut self, about: &Arc<str>) {
        self.held -= 1;
        match self.behind.get_mut(about).and_then(VecDeque::pop_front) {
            Some(job) => self.ready.push_back(job),
            None => drop(self.behind.remove(about)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::book::Book;
    use crate::events::{Happening, Reference, Type};
    use tokio::time::Instant;

    #[test]
    fn of_one_object_one_after_the_other_and_a_series_once() {
        let mut book = Book::new("c");
        let mut job = |name: &str, message: &str| {
            let about = Reference { name: name.into(), ..Reference::default() };
            let (reason, action) = ("R".into(), "A".into());
            let (kind, message) = (Type::Normal, message.into());
            let one = Happening { about, kind, reason, action, message, at: 1 };
            book.take(one, Instant::now()).unwrap()
        };
        let mut lanes = Lanes::default();
        for (name, message) in
            [("a", "1"), ("a", "1"), ("a", "1"), ("b", "1"), ("a", "2"), ("a", "1")]
        {
            lanes.push(job(name, message));
        }
        assert_eq!(lanes.held(), 5, "the second and the third are one");
        let text = |job: &Job| {
            let happening = &job.event.happening;
            let count = job.series.map_or(1, |series| series.count);
            format!("{} {} {count}", happening.about.name, happening.message)
        };
        let (a, b) = (lanes.next().unwrap(), lanes.next().unwrap());
        assert_eq!((text(&a), text(&b)), ("a 1 1".to_owned(), "b 1 1".to_owned()));
        assert!(lanes.next().is_none());
        lanes.done(&b.about);
        assert!(lanes.next().is_none());
        for wanted in ["a 1 3", "a 2 1", "a 1 4"] {
            lanes.done(&a.about);
            assert_eq!(text(&lanes.next().unwrap()), wanted);
        }
        lanes.done(&a.about);
        assert!(lanes.held() == 0 && lanes.behind.is_empty());
    }
}
