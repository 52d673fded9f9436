// SPDX-License-Identifier: Apache-2.0
//! Label selectors and node selectors.

use crate::error::{ObjectError, Path, Problem};
use crate::field::{List, Text, TextMap, at_most, each, name, one_of, text};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    LabelSelector, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::limits::TERMS_MAX;
use serde::Deserialize;

/// `metav1.LabelSelector`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct LabelSelectorView {
    match_labels: TextMap,
    match_expressions: List<RequirementView>,
}

/// `metav1.LabelSelectorRequirement`, `v1.NodeSelectorRequirement`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RequirementView {
    key: Text,
    operator: Text,
    values: List<String>,
}

/// `v1.NodeSelector`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NodeSelectorView {
    node_selector_terms: List<NodeSelectorTermView>,
}

/// `v1.NodeSelectorTerm`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NodeSelectorTermView {
    match_expressions: List<RequirementView>,
    match_fields: List<RequirementView>,
}

const LABEL_OPERATORS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

const NODE_OPERATORS: [(&str, Operator); 6] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
    ("Gt", Operator::Gt),
    ("Lt", Operator::Lt),
];

const FIELD_OPERATORS: [(&str, Operator); 2] = [("In", Operator::In), ("NotIn", Operator::NotIn)];

impl RequirementView {
    fn read(
        &self,
        operators: &[(&str, Operator)],
        path: &Path<'_>,
    ) -> Result<Requirement, ObjectError> {
        let operator = one_of(&self.operator, operators, &path.field("operator"))?;
        let at = path.field("values");
        at_most(self.values.len(), TERMS_MAX, &at)?;
        let mut values = each(&self.values, &at, |value, at| text(value, at))?;
        let fits = match operator {
            Operator::In | Operator::NotIn => !values.is_empty(),
            Operator::Exists | Operator::DoesNotExist => values.is_empty(),
            Operator::Gt | Operator::Lt => {
                values.len() == 1 && values.iter().all(|v| v.parse::<i64>().is_ok())
            }
        };
        if !fits {
            return Err(at.error(Problem::Rule(
                "In and NotIn take at least one value, Exists and DoesNotExist none, Gt and Lt one integer",
            )));
        }
        values.sort();
        values.dedup();
        Ok(Requirement { key: name(&self.key, &path.field("key"))?, operator, values })
    }
}

/// A requirement that a label has this value.
pub(crate) fn equals(key: &str, value: &str, path: &Path<'_>) -> Result<Requirement, ObjectError> {
    let values = vec![text(value, path)?];
    Ok(Requirement { key: name(key, path)?, operator: Operator::In, values })
}

/// A selector that is a map, as Services have it.
pub(crate) fn of_map(map: &TextMap, path: &Path<'_>) -> Result<LabelSelector, ObjectError> {
    at_most(map.len(), TERMS_MAX, path)?;
    let requirements: Result<_, _> =
        map.iter().map(|(key, value)| equals(key, value, &path.key(key))).collect();
    Ok(LabelSelector { requirements: requirements? })
}

impl LabelSelectorView {
    pub(crate) fn read(&self, path: &Path<'_>) -> Result<LabelSelector, ObjectError> {
        let mut selector = of_map(&self.match_labels, &path.field("matchLabels"))?;
        let at = path.field("matchExpressions");
        at_most(self.match_expressions.len(), TERMS_MAX, &at)?;
        let more = each(&self.match_expressions, &at, |r, at| r.read(&LABEL_OPERATORS, at))?;
        selector.requirements.extend(more);
        Ok(selector)
    }
}

/// A selector that may be absent.
pub(crate) fn optional(
    view: Option<&LabelSelectorView>,
    path: &Path<'_>,
) -> Result<Option<LabelSelector>, ObjectError> {
    view.map(|view| view.read(path)).transpose()
}

impl NodeSelectorTermView {
    pub(crate) fn read(&self, path: &Path<'_>) -> Result<NodeSelectorTerm, ObjectError> {
        let at = path.field("matchExpressions");
        at_most(self.match_expressions.len(), TERMS_MAX, &at)?;
        let expressions = each(&self.match_expressions, &at, |r, at| r.read(&NODE_OPERATORS, at))?;
        let at = path.field("matchFields");
        at_most(self.match_fields.len(), TERMS_MAX, &at)?;
        let fields = each(&self.match_fields, &at, |r, at| {
            let field = r.read(&FIELD_OPERATORS, at)?;
            if &*field.key != "metadata.name" {
                return Err(at.field("key").error(Problem::Unknown {
                    found: field.key.to_string(),
                    expected: vec!["metadata.name".to_owned()],
                }));
            }
            if field.values.len() != 1 {
                return Err(at.field("values").error(Problem::Rule("a field takes one value")));
            }
            Ok(field)
        })?;
        Ok(NodeSelectorTerm { expressions, fields })
    }
}

impl NodeSelectorView {
    pub(crate) fn read(&self, path: &Path<'_>) -> Result<NodeSelector, ObjectError> {
        let at = path.field("nodeSelectorTerms");
        at_most(self.node_selector_terms.len(), TERMS_MAX, &at)?;
        let terms = each(&self.node_selector_terms, &at, NodeSelectorTermView::read)?;
        Ok(NodeSelector { terms })
    }
}

/// `storagev1.StorageClass.allowedTopologies[]`, whose requirements have no operator: it is `In`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct TopologyTermView {
    match_label_expressions: List<TopologyRequirementView>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct TopologyRequirementView {
    key: Text,
    values: List<String>,
}

impl TopologyTermView {
    pub(crate) fn read(&self, path: &Path<'_>) -> Result<NodeSelectorTerm, ObjectError> {
        let at = path.field("matchLabelExpressions");
        at_most(self.match_label_expressions.len(), TERMS_MAX, &at)?;
        let expressions = each(&self.match_label_expressions, &at, |r, at| {
            let key = name(&r.key, &at.field("key"))?;
            let at = at.field("values");
            at_most(r.values.len(), TERMS_MAX, &at)?;
            let values: Vec<Str> = each(&r.values, &at, |value, at| text(value, at))?;
            Ok(Requirement { key, operator: Operator::In, values })
        })?;
        Ok(NodeSelectorTerm { expressions, fields: Vec::new() })
    }
}
