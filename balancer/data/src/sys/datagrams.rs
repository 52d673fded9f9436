// SPDX-License-Identifier: Apache-2.0
//! Many datagrams by one system call.

use crate::limits::{DATAGRAM_BYTES_MAX, DATAGRAMS_MAX};
use rustix::io::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// Room for datagrams, and the headers with which the kernel fills it. Memory is taken page by page as datagrams need it.
pub(crate) struct Datagrams {
    room: Box<[u8]>,
    headers: Box<[libc::mmsghdr]>,
    pieces: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    count: usize,
}

// SAFETY: the pointers in `headers` and `pieces` lead into `room`, `pieces` and `names`, which `self` owns and nobody else sees; they
// are written anew before each call that uses them.
unsafe impl Send for Datagrams {}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Which of the datagrams a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The socket is connected.
    Connected,
    /// The address is read or given.
    Address,
}

impl Datagrams {
    /// Room for [`DATAGRAMS_MAX`] datagrams.
    pub(crate) fn new() -> Self {
        let piece = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: all-zero bytes are a valid `sockaddr_storage`, and a valid `mmsghdr` of no datagram.
        let (name, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            room: vec![0; DATAGRAMS_MAX * DATAGRAM_BYTES_MAX].into_boxed_slice(),
            headers: vec![header; DATAGRAMS_MAX].into_boxed_slice(),
            pieces: vec![piece; DATAGRAMS_MAX].into_boxed_slice(),
            names: vec![name; DATAGRAMS_MAX].into_boxed_slice(),
            count: 0,
        }
    }

    /// Datagrams that are there.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Forgets those from `count` on.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
    }

    /// Whether there is no room for another.
    pub(crate) fn is_full(&self) -> bool {
        self.count >= DATAGRAMS_MAX
    }

    /// A datagram's length.
    pub(crate) fn length(&self, at: usize) -> usize {
        (self.headers[at].msg_len as usize).min(DATAGRAM_BYTES_MAX)
    }

    /// Who sent a datagram, or gets it.
    pub(crate) fn address(&self, at: usize) -> Option<SocketAddr> {
        read(&self.names[at])
    }

    /// Says who gets a datagram.
    pub(crate) fn set_address(&mut self, at: usize, address: &SocketAddr) {
        self.headers[at].msg_hdr.msg_namelen = write(address, &mut self.names[at]);
    }

    /// Receives as many as there are and is room for, behind those that are there, and no more than `most`. How many came.
    pub(crate) fn receive(
        &mut self,
        socket: impl AsFd,
        name: Name,
        most: usize,
    ) -> Result<usize, Errno> {
        let first = self.count;
        let end = DATAGRAMS_MAX.min(first.saturating_add(most));
        for at in first..end {
            self.point(at, DATAGRAM_BYTES_MAX, name);
        }
        let headers = &mut self.headers[first..end];
        let most = u32::try_from(headers.len()).unwrap_or(0);
        let descriptor = socket.as_fd().as_raw_fd();
        // SAFETY: each header points into `room`, `pieces` and `names` of `self`, which are not moved and outlive the call; there
        // are `most` of them.
        let got = unsafe {
            libc::recvmmsg(
                descriptor,
                headers.as_mut_ptr(),
                most,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let got = usize::try_from(got).map_err(|_| last_error())?;
        self.count = first + got;
        Ok(got)
    }

    /// Sends the datagrams of the range, in order. How many went.
    pub(crate) fn send(
        &mut self,
        socket: impl AsFd,
        range: std::ops::Range<usize>,
        name: Name,
    ) -> Result<usize, Errno> {
        for at in range.clone() {
            let length = self.length(at);
            let address = self.headers[at].msg_hdr.msg_namelen;
            self.point(at, length, name);
            if name == Name::Address {
                self.headers[at].msg_hdr.msg_namelen = address;
            }
        }
        let headers = &mut self.headers[range];
        let most = u32::try_from(headers.len()).unwrap_or(0);
        let descriptor = socket.as_fd().as_raw_fd();
        // SAFETY: as in `receive`; the kernel writes to `msg_len` of the headers only.
        let sent = unsafe {
            libc::sendmmsg(
                descriptor,
                headers.as_mut_ptr(),
                most,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(sent).map_err(|_| last_error())
    }

    /// Points a header at its room.
    fn point(&mut self, at: usize, length: usize, name: Name) {
        let piece = &mut self.pieces[at];
        piece.iov_base = self.room[at * DATAGRAM_BYTES_MAX..].as_mut_ptr().cast();
        piece.iov_len = length;
        let header = &mut self.headers[at].msg_hdr;
        header.msg_iov = piece;
        header.msg_iovlen = 1;
        header.msg_flags = 0;
        (header.msg_name, header.msg_namelen) = match name {
            Name::Connected => (ptr::null_mut(), 0),
            Name::Address => {
                (ptr::from_mut(&mut self.names[at]).cast(), size_of_u32::<libc::sockaddr_storage>())
            }
        };
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0)
}

fn family_of(family: i32) -> libc::sa_family_t {
    // Both are small.
    libc::sa_family_t::try_from(family).unwrap_or(0)
}

fn read(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which of the two it is, and `sockaddr_storage` is as large and aligned as either needs.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(address, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(address, port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address. Its length.
fn write(address: &SocketAddr, name: &mut libc::sockaddr_storage) -> u32 {
    match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: family_of(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: v4.ip().to_bits().to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_storage` is as large and aligned as `sockaddr_in` needs.
            unsafe { ptr::from_mut(name).cast::<libc::sockaddr_in>().write(raw) };
            size_of_u32::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: family_of(libc::AF_INET6),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above, with `sockaddr_in6`.
            unsafe { ptr::from_mut(name).cast::<libc::sockaddr_in6>().write(raw) };
            size_of_u32::<libc::sockaddr_in6>()
        }
    }
}
