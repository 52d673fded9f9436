// SPDX-License-Identifier: Apache-2.0
//! Whether what clients saw of one key can be put into one order: each call takes effect at one moment between its begin and its end,
//! and writes in the order of their revisions, where these are known. After Wing and Gong, with Lowe's memory of what was tried.

use std::collections::BTreeSet;

/// What a client wants of a key. Values are numbers, each of which is written once; 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Do {
    Get,
    Put(u32),
    /// If the first is there, the second.
    Swap(u32, u32),
    Delete,
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    Saw(u32),
    Done,
    /// Nothing was done: this was there.
    Refused(u32),
    /// It may have been done or not, or may be done later.
    Unknown,
}

/// A call; its end is never where the answer is unknown, and its revision 0 where that is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) what: Do,
    pub(crate) got: Got,
    pub(crate) at: u64,
}

impl Call {
    fn writes(&self) -> bool {
        matches!(self.got, Got::Done | Got::Unknown)
    }

    /// It took effect for certain.
    fn counts(&self) -> bool {
        self.got != Got::Unknown || self.at > 0
    }
}

/// The value after a call that takes effect now; none if its answer would have been another one.
fn step(there: u32, call: &Call) -> Option<u32> {
    let refused = |because: bool| (because && call.got == Got::Refused(there)).then_some(there);
    let done = |value: u32| matches!(call.got, Got::Done | Got::Unknown).then_some(value);
    match call.what {
        Do::Get => (call.got == Got::Saw(there)).then_some(there),
        Do::Put(value) => done(value),
        Do::Swap(wanted, value) if wanted == there => done(value),
        Do::Swap(..) => refused(true),
        Do::Delete if there == 0 => refused(true),
        Do::Delete => done(0),
    }
}

/// How many situations are looked at before a history counts as one that cannot be judged.
const MOST: usize = 1_000_000;

/// One place of the search: what took effect, what is there then, how many of the writes with revisions were done, and which way to go
/// on is to be tried next.
#[derive(Clone)]
struct Place {
    done: Vec<u64>,
    there: u32,
    ordered: usize,
    next: usize,
}

struct Search {
    calls: Vec<Call>,
    /// Writes by their revisions, and writes that may have any place.
    ordered: Vec<usize>,
    free: Vec<usize>,
}

impl Place {
    fn has(&self, at: usize) -> bool {
        self.done[at / 64] >> (at % 64) & 1 == 1
    }

    fn take(&mut self, at: usize, there: u32) {
        self.done[at / 64] |= 1 << (at % 64);
        self.there = there;
    }
}

impl Search {
    /// Whoever began after another's end comes after it: the first end of those that are to come. None if all are done.
    fn end(&self, place: &Place) -> Option<u64> {
        let left =
            self.calls.iter().enumerate().filter(|(at, call)| call.counts() && !place.has(*at));
        left.map(|(_, call)| call.to).min()
    }

    /// Does what only looks, and is right now. Later it may not be, and nothing depends on it.
    fn look(&self, place: &mut Place) {
        let mut end = self.end(place).unwrap_or(0);
        for (at, call) in self.calls.iter().enumerate() {
            if call.from >= end {
                break;
            }
            if !place.has(at) && !call.writes() && step(place.there, call).is_some() {
                place.take(at, place.there);
                end = self.end(place).unwrap_or(0);
            }
        }
    }

    /// The next place that was not tried.
    fn go_on(&self, place: &mut Place) -> Option<Place> {
        let end = self.end(place)?;
        loop {
            let way = place.next;
            place.next += 1;
            let at = match way {
                0 => self.ordered.get(place.ordered),
                _ => Some(self.free.get(way - 1)?),
            };
            let Some(&at) = at.filter(|at| !place.has(**at) && self.calls[**at].from < end) else {
                continue;
            };
            if let Some(there) = step(place.there, &self.calls[at]) {
                let ordered = place.ordered + usize::from(way == 0);
                let mut next = Place { ordered, next: 0, ..place.clone() };
                next.take(at, there);
                self.look(&mut next);
                return Some(next);
            }
        }
    }
}

/// Says why, if there is no such order.
pub(crate) fn check(mut calls: Vec<Call>) -> Result<(), String> {
    calls.sort_by_key(|call| call.from);
    let writes = || (0..calls.len()).filter(|at| calls[*at].writes());
    let mut ordered: Vec<_> = writes().filter(|at| calls[*at].at > 0).collect();
    ordered.sort_by_key(|at| calls[*at].at);
    let free = writes().filter(|at| calls[*at].at == 0).collect();
    let search = Search { calls, ordered, free };
    let done = vec![0; search.calls.len().div_ceil(64)];
    let mut first = Place { done, there: 0, ordered: 0, next: 0 };
    search.look(&mut first);
    let (mut tried, mut best, mut path) = (BTreeSet::new(), first.clone(), vec![first]);
    while let Some(place) = path.last_mut() {
        if search.end(place).is_none() {
            return Ok(());
        }
        if place.ordered > best.ordered {
            best = place.clone();
        }
        match search.go_on(place) {
            None => drop(path.pop()),
            Some(next) if tried.insert((next.done.clone(), next.there)) => path.push(next),
            Some(_) => {}
        }
        if tried.len() > MOST {
            return Err(format!("not judged after {MOST} situations"));
        }
    }
    let open = |(at, call): (usize, &Call)| (!best.has(at) && call.counts()).then_some(*call);
    let rest: Vec<_> = search.calls.iter().enumerate().filter_map(open).take(8).collect();
    Err(format!("no order: {} is there, and none of these can be the next: {rest:?}", best.there))
}

fn call(from: u64, to: u64, what: Do, got: Got) -> Call {
    Call { from, to, what, got, at: 0 }
}

#[test]
fn an_order_is_found_where_there_is_one() {
    use Do::{Delete, Get, Put, Swap};
    use Got::{Done, Refused, Saw, Unknown};
    let good = [
        vec![call(0, 1, Put(1), Done), call(2, 3, Get, Saw(1)), call(4, 5, Delete, Done)],
        // At the same time: either order.
        vec![call(0, 9, Put(1), Done), call(1, 8, Put(2), Done), call(10, 11, Get, Saw(1))],
        // What is unknown comes late, or never.
        vec![call(0, 1, Get, Saw(0)), call(2, u64::MAX, Put(7), Unknown), call(5, 6, Get, Saw(0))],
        vec![call(2, u64::MAX, Put(7), Unknown), call(5, 6, Get, Saw(0)), call(8, 9, Get, Saw(7))],
        vec![call(0, 1, Swap(0, 1), Done), call(2, 3, Swap(0, 2), Refused(1))],
    ];
    for calls in good {
        check(calls).unwrap();
    }
    let bad = [
        // Old after new; lost; twice; of two that were to be the first both were.
        vec![call(0, 1, Put(1), Done), call(2, 3, Put(2), Done), call(4, 5, Get, Saw(1))],
        vec![call(0, 1, Put(1), Done), call(2, 3, Get, Saw(0))],
        vec![call(0, 1, Get, Saw(7)), call(2, u64::MAX, Put(7), Unknown)],
        vec![call(0, 5, Swap(0, 1), Done), call(1, 6, Swap(0, 2), Done)],
        // It went back to what was there before.
        vec![call(0, u64::MAX, Put(7), Unknown), call(1, 2, Get, Saw(7)), call(3, 4, Get, Saw(0))],
        vec![call(0, 9, Put(1), Done), call(1, 2, Swap(0, 2), Refused(1)), call(3, 4, Get, Saw(0))],
        vec![call(0, 1, Delete, Refused(1))],
    ];
    for calls in bad {
        assert!(check(calls.clone()).is_err(), "{calls:?}");
    }
    // Where revisions say which was first, it is not the other one.
    let mut both =
        vec![call(0, 9, Put(1), Done), call(1, 8, Put(2), Done), call(10, 11, Get, Saw(1))];
    (both[0].at, both[1].at) = (6, 5);
    check(both.clone()).unwrap();
    (both[0].at, both[1].at) = (5, 6);
    assert!(check(both).is_err());
}
