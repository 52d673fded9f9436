// SPDX-License-Identifier: Apache-2.0
//! One check: a connection, a GET, or the standard gRPC health service. Each has its patience and reads a bounded answer.

use berth_balancer_core::model::{HealthCheck, Probe};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Bytes of an answer that are read for its status line.
const HEAD_BYTES: usize = 256;

/// Whether an address passes its check in time.
pub(super) async fn passes(address: SocketAddr, check: &HealthCheck) -> bool {
    let patience = Duration::from_nanos(check.timeout_ns);
    let checked = async {
        match &check.probe {
            Probe::Tcp => TcpStream::connect(address).await.is_ok(),
            Probe::Http { path, host } => {
                http(address, path, host.as_deref()).await.is_ok_and(|s| (200..400).contains(&s))
            }
            Probe::Grpc { service } => Box::pin(grpc(address, service)).await,
        }
    };
    tokio::time::timeout(patience, checked).await.unwrap_or(false)
}

/// The status of a GET.
async fn http(address: SocketAddr, path: &str, host: Option<&str>) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request(address, path, host).as_bytes()).await?;
    let mut head = [0; HEAD_BYTES];
    let mut read = 0;
    while read < head.len() && !head[..read].contains(&b'\n') {
        match stream.read(&mut head[read..]).await? {
            0 => break,
            more => read += more,
        }
    }
    status(&head[..read]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

fn request(address: SocketAddr, path: &str, host: Option<&str>) -> String {
    let own = address.to_string();
    let host = host.unwrap_or(&own);
    let mut target = String::with_capacity(path.len());
    for byte in path.bytes() {
        // What would end the line, or the target in it, is escaped.
        if byte.is_ascii_graphic() {
            target.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    let host: String = host.chars().filter(char::is_ascii_graphic).collect();
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: berth-balancer\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// The status in a status line: `HTTP/1.1 204 No Content`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

async fn grpc(address: SocketAddr, service: &str) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else { return false };
    let Ok(channel) = endpoint.connect().await else { return false };
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).max_decoding_message_size(1_024).check(request).await;
    answer.is_ok_and(|answer| answer.into_inner().status == ServingStatus::Serving as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\nx: y\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 503\n"), Some(503));
        assert_eq!(status(b"SSH-2.0-OpenSSH 200\r\n"), None);
        assert_eq!(status(b""), None);
        assert_eq!(status(b"HTTP/1.1 \xff"), None);
    }

    #[test]
    fn a_path_stays_on_its_line() {
        let address = "10.0.0.1:80".parse().unwrap();
        let text = request(address, "/a b\r\nX: y", Some("h\r\nost"));
        assert!(text.starts_with("GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nHost: host\r\n"), "{text}");
    }
}
