// SPDX-License-Identifier: Apache-2.0
//! What our balancer says of itself on its admin port.

use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The live table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(Value);

impl Table {
    /// Asks for it, from within a network namespace if one is given.
    pub fn ask(admin: SocketAddr, namespace: Option<&File>) -> io::Result<Self> {
        let text = std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                if let Some(namespace) = namespace {
                    crate::balance::place::netns::enter(namespace)?;
                }
                get(admin)
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Self::read(&text).ok_or_else(|| io::Error::other(format!("no table: {text}")))
    }

    /// Reads the answer to a request for it.
    pub fn read(answer: &str) -> Option<Self> {
        let body = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
        serde_json::from_str(body).ok().map(Self)
    }

    /// The path that a service takes.
    pub fn path(&self, service: &str) -> Option<String> {
        let services = self.0["services"].as_array()?;
        let service = services.iter().find(|one| one["name"] == service)?;
        service["path"].as_str().map(str::to_owned)
    }

    /// How often its file was taken.
    pub fn taken(&self) -> u64 {
        self.0["file"]["taken"].as_u64().unwrap_or(0)
    }

    /// What is wrong with its file, if it was refused.
    pub fn refusal(&self) -> Option<String> {
        let problems = self.0["file"]["problems"].as_array()?;
        let first = problems.first()?.as_str()?;
        let more = problems.len() - 1;
        Some(if more == 0 { first.to_owned() } else { format!("{first} (and {more} more)") })
    }

    /// The addresses that it cannot serve, with the reason.
    pub fn unserved(&self) -> Vec<(SocketAddr, String)> {
        let read = |one: &Value| {
            let address = one["address"].as_str()?.parse().ok()?;
            Some((address, one["reason"].as_str().unwrap_or_default().to_owned()))
        };
        self.0["unserved"]
            .as_array()
            .map_or_else(Vec::new, |all| all.iter().filter_map(read).collect())
    }

    /// The number of the process that forwards.
    pub fn forwards(&self) -> Option<u32> {
        u32::try_from(self.0["data_plane"]["pid"].as_u64()?).ok()
    }
}

fn get(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /table HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n\
            {\"data_plane\": {\"pid\": 17}, \"file\": {\"taken\": 3, \"problems\": [\"a: b\", \"c\"]}, \
            \"services\": [{\"name\": \"a\", \"path\": \"fast\"}, {\"name\": \"b\"}], \
            \"unserved\": [{\"address\": \"10.0.0.1:80\", \"reason\": \"not local\"}]}\n";
        let table = Table::read(answer).unwrap();
        assert_eq!(table.path("a"), Some("fast".to_owned()));
        assert_eq!(table.path("b"), None);
        assert_eq!((table.taken(), table.forwards()), (3, Some(17)));
        assert_eq!(table.refusal(), Some("a: b (and 1 more)".to_owned()));
        let want = ("10.0.0.1:80".parse().unwrap(), "not local".to_owned());
        assert_eq!(table.unserved(), vec![want]);
        assert_eq!(Table::read("HTTP/1.1 404 Not Found\r\n\r\n"), None);
        let empty = Table::read("{}").unwrap();
        assert_eq!((empty.refusal(), empty.unserved(), empty.taken()), (None, vec![], 0));
    }
}
