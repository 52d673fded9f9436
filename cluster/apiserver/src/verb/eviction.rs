// SPDX-License-Identifier: Apache-2.0
//! Asking a pod to go, where its disruption budgets allow it.
//!
//! Source: upstream's EvictionREST. The budget is charged in the transaction that deletes the pod.

use crate::answer::{Answer, Body, json};
use crate::ask::Ask;
use crate::body::{self, Expected};
use crate::server::Inner;
use crate::verb::delete;
use crate::verb::options::DeleteOptions;
use crate::write::meta_text;
use berth_cluster_api::Refusal;
use berth_cluster_api::schema::lookup;
use http::StatusCode;
use std::sync::Arc;

/// POST of an `Eviction` below a pod.
pub(crate) async fn evict(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "CreateOptions")?;
    let dry_run = ask.dry_run("CreateOptions")?;
    let schema = lookup("policy", "v1", "Eviction")
        .ok_or_else(|| Refusal::internal("no schema of Eviction"))?;
    let of = |version| Expected { group: "policy", version, kind: "Eviction", schema: &schema };
    // The older version has the same fields, and old clients still send it.
    let read = body::read(ask, &of("v1"), validation);
    let read = read.or_else(|first| body::read(ask, &of("v1beta1"), validation).map_err(|_| first));
    let eviction = read?.object;
    let name = meta_text(&eviction, "name");
    if !name.is_empty() && name != ask.target.name {
        return Err(Refusal::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = DeleteOptions::of(eviction.get("deleteOptions"))?;
    options.dry_run |= dry_run;
    delete::delete(server, ask, &ask.target.name, &options).await?;
    let body = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"code\":201}\n";
    Ok(json(StatusCode::CREATED, Body::Whole(body.into())))
}
