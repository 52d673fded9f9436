// SPDX-License-Identifier: Apache-2.0
//! What changes on the host: told by the kernel, so that its ten thousand routes of ours need not be read to find out that nothing
//! did.

use berth_balancer_host::netlink::{DATAGRAM, Family, Message, Socket, attribute, messages, ne32};
use berth_balancer_host::route::VETH_ROUTE_PROTOCOL;
use std::io;

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Changed {
    /// Interfaces, addresses or routes of others.
    pub(crate) host: bool,
    /// The pair or a route through it is gone, by others or by this process itself.
    pub(crate) ways: bool,
}

/// Hears what the kernel tells.
#[derive(Debug)]
pub(super) struct Changes {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Changes {
    pub(super) fn open() -> io::Result<Self> {
        // Interfaces, routes and addresses of both versions of IP.
        const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
        let socket = Socket::open(Family::Route, GROUPS)?;
        socket.set_buffers(4 << 20, 1 << 16)?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// What was told since the last question. `link` is the pair's.
    pub(super) fn read(&mut self, link: u32) -> Changed {
        let mut changed = Changed::default();
        loop {
            match self.socket.try_receive(&mut self.buffer) {
                Ok(None) => return changed,
                Ok(Some(bytes)) => {
                    messages(bytes).for_each(|message| note(&message, link, &mut changed));
                }
                // More than there was room for.
                Err(_) => return Changed { host: true, ways: true },
            }
        }
    }
}

fn note(message: &Message<'_>, link: u32, changed: &mut Changed) {
    const NEW_ROUTE: u16 = 24;
    const DELETE_ROUTE: u16 = 25;
    let is_route = [NEW_ROUTE, DELETE_ROUTE].contains(&message.kind);
    let ours = is_route
        && message.body.get(5) == Some(&VETH_ROUTE_PROTOCOL)
        && message.body.get(12..).and_then(|all| attribute(all, 4)).and_then(ne32) == Some(link);
    match message.kind {
        NEW_ROUTE if ours => {}
        DELETE_ROUTE if ours => changed.ways = true,
        _ => *changed = Changed { host: true, ways: true },
    }
}
