// SPDX-License-Identifier: Apache-2.0
//! A client's certificate: whether it is of our CA, and who it says.

use crate::user::User;
use berth_cluster_api::der::{OBJECT_ID, SEQUENCE, SET, element, expect};
use std::sync::Arc;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// Why there is no verifier of clients.
#[derive(Debug, thiserror::Error)]
#[error("the CA's certificate cannot be used: {0}")]
pub struct BadCa(String);

/// A verifier that lets clients without a certificate in, and refuses one that is expired, not for
/// clients, or of another CA than those in `ca_pem`.
pub fn client_verifier(ca_pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, BadCa> {
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(ca_pem) {
        let der = one.map_err(|error| BadCa(format!("{error:?}")))?;
        roots.add(der).map_err(|error| BadCa(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|error| BadCa(error.to_string()))
}

/// The user that a certificate names: its common name, and its organizations as groups.
///
/// Only for one that the verifier let through: no signature is looked at here. `None` if it names nobody.
pub fn user(der: &[u8]) -> Option<User> {
    let (_, subject) = parts(der)?;
    let (mut name, mut groups) = (String::new(), Vec::new());
    let mut rest = subject;
    while !rest.is_empty() {
        let (set, after) = expect(rest, SET)?;
        rest = after;
        let mut set = set;
        while !set.is_empty() {
            let (pair, after) = expect(set, SEQUENCE)?;
            set = after;
            let (id, value) = expect(pair, OBJECT_ID)?;
            let (_, text, _) = element(value)?;
            if id == COMMON_NAME {
                name = text_of(text)?;
            } else if id == ORGANIZATION {
                groups.push(text_of(text)?);
            }
        }
    }
    (!name.is_empty()).then(|| User::authenticated(&name, "", groups))
}

/// First and last second of a certificate, as Unix time.
pub fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (validity, _) = parts(der)?;
    let (tag, first, rest) = element(validity)?;
    let (last_tag, last, _) = element(rest)?;
    Some((time_of(tag, first)?, time_of(last_tag, last)?))
}

/// Text without what could be mistaken for another name.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then(|| text.to_owned())
}

/// Contents of the fields `validity` and `subject`.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in ["serial", "algorithm", "issuer"] {
        rest = element(rest)?.2;
    }
    let (validity, rest) = expect(rest, SEQUENCE)?;
    let (subject, _) = expect(rest, SEQUENCE)?;
    Some((validity, subject))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time_of(tag: u8, bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    if rest.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut year: i32 = year.parse().ok()?;
    if tag == UTC_TIME {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = time::Month::try_from(part(0)?).ok()?;
    let date = time::Date::from_calendar_date(year, month, part(2)?).ok()?;
    let time = time::Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(time::PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}
