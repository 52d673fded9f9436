// SPDX-License-Identifier: Apache-2.0
//! The engine and the naive scheduler side by side: told the same, asked the same.

use crate::claims::{Claims, News};
use crate::coverage::Coverage;
use crate::scenario::Scenario;
use crate::step::{Question, Step};
use berth_scheduler_core::{Options, Outcome, Parallel, PodId, PodIx, Refusal, tie_hash};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::rules::Plugin;
use berth_scheduler_oracle::EngineOracle;
use berth_scheduler_reference::Scheduler;
use berth_scheduler_testkit::{Decision, Oracle, Rejection};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Where both differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub what: String,
    /// What the engine says.
    pub engine: String,
    /// What the naive scheduler says.
    pub reference: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, engine, reference } = self;
        write!(f, "{what}:\n  engine    {engine}\n  reference {reference}")
    }
}

/// Both schedulers.
#[derive(Debug)]
pub struct Pair {
    engine: EngineOracle,
    /// One for each profile, by its name.
    references: Vec<(Str, Scheduler)>,
    seed: u64,
    claims: Claims,
    /// Pods that were asked about last: the engine prepares for them now and then.
    recent: VecDeque<Pod>,
    taken: u64,
    /// By uid of pods that wait: the node nominated for it.
    nominated: BTreeMap<Str, Str>,
    /// What was met so far.
    pub coverage: Coverage,
}

/// Does the work of several threads on one, last things first.
#[derive(Debug)]
struct Backwards;

impl Parallel for Backwards {
    fn threads(&self) -> usize {
        3
    }

    fn run(&self, tasks: &mut [&mut (dyn FnMut() + Send)]) {
        tasks.iter_mut().rev().for_each(|task| task());
    }
}

/// Where a pod went, and what this changed in the cluster besides.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// The node.
    pub node: Option<Str>,
}

impl Pair {
    /// Both, empty.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let seed = scenario.seed;
        let options = Options {
            seed,
            hash_seed: seed.rotate_left(17),
            profiles: scenario.profiles.clone(),
            class_bytes: scenario.class_bytes,
            vector: berth_scheduler_host::vector(),
            // So few that lists are cut and used up on small clusters too.
            listed: match seed % 8 {
                0 => Options::default().listed,
                few => usize::try_from(few).expect("below 8") + 1,
            },
            parallel: (seed % 2 == 1).then(|| Arc::new(Backwards) as Arc<dyn Parallel>),
            ..Options::default()
        };
        let references = scenario
            .profiles
            .iter()
            .map(|profile| (profile.name.clone(), Scheduler::new(profile.clone())))
            .collect();
        Self {
            engine: EngineOracle::with_options(options),
            references,
            seed,
            claims: Claims::default(),
            recent: VecDeque::new(),
            taken: 0,
            nominated: BTreeMap::new(),
            coverage: Coverage::default(),
        }
    }

    /// Takes a step, and compares what both say of it.
    pub fn take(&mut self, step: &Step) -> Result<Placed, Difference> {
        self.look_ahead(step);
        match step {
            Step::Apply(event) => {
                self.apply(event);
                Ok(Placed::default())
            }
            Step::Place(pod) => self.place(pod),
            Step::Settle => {
                let news = self.claims.settle();
                self.tell(news);
                Ok(Placed::default())
            }
            Step::Ask(pod, question) => {
                match question {
                    Question::Decision => self.compare_decision(pod)?,
                    Question::Choice => self.compare_choice(pod)?,
                    Question::Verdict => self.compare_verdict(pod)?,
                    Question::Preemption => self.compare_preemption(pod)?,
                }
                Ok(Placed::default())
            }
        }
    }

    /// Has the engine prepare for the pods of late, every third time.
    fn look_ahead(&mut self, step: &Step) {
        if let Step::Place(pod) | Step::Ask(pod, _) = step {
            self.recent.push_back(pod.clone());
            if self.recent.len() > 6 {
                self.recent.pop_front();
            }
        }
        self.taken += 1;
        if self.taken.is_multiple_of(3) {
            let pods = self.recent.iter().map(|pod| (&*pod.namespace, &pod.spec));
            self.engine.engine().prepare(pods);
        }
    }

    fn apply(&mut self, event: &Event) {
        let news = self.claims.apply(event);
        self.tell(news);
        match event {
            Event::PodGone { uid } => drop(self.nominated.remove(uid)),
            Event::Pod(pod) => match &pod.nominated {
                Some(node) if pod.node.is_none() => {
                    self.nominated.insert(pod.uid.clone(), node.clone());
                }
                _ => drop(self.nominated.remove(&pod.uid)),
            },
            _ => {}
        }
        self.engine.apply(event.clone());
        self.apply_to_references(event);
    }

    fn tell(&mut self, news: News) {
        news.to_engine.into_iter().for_each(|event| self.engine.apply(event));
        news.to_reference.iter().for_each(|event| self.apply_to_references(event));
    }

    fn apply_to_references(&mut self, event: &Event) {
        for (_, reference) in &mut self.references {
            reference.apply(event.clone());
        }
    }

    fn reference(&mut self, pod: &Pod) -> &mut Scheduler {
        let name = pod.spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
        let found = self.references.iter_mut().find(|(have, _)| **have == *name);
        &mut found.expect("pods name profiles that are there").1
    }

    fn place(&mut self, pod: &Pod) -> Result<Placed, Difference> {
        let decision = self.reference(pod).decide(pod);
        let Some((node, placed)) = self.compare_placement(pod, decision)? else {
            self.coverage.refused += 1;
            return Ok(Placed::default());
        };
        self.coverage.placed += 1;
        let bound = Pod { node: Some(node.clone()), ..pod.clone() };
        let bindings = self.engine.engine().bindings(placed).to_vec();
        let told = self.claims.placed(&bound, &bindings);
        self.apply_to_references(&Event::Pod(Box::new(bound)));
        for event in &told {
            self.apply_to_references(event);
        }
        Ok(Placed { node: Some(node) })
    }

    /// Places a pod with the engine alone, which must choose as the naive scheduler decided.
    fn compare_placement(
        &mut self,
        pod: &Pod,
        decision: Decision,
    ) -> Result<Option<(Str, PodIx)>, Difference> {
        let choice = choice(&decision, pod, self.seed);
        let id = PodId { uid: &pod.uid, namespace: &pod.namespace, name: &pod.name };
        let outcome = self.engine.engine().place(id, &pod.spec);
        let told = |pair: &mut Self| match &outcome {
            Outcome::Placed(placement) => {
                let name = pair.engine.engine().node_name(placement.node).clone();
                Ok((name, placement.total, placement.feasible as usize))
            }
            Outcome::Refused(refusal) => Err(counts(refusal)),
            Outcome::Known(_) => Err(BTreeMap::new()),
        };
        let expected = match choice {
            Some((node, total)) => Ok((node, total, decision.totals.len())),
            None => Err(decision.rejected_by),
        };
        check(format_args!("the placement of {}", pod.uid), &told(self), &expected)?;
        Ok(match (expected, outcome) {
            (Ok((node, ..)), Outcome::Placed(placement)) => Some((node, placement.pod)),
            _ => None,
        })
    }

    fn compare_decision(&mut self, pod: &Pod) -> Result<(), Difference> {
        let survey = self.engine.engine().survey(pod);
        let engine = self.engine.engine();
        let named = |slot: u32| engine.node_name(slot).clone();
        let totals: BTreeMap<Str, i64> =
            survey.totals.iter().map(|(slot, total)| (named(*slot), *total)).collect();
        let chosen = survey.choice.map(|(slot, total)| (named(slot), total));
        let decision = self.reference(pod).decide(pod);
        self.coverage.decided(&decision);
        check("the totals", &totals, &decision.totals)?;
        check("the refusals", &counts(&survey.refusal), &decision.rejected_by)?;
        check("the choice", &chosen, &choice(&decision, pod, self.seed))
    }

    fn compare_choice(&mut self, pod: &Pod) -> Result<(), Difference> {
        let decision = self.reference(pod).decide(pod);
        self.coverage.decided(&decision);
        self.compare_placement(pod, decision)?;
        self.engine.engine().release(&pod.uid);
        Ok(())
    }

    fn compare_verdict(&mut self, pod: &Pod) -> Result<(), Difference> {
        let got = self.engine.verdict(pod);
        let want = self.reference(pod).verdict(pod);
        self.coverage.explained(&want);
        check("the feasible nodes", &got.feasible, &want.feasible)?;
        check("the scores", &got.scores, &want.scores)?;
        check("the totals", &got.totals, &want.totals)?;
        for (node, rejection) in &want.rejected {
            let Some(told) = got.rejected.get(node) else { continue };
            if self.nominated.values().any(|nominated| nominated == node) {
                // Room kept for nominated pods: both tell it with different details.
                let short = |r: &Rejection| (r.plugin, r.code, r.pre_filter);
                check(format_args!("the rejection of {node}"), &short(told), &short(rejection))?;
            } else {
                check(format_args!("the rejection of {node}"), &sorted(told), &sorted(rejection))?;
            }
        }
        check("the rejected nodes", &got.rejected.len(), &want.rejected.len())
    }

    fn compare_preemption(&mut self, pod: &Pod) -> Result<(), Difference> {
        let got = self.engine.preempt(pod).unwrap_or_default();
        let evicts = self.engine.evict(pod);
        let want = self.reference(pod).preempt(pod).unwrap_or_default();
        self.coverage.preempted(&want);
        check("eligibility to preempt", &got.ineligible, &want.ineligible)?;
        check("the filters before preemption", &got.filter, &want.filter)?;
        check("the nodes where preemption fails", &got.failed, &want.failed)?;
        check("the candidates of preemption", &got.candidates, &want.candidates)?;
        check("the best candidates of preemption", &got.nominated, &want.nominated)?;
        let order = |node: &&Str| (tie_hash(self.seed, node), (*node).clone());
        let node = want.nominated.iter().min_by_key(order);
        let expected = node.and_then(|n| Some((n.clone(), want.candidates.get(n)?.clone())));
        check("the eviction", &evicts, &expected)
    }
}

/// The node to take: the nominated one if it will do, else the best; of equals the first in the tie order.
fn choice(decision: &Decision, pod: &Pod, seed: u64) -> Option<(Str, i64)> {
    let named = |(node, total): (&Str, &i64)| (node.clone(), *total);
    let nominated = pod.nominated.as_ref().and_then(|node| decision.totals.get_key_value(node));
    let order =
        |(node, total): &(&Str, &i64)| (**total, Reverse((tie_hash(seed, node), (*node).clone())));
    nominated.or_else(|| decision.totals.iter().max_by_key(order)).map(named)
}

/// Upstream goes through extended resources in any order.
fn sorted(rejection: &Rejection) -> Rejection {
    let mut rejection = rejection.clone();
    rejection.reasons.sort();
    rejection
}

fn counts(refusal: &Refusal) -> BTreeMap<Plugin, usize> {
    let all = Plugin::ALL.into_iter().zip(refusal.nodes);
    all.filter(|(_, nodes)| *nodes > 0).map(|(plugin, nodes)| (plugin, nodes as usize)).collect()
}

fn check<T: PartialEq + fmt::Debug>(
    what: impl fmt::Display,
    engine: &T,
    reference: &T,
) -> Result<(), Difference> {
    if engine == reference {
        return Ok(());
    }
    let what = what.to_string();
    Err(Difference { what, engine: format!("{engine:?}"), reference: format!("{reference:?}") })
}
