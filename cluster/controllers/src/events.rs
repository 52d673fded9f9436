// SPDX-License-Identifier: Apache-2.0
//! What controllers tell people about objects.

use crate::place::Place;
use berth_cluster_client::events;
use berth_cluster_client::{Id, Item};
use std::sync::Arc;

pub use berth_cluster_client::events::{Reference, Type};

/// Takes events down.
pub trait Record: std::fmt::Debug + Send + Sync {
    /// Something happened.
    fn record(&self, about: &Reference, kind: Type, reason: &str, action: &str, message: String);
}

/// A recorder that is shared.
pub type Recorder = Arc<dyn Record>;

impl Record for events::Recorder {
    fn record(&self, about: &Reference, kind: Type, reason: &str, action: &str, message: String) {
        Self::record(self, about, kind, reason, action, message);
    }
}

/// An object, as an event is about it.
pub(crate) fn about<V>(place: Place, item: &Item<V>) -> Reference {
    let Id { namespace, name, uid, resource_version } = item.id.clone();
    Reference {
        api_version: place.version.to_owned(),
        kind: place.kind.to_owned(),
        namespace: namespace.into(),
        name: name.into(),
        uid,
        resource_version: resource_version.into(),
        field_path: String::new(),
    }
}
