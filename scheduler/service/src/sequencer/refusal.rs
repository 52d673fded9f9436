// SPDX-License-Identifier: Apache-2.0
//! What a refusal says, in kube-scheduler's words.
//!
//! The engine counts nodes by rule; the words need the reasons of each node, which costs a look at every node. So the words are
//! kept per spec and used again while the counts are the same, and made within a budget of nodes per second; beyond it a refusal
//! names rules where it would name reasons.

use super::Millis;
use super::specs::SpecId;
use berth_proto::v1;
use berth_scheduler_core::{Engine, Refusal, words};
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::rules::Plugin;
use std::collections::BTreeMap;

/// Nodes that may be looked at per second for words, and at once.
const NODES_PER_SECOND: u64 = 500_000;
const NODES_AT_ONCE: u64 = 250_000;
/// Words kept; all are forgotten when there are more.
const WORDS_MAX: usize = 4_096;
/// Words are used again for so long.
const WORDS_MS: u64 = 1_000;

/// Words by spec.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    words: BTreeMap<SpecId, Words>,
    spent: u64,
    at: Millis,
}

#[derive(Debug)]
struct Words {
    counts: [u32; Plugin::FILTERS],
    nodes: u32,
    text: String,
    made: Millis,
}

impl Refusals {
    /// The message about a refusal.
    pub(super) fn refused(
        &mut self,
        now: Millis,
        engine: &mut Engine,
        spec: SpecId,
        pod: impl FnOnce() -> Pod,
        refusal: &Refusal,
    ) -> v1::Refused {
        let nodes = engine.nodes();
        let rules = rules(refusal);
        let kept = self.words.get(&spec).filter(|words| {
            words.counts == refusal.nodes && words.nodes == nodes && now < words.made + WORDS_MS
        });
        let message = if let Some(words) = kept {
            words.text.clone()
        } else if refusal.no_profile {
            let pod = pod();
            let name = pod.spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
            format!("0/{nodes} nodes are available: no profile has the scheduler name {name}.")
        } else if self.may_look(now, nodes) {
            let text = words::message(&engine.explain(&pod()), nodes);
            if self.words.len() >= WORDS_MAX {
                self.words.clear();
            }
            let counts = refusal.nodes;
            self.words.insert(spec, Words { counts, nodes, text: text.clone(), made: now });
            text
        } else {
            words::sentence(nodes, rules.iter().map(|rule| (rule.nodes, rule.plugin.clone())))
        };
        v1::Refused { message, nodes, rules, deadline_passed: false, gates: Vec::new() }
    }

    fn may_look(&mut self, now: Millis, nodes: u32) -> bool {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        self.spent = self.spent.saturating_sub(passed.saturating_mul(NODES_PER_SECOND / 1_000));
        if self.spent > NODES_AT_ONCE {
            return false;
        }
        self.spent += u64::from(nodes);
        true
    }
}

/// The counts by rule.
fn rules(refusal: &Refusal) -> Vec<v1::RuleCount> {
    let counts = Plugin::ALL.into_iter().zip(refusal.nodes).filter(|(_, nodes)| *nodes > 0);
    counts
        .map(|(plugin, nodes)| v1::RuleCount { plugin: plugin.name().to_owned(), nodes })
        .collect()
}
