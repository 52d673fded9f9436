// SPDX-License-Identifier: Apache-2.0
//! Certificates for those who made their keys themselves: PKCS #10, signed by the cluster's CA.

use super::{Pki, PkiError, SKEW_SECONDS, at};
use crate::certificate;
use berth_cluster_api::pkcs10::{Request, block};
use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It cannot be read, or who asks has not its key.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The certificate cannot say all that it asks for.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The CA cannot be used.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

impl Pki {
    /// Signs a request: subject and names are the request's, use and time the caller's. That who asks has the key is verified.
    pub fn sign_request(
        &self,
        pem: &[u8],
        usages: &[String],
        seconds: i64,
        now: i64,
    ) -> Result<String, RequestError> {
        let wanted =
            Request::read(pem).map_err(|error| RequestError::Invalid(error.to_string()))?;
        if wanted.organizations.len() > 1 {
            let why = "a certificate of this CA has one organization at most";
            return Err(RequestError::Unsupported(why));
        }
        let text = String::from_utf8_lossy(pem);
        let bytes = block(&text).map(|(block, _)| block.bytes).unwrap_or_default();
        let mut request = CertificateSigningRequestParams::from_der(&bytes.into())
            .map_err(|error| RequestError::Invalid(error.to_string()))?;
        let params = &mut request.params;
        params.is_ca = IsCa::NoCa;
        params.not_before = at(now - SKEW_SECONDS)?;
        params.not_after = at(now.saturating_add(seconds))?;
        params.use_authority_key_identifier_extension = true;
        (params.key_usages, params.extended_key_usages) = purposes(usages)?;
        let signed = request.signed_by(&self.ca).map_err(PkiError::from)?;
        // Two readers of one request might differ: what was judged is what the certificate has to say.
        let named = certificate::user(signed.der());
        let is_wanted = named.is_some_and(|user| {
            let groups = &wanted.organizations;
            user.name == wanted.common_name
                && user.groups.len() == groups.len() + 1
                && groups.iter().all(|group| user.is_in(group))
        });
        if !is_wanted {
            return Err(RequestError::Invalid("its subject is ambiguous".to_owned()));
        }
        Ok(signed.pem())
    }
}

type Purposes = (Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>);

fn purposes(usages: &[String]) -> Result<Purposes, RequestError> {
    let (mut key, mut extended) = (Vec::new(), Vec::new());
    for usage in usages {
        match usage.as_str() {
            "digital signature" | "signing" => key.push(KeyUsagePurpose::DigitalSignature),
            "key encipherment" => key.push(KeyUsagePurpose::KeyEncipherment),
            "client auth" => extended.push(ExtendedKeyUsagePurpose::ClientAuth),
            "server auth" => extended.push(ExtendedKeyUsagePurpose::ServerAuth),
            _ => {
                let why = "a certificate of this CA is for clients or servers, and nothing else";
                return Err(RequestError::Unsupported(why));
            }
        }
    }
    Ok((key, extended))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::super::Options;
    use super::*;
    use crate::certificate::{user, validity};
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    const NODE: &str = include_str!("../../../api/testdata/certificates/node.pem");
    const NOW: i64 = 1_800_000_000;

    fn usages(all: &[&str]) -> Vec<String> {
        all.iter().map(|&one| one.to_owned()).collect()
    }

    #[test]
    fn a_request_is_signed_for_its_subject_its_use_and_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), NOW).unwrap();
        let auth = usages(&["client auth", "digital signature"]);
        let pem = pki.sign_request(NODE.as_bytes(), &auth, 3_600, NOW).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let named = user(&der).unwrap();
        assert_eq!(named.name, "system:node:n1");
        assert_eq!(named.groups, ["system:nodes", "system:authenticated"]);
        assert_eq!(validity(&der), Some((NOW - 300, NOW + 3_600)));
        let verifier = certificate::client_verifier(pki.ca_pem().as_bytes()).unwrap();
        let at = |seconds: i64| {
            let since = std::time::Duration::from_secs(seconds.unsigned_abs());
            tokio_rustls::rustls::pki_types::UnixTime::since_unix_epoch(since)
        };
        assert!(verifier.verify_client_cert(&der, &[], at(NOW)).is_ok());
        assert!(verifier.verify_client_cert(&der, &[], at(NOW + 3_601)).is_err());
        let serve = usages(&["server auth", "digital signature"]);
        let pem = pki.sign_request(NODE.as_bytes(), &serve, 3_600, NOW).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert!(verifier.verify_client_cert(&der, &[], at(NOW)).is_err(), "it is for servers");
    }

    #[test]
    fn who_has_not_the_key_gets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), NOW).unwrap();
        let auth = usages(&["client auth"]);
        let (whole, _) = block(NODE).unwrap();
        let mut bytes = whole.bytes.clone();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        let text = berth_cluster_api::schema::base64::encode(&bytes);
        let forged = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n"
        );
        let wrong = pki.sign_request(forged.as_bytes(), &auth, 600, NOW);
        assert!(matches!(wrong, Err(RequestError::Invalid(_))), "{wrong:?}");
        let wrong = pki.sign_request(b"nothing", &auth, 600, NOW);
        assert!(matches!(wrong, Err(RequestError::Invalid(_))), "{wrong:?}");
        let wrong = pki.sign_request(NODE.as_bytes(), &usages(&["cert sign"]), 600, NOW);
        assert!(matches!(wrong, Err(RequestError::Unsupported(_))), "{wrong:?}");
    }
}
