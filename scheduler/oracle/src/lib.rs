// SPDX-License-Identifier: Apache-2.0
//! Asks the engine what the recorded verdicts of kube-scheduler answer.
//!
//! A case enters as events, like anything else; the questions go to the structures that placements are decided with.
#![forbid(unsafe_code)]

use berth_scheduler_core::{Engine, Eviction, Options, PodIx, Refusal};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::Plugin;
use berth_scheduler_testkit::{
    Candidate, Decision, Ineligible, Oracle, PreemptionVerdict, Rejection, Verdict,
};
use std::collections::BTreeMap;

/// The engine, ready to be asked.
#[derive(Debug)]
pub struct EngineOracle {
    engine: Engine,
    seed: u64,
}

impl EngineOracle {
    /// An empty engine.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { engine: engine(seed, Profile::default()), seed }
    }

    /// An empty engine that is set up like this.
    #[must_use]
    pub fn with_options(options: Options) -> Self {
        let seed = options.seed;
        Self { engine: Engine::new(options), seed }
    }

    /// The engine itself.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

fn engine(seed: u64, profile: Profile) -> Engine {
    let options = Options {
        seed,
        profiles: vec![profile],
        vector: berth_scheduler_host::vector(),
        ..Options::default()
    };
    Engine::new(options)
}

impl Oracle for EngineOracle {
    fn reset(&mut self, profile: Profile) {
        self.engine = engine(self.seed, profile);
    }

    fn apply(&mut self, event: Event) {
        self.engine.apply(event);
    }

    fn verdict(&mut self, pod: &Pod) -> Verdict {
        let explanation = self.engine.explain(pod);
        let mut verdict = Verdict::default();
        for node in explanation.nodes {
            let name = self.engine.node_name(node.node).clone();
            let Some(first) = node.objections.first() else {
                verdict.scores.insert(name.clone(), node.scores.into_iter().collect());
                verdict.totals.insert(name.clone(), node.total);
                verdict.feasible.insert(name);
                continue;
            };
            let plugins = if node.pre_filter {
                Vec::new()
            } else {
                node.objections.iter().map(|o| o.plugin).collect()
            };
            let rejection = Rejection {
                plugin: first.plugin,
                reasons: first.reasons.clone(),
                code: first.code,
                pre_filter: node.pre_filter,
                plugins,
            };
            verdict.rejected.insert(name, rejection);
        }
        verdict
    }

    fn decide(&mut self, pod: &Pod) -> Decision {
        let survey = self.engine.survey(pod);
        let name = |engine: &Engine, slot| engine.node_name(slot).clone();
        let mut totals: BTreeMap<Str, i64> =
            survey.totals.iter().map(|(slot, total)| (name(&self.engine, *slot), *total)).collect();
        // The choice itself must be the first of the best in the tie order.
        let best = survey.totals.iter().max_by_key(|(slot, total)| {
            let name = &**self.engine.node_name(*slot);
            let order = (berth_scheduler_core::tie_hash(self.seed, name), name);
            (*total, std::cmp::Reverse(order))
        });
        if survey.choice != best.copied() {
            totals.insert(Str::from(format!("(chosen: {:?})", survey.choice)), i64::MIN);
        }
        Decision { totals, rejected_by: counts(&survey.refusal) }
    }

    fn preempt(&mut self, pod: &Pod) -> Option<PreemptionVerdict> {
        let explanation = self.engine.explain_preemption(pod);
        let name = |slot| self.engine.node_name(slot).clone();
        let filter =
            explanation.filter.iter().map(|(slot, plugin, code)| (name(*slot), (*plugin, *code)));
        let candidates = explanation.candidates.iter().map(|e| (name(e.node), self.candidate(e)));
        let failed = explanation.failed.iter().map(|(slot, plugin)| (name(*slot), *plugin));
        Some(PreemptionVerdict {
            ineligible: explanation.ineligible.map(|why| match why {
                berth_scheduler_core::Ineligible::Never => Ineligible::Never,
                berth_scheduler_core::Ineligible::Waiting => Ineligible::Waiting,
            }),
            filter: filter.collect(),
            candidates: candidates.collect(),
            failed: failed.collect(),
            nominated: explanation.best.iter().map(|slot| name(*slot)).collect(),
        })
    }

    fn evict(&mut self, pod: &Pod) -> Option<(Str, Candidate)> {
        let eviction = self.engine.survey_eviction(pod)?;
        Some((self.engine.node_name(eviction.node).clone(), self.candidate(&eviction)))
    }
}

impl EngineOracle {
    fn candidate(&self, eviction: &Eviction) -> Candidate {
        let name = |pod: &PodIx| {
            let id = self.engine.pod_id(*pod);
            (Str::from(id.namespace), Str::from(id.name))
        };
        Candidate {
            victims: eviction.victims.iter().map(name).collect(),
            violations: eviction.violations as usize,
        }
    }
}

fn counts(refusal: &Refusal) -> BTreeMap<Plugin, usize> {
    Plugin::ALL
        .into_iter()
        .zip(refusal.nodes)
        .filter(|(_, nodes)| *nodes > 0)
        .map(|(plugin, nodes)| (plugin, nodes as usize))
        .collect()
}
