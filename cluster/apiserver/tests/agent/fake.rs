// SPDX-License-Identifier: Apache-2.0
//! An agent that runs commands of this machine in place of containers, and a cluster that has it as a node.

use crate::kit::Cluster;
use crate::place::{Place, now};
use berth_cluster_apiserver::{Agents, Listener, Times};
use berth_cluster_auth::pki::{Options, Pki};
use berth_cluster_json::{Value, json};
use berth_cluster_stream::{Exec, Forward, Outcome, Refused, Streams, exec, forward};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Body = BoxBody<Bytes, Infallible>;

/// What an agent was asked, and what became of its sessions.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Mutex<Vec<String>>,
    pub(crate) gone: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn last(&self) -> String {
        self.requests.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// A place whose node `n1` has an agent; pods `p` (of one container) and `two` run on it.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) seen: Arc<Seen>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Times::default(), Agents::allow_loopback).await
    }

    pub(crate) async fn with(times: Times, change: impl FnOnce(Agents) -> Agents) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), now()).unwrap();
        let pair = pki.issue_client("kube-apiserver-kubelet-client", "", now()).unwrap();
        let agents = Agents::new(pki.ca_pem(), &pair.certificate, &pair.key).unwrap();
        let store = berth_cluster_store::Store::memory(berth_cluster_store::Options::default());
        let cluster = Cluster::with(store, |builder| builder.agents(change(agents))).await;
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let tls = pki.server_config().unwrap();
        let listening = listener.times(times).serve(cluster.server.clone(), tls);
        let seen = Arc::new(Seen::default());
        let port = agent(&pki, Arc::clone(&seen)).await.port();
        let place = Place { cluster, pki, folder, listening, address };
        let world = Self { place, seen };
        world.node("n1", "127.0.0.1", port).await;
        world.pod("p", "n1", &["main"]).await;
        world.pod("two", "n1", &["a", "b"]).await;
        world
    }

    pub(crate) async fn node(&self, name: &str, address: &str, port: u16) {
        let cluster = &self.place.cluster;
        cluster.make("/api/v1/nodes", json!({ "metadata": { "name": name } })).await;
        let status = json!({ "status": {
            "addresses": [{ "type": "Hostname", "address": "nowhere.invalid" }, { "type": "InternalIP", "address": address }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        } });
        patch(cluster, &format!("/api/v1/nodes/{name}/status"), &status).await;
    }

    pub(crate) async fn pod(&self, name: &str, node: &str, containers: &[&str]) {
        let cluster = &self.place.cluster;
        let path = "/api/v1/namespaces/t1/pods";
        let list: Vec<Value> =
            containers.iter().map(|name| json!({ "name": name, "image": "i" })).collect();
        let pod = json!({ "metadata": { "name": name }, "spec": { "containers": list } });
        cluster.make(path, pod).await;
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "kind": "Node", "name": node },
        });
        cluster.make(&format!("{path}/{name}/binding"), binding).await;
        let statuses: Vec<Value> = containers
            .iter()
            .map(|name| {
                json!({
                    "name": name, "ready": true, "restartCount": 0, "image": "i", "imageID": "i",
                    "state": { "running": { "startedAt": "2027-01-15T08:00:00Z" } },
                })
            })
            .collect();
        let ready = json!({ "type": "Ready", "status": "True" });
        let status = json!({ "status": {
            "phase": "Running", "conditions": [ready], "containerStatuses": statuses,
        } });
        patch(cluster, &format!("{path}/{name}/status"), &status).await;
    }
}

async fn patch(cluster: &Cluster, path: &str, value: &Value) {
    cluster.admin("PATCH", path).merge(value).done(200).await;
}

/// Starts one; where it listens.
async fn agent(pki: &Pki, seen: Arc<Seen>) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let tls = TlsAcceptor::from(Arc::new(pki.server_config().unwrap()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let (tls, seen) = (tls.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let named = stream.get_ref().1.peer_certificates().is_some();
                let service = service_fn(move |request| {
                    let answer = answer(request, Arc::clone(&seen), named);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    address
}

fn whole(status: u16, text: &str) -> Response<Body> {
    let body = Full::from(text.to_owned()).boxed();
    Response::builder().status(status).header("set-cookie", "a=b").body(body).unwrap()
}

fn boxed(response: Response<Full<Bytes>>) -> Response<Body> {
    response.map(BodyExt::boxed)
}

async fn answer(mut request: Request<Incoming>, seen: Arc<Seen>, named: bool) -> Response<Body> {
    let mut line = format!("{} {}", request.method(), request.uri());
    for name in ["authorization", "cookie", "impersonate-user", "x-other"] {
        if request.headers().contains_key(name) {
            line = format!("{line} {name}!");
        }
    }
    seen.requests.lock().unwrap().push(line);
    if !named {
        return whole(401, "who are you?");
    }
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let first = path.split('/').nth(1).unwrap_or_default();
    match (first, &*query) {
        (_, query) if query.contains("redirect") => Response::builder()
            .status(302)
            .header("location", "https://169.254.169.254/")
            .body(Full::default().boxed())
            .unwrap(),
        (_, query) if query.contains("refuse") => whole(403, "not with me"),
        (_, query) if query.contains("flood") => whole(500, &"x".repeat(1 << 20)),
        (_, query) if query.contains("switch") => Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", "x")
            .header("sec-websocket-protocol", "v9.channel.k8s.io")
            .body(Full::default().boxed())
            .unwrap(),
        ("containerLogs", query) if query.contains("follow") => follow(),
        ("containerLogs", query) if query.contains("previous") => {
            whole(400, "previous terminated container \"main\" in pod \"p\" not found")
        }
        ("containerLogs", _) => whole(200, "one\ntwo\n"),
        ("exec" | "attach", _) => {
            boxed(run(&mut request, seen).unwrap_or_else(|refused| refused.response()))
        }
        ("portForward", _) => match forward(&mut request, berth_cluster_stream::Times::default()) {
            Err(refused) => boxed(refused.response()),
            Ok((response, upgrade)) => {
                tokio::spawn(async move { ports(upgrade.session().await.unwrap()).await });
                boxed(response)
            }
        },
        ("stats", _) => {
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            whole(200, &format!("stats of {} bytes", bytes.len()))
        }
        _ => whole(404, "404 page not found"),
    }
}

/// Lines, one each few milliseconds, without an end.
fn follow() -> Response<Body> {
    let lines = stream::unfold(0, |at| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let line = Bytes::from(format!("line {at}\n"));
        Some((Ok::<_, Infallible>(Frame::data(line)), at + 1))
    });
    Response::new(BodyExt::boxed(StreamBody::new(Box::pin(SyncStream(Mutex::new(Box::pin(
        lines,
    )))))))
}

/// A body has to be shared by threads; a stream of tasks need not be.
struct SyncStream<S>(Mutex<std::pin::Pin<Box<S>>>);

impl<S: stream::Stream> stream::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.lock().unwrap().as_mut().poll_next(context)
    }
}

fn run(request: &mut Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Full<Bytes>>, Refused> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let streams = Streams::parse(&query)?;
    let pairs = query.split('&').filter_map(|pair| pair.strip_prefix("command="));
    let command: Vec<String> = pairs
        .map(|word| {
            let word = word.replace('+', " ");
            let bytes: Vec<u8> = decode(&word);
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    let times = berth_cluster_stream::Times::default();
    let (response, upgrade) = exec(request, streams, times)?;
    tokio::spawn(async move {
        let session = upgrade.session().await;
        match session {
            Ok(session) => process(session, command, seen).await,
            Err(error) => seen.gone.lock().unwrap().push(error.to_string()),
        }
    });
    Ok(response)
}

fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

async fn process(mut session: Exec, command: Vec<String>, seen: Arc<Seen>) {
    let words = if command.is_empty() { vec!["cat".to_owned()] } else { command };
    let child = tokio::process::Command::new(&words[0])
        .args(&words[1..])
        .stdin(if session.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let why = format!("error executing command in container: {error}");
            session.control.finish(Outcome::Failed(why)).await;
            return;
        }
    };
    if let (Some(mut from), Some(mut to)) = (session.stdin.take(), child.stdin.take()) {
        tokio::spawn(async move { copy(&mut from, &mut to).await });
    }
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut stdout, mut stderr) = (session.stdout.take(), session.stderr.take());
    let outputs = async {
        let out = async {
            if let Some(to) = &mut stdout {
                let _ = copy(&mut out, to).await;
            }
        };
        let err = async {
            if let Some(to) = &mut stderr {
                let _ = copy(&mut err, to).await;
            }
        };
        tokio::join!(out, err);
        child.wait().await.unwrap().code().unwrap_or(137)
    };
    tokio::select! {
        code = outputs => { session.control.finish(Outcome::Exit(code)).await; }
        gone = session.control.gone() => seen.gone.lock().unwrap().push(gone.to_string()),
    }
}

/// Forwards to ports of this machine.
async fn ports(mut session: Forward) {
    while let Some(mut one) = session.next().await {
        tokio::spawn(async move {
            match TcpStream::connect(("127.0.0.1", one.port)).await {
                Ok(mut stream) => {
                    let _ = copy_bidirectional(&mut stream, &mut one.data).await;
                }
                Err(error) => {
                    let text =
                        format!("error forwarding port {} to pod p, uid : {error}", one.port);
                    let _ = one.error.write_all(text.as_bytes()).await;
                }
            }
        });
    }
    session.finish().await;
}
