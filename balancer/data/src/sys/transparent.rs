// SPDX-License-Identifier: Apache-2.0
//! Sockets that may have addresses which are not the host's (`IP_TRANSPARENT`). Connections inherit it from their listener.

use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// Level and name of the option.
const fn option(is_v6: bool) -> (libc::c_int, libc::c_int) {
    if is_v6 {
        (libc::SOL_IPV6, libc::IPV6_TRANSPARENT)
    } else {
        (libc::SOL_IP, libc::IP_TRANSPARENT)
    }
}

const LENGTH: libc::socklen_t = 4;

/// Makes it so. Needs `CAP_NET_ADMIN`.
pub(crate) fn set_transparent(socket: impl AsFd, is_v6: bool) -> Result<(), Errno> {
    let (level, name) = option(is_v6);
    let on: libc::c_int = 1;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the value is as long as is said, and lives over the call.
    let failed = unsafe { libc::setsockopt(socket, level, name, (&raw const on).cast(), LENGTH) };
    if failed == 0 { Ok(()) } else { Err(last()) }
}

/// Whether it is so.
pub(crate) fn is_transparent(socket: impl AsFd, is_v6: bool) -> bool {
    let (level, name) = option(is_v6);
    let (mut on, mut length): (libc::c_int, _) = (0, LENGTH);
    let socket = socket.as_fd().as_raw_fd();
    let value = (&raw mut on).cast();
    // SAFETY: the kernel writes no more than the length says, into a value that lives over the call.
    let failed = unsafe { libc::getsockopt(socket, level, name, value, &raw mut length) };
    failed == 0 && on != 0
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_not_unless_it_is_made_so() {
        for (at, is_v6) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            assert!(!is_transparent(&listener, is_v6));
            if set_transparent(&listener, is_v6).is_ok() {
                assert!(is_transparent(&listener, is_v6));
            }
        }
    }
}
