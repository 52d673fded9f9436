// SPDX-License-Identifier: Apache-2.0
//! The last words of a session: how the command ended.

use serde_json::{Value, json};

/// How a command ended, or why it did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ended, with this code.
    Exit(i32),
    /// Something else went wrong, as in "error executing command in container: ...".
    Failed(String),
}

impl Outcome {
    /// What is sent on the error channel; `None`: nothing. Protocols before v4 know plain words only.
    pub(crate) fn words(&self, structured: bool) -> Option<Vec<u8>> {
        if structured {
            return Some(self.status().to_string().into_bytes());
        }
        match self {
            Self::Exit(0) => None,
            _ => Some(self.message().into_bytes()),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Exit(code) => {
                format!("command terminated with non-zero exit code: exit status {code}")
            }
            Self::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }

    fn status(&self) -> Value {
        match self {
            Self::Exit(0) => json!({"metadata": {}, "status": "Success"}),
            Self::Exit(code) => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(why) => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "InternalError",
                "details": {"causes": [{"message": why}]}, "code": 500,
            }),
        }
    }
}
