// SPDX-License-Identifier: Apache-2.0
//! What exec, attach and port-forward have in common: the connection, its end, and the wait for either.

use crate::drive::drive;
use crate::error::{Gone, SetupError};
use crate::limits::Times;
use crate::link::{Opened, Shared};
use crate::wire::Wire;
use http::Request;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A connection that was promised to be upgraded.
#[derive(Debug)]
pub(crate) struct Pending {
    upgrade: OnUpgrade,
    pub(crate) times: Times,
}

impl Pending {
    pub(crate) fn new<B>(request: &mut Request<B>, times: Times) -> Self {
        Self { upgrade: hyper::upgrade::on(request), times }
    }

    /// Waits for the upgrade, and speaks the new protocol from then on, in which the client opens streams.
    pub(crate) async fn open(
        self,
        wire: Wire,
    ) -> Result<(Session, mpsc::Receiver<Opened>), SetupError> {
        let (session, opens, ()) = self.open_with(wire, |_| ()).await?;
        Ok((session, opens))
    }

    /// The same, with streams that are agreed upon. `prepare` opens them before the first byte is read: what comes on a stream that is
    /// not open is thrown away, and a client need not wait to be answered.
    pub(crate) async fn open_with<T>(
        self,
        wire: Wire,
        prepare: impl FnOnce(&Arc<Shared>) -> T,
    ) -> Result<(Session, mpsc::Receiver<Opened>, T), SetupError> {
        let socket = self.upgrade.await.map_err(SetupError::Upgrade)?;
        let (shared, opens) = Shared::new(wire);
        let prepared = prepare(&shared);
        let task = drive(TokioIo::new(socket), Arc::clone(&shared), self.times);
        tokio::spawn(task);
        Ok((Session { shared, finished: false }, opens, prepared))
    }
}

/// The life of a connection. Dropped before it is finished, it cuts the connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    finished: bool,
}

impl Session {
    /// Waits until the connection is over, which means that the client is gone if the session was not finished.
    pub(crate) async fn gone(&self) -> Gone {
        let mut life = self.shared.life();
        match life.wait_for(|life| life.over.is_some()).await {
            Ok(life) => life.over.unwrap_or(Gone::Dropped),
            Err(_) => Gone::Dropped,
        }
    }

    /// Sends what streams hold, then the last words, and waits until the client has it all or is gone.
    pub(crate) async fn finish(mut self, code: u16, words: Option<(u32, Vec<u8>)>) -> Gone {
        self.finished = true;
        self.shared.lock().finish_with(code, words);
        self.gone().await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.lock().drop_all();
        }
    }
}
