// SPDX-License-Identifier: Apache-2.0
//! Nobody gives away what they do not hold: escalation by roles and bindings (upstream's policybased storage).

use crate::ask::Ask;
use crate::server::Inner;
use crate::write::meta_text;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_auth::rbac::{Attributes, RoleRef, Rule, not_held, uncovered};
use berth_cluster_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether the user may write this role or binding.
pub(crate) fn check(
    server: &Inner,
    ask: &Ask,
    new: &Map,
    old: Option<&Map>,
) -> Result<(), Refusal> {
    if &*ask.kind.group != GROUP {
        return Ok(());
    }
    let same = |field: &str| old.is_some_and(|old| old.get(field) == new.get(field));
    match &*ask.kind.kind {
        "Role" | "ClusterRole" => {
            if same("rules") && same("aggregationRule") {
                return Ok(());
            }
            role(server, ask, new, old)
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            if same("roleRef") && same("subjects") {
                return Ok(());
            }
            binding(server, ask, new)
        }
        _ => Ok(()),
    }
}

fn asked<'a>(ask: &'a Ask, verb: &'a str, resource: &'a str, name: &'a str) -> Attributes<'a> {
    Attributes {
        namespace: ask.namespace(),
        name,
        ..Attributes::resource(&ask.user, verb, GROUP, resource)
    }
}

fn role(server: &Inner, ask: &Ask, new: &Map, old: Option<&Map>) -> Result<(), Refusal> {
    let name = meta_text(new, "name");
    let index = server.access.index();
    if index.allowed(&asked(ask, "escalate", &ask.kind.plural, name)).allowed {
        return Ok(());
    }
    let value = Value::Object(new.clone());
    let mut wanted = Rule::read_all(&value);
    let aggregates = |of: &Map| of.get("aggregationRule").is_some_and(|rule| !rule.is_null());
    if aggregates(new)
        && !old.is_some_and(|old| old.get("aggregationRule") == new.get("aggregationRule"))
    {
        // Whoever chooses what a role is made of could choose anything.
        let all = || vec!["*".to_owned()];
        wanted = vec![
            Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
            Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
        ];
    }
    let missing = uncovered(&index.rules_for(&ask.user, ask.namespace()), &wanted);
    if missing.is_empty() {
        return Ok(());
    }
    Err(not_held(&ask.user, &ask.kind.plural, name, &missing))
}

fn binding(server: &Inner, ask: &Ask, new: &Map) -> Result<(), Refusal> {
    let reference = new.get("roleRef").unwrap_or(&Value::Null);
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (resource, namespace) = match text("kind") {
        "Role" => ("roles", ask.namespace()),
        _ => ("clusterroles", ""),
    };
    let index = server.access.index();
    if index.allowed(&asked(ask, "bind", resource, text("name"))).allowed {
        return Ok(());
    }
    let role = RoleRef { namespace: namespace.to_owned(), name: text("name").to_owned() };
    let Some(wanted) = index.rules_of(&role) else {
        return Err(Refusal::not_found(GROUP, resource, text("name")));
    };
    let missing = uncovered(&index.rules_for(&ask.user, ask.namespace()), wanted);
    if missing.is_empty() {
        return Ok(());
    }
    Err(not_held(&ask.user, &ask.kind.plural, meta_text(new, "name"), &missing))
}
