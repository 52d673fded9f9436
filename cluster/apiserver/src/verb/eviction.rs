// SPDX-License-Identifier: Apache-2.0
//! Asking a pod to go, where its disruption budgets allow it.
//!
//! Source: upstream's EvictionREST. A budget is charged first, with the pod's name, so that its controller knows which pod goes.

use crate::answer::{Answer, done};
use crate::ask::Ask;
use crate::body::{self, Expected};
use crate::fence::commit;
use crate::server::Inner;
use crate::shape::parse;
use crate::verb::delete;
use crate::verb::get::newest;
use crate::verb::options::DeleteOptions;
use crate::write::{Failed, meta_text, metadata};
use berth_cluster_api::refusal::Cause;
use berth_cluster_api::schema::lookup;
use berth_cluster_api::select::Labels;
use berth_cluster_api::{Map, Refusal, time};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Compare, Entry, Op, Txn};
use std::sync::Arc;

const GROUP: &str = "policy";
const BUDGETS: &str = "policy/poddisruptionbudgets";
/// Pods that a budget may have noted as going; upstream's number.
const NOTED: usize = 2_000;
/// How often a budget is charged again that others were faster at.
const TRIES: usize = 20;

/// POST of an `Eviction` below a pod.
pub(crate) async fn evict(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "CreateOptions")?;
    let dry_run = ask.dry_run("CreateOptions")?;
    let schema = lookup(GROUP, "v1", "Eviction")
        .ok_or_else(|| Refusal::internal("no schema of Eviction"))?;
    let of = |version| Expected { group: GROUP, version, kind: "Eviction", schema: &schema };
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
    server.admit_below(ask, &eviction)?;
    let entry = newest(&server.store, &ask.key()).await?.ok_or_else(|| ask.not_found())?;
    let pod = parse(&entry.bytes)?;
    if !goes_anyway(&pod) {
        charge(server, ask, &entry, &pod, options.dry_run).await?;
    }
    delete::delete(server, ask, &ask.target.name, &options).await?;
    Ok(done())
}

/// Whether no budget counts the pod: it does not run yet, or no longer, or is on its way.
fn goes_anyway(pod: &Map) -> bool {
    let phase = pod.get("status").and_then(|status| status["phase"].as_str()).unwrap_or_default();
    let deleting = metadata(pod).is_some_and(|meta| meta.contains_key("deletionTimestamp"));
    deleting || ["Pending", "Succeeded", "Failed"].contains(&phase)
}

/// Takes one disruption of the pod's budget, if it has one.
async fn charge(
    server: &Arc<Inner>,
    ask: &Ask,
    pod: &Entry,
    object: &Map,
    dry_run: bool,
) -> Result<(), Refusal> {
    for _ in 0..TRIES {
        let Some(entry) = budget(server, ask, pod)? else { return Ok(()) };
        let mut budget = parse(&entry.bytes)?;
        let charged = take(&mut budget, object, ask)?;
        if dry_run || !charged {
            return Ok(());
        }
        let Some(kind) = ask.resources.named(GROUP, "PodDisruptionBudget") else { return Ok(()) };
        let key = entry.key.to_string();
        let body = crate::object::encode(kind, &budget);
        let op = Op::Put { key: key.clone(), body, meta: crate::object::meta(kind, &budget) };
        let compares = vec![Compare { key, revision: entry.revision }];
        match commit(server, ask, Txn { compares, ops: vec![op] }).await {
            Ok(_) => return Ok(()),
            Err(Failed::Refused(refusal)) => return Err(refusal),
            Err(Failed::Conflict(..)) => {}
        }
    }
    Err(Refusal::too_many_requests("the disruption budget changes too fast", 10))
}

/// The budget that selects the pod; several are refused.
fn budget(server: &Inner, ask: &Ask, pod: &Entry) -> Result<Option<Arc<Entry>>, Refusal> {
    let prefix = format!("{BUDGETS}/{}/", ask.namespace());
    let listing = server.store.list(&prefix, None, None, 0, &|_| true);
    let entries = listing.map_err(Refusal::internal)?.entries;
    let selects = |entry: &Arc<Entry>| {
        let Ok(budget) = parse(&entry.bytes) else { return false };
        let selector = budget.get("spec").and_then(|spec| spec["selector"].as_object());
        Labels::of_selector(selector).matches_sorted(&pod.meta.labels)
    };
    let mut found: Vec<Arc<Entry>> = entries.into_iter().filter(selects).collect();
    if found.len() > 1 {
        return Err(Refusal::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    Ok(found.pop())
}

/// Takes a disruption, and notes whose; false if the pod goes without one.
fn take(budget: &mut Map, pod: &Map, ask: &Ask) -> Result<bool, Refusal> {
    let name = meta_text(budget, "name").to_owned();
    let generation = metadata(budget).and_then(|meta| meta["generation"].as_i64()).unwrap_or(0);
    let policy = budget.get("spec").and_then(|spec| spec["unhealthyPodEvictionPolicy"].as_str());
    let always = policy == Some("AlwaysAllow");
    let now = time::seconds(ask.now.seconds).unwrap_or_default();
    let status = budget.entry("status").or_insert_with(|| json!({}));
    let number = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
    let (healthy, wanted) = (number(status, "currentHealthy"), number(status, "desiredHealthy"));
    if !is_ready(pod) && (always || (healthy >= wanted && wanted > 0)) {
        return Ok(false);
    }
    if number(status, "observedGeneration") < generation {
        let text = format!("The disruption budget {name} is still being processed by the server.");
        return Err(denied(text, 10));
    }
    let allowed = number(status, "disruptionsAllowed");
    if allowed <= 0 {
        let text = format!(
            "The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
        );
        return Err(denied(text, 0));
    }
    let noted = status["disruptedPods"].as_object().map_or(0, Map::len);
    if noted > NOTED {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Refusal::forbidden(GROUP, "poddisruptionbudgets", &name, why));
    }
    status["disruptionsAllowed"] = (allowed - 1).into();
    if status["disruptedPods"].is_null() {
        status["disruptedPods"] = json!({});
    }
    status["disruptedPods"][&ask.target.name] = now.into();
    Ok(true)
}

fn is_ready(pod: &Map) -> bool {
    let conditions = pod.get("status").and_then(|status| status["conditions"].as_array());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// 429 with the budget's cause.
fn denied(message: String, retry_after: u32) -> Refusal {
    let text = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut refusal = Refusal::too_many_requests(text, retry_after);
    if retry_after == 0 {
        refusal.details.retry_after = None;
    }
    refusal.details.causes =
        vec![Cause { reason: "DisruptionBudget".to_owned(), message, field: String::new() }];
    refusal
}
