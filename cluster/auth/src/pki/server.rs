// SPDX-License-Identifier: Apache-2.0
//! TLS of the server, with a certificate that can be swapped while it runs.

use super::{Pair, PkiError};
use crate::certificate::client_verifier;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The certificate that the server shows.
pub struct ServerCertificate {
    shown: RwLock<(Arc<CertifiedKey>, i64)>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// One that expires at a time.
    pub(super) fn new(pair: &Pair, expires: i64) -> Result<Self, PkiError> {
        Ok(Self { shown: RwLock::new((Arc::new(certified(pair)?), expires)) })
    }

    /// Handshakes from now on show this one.
    pub(super) fn swap(&self, pair: &Pair, expires: i64) -> Result<(), PkiError> {
        let key = Arc::new(certified(pair)?);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = (key, expires);
        Ok(())
    }

    /// When the one that is shown expires.
    pub fn expires(&self) -> i64 {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).1
    }

    /// What is shown.
    pub fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// The pair as TLS wants it; an error if the key is not the certificate's.
pub(super) fn certified(pair: &Pair) -> Result<CertifiedKey, rustls::Error> {
    let bad = |error| rustls::Error::General(format!("not PEM: {error:?}"));
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).map_err(bad)?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(bad)?;
    CertifiedKey::from_der(vec![certificate], key, &default_provider())
}

/// The server's configuration.
pub(super) fn config(
    ca_pem: &str,
    shown: Arc<ServerCertificate>,
) -> Result<rustls::ServerConfig, PkiError> {
    let verifier = client_verifier(ca_pem.as_bytes())
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
