// SPDX-License-Identifier: Apache-2.0
//! Port-forward: connections to the pod's loopback, or else to its address; to the node's loopback for a pod that has the node's network.

use crate::answer::{Answer, Refused};
use crate::limits::{DIAL, PIECE, REST};
use crate::pods::{Place, Pod};
use crate::server::{self, Inner, refused};
use berth_cluster_docker::Engine;
use berth_cluster_stream as stream;
use berth_cluster_stream::{Duplex, ForwardUpgrade, Forwarded};
use http::Request;
use hyper::body::Incoming;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Forwards connections to a pod's ports.
pub(crate) fn serve(
    inner: &Arc<Inner>,
    request: &mut Request<Incoming>,
    pod: &Pod,
) -> Result<Answer, Refused> {
    let place = inner.place()?;
    let (answer, upgrade) = stream::forward(request, inner.times).map_err(refused)?;
    let to = To {
        pod: format!("{}_{}", pod.name, pod.namespace),
        uid: pod.uid.clone(),
        place: pod.place,
        sandbox: pod.sandbox.clone(),
        engine: inner.engine.clone(),
    };
    tokio::spawn(Box::pin(session(upgrade, to, inner.stopping.clone(), place)));
    Ok(answer.map(crate::answer::full))
}

/// Where connections go.
#[derive(Debug)]
struct To {
    pod: String,
    uid: String,
    place: Place,
    /// The engine's id of it.
    sandbox: Option<String>,
    engine: Engine,
}

async fn session(
    upgrade: ForwardUpgrade,
    to: To,
    mut stopping: watch::Receiver<bool>,
    _place: server::Place,
) {
    let mut session = match upgrade.session().await {
        Ok(session) => session,
        Err(error) => return tracing::debug!(%error, "no session"),
    };
    let to = Arc::new(to);
    // Streams have a limit, and so have these.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            next = session.next() => match next {
                Some(next) => drop(connections.spawn(one(next, Arc::clone(&to)))),
                None => break,
            },
            Some(_) = connections.join_next() => {}
            () = server::told(&mut stopping) => break,
        }
    }
    connections.shutdown().await;
    let _gone = session.finish().await;
}

/// One connection, both ways, each to its own end.
async fn one(forwarded: Forwarded, to: Arc<To>) {
    let Forwarded { port, data, mut error } = forwarded;
    let passed = match to.connect(port).await {
        Ok(socket) => pass(data, socket).await,
        Err(failed) => Err(failed),
    };
    if let Err(failed) = passed {
        let To { pod, uid, .. } = &*to;
        let words = format!("error forwarding port {port} to pod {pod}, uid {uid}: {failed}");
        // Who is gone does not read it.
        let _ = error.write_all(words.as_bytes()).await;
    }
    let _ = error.shutdown().await;
}

/// The end of what the client sends is handed on, and the answer is waited for. Once the pod has said all, what the client still sends is
/// handed on for a while only: mostly nobody is left who reads it, and a client of a WebSocket has no way to end one direction.
async fn pass(data: Duplex, socket: TcpStream) -> io::Result<()> {
    let Duplex { input, output } = data;
    let (from_pod, to_pod) = socket.into_split();
    let up = copy(input, to_pod);
    let down = copy(from_pod, output);
    tokio::pin!(up, down);
    let passed = tokio::select! {
        biased;
        passed = &mut down => {
            // What went wrong with it matters to nobody any more.
            let _ = timeout(REST, up).await;
            passed
        }
        passed = &mut up => down.await.and(passed),
    };
    // That one of both is gone is how many connections end.
    passed.or_else(|error| if is_end(&error) { Ok(()) } else { Err(error) })
}

async fn copy(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    copy_buf(&mut BufReader::with_capacity(PIECE, from), &mut to).await?;
    to.shutdown().await
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::BrokenPipe | Kind::ConnectionReset | Kind::NotConnected)
}

impl To {
    async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let own = match self.place {
            Place::Own(address) => address,
            Place::Host => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Place::Nowhere => return Err(io::Error::other("the pod has no address")),
        };
        let within = match self.place {
            Place::Own(_) => self.namespace().await,
            Place::Host | Place::Nowhere => None,
        };
        if let Some(within) = within {
            // As upstream: most programs that listen on one address only do so there.
            let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
            if let Ok(connected) = dial(loopback, Some(within)).await {
                return Ok(connected);
            }
        }
        dial(SocketAddr::new(own, port), None).await
    }

    /// The pod's network namespace. Who may not enter it, or is not on the engine's machine, reaches the pod's address only.
    async fn namespace(&self) -> Option<File> {
        let id = self.sandbox.as_deref()?;
        match self.engine.network_namespace(id).await {
            Ok(namespace) => namespace,
            Err(error) => {
                tracing::debug!(%error, "the pod's network namespace is not known");
                None
            }
        }
    }
}

async fn dial(address: SocketAddr, within: Option<File>) -> io::Result<TcpStream> {
    let failed = |why: &str| io::Error::other(format!("dial tcp {address}: {why}"));
    let socket = match within {
        Some(namespace) => socket_within(namespace, address).await,
        None => socket(address),
    };
    let socket = socket.map_err(|error| failed(&error.to_string()))?;
    let connected = match timeout(DIAL, socket.connect(address)).await {
        Err(_) => return Err(failed("i/o timeout")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(failed("connect: connection refused"));
        }
        Ok(connected) => connected.map_err(|error| failed(&format!("connect: {error}")))?,
    };
    connected.set_nodelay(true)?;
    Ok(connected)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// A socket stays in the namespace that it was made in. The thread that makes it is of no other use: it ends there.
async fn socket_within(namespace: File, address: SocketAddr) -> io::Result<TcpSocket> {
    let (made, socket_made) = oneshot::channel();
    std::thread::Builder::new().name("port-forward".to_owned()).spawn(move || {
        let entered =
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        // Who asked may have gone.
        drop(made.send(entered.map_err(io::Error::from).and_then(|()| socket(address))));
    })?;
    socket_made.await.map_err(|_| io::Error::other("no socket was made"))?
}
