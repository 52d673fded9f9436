// SPDX-License-Identifier: Apache-2.0
//! Where the service is: a process of its own that is started here, or one that runs already.

use super::server::{Server, Usage, own_usage};
use crate::cli::schedule::TargetArgs;
use crate::error::Error;
use std::path::PathBuf;
use tempfile::TempDir;

/// Whether the service keeps a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journal {
    /// It does not.
    None,
    /// It does, in a folder that is removed afterwards.
    Temporary,
    /// It does, in this folder.
    In(PathBuf),
}

/// Where the service is, and what is to be cleaned up after it.
#[derive(Debug)]
pub struct Place {
    server: Option<Server>,
    address: String,
    /// Removed when dropped.
    _folder: Option<TempDir>,
}

impl Place {
    /// Starts a service, unless the flags name one.
    pub fn new(target: &TargetArgs, journal: &Journal) -> Result<Self, Error> {
        if let Some(address) = &target.connect {
            return Ok(Self { server: None, address: address.clone(), _folder: None });
        }
        let mut folder = None;
        let data = match journal {
            Journal::None => None,
            Journal::Temporary => {
                Some(folder.insert(TempDir::new().map_err(Error::Folder)?).path().to_owned())
            }
            Journal::In(data) => Some(data.clone()),
        };
        let server = Server::start(data.as_deref())?;
        let address = server.address().to_owned();
        Ok(Self { server: Some(server), address, _folder: folder })
    }

    /// The service's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the service and this process have used so far; nothing of a service that was running already.
    pub fn usage(&self) -> Option<(Usage, Usage)> {
        self.server.as_ref().and_then(Server::usage).zip(own_usage())
    }

    /// Stops a service that was started here.
    pub async fn leave(self) -> Result<(), Error> {
        match self.server {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}
