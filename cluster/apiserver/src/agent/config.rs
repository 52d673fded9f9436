// SPDX-License-Identifier: Apache-2.0
//! As whom agents are called, and how many at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Connections to agents at a time. Each holds two sockets and some 200 KiB of buffers.
const CONNECTIONS: usize = 1_000;

/// How the server calls the agents of nodes.
#[derive(Clone)]
pub struct Agents {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) loopback: bool,
    pub(super) places: Arc<Semaphore>,
    /// How long a connection and the head of an answer may take.
    pub(super) connect: Duration,
    /// How long nothing may happen on a connection. Upstream's number.
    pub(super) idle: Duration,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.places.available_permits();
        f.debug_struct("Agents")
            .field("loopback", &self.loopback)
            .field("free", &free)
            .finish_non_exhaustive()
    }
}

/// Why agents cannot be called with these certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentsError {
    /// Something is not PEM of what it should be.
    #[error("the {what} for calls to agents is not PEM: {why}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// TLS does not take it.
    #[error("the certificates for calls to agents do not fit")]
    Tls(#[source] rustls::Error),
}

impl Agents {
    /// Calls as the holder of a client's certificate; agents have to show one of this CA for the address that is called. All are PEM.
    pub fn new(ca: &str, certificate: &str, key: &str) -> Result<Self, AgentsError> {
        let pem = |what, why: String| AgentsError::Pem { what, why };
        let mut roots = RootCertStore::empty();
        for one in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let one = one.map_err(|error| pem("CA", format!("{error:?}")))?;
            roots.add(one).map_err(AgentsError::Tls)?;
        }
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| pem("certificate", format!("{error:?}")))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| pem("key", format!("{error:?}")))?;
        let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(AgentsError::Tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(AgentsError::Tls)?;
        // A connection that changes its protocol is one of HTTP/1.1.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: Arc::new(tls),
            loopback: false,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            connect: Duration::from_secs(10),
            idle: Duration::from_hours(4),
        })
    }

    /// Calls agents on this machine's own addresses, too. Without it a node that says that it is there cannot make the server call what
    /// trusts the machine.
    #[must_use]
    pub fn allow_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// With another bound of connections at a time.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.places = Arc::new(Semaphore::new(most));
        self
    }

    /// With another time after which an idle connection is closed.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Judges the agents' certificates by this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn TimeProvider>) -> Self {
        Arc::make_mut(&mut self.tls).time_provider = clock;
        self
    }
}
