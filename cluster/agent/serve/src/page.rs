// SPDX-License-Identifier: Apache-2.0
//! Pages about the agent: its pods, its health, its figures.

use crate::answer::{Answer, Refused, text, typed, whole};
use crate::metrics::Counts;
use crate::pods::Pods;
use http::StatusCode;
use http::header::HeaderValue;

/// Its pods, as a `PodList`.
pub(crate) fn pods(pods: &dyn Pods) -> Answer {
    let objects = pods.objects();
    let mut list = br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.to_vec();
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        list.extend_from_slice(object);
    }
    list.extend_from_slice(b"]}");
    typed(StatusCode::OK, HeaderValue::from_static("application/json"), whole(list))
}

/// Whether it goes on with its work.
pub(crate) fn health(pods: &dyn Pods) -> Answer {
    match pods.health() {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(why) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("healthz check failed: {why}\n"))
        }
    }
}

/// Its figures.
pub(crate) fn metrics(pods: &dyn Pods, counts: &Counts) -> Result<Answer, Refused> {
    let failed =
        |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the figures were not written");
    let all = counts.write(pods).map_err(failed)?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(typed(StatusCode::OK, kind, whole(all)))
}
