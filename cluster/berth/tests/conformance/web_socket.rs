// SPDX-License-Identifier: Apache-2.0
//! A WebSocket by hand, which only listens: through `kubectl proxy`, so that nothing of ours is between.

use crate::run::Outcome;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The messages that come, until the other side ends or `enough` says so.
pub(crate) fn messages(
    address: SocketAddr,
    path: &str,
    protocol: &str,
    enough: impl Fn(&[Vec<u8>]) -> bool,
) -> Outcome<Vec<Vec<u8>>> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(text)?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(text)?;
        answer.extend(byte);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let agreed = format!("sec-websocket-protocol: {protocol}");
    if !answer.starts_with("HTTP/1.1 101") || !answer.to_lowercase().contains(&agreed) {
        return Err(format!("it does not become a WebSocket of {protocol}: {answer}"));
    }
    let mut all: Vec<Vec<u8>> = Vec::new();
    while !enough(&all) {
        let Some((kind, bytes)) = frame(&mut stream) else { break };
        match kind {
            0 => all.last_mut().ok_or("it goes on with nothing")?.extend(bytes),
            1 | 2 => all.push(bytes),
            8 => break,
            _ => {}
        }
    }
    Ok(all)
}

/// The kind of the next frame, and what is in it.
fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let size = match head[1] & 127 {
        126 => {
            let mut size = [0; 2];
            stream.read_exact(&mut size).ok()?;
            u64::from(u16::from_be_bytes(size))
        }
        127 => {
            let mut size = [0; 8];
            stream.read_exact(&mut size).ok()?;
            u64::from_be_bytes(size)
        }
        size => u64::from(size),
    };
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    stream.read_exact(&mut bytes).ok()?;
    Some((head[0] & 15, bytes))
}
