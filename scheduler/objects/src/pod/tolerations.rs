// SPDX-License-Identifier: Apache-2.0
//! Tolerations.

use crate::error::{ObjectError, Path, Problem};
use crate::field::{Text, at_most, one_of, optional, text};
use crate::node::EFFECTS;
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::TOLERATIONS_MAX;
use berth_scheduler_model::pod::Toleration;
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TolerationView {
    key: Text,
    operator: Text,
    value: Text,
    effect: Text,
}

/// Reads tolerations; those with the alpha operators `Gt` and `Lt` tolerate nothing here and are said to be unsupported.
pub(crate) fn read(
    list: &[TolerationView],
    path: &Path<'_>,
    unsupported: &mut Vec<Str>,
) -> Result<Vec<Toleration>, ObjectError> {
    at_most(list.len(), TOLERATIONS_MAX, path)?;
    let mut tolerations = Vec::with_capacity(list.len());
    for (index, view) in list.iter().enumerate() {
        let at = path.index(index);
        let value = match view.operator.as_str() {
            "" | "Equal" => Some(text(&view.value, &at.field("value"))?),
            "Exists" => None,
            operator @ ("Gt" | "Lt") => {
                unsupported.push(format!("{}: {operator}", at.field("operator")).into());
                continue;
            }
            other => {
                return Err(at.field("operator").error(Problem::Unknown {
                    found: other.to_owned(),
                    expected: vec!["Equal".to_owned(), "Exists".to_owned()],
                }));
            }
        };
        let effect = match view.effect.as_str() {
            "" => None,
            effect => Some(one_of(effect, &EFFECTS, &at.field("effect"))?),
        };
        tolerations.push(Toleration { key: optional(&view.key, &at.field("key"))?, value, effect });
    }
    Ok(tolerations)
}
