// SPDX-License-Identifier: Apache-2.0
//! When a container is asked, and what its answers come to: upstream's prober, with exact times.

use crate::command::CommandId;
use crate::event::Answer;
use crate::spec::ProbeSpec;
use crate::time::Millis;

/// One kind of probe of one attempt of a container.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    pub(crate) spec: ProbeSpec,
    /// When it is asked next; the gate of the startup probe apart.
    next_at: Millis,
    /// The question that is out, and when it went out.
    open: Option<(CommandId, Millis)>,
    /// The last answer, and how often it came in a row.
    run: (bool, u32),
    /// What the answers came to; `None` before the first verdict.
    pub(crate) verdict: Option<bool>,
    /// Nothing is asked any more: a bad verdict stands until the next attempt.
    held: bool,
}

impl Prober {
    /// For a container that began at `started_at`.
    pub(crate) fn new(spec: ProbeSpec, started_at: Millis) -> Self {
        let next_at = started_at.saturating_add(spec.initial_delay);
        Self { spec, next_at, open: None, run: (false, 0), verdict: None, held: false }
    }

    /// For a container that ran before this machine did: `verdict` goes on, and the first question waits a part of a period, so that
    /// after a restart of the agent not all containers are asked at once.
    pub(crate) fn resumed(
        spec: ProbeSpec,
        started_at: Millis,
        now: Millis,
        verdict: Option<bool>,
        part: u64,
    ) -> Self {
        let mut prober = Self::new(spec, started_at);
        prober.next_at = prober.next_at.max(now + part % spec.period.max(1));
        prober.verdict = verdict;
        prober
    }

    /// When it wants to be asked next; `None` while an answer is out or none is wanted.
    pub(crate) fn due(&self) -> Option<Millis> {
        (self.open.is_none() && !self.held).then_some(self.next_at)
    }

    /// It was asked.
    pub(crate) fn asked(&mut self, id: CommandId, now: Millis) {
        self.open = Some((id, now));
    }

    /// The question that is out.
    pub(crate) fn open(&self) -> Option<CommandId> {
        self.open.map(|(id, _)| id)
    }

    /// The question that is out will not be answered.
    pub(crate) fn dropped(&mut self, now: Millis) {
        if let Some((_, asked_at)) = self.open.take() {
            // What a slow answer missed of the rhythm is not made up for.
            self.next_at = asked_at.saturating_add(self.spec.period).max(now);
        }
    }

    /// It was answered. Gives the verdict, if it is one.
    pub(crate) fn answered(&mut self, now: Millis, answer: &Answer) -> Option<bool> {
        self.dropped(now);
        let good = match answer {
            Answer::Good => true,
            Answer::Bad(_) => false,
            Answer::Unknown(_) => return None,
        };
        let times = if self.run.0 == good { self.run.1.saturating_add(1) } else { 1 };
        self.run = (good, times);
        let threshold =
            if good { self.spec.success_threshold } else { self.spec.failure_threshold };
        if times < threshold {
            return None;
        }
        self.verdict = Some(good);
        self.verdict
    }

    /// Stop asking this attempt.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(delay: Millis, success: u32, failure: u32) -> ProbeSpec {
        ProbeSpec {
            initial_delay: delay,
            period: 10_000,
            timeout: 1_000,
            success_threshold: success,
            failure_threshold: failure,
            grace: None,
        }
    }

    #[test]
    fn thresholds_are_exact() {
        for (answers, success, failure, verdicts) in [
            ("g", 1, 3, "g"),
            ("bbb", 1, 3, "..b"),
            ("bbgbbb", 1, 3, "..g..b"),
            ("ggbgg", 2, 1, ".gb.g"),
            ("b?b?b", 1, 3, "....b"),
            ("bbbb", 1, 3, "..bb"),
        ] {
            let mut prober = Prober::new(spec(0, success, failure), 0);
            let mut seen = String::new();
            for (at, answer) in answers.chars().enumerate() {
                let now = 10_000 * at as u64;
                prober.asked(CommandId(1), now);
                let answer = match answer {
                    'g' => Answer::Good,
                    'b' => Answer::Bad(String::new()),
                    _ => Answer::Unknown(String::new()),
                };
                seen.push(match prober.answered(now, &answer) {
                    None => '.',
                    Some(true) => 'g',
                    Some(false) => 'b',
                });
            }
            assert_eq!(seen, verdicts, "{answers}");
        }
    }

    #[test]
    fn it_is_asked_in_a_rhythm() {
        let mut prober = Prober::new(spec(5_000, 1, 1), 1_000);
        assert_eq!(prober.due(), Some(6_000));
        prober.asked(CommandId(1), 6_100);
        assert_eq!(prober.due(), None);
        prober.answered(6_900, &Answer::Good);
        assert_eq!(prober.due(), Some(16_100));
        // An answer that took longer than the period is followed by the next question, and by no two.
        prober.asked(CommandId(2), 16_100);
        prober.answered(40_000, &Answer::Good);
        assert_eq!(prober.due(), Some(40_000));
        prober.hold();
        assert_eq!(prober.due(), None);
    }

    #[test]
    fn after_a_restart_of_the_agent_questions_are_spread() {
        let resumed = |part| Prober::resumed(spec(5_000, 1, 1), 1_000, 50_000, Some(true), part);
        assert_eq!(resumed(23_456).due(), Some(53_456));
        assert_eq!(resumed(0).verdict, Some(true));
        let young = Prober::resumed(spec(90_000, 1, 1), 1_000, 50_000, None, 7);
        assert_eq!(young.due(), Some(91_000));
    }
}
