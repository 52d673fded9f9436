// SPDX-License-Identifier: Apache-2.0
//! Why a call failed: whose fault it is, whether it may do better when it is made again, and what to look at.

use bollard::errors::Error;
use std::time::Duration;

/// Why a call of an engine failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The engine is away: not started, restarting, or its socket is another.
    #[error("cannot {call}: the Docker engine does not answer: {reason}")]
    Gone {
        /// What was asked for.
        call: &'static str,
        /// What the system says.
        reason: String,
    },
    /// No answer in time. It may have been done nevertheless: all calls can be made again.
    #[error("cannot {call}: the Docker engine gave no answer within {limit:?}")]
    TimedOut {
        /// What was asked for.
        call: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It is not there.
    #[error("cannot {call}: {message}")]
    NotFound {
        /// What was asked for.
        call: &'static str,
        /// The engine's words.
        message: String,
    },
    /// It is in another state than the call needs, or its name is taken.
    #[error("cannot {call}: {message}")]
    Conflict {
        /// What was asked for.
        call: &'static str,
        /// The engine's words.
        message: String,
    },
    /// It is there, but is not this agent's: nothing was done.
    #[error("cannot {call}: {what} is not of this agent; it is left alone")]
    Foreign {
        /// What was asked for.
        call: &'static str,
        /// Of what.
        what: String,
    },
    /// The engine refused, or failed at it.
    #[error("cannot {call}: {message}")]
    Refused {
        /// What was asked for.
        call: &'static str,
        /// The status of HTTP: from 500 on it is the engine's own fault.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// The answer is none that an engine gives.
    #[error("cannot {call}: the answer of the Docker engine is unreadable: {reason}")]
    Unreadable {
        /// What was asked for.
        call: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// Whether the same call may do better later, without anything else being changed.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Gone { .. } | Self::TimedOut { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// What a call ended with that bollard made.
    pub(crate) fn of(call: &'static str, error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::status(call, status_code, message)
            }
            Error::DockerStreamError { error } => {
                Self::Refused { call, status: 500, message: error }
            }
            Error::RequestTimeoutError => {
                Self::Gone { call, reason: "it accepts no request".to_owned() }
            }
            Error::IOError { err } => Self::gone(call, &err),
            Error::HyperResponseError { err } => Self::gone(call, &err),
            Error::HyperLegacyError { err } => Self::gone(call, &err),
            Error::SocketNotFoundError(path) => {
                Self::Gone { call, reason: format!("there is no socket {path}") }
            }
            other => Self::Unreadable { call, reason: other.to_string() },
        }
    }

    /// What a status of HTTP means.
    pub(crate) fn status(call: &'static str, status: u16, message: String) -> Self {
        match status {
            404 => Self::NotFound { call, message },
            409 => Self::Conflict { call, message },
            _ => Self::Refused { call, status, message },
        }
    }

    /// The engine is away, with all that the system says of it.
    pub(crate) fn gone(call: &'static str, error: &dyn std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Self::Gone { call, reason }
    }
}

/// Why a container was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// Its image is not there: it was removed since it was pulled.
    #[error("image {image} is not there: {message}")]
    NoImage {
        /// Which.
        image: String,
        /// The engine's words.
        message: String,
    },
    /// Its name belongs to something that is not this agent's, and that is left alone.
    #[error(
        "the name {name} is taken by container {by}, which is not of this agent; remove or rename it"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The id of what has it.
        by: String,
    },
    /// There is one already, of the same pod, container and attempt, which was made to be something else.
    #[error(
        "container {name} is there already as {id}, made from another specification; remove it first"
    )]
    Differs {
        /// The name.
        name: String,
        /// The id of what is there.
        id: String,
    },
    /// The call failed.
    #[error(transparent)]
    Call(CallError),
}

/// Why a container did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its command is not there or cannot be executed, a mount does not work out, and the like. What Kubernetes' users know as
    /// `ContainerCannotRun` (or `StartError`), with code 127, 126 or 128.
    #[error("{message}")]
    CannotRun {
        /// What a shell would exit with.
        exit_code: i32,
        /// The engine's words.
        message: String,
    },
    /// Another container of the network has its address.
    #[error("the address is in use: {message}")]
    AddressInUse {
        /// The engine's words.
        message: String,
    },
    /// The call failed.
    #[error(transparent)]
    Call(CallError),
}
