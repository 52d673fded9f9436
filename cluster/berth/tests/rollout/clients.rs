// SPDX-License-Identifier: Apache-2.0
//! Clients that count every request that fails: some connect anew for each, some keep their connection until the server says that it ends.

use berth_balancer_testkit::Space;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An answer takes a thousandth of it.
const HANG: Duration = Duration::from_secs(10);
/// Between two requests of a client: with two that connect and one that keeps, of each of three places, there are 200 a second.
const CONNECTS: Duration = Duration::from_millis(40);
const KEEPS: Duration = Duration::from_millis(60);

#[derive(Default)]
struct Book {
    stop: AtomicBool,
    connected: AtomicU64,
    kept: AtomicU64,
    failed: Mutex<Vec<String>>,
}

/// Clients that run until they are stopped.
pub(crate) struct Clients {
    book: Arc<Book>,
    threads: Vec<JoinHandle<()>>,
    begun: Instant,
}

/// What they found.
pub(crate) struct Found {
    /// Requests that were answered, over connections of their own and over kept ones.
    pub(crate) connected: u64,
    pub(crate) kept: u64,
    pub(crate) failed: Vec<String>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self { book: Arc::default(), threads: Vec::new(), begun: Instant::now() }
    }

    /// Clients in a place.
    pub(crate) fn add(&mut self, name: &'static str, place: &Space, address: SocketAddr) {
        for keeps in [false, false, true] {
            let (book, begun) = (Arc::clone(&self.book), self.begun);
            // A thread keeps the network of the one that starts it.
            let thread =
                place.run(|| std::thread::spawn(move || go(&book, name, address, keeps, begun)));
            self.threads.push(thread);
        }
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.book.connected.load(Ordering::Relaxed) + self.book.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> Vec<String> {
        self.book.failed.lock().unwrap().clone()
    }

    pub(crate) fn stop(self) -> Found {
        self.book.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let found = Found {
            connected: self.book.connected.load(Ordering::Relaxed),
            kept: self.book.kept.load(Ordering::Relaxed),
            failed: self.book.failed.lock().unwrap().clone(),
        };
        let seconds = self.begun.elapsed().as_secs_f64();
        println!(
            "{} requests over connections of their own and {} over kept ones in {seconds:.0} s, {} failed",
            found.connected,
            found.kept,
            found.failed.len()
        );
        found
    }
}

fn go(book: &Book, name: &str, address: SocketAddr, keeps: bool, begun: Instant) {
    let mut kept: Option<TcpStream> = None;
    while !book.stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let reused = kept.is_some();
        match ask(kept.take(), address, keeps) {
            Ok(stream) => {
                kept = stream;
                let count = if keeps { &book.kept } else { &book.connected };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let at = begun.elapsed().as_secs_f64();
                let how = if reused { "a kept connection" } else { "a new connection" };
                let took = asked.elapsed().as_millis();
                let line = format!("{at:.3} s: {name} to {address} by {how}, {took} ms: {error}");
                book.failed.lock().unwrap().push(line);
            }
        }
        let pause = if keeps { KEEPS } else { CONNECTS };
        std::thread::sleep(pause.saturating_sub(asked.elapsed()));
    }
}

/// One request; the connection, if it goes on.
fn ask(kept: Option<TcpStream>, address: SocketAddr, keeps: bool) -> Result<Option<TcpStream>> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&address, HANG)?;
            stream.set_read_timeout(Some(HANG))?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    let close = if keeps { "" } else { "Connection: close\r\n" };
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: web\r\n{close}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut some = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length
                .and_then(|length| length.parse().ok())
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, head.to_owned()))?;
            if body.len() >= length {
                let right = head.starts_with("HTTP/1.1 200 ") && body.starts_with("web-");
                if !right {
                    return Err(Error::new(ErrorKind::InvalidData, text.into_owned()));
                }
                let last = head.contains("Connection: close");
                return Ok((keeps && !last).then_some(stream));
            }
        }
        match stream.read(&mut some)? {
            0 => {
                return Err(Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("the end after {} bytes", answer.len()),
                ));
            }
            read => answer.extend_from_slice(&some[..read]),
        }
    }
}
