// SPDX-License-Identifier: Apache-2.0
//! What of a pod and a node only the node's agent can answer: logs, ways into containers, and the agent's own pages.
//!
//! A request that is allowed becomes a new one, of which only what is named here goes on ([`options`], [`headers`]); one connection is
//! made for it, to the address that was checked ([`dial`]); and bytes are passed on both ways only once the agent has switched to a
//! protocol that the client asked for ([`splice`]). A simulated node has no agent: who asks is told so, and why.

mod config;
mod dial;
mod headers;
mod messages;
mod options;
mod splice;

use crate::answer::{Answer, Body, typed};
use crate::object;
use crate::path::Resource;
use crate::query::Query;
use crate::server::Inner;
use crate::shape::parse;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_auth::rbac::Attributes;
use berth_cluster_auth::user::User;
use bytes::Bytes;
pub use config::{Agents, AgentsError};
use dial::Call;
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

/// The label of nodes that exist in the API only.
const SIMULATED: &str = "berth.dev/simulated";
/// Bytes of an agent's answer that is handed on as a message.
const MESSAGE_MAX: usize = 64 << 10;

/// What is asked of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Log,
    Exec,
    Attach,
    Forward,
    Proxy,
}

impl Way {
    fn of(target: &Resource) -> Option<Self> {
        if !target.group.is_empty()
            || target.version != "v1"
            || target.name.is_empty()
            || target.watch
        {
            return None;
        }
        let pods =
            target.resource == "pods" && !target.namespace.is_empty() && target.rest.is_empty();
        match target.subresource.as_str() {
            "log" if pods => Some(Self::Log),
            "exec" if pods => Some(Self::Exec),
            "attach" if pods => Some(Self::Attach),
            "portforward" if pods => Some(Self::Forward),
            "proxy" if target.resource == "nodes" && target.namespace.is_empty() => {
                Some(Self::Proxy)
            }
            _ => None,
        }
    }

    /// What a simulated node lacks.
    fn nothing(self) -> &'static str {
        match self {
            Self::Log => "there is no log",
            Self::Exec => "there is nothing that a command could be run in",
            Self::Attach => "there is nothing to attach to",
            Self::Forward => "there is no port to forward to",
            Self::Proxy => "there is no agent",
        }
    }
}

/// Whether a path is for an agent.
pub(crate) fn concerns(target: &Resource) -> bool {
    Way::of(target).is_some()
}

/// A request for an agent, which is allowed as far as its method goes.
pub(crate) struct Request<'a> {
    pub(crate) parts: Parts,
    pub(crate) user: &'a User,
    pub(crate) target: &'a Resource,
    pub(crate) query: &'a Query,
}

/// Answers a request that is for an agent. `body` is read for pages of agents only.
pub(crate) async fn serve(
    server: &Arc<Inner>,
    mut request: Request<'_>,
    body: impl Future<Output = Result<Bytes, Refusal>>,
) -> Result<Answer, Refusal> {
    let Some(way) = Way::of(request.target) else { return Err(Refusal::no_such_path()) };
    let method = request.parts.method.clone();
    let known = match way {
        Way::Log => [Method::GET, Method::HEAD].contains(&method),
        Way::Exec | Way::Attach | Way::Forward => [Method::GET, Method::POST].contains(&method),
        Way::Proxy => true,
    };
    if !known {
        return Err(Refusal::method_not_allowed());
    }
    let mut upgrade = request.parts.extensions.remove::<OnUpgrade>();
    let upgraded = headers::upgrade(&request.parts.headers);
    // What is done through a connection that changes its protocol is not reading, whatever the method: a role that may `get` must not
    // run commands. A log is only read, however it comes.
    let streams = way != Way::Log && (way != Way::Proxy || upgraded.is_some());
    let socket = way == Way::Log && upgraded == Some(headers::Upgrade::WebSocket);
    let socket = match upgrade.take_if(|_| socket) {
        Some(client) => Some((messages::agree(&request.parts.headers)?, client)),
        None => None,
    };
    if streams && method != Method::POST {
        may_create(server, &request)?;
    }
    let call = match way {
        Way::Proxy => node_call(server, &request).await?,
        _ => pod_call(server, &request, way).await?,
    };
    if way == Way::Log {
        // The agent has logs as pages only.
        request.parts.headers.remove(http::header::UPGRADE);
    }
    let call = call.with(method, &request.parts.headers);
    if streams {
        let Some((upgrade, wanted)) = upgrade.zip(upgraded) else {
            return Err(Refusal::bad_request("Upgrade request required"));
        };
        return splice::serve(server, call, upgrade, wanted, &request.parts).await;
    }
    let body = if way == Way::Proxy { body.await? } else { Bytes::new() };
    let answer = call.send(server, body).await?;
    if way != Way::Log {
        return page(server, answer);
    }
    if let Some((agreed, client)) = socket
        && answer.response.status() == StatusCode::OK
    {
        return Ok(messages::serve(agreed, client, answer.stream(server), &request.parts));
    }
    log(server, answer, request.target).await
}

fn may_create(server: &Inner, request: &Request<'_>) -> Result<(), Refusal> {
    let target = request.target;
    server.authorize(&Attributes {
        version: &target.version,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
        ..Attributes::resource(request.user, "create", &target.group, &target.resource)
    })
}

/// What is asked of the agent of a pod's node.
async fn pod_call(server: &Inner, request: &Request<'_>, way: Way) -> Result<Call, Refusal> {
    let (target, query) = (request.target, request.query);
    if way == Way::Log {
        options::check_log(query, &target.name)?;
    }
    let name = &target.name;
    let resources = server.resources();
    let kind = resources.find("", "v1", "pods").ok_or_else(Refusal::no_such_path)?;
    let found = server.store.latest(&object::key(kind, &target.namespace, name));
    let pod = parse(&found.ok_or_else(|| Refusal::not_found("", "pods", name))?.bytes)?;
    let node = pod.get("spec").and_then(|spec| spec["nodeName"].as_str()).unwrap_or_default();
    if node.is_empty() {
        // Upstream's sentence.
        return Err(Refusal::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let found = node_object(server, node)?;
    if is_simulated(found.as_ref()) {
        let nothing = way.nothing();
        return Err(not_implemented(format!(
            "pod {name} is on the simulated node {node}, where nothing runs: {nothing}"
        )));
    }
    let agents = server.agents.as_ref().ok_or_else(|| {
        not_implemented(format!(
            "pod {name} is on node {node}, and this server does not call agents of nodes"
        ))
    })?;
    let path = match way {
        Way::Forward => options::forward(&pod, &target.namespace, name, query)?,
        Way::Log => options::log(&pod, &target.namespace, name, query)?,
        Way::Exec => options::run("exec", &pod, &target.namespace, name, query)?,
        Way::Attach | Way::Proxy => options::run("attach", &pod, &target.namespace, name, query)?,
    };
    dial::call(agents, node, found.as_ref(), path).await
}

/// A page of a node's agent.
async fn node_call(server: &Inner, request: &Request<'_>) -> Result<Call, Refusal> {
    let node = &request.target.name;
    let found = node_object(server, node)?.ok_or_else(|| Refusal::not_found("", "nodes", node))?;
    let found = Some(found);
    if is_simulated(found.as_ref()) {
        let nothing = Way::Proxy.nothing();
        return Err(not_implemented(format!("node {node} is simulated: {nothing}")));
    }
    let agents = server
        .agents
        .as_ref()
        .ok_or_else(|| not_implemented("this server does not call agents of nodes".to_owned()))?;
    let query = request.parts.uri.query().unwrap_or_default();
    dial::call(agents, node, found.as_ref(), options::page(&request.target.rest, query)).await
}

fn node_object(server: &Inner, node: &str) -> Result<Option<Map>, Refusal> {
    server.store.latest(&format!("nodes/{node}")).map(|node| parse(&node.bytes)).transpose()
}

fn is_simulated(node: Option<&Map>) -> bool {
    let metadata = node.and_then(|node| node.get("metadata"));
    metadata.is_some_and(|metadata| metadata["labels"][SIMULATED] == "true")
}

fn not_implemented(why: String) -> Refusal {
    Refusal::new(501, "NotImplemented", why)
}

/// A log, as it comes; what else the agent says, in upstream's words.
async fn log(server: &Inner, answer: dial::Reply, target: &Resource) -> Result<Answer, Refusal> {
    let status = answer.response.status();
    if status == StatusCode::OK {
        return Ok(typed(status, "text/plain", Body::Stream(answer.stream(server))));
    }
    let words = answer.words().await?;
    Err(match status.as_u16() {
        400 => Refusal::bad_request(words),
        404 => {
            let name = &target.name;
            let text =
                format!("the server could not find the requested resource ( pods/log {name})");
            Refusal::new(404, "NotFound", text)
        }
        500 => Refusal::internal(words),
        code => Refusal::new(if code < 400 { 502 } else { code }, "", words),
    })
}

/// A page of an agent, as it comes. A redirect would lead the client elsewhere with what it holds.
fn page(server: &Inner, answer: dial::Reply) -> Result<Answer, Refusal> {
    let status = answer.response.status();
    if status.is_redirection() || status.is_informational() {
        return Err(Refusal::new(502, "BadGateway", format!("the agent answered with {status}")));
    }
    let media = answer.response.headers().get(http::header::CONTENT_TYPE).cloned();
    let mut page = typed(status, "text/plain", Body::Stream(answer.stream(server)));
    if let Some(media) = media {
        page.headers_mut().insert(http::header::CONTENT_TYPE, media);
    }
    Ok(page)
}

impl dial::Reply {
    /// The body as a message, cut off where it is too long.
    async fn words(self) -> Result<String, Refusal> {
        let body = http_body_util::Limited::new(self.response.into_body(), MESSAGE_MAX).collect();
        let bytes = tokio::time::timeout(self.agents.connect, body).await;
        let bytes = match bytes {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::from_static(b"the agent's answer is too long or was cut off"),
        };
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}
