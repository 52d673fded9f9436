// SPDX-License-Identifier: Apache-2.0
//! What the tests of the server share: a cluster in memory, requests without a socket, and the lines of a watch.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses a part of it; a cluster that cannot be set up is a failure of the test"
)]

pub mod attacked;

use berth_cluster_apiserver::{Answer, Body, Builder, Caller, Fixed, Server, read_meta};
use berth_cluster_auth::token::StaticTokens;
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use std::collections::VecDeque;
use std::sync::Arc;

/// When the tests' clock begins: 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;

/// A server over a store, and its clock.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub server: Server,
    pub store: Store,
    pub clock: Arc<Fixed>,
}

impl Cluster {
    /// One in memory, with the first namespaces and the namespace `t1`.
    pub async fn new() -> Self {
        Self::with(Store::memory(Options::default()), |builder| builder).await
    }

    /// One whose store is on disk: its commits take turns with other tasks, as those in memory do not.
    pub async fn on_disk(folder: &tempfile::TempDir) -> Self {
        let spec = format!("sled:{}", folder.path().display());
        let store = Store::open(&spec, read_meta(), Options::default()).unwrap();
        Self::with(store, |builder| builder).await
    }

    /// One over this store, of which a test wants something else than the default.
    pub async fn with(store: Store, change: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = Arc::new(Fixed::new(NOW, 7));
        let tokens = "ta,admin,1,system:masters\ntu,ute,2\ntv,vera,3,\"system:masters,x\"";
        let builder = Server::builder(store.clone())
            .environment(Arc::<Fixed>::clone(&clock))
            .tokens(StaticTokens::read(tokens).unwrap())
            // Pods of these tests come without ServiceAccounts.
            .without_admission(["ServiceAccount".to_owned()]);
        let server = change(builder).build();
        server.bootstrap().await.unwrap();
        let all = Self { server, store, clock };
        all.make("/api/v1/namespaces", json!({ "metadata": { "name": "t1" } })).await;
        all
    }

    /// A request as the administrator.
    pub fn admin(&self, method: &str, path: &str) -> Call {
        self.call(method, path).user("admin", &[MASTERS])
    }

    /// A request by nobody.
    pub fn call(&self, method: &str, path: &str) -> Call {
        let mut request = Request::new(Vec::new());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        Call { server: self.server.clone(), request }
    }

    /// What a path has.
    pub async fn get(&self, path: &str) -> Value {
        self.admin("GET", path).done(200).await
    }

    /// Creates an object; it has to work.
    pub async fn make(&self, path: &str, object: Value) -> Value {
        self.admin("POST", path).json(&object).done(201).await
    }

    /// A user may do what the rules say, in a namespace or (`""`) everywhere.
    pub async fn grant(&self, user: &str, namespace: &str, rules: Value) {
        let kinds = if namespace.is_empty() {
            ("clusterroles", "clusterrolebindings", "ClusterRole", String::new())
        } else {
            ("roles", "rolebindings", "Role", format!("/namespaces/{namespace}"))
        };
        let (roles, bindings, kind, place) = kinds;
        let base = format!("/apis/rbac.authorization.k8s.io/v1{place}");
        let name = json!({ "generateName": format!("of-{user}-") });
        let role = json!({ "metadata": name, "rules": rules });
        let role = self.make(&format!("{base}/{roles}"), role).await;
        let binding = json!({
            "metadata": name,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"],
            },
            "subjects": [{ "kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io" }],
        });
        self.make(&format!("{base}/{bindings}"), binding).await;
    }
}

/// A rule of a role over resources of the core group.
pub fn rule(resources: &[&str], verbs: &[&str]) -> Value {
    json!([{ "apiGroups": [""], "resources": resources, "verbs": verbs }])
}

/// A request that is put together.
#[derive(Debug)]
pub struct Call {
    server: Server,
    request: Request<Vec<u8>>,
}

impl Call {
    /// By a user of this process.
    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&one| one.to_owned()).collect();
        let user = User::authenticated(name, "", groups);
        self.request.extensions_mut().insert(Caller(user));
        self
    }

    /// By the holder of a token.
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: http::HeaderName = name.parse().unwrap();
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    /// With a body in JSON.
    pub fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string())
    }

    /// With a merge patch.
    pub fn merge(self, body: &Value) -> Self {
        self.bytes("application/merge-patch+json", body.to_string())
    }

    /// With any body.
    pub fn bytes(mut self, media: &str, body: impl Into<Vec<u8>>) -> Self {
        *self.request.body_mut() = body.into();
        self.header("content-type", media)
    }

    /// The answer, of which nothing is read yet.
    pub async fn answer(self) -> Answer {
        // All that a request may need is in its future, which is large.
        Box::pin(self.server.answer(self.request.map(|body| Full::new(Bytes::from(body))))).await
    }

    /// The whole answer.
    pub async fn reply(self) -> Reply {
        let (parts, body) = self.answer().await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The status of the answer.
    pub async fn status(self) -> u16 {
        self.reply().await.status
    }

    /// What the answer has, which has to be of this status.
    pub async fn done(self, status: u16) -> Value {
        let what = format!("{} {}", self.request.method(), self.request.uri());
        let reply = self.reply().await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        reply.value()
    }

    /// The events of a watch, which has to begin.
    pub async fn watch(self) -> Events {
        let answer = self.answer().await;
        assert_eq!(answer.status(), 200, "the watch begins");
        Events { body: answer.into_body(), rest: Vec::new(), lines: VecDeque::new() }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn warnings(&self) -> Vec<String> {
        let all = self.headers.get_all("warning").iter();
        all.map(|one| one.to_str().unwrap().to_owned()).collect()
    }
}

/// The lines of a watch.
#[derive(Debug)]
pub struct Events {
    body: Body,
    rest: Vec<u8>,
    lines: VecDeque<Value>,
}

impl Events {
    /// The next event; none at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let piece = self.body.frame().await?.unwrap().into_data().unwrap();
            self.rest.extend_from_slice(&piece);
            let mut lines: Vec<&[u8]> = self.rest.split(|byte| *byte == b'\n').collect();
            let rest = lines.pop().unwrap_or_default().to_vec();
            let read = |line: &&[u8]| serde_json::from_slice(line).expect("a line is an event");
            self.lines.extend(lines.iter().map(read));
            self.rest = rest;
        }
    }

    /// So many events.
    pub async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(self.next().await.expect("the watch goes on"));
        }
        all
    }

    /// All up to the end.
    pub async fn all(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        assert!(self.rest.is_empty(), "the last line has its end");
        all
    }

    /// What there is already, without waiting.
    pub fn ready(&mut self) -> Vec<Value> {
        use futures_util::FutureExt;
        let mut all = Vec::new();
        while let Some(Some(event)) = self.next().now_or_never() {
            all.push(event);
        }
        all
    }
}

/// Type, name and revision of an event.
pub fn brief(event: &Value) -> (String, String, u64) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &event["object"]["metadata"];
    (text(&event["type"]), text(&metadata["name"]), revision(&event["object"]))
}

/// The revision of an object.
pub fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse().unwrap_or(0)
}

/// A pod that is valid.
pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    })
}

/// A ConfigMap with a text.
pub fn config(name: &str, text: &str) -> Value {
    json!({ "metadata": { "name": name }, "data": { "text": text } })
}

/// What a body has at once, which may have no end.
pub fn start_of(mut body: Body) -> String {
    use futures_util::FutureExt;
    let mut all = Vec::new();
    while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
        all.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A small generator: one seed, one sequence (splitmix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let place = usize::try_from(self.below(of.len() as u64)).unwrap();
        of[place]
    }
}
