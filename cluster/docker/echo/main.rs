// SPDX-License-Identifier: Apache-2.0
//! An HTTP/1.1 server that tells who answered: for demonstrations and tests.
//!
//! `echo [PORT]`, or the variable `PORT`; 8080 else. It answers every path with lines of `name: value`. `?delay=MS` makes it wait before it
//! answers, `?status=CODE` chooses the answer's code. On SIGTERM it goes on for what is under way: requests are finished, and answered
//! with `Connection: close`; whoever connects within the next two seconds is served too, for those who send requests learn late that it
//! ends. Then it exits with 0.

mod signals;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Connections at a time: each has a thread with a stack of [`STACK`].
const CONNECTIONS_MAX: usize = 4_096;
const STACK: usize = 64 * 1024;
/// Bytes of a request's head, as others have it.
const HEAD_MAX: usize = 16 * 1024;
/// Bytes of a request's body that are read and thrown away.
const BODY_MAX: u64 = 64 * 1024 * 1024;
/// What `?delay` may ask for, in milliseconds.
const DELAY_MS_MAX: u64 = 600_000;
/// How long a connection may wait for its next request.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How often a connection that waits looks whether it should end.
const LOOK: Duration = Duration::from_millis(250);
/// After SIGTERM: how long a connection without a request is kept, and how long new ones are taken.
const QUIET: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(2);
/// After SIGTERM: how long requests may take; a pod is killed after 30 s unless it says otherwise.
const DRAIN_MAX: Duration = Duration::from_secs(25);

static ENDING: AtomicBool = AtomicBool::new(false);
static OPEN: AtomicUsize = AtomicUsize::new(0);

fn main() {
    signals::block();
    let port = std::env::args().nth(1).or_else(|| std::env::var("PORT").ok());
    let port = port.map_or(Some(8080), |text| text.parse::<u16>().ok());
    let Some(port) = port else {
        eprintln!("echo: the port is a number up to 65535");
        std::process::exit(2);
    };
    let any = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = match any.or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("echo: cannot listen on port {port}: {error}");
            std::process::exit(1);
        }
    };
    println!("echo: listens on port {port}");
    std::thread::spawn(move || accept(&listener));
    signals::wait();
    ENDING.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while begun.elapsed() < DRAIN_MAX {
        std::thread::sleep(Duration::from_millis(20));
        if begun.elapsed() > LATE && OPEN.load(Ordering::SeqCst) == 0 {
            break;
        }
    }
    println!("echo: ends");
    std::process::exit(0);
}

fn accept(listener: &TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, say: those that are open will close.
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if OPEN.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            OPEN.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let serving = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            // An error is the client's that went away.
            let _ended = serve(stream);
            OPEN.fetch_sub(1, Ordering::SeqCst);
        });
        if serving.is_err() {
            OPEN.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(DRAIN_MAX))?;
    let mut buffer = Vec::new();
    loop {
        let Some(head) = next_head(&mut stream, &mut buffer)? else { return Ok(()) };
        let Some(request) = Request::read(&head) else {
            return stream.write_all(&answer(400, "not a request of HTTP/1\n", true));
        };
        if request.chunked || request.length > BODY_MAX {
            return stream.write_all(&answer(
                413,
                "a body needs a Content-Length of up to 64 MiB\n",
                true,
            ));
        }
        if request.expects {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        skip(&mut stream, &mut buffer, request.length)?;
        std::thread::sleep(Duration::from_millis(request.delay_ms));
        let last = request.last || ENDING.load(Ordering::SeqCst);
        let mut answer = answer(request.status, &told(&request, &stream), last);
        if request.head_only {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            answer.truncate(end.map_or(answer.len(), |end| end + 4));
        }
        stream.write_all(&answer)?;
        if last {
            return Ok(());
        }
    }
}

/// The head of the next request, with its empty line; none at the end.
fn next_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    let begun = Instant::now();
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if buffer.len() > HEAD_MAX {
            stream.write_all(&answer(431, "the request's head is too long\n", true))?;
            return Ok(None);
        }
        let ending = ENDING.load(Ordering::SeqCst);
        let waited = begun.elapsed();
        if waited > IDLE_MAX || (ending && waited > QUIET) {
            return Ok(None);
        }
        if !fill(stream, buffer)? {
            return Ok(None);
        }
    }
}

/// Reads what is there, or waits a little. False at the end.
fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut some = [0; 4096];
    match stream.read(&mut some) {
        Ok(0) => Ok(false),
        Ok(read) => {
            buffer.extend_from_slice(&some[..read]);
            Ok(true)
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

fn skip(stream: &mut TcpStream, buffer: &mut Vec<u8>, mut left: u64) -> std::io::Result<()> {
    let begun = Instant::now();
    loop {
        let taken = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        buffer.drain(..taken);
        left -= taken as u64;
        if left == 0 {
            return Ok(());
        }
        if begun.elapsed() > IDLE_MAX || !fill(stream, buffer)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What of a request matters here.
struct Request {
    line: String,
    host: String,
    length: u64,
    chunked: bool,
    expects: bool,
    head_only: bool,
    last: bool,
    delay_ms: u64,
    status: u16,
}

impl Request {
    fn read(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let line = lines.next()?.to_owned();
        let mut words = line.split(' ');
        let (method, path, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/1.") || method.is_empty() {
            return None;
        }
        let mut request = Self {
            host: String::new(),
            length: 0,
            chunked: false,
            expects: false,
            head_only: method == "HEAD",
            last: version == "HTTP/1.0",
            delay_ms: asked(path, "delay").unwrap_or(0).min(DELAY_MS_MAX),
            status: asked(path, "status")
                .and_then(|code| u16::try_from(code).ok())
                .filter(|code| (200..600).contains(code))
                .unwrap_or(200),
            line: line.clone(),
        };
        for header in lines.filter(|line| !line.is_empty()) {
            let (name, value) = header.split_once(':')?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => request.length = value.parse().ok()?,
                "transfer-encoding" => request.chunked = true,
                "expect" => request.expects = value.eq_ignore_ascii_case("100-continue"),
                "connection" if value.eq_ignore_ascii_case("close") => request.last = true,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => request.last = false,
                "host" => value.clone_into(&mut request.host),
                _ => {}
            }
        }
        Some(request)
    }
}

fn asked(path: &str, name: &str) -> Option<u64> {
    let (_, query) = path.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

fn told(request: &Request, stream: &TcpStream) -> String {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut text = format!("hostname: {}\n", hostname.trim());
    for (name, variable) in [
        ("pod", "POD_NAME"),
        ("namespace", "POD_NAMESPACE"),
        ("node", "NODE_NAME"),
        ("version", "VERSION"),
    ] {
        if let Ok(value) = std::env::var(variable) {
            text += &format!("{name}: {value}\n");
        }
    }
    if let (Ok(client), Ok(server)) = (stream.peer_addr(), stream.local_addr()) {
        let (from, to) = (client.ip().to_canonical(), server.ip().to_canonical());
        text += &format!("client: {from}:{}\nserver: {to}:{}\n", client.port(), server.port());
    }
    text += &format!(
        "request: {}\nhost: {}\nbody: {} bytes\n",
        request.line, request.host, request.length
    );
    text
}

fn answer(status: u16, text: &str, last: bool) -> Vec<u8> {
    let (length, connection) = (text.len(), if last { "close" } else { "keep-alive" });
    let reason = if status == 200 { "OK" } else { "Status" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{text}"
    )
    .into_bytes()
}
