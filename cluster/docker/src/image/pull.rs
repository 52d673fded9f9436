// SPDX-License-Identifier: Apache-2.0
//! Pulling an image: progress, credentials, and why it failed in words that users know.

use crate::engine::Engine;
use crate::error::CallError;
use crate::image::Image;
use crate::image::reference::{Reference, ReferenceError};
use crate::limits;
use crate::lines::Lines;
use crate::wire::{self, Ask};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

const CALL: &str = "pull image";

/// Credentials for one registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name with a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that the registry's authority exchanges for others.
    IdentityToken(String),
    /// A token that is sent to the registry as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Credentials::Password",
            Self::IdentityToken(_) => "Credentials::IdentityToken",
            Self::RegistryToken(_) => "Credentials::RegistryToken",
        })
    }
}

impl Credentials {
    /// As the engine wants them: JSON in the base64 for URLs.
    fn header(&self, registry: &str) -> String {
        let server = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
        let json = match self {
            Self::Password { user, password } => {
                json!({"username": user, "password": password, "serveraddress": server})
            }
            Self::IdentityToken(token) => json!({"identitytoken": token, "serveraddress": server}),
            Self::RegistryToken(token) => json!({"registrytoken": token, "serveraddress": server}),
        };
        URL_SAFE.encode(json.to_string())
    }
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The layer that it is about; empty if about all.
    pub layer: String,
    /// `Downloading`, `Extracting`, `Pull complete` ...
    pub status: String,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all; 0 if unknown.
    pub bytes_total: u64,
}

/// Why an image was not pulled. Kubernetes' users know all but the first as `ErrImagePull`, with the same words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// Its name is none: `InvalidImageName`.
    #[error("Failed to apply default image tag: {0}")]
    Name(ReferenceError),
    /// The registry has none of that name, or does not show it to us.
    #[error("failed to pull image {image:?}: {message}")]
    NotFound {
        /// Which.
        image: String,
        /// The engine's words.
        message: String,
    },
    /// The registry wants other credentials.
    #[error("failed to pull image {image:?}: {message}")]
    Unauthorized {
        /// Which.
        image: String,
        /// The engine's words.
        message: String,
    },
    /// The registry does not answer, or not as one: worth another attempt. `RegistryUnavailable`.
    #[error("failed to pull image {image:?}: {message}")]
    Unreachable {
        /// Which.
        image: String,
        /// The engine's words.
        message: String,
    },
    /// Nothing moved for too long.
    #[error("failed to pull image {image:?}: no progress for {silence:?}")]
    Stalled {
        /// Which.
        image: String,
        /// For how long.
        silence: Duration,
    },
    /// Something else, such as a full disk or an image for other processors.
    #[error("failed to pull image {image:?}: {message}")]
    Failed {
        /// Which.
        image: String,
        /// The engine's words.
        message: String,
    },
    /// The engine did not answer.
    #[error(transparent)]
    Call(CallError),
}

impl PullError {
    /// The reason of the container's state.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name(_) => "InvalidImageName",
            Self::Unreachable { .. } => "RegistryUnavailable",
            _ => "ErrImagePull",
        }
    }

    /// Sorts the engine's words, which are the registry's for the most part.
    fn sort(image: &str, message: String) -> Self {
        let image = image.to_owned();
        let lower = message.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        // Docker Hub says of a private image that it may not be there.
        if has(&["unauthorized", "authentication required", "no basic auth", "incorrect username"])
        {
            return Self::Unauthorized { image, message };
        }
        if has(&["not found", "does not exist", "manifest unknown", "name unknown"]) {
            return Self::NotFound { image, message };
        }
        if has(&["denied", "forbidden"]) {
            return Self::Unauthorized { image, message };
        }
        let away = [
            "dial tcp",
            "no such host",
            "connection refused",
            "connection reset",
            "timeout",
            "deadline exceeded",
            "tls",
            "x509",
            "eof",
            "no route to host",
            "unreachable",
            "bad gateway",
            "service unavailable",
            "toomanyrequests",
            "too many requests",
            "server gave http response",
            "received unexpected http status: 5",
        ];
        if has(&away) {
            return Self::Unreachable { image, message };
        }
        Self::Failed { image, message }
    }
}

/// A line of the engine's progress.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    progress_detail: Detail,
}

#[derive(Debug, Default, Deserialize)]
struct Detail {
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

impl Engine {
    /// Pulls an image, and tells `told` how far it is. The pull ends where this future is dropped.
    pub async fn pull(
        &self,
        name: &str,
        credentials: Option<&Credentials>,
        mut told: impl FnMut(Progress) + Send,
    ) -> Result<Image, PullError> {
        let reference = Reference::parse(name).map_err(PullError::Name)?;
        let shown = reference.to_string();
        let before = self.images().await.map_err(PullError::Call)?;
        let before: BTreeSet<String> = before.into_iter().map(|image| image.id).collect();
        let query = wire::query(&[("fromImage", &reference.name()), ("tag", reference.version())]);
        let ask = Ask {
            call: CALL,
            method: "POST",
            path: format!("/images/create?{query}"),
            credentials: credentials.map(|one| one.header(reference.registry())),
            ..Ask::default()
        };
        let answer = match self.wire.send(ask, limits::PULL_BEGIN).await {
            Ok(answer) => answer,
            Err(CallError::NotFound { message, .. } | CallError::Refused { message, .. }) => {
                return Err(PullError::sort(&shown, message));
            }
            Err(error) => return Err(PullError::Call(error)),
        };
        follow(&shown, Lines::new(CALL, answer.into_body()), &mut told).await?;
        let image = self.image_named(&shown).await.map_err(PullError::Call)?;
        let gone = || PullError::Failed {
            image: shown.clone(),
            message: "it was removed at once".to_owned(),
        };
        let image = image.ok_or_else(gone)?;
        if !before.contains(&image.id) {
            self.mark(&reference, &image.id).await.map_err(PullError::Call)?;
        }
        Ok(image)
    }
}

/// Reads a pull's progress to its end.
async fn follow(
    image: &str,
    mut lines: Lines,
    told: &mut (impl FnMut(Progress) + Send),
) -> Result<(), PullError> {
    loop {
        let silence = limits::PULL_SILENCE;
        let Ok(line) = tokio::time::timeout(silence, lines.next()).await else {
            return Err(PullError::Stalled { image: image.to_owned(), silence });
        };
        let Some(line) = line.map_err(PullError::Call)? else { return Ok(()) };
        let line: Line = serde_json::from_slice(&line).map_err(|error| {
            PullError::Call(CallError::Unreadable { call: CALL, reason: error.to_string() })
        })?;
        if let Some(message) = line.error {
            return Err(PullError::sort(image, message));
        }
        let Detail { current, total } = line.progress_detail;
        told(Progress { layer: line.id, status: line.status, bytes: current, bytes_total: total });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_registries_are_sorted() {
        for (message, wanted) in [
            ("manifest for x:1 not found: manifest unknown: manifest unknown", "NotFound"),
            (
                "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access is denied",
                "NotFound",
            ),
            ("Get \"http://r/v2/\": unauthorized: authentication required", "Unauthorized"),
            ("Head \"https://r/v2/x/manifests/1\": no basic auth credentials", "Unauthorized"),
            ("error pulling image: denied: token lacks scope", "Unauthorized"),
            (
                "Get \"https://r/v2/\": dial tcp: lookup r on 127.0.0.53:53: no such host",
                "Unreachable",
            ),
            (
                "Get \"https://r/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                "Unreachable",
            ),
            ("Get \"https://r/v2/\": net/http: TLS handshake timeout", "Unreachable"),
            ("received unexpected HTTP status: 503 Service Unavailable", "Unreachable"),
            ("toomanyrequests: You have reached your pull rate limit", "Unreachable"),
            ("no space left on device", "Failed"),
            ("no matching manifest for linux/amd64 in the manifest list entries", "Failed"),
        ] {
            let error = PullError::sort("x:1", message.to_owned());
            assert!(format!("{error:?}").starts_with(wanted), "{error:?}");
            assert_eq!(error.to_string(), format!("failed to pull image \"x:1\": {message}"));
        }
    }

    #[test]
    fn credentials_arrive_whole_and_are_never_shown() {
        let credentials =
            Credentials::Password { user: "u".to_owned(), password: "???>>>~~~".to_owned() };
        let header = credentials.header("r:5000");
        assert!(!header.contains(['+', '/']), "{header}");
        let json: serde_json::Value =
            serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(
            (json["password"].as_str(), json["serveraddress"].as_str()),
            (Some("???>>>~~~"), Some("r:5000"))
        );
        assert_eq!(format!("{credentials:?}"), "Credentials::Password");
    }
}
