// SPDX-License-Identifier: Apache-2.0
//! The other side of [`server`](super::server): this program as the scheduling service.

use super::server::LISTENING;
use crate::cli::schedule::ServeArgs;
use crate::error::Error;
use berth_scheduler_service::Server;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::AsyncReadExt;

/// Serves on a free port of loopback, tells it, and stops when the input ends.
pub fn run(args: &ServeArgs, out: &mut dyn Write) -> Result<(), Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder.worker_threads(usize::from(threads));
    }
    let runtime = builder.enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut service = Server::builder().listen(free);
        if let Some(data) = &args.data {
            service = service.data(data);
        }
        let service = service.start().await.map_err(Error::Serve)?;
        writeln!(out, "{LISTENING}{}", service.address())
            .and_then(|()| out.flush())
            .map_err(Error::Output)?;
        // Nothing is ever sent: the end is what is waited for.
        let _ = tokio::io::stdin().read(&mut [0; 1]).await;
        service.stop().await;
        Ok(())
    })
}
