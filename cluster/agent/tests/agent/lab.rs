// SPDX-License-Identifier: Apache-2.0
//! What the tests stand on: an engine, a server, and nodes.

use berth_balancer_testkit as testkit;
use berth_cluster_agent::{Agent, Running, Settings, Stop};
use berth_cluster_apiserver::{Answer, Caller, Server};
use berth_cluster_auth::token::{Issuer, SigningKey};
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::{Api, Media};
use berth_cluster_docker::{Address, Agent as Name, Engine, ImageFiles};
use berth_cluster_store::{Options, Store};
use http::Request;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower_service::Service;

/// Nothing here takes as long.
pub(crate) const HANG: Duration = Duration::from_mins(1);
/// The image with a shell.
pub(crate) const SHELL: &str = "berth.test/shell:1";
/// The node that most tests share.
pub(crate) const NODE: &str = "node";
/// Their namespace.
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// An engine, and a folder that it sees as the agents do, with what is mounted below.
pub(crate) struct Bare {
    pub(crate) docker: Mutex<testkit::Engine>,
    shared: Shared,
}

/// A folder whose mounts show in namespaces that were made after it.
struct Shared(tempfile::TempDir);

impl Drop for Shared {
    fn drop(&mut self) {
        let path = self.0.path().display();
        let line = format!("grep -o ' {path}[^ ]*' /proc/mounts | sort -r | xargs -r umount -l");
        drop(testkit::run("sh", &["-c", &line]));
    }
}

impl Bare {
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().display();
        let line = format!("mount --bind {path} {path}; mount --make-shared {path}");
        testkit::run("sh", &["-ec", &line]).expect("root may");
        let options: Vec<&str> = ["--bridge", "none"].iter().chain(options).copied().collect();
        Self { shared: Shared(folder), docker: Mutex::new(testkit::Engine::start(&options)) }
    }

    /// The namespace that the engine lives in. Threads that are started inside stay inside: pods are reached from there, as on a node.
    pub(crate) fn inside(&self) -> testkit::Space {
        let file = self.docker.lock().unwrap().folder.path().join("pid");
        let pid = std::fs::read_to_string(file).unwrap();
        testkit::Space::of(pid.trim().parse().unwrap())
    }
}

pub(crate) struct Lab {
    pub(crate) admin: Api,
    server: Server,
    address: Address,
    folder: std::path::PathBuf,
    nodes: AtomicU8,
    node: Option<Running>,
}

impl Lab {
    pub(crate) async fn start(bare: &Bare) -> Self {
        let server = server().await;
        let user = User::authenticated("admin", "", vec![MASTERS.to_owned()]);
        let admin = Api::within(server.clone(), Caller(user));
        let socket = bare.docker.lock().unwrap().folder.path().join("sock");
        let address = Address::Socket(socket);
        let folder = bare.shared.0.path().to_owned();
        let loader = Name::new("loader").unwrap();
        let engine = Engine::wait(&address, loader, |_| {}).await.unwrap();
        load_shell(&engine).await;
        let nodes = AtomicU8::new(0);
        let mut lab = Self { admin, server, address, folder, nodes, node: None };
        lab.make(
            "/api/v1/namespaces/default/serviceaccounts",
            json!({"metadata": {"name": "default"}}),
        )
        .await;
        lab.node = Some(Agent::start(lab.settings(NODE)).await.unwrap());
        lab
    }

    pub(crate) async fn stop(self) {
        self.node.unwrap().stop(Stop::Remove { grace: Duration::from_secs(5) }).await;
    }

    /// What a new node is told.
    pub(crate) fn settings(&self, name: &str) -> Settings {
        let number = self.nodes.fetch_add(1, Ordering::SeqCst) + 1;
        let api = Api::within(self.server.clone(), node(name));
        let range = format!("10.98.{number}.0/24").parse().unwrap();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut settings = Settings::new(name, address, api, self.address.clone(), range);
        settings.root = self.folder.join(name);
        settings.bridge = format!("bt{number}");
        settings.cluster_dns = vec!["10.96.0.10".to_owned()];
        settings
    }

    /// What a new node is told whose way to the server can be shut.
    pub(crate) fn settings_with_door(&self, name: &str) -> (Settings, Door) {
        let door = Door { server: self.server.clone(), open: Arc::new(AtomicBool::new(true)) };
        let mut settings = self.settings(name);
        settings.api = Api::within(door.clone(), node(name));
        (settings, door)
    }

    /// The engine as an agent of that name sees it.
    pub(crate) async fn engine_of(&self, node: &str) -> Engine {
        Engine::connect(&self.address, Name::new(node).unwrap()).await.unwrap()
    }

    pub(crate) async fn make(&self, path: &str, object: Value) -> Value {
        let made = self.admin.post(path, object.to_string().into()).await.unwrap();
        serde_json::from_slice(&made).unwrap()
    }

    /// A pod on a node.
    pub(crate) async fn pod_on(&self, node: &str, name: &str, mut spec: Value) -> Value {
        spec["nodeName"] = node.into();
        self.make(PODS, json!({"metadata": {"name": name}, "spec": spec})).await
    }

    pub(crate) async fn pod(&self, name: &str, spec: Value) -> Value {
        self.pod_on(NODE, name, spec).await
    }

    pub(crate) async fn find(&self, path: &str) -> Option<Value> {
        match self.admin.get(path).await {
            Ok(found) => Some(serde_json::from_slice(&found).unwrap()),
            Err(error) if error.code() == Some(404) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until a pod is so, and gives it.
    pub(crate) async fn until(&self, pod: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let (begun, path) = (Instant::now(), format!("{PODS}/{pod}"));
        loop {
            let found = self.find(&path).await.unwrap_or_default();
            if is(&found) {
                return found;
            }
            assert!(begun.elapsed() < HANG, "{pod} never is {what}: {:#}", found["status"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn ready(&self, pod: &str) -> Value {
        self.until(pod, "ready", |pod| condition(pod, "Ready") == "True").await
    }

    pub(crate) async fn ended(&self, pod: &str) -> Value {
        let ended = |pod: &Value| {
            ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default())
        };
        self.until(pod, "over", ended).await
    }

    /// Deletes a pod, and waits until it is gone. Gives how long it took.
    pub(crate) async fn delete(&self, pod: &str) -> Duration {
        let begun = Instant::now();
        self.admin.delete(&format!("{PODS}/{pod}"), None).await.unwrap();
        self.until(pod, "gone", Value::is_null).await;
        begun.elapsed()
    }

    pub(crate) async fn patch(&self, path: &str, patch: Value) {
        self.admin.patch(path, Media::Merge, patch.to_string().into()).await.unwrap();
    }

    /// Waits for an event about a pod.
    pub(crate) async fn told(&self, pod: &str, reason: &str) -> Value {
        let path = "/api/v1/namespaces/default/events";
        let begun = Instant::now();
        loop {
            let all = self.find(path).await.unwrap();
            let is = |event: &&Value| {
                event["involvedObject"]["name"] == pod && event["reason"] == reason
            };
            if let Some(event) = all["items"].as_array().unwrap().iter().find(is) {
                return event.clone();
            }
            assert!(begun.elapsed() < HANG, "{pod} is never told {reason}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The agent of a node.
fn node(name: &str) -> Caller {
    let user = format!("system:node:{name}");
    Caller(User::authenticated(&user, "", vec!["system:nodes".to_owned()]))
}

/// A way to the server that can be shut: then nothing that is asked has an answer.
#[derive(Clone)]
pub(crate) struct Door {
    server: Server,
    open: Arc<AtomicBool>,
}

impl Door {
    pub(crate) fn set(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

impl<B> Service<Request<B>> for Door
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Answer;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            if door.open.load(Ordering::SeqCst) {
                return Ok(door.server.answer(request).await);
            }
            Err(std::io::Error::other("the server is away"))
        })
    }
}

async fn server() -> Server {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = SigningKey::from_pkcs8(key.as_ref()).unwrap();
    let issuer = Issuer::new("https://berth.test", key, Vec::new());
    // Pods come without the volume of their ServiceAccount: there are no controllers that make what is in it.
    let without = ["ServiceAccount".to_owned()];
    let builder = Server::builder(Store::memory(Options::default()));
    let server = builder.issuer(issuer).without_admission(without).build();
    server.bootstrap().await.unwrap();
    server
}

async fn load_shell(engine: &Engine) {
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let tools = [
        "sh", "cat", "sleep", "grep", "ps", "hostname", "touch", "rm", "test", "wget", "dd",
        "true", "false", "env", "nc", "httpd", "kill", "ls", "tail", "echo", "wc", "seq",
    ];
    let image = ImageFiles {
        reference: SHELL.to_owned(),
        files: vec![("bin/busybox".to_owned(), 0o755, busybox)],
        links: tools.map(|tool| (format!("bin/{tool}"), "busybox".to_owned())).into(),
        folders: [("tmp", 0o1777), ("etc", 0o755), ("bin", 0o755)]
            .map(|(path, rights)| (path.to_owned(), rights))
            .into(),
        env: vec!["PATH=/bin".to_owned()],
        ..ImageFiles::default()
    };
    engine.load_image(image.archive().unwrap()).await.unwrap();
}

/// A container that runs a line of shell.
pub(crate) fn shell(name: &str, line: &str) -> Value {
    json!({"name": name, "image": SHELL, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", line]})
}

/// A pod of these containers, which ends fast.
pub(crate) fn spec(containers: &[Value]) -> Value {
    json!({"containers": containers, "terminationGracePeriodSeconds": 1})
}

pub(crate) fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let all = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = all.iter().find(|one| one["type"] == kind);
    one.and_then(|one| one["status"].as_str()).unwrap_or_default()
}

/// The status of a container.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let of = |list: &str| {
        let all = pod["status"][list].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|one| one["name"] == name)
    };
    of("containerStatuses").or_else(|| of("initContainerStatuses")).unwrap_or(&NONE)
}

/// What a container waits for.
pub(crate) fn waits<'a>(pod: &'a Value, name: &str) -> &'a str {
    container(pod, name)["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

/// How a container that has ended said goodbye.
pub(crate) fn message<'a>(pod: &'a Value, name: &str) -> &'a str {
    container(pod, name)["state"]["terminated"]["message"].as_str().unwrap_or_default()
}
