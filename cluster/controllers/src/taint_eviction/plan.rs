// SPDX-License-Identifier: Apache-2.0
//! How long a pod may stay on a node with taints that drive pods out.

use crate::view::{Micros, Taint, Toleration};

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// As long as it likes.
    Ever,
    /// Until then.
    Until(Micros),
}

/// Whether a toleration is of a taint that drives pods out.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    let key = toleration.key.is_empty() || toleration.key == taint.key;
    let value = toleration.operator == "Exists" || toleration.value == taint.value;
    effect && key && value
}

/// How long a pod with these tolerations may stay under these taints. Of several times the shortest counts, from when a taint came; of a
/// taint that does not say when, from `changed`, when the node's taints last changed.
pub fn stay(taints: &[&Taint], tolerations: &[Toleration], changed: Micros) -> Stay {
    let mut end = None;
    for taint in taints {
        let mut matching = tolerations.iter().filter(|one| tolerates(one, taint)).peekable();
        if matching.peek().is_none() {
            return Stay::Until(Micros(0));
        }
        let since = taint.time_added.unwrap_or(changed);
        for seconds in matching.filter_map(|one| one.toleration_seconds) {
            let at = since.0.saturating_add(seconds.max(0).saturating_mul(1_000_000));
            end = Some(end.map_or(at, |end: i64| end.min(at)));
        }
    }
    end.map_or(Stay::Ever, |at| Stay::Until(Micros(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, at: i64) -> Taint {
        Taint {
            key: key.to_owned(),
            effect: "NoExecute".to_owned(),
            time_added: Some(Micros(at)),
            ..Taint::default()
        }
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
        let (a, b, now) = (taint("a", 5), taint("b", 9_000_000), Micros(10_000_000));
        let check = |taints: &[&Taint], tolerations: &[Toleration]| stay(taints, tolerations, now);
        assert_eq!(check(&[], &[]), Stay::Ever);
        assert_eq!(check(&[&a], &[]), Stay::Until(Micros(0)));
        assert_eq!(check(&[&a, &b], &[toleration("a", None)]), Stay::Until(Micros(0)));
        assert_eq!(check(&[&a], &[toleration("a", None)]), Stay::Ever);
        assert_eq!(check(&[&a, &b], &[toleration("", None)]), Stay::Ever);
        assert_eq!(
            check(&[&a, &b], &[toleration("a", Some(300)), toleration("b", Some(1))]),
            Stay::Until(Micros(10_000_000))
        );
        assert_eq!(check(&[&a], &[toleration("a", Some(-3))]), Stay::Until(Micros(5)));
        let other = Toleration { effect: "NoSchedule".to_owned(), ..toleration("a", None) };
        assert_eq!(check(&[&a], &[other]), Stay::Until(Micros(0)));
        let valued = Toleration {
            operator: "Equal".to_owned(),
            value: "x".to_owned(),
            ..toleration("a", None)
        };
        assert_eq!(check(&[&a], &[valued]), Stay::Until(Micros(0)));
    }
}
