// SPDX-License-Identifier: Apache-2.0
//! What a machine is given that is to join: a bootstrap token, and by what the cluster's CA is known, `ID.SECRET.FINGERPRINT`. So it knows
//! the server before it tells it anything.

use super::bootstrap::BootstrapToken;
use std::fmt;

/// Digits of a fingerprint.
const DIGITS: usize = 64;

/// A token with or without the fingerprint of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The token.
    pub token: BootstrapToken,
    /// SHA-256 of the CA's certificate; without it the CA is known by the token's signature.
    pub ca: Option<String>,
}

/// What is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no token: one is ID.SECRET or ID.SECRET.FINGERPRINT, as `berth token create` prints it (6 and 16 small letters or digits, and \
     64 hexadecimal digits)"
)]
pub struct NoToken;

impl JoinToken {
    /// Takes one apart.
    pub fn parse(text: &str) -> Result<Self, NoToken> {
        let whole = |token: &str| BootstrapToken::parse(token).ok_or(NoToken);
        let text = text.trim();
        match text.match_indices('.').nth(1) {
            None => Ok(Self { token: whole(text)?, ca: None }),
            Some((at, _)) => {
                let (token, ca) = (&text[..at], &text[at + 1..]);
                let hex = ca.len() == DIGITS && ca.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !hex {
                    return Err(NoToken);
                }
                Ok(Self { token: whole(token)?, ca: Some(ca.to_ascii_lowercase()) })
            }
        }
    }

    /// The whole of it: secret.
    pub fn reveal(&self) -> String {
        let token = self.token.reveal();
        self.ca.as_ref().map_or_else(|| token.clone(), |ca| format!("{token}.{ca}"))
    }
}

impl std::str::FromStr for JoinToken {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        Self::parse(text)
    }
}

impl fmt::Display for JoinToken {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token.id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    #[test]
    fn a_token_is_taken_apart_and_put_together() {
        let ca = "0123456789abcdef".repeat(4);
        let bare = JoinToken::parse("abcdef.fedcba9876543210\n").unwrap();
        assert_eq!((bare.token.id.as_str(), &bare.ca), ("abcdef", &None));
        let text = format!("abcdef.fedcba9876543210.{ca}");
        let whole = JoinToken::parse(&text).unwrap();
        assert_eq!(whole.ca.as_deref(), Some(ca.as_str()));
        assert_eq!(whole.reveal(), text);
        assert_eq!(JoinToken::parse(&text.to_uppercase()), Err(NoToken));
        let upper = format!("abcdef.fedcba9876543210.{}", ca.to_uppercase());
        assert_eq!(JoinToken::parse(&upper), Ok(whole.clone()));
        assert!(!format!("{whole:?} {whole}").contains("fedcba"));
        for wrong in ["", "abcdef", "abcdef.fedcba9876543210.", "abcdef.fedcba9876543210.12", ".."]
        {
            assert_eq!(JoinToken::parse(wrong), Err(NoToken), "{wrong}");
        }
    }
}
