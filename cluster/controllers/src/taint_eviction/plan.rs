// SPDX-License-Identifier: Apache-2.0
//! How long a pod may stay on a node with taints that drive pods out.

use crate::view::{Micros, Taint, Toleration};
use std::time::Duration;

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// As long as it likes.
    Ever,
    /// Until then.
    Until(Since),
}

/// A moment: microseconds since any fixed one, by a clock that nobody sets. What came before it is negative.
pub type Since = i64;

/// A taint, and since when it drives pods out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Felt {
    /// It.
    pub taint: Taint,
    /// Since when.
    pub since: Since,
}

/// Since when taints drive pods out that a node has now: those that it had before (`known`) since they came, the others since they were
/// added by what they say of it. Once that is known, a clock that is set changes nothing; upstream counts from when it sees them.
pub fn felt(known: &[Felt], taints: &[&Taint], wall: Micros, now: Duration) -> Vec<Felt> {
    let now = Since::try_from(now.as_micros()).unwrap_or(Since::MAX);
    let since = |taint: &Taint| {
        let age = taint.time_added.map_or(0, |at| wall.0.saturating_sub(at.0).max(0));
        now.saturating_sub(age)
    };
    let before = |taint: &Taint| known.iter().find(|one| one.taint == *taint);
    let all = taints.iter().map(|&taint| Felt {
        taint: taint.clone(),
        since: before(taint).map_or_else(|| since(taint), |one| one.since),
    });
    all.collect()
}

/// Whether a toleration is of a taint that drives pods out.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    let key = toleration.key.is_empty() || toleration.key == taint.key;
    let value = toleration.operator == "Exists" || toleration.value == taint.value;
    effect && key && value
}

/// How long a pod with these tolerations may stay under these taints. Of several times the shortest counts.
pub fn stay(taints: &[Felt], tolerations: &[Toleration]) -> Stay {
    let mut end: Option<Since> = None;
    for Felt { taint, since } in taints {
        let mut matching = tolerations.iter().filter(|one| tolerates(one, taint)).peekable();
        if matching.peek().is_none() {
            return Stay::Until(Since::MIN);
        }
        for seconds in matching.filter_map(|one| one.toleration_seconds) {
            let at = since.saturating_add(seconds.max(0).saturating_mul(1_000_000));
            end = Some(end.map_or(at, |end| end.min(at)));
        }
    }
    end.map_or(Stay::Ever, Stay::Until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, since: Since) -> Felt {
        let (key, effect) = (key.to_owned(), "NoExecute".to_owned());
        Felt { taint: Taint { key, effect, ..Taint::default() }, since }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: key.to_owned(),
            operator: "Exists".to_owned(),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    #[test]
    fn a_pod_stays_as_long_as_it_stands_all_taints() {
        let (a, b) = (taint("a", 5), taint("b", 9_000_000));
        let one = std::slice::from_ref(&a);
        let both = [a.clone(), b];
        assert_eq!(stay(&[], &[]), Stay::Ever);
        assert_eq!(stay(one, &[]), Stay::Until(Since::MIN));
        assert_eq!(stay(&both, &[toleration("a", None)]), Stay::Until(Since::MIN));
        assert_eq!(stay(one, &[toleration("a", None)]), Stay::Ever);
        assert_eq!(stay(&both, &[toleration("", None)]), Stay::Ever);
        let times = [toleration("a", Some(300)), toleration("b", Some(1))];
        assert_eq!(stay(&both, &times), Stay::Until(10_000_000));
        assert_eq!(stay(one, &[toleration("a", Some(-3))]), Stay::Until(5));
        let other = Toleration { effect: "NoSchedule".to_owned(), ..toleration("a", None) };
        assert_eq!(stay(one, &[other]), Stay::Until(Since::MIN));
        let valued = Toleration {
            operator: "Equal".to_owned(),
            value: "x".to_owned(),
            ..toleration("a", None)
        };
        assert_eq!(stay(one, &[valued]), Stay::Until(Since::MIN));
    }

    #[test]
    fn a_taint_counts_from_when_it_came_whatever_becomes_of_the_clock() {
        let came = Micros(1_000_000_000);
        let taint = Taint { time_added: Some(came), ..taint("a", 0).taint };
        let since = |known: &[Felt], wall: i64, now: u64| {
            felt(known, &[&taint], Micros(wall), Duration::from_secs(now))[0].since
        };
        assert_eq!(since(&[], came.0 + 3_000_000, 10), 7_000_000);
        assert_eq!(since(&[], came.0 + 30_000_000, 10), -20_000_000, "before we came");
        assert_eq!(since(&[], came.0 - 3_000_000, 10), 10_000_000, "none comes from the future");
        let known = [Felt { taint: taint.clone(), since: 7_000_000 }];
        for wall in [came.0 - 3_600_000_000, came.0 + 3_600_000_000] {
            assert_eq!(since(&known, wall, 20), 7_000_000);
        }
    }
}
