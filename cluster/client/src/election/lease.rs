// SPDX-License-Identifier: Apache-2.0
//! A Lease as it is read and written. What is in it beside the election's fields stays as it is.

use crate::clock::micro_time;
use crate::line::ObjectError;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

/// A Lease.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lease(Value);

impl Lease {
    pub(super) fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let object: Value =
            serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))?;
        if object["metadata"].is_object() {
            return Ok(Self(object));
        }
        Err(ObjectError("it is no object of the API".to_owned()))
    }

    /// One that is not there yet.
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "namespace": namespace, "name": name },
        }))
    }

    pub(super) fn version(&self) -> &str {
        self.0["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    /// Who holds it; empty if nobody does.
    pub(super) fn holder(&self) -> &str {
        self.0["spec"]["holderIdentity"].as_str().unwrap_or_default()
    }

    /// For how long a holder has it from each renewal on.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.0["spec"]["leaseDurationSeconds"].as_u64().map(Duration::from_secs)
    }

    fn transitions(&self) -> u64 {
        self.0["spec"]["leaseTransitions"].as_u64().unwrap_or(0)
    }

    /// The Lease as it is to be written by who takes or renews it; `wall` is for its readers only.
    pub(super) fn held(&self, identity: &str, duration: Duration, wall: i64) -> Bytes {
        let mut made = self.0.clone();
        let now = micro_time(wall);
        let (first, renewed) = (self.version().is_empty(), self.holder() == identity);
        if !renewed || made["spec"]["acquireTime"].is_null() {
            made["spec"]["acquireTime"] = now.as_str().into();
        }
        let transitions = self.transitions() + u64::from(!first && !renewed);
        made["spec"]["leaseTransitions"] = transitions.into();
        made["spec"]["holderIdentity"] = identity.into();
        // Whole seconds: rather too many.
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        made["spec"]["leaseDurationSeconds"] = seconds.max(1).into();
        made["spec"]["renewTime"] = now.into();
        made.to_string().into()
    }

    /// The Lease as it is to be written by who gives it up: free at once.
    pub(super) fn free(&self, wall: i64) -> Bytes {
        let mut made = self.0.clone();
        let now = micro_time(wall);
        if let Some(spec) = made["spec"].as_object_mut() {
            spec.remove("holderIdentity");
        }
        made["spec"]["leaseDurationSeconds"] = 1.into();
        made["spec"]["acquireTime"] = now.as_str().into();
        made["spec"]["renewTime"] = now.into();
        made.to_string().into()
    }
}
