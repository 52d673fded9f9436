// SPDX-License-Identifier: Apache-2.0
//! What was told already: new events, those that go into a series, and those that are too many. No IO and no clock.

use super::Happening;
use super::form::{self, Series};
use crate::chance::hash;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What happens again within this time is the same event; client-go's number.
const WINDOW: Duration = Duration::from_mins(10);
/// Events about one object that are told at once, and after how long one more is; client-go's numbers.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_mins(5);
/// Different events about one object that are remembered: as many as can be told, and some.
const DIFFERENT: usize = 32;
/// Objects that are remembered twice: the first so many, and the so many before them; client-go's number.
const OBJECTS: usize = 4_096;

/// Something to be sent.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Jobs about one object are sent in order.
    pub(super) about: Arc<str>,
    pub(super) event: Arc<Told>,
    /// It is told already, and happened again.
    pub(super) series: Option<Series>,
}

/// An event as it was told first.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) happening: Happening,
}

/// An event that may happen again.
#[derive(Debug)]
struct Known {
    told: Arc<Told>,
    count: u32,
    seen: Instant,
}

impl Known {
    fn is(&self, other: &Happening) -> bool {
        let own = &self.told.happening;
        own.about.field_path == other.about.field_path
            && (own.kind, &own.reason, &own.action, &own.message)
                == (other.kind, &other.reason, &other.action, &other.message)
    }
}

/// An object that something was told of.
#[derive(Debug)]
struct About {
    key: Arc<str>,
    events: Vec<Known>,
    /// What may be told still, as of `filled`.
    left: u32,
    filled: Instant,
}

impl About {
    fn new(key: Arc<str>, now: Instant) -> Self {
        Self { key, events: Vec::new(), left: BURST, filled: now }
    }

    /// Whether one more may be told.
    fn may(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        let more = u32::try_from(passed.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if more >= BURST - self.left {
            (self.left, self.filled) = (BURST, now);
        } else {
            self.left += more;
            self.filled += REFILL * more;
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

/// The memory of one component.
#[derive(Debug)]
pub(super) struct Book {
    component: Box<str>,
    /// The number in the last name: none is given twice.
    last: i64,
    /// Objects of late, and those before them, which are forgotten when there are too many of late.
    young: HashMap<Arc<str>, About>,
    old: HashMap<Arc<str>, About>,
}

impl Book {
    pub(super) fn new(component: &str) -> Self {
        Self { component: component.into(), last: 0, young: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn component(&self) -> &str {
        &self.component
    }

    /// Takes something in: what is to be sent of it, if anything is.
    pub(super) fn take(&mut self, mut happening: Happening, now: Instant) -> Option<Job> {
        let cut = form::cut(&happening.message).len();
        happening.message.truncate(cut);
        let number = self.number(happening.at);
        let about = self.about(&happening, now);
        about.events.retain(|known| now.saturating_duration_since(known.seen) < WINDOW);
        let may = about.may(now);
        if let Some(known) = about.events.iter_mut().find(|known| known.is(&happening)) {
            // What is not told now is in the count that is told next.
            known.count = known.count.saturating_add(1);
            known.seen = now;
            let series = Some(Series { count: known.count, last: happening.at });
            let event = Arc::clone(&known.told);
            return may.then(|| Job { about: Arc::clone(&about.key), event, series });
        }
        if !may {
            return None;
        }
        let name = form::name(&happening.about.name, number);
        let told = Arc::new(Told { name, happening });
        if about.events.len() == DIFFERENT {
            about.events.remove(0);
        }
        about.events.push(Known { told: Arc::clone(&told), count: 1, seen: now });
        Some(Job { about: Arc::clone(&about.key), event: told, series: None })
    }

    /// Nanoseconds of a moment, made different from those of all others.
    fn number(&mut self, at: i64) -> i64 {
        // Two components that tell of one object in the same microsecond differ in what clocks do not count.
        let own = i64::try_from(hash(&self.component) % 1_000).unwrap_or(0);
        self.last = at.saturating_mul(1_000).saturating_add(own).max(self.last + 1);
        self.last
    }

    fn about(&mut self, happening: &Happening, now: Instant) -> &mut About {
        let about = &happening.about;
        let key = [&*about.kind, &*about.namespace, &*about.name, &*about.uid].join("/");
        if !self.young.contains_key(key.as_str()) {
            if self.young.len() == OBJECTS {
                self.old = std::mem::take(&mut self.young);
            }
            let known = self.old.remove(key.as_str());
            let known = known.unwrap_or_else(|| About::new(key.as_str().into(), now));
            self.young.insert(Arc::clone(&known.key), known);
        }
        self.young.entry(key.into()).or_insert_with_key(|key| About::new(Arc::clone(key), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Reference, Type};

    fn happening(name: &str, message: &str) -> Happening {
        let about = Reference { kind: "Pod".into(), name: name.into(), ..Reference::default() };
        let (reason, action) = ("R".into(), "A".into());
        Happening { about, kind: Type::Normal, reason, action, message: message.into(), at: 5_000 }
    }

    /// `new`, the count of a series, or nothing.
    fn told(job: Option<Job>) -> String {
        match job {
            None => "nothing".to_owned(),
            Some(Job { series: None, .. }) => "new".to_owned(),
            Some(Job { series: Some(series), .. }) => series.count.to_string(),
        }
    }

    #[test]
    fn what_happens_again_within_ten_minutes_is_one_event() {
        let mut book = Book::new("c");
        let start = Instant::now();
        let mut at = |seconds: u64, name: &str, message: &str| {
            told(book.take(happening(name, message), start + Duration::from_secs(seconds)))
        };
        assert_eq!(at(0, "a", "m"), "new");
        assert_eq!(at(1, "a", "m"), "2");
        assert_eq!(at(2, "a", "other"), "new");
        assert_eq!(at(2, "b", "m"), "new", "about another object");
        assert_eq!(at(599, "a", "m"), "3");
        assert_eq!(at(1_198, "a", "m"), "4", "counted from the last time");
        assert_eq!(at(1_798, "a", "m"), "new");
    }

    #[test]
    fn an_object_of_which_too_much_is_told_is_left_in_peace() {
        let mut book = Book::new("c");
        let start = Instant::now();
        for count in 0..100 {
            let job = book.take(happening("a", &format!("m{count}")), start);
            assert_eq!(job.is_some(), count < 25, "{count}");
        }
        assert_eq!(told(book.take(happening("b", "m"), start)), "new", "another object");
        assert_eq!(told(book.take(happening("a", "m24"), start)), "nothing");
        let later = start + Duration::from_mins(5);
        assert_eq!(told(book.take(happening("a", "m24"), later)), "3", "all are counted");
        assert_eq!(told(book.take(happening("a", "m24"), later)), "nothing");
        let much_later = start + Duration::from_mins(500);
        for count in 0..100 {
            let job = book.take(happening("a", &format!("n{count}")), much_later);
            assert_eq!(job.is_some(), count < 25, "{count}");
        }
    }

    #[test]
    fn no_name_is_given_twice_and_the_memory_is_bounded() {
        let mut book = Book::new("c");
        let now = Instant::now();
        let mut names = std::collections::BTreeSet::new();
        for round in 0..3 {
            for object in 0..5_000 {
                let mut one = happening(&format!("p{object}"), &format!("{round}"));
                // A clock that goes back.
                one.at = 9_000 - round;
                let job = book.take(one, now).unwrap();
                assert!(names.insert(job.event.name.clone()), "{}", job.event.name);
            }
        }
        assert!(book.young.len() + book.old.len() <= 2 * OBJECTS);
        assert_eq!(told(book.take(happening("p4999", "2"), now)), "2", "the latest are remembered");
    }
}
