// SPDX-License-Identifier: Apache-2.0
//! A pod stays a while on a node that is not ready or cannot be reached, unless it says itself how long (upstream's
//! DefaultTolerationSeconds).

use super::{Admission, Operation, Request};
use crate::server::Inner;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::{Value, json};

/// How long pods stay on a node that is lost, which do not say so themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerations {
    /// Seconds on a node that is not ready.
    pub not_ready_seconds: i64,
    /// Seconds on a node that cannot be reached.
    pub unreachable_seconds: i64,
}

impl Default for Tolerations {
    /// Upstream's five minutes: a node that restarts keeps its pods.
    fn default() -> Self {
        Self { not_ready_seconds: 300, unreachable_seconds: 300 }
    }
}

#[derive(Debug)]
pub(super) struct DefaultTolerationSeconds(pub(super) Tolerations);

impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn admit(
        &self,
        _server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let pods = &*request.ask.kind.stored_as == "pods" && request.ask.sub.is_none();
        if !pods || request.operation == Operation::Delete {
            return Ok(());
        }
        let Some(Value::Object(spec)) = object.get_mut("spec") else { return Ok(()) };
        for (taint, seconds) in [
            ("node.kubernetes.io/not-ready", self.0.not_ready_seconds),
            ("node.kubernetes.io/unreachable", self.0.unreachable_seconds),
        ] {
            tolerate(spec, taint, seconds);
        }
        Ok(())
    }
}

fn tolerate(spec: &mut Map, taint: &str, seconds: i64) {
    let of = |toleration: &Value, field: &str, wanted: &str| {
        let text = toleration[field].as_str().unwrap_or_default();
        text.is_empty() || text == wanted
    };
    let list = spec.entry("tolerations").or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    if list.iter().any(|one| of(one, "key", taint) && of(one, "effect", "NoExecute")) {
        return;
    }
    list.push(json!({
        "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds,
    }));
}
