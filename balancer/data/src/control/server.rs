// SPDX-License-Identifier: Apache-2.0
//! The process' side of the control socket: a thread for each control plane that is connected, and no more than a few.

use super::message::{Greeting, Hello, Reply, Request};
use super::wire::{decode, encode};
use super::{MAGIC, VERSION, read_frame, write_frame};
use crate::limits::{CONTROL_STALL_S, CONTROLS_MAX, FRAME_BYTES_LARGE};
use crate::memory;
use crate::options::RunError;
use crate::process::Process;
use crate::sys::{self, Spare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Listens at a path. What was there is replaced in one step, so that whoever connects finds the old process or the new one.
/// `user`: whose the socket is to be, where not this process's user's.
pub(crate) fn bind(path: &Path, user: Option<u32>) -> Result<UnixListener, RunError> {
    let failed = |source| RunError::Control { path: path.to_owned(), source };
    match user {
        Some(user) => super::folder::check_folder_of(path, user),
        None => super::check_folder(path),
    }
    .map_err(failed)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    // Who may connect may send traffic anywhere: nobody but the owner.
    let mode = rustix::fs::Mode::from_bits_truncate(0o600);
    rustix::fs::chmod(&beside, mode).map_err(io::Error::from).map_err(failed)?;
    if user.is_some() {
        std::os::unix::fs::chown(&beside, user, None).map_err(failed)?;
    }
    std::fs::rename(&beside, path).map_err(failed)?;
    Ok(listener)
}

/// Serves until the process is to stop or a successor serves. Calls `tick` at least once each `period`.
pub(crate) fn serve(
    process: &Arc<Process>,
    listener: &UnixListener,
    period: Duration,
    tick: impl Fn(),
) {
    let connected = Arc::new(AtomicUsize::new(0));
    let mut spare = process.wake().try_clone().map(|of| Spare::new(of, CONTROLS_MAX)).ok();
    let wait = Timespec {
        tv_sec: i64::try_from(period.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(period.subsec_nanos()),
    };
    while !process.is_stopped() && !process.is_retired() {
        let mut sockets =
            [PollFd::new(listener, PollFlags::IN), PollFd::new(process.wake(), PollFlags::IN)];
        let _ = poll(&mut sockets, Some(&wait));
        tick();
        let Some(stream) = accept(listener, spare.as_mut()) else {
            // Descriptors may have run out: `poll` would come back at once.
            if !sockets[0].revents().is_empty() {
                thread::sleep(Duration::from_millis(10));
            }
            continue;
        };
        if connected.load(Ordering::Acquire) >= CONTROLS_MAX {
            continue;
        }
        connected.fetch_add(1, Ordering::AcqRel);
        let (process, counted) = (process.clone(), connected.clone());
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || {
            // What goes wrong on a control connection ends it and nothing else.
            let _ = converse(&process, stream);
            counted.fetch_sub(1, Ordering::AcqRel);
        });
        if thread.is_err() {
            connected.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The next control connection. Where connections and listeners have all descriptors, one that was kept back is given up for it.
fn accept(listener: &UnixListener, spare: Option<&mut Spare>) -> Option<UnixStream> {
    let accepted = match (listener.accept(), spare) {
        (Err(error), Some(spare)) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            // A worker may take what is given up here; it pauses for a while when it finds none, and this does not.
            (0..4).find_map(|_| if spare.give() { listener.accept().ok() } else { None })
        }
        (accepted, Some(spare)) => {
            spare.refill(CONTROLS_MAX);
            accepted.ok()
        }
        (accepted, None) => accepted.ok(),
    };
    accepted.map(|(stream, _)| stream)
}

/// Answers one control plane until it goes.
fn converse(process: &Process, mut stream: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(CONTROL_STALL_S)))?;
    stream.set_write_timeout(Some(Duration::from_secs(CONTROL_STALL_S)))?;
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let hello: Hello = decode(&read_frame(&mut stream)?).map_err(|_| invalid("no greeting"))?;
    write_frame(&mut stream, &encode(&Hello { magic: MAGIC, version: VERSION }))?;
    if hello.magic != MAGIC || hello.version != VERSION {
        return Ok(());
    }
    let (revision, fast_missing) = {
        let state = process.state();
        (state.revision(), state.fast.missing().unwrap_or_default().to_owned())
    };
    let greeting = Greeting {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision,
        workers: process.workers(),
        fast_missing,
        addresses: crate::process::own_addresses(),
    };
    write_frame(&mut stream, &encode(&greeting))?;
    let mut heir = false;
    loop {
        await_request(&stream)?;
        let bytes = read_frame(&mut stream)?;
        let began = sys::now();
        let reply = match decode(&bytes) {
            Ok(request) => answer(process, &stream, &mut heir, request, began)?,
            Err(malformed) => Some(Reply::Failed(malformed.to_string())),
        };
        let large = bytes.len() >= FRAME_BYTES_LARGE;
        drop(bytes);
        if let Some(reply) = reply {
            let bytes = encode(&reply);
            drop(reply);
            write_frame(&mut stream, &bytes)?;
            if large || bytes.len() >= FRAME_BYTES_LARGE {
                drop(bytes);
                memory::give_back();
            }
        }
    }
}

/// Waits for the beginning of a request, for as long as it takes. A request that began must go on.
fn await_request(stream: &UnixStream) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The reply to a request; `None` where it has been given already. `heir`: the successor asks.
fn answer(
    process: &Process,
    stream: &UnixStream,
    heir: &mut bool,
    request: Request,
    began: u64,
) -> io::Result<Option<Reply>> {
    Ok(Some(match request {
        Request::Apply { changes, unservable } => {
            process.apply(changes, unservable, began, *heir).ok_or_else(retired)?
        }
        Request::Replace { config, unservable } => {
            process.replace(*config, unservable, began, *heir).ok_or_else(retired)?
        }
        Request::Config => {
            let state = process.state();
            Reply::Config { revision: state.revision(), config: Box::new(state.config()) }
        }
        Request::Stats => Reply::Stats(Box::new(process.stats())),
        Request::Flows(filter) => Reply::Flows(process.flows(&filter)),
        Request::Drains => Reply::Drains(process.drains()),
        Request::HandOver => {
            process.hand_over(stream)?;
            return Ok(None);
        }
        Request::Namespace => {
            process.give_namespace(stream)?;
            return Ok(None);
        }
        Request::Retire { revision } => {
            *heir = true;
            process.retire(stream, revision)?;
            return Ok(None);
        }
        Request::Sources => Reply::Estate(Box::new(process.sources())),
        Request::Stop => {
            // First the answer: the process may be gone before this thread has its next turn.
            let mut writer = stream;
            write_frame(&mut writer, &encode(&Reply::Done))?;
            process.ask_to_stop();
            return Ok(None);
        }
    }))
}

/// A successor serves: whoever wants a change connects again, and finds it.
fn retired() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "a successor serves")
}
