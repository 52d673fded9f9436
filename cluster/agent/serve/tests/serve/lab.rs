// SPDX-License-Identifier: Apache-2.0
//! An engine, and for each test an agent on it: its network, pods that the test names, and the server.

use crate::play::Play;
use berth_balancer_testkit as testkit;
use berth_cluster_agent_serve::{
    Container, Count, Options, Place, Pod, Pods, Run, Server, Serving, State,
};
use berth_cluster_auth::pki::{self, Pair, Pki};
use berth_cluster_docker::{
    Address, Agent, ContainerSpec, Engine, ExecSpec, Identity, ImageFiles, NetworkSpec, Part,
    PodNetwork, PodRef, SandboxSpec, Streams,
};
use berth_cluster_stream::Times;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Nothing here takes a tenth of it.
pub(crate) const HANG: Duration = Duration::from_mins(1);
/// The image with a shell.
pub(crate) const SHELL: &str = "berth.test/shell:1";
/// The client whose rights are all.
pub(crate) const ADMIN: &str = "the-apiserver";

pub(crate) struct Lab {
    pub(crate) docker: testkit::Engine,
    agents: AtomicU8,
}

impl Lab {
    pub(crate) fn start() -> Self {
        Self { docker: testkit::Engine::start(&["--bridge", "none"]), agents: AtomicU8::new(0) }
    }

    async fn connect(&self, agent: &str) -> Engine {
        let address = Address::Socket(self.docker.folder.path().join("sock"));
        Engine::wait(&address, Agent::new(agent).unwrap(), |_| {}).await.unwrap()
    }

    pub(crate) async fn prepare(&self) {
        let engine = self.connect("loader").await;
        let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
        let tools =
            ["sh", "cat", "sleep", "grep", "head", "seq", "stty", "printf", "setsid", "true", "nc"];
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
        engine.ensure_echo().await.unwrap();
    }

    /// An agent of its own for a test, with its server.
    pub(crate) async fn world(&self, test: &str) -> World {
        let number = self.agents.fetch_add(1, Ordering::SeqCst) + 1;
        let name = test.replace("::", ".").replace('_', "-");
        let engine = self.connect(&name).await;
        let network = NetworkSpec {
            subnet: [10, 98, number, 0].into(),
            prefix: 24,
            gateway: [10, 98, number, 1].into(),
            bridge: format!("bs{number}"),
            mtu: None,
        };
        engine.ensure_network(&network).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &pki::Options::default(), now()).unwrap();
        let shown = pki.node_server("the-node", vec!["127.0.0.1".to_owned()], now()).unwrap();
        let play = Play::default();
        play.allow(ADMIN, &["*"]);
        let pods = Arc::new(Book::default());
        let options = Options {
            address: "127.0.0.1:0".parse().unwrap(),
            node: "the-node".to_owned(),
            certificate: shown.certificate,
            key: shown.key,
            client_ca: pki.ca_pem().to_owned(),
            times: Times::default(),
        };
        let serving = Server::bind(options, Arc::clone(&pods) as _, engine.clone(), play.api());
        let serving = serving.await.unwrap().run();
        let admin = pki.issue_client(ADMIN, "", now()).unwrap();
        let serving = Mutex::new(Some(serving));
        World { engine, number, pki, folder, play, pods, serving, admin }
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The agent's pods.
#[derive(Debug, Default)]
pub(crate) struct Book(pub(crate) Mutex<Vec<Pod>>);

impl Pods for Book {
    fn find(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<Pod> {
        let all = self.0.lock().unwrap();
        let fits = |pod: &&Pod| {
            pod.namespace == namespace && pod.name == name && uid.is_none_or(|uid| pod.uid == uid)
        };
        all.iter().find(fits).cloned()
    }

    fn objects(&self) -> Vec<Bytes> {
        let all = self.0.lock().unwrap();
        let object = |pod: &Pod| serde_json::json!({"metadata": {"name": pod.name}}).to_string();
        all.iter().map(|pod| object(pod).into()).collect()
    }

    fn count(&self) -> Count {
        Count { pods: self.0.lock().unwrap().len() as u64, containers: 7 }
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    number: u8,
    pub(crate) pki: Pki,
    #[expect(dead_code, reason = "it is removed with it")]
    folder: tempfile::TempDir,
    pub(crate) play: Play,
    pub(crate) pods: Arc<Book>,
    pub(crate) serving: Mutex<Option<Serving>>,
    pub(crate) admin: Pair,
}

impl World {
    /// A pod `name` with a container `c` of that specification, which runs. Its engine's id.
    pub(crate) async fn pod(&self, name: &str, host: u8, spec: &ContainerSpec) -> String {
        let address: Ipv4Addr = [10, 98, self.number, host].into();
        let pod =
            PodRef { namespace: "n".to_owned(), name: name.to_owned(), uid: format!("u-{name}") };
        let network = PodNetwork::Own { address };
        let sandbox = SandboxSpec {
            hostname: name.to_owned(),
            network,
            host_ipc: false,
            sysctls: BTreeMap::new(),
            binds: Vec::new(),
            cgroup_parent: None,
        };
        let identity = |part| Identity { pod: pod.clone(), part, attempt: 0 };
        let facts = BTreeMap::new();
        let made =
            self.engine.create_sandbox(&identity(Part::Sandbox), &sandbox, &facts).await.unwrap();
        self.engine.start(&made.id).await.unwrap();
        let part = Part::Container("c".to_owned());
        let id =
            self.engine.create_container(&identity(part), &made.id, spec, &facts).await.unwrap().id;
        self.engine.start(&id).await.unwrap();
        let run = Run { id: id.clone(), tty: spec.tty, stdin: spec.stdin };
        let container =
            Container { name: "c".to_owned(), state: State::Running(run), previous: None };
        self.pods.0.lock().unwrap().push(Pod {
            namespace: pod.namespace,
            name: pod.name,
            uid: pod.uid,
            sandbox: Some(made.id),
            place: Place::Own(IpAddr::V4(address)),
            containers: vec![container],
        });
        id
    }

    /// A pod whose container runs a line of shell.
    pub(crate) async fn shell(&self, name: &str, host: u8, line: &str) -> String {
        self.pod(name, host, &shell(line)).await
    }

    /// Changes what the agent says of a pod's container.
    pub(crate) fn set(&self, name: &str, state: State, previous: Option<&str>) {
        let mut all = self.pods.0.lock().unwrap();
        let pod = all.iter_mut().find(|pod| pod.name == name).unwrap();
        pod.containers[0].state = state;
        pod.containers[0].previous = previous.map(str::to_owned);
    }

    /// Whether a line of shell succeeds in a container.
    pub(crate) async fn succeeds(&self, id: &str, line: &str) -> bool {
        let streams = Streams { stdout: true, stderr: true, ..Streams::default() };
        let command = shell(line).command;
        let spec = ExecSpec { command, streams, ..ExecSpec::default() };
        let mut exec = self.engine.exec(id, &spec).await.unwrap();
        while exec.output.next().await.unwrap().is_some() {}
        self.engine.exec_exit(&exec.id, HANG).await.unwrap() == 0
    }

    /// Waits until a line of shell succeeds in a container.
    pub(crate) async fn until(&self, id: &str, line: &str) {
        let begun = Instant::now();
        while !self.succeeds(id, line).await {
            assert!(begun.elapsed() < HANG, "never: {line}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn ended(&self, id: &str) {
        let begun = Instant::now();
        while self.engine.inspect(id).await.unwrap().state.pid != 0 {
            assert!(begun.elapsed() < HANG, "it never ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn end(self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.stop().await;
        }
        let view = self.engine.list().await.unwrap();
        for one in view.containers.iter().chain(&view.sandboxes) {
            self.engine.remove(&one.id, true).await.unwrap();
        }
    }
}

pub(crate) fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|&word| word.to_owned()).collect()
}

pub(crate) fn shell(line: &str) -> ContainerSpec {
    ContainerSpec { command: words(&["/bin/sh", "-c", line]), ..ContainerSpec::plain(SHELL) }
}
