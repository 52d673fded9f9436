// SPDX-License-Identifier: Apache-2.0
//! In which order upstreams are asked. No clock: time is an argument.

use crate::limits::SHUNNED;
use std::time::Duration;

/// Until when each is asked last, as it did not answer.
#[derive(Debug)]
pub(crate) struct Order(Vec<Option<Duration>>);

impl Order {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    /// All, as they were given; but those that were silent lately come last, the one whose time is over first before others.
    pub(crate) fn list(&self, now: Duration) -> Vec<usize> {
        let until = |index: &usize| self.0[*index].filter(|until| *until > now);
        let mut list: Vec<usize> = (0..self.0.len()).collect();
        list.sort_by_key(until);
        list
    }

    /// One gave nothing.
    pub(crate) fn failed(&mut self, index: usize, now: Duration) {
        self.0[index] = Some(now + SHUNNED);
    }

    /// One answered.
    pub(crate) fn worked(&mut self, index: usize) {
        self.0[index] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_silent_is_asked_last_for_a_while() {
        let second = Duration::from_secs;
        let mut order = Order::new(3);
        assert_eq!(order.list(second(1)), [0, 1, 2]);
        order.failed(0, second(1));
        order.failed(1, second(2));
        assert_eq!(order.list(second(3)), [2, 0, 1]);
        order.failed(2, second(3));
        assert_eq!(order.list(second(4)), [0, 1, 2]);
        order.worked(1);
        assert_eq!(order.list(second(4)), [1, 0, 2]);
        assert_eq!(order.list(second(1) + SHUNNED), [0, 1, 2]);
        assert_eq!(order.list(second(3) + SHUNNED), [0, 1, 2]);
    }
}
