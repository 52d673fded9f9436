// SPDX-License-Identifier: Apache-2.0
//! Events about containers.

use super::Machine;
use super::container::Waiting;
use crate::reasons::{event, waiting};

impl Machine {
    pub(super) fn tell(&mut self, at: usize, warning: bool, reason: &'static str, message: String) {
        let path = self.containers[at].field_path();
        self.books.tell(&path, warning, reason, message);
    }

    pub(super) fn tell_pod(&mut self, warning: bool, reason: &'static str, message: String) {
        self.books.tell("", warning, reason, message);
    }

    /// A container cannot be started, for `text`.
    pub(super) fn tell_error(&mut self, at: usize, text: &str) {
        self.tell(at, true, event::FAILED, format!("Error: {text}"));
    }

    /// A wait becomes visible.
    pub(super) fn tell_wait(&mut self, at: usize, (reason, _): &Waiting) {
        let spec = &self.containers[at].spec;
        if *reason == waiting::CRASH {
            let message = format!(
                "Back-off restarting failed container {} in pod {}",
                spec.name,
                self.spec.described()
            );
            self.tell(at, true, event::BACKOFF, message);
        } else if *reason == waiting::PULL_BACKOFF {
            let message = format!("Back-off pulling image {:?}", spec.image);
            self.tell(at, false, event::BACKOFF, message);
            self.tell_error(at, waiting::PULL_BACKOFF);
        }
    }
}
