// SPDX-License-Identifier: Apache-2.0
//! A backup of the store of a server that runs: `kubectl get --raw /backup > FILE`. All secrets are in it, so only who may read every
//! path may have it.

use crate::answer::{Answer, Body, typed};
use crate::server::Inner;
use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of a piece, and pieces that wait for a slow client.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;

/// `/backup`
pub(super) fn page(server: &Arc<Inner>) -> Answer {
    let (send, receive) = mpsc::channel(WAITING);
    let store = server.store.clone();
    tokio::task::spawn_blocking(move || {
        let mut to = BufWriter::with_capacity(PIECE, Pieces(send));
        // What is cut off does not end as a backup does, and is refused when it is read.
        match store.snapshot(&mut to).and_then(|revision| to.flush().map(|()| revision)) {
            Ok(revision) => tracing::info!(revision, "a backup was taken"),
            Err(error) => tracing::warn!(%error, "a backup was not taken whole"),
        }
    });
    let pieces = futures_util::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|piece: Bytes| (piece, receive))
    });
    typed(StatusCode::OK, "application/octet-stream", Body::Stream(pieces.boxed()))
}

/// Hands on what is written; waits for who reads.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
