// SPDX-License-Identifier: Apache-2.0
//! One process takes over from another: a binary upgrade that resets nobody.
//!
//! ```text
//! successor                       the process that serves
//! namespace             ->
//!                       <-        the network namespace of its own, if it has one
//! hand over             ->
//!                       <-        which sockets, then the sockets themselves: both have them, and no connection can be lost
//! opens the same table with them, listens at the control path in its place, and takes nothing yet
//! retire                ->        closes its own, and gives away UDP flows with their sockets
//!                       <-        which flows, then their sockets; what changed since, and what was found out
//! begins
//! each change           ->        takes it too, until its last connection ends
//! ```
//!
//! In between nobody takes anything new: connections and datagrams wait in the sockets that both have, for some milliseconds.
//! Should the successor die on the way, the other one goes on as if nothing had been.

use super::listeners::Sockets;
use super::state::{Process, State};
use crate::control::server;
use crate::control::wire::encode;
use crate::control::{Client, ClientError, Estate, Handed, Reply, Request, write_frame};
use crate::options::{Options, RunError};
use crate::sys;
use crate::worker::{Command, Found, Place};
use berth_balancer_core::model::Config;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// How long a process that was replaced may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process that serves at the path, if there is one and it is to be taken over.
pub(super) fn find(options: &Options) -> Result<Option<Client>, RunError> {
    match Client::connect(&options.control) {
        Ok(client) if options.take_over => Ok(Some(client)),
        Ok(client) => {
            Err(RunError::Serves { path: options.control.clone(), pid: client.greeting().pid })
        }
        Err(ClientError::Socket(error)) if is_nobody(&error) => Ok(None),
        Err(other) => Err(RunError::TakeOver(other)),
    }
}

/// Whether connecting failed because nobody listens there. Whatever else fails, somebody may: one that is slow, or short of
/// descriptors, still serves, and a second one beside it would share its listeners.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Takes over, and gives the listener of the control path.
pub(super) fn take_over(
    process: &Arc<Process>,
    mut client: Client,
    options: &Options,
) -> Result<UnixListener, RunError> {
    let (revision, config) = client.config().map_err(RunError::TakeOver)?;
    let namespace = receive_namespace(&mut client).map_err(RunError::TakeOver)?;
    let sockets = receive(&mut client, &Request::HandOver).map_err(RunError::TakeOver)?;
    if let Some(namespace) = namespace {
        process.state().places.adopt(namespace, shortcut(&sockets));
    }
    process.state().fast.set_waiting(true);
    process.begin(config, sockets)?;
    let listener = server::bind(&options.control, options.user)?;
    // From here on the other one may have let go: what it fails to give is lost, and all else is served here.
    match retire(&mut client, revision) {
        Ok((estate, sockets)) => {
            process.take(estate, sockets);
            // It is told each change while the state is locked: one that hangs must not hang this one.
            let impatient = client.set_patience(PATIENCE);
            if impatient.is_ok() {
                process.state().predecessors.insert(0, client);
            }
        }
        Err(error) => {
            eprintln!("berth: flows of the process before are lost: {error}");
            process.take(Estate::default(), Vec::new());
        }
    }
    Ok(listener)
}

fn receive(client: &mut Client, request: &Request) -> Result<Vec<(Handed, OwnedFd)>, ClientError> {
    let handed = match client.ask(request)? {
        Reply::Sockets(handed) => handed,
        other => return Err(crate::control::unexpected(other)),
    };
    let sockets = sys::receive(client.stream(), handed.len()).map_err(ClientError::Socket)?;
    Ok(handed.into_iter().zip(sockets).collect())
}

/// Where the shortcut's listeners are.
fn shortcut(sockets: &[(Handed, OwnedFd)]) -> impl Iterator<Item = SocketAddr> {
    let own = |(handed, socket): &&(Handed, OwnedFd)| is_shortcut(handed.place, socket);
    sockets.iter().filter(own).map(|(handed, _)| handed.place)
}

/// No others are transparent.
fn is_shortcut(place: SocketAddr, socket: &OwnedFd) -> bool {
    place.ip().is_loopback() && sys::is_transparent(socket, place.is_ipv6())
}

fn receive_namespace(client: &mut Client) -> Result<Option<OwnedFd>, ClientError> {
    match client.ask(&Request::Namespace)? {
        Reply::Namespace(false) => return Ok(None),
        Reply::Namespace(true) => {}
        other => return Err(crate::control::unexpected(other)),
    }
    Ok(sys::receive(client.stream(), 1).map_err(ClientError::Socket)?.pop())
}

fn retire(
    client: &mut Client,
    revision: u64,
) -> Result<(Estate, Vec<(Handed, OwnedFd)>), ClientError> {
    let (estate, handed) = match client.ask(&Request::Retire { revision })? {
        Reply::Retired { estate, sockets } => (*estate, sockets),
        other => return Err(crate::control::unexpected(other)),
    };
    let sockets = sys::receive(client.stream(), handed.len()).map_err(ClientError::Socket)?;
    Ok((estate, handed.into_iter().zip(sockets).collect()))
}

fn give<F: AsFd>(stream: &UnixStream, reply: &Reply, sockets: &[F]) -> io::Result<()> {
    let mut writer = stream;
    write_frame(&mut writer, &encode(reply))?;
    sys::send(stream, sockets)
}

/// Listeners with their places.
fn listeners(state: &State) -> (Vec<Handed>, Vec<Arc<OwnedFd>>) {
    let (mut handed, mut sockets) = (Vec::new(), Vec::new());
    for (place, of) in state.open.iter() {
        for (worker, socket) in of {
            let worker = u32::try_from(*worker).unwrap_or(u32::MAX);
            handed.push(Handed { worker, protocol: place.0, place: place.1, flow: None });
            sockets.push(socket.clone());
        }
    }
    (handed, sockets)
}

impl Process {
    /// Gives the successor all listeners. They stay open here.
    pub(crate) fn hand_over(&self, stream: &UnixStream) -> io::Result<()> {
        let (handed, sockets) = listeners(&self.state());
        give(stream, &Reply::Sockets(handed), &sockets)
    }

    /// Gives the successor the network namespace, if there is one.
    pub(crate) fn give_namespace(&self, stream: &UnixStream) -> io::Result<()> {
        let namespace = self.state().places.namespace()?;
        let mut writer = stream;
        write_frame(&mut writer, &encode(&Reply::Namespace(namespace.is_some())))?;
        match namespace {
            Some(namespace) => sys::send(stream, &[namespace]),
            None => Ok(()),
        }
    }

    /// The successor is ready: takes nothing new any more, and gives UDP flows away, and what was found out. The successor was told
    /// what is wanted as of `revision`; where that changed since it is told again, with all listeners.
    pub(crate) fn retire(&self, stream: &UnixStream, revision: u64) -> io::Result<()> {
        let _handing = self.hands();
        let mut state = self.state();
        self.set_retired();
        let changed = state.revision() != revision;
        let (mut handed, sockets) = if changed { listeners(&state) } else { Default::default() };
        let (reply, all) = mpsc::channel();
        for hand in &self.workers {
            hand.mailbox.send(Command::Retire { reply: reply.clone() });
        }
        drop(reply);
        let (mut flows, mut found) = (Vec::new(), Vec::new());
        for left in &all {
            flows.extend(left.flows);
            found.push((left.worker, left.found));
        }
        let config = changed.then(|| Box::new(state.config()));
        let ports = self.estate(&state, found);
        state.unserved.clear();
        state.open.clear();
        state.places.let_go();
        let lane = std::mem::take(&mut state.fast);
        drop(state);
        let (of_flows, of_theirs): (Vec<Handed>, Vec<OwnedFd>) = flows.into_iter().unzip();
        handed.extend(of_flows);
        let all: Vec<BorrowedFd<'_>> =
            sockets.iter().map(AsFd::as_fd).chain(of_theirs.iter().map(AsFd::as_fd)).collect();
        let estate = Box::new(Estate { config, ports });
        let given = give(stream, &Reply::Retired { estate, sockets: handed }, &all);
        // The successor's rules are there: what still waits here is sent on to it.
        lane.leave();
        given
    }

    /// Begins with the table and the listeners of another process.
    ///
    /// # Errors
    /// This version does not take the other's configuration. Nothing has happened then, and the other one goes on.
    fn begin(&self, config: Config, sockets: Vec<(Handed, OwnedFd)>) -> Result<(), RunError> {
        let mut state = self.state();
        let now = sys::now();
        if let Err(problems) = state.compiler.replace(config, now) {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let why = format!("its configuration is refused here: {}", problems.join("; "));
            return Err(RunError::TakeOver(ClientError::Failed(why)));
        }
        self.adopt(&mut state, sockets).map_err(RunError::TakeOver)
    }

    /// Uses the compiled table with listeners of another process, and opens what lacks.
    fn adopt(&self, state: &mut State, sockets: Vec<(Handed, OwnedFd)>) -> Result<(), ClientError> {
        let (old, table) = (state.table.clone(), state.compiler.table().clone());
        let mut open: BTreeMap<Place, Sockets> = BTreeMap::new();
        for (handed, socket) in sockets {
            let of = open.entry((handed.protocol, handed.place)).or_default();
            of.push((handed.worker as usize, Arc::new(socket)));
        }
        let directed = state.fast.apply(&table);
        directed.map_err(|problem| ClientError::Failed(problem.to_string()))?;
        let mut fresh = super::listeners::Fresh::default();
        for (place, sockets) in open {
            // This process may be to have no shortcut: then nobody is to be sent to it either.
            let is_unwanted = sockets.iter().any(|(_, socket)| is_shortcut(place.1, socket))
                && !state.places.has_shortcut(&place);
            if state.open.has(&place) || is_unwanted {
                continue;
            }
            fresh.add(place, &sockets);
            state.open.insert(place, sockets);
        }
        self.hand_out(state, table.clone(), fresh);
        let places = super::listeners::candidates(&old, &table);
        let fresh = self.open(state, &table, places);
        self.hand_out(state, table, fresh);
        let State { open, places, .. } = &*state;
        places.serve_only(open.iter().map(|(place, _)| place));
        Ok(())
    }

    /// Takes over what the other process leaves, and begins.
    fn take(&self, estate: Estate, sockets: Vec<(Handed, OwnedFd)>) {
        let mut state = self.state();
        state.fast.set_waiting(false);
        let (flows, listeners) =
            sockets.into_iter().partition::<Vec<_>, _>(|(handed, _)| handed.flow.is_some());
        if let Some(config) = estate.config
            && let Err(problems) = state.compiler.replace(*config, sys::now())
        {
            for problem in problems {
                eprintln!("berth: the last change of the process before is refused: {problem}");
            }
        }
        let found = self.inherit(&mut state, estate.ports);
        if let Err(error) = self.adopt(&mut state, listeners) {
            eprintln!("berth: the last change of the process before is not in effect: {error}");
        }
        drop(state);
        self.import(flows, found);
    }

    /// Takes UDP flows over, and begins.
    fn import(&self, flows: Vec<(Handed, OwnedFd)>, found: Vec<Vec<Found>>) {
        let mut by_worker: Vec<Vec<(Handed, OwnedFd)>> =
            self.workers.iter().map(|_| Vec::new()).collect();
        for flow in flows {
            let worker = flow.0.worker as usize % by_worker.len();
            by_worker[worker].push(flow);
        }
        let (done, all) = mpsc::channel();
        for ((hand, flows), found) in self.workers.iter().zip(by_worker).zip(found) {
            hand.mailbox.send(Command::Import { flows, found, done: done.clone() });
        }
        drop(done);
        while all.recv().is_ok() {}
    }
}
