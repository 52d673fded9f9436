// SPDX-License-Identifier: Apache-2.0
//! The certificate that the server shows, which can be swapped while it runs.

use berth_cluster_auth::certificate::client_verifier;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// Why a certificate cannot be shown, or clients' cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Something is not PEM of what it should be.
    #[error("the {what} of the agent's server is not PEM: {why}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// TLS does not take it.
    #[error("the certificate and the key of the agent's server do not fit")]
    Tls(#[source] rustls::Error),
    /// The CA of clients does not do.
    #[error("the CA of clients of the agent's server does not do: {0}")]
    Ca(String),
}

/// The certificate that is shown.
pub struct Certificate(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl Certificate {
    /// A chain and its key, both PEM.
    pub fn new(chain: &str, key: &str) -> Result<Self, CertificateError> {
        Ok(Self(RwLock::new(certified(chain, key)?)))
    }

    /// Handshakes from now on show this one.
    pub fn swap(&self, chain: &str, key: &str) -> Result<(), CertificateError> {
        let new = certified(chain, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, CertificateError> {
    let pem = |what, why: String| CertificateError::Pem { what, why };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem("certificate", format!("{error:?}")))?;
    if chain.is_empty() {
        return Err(pem("certificate", "there is none".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| pem("key", format!("{error:?}")))?;
    let key = CertifiedKey::from_der(chain, key, &default_provider());
    key.map(Arc::new).map_err(CertificateError::Tls)
}

/// The server's side of TLS: clients show a certificate of this CA, or none.
pub(crate) fn config(
    certificate: Arc<Certificate>,
    client_ca: &str,
) -> Result<ServerConfig, CertificateError> {
    let verifier = client_verifier(client_ca.as_bytes())
        .map_err(|error| CertificateError::Ca(error.to_string()))?;
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&versions)
        .map_err(CertificateError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    // A connection that changes its protocol is one of HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
