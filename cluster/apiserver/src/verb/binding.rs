// SPDX-License-Identifier: Apache-2.0
//! Giving a pod its node.

use crate::answer::{Answer, done};
use crate::ask::Ask;
use crate::body::{self, Expected};
use crate::server::Inner;
use crate::verb::update::{Change, update};
use crate::write::meta_text;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::kinds::pod::{Binding, bind as bind_pod};
use berth_cluster_api::schema::lookup;
use berth_cluster_api::{Map, Refusal, time};
use berth_cluster_json::Value;
use std::sync::Arc;

/// POST of a `Binding` below a pod.
pub(crate) async fn bind(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "CreateOptions")?;
    let dry_run = ask.dry_run("CreateOptions")?;
    let schema =
        lookup("", "v1", "Binding").ok_or_else(|| Refusal::internal("no schema of Binding"))?;
    let of = Expected { group: "", version: "v1", kind: "Binding", schema: &schema };
    let binding = body::read(ask, &of, validation)?.object;
    let target = binding.get("target").unwrap_or(&Value::Null);
    let node = target["name"].as_str().unwrap_or_default();
    let name = meta_text(&binding, "name");
    if !name.is_empty() && name != ask.target.name {
        return Err(Refusal::bad_request("name in URL does not match name in Binding object"));
    }
    judge(&binding, target, node)?;
    let none = Map::new();
    let annotations = binding.get("metadata").and_then(|meta| meta["annotations"].as_object());
    let now = time::seconds(ask.now.seconds).unwrap_or_default();
    let uid = meta_text(&binding, "uid").to_owned();
    update(server, ask, dry_run, |old| {
        let own = meta_text(old, "uid");
        if !uid.is_empty() && uid != own {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {own}"
            );
            return Err(Refusal::conflict("", "pods/binding", &ask.target.name, &why));
        }
        let mut object = old.clone();
        bind_pod(
            &mut object,
            Binding { node, annotations: annotations.unwrap_or(&none), now: &now },
        )?;
        Ok(Change { object, warnings: Vec::new(), again: true })
    })
    .await?;
    Ok(done())
}

fn judge(binding: &Map, target: &Value, node: &str) -> Result<(), Refusal> {
    let mut errors = Errors::new();
    let path = Path::new("target");
    let kind = target["kind"].as_str().unwrap_or_default();
    if !["", "Node"].contains(&kind) {
        errors.not_supported(&path.child("kind"), kind, &["Node", "<empty>"]);
    }
    if node.is_empty() {
        errors.required(&path.child("name"), "");
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid("", "Binding", meta_text(binding, "name"), &errors))
}
