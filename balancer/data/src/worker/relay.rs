// SPDX-License-Identifier: Apache-2.0
//! Bytes from one socket to the other.
//!
//! Small messages go through the worker's buffer: a read and a write, and nothing stays. What the other side does not take is kept
//! with the connection, and no more is read until it is gone: so a slow reader slows its writer, and holds one buffer at most. After
//! two large reads a direction goes through a pipe, and back after small ones.
//!
//! Sockets are watched edge by edge. A read that fills less than the buffer has emptied the socket, and an end of stream that came
//! before it has been told with the event; one that comes later makes an event of its own. Where urgent bytes came a read may end
//! before them, and only one that finds nothing has emptied the socket.

use super::conn::{Direction, Rest, Side};
use super::pipes::Pipes;
use crate::limits::{BULK_BYTES, PIPE_BYTES, TURN_BYTES};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use rustix::pipe::{SpliceFlags, splice};

/// How far a direction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relayed {
    /// As far as the sockets allow.
    Waits,
    /// There is more, and it is somebody else's turn.
    Again,
    /// The socket that is read broke.
    SourceBroke,
    /// The socket that is written broke.
    SinkBroke,
}

/// What directions of a worker share.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) buffer: Box<[u8]>,
    pub(super) pipes: Pipes,
    pub(super) spliced: u64,
}

/// Bytes that went on, and how far they came.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) bytes: u64,
    pub(super) end: Relayed,
}

/// Moves what there is.
pub(super) fn relay(
    from: &mut Side,
    to: &mut Side,
    way: &mut Direction,
    tools: &mut Tools,
) -> Progress {
    let mut moved = 0;
    let end = loop {
        if !to.writable && !way.is_empty() {
            break Relayed::Waits;
        }
        let step = if way.rest.is_some() {
            flush(to, way)
        } else if way.splices || way.pipe.as_ref().is_some_and(|pipe| pipe.filled > 0) {
            through_pipe(from, to, way, tools)
        } else {
            through_buffer(from, to, way, tools)
        };
        match step {
            Ok(Step::Moved(bytes)) => moved += bytes,
            Ok(Step::Waits) => break Relayed::Waits,
            Err(broke) => break broke,
        }
        if moved >= TURN_BYTES {
            break Relayed::Again;
        }
    };
    if way.pipe.as_ref().is_some_and(|pipe| pipe.filled == 0)
        && let Some(pipe) = way.pipe.take()
    {
        tools.pipes.give_back(pipe);
    }
    Progress { bytes: moved as u64, end }
}

enum Step {
    Moved(usize),
    Waits,
}

/// Writes what was kept.
fn flush(to: &mut Side, way: &mut Direction) -> Result<Step, Relayed> {
    let Some(rest) = &mut way.rest else { return Ok(Step::Moved(0)) };
    let sent = write(to, &rest.bytes[rest.from..])?;
    rest.from += sent;
    if rest.from == rest.bytes.len() {
        way.rest = None;
    } else {
        to.writable = false;
    }
    Ok(Step::Moved(sent))
}

fn through_buffer(
    from: &mut Side,
    to: &mut Side,
    way: &mut Direction,
    tools: &mut Tools,
) -> Result<Step, Relayed> {
    let Some(source) = from.socket.as_ref().filter(|_| from.readable && !way.at_end) else {
        return Ok(Step::Waits);
    };
    let buffer = &mut *tools.buffer;
    let got = match recv(source, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => {
            from.readable = false;
            way.at_end = true;
            return Ok(Step::Waits);
        }
        Ok((got, _)) => got,
        Err(Errno::INTR) => return Ok(Step::Moved(0)),
        Err(Errno::AGAIN) => {
            from.readable = false;
            return Ok(Step::Waits);
        }
        Err(_) => return Err(Relayed::SourceBroke),
    };
    // Of a connection that broke the next read tells how.
    if got < buffer.len() && !from.broken && !from.urgent {
        from.readable = false;
        way.at_end = from.ended;
    }
    let sent = write(to, &buffer[..got])?;
    if sent < got {
        to.writable = false;
        let bytes = buffer[sent..got].into();
        way.rest = Some(Box::new(Rest { bytes, from: 0 }));
    }
    way.run = if got >= BULK_BYTES { way.run + 1 } else { 0 };
    if way.run >= 2 {
        (way.splices, way.run) = (true, 0);
    }
    Ok(Step::Moved(sent))
}

/// Writes as much as there is room for; 0 if there is none.
fn write(to: &mut Side, bytes: &[u8]) -> Result<usize, Relayed> {
    let Some(sink) = &to.socket else { return Err(Relayed::SinkBroke) };
    if to.writes < 2 {
        to.writes += 1;
        if to.writes == 2 {
            // A connection of one request does not pay for this.
            let _ = sockopt::set_tcp_nodelay(sink, true);
        }
    }
    loop {
        match send(sink, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => return Ok(sent),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(_) => return Err(Relayed::SinkBroke),
        }
    }
}

fn through_pipe(
    from: &mut Side,
    to: &mut Side,
    way: &mut Direction,
    tools: &mut Tools,
) -> Result<Step, Relayed> {
    if way.pipe.as_ref().is_none_or(|pipe| pipe.filled == 0) {
        let Some(source) = from.socket.as_ref().filter(|_| from.readable && !way.at_end) else {
            return Ok(Step::Waits);
        };
        if way.pipe.is_none() {
            way.pipe = tools.pipes.take();
        }
        let Some(pipe) = way.pipe.as_mut().filter(|_| !from.urgent) else {
            way.splices = false;
            return Ok(Step::Moved(0));
        };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(source, None, &pipe.writer, None, PIPE_BYTES, flags) {
            // The end, or urgent bytes are next: a plain read tells.
            Ok(0) => {
                from.urgent = true;
                way.splices = false;
                return Ok(Step::Moved(0));
            }
            Ok(got) => {
                pipe.filled = got;
                way.run = if got < BULK_BYTES / 2 { way.run + 1 } else { 0 };
                if way.run >= 4 {
                    (way.splices, way.run) = (false, 0);
                }
            }
            Err(Errno::INTR) => return Ok(Step::Moved(0)),
            Err(Errno::AGAIN) => {
                from.readable = false;
                return Ok(Step::Waits);
            }
            Err(_) => return Err(Relayed::SourceBroke),
        }
    }
    let Some(pipe) = &mut way.pipe else { return Ok(Step::Waits) };
    let Some(sink) = &to.socket else { return Err(Relayed::SinkBroke) };
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match splice(&pipe.reader, None, sink, None, pipe.filled, flags) {
        Ok(sent) => {
            pipe.filled -= sent.min(pipe.filled);
            to.writes = 2;
            tools.spliced += sent as u64;
            Ok(Step::Moved(sent))
        }
        Err(Errno::INTR) => Ok(Step::Moved(0)),
        Err(Errno::AGAIN) => {
            to.writable = false;
            Ok(Step::Waits)
        }
        Err(_) => Err(Relayed::SinkBroke),
    }
}
