// SPDX-License-Identifier: Apache-2.0
//! The side of who asks for a certificate: a key and a request, and the file that keeps both certificate and key.

use super::{Pair, PkiError, file, server};
use crate::certificate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use ring::digest::{SHA256, digest};
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const KEY: &str = "-----BEGIN PRIVATE KEY-----";

/// A request for a certificate (PKCS #10), and the key that it is for.
#[derive(Clone)]
pub struct Wanted {
    /// The request, in PEM.
    pub request: String,
    /// The key, in PEM; secret.
    pub key: String,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted(..)")
    }
}

impl Wanted {
    /// Makes a key, and a request for a certificate of this subject and these names and IPs of a server.
    pub fn new(name: &str, organization: &str, hosts: &[String]) -> Result<Self, PkiError> {
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let request = params.serialize_request(&key)?.pem()?;
        Ok(Self { request, key: key.serialize_pem() })
    }
}

impl Pair {
    /// What a file keeps, which only its owner can read; none if there is none, or none that is whole.
    pub fn read(path: &Path) -> Result<Option<Self>, PkiError> {
        let Some(text) = file::read(path)? else { return Ok(None) };
        let Some((certificate, key)) = text.find(KEY).map(|at| text.split_at(at)) else {
            return Ok(None);
        };
        let pair = Self { certificate: certificate.to_owned(), key: key.to_owned() };
        let whole = server::certified(&pair).is_ok();
        Ok(whole.then_some(pair))
    }

    /// Keeps it in a file that only its owner can read. A crash leaves the old one or this one.
    pub fn write(&self, path: &Path) -> Result<(), PkiError> {
        if let Some(folder) = path.parent() {
            file::make_folder(folder)?;
        }
        file::write(path, &format!("{}\n{}", self.certificate.trim_end(), self.key))
    }

    /// First and last second of the certificate, as Unix time; none if it is none.
    pub fn validity(&self) -> Option<(i64, i64)> {
        certificate::validity(&CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?)
    }
}

/// Writes a text into a file that only its owner can read, as a whole.
pub fn write_text(path: &Path, text: &str) -> Result<(), PkiError> {
    if let Some(folder) = path.parent() {
        file::make_folder(folder)?;
    }
    file::write(path, text)
}

/// By what a CA is known: the [fingerprint of its certificate](fingerprint_of). None if the text is no certificate.
pub fn fingerprint(ca_pem: &str) -> Option<String> {
    Some(fingerprint_of(&CertificateDer::from_pem_slice(ca_pem.as_bytes()).ok()?))
}

/// SHA-256 of a certificate, in hexadecimal digits, as `openssl x509 -outform der | sha256sum` prints it.
pub fn fingerprint_of(der: &[u8]) -> String {
    digest(&SHA256, der).as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// What an object of the API has of a certificate, which is base64 of PEM; none if it is not that.
pub fn of_base64(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::super::{Options, Pki};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn what_is_asked_for_is_signed_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), NOW).unwrap();
        let hosts = ["192.0.2.7".to_owned(), "n1".to_owned()];
        let wanted = Wanted::new("system:node:n1", "system:nodes", &hosts).unwrap();
        assert!(!format!("{wanted:?}").contains("KEY"));
        let usages = ["server auth", "digital signature"].map(str::to_owned);
        let certificate = pki.sign_request(wanted.request.as_bytes(), &usages, 600, NOW).unwrap();
        let pair = Pair { certificate, key: wanted.key };
        assert_eq!(pair.validity(), Some((NOW - 300, NOW + 600)));
        let path = folder.path().join("agent/serving.pem");
        assert!(Pair::read(&path).unwrap().is_none());
        pair.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Pair::read(&path).unwrap().unwrap();
        assert_eq!(read.validity(), pair.validity());
        // One half of one and one half of another is none.
        let other = Wanted::new("system:node:n1", "system:nodes", &[]).unwrap();
        Pair { key: other.key, ..read }.write(&path).unwrap();
        assert!(Pair::read(&path).unwrap().is_none());
        std::fs::write(&path, "nonsense").unwrap();
        assert!(Pair::read(&path).unwrap().is_none());
    }

    #[test]
    fn a_ca_is_known_by_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), NOW).unwrap();
        let known = fingerprint(pki.ca_pem()).unwrap();
        assert_eq!(known.len(), 64);
        let other = tempfile::tempdir().unwrap();
        let other = Pki::open(other.path(), &Options::default(), NOW).unwrap();
        assert_ne!(fingerprint(other.ca_pem()).unwrap(), known);
        assert_eq!(fingerprint("nothing"), None);
        assert_eq!(of_base64(&STANDARD.encode("text")).as_deref(), Some("text"));
        assert_eq!(of_base64("%"), None);
    }
}
