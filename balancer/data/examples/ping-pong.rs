// SPDX-License-Identifier: Apache-2.0
//! The smallest load that tells two proxies apart: `ping-pong serve ADDRESS`, and `ping-pong keep-alive|short|bulk ADDRESS SECONDS
//! [CONNECTIONS]`, which prints how many requests, connections or megabytes a second it had. One thread, edge by edge.
#![forbid(unsafe_code)]

use rustix::event::{Timespec, epoll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const BYTES: usize = 64;
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

type Result<T> = std::io::Result<T>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", at] => serve(address(at)),
        [mode @ ("keep-alive" | "short" | "bulk"), at, seconds, ref rest @ ..] => {
            let count = rest.first().and_then(|count| count.parse().ok()).unwrap_or(64);
            let seconds = seconds.parse().map_err(std::io::Error::other)?;
            let rate = load(mode, address(at), Duration::from_secs(seconds), count)?;
            std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{rate:.0}\n"))
        }
        _ => {
            Err(std::io::Error::other("serve ADDRESS | keep-alive|short|bulk ADDRESS SECONDS [N]"))
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| ([127, 0, 0, 1], 0).into())
}

fn watch(poll: &OwnedFd, socket: &OwnedFd, at: usize) -> Result<()> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    Ok(epoll::add(poll, socket, epoll::EventData::new_u64(at as u64), flags)?)
}

/// Echoes 64 bytes; a first byte of `b` asks for bytes without end.
fn serve(at: SocketAddr) -> Result<()> {
    let listener = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    rustix::net::bind(&listener, &at)?;
    rustix::net::listen(&listener, 4_096)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(u64::MAX), flags)?;
    let mut sockets: Vec<Option<(OwnedFd, bool)>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![b'x'; 1 << 18];
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let at = event.data.u64();
            if at == u64::MAX {
                while let Ok(socket) = rustix::net::accept_with(&listener, FLAGS) {
                    let slot = free.pop().unwrap_or(sockets.len());
                    watch(&poll, &socket, slot)?;
                    if slot == sockets.len() {
                        sockets.push(None);
                    }
                    sockets[slot] = Some((socket, false));
                }
                continue;
            }
            let slot = usize::try_from(at).unwrap_or(0);
            let Some((socket, bulk)) = &mut sockets[slot] else { continue };
            if answer(socket, bulk, &mut buffer) {
                sockets[slot] = None;
                free.push(slot);
            }
        }
    }
}

/// Answers what is there. Whether the connection is over.
fn answer(socket: &OwnedFd, bulk: &mut bool, buffer: &mut [u8]) -> bool {
    while !*bulk {
        match rustix::net::recv(socket, &mut buffer[..4_096], RecvFlags::empty()) {
            Ok((0, _)) => return true,
            Ok((got, _)) => {
                *bulk = buffer[0] == b'b';
                if !*bulk && rustix::net::send(socket, &buffer[..got], SendFlags::NOSIGNAL).is_err()
                {
                    return true;
                }
                if got < 4_096 {
                    break;
                }
            }
            Err(rustix::io::Errno::AGAIN) => break,
            Err(_) => return true,
        }
    }
    if *bulk {
        loop {
            match rustix::net::send(socket, buffer, SendFlags::NOSIGNAL) {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => return true,
            }
        }
    }
    false
}

fn open(poll: &OwnedFd, at: SocketAddr, slot: usize) -> Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &at) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    watch(poll, &socket, slot)?;
    Ok(socket)
}

fn load(mode: &str, at: SocketAddr, time: Duration, count: usize) -> Result<f64> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let ask = [if mode == "bulk" { b'b' } else { b'a' }; BYTES];
    // A socket, whether it has asked, and how many bytes of the answer are there.
    let mut sockets = Vec::new();
    for slot in 0..count {
        sockets.push((open(&poll, at, slot)?, false, 0));
    }
    let mut buffer = vec![0; 1 << 18];
    let mut events = Vec::with_capacity(256);
    let (mut done, begun) = (0_u64, Instant::now());
    while begun.elapsed() < time {
        events.clear();
        let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
        for event in &events {
            let slot = usize::try_from(event.data.u64()).unwrap_or(0);
            let (socket, asked, have) = &mut sockets[slot];
            let flags = event.flags;
            if !*asked && flags.contains(epoll::EventFlags::OUT) {
                rustix::net::send(&*socket, &ask, SendFlags::NOSIGNAL)?;
                *asked = true;
            }
            loop {
                let got = match rustix::net::recv(&*socket, &mut *buffer, RecvFlags::empty()) {
                    Ok((0, _)) => return Err(std::io::Error::other("closed")),
                    Ok((got, _)) => got,
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                };
                if mode == "bulk" {
                    done += got as u64;
                    continue;
                }
                *have += got;
                if *have >= BYTES {
                    (*have, done) = (0, done + 1);
                    if mode == "short" {
                        (*socket, *asked) = (open(&poll, at, slot)?, false);
                    } else {
                        rustix::net::send(&*socket, &ask, SendFlags::NOSIGNAL)?;
                    }
                }
                if got < buffer.len() {
                    break;
                }
            }
        }
    }
    let scale = if mode == "bulk" { 1e-6 } else { 1.0 };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(done as f64 * scale / begun.elapsed().as_secs_f64())
}
