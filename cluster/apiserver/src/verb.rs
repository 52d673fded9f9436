// SPDX-License-Identifier: Apache-2.0
//! What requests for resources do.

pub(crate) mod binding;
pub(crate) mod collection;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod eviction;
pub(crate) mod get;
pub(crate) mod options;
pub(crate) mod patch;
pub(crate) mod review;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod watch;

use crate::answer::Answer;
use crate::ask::Ask;
use crate::fence;
use crate::server::Inner;
use berth_cluster_api::Refusal;
use berth_cluster_api::registry::Subresource;
use std::sync::Arc;

/// Answers a request that is allowed.
pub(crate) async fn serve(server: &Arc<Inner>, ask: Ask) -> Result<Answer, Refusal> {
    fence::early(server, &ask)?;
    let answer = carry_out(server, &ask).await;
    fence::late(server, &ask, answer).await
}

async fn carry_out(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let all = ask.target.name.is_empty();
    if ask.kind.namespaced && ask.target.namespace.is_empty() && !all {
        return Err(Refusal::no_such_path());
    }
    if ask.kind.rules.is_question() {
        return match (ask.verb, all && placed(ask)) {
            ("create", true) => review::answer(server, ask),
            _ => Err(Refusal::method_not_allowed()),
        };
    }
    match (ask.verb, ask.sub) {
        ("create", Some(Subresource::Binding)) => binding::bind(server, ask).await,
        (
            "get",
            None
            | Some(Subresource::Status | Subresource::EphemeralContainers | Subresource::Approval),
        ) => get::one(server, ask).await,
        ("get", Some(Subresource::Scale)) => get::scale(server, ask).await,
        ("list", None) => get::list(server, ask).await,
        ("watch", None) => watch::serve(server, ask).await,
        ("create", None) if all && placed(ask) => create::serve(server, ask).await,
        ("create", Some(Subresource::Token)) => token::issue(server, ask).await,
        ("create", Some(Subresource::Eviction)) => eviction::evict(server, ask).await,
        ("update", sub) if !all && writable(sub) => update::serve(server, ask).await,
        ("patch", sub) if !all && writable(sub) && sub != Some(Subresource::Finalize) => {
            patch::serve(server, ask).await
        }
        ("delete", None) => delete::serve(server, ask).await,
        ("deletecollection", None) if placed(ask) && ask.kind.rules.deleted_together() => {
            collection::delete(server, ask).await
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// Whether the path names a namespace where it has to.
fn placed(ask: &Ask) -> bool {
    !ask.kind.namespaced || !ask.target.namespace.is_empty()
}

/// Whether a part of an object can be written by PUT.
fn writable(sub: Option<Subresource>) -> bool {
    matches!(
        sub,
        None | Some(
            Subresource::Status
                | Subresource::Scale
                | Subresource::Finalize
                | Subresource::EphemeralContainers
                | Subresource::Approval
        )
    )
}
