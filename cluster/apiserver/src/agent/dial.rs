// SPDX-License-Identifier: Apache-2.0
//! The one connection that is made for a request.

use super::Agents;
use super::headers::to_agent;
use crate::listener::told;
use crate::server::Inner;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::Value;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyDataStream, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Where agents listen if their nodes do not say.
const PORT: u16 = 10_250;
/// Bytes of the head of an answer.
const HEAD_MAX: usize = 64 << 10;

/// A request to an agent whose address is known and allowed.
#[derive(Debug)]
pub(super) struct Call {
    agents: Agents,
    address: SocketAddr,
    name: ServerName<'static>,
    path: String,
    method: Method,
    headers: HeaderMap,
}

/// What the agent answered. The connection lasts as long as this.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) response: Response<Incoming>,
    pub(super) agents: Agents,
    pub(super) place: OwnedSemaphorePermit,
}

/// A call to the agent of a node, whose address is looked up once and then stays.
pub(super) async fn call(
    agents: &Agents,
    node: &str,
    object: Option<&Map>,
    path: String,
) -> Result<Call, Refusal> {
    let status = object.and_then(|node| node.get("status"));
    let status = status.ok_or_else(|| Refusal::not_found("", "nodes", node))?;
    let (address, name) = address(status, agents).await.map_err(|why| {
        Refusal::new(
            503,
            "ServiceUnavailable",
            format!("the agent of node {node} cannot be called: {why}"),
        )
    })?;
    let (agents, headers) = (agents.clone(), HeaderMap::new());
    Ok(Call { agents, address, name, path, method: Method::GET, headers })
}

async fn address(
    status: &Value,
    agents: &Agents,
) -> Result<(SocketAddr, ServerName<'static>), String> {
    let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap_or(0);
    let port = match u16::try_from(port) {
        Ok(0) => PORT,
        Ok(port) => port,
        Err(_) => return Err(format!("{port} is not a port")),
    };
    let list = status["addresses"].as_array();
    let list: Vec<(&str, &str)> = list
        .into_iter()
        .flatten()
        .filter_map(|one| Some((one["type"].as_str()?, one["address"].as_str()?)))
        .collect();
    let wanted = ["InternalIP", "ExternalIP", "InternalDNS", "Hostname"];
    let found = wanted.iter().find_map(|kind| list.iter().find(|(have, _)| have == kind));
    let Some((_, text)) = found else {
        return Err(format!("no preferred addresses found; known addresses: {list:?}"));
    };
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => {
            let found = timeout(agents.connect, tokio::net::lookup_host((*text, port))).await;
            let found = found.ok().and_then(Result::ok).and_then(|mut all| all.next());
            found.ok_or_else(|| format!("lookup {text}: no such host"))?.ip()
        }
    };
    if !may_call(address, agents.loopback) {
        return Err(format!("its address {address} is not one of a node"));
    }
    let name =
        ServerName::try_from((*text).to_owned()).map_err(|_| format!("{text:?} is no name"))?;
    Ok((SocketAddr::new(address, port), name))
}

/// Whether an address may be a node's. What a node says of itself must not lead the server, with its certificate, to the machine's own
/// services or to those of a cloud.
fn may_call(address: IpAddr, loopback: bool) -> bool {
    let address = address.to_canonical();
    let local = match address {
        IpAddr::V4(four) => four.is_link_local() || four.is_broadcast(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    !address.is_unspecified()
        && !address.is_multicast()
        && !local
        && (loopback || !address.is_loopback())
}

impl Call {
    /// With what passes of a client's request.
    pub(super) fn with(mut self, method: Method, headers: &HeaderMap) -> Self {
        self.headers = to_agent(headers);
        self.method = method;
        self
    }

    /// Connects, sends, and waits for the head of the answer.
    pub(super) async fn send(self, server: &Inner, body: Bytes) -> Result<Reply, Refusal> {
        let busy = |_| Refusal::too_many_requests("too many connections to agents", 1);
        let place = self.agents.places.clone().try_acquire_owned().map_err(busy)?;
        let mut stopping = server.stopping();
        let (agents, address) = (self.agents.clone(), self.address);
        let failed = |why: String| {
            Refusal::new(500, "InternalError", format!("error dialing backend: {why}"))
        };
        let sending = timeout(agents.connect, self.exchange(body));
        let response = tokio::select! {
            biased;
            sent = sending => sent.map_err(|_| failed(format!("dial tcp {address}: i/o timeout")))?.map_err(failed)?,
            () = told(&mut stopping) => return Err(Refusal::too_many_requests("the server is stopping", 1)),
        };
        Ok(Reply { response, agents, place })
    }

    async fn exchange(self, body: Bytes) -> Result<Response<Incoming>, String> {
        let Self { agents, address, name, path, method, headers } = self;
        let refused = |error: io::Error| {
            let why = match error.kind() {
                io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                _ => error.to_string(),
            };
            format!("dial tcp {address}: {why}")
        };
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(agents.tls);
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| format!("{address}: tls: {error}"))?;
        let told = |error: hyper::Error| format!("{address}: {error}");
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(told)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an agent ended");
            }
        });
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = path.parse().map_err(|error| format!("{path}: {error}"))?;
        *request.headers_mut() = headers;
        let host = HeaderValue::try_from(address.to_string()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
        if method == Method::POST && body.is_empty() {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        sender.send_request(request).await.map_err(told)
    }
}

impl Reply {
    /// The body, piece by piece, until it ends, nothing comes for too long, or the server stops.
    pub(super) fn stream(self, server: &Inner) -> BoxStream<'static, Bytes> {
        let Self { response, agents, place } = self;
        let mut stopping = server.stopping();
        let pieces = BodyDataStream::new(response.into_body());
        let stop = async move { told(&mut stopping).await };
        let pieces = pieces.take_until(Box::pin(stop));
        let all =
            futures_util::stream::unfold((pieces, place), move |(mut pieces, place)| async move {
                match timeout(agents.idle, pieces.next()).await {
                    Ok(Some(Ok(piece))) => Some((piece, (pieces, place))),
                    _ => None,
                }
            });
        all.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_nodes_are_called() {
        for (text, anywhere, here) in [
            ("10.0.0.1", true, true),
            ("203.0.113.9", true, true),
            ("fd00::1", true, true),
            ("127.0.0.1", false, true),
            ("127.9.9.9", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("::ffff:0.0.0.0", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("ff02::1", false, false),
        ] {
            let address = text.parse().unwrap();
            assert_eq!(
                (may_call(address, false), may_call(address, true)),
                (anywhere, here),
                "{text}"
            );
        }
    }
}
