// SPDX-License-Identifier: Apache-2.0
//! What is asked of a write after it is allowed and before it is judged: a chain, each link of which may change the object or refuse it.

mod account;
mod certificates;
mod class;
mod lifecycle;
mod node;
mod priority;
mod tolerations;

pub use tolerations::Tolerations;

use crate::ask::Ask;
use crate::server::Inner;
use berth_cluster_api::{Map, Refusal};
use std::fmt;

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// A write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) operation: Operation,
    /// The object as it is stored, if there is one.
    pub(crate) old: Option<&'a Map>,
}

/// A link of the chain.
pub(crate) trait Admission: fmt::Debug + Send + Sync {
    /// The name by which it can be turned off; upstream's.
    fn name(&self) -> &'static str;

    /// The key of something that the object needs and that somebody is about to make: the write waits for it a little.
    fn awaits(&self, _request: &Request<'_>, _object: &Map) -> Option<String> {
        None
    }

    /// Looks at what is made below an object and kept nowhere.
    fn admit_below(&self, _server: &Inner, _ask: &Ask, _sent: &Map) -> Result<(), Refusal> {
        Ok(())
    }

    /// Looks at a write, and may change the object.
    fn admit(&self, server: &Inner, request: &Request<'_>, object: &mut Map)
    -> Result<(), Refusal>;
}

/// The chain, in order.
pub(crate) fn chain(tolerations: Tolerations) -> Vec<Box<dyn Admission>> {
    vec![
        Box::new(lifecycle::NamespaceLifecycle),
        Box::new(account::ServiceAccount),
        Box::new(node::NodeRestriction),
        Box::new(priority::Priority::default()),
        Box::new(tolerations::DefaultTolerationSeconds(tolerations)),
        Box::new(class::DefaultStorageClass),
        Box::new(certificates::Fields),
        Box::new(certificates::CertificateApproval),
        Box::new(certificates::CertificateSigning),
        Box::new(certificates::CertificateSubjectRestriction),
    ]
}
