// SPDX-License-Identifier: Apache-2.0
//! Descriptors: how many there may be, and passing them to another process.

use crate::limits::DESCRIPTORS_MAX;
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

/// Sets the bound of descriptors, and says what it is: `asked`, or, where that is 0, as many as the process may have. Who may raise
/// the hard bound (root) raises it to [`DESCRIPTORS_MAX`], or as far as the kernel goes (`fs.nr_open`).
pub(crate) fn descriptors_max(asked: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let own = limit.maximum.unwrap_or(DESCRIPTORS_MAX);
    let wanted = match asked {
        0 => own.max(nr_open().min(DESCRIPTORS_MAX)),
        asked => asked,
    };
    // Raising the hard bound needs CAP_SYS_RESOURCE; raising the soft one to it does not.
    for (most, hard) in [(wanted, own.max(wanted)), (wanted.min(own), own)] {
        let wanted = Rlimit { current: Some(most), maximum: Some(hard) };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            return most;
        }
    }
    limit.current.unwrap_or(DESCRIPTORS_MAX)
}

/// The kernel's own bound of one process.
fn nr_open() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Descriptors that are kept back for those who must come in although all are taken: one is given up for each, and got back when
/// there is room again.
#[derive(Debug)]
pub(crate) struct Spare {
    of: OwnedFd,
    kept: Vec<OwnedFd>,
}

impl Spare {
    /// Keeps so many copies of a descriptor that is there anyway.
    pub(crate) fn new(of: OwnedFd, count: usize) -> Self {
        let mut spare = Self { of, kept: Vec::new() };
        spare.refill(count);
        spare
    }

    /// Gives one up; false if there is none left.
    pub(crate) fn give(&mut self) -> bool {
        self.kept.pop().is_some()
    }

    /// Gets back what was given up, as far as there is room.
    pub(crate) fn refill(&mut self, count: usize) {
        while self.kept.len() < count {
            match rustix::io::fcntl_dupfd_cloexec(&self.of, 0) {
                Ok(copy) => self.kept.push(copy),
                Err(_) => return,
            }
        }
    }
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
