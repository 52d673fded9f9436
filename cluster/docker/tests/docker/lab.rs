// SPDX-License-Identifier: Apache-2.0
//! What the tests stand on: an engine, agents on it, and an image with a shell.

use berth_balancer_testkit as testkit;
use berth_cluster_docker::{
    Address, Agent, ContainerSpec, Engine, Exec, ExecSpec, Identity, ImageFiles, NetworkSpec, Part,
    PodNetwork, PodRef, SandboxSpec, Stream, Streams,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Nothing here takes a tenth of it.
pub(crate) const HANG: Duration = Duration::from_mins(1);
/// The image with a shell.
pub(crate) const SHELL: &str = "berth.test/shell:1";

pub(crate) struct Lab {
    pub(crate) docker: testkit::Engine,
    agents: AtomicU8,
}

/// One agent with its network.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) network: u8,
}

impl Lab {
    pub(crate) fn start() -> Self {
        Self { docker: testkit::Engine::start(&["--bridge", "none"]), agents: AtomicU8::new(0) }
    }

    pub(crate) fn address(&self) -> Address {
        Address::Socket(self.docker.folder.path().join("sock"))
    }

    pub(crate) async fn connect(&self, agent: &str) -> Engine {
        let agent = Agent::new(agent).unwrap();
        Engine::wait(&self.address(), agent, |_| {}).await.unwrap()
    }

    /// Loads the image with a shell.
    pub(crate) async fn prepare(&self) {
        let engine = self.connect("loader").await;
        let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
        let tools = [
            "sh", "cat", "sleep", "id", "grep", "ps", "hostname", "touch", "mkdir", "head", "wc",
            "seq", "stty", "ulimit", "kill", "ls", "wget", "printf", "dd", "md5sum", "setsid",
            "true", "false", "env", "nc",
        ];
        let image = ImageFiles {
            reference: SHELL.to_owned(),
            files: vec![("bin/busybox".to_owned(), 0o755, busybox)],
            links: tools.map(|tool| (format!("bin/{tool}"), "busybox".to_owned())).into(),
            folders: [("tmp", 0o1777), ("etc", 0o755), ("bin", 0o755)]
                .map(|(path, rights)| (path.to_owned(), rights))
                .into(),
            env: vec!["PATH=/bin".to_owned(), "FROM_IMAGE=yes".to_owned()],
            labels: vec![("io.berth/facts".to_owned(), "{\"injected\":\"1\"}".to_owned())],
            ..ImageFiles::default()
        };
        engine.load_image(image.archive().unwrap()).await.unwrap();
    }

    /// An agent of its own, with its network.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let network = self.agents.fetch_add(1, Ordering::SeqCst) + 1;
        let engine = self.connect(name).await;
        let node = Node { engine, network };
        node.engine.ensure_network(&node.network_spec()).await.unwrap();
        node
    }
}

impl Node {
    pub(crate) fn network_spec(&self) -> NetworkSpec {
        NetworkSpec {
            subnet: [10, 99, self.network, 0].into(),
            prefix: 24,
            gateway: [10, 99, self.network, 1].into(),
            bridge: format!("bt{}", self.network),
            mtu: None,
        }
    }

    pub(crate) fn ip(&self, host: u8) -> Ipv4Addr {
        [10, 99, self.network, host].into()
    }

    pub(crate) fn sandbox_spec(&self, host: u8) -> SandboxSpec {
        SandboxSpec {
            hostname: "the-pod".to_owned(),
            network: PodNetwork::Own { address: self.ip(host) },
            host_ipc: false,
            sysctls: BTreeMap::new(),
            binds: Vec::new(),
            cgroup_parent: None,
        }
    }

    /// A sandbox that runs.
    pub(crate) async fn sandbox(&self, uid: &str, host: u8) -> String {
        let (identity, spec) = (identity(uid, None), self.sandbox_spec(host));
        let made = self.engine.create_sandbox(&identity, &spec, &BTreeMap::new()).await.unwrap();
        self.engine.start(&made.id).await.unwrap();
        made.id
    }

    pub(crate) async fn container(
        &self,
        uid: &str,
        name: &str,
        sandbox: &str,
        spec: &ContainerSpec,
    ) -> String {
        let identity = identity(uid, Some(name));
        let made =
            self.engine.create_container(&identity, sandbox, spec, &BTreeMap::new()).await.unwrap();
        made.id
    }

    /// A container that runs a line of shell in a sandbox of its own.
    pub(crate) async fn shell(&self, uid: &str, host: u8, line: &str) -> String {
        let sandbox = self.sandbox(uid, host).await;
        let id = self.container(uid, "c", &sandbox, &shell(line)).await;
        self.engine.start(&id).await.unwrap();
        id
    }

    /// What a line of shell prints in a container, both streams together, and its code.
    pub(crate) async fn sh(&self, container: &str, line: &str) -> (String, i32) {
        let mut exec = self.engine.exec(container, &command(line)).await.unwrap();
        let output = read_all(&mut exec).await;
        let code = self.engine.exec_exit(&exec.id, HANG).await.unwrap();
        (String::from_utf8_lossy(&output).into_owned(), code)
    }

    /// Waits until a container has ended, and gives its code.
    pub(crate) async fn ended(&self, id: &str) -> i32 {
        let begun = Instant::now();
        loop {
            let state = self.engine.inspect(id).await.unwrap().state;
            if state.finished.is_some() && state.pid == 0 {
                return state.exit_code;
            }
            assert!(begun.elapsed() < HANG, "it never ends: {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a line of shell succeeds in a container.
    pub(crate) async fn until(&self, container: &str, line: &str) {
        let begun = Instant::now();
        while self.sh(container, line).await.1 != 0 {
            assert!(begun.elapsed() < HANG, "never: {line}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn identity(uid: &str, container: Option<&str>) -> Identity {
    let pod =
        PodRef { namespace: "default".to_owned(), name: format!("pod-{uid}"), uid: uid.to_owned() };
    let part = container.map_or(Part::Sandbox, |name| Part::Container(name.to_owned()));
    Identity { pod, part, attempt: 0 }
}

pub(crate) fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|&word| word.to_owned()).collect()
}

/// A container that runs a line of shell.
pub(crate) fn shell(line: &str) -> ContainerSpec {
    ContainerSpec { command: words(&["/bin/sh", "-c", line]), ..ContainerSpec::plain(SHELL) }
}

pub(crate) fn command(line: &str) -> ExecSpec {
    let streams = Streams { stdout: true, stderr: true, ..Streams::default() };
    ExecSpec { command: words(&["/bin/sh", "-c", line]), streams, ..ExecSpec::default() }
}

pub(crate) async fn read_all(exec: &mut Exec) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some((_, piece)) = exec.output.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    all
}

/// Both streams of an exec.
pub(crate) async fn read_both(exec: &mut Exec) -> [Vec<u8>; 2] {
    let mut all = [Vec::new(), Vec::new()];
    while let Some((stream, piece)) = exec.output.next().await.unwrap() {
        all[usize::from(stream == Stream::Stderr)].extend_from_slice(&piece);
    }
    all
}
