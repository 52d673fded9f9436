// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C and SIGTERM.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The wish that this process stops, heard from the moment this is made: who says so while it still starts is not too early, and what
/// was started by then is stopped in good order. Whoever says it a second time does not want to wait, and the process ends at once.
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Begins to listen.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(heed(terminate, interrupt, ask));
        Ok(Self { asked })
    }

    /// Waits until somebody wants it.
    pub(crate) async fn asked(&self) {
        // The other end goes away with the runtime only.
        let _ = self.asked.clone().wait_for(|asked| *asked).await;
    }

    /// What a start comes to; nothing where somebody wants it before, and then the start is dropped.
    pub(crate) async fn unless_asked<T>(
        &self,
        start: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        tokio::select! {
            biased;
            () = self.asked() => Ok(None),
            begun = start => begun.map(Some),
        }
    }
}

async fn heed(mut terminate: Signal, mut interrupt: Signal, ask: watch::Sender<bool>) {
    either(&mut terminate, &mut interrupt).await;
    // Whoever waits has a receiver beside the first one.
    if ask.receiver_count() < 2 {
        eprintln!("it stops as soon as it has started; to ask once more ends it at once");
    }
    ask.send_replace(true);
    either(&mut terminate, &mut interrupt).await;
    eprintln!("error: stopped at once; what was acknowledged is safe");
    std::process::exit(1);
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
