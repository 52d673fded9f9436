// SPDX-License-Identifier: Apache-2.0
//! Tokens of a file: `token,user,uid,"group1,group2"` a line, as upstream's `--token-auth-file`.

use super::TOKEN_BYTES_MAX;
use crate::user::User;
use ring::digest::{SHA256, digest};
use std::fmt;

/// Why a file of tokens was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the tokens is not `token,user,uid,\"group1,group2\"`")]
pub struct BadTokenFile {
    /// Which line, from 1.
    pub line: usize,
}

/// Tokens that do not change; kept as hashes only.
#[derive(Default)]
pub struct StaticTokens {
    known: Vec<(Vec<u8>, User)>,
}

impl fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticTokens({})", self.known.len())
    }
}

impl StaticTokens {
    /// Reads them; empty lines and those that begin with `#` are skipped.
    pub fn read(csv: &str) -> Result<Self, BadTokenFile> {
        let mut known = Vec::new();
        for (at, line) in csv.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            known.push(read_line(line).ok_or(BadTokenFile { line: at + 1 })?);
        }
        Ok(Self { known })
    }

    /// Whose token it is.
    pub fn user(&self, token: &str) -> Option<&User> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let wanted = digest(&SHA256, token.as_bytes());
        let mut found = None;
        // all are compared to their ends, so that the time says nothing of how near a guess was
        for (hash, user) in &self.known {
            let differ = hash.iter().zip(wanted.as_ref()).fold(0, |sum, (a, b)| sum | (a ^ b));
            if std::hint::black_box(differ) == 0 {
                found = Some(user);
            }
        }
        found
    }
}

fn read_line(line: &str) -> Option<(Vec<u8>, User)> {
    let fields = split(line)?;
    let [token, name, uid, rest @ ..] = fields.as_slice() else { return None };
    if token.is_empty() || name.is_empty() || rest.len() > 1 {
        return None;
    }
    let groups = rest.first().map(String::as_str).unwrap_or_default();
    let groups = groups.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned);
    let hash = digest(&SHA256, token.as_bytes()).as_ref().to_vec();
    Some((hash, User::authenticated(name, uid, groups.collect())))
}

/// Fields of a line of CSV; `None` if a quotation does not end.
fn split(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field).trim().to_owned()),
            other => field.push(other),
        }
    }
    fields.push(field.trim().to_owned());
    (!quoted).then_some(fields)
}
