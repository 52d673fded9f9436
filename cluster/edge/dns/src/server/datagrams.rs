// SPDX-License-Identifier: Apache-2.0
//! Questions over UDP: what the zone knows is answered at once, what others know by tasks whose number has a bound.

use super::core::{Core, Step};
use crate::limits::UDP_BYTES_MAX;
use crate::stats::Transport;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A pause after the kernel refused, so that a socket that always fails does not use a core.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers on a socket for ever.
pub(super) async fn serve(core: Arc<Core>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    // One byte more, so that what was cut off is too long.
    let mut buffer = vec![0; UDP_BYTES_MAX + 1];
    let mut asked = JoinSet::new();
    loop {
        let received = select! { biased;
            Some(_) = asked.join_next(), if !asked.is_empty() => continue,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (count, source) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "a datagram was not received");
                sleep(PAUSE).await;
                continue;
            }
        };
        match core.handle(&buffer[..count], source.ip(), Transport::Udp) {
            Step::Nothing => {}
            Step::Reply(bytes) => send(&socket, &bytes, source).await,
            Step::Ask(pending) => {
                let (core, socket) = (Arc::clone(&core), Arc::clone(&socket));
                asked.spawn(async move {
                    let bytes = core.finish(pending).await;
                    send(&socket, &bytes, source).await;
                });
            }
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    // Who asked may be gone, or may never have been there.
    if let Err(error) = socket.send_to(bytes, to).await {
        tracing::debug!(%error, %to, "an answer was not sent");
    }
}
