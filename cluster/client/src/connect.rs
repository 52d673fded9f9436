// SPDX-License-Identifier: Apache-2.0
//! A client over HTTPS, by what a kubeconfig says.

use crate::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::Path;

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
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the file says does not make a client, such as a certificate that is none.
    #[error("no client can be made of the kubeconfig {path}")]
    Client {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Api {
    /// Over HTTPS, as the user of the current context of a kubeconfig. Nothing is asked of the server yet. Has to be called within a
    /// runtime.
    pub async fn connect(kubeconfig: &Path) -> Result<Self, ConnectError> {
        let path = || kubeconfig.display().to_string();
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| ConnectError::Kubeconfig {
            path: path(),
            source,
        };
        let read = Kubeconfig::read_from(kubeconfig).map_err(|error| wrong(error.into()))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options).await;
        let config = config.map_err(|error| wrong(error.into()))?;
        let client = kube::Client::try_from(config);
        let client =
            client.map_err(|error| ConnectError::Client { path: path(), source: error.into() })?;
        Ok(Self::new(client))
    }
}
