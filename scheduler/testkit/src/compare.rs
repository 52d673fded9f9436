// SPDX-License-Identifier: Apache-2.0
//! Comparison of a scheduler with recorded verdicts, in every detail.

use crate::case::{ExpectedRejection, OracleCase};
use crate::file::Record;
use crate::preemption::{ExpectedCandidate, OraclePreemption};
use crate::sequence::{OracleSequence, ScheduleExpectation, Step};
use crate::verdict::{Candidate, Decision, Oracle, Rejection};
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::rules::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};

/// How far a scheduler agrees with the recorded verdicts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Verdicts compared: one a case or preemption, one a decision of a sequence.
    pub total: usize,
    /// Those that are the same in every detail.
    pub agreed: usize,
    /// Where they differ, one line each.
    pub disagreements: Vec<String>,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.disagreements {
            writeln!(f, "{line}")?;
        }
        write!(f, "{} of {} verdicts agree", self.agreed, self.total)
    }
}

/// The differences found in one verdict.
struct Differences<'a> {
    name: &'a str,
    found: Vec<String>,
}

impl Differences<'_> {
    fn check<T: PartialEq + Debug>(&mut self, what: impl Display, got: T, want: T) {
        if got != want {
            self.found.push(format!("{}: {what} is {got:?}, upstream says {want:?}", self.name));
        }
    }

    /// Compares two maps entry by entry.
    fn check_map<K, V>(&mut self, what: &str, got: &BTreeMap<K, V>, want: &BTreeMap<K, V>)
    where
        K: Ord + Debug + Clone,
        V: PartialEq + Debug,
    {
        let keys: BTreeSet<&K> = got.keys().chain(want.keys()).collect();
        for key in keys {
            self.check(format_args!("{what} of {key:?}"), got.get(key), want.get(key));
        }
    }
}

impl Report {
    /// Asks the scheduler about one record.
    pub fn compare(&mut self, record: &Record, oracle: &mut dyn Oracle) {
        match record {
            Record::Case(case) => self.case(case, oracle),
            Record::Sequence(sequence) => self.sequence(sequence, oracle),
            Record::Preemption(preemption) => self.preemption(preemption, oracle),
        }
    }

    /// Whether there was no disagreement.
    pub fn is_agreed(&self) -> bool {
        self.agreed == self.total
    }

    fn add(&mut self, differences: Differences<'_>) {
        self.total += 1;
        self.agreed += usize::from(differences.found.is_empty());
        self.disagreements.extend(differences.found);
    }

    fn case(&mut self, case: &OracleCase, oracle: &mut dyn Oracle) {
        oracle.reset(case.profile.clone());
        case.events.iter().for_each(|event| oracle.apply(event.clone()));
        let verdict = oracle.verdict(&case.pod);
        let decision = oracle.decide(&case.pod);
        let expect = &case.expect;
        let mut differences = Differences { name: &case.name, found: Vec::new() };
        let feasible: BTreeSet<Str> = expect.feasible.iter().cloned().collect();
        differences.check("the set of feasible nodes", &verdict.feasible, &feasible);
        let rejected: BTreeMap<Str, ExpectedRejection> =
            verdict.rejected.iter().map(|(node, r)| (node.clone(), told(r))).collect();
        differences.check_map("rejection", &rejected, &expect.rejected);
        differences.check_map("score", &verdict.scores, &expect.scores);
        differences.check_map("total", &verdict.totals, &expect.total);
        differences.check_map("decided total", &decision.totals, &expect.total);
        let mut counts = BTreeMap::new();
        for rejection in expect.rejected.values() {
            *counts.entry(rejection.plugin).or_insert(0) += 1;
        }
        differences.check_map("decided number of rejections", &decision.rejected_by, &counts);
        self.add(differences);
    }

    fn sequence(&mut self, sequence: &OracleSequence, oracle: &mut dyn Oracle) {
        oracle.reset(sequence.profile.clone());
        sequence.events.iter().for_each(|event| oracle.apply(event.clone()));
        for step in &sequence.steps {
            match step {
                Step::Apply(event) => oracle.apply(event.clone()),
                Step::Schedule { pod, expect } => {
                    let name = format!("{}/{}", sequence.name, pod.name);
                    let mut differences = Differences { name: &name, found: Vec::new() };
                    compare_decision(&oracle.decide(pod), expect, &mut differences);
                    self.add(differences);
                    if let Some(node) = &expect.bound {
                        oracle.bind(pod, node);
                    }
                }
            }
        }
    }

    fn preemption(&mut self, preemption: &OraclePreemption, oracle: &mut dyn Oracle) {
        oracle.reset(preemption.profile.clone());
        preemption.events.iter().for_each(|event| oracle.apply(event.clone()));
        let mut differences = Differences { name: &preemption.name, found: Vec::new() };
        let expect = &preemption.expect;
        if let Some(verdict) = oracle.preempt(&preemption.pod) {
            let ineligible = verdict.ineligible.map(|why| why.text().to_owned());
            differences.check("what makes it ineligible", &ineligible, &expect.ineligible);
            differences.check_map("filter", &verdict.filter, &expect.filter);
            let candidates: BTreeMap<Str, ExpectedCandidate> = verdict
                .candidates
                .iter()
                .map(|(node, candidate)| (node.clone(), named(candidate)))
                .collect();
            differences.check_map("candidate", &candidates, &expect.candidates);
            differences.check_map("failure", &verdict.failed, &expect.failed);
            differences.check("the set of best candidates", &verdict.nominated, &expect.nominated);
        }
        compare_eviction(oracle, &preemption.pod, preemption, &mut differences);
        self.add(differences);
    }
}

/// What is evicted in production must be one of the best candidates, and exactly its victims.
fn compare_eviction(
    oracle: &mut dyn Oracle,
    pod: &Pod,
    preemption: &OraclePreemption,
    differences: &mut Differences<'_>,
) {
    let expect = &preemption.expect;
    match oracle.evict(pod) {
        None => differences.check("that nothing is evicted", true, expect.nominated.is_empty()),
        Some((node, candidate)) => {
            differences.check(
                format_args!("that {node} is chosen"),
                true,
                expect.nominated.contains(&node),
            );
            let victims = |list: &ExpectedCandidate| list.victims.iter().cloned().collect();
            let got: BTreeSet<String> = victims(&named(&candidate));
            let want = expect.candidates.get(&node).map(victims).unwrap_or_default();
            differences.check(format_args!("the set of victims on {node}"), got, want);
        }
    }
}

/// A rejection in the words of the file.
fn told(rejection: &Rejection) -> ExpectedRejection {
    let mut reasons: Vec<String> = rejection.reasons.iter().map(Reason::text).collect();
    reasons.sort();
    ExpectedRejection {
        plugin: rejection.plugin,
        reason: reasons.join(", "),
        code: rejection.code,
        pre_filter: rejection.pre_filter,
        plugins: rejection.plugins.clone(),
    }
}

fn named(candidate: &Candidate) -> ExpectedCandidate {
    let name = |(namespace, name): &(Str, Str)| format!("{namespace}/{name}");
    ExpectedCandidate {
        victims: candidate.victims.iter().map(name).collect(),
        violations: candidate.violations,
    }
}

fn compare_decision(
    decision: &Decision,
    expect: &ScheduleExpectation,
    differences: &mut Differences<'_>,
) {
    let totals = &decision.totals;
    differences.check("the number of feasible nodes", totals.len(), expect.feasible);
    if expect.feasible == 0 {
        let (got, want) = (&decision.rejected_by, &expect.rejected_by);
        differences.check_map("number of rejections", got, want);
        return;
    }
    let max = totals.values().copied().max().unwrap_or_default();
    let best: Vec<Str> =
        totals.iter().filter(|(_, t)| **t == max).map(|(node, _)| node.clone()).collect();
    let distinct = totals.values().collect::<BTreeSet<_>>().len();
    differences.check("the highest total", max, expect.max);
    differences.check("the number of different totals", distinct, expect.distinct);
    differences.check("the set of best nodes", &best, &expect.best);
    differences.check("the hash of all totals", &hash(totals), &expect.hash);
}

/// FNV-1a (64 bits) over `name=total;` of each node, by name.
fn hash(totals: &BTreeMap<Str, i64>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for (node, total) in totals {
        for byte in format!("{node}={total};").bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}
