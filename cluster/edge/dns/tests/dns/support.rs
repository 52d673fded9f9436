// SPDX-License-Identifier: Apache-2.0
//! An apiserver that lists and watches what a test says, and can go away; and a client of DNS.

use berth_cluster_client::Api;
use berth_cluster_edge_dns::{Follower, Limits, Live, Options, Server, Settings, Stats, follow};
use bytes::Bytes;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, Record};
use http::{Request, Response};
use http_body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// After this something hangs.
pub(crate) const HANGS: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Objects {
    revision: u64,
    away: bool,
    /// By plural, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    watches: Vec<(String, UnboundedSender<String>)>,
}

/// The apiserver.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Objects>>);

/// An answer: a text, or lines until the server goes away.
pub(crate) enum Lines {
    Text(Option<String>),
    Watch(UnboundedReceiver<String>),
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let text = match &mut *self {
            Self::Text(text) => Poll::Ready(text.take()),
            Self::Watch(lines) => lines.poll_recv(context),
        };
        text.map(|text| text.map(|text| Ok(Frame::data(text.into()))))
    }
}

impl tower_service::Service<Request<Body>> for Fake {
    type Response = Response<Lines>;
    type Error = io::Error;
    type Future = Ready<Result<Response<Lines>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut state = self.0.lock().unwrap();
        if state.away {
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let plural = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default();
        if query.contains("watch=true") {
            let (send, receive) = unbounded_channel();
            // Nothing happens between a list and its watch that the watch would not tell: tests wait for answers.
            let from: u64 = query
                .split('&')
                .find_map(|part| part.strip_prefix("resourceVersion="))
                .map_or(0, |revision| revision.parse().unwrap());
            for ((of, ..), object) in &state.objects {
                let revision: u64 =
                    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                if *of == plural && revision > from {
                    send.send(line("MODIFIED", object)).unwrap();
                }
            }
            state.watches.push((plural, send));
            return ready(Ok(Response::new(Lines::Watch(receive))));
        }
        let items: Vec<_> =
            state.objects.iter().filter(|(key, _)| key.0 == plural).map(|(_, one)| one).collect();
        let list =
            json!({"metadata": {"resourceVersion": state.revision.to_string()}, "items": items});
        ready(Ok(Response::new(Lines::Text(Some(list.to_string())))))
    }
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

impl Fake {
    /// An object is so.
    pub(crate) fn set(&self, plural: &str, namespace: &str, name: &str, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.revision += 1;
        let revision = state.revision.to_string();
        for (key, value) in [
            ("namespace", namespace),
            ("name", name),
            ("uid", &format!("{plural}/{namespace}/{name}")),
            ("resourceVersion", &revision),
        ] {
            object["metadata"][key] = json!(value);
        }
        let key = [plural, namespace, name].map(str::to_owned);
        let known = state.objects.insert(key.into(), object.clone()).is_some();
        tell(&mut state, plural, &line(if known { "MODIFIED" } else { "ADDED" }, &object));
    }

    /// An object is gone.
    pub(crate) fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let mut state = self.0.lock().unwrap();
        state.revision += 1;
        let key = [plural, namespace, name].map(str::to_owned);
        let mut object = state.objects.remove(&key.into()).unwrap();
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        tell(&mut state, plural, &line("DELETED", &object));
    }

    /// It goes away, with all its connections; or comes back.
    pub(crate) fn away(&self, away: bool) {
        let mut state = self.0.lock().unwrap();
        state.away = away;
        state.watches.clear();
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(kube::Client::new(self.clone(), "default"))
    }

    pub(crate) fn service(&self, name: &str, spec: &Value) {
        self.set("services", "default", name, json!({"spec": spec}));
    }

    pub(crate) fn slice(&self, name: &str, service: &str, endpoints: &Value) {
        let labels = json!({"labels": {"kubernetes.io/service-name": service}});
        let ports = json!([{"name": "p", "port": 80, "protocol": "TCP"}]);
        self.set(
            "endpointslices",
            "default",
            name,
            json!({"metadata": labels, "endpoints": endpoints, "ports": ports}),
        );
    }

    /// With a namespace, a service `web`, a headless one `many` of 100 endpoints, and aliases to `www.example.org` and to nowhere.
    pub(crate) fn filled() -> Self {
        let fake = Self::default();
        fake.set("namespaces", "", "default", json!({}));
        fake.service(
            "web",
            &json!({"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80}]}),
        );
        fake.service("many", &json!({"clusterIP": "None", "ports": [{"name": "p", "port": 80}]}));
        let one = |at: u8| json!({"addresses": [format!("10.1.0.{at}")], "hostname": format!("many-{at}")});
        fake.slice("many-1", "many", &(0..100).map(one).collect());
        fake.service("out", &json!({"type": "ExternalName", "externalName": "www.example.org"}));
        fake
    }
}

fn tell(state: &mut Objects, plural: &str, line: &str) {
    state.watches.retain(|(of, to)| of != plural || to.send(line.to_owned()).is_ok());
}

/// A server that runs, and what it lives on.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<Stats>,
    pub(crate) live: Arc<Live>,
    pub(crate) fake: Fake,
    task: JoinHandle<()>,
    pub(crate) follower: Option<Follower>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        ranges: ["10.96.0.0/16", "10.1.0.0/16"].map(|one| one.parse().unwrap()).to_vec(),
        addresses: vec!["10.96.0.10".parse().unwrap()],
        ..Settings::default()
    }
}

/// Starts a server on the loopback, which follows this apiserver.
pub(crate) fn start(
    fake: Fake,
    settings: Settings,
    upstreams: Vec<SocketAddr>,
    limits: Limits,
) -> Running {
    let live = Live::new(settings).unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let options = Options { listen, upstreams, limits, ..Options::default() };
    let server = Server::bind(&options, Arc::clone(&live)).unwrap();
    let (address, stats) = (server.addresses()[0], server.stats());
    let follower = Some(follow(&fake.api(), Arc::clone(&live), 7));
    let task = tokio::spawn(server.run());
    Running { address, stats, live, fake, task, follower }
}

/// The same, once it is ready.
pub(crate) async fn ready_server(upstreams: Vec<SocketAddr>, limits: Limits) -> Running {
    let running = start(Fake::filled(), settings(), upstreams, limits);
    until("the zone is ready", || running.live.is_ready()).await;
    running
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANGS, wait).await.unwrap_or_else(|_| panic!("it never holds that {what}"));
}

pub(crate) fn query(id: u16, name: &str, kind: &str, payload: Option<u16>) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind.parse().unwrap()));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

/// Sends a packet, and waits for one.
pub(crate) async fn exchange(address: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket.send(packet).await.unwrap();
    let mut buffer = vec![0; 70_000];
    let count = timeout(HANGS, socket.recv(&mut buffer)).await.expect("an answer").unwrap();
    buffer.truncate(count);
    buffer
}

/// Asks over UDP.
pub(crate) async fn ask(address: SocketAddr, name: &str, kind: &str) -> Message {
    let query = query(0x4242, name, kind, Some(1_232)).to_vec().unwrap();
    let answer = Message::from_vec(&exchange(address, &query).await).unwrap();
    assert_eq!(answer.metadata.id, 0x4242);
    answer
}

/// Code and data of the answers, in order of the text.
pub(crate) fn shown(message: &Message) -> String {
    let mut data: Vec<_> =
        message.answers.iter().map(|one: &Record| one.data.to_string()).collect();
    data.sort();
    match message.metadata.response_code {
        ResponseCode::NoError => data.join(" "),
        code => format!("{code:?} {}", data.join(" ")).trim_end().to_owned(),
    }
}

/// Asks until the answer is this.
pub(crate) async fn until_answer(address: SocketAddr, name: &str, kind: &str, want: &str) {
    let wait = async {
        while shown(&ask(address, name, kind).await) != want {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANGS, wait).await.unwrap_or_else(|_| panic!("{name} {kind} never is {want}"));
}

pub(crate) async fn write_tcp(stream: &mut TcpStream, packet: &[u8]) {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], packet].concat()).await.unwrap();
}

/// The next message of a connection; none if it was closed.
pub(crate) async fn read_tcp(stream: &mut TcpStream) -> Option<Message> {
    let read = async {
        let length = stream.read_u16().await.ok()?;
        let mut buffer = vec![0; usize::from(length)];
        stream.read_exact(&mut buffer).await.ok()?;
        Some(Message::from_vec(&buffer).unwrap())
    };
    timeout(HANGS, read).await.expect("an answer or an end")
}
