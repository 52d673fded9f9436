// SPDX-License-Identifier: Apache-2.0
//! What is wrong when the API does not answer as it should, in words that help.

use crate::apiserver::now;
use berth_cluster_client::{CallError, clock};

/// What kind of trouble it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody answers: that may pass.
    Away(String),
    /// The server's certificate does not do, or ours: that does not pass by itself.
    Tls(String),
    /// The server does not know who calls.
    Unknown401,
    Other,
}

/// What is behind an error.
pub(super) fn of(error: &anyhow::Error) -> Trouble {
    match error.chain().find_map(|cause| cause.downcast_ref::<CallError>()) {
        Some(lost @ CallError::Lost { .. }) => {
            let mut words = Vec::new();
            let mut next = std::error::Error::source(lost);
            while let Some(cause) = next {
                words.push(cause.to_string());
                next = cause.source();
            }
            of_lost(&words)
        }
        Some(CallError::Refused { code: 401, .. }) => Trouble::Unknown401,
        // It has no room, begins or ends.
        Some(CallError::Refused { code: 429 | 500..=599, message, .. }) => {
            Trouble::Away(message.clone())
        }
        _ => Trouble::Other,
    }
}

/// `words`: what each cause says, the deepest last.
fn of_lost(words: &[String]) -> Trouble {
    let all = words.join(": ");
    let has = |text: &str| all.contains(text);
    let last = words.last().map(String::as_str).unwrap_or_default();
    if has("not valid yet") || has("NotValidYet") || has("Expired") || has("certificate expired") {
        return Trouble::Tls(format!(
            "the server's certificate is not valid at the time of this machine, {}: is its clock right? ({last})",
            clock::seconds(now().saturating_mul(1_000_000))
        ));
    }
    if has("not valid for name") || has("NotValidForName") {
        return Trouble::Tls(format!(
            "the server's certificate is not for the name in --server: start `berth server` with --host NAME, or call it as it is called ({last})"
        ));
    }
    if has("UnknownIssuer") || has("BadSignature") {
        return Trouble::Tls(format!(
            "the server's certificate is not of the cluster's CA: another server answers at this address ({last})"
        ));
    }
    if has("invalid peer certificate") || has("CertificateExpired") {
        return Trouble::Tls(format!("the server cannot be trusted: {last}"));
    }
    Trouble::Away(last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_words_that_help() {
        let trouble = |text: &str| of_lost(&["client error (Connect)".to_owned(), text.to_owned()]);
        for (text, words) in [
            (
                "invalid peer certificate: certificate not valid yet: verification time 1",
                "is its clock right?",
            ),
            ("invalid peer certificate: Expired", "is its clock right?"),
            ("invalid peer certificate: certificate not valid for name \"x\"", "--host NAME"),
            ("invalid peer certificate: UnknownIssuer", "another server answers"),
        ] {
            let found = trouble(text);
            assert!(matches!(&found, Trouble::Tls(why) if why.contains(words)), "{found:?}");
        }
        let away = trouble("Connection refused (os error 111)");
        assert_eq!(away, Trouble::Away("Connection refused (os error 111)".to_owned()));
        assert_eq!(of(&anyhow::anyhow!("x")), Trouble::Other);
    }
}
