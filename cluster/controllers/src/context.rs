// SPDX-License-Identifier: Apache-2.0
//! What each controller is given.

use crate::events::Recorder;
use crate::informers::Informers;
use crate::start::Settings;
use crate::view::Micros;
use berth_cluster_client::{Api, CallError, Clock};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;

/// What a controller works with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The API, as the controller's own user.
    pub(crate) api: Api,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<Settings>,
}

impl Context {
    pub(crate) fn now(&self) -> Micros {
        Micros(self.clock.micros())
    }
}

/// An object as a body.
pub(crate) fn body(object: &impl Serialize) -> Bytes {
    // Texts, numbers, and maps with texts as names: nothing can fail.
    Bytes::from(serde_json::to_vec(object).unwrap_or_default())
}

/// What the server said, without what was asked.
pub(crate) fn said(error: &CallError) -> String {
    match error {
        CallError::Refused { message, .. } => message.clone(),
        CallError::Lost { .. } => error.to_string(),
    }
}

/// An answer that an object is gone already is as good as that it goes now.
pub(crate) fn unless_gone<T>(result: Result<T, CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if error.code() == Some(404) => Ok(()),
        result => result.map(drop),
    }
}
