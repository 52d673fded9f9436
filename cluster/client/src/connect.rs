// SPDX-License-Identifier: Apache-2.0
//! A client over HTTPS, by what a kubeconfig says.

use crate::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::Path;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read, or says too little.
    #[error("the kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// What the file says does not make a client, such as a certificate that is none.
    #[error("no client can be made of the kubeconfig {path}")]
    Client {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: Source,
    },
}

/// Where the cluster of a kubeconfig is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its URL.
    pub url: String,
    /// Certificates of its CA, in DER; none if the file says none.
    pub ca: Vec<Vec<u8>>,
}

impl Api {
    /// Over HTTPS, as the user of the current context of a kubeconfig. Nothing is asked of the server yet. Has to be called within a
    /// runtime.
    pub async fn connect(kubeconfig: &Path) -> Result<Self, ConnectError> {
        let path = kubeconfig.display().to_string();
        let read = read(kubeconfig)?;
        Self::made(config(read, &path).await?, &path)
    }

    /// The same of the text of a kubeconfig; errors call it by `name`.
    pub async fn of_kubeconfig(text: &str, name: &str) -> Result<Self, ConnectError> {
        let read = Kubeconfig::from_yaml(text).map_err(|error| wrong(name, error.into()))?;
        Self::made(config(read, name).await?, name)
    }

    /// Over HTTPS to a server that is not known: nothing that it says may be believed, and nothing secret told it.
    pub fn of_stranger(url: &str) -> Result<Self, ConnectError> {
        let parsed =
            url.parse().map_err(|error: http::uri::InvalidUri| wrong(url, error.into()))?;
        let mut config = kube::Config::new(parsed);
        config.accept_invalid_certs = true;
        config.connect_timeout = Some(CONNECT);
        Self::made(config, url)
    }

    fn made(config: kube::Config, name: &str) -> Result<Self, ConnectError> {
        let client = kube::Client::try_from(config);
        let client = client
            .map_err(|error| ConnectError::Client { path: name.into(), source: error.into() })?;
        Ok(Self::new(client))
    }
}

/// How long a connection may take to come about: a machine that is off does not answer at all.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

/// Where the cluster of a file's current context is.
pub async fn place(kubeconfig: &Path) -> Result<Place, ConnectError> {
    let path = kubeconfig.display().to_string();
    let config = config(read(kubeconfig)?, &path).await?;
    let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    Ok(Place { url, ca: config.root_cert.unwrap_or_default() })
}

fn read(kubeconfig: &Path) -> Result<Kubeconfig, ConnectError> {
    let path = kubeconfig.display().to_string();
    Kubeconfig::read_from(kubeconfig).map_err(|error| wrong(&path, error.into()))
}

async fn config(read: Kubeconfig, path: &str) -> Result<kube::Config, ConnectError> {
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(read, &options).await;
    let mut config = config.map_err(|error| wrong(path, error.into()))?;
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}

fn wrong(path: &str, source: Source) -> ConnectError {
    ConnectError::Kubeconfig { path: path.to_owned(), source }
}
