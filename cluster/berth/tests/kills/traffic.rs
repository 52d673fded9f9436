// SPDX-License-Identifier: Apache-2.0
//! Clients of a Service, who go on while something is killed: some connect anew for each request, some hold their connection. Each answer
//! is checked byte for byte against its question.

use berth_balancer_testkit::Space;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An answer takes a thousandth of it.
const HANG: Duration = Duration::from_secs(20);
/// What an attempt may take where it is measured how long there is no answer.
const ATTEMPT: Duration = Duration::from_millis(200);
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(25);
/// Between two attempts of [`outage`].
const AGAIN: Duration = Duration::from_millis(10);

/// What clients found.
#[derive(Default)]
struct Book {
    stop: AtomicBool,
    fresh: AtomicU64,
    held: AtomicU64,
    failed: Mutex<Vec<String>>,
    dropped: Mutex<Vec<String>>,
}

/// Clients that run until they are told to stop.
pub(crate) struct Traffic {
    book: Arc<Book>,
    clients: Vec<JoinHandle<()>>,
    begun: Instant,
}

/// What they found in the end.
pub(crate) struct Found {
    /// Requests over connections of their own, and over held ones.
    pub(crate) fresh: u64,
    pub(crate) held: u64,
    /// Why requests failed, and why held connections ended.
    pub(crate) failed: Vec<String>,
    pub(crate) dropped: Vec<String>,
}

impl Traffic {
    /// `fresh` clients and `held` ones in that place, taking turns at the addresses.
    pub(crate) fn start(
        place: &Space,
        addresses: &[SocketAddr],
        fresh: usize,
        held: usize,
    ) -> Self {
        let book = Arc::new(Book::default());
        let begun = Instant::now();
        let mut clients = Vec::new();
        for number in 0..fresh + held {
            let (book, address) = (Arc::clone(&book), addresses[number % addresses.len()]);
            let holds = number >= fresh;
            // A thread keeps the namespace of the one that starts it.
            clients.push(place.run(|| {
                std::thread::spawn(move || {
                    if holds {
                        hold(&book, address, number);
                    } else {
                        connect(&book, address, number);
                    }
                })
            }));
        }
        Self { book, clients, begun }
    }

    /// Waits until so many more requests were answered in both ways: nothing is shown by clients that are not at work.
    pub(crate) fn goes_on(&self, more: u64) {
        let counts = || {
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            (load(&self.book.fresh), load(&self.book.held))
        };
        let (before, begun) = (counts(), Instant::now());
        loop {
            let now = counts();
            if now.0 >= before.0 + more && now.1 >= before.1 + more {
                return;
            }
            self.check();
            assert!(begun.elapsed() < HANG, "clients wait for answers: {before:?}, now {now:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Nothing failed up to now.
    fn check(&self) {
        for (what, list) in [("failed", &self.book.failed), ("dropped", &self.book.dropped)] {
            let list = list.lock().unwrap();
            assert!(list.is_empty(), "{what}: {list:#?}");
        }
    }

    pub(crate) fn stop(self) -> Found {
        self.book.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let take = |list: &Mutex<Vec<String>>| std::mem::take(&mut *list.lock().unwrap());
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let found = Found {
            fresh: load(&self.book.fresh),
            held: load(&self.book.held),
            failed: take(&self.book.failed),
            dropped: take(&self.book.dropped),
        };
        eprintln!(
            "traffic: {} requests over connections of their own ({} failed), {} over held ones ({} dropped), in {:.1} s",
            found.fresh,
            found.failed.len(),
            found.held,
            found.dropped.len(),
            self.begun.elapsed().as_secs_f32()
        );
        found
    }
}

/// A connection for each request.
fn connect(book: &Book, address: SocketAddr, number: usize) {
    let begun = Instant::now();
    for turn in 0_u64.. {
        if book.stop.load(Ordering::Relaxed) {
            return;
        }
        let word = format!("fresh-{number}-{turn}");
        match fetch(address, &word, HANG) {
            Ok(_) => drop(book.fresh.fetch_add(1, Ordering::Relaxed)),
            Err(error) => note(&book.failed, begun, address, &error),
        }
        std::thread::sleep(PAUSE);
    }
}

/// One connection; if it ends, another one.
fn hold(book: &Book, address: SocketAddr, number: usize) {
    let begun = Instant::now();
    let mut connection: Option<TcpStream> = None;
    for turn in 0_u64.. {
        if book.stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(PAUSE);
        let Some(stream) = &mut connection else {
            connection = open(address, HANG).ok();
            continue;
        };
        match ask(stream, &format!("held-{number}-{turn}"), false) {
            Ok(_) => drop(book.held.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                note(&book.dropped, begun, address, &error);
                connection = None;
            }
        }
    }
}

fn note(list: &Mutex<Vec<String>>, begun: Instant, address: SocketAddr, error: &std::io::Error) {
    let at = begun.elapsed().as_secs_f32();
    list.lock().unwrap().push(format!("{address} after {at:.3} s: {error}"));
}

/// How long no request over a connection of its own is answered, from now on; it has to be within `limit`. To be called in the place where
/// the client is.
pub(crate) fn outage(address: SocketAddr, limit: Duration) -> Duration {
    let begun = Instant::now();
    for turn in 0_u64.. {
        match fetch(address, &format!("outage-{turn}"), ATTEMPT) {
            Ok(_) => break,
            Err(error) => assert!(begun.elapsed() < limit, "{address} is away: {error}"),
        }
        std::thread::sleep(AGAIN);
    }
    begun.elapsed()
}

/// One request over one connection; what is answered.
pub(crate) fn fetch(address: SocketAddr, word: &str, limit: Duration) -> std::io::Result<String> {
    ask(&mut open(address, limit)?, word, true)
}

fn open(address: SocketAddr, limit: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, word: &str, last: bool) -> std::io::Result<String> {
    let wrong = |why: String| std::io::Error::other(why);
    let close = if last { "Connection: close\r\n" } else { "" };
    write!(stream, "GET /{word} HTTP/1.1\r\nHost: t\r\n{close}\r\n")?;
    let mut answer = Vec::new();
    let mut some = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.and_then(|length| length.parse::<usize>().ok());
            let length = length.ok_or_else(|| wrong(format!("no length: {head:?}")))?;
            if body.len() >= length {
                let right = head.starts_with("HTTP/1.1 200 ")
                    && body.contains(&format!("\nrequest: GET /{word} HTTP/1.1\n"))
                    && body.len() == length;
                let text = body.to_owned();
                return if right { Ok(text) } else { Err(wrong(format!("wrong: {text:?}"))) };
            }
        }
        match stream.read(&mut some)? {
            0 => return Err(wrong(format!("the end after {} bytes", answer.len()))),
            read => answer.extend_from_slice(&some[..read]),
        }
    }
}
