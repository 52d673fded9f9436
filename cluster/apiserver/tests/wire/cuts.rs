// SPDX-License-Identifier: Apache-2.0
//! Watches whose connections are cut anywhere: who goes on from the last event that came whole has missed nothing, and sees nothing twice.

use crate::kit::{Random, brief, config};
use crate::place::{OLD, Place};
use crate::tier::Row;
use berth_cluster_json::{Value, json};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";

/// A connection that is gone after so many bytes from the server.
struct Cut {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut own = [0; 4_096];
        let most = own.len().min(this.left).min(buffer.remaining());
        let mut part = ReadBuf::new(&mut own[..most]);
        let read = Pin::new(&mut this.stream).poll_read(context, &mut part);
        let count = part.filled().len();
        buffer.put_slice(part.filled());
        this.left -= count;
        read
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The events that come whole over one connection, up to its cut.
async fn events(place: &Place, config: &Arc<ClientConfig>, path: &str, left: usize) -> Vec<Value> {
    let stream = Cut { stream: TcpStream::connect(place.address).await.unwrap(), left };
    let connector = TlsConnector::from(Arc::clone(config));
    let Ok(stream) = connector.connect("localhost".try_into().unwrap(), stream).await else {
        return Vec::new();
    };
    let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
        return Vec::new();
    };
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "localhost");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let mut text = Vec::new();
    if let Ok(answer) = sender.send_request(request).await {
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
    connection.abort();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Writes until it is told to stop.
async fn write(place: Arc<Place>, stop: Arc<AtomicBool>) {
    let cluster = &place.cluster;
    for number in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("c{}", number % 5);
        let path = format!("{CONFIGS}/{name}");
        match number / 5 % 3 {
            0 => drop(cluster.make(CONFIGS, config(&name, &number.to_string())).await),
            1 => {
                let change = json!({ "data": { "text": "y".repeat(300) } });
                drop(cluster.admin("PATCH", &path).merge(&change).done(200).await);
            }
            _ => drop(cluster.admin("DELETE", &path).done(200).await),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_cut_anywhere_goes_on_where_it_was() {
    let mut row = Row::new("connections that are cut", 100, 10_000);
    let place = Arc::new(Place::new().await);
    let config = Arc::new(place.client(Some(&place.admin()), OLD));
    let begin = place.cluster.store.revision();
    let mut truth = place
        .cluster
        .admin("GET", &format!("{CONFIGS}?watch=1&resourceVersion={begin}"))
        .watch()
        .await;
    let stop = Arc::<AtomicBool>::default();
    let writer = tokio::spawn(write(Arc::clone(&place), Arc::clone(&stop)));
    let (mut from, mut tried, mut useful, mut count) = (begin, 0, 0, 0);
    while let Some(number) = row.next() {
        let mut random = Random(number);
        // Within the handshake, the head, the first piece, or later: a piece is one record of TLS, of 16 KiB at most.
        let most = [3_000, 30_000, 60_000][usize::try_from(random.below(3)).unwrap()];
        let left = usize::try_from(random.below(most)).unwrap();
        let path = format!("{CONFIGS}?watch=1&allowWatchBookmarks=true&resourceVersion={from}");
        let told = events(&place, &config, &path, left).await;
        let wanted = truth.take(told.len()).await;
        assert_eq!(told, wanted, "from {from}, cut after {left} bytes");
        tried += 1;
        useful += u64::from(!told.is_empty());
        count += told.len();
        from = told.last().map_or(from, |event| brief(event).2);
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    assert!(useful * 10 > tried, "{useful} of {tried} connections came to an event");
    eprintln!("{count} events over {useful} of {tried} connections");
}
