// SPDX-License-Identifier: Apache-2.0
//! What controllers tell people about objects.

use crate::place::Place;
use berth_cluster_client::{Id, Item};
use std::sync::Arc;

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// Group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

/// Whether all is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

/// Takes events down.
pub trait Record: std::fmt::Debug + Send + Sync {
    /// Something happened.
    fn record(&self, about: &Reference, kind: Type, reason: &str, action: &str, message: String);
}

/// A recorder that is shared.
pub type Recorder = Arc<dyn Record>;

/// Writes events to the log only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logged;

impl Record for Logged {
    fn record(&self, about: &Reference, kind: Type, reason: &str, _action: &str, message: String) {
        let Reference { kind: what, namespace, name, .. } = about;
        match kind {
            Type::Normal => tracing::debug!(what, namespace, name, reason, message),
            Type::Warning => tracing::info!(what, namespace, name, reason, message),
        }
    }
}

/// An object, as an event is about it.
pub(crate) fn about<V>(place: Place, item: &Item<V>) -> Reference {
    let Id { namespace, name, uid, resource_version } = item.id.clone();
    Reference {
        api_version: place.version.to_owned(),
        kind: place.kind.to_owned(),
        namespace,
        name,
        uid,
        resource_version,
    }
}
