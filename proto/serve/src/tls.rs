// SPDX-License-Identifier: Apache-2.0
//! The server's identity, and which clients it lets in.

use crate::Acceptor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Files of the server's identity.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Certificates (PEM) that clients' certificates have to be signed by; with them, a client without one is turned away.
    pub client_ca: Option<PathBuf>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub message: String,
}

impl Acceptor {
    /// Reads the files of the server's identity; without one, connections are plain.
    ///
    /// # Errors
    /// A file that cannot be read, or does not hold what it should.
    pub fn new(files: Option<&TlsFiles>) -> Result<Self, TlsError> {
        match files {
            None => Ok(Self::Plain),
            Some(files) => tls(files).map(Self::Tls),
        }
    }
}

fn tls(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fail(&files.key, &format!("no private key: {error}")))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(&files.certificate, &error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| fail(path, &error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| fail(path, &error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| fail(&files.certificate, &error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let chain: Vec<_> = read.map_err(|error| fail(path, &error.to_string()))?;
    if chain.is_empty() {
        return Err(fail(path, "no certificate in it"));
    }
    Ok(chain)
}

fn fail(path: &Path, message: &str) -> TlsError {
    TlsError { path: path.to_owned(), message: message.to_owned() }
}
