// SPDX-License-Identifier: Apache-2.0
//! Which objects of a collection a client wants, and as of when: options of lists, and tokens to go on with.
//!
//! Sources: KEP-365 (paginated lists), KEP-1904 (resourceVersion semantics), KEP-3157 (watch-list).

use crate::query::Query;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use berth_cluster_api::Refusal;
use berth_cluster_api::field::{Errors, Path};
use serde::{Deserialize, Serialize};

/// As of when a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Everything that was acknowledged before the request.
    Now,
    /// Whatever the server has.
    Any,
    /// This revision or a later one.
    NotOlderThan(u64),
    /// This revision.
    Exactly(u64),
}

/// Options of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOptions {
    /// As of when.
    pub as_of: AsOf,
    /// Objects at most; 0 for all.
    pub limit: usize,
    /// Where to go on: after this name, below the collection's prefix.
    pub after: Option<String>,
}

/// Revisions in queries.
///
/// # Errors
/// Something else than a whole number.
pub fn revision(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

impl ListOptions {
    /// Reads and judges the options.
    ///
    /// # Errors
    /// 422 for options that contradict one another, 400 for those that are not well formed.
    pub fn new(query: &Query) -> Result<Self, Refusal> {
        let (version, token) = (query.text("resourceVersion"), query.text("continue"));
        let rule = query.text("resourceVersionMatch");
        judge_match(query, version, token, rule)?;
        let limit = query.number("limit")?.unwrap_or(0);
        let limit = usize::try_from(limit).unwrap_or(0);
        if !token.is_empty() {
            if !["", "0"].contains(&version) {
                let why = "specifying resource version is not allowed when using continue";
                return Err(Refusal::bad_request(why));
            }
            let token = Token::read(token)?;
            // A token that was renewed after it expired goes on in the present.
            let as_of = if token.rv > 0 { AsOf::Exactly(token.rv) } else { AsOf::Now };
            return Ok(Self { as_of, limit, after: Some(token.start) });
        }
        let as_of = match (version, rule) {
            ("", _) => AsOf::Now,
            ("0", _) => AsOf::Any,
            (version, "Exact") => AsOf::Exactly(revision(version)?),
            // Without a rule a page is of the revision itself, and a whole list may be of a later one.
            (version, "") if limit > 0 => AsOf::Exactly(revision(version)?),
            (version, _) => AsOf::NotOlderThan(revision(version)?),
        };
        Ok(Self { as_of, limit, after: None })
    }
}

/// Judges `resourceVersionMatch` and `sendInitialEvents`, in upstream's words.
fn judge_match(query: &Query, version: &str, token: &str, rule: &str) -> Result<(), Refusal> {
    let mut errors = Errors::new();
    let (at_match, at_initial) =
        (Path::new("resourceVersionMatch"), Path::new("sendInitialEvents"));
    let watches = query.flag("watch");
    let initial = query.get("sendInitialEvents");
    if initial.is_some() && !watches {
        errors.forbidden(&at_initial, "sendInitialEvents is forbidden for list");
    }
    if initial.is_some() && watches && rule != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.forbidden(&at_match, detail);
    }
    if !rule.is_empty() && initial.is_none() {
        if watches {
            errors.forbidden(
                &at_match,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        } else {
            if version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.forbidden(&at_match, detail);
            }
            if !token.is_empty() {
                errors.forbidden(
                    &at_match,
                    "resourceVersionMatch is forbidden when continue is provided",
                );
            }
            if !["Exact", "NotOlderThan"].contains(&rule) {
                errors.not_supported(&at_match, rule, &["Exact", "NotOlderThan", ""]);
            }
            if rule == "Exact" && version == "0" {
                let detail =
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.forbidden(&at_match, detail);
            }
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid("meta.k8s.io", "ListOptions", "", &errors))
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Version of the token.
    v: String,
    /// The revision of the first page; 0 for the present.
    #[serde(default)]
    rv: u64,
    /// The last name of the page before, below the collection's prefix.
    #[serde(default)]
    start: String,
}

impl Token {
    /// One that goes on after `start`, at the revision `rv` (0: in the present).
    pub fn new(rv: u64, start: &str) -> Self {
        Self { v: "meta.k8s.io/v1".to_owned(), rv, start: start.to_owned() }
    }

    /// As clients see it: opaque.
    pub fn text(&self) -> String {
        // Two texts and a number: there is nothing that could not be written.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads one.
    ///
    /// # Errors
    /// 400 for everything that was not made by [`text`](Self::text).
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: String| Refusal::bad_request(format!("invalid continue token: {why}"));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let bytes = bytes.map_err(|error| refuse(format!("continue key is not valid: {error}")))?;
        // The version first: what has another one may look otherwise.
        let version: Version = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("continue key is not valid: {error}")))?;
        if version.v != "meta.k8s.io/v1" {
            let version = version.v;
            return Err(refuse(format!(
                "continue key is not valid: server does not recognize this encoded version {version:?}"
            )));
        }
        let token: Self = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("continue key is not valid: {error}")))?;
        let segments = token.start.split('/');
        if token.start.is_empty() || segments.into_iter().any(|one| ["", ".", ".."].contains(&one))
        {
            return Err(refuse(
                "continue key is not valid: encoded start key empty or outside".into(),
            ));
        }
        Ok(token)
    }
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    v: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<ListOptions, Refusal> {
        ListOptions::new(&Query::new(query))
    }

    #[test]
    fn every_combination_means_what_upstream_says() {
        let as_of = |query: &str| read(query).unwrap().as_of;
        assert_eq!(as_of(""), AsOf::Now);
        assert_eq!(as_of("limit=5"), AsOf::Now);
        assert_eq!(as_of("resourceVersion=0&limit=5"), AsOf::Any);
        assert_eq!(as_of("resourceVersion=7"), AsOf::NotOlderThan(7));
        assert_eq!(as_of("resourceVersion=7&limit=2"), AsOf::Exactly(7));
        assert_eq!(
            as_of("resourceVersion=7&limit=2&resourceVersionMatch=NotOlderThan"),
            AsOf::NotOlderThan(7)
        );
        assert_eq!(as_of("resourceVersion=7&resourceVersionMatch=Exact"), AsOf::Exactly(7));
        assert_eq!(read("limit=-1").unwrap().limit, 0);
        let code = |query: &str| read(query).unwrap_err().code;
        assert_eq!(code("resourceVersion=abc"), 400);
        assert_eq!(code("resourceVersion=-1"), 400);
        assert_eq!(code("resourceVersion=18446744073709551616"), 400);
        assert_eq!(code("resourceVersionMatch=Exact"), 422);
        assert_eq!(code("resourceVersionMatch=Exact&resourceVersion=0"), 422);
        assert_eq!(code("resourceVersionMatch=X&resourceVersion=1"), 422);
        assert_eq!(code("sendInitialEvents=true"), 422);
        assert_eq!(code("watch=1&resourceVersion=1&resourceVersionMatch=Exact"), 422);
        assert!(read("watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan").is_ok());
    }

    #[test]
    fn a_token_goes_on_where_it_was_made_and_nowhere_else() {
        let token = Token::new(9, "ns/b").text();
        let options = read(&format!("limit=2&continue={token}")).unwrap();
        assert_eq!((options.as_of, options.after.as_deref()), (AsOf::Exactly(9), Some("ns/b")));
        assert_eq!(
            read(&format!("continue={}", Token::new(0, "b").text())).unwrap().as_of,
            AsOf::Now
        );
        assert!(read(&format!("continue={token}&resourceVersion=0")).is_ok());
        for bad in [
            "zzz".to_owned(),
            "e30".to_owned(),
            Token::new(9, "").text(),
            Token::new(9, "../secrets/x").text(),
            Token::new(9, "/secrets").text(),
        ] {
            assert_eq!(Token::read(&bad).unwrap_err().code, 400, "{bad}");
        }
        assert_eq!(read(&format!("continue={token}&resourceVersion=5")).unwrap_err().code, 400);
    }
}
