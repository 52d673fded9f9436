// SPDX-License-Identifier: Apache-2.0
//! Topology spread constraints of a pod.

use crate::error::{ObjectError, Path};
use crate::field::{Lax, List, Text, at_most, each, name, one_of, text, within};
use crate::selector::{self, LabelSelectorView};
use berth_scheduler_model::limits::{SPREAD_MAX, TERMS_MAX};
use berth_scheduler_model::pod::SpreadConstraint;
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SpreadView {
    max_skew: Lax<i32>,
    topology_key: Text,
    when_unsatisfiable: Text,
    label_selector: Option<LabelSelectorView>,
    min_domains: Option<i32>,
    node_affinity_policy: Text,
    node_taints_policy: Text,
    match_label_keys: List<String>,
}

pub(crate) fn read(
    list: &[SpreadView],
    path: &Path<'_>,
) -> Result<Vec<SpreadConstraint>, ObjectError> {
    at_most(list.len(), SPREAD_MAX, path)?;
    each(list, path, SpreadView::read)
}

const WHEN: [(&str, bool); 2] = [("DoNotSchedule", true), ("ScheduleAnyway", false)];

impl SpreadView {
    pub(crate) fn read(&self, path: &Path<'_>) -> Result<SpreadConstraint, ObjectError> {
        let policy = |value: &str, default: bool, at: Path<'_>| match value {
            "" => Ok(default),
            value => one_of(value, &[("Honor", true), ("Ignore", false)], &at),
        };
        let at = path.field("matchLabelKeys");
        at_most(self.match_label_keys.len(), TERMS_MAX, &at)?;
        let max = i64::from(i32::MAX);
        within(i64::from(self.max_skew.0), 1, max, &path.field("maxSkew"))?;
        if let Some(domains) = self.min_domains {
            within(i64::from(domains), 1, max, &path.field("minDomains"))?;
        }
        Ok(SpreadConstraint {
            max_skew: self.max_skew.0,
            topology_key: name(&self.topology_key, &path.field("topologyKey"))?,
            hard: one_of(&self.when_unsatisfiable, &WHEN, &path.field("whenUnsatisfiable"))?,
            selector: selector::optional(
                self.label_selector.as_ref(),
                &path.field("labelSelector"),
            )?,
            min_domains: self.min_domains,
            honor_affinity: policy(
                &self.node_affinity_policy,
                true,
                path.field("nodeAffinityPolicy"),
            )?,
            honor_taints: policy(&self.node_taints_policy, false, path.field("nodeTaintsPolicy"))?,
            match_label_keys: each(&self.match_label_keys, &at, |key, at| text(key, at))?,
        })
    }
}
