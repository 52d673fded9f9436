// SPDX-License-Identifier: Apache-2.0
//! What happens when: pods come and go, in the order of their times.

use super::read::TracePod;

/// What happens at one moment. What goes goes first, so that it makes room for what comes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moment {
    /// Seconds since the beginning of the trace.
    pub at: u64,
    /// Indices of pods that go.
    pub gone: Vec<usize>,
    /// Indices of pods that come.
    pub come: Vec<usize>,
}

/// Lays out the moments of a trace.
pub fn moments(pods: &[TracePod]) -> Vec<Moment> {
    let came = pods.iter().enumerate().map(|(pod, p)| (p.created, true, pod));
    // A pod that goes at the moment at which it comes goes a moment later: at one and the same it would go first.
    let went = pods.iter().enumerate().map(|(pod, p)| (p.deleted.max(p.created + 1), false, pod));
    let mut all: Vec<(u64, bool, usize)> = came.chain(went).collect();
    all.sort_unstable();
    let mut moments: Vec<Moment> = Vec::new();
    for (at, comes, pod) in all {
        if moments.last().is_none_or(|last| last.at != at) {
            moments.push(Moment { at, ..Moment::default() });
        }
        if let Some(moment) = moments.last_mut() {
            let list = if comes { &mut moment.come } else { &mut moment.gone };
            list.push(pod);
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_scheduler_model::pod::PodSpec;

    #[test]
    fn pods_come_and_go_in_order() {
        let pod = |created, deleted| TracePod {
            name: String::new(),
            spec: PodSpec::default(),
            created,
            deleted,
        };
        let moments = moments(&[pod(5, 9), pod(1, 5), pod(5, 5)]);
        let moment = |at, gone: &[usize], come: &[usize]| Moment {
            at,
            gone: gone.to_vec(),
            come: come.to_vec(),
        };
        let want = [
            moment(1, &[], &[1]),
            moment(5, &[1], &[0, 2]),
            moment(6, &[2], &[]),
            moment(9, &[0], &[]),
        ];
        assert_eq!(moments, want);
    }
}
