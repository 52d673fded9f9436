// SPDX-License-Identifier: Apache-2.0
//! Bytes between a client and a process.

use crate::limits::PIECE;
use berth_cluster_docker::{CallError, Input, Output, Stream};
use berth_cluster_stream as stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What of a client is left once its connection is apart.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stdin: Option<stream::Input>,
    pub(crate) stdout: Option<stream::Output>,
    pub(crate) stderr: Option<stream::Output>,
}

/// Passes bytes on until the process' output has ended. To be dropped when the client is gone.
pub(crate) async fn pass(
    client: Client,
    (input, output): (Input, Output),
) -> Result<(), CallError> {
    let Client { stdin, stdout, stderr } = client;
    let feeding = feed(stdin, input);
    let telling = tell(output, stdout, stderr);
    tokio::pin!(feeding, telling);
    tokio::select! {
        biased;
        told = &mut telling => return told,
        // The end of the input is not the end of the output.
        () = &mut feeding => {}
    }
    telling.await
}

/// What the client sends, up to its end, which is told.
async fn feed(from: Option<stream::Input>, mut to: Input) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => {
                // A process that has ended hears nothing of it.
                let _ = to.shutdown().await;
                return;
            }
            Ok(count) => {
                // It reads no more. What the client still sends is thrown away, since its stream is dropped.
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            // The client is gone; its connection says so.
            Err(_) => return,
        }
    }
}

/// What the process writes.
async fn tell(
    mut from: Output,
    mut stdout: Option<stream::Output>,
    mut stderr: Option<stream::Output>,
) -> Result<(), CallError> {
    while let Some((which, bytes)) = from.next().await? {
        let to = match which {
            Stream::Stdout => &mut stdout,
            Stream::Stderr => &mut stderr,
        };
        let Some(open) = to else { continue };
        // A stream that the client has closed gets nothing more; the others go on.
        if open.write_all(&bytes).await.is_err() {
            *to = None;
        }
    }
    Ok(())
}
