// SPDX-License-Identifier: Apache-2.0
//! The way from an agent to its engine, which is cut at a call of the test's choice.

use berth_cluster_docker::Address;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long an engine is away that goes away.
const AWAY: Duration = Duration::from_secs(1);
/// How requests begin; calls without a body, and those with one, come in one piece with their head.
const METHODS: [&[u8]; 5] = [b"GET ", b"POST ", b"PUT ", b"DELETE ", b"HEAD "];

/// How a call is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The engine never hears of it.
    Before,
    /// The engine does it; the answer is lost.
    After,
    /// The engine does it, and does not answer anything for a while: all that is open ends, too.
    Away,
}

/// The way. It ends with this.
pub(crate) struct Wire {
    pub(crate) path: PathBuf,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

struct State {
    engine: PathBuf,
    /// Calls since it was armed, and at which of them what is to happen.
    calls: AtomicU64,
    at: Mutex<Option<(u64, Cut)>>,
    until: Mutex<Option<Instant>>,
    /// Told at the cut.
    fired: Notify,
    /// Told when all that is open ends.
    end: Notify,
}

impl Wire {
    pub(crate) fn start(engine: &Address, folder: &std::path::Path, name: &str) -> Self {
        let Address::Socket(engine) = engine.clone() else { panic!("the engine has a socket") };
        let path = folder.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(State {
            engine,
            calls: AtomicU64::new(0),
            at: Mutex::new(None),
            until: Mutex::new(None),
            fired: Notify::new(),
            end: Notify::new(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&state)));
        Self { path, state, listening }
    }

    pub(crate) fn address(&self) -> Address {
        Address::Socket(self.path.clone())
    }

    /// The call of that number from now on, counted from 0, is cut so.
    pub(crate) fn arm(&self, at: u64, cut: Cut) {
        *locked(&self.state.at) = Some((at, cut));
        self.state.calls.store(0, Ordering::SeqCst);
    }

    /// Nothing is cut any more. How many calls there were, and whether one was cut.
    pub(crate) fn disarm(&self) -> (u64, bool) {
        let armed = locked(&self.state.at).take();
        (self.state.calls.load(Ordering::SeqCst), armed.is_none())
    }

    /// Waits for the cut.
    pub(crate) async fn fired(&self) {
        self.state.fired.notified().await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What is to be done at this call.
    fn call(&self) -> Option<Cut> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut at = locked(&self.at);
        let (_, cut) = at.filter(|(at, _)| *at == number)?;
        *at = None;
        if cut == Cut::Away {
            *locked(&self.until) = Some(Instant::now() + AWAY);
            self.end.notify_waiters();
        }
        self.fired.notify_one();
        Some(cut)
    }

    fn is_away(&self) -> bool {
        locked(&self.until).is_some_and(|until| Instant::now() < until)
    }
}

async fn listen(listener: UnixListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let (client, _) = taken.expect("descriptors are left");
                if !state.is_away() {
                    connections.spawn(pass(client, Arc::clone(&state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, to its end on either side.
async fn pass(mut client: UnixStream, state: Arc<State>) -> io::Result<()> {
    let mut engine = UnixStream::connect(&state.engine).await?;
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut open, mut lost) = (true, false);
    let end = state.end.notified();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end, if !lost => return Ok(()),
            read = client.read(&mut asked), if open => {
                let piece = &asked[..read?];
                open = !piece.is_empty();
                if !open {
                    engine.shutdown().await?;
                    continue;
                }
                if METHODS.iter().any(|method| piece.starts_with(method)) {
                    match state.call() {
                        Some(Cut::Before) => return Ok(()),
                        Some(Cut::After | Cut::Away) => lost = true,
                        None => {}
                    }
                }
                engine.write_all(piece).await?;
            }
            read = engine.read(&mut answered) => {
                let piece = &answered[..read?];
                if piece.is_empty() || lost {
                    return Ok(());
                }
                client.write_all(piece).await?;
            }
        }
    }
}
