// SPDX-License-Identifier: Apache-2.0
//! The connection to the service.

use crate::error::Error;
use berth_proto::hot::scheduler_client::SchedulerClient;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A client of the service.
pub type Client = SchedulerClient<Channel>;

/// Answers may be as large as requests are small: lists come in pages of 10,000 pods.
const MESSAGE_MAX: usize = 64 << 20;
/// Room for answers on their way, for a stream and for the connection: more than a window of them ever takes.
const WINDOW: u32 = 16 << 20;
/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to secure the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authority that signed the service's.
    pub authority: Option<PathBuf>,
    /// The client's own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the service's certificate, where it is not that of the address.
    pub name: Option<String>,
}

/// Connects to `http://HOST:PORT`, or `https://HOST:PORT` with TLS.
pub async fn connect(address: &str, tls: &Tls) -> Result<Client, Error> {
    let uri =
        if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let failed = |source| Error::Connect { address: uri.clone(), source };
    let mut endpoint = Endpoint::from_shared(uri.clone())
        .map_err(failed)?
        .tcp_nodelay(true)
        .connect_timeout(PATIENCE)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(1 << 20);
    if uri.starts_with("https://") {
        endpoint = endpoint.tls_config(config(tls)?).map_err(failed)?;
    } else if *tls != Tls::default() {
        return Err(Error::TlsWithoutHttps { address: address.to_owned() });
    }
    let channel = Box::pin(endpoint.connect()).await.map_err(failed)?;
    Ok(Client::new(channel).max_decoding_message_size(MESSAGE_MAX))
}

fn config(tls: &Tls) -> Result<ClientTlsConfig, Error> {
    let mut config = ClientTlsConfig::new();
    if let Some(path) = &tls.authority {
        config = config.ca_certificate(Certificate::from_pem(read(path)?));
    }
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    if let Some(name) = &tls.name {
        config = config.domain_name(name);
    }
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}
