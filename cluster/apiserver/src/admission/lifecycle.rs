// SPDX-License-Identifier: Apache-2.0
//! Nothing is made in a namespace that is not there, or is going away; and some namespaces stay (upstream's NamespaceLifecycle).

use super::{Admission, Operation, Request};
use crate::server::Inner;
use crate::verb::create::terminating;
use crate::write::meta_text;
use berth_cluster_api::{Map, Refusal};

/// Namespaces that cannot be deleted.
const KEPT: [&str; 3] = ["default", "kube-system", "kube-public"];

#[derive(Debug)]
pub(crate) struct NamespaceLifecycle;

impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let ask = request.ask;
        let namespaces = &*ask.kind.stored_as == "namespaces";
        if request.operation == Operation::Delete && namespaces {
            let name = meta_text(object, "name");
            if KEPT.contains(&name) {
                let why = "this namespace may not be deleted";
                return Err(Refusal::forbidden("", "namespaces", name, why));
            }
        }
        let namespace = ask.namespace();
        if request.operation != Operation::Create || namespace.is_empty() {
            return Ok(());
        }
        let Some(entry) = server.store.latest(&format!("namespaces/{namespace}")) else {
            return Err(Refusal::not_found("", "namespaces", namespace));
        };
        if entry.meta.deletion.is_some() {
            return Err(terminating(ask, meta_text(object, "name")));
        }
        Ok(())
    }
}
