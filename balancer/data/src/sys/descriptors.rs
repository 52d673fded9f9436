// SPDX-License-Identifier: Apache-2.0
//! Descriptors: how many there may be, and passing them to another process.

use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Descriptors that one message carries: the kernel's bound is 253.
const BATCH: usize = 128;

/// Raises the bound of descriptors as far as the process may, and says what it is.
pub(crate) fn descriptors_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, wanted).is_ok() {
        return most;
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Sends descriptors, in order. A byte goes with each batch.
pub(crate) fn send<F: AsFd>(socket: impl AsFd, descriptors: &[F]) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH) {
        let borrowed: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
        let byte = [u8::try_from(batch.len()).unwrap_or(0)];
        while let Err(error) =
            sendmsg(&socket, &[IoSlice::new(&byte)], &mut control, SendFlags::NOSIGNAL)
        {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Receives so many descriptors, in order.
pub(crate) fn receive(socket: impl AsFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let got = recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let before = all.len();
        match got {
            Ok(got) if got.bytes > 0 => {}
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                all.extend(descriptors);
            }
        }
        // The kernel drops descriptors that the receiver has no room for.
        if all.len() - before != usize::from(byte[0]) {
            return Err(io::Error::other(
                "there is no room for the descriptors that are handed over",
            ));
        }
    }
    Ok(all)
}
