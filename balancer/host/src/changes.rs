// SPDX-License-Identifier: Apache-2.0
//! What changes on the host: told by the kernel, so that its ten thousand routes of ours need not be read to find out that nothing
//! did.

use crate::netlink::{DATAGRAM, Family, Message, Socket, attribute, messages, ne32};
use std::io;

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    /// Interfaces, addresses or routes of others.
    pub host: bool,
    /// A route of ours or a rule of anybody is gone, by others or by this process itself; or something of others changed that may have
    /// taken it along.
    pub ways: bool,
}

/// A route that was made or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Who made it (`rtm_protocol`).
    pub protocol: u8,
    /// The interface's number.
    pub link: Option<u32>,
    /// Its metric.
    pub metric: Option<u32>,
}

/// Hears what the kernel tells.
#[derive(Debug)]
pub struct Changes {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Changes {
    /// From now on, with room for so many bytes of what is not read yet.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open(room: usize) -> io::Result<Self> {
        // Interfaces; addresses, routes and rules of both versions of IP.
        const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x4_0000;
        let socket = Socket::open(Family::Route, GROUPS)?;
        socket.set_buffers(room, 1 << 16)?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// What was told since the last question. Routes that are `ours` are no change of the host.
    pub fn read(&mut self, ours: impl Fn(&Told) -> bool) -> Changed {
        let mut changed = Changed::default();
        loop {
            match self.socket.try_receive(&mut self.buffer) {
                Ok(None) => return changed,
                Ok(Some(bytes)) => {
                    messages(bytes).for_each(|message| note(&message, &ours, &mut changed));
                }
                // More than there was room for.
                Err(_) => return Changed { host: true, ways: true },
            }
        }
    }
}

fn note(message: &Message<'_>, ours: &impl Fn(&Told) -> bool, changed: &mut Changed) {
    const NEW_ROUTE: u16 = 24;
    const DELETE_ROUTE: u16 = 25;
    const NEW_RULE: u16 = 32;
    const DELETE_RULE: u16 = 33;
    let number = |kind| message.body.get(12..).and_then(|all| attribute(all, kind)).and_then(ne32);
    let told = || {
        let protocol = *message.body.get(5)?;
        Some(Told { protocol, link: number(4), metric: number(6) })
    };
    let is_ours = || told().is_some_and(|told| ours(&told));
    match message.kind {
        NEW_ROUTE if is_ours() => {}
        DELETE_ROUTE if is_ours() => changed.ways = true,
        // Rules say by which table a packet goes, and of no address whose it is.
        NEW_RULE => {}
        DELETE_RULE => changed.ways = true,
        _ => *changed = Changed { host: true, ways: true },
    }
}
