// SPDX-License-Identifier: Apache-2.0
//! kubectl, the apiserver, the agent's own server, and a container of a Docker engine: the whole way.

use crate::clients;
use crate::fake::World;
use crate::kubectl::Client;
use crate::place::{bounded, now};
use berth_balancer_testkit as testkit;
use berth_cluster_agent_serve as serve;
use berth_cluster_client::Api;
use berth_cluster_docker::{
    Address, Agent, ContainerSpec, Engine, Identity, ImageFiles, NetworkSpec, Part, PodNetwork,
    PodRef, SandboxSpec,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const SHELL: &str = "berth.test/shell:1";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 2);

/// The one pod that there is.
#[derive(Debug)]
struct One(serve::Pod);

impl serve::Pods for One {
    fn find(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<serve::Pod> {
        let found = namespace == "t1" && name == "real" && uid.is_none_or(|uid| uid == self.0.uid);
        found.then(|| self.0.clone())
    }

    fn objects(&self) -> Vec<Bytes> {
        vec![Bytes::from_static(b"{}")]
    }

    fn count(&self) -> serve::Count {
        serve::Count { pods: 1, containers: 1 }
    }
}

#[test]
fn kubectl_reaches_a_real_container() {
    let all = clients::required();
    if all.is_empty() || !testkit::have_docker() {
        return;
    }
    let docker = testkit::Engine::start(&["--bridge", "none"]);
    // In the engine's network namespace, where pods are reached; and so are the runtime's threads and kubectl.
    docker.node.run(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(bounded(Box::pin(walk(&docker, &all))));
    });
}

async fn walk(docker: &testkit::Engine, all: &BTreeMap<u32, std::path::PathBuf>) {
    let world = World::new().await;
    let (engine, pod) = real_pod(docker).await;
    let serving = agent(&world, &engine, pod).await;
    world.node("n2", "127.0.0.1", serving.address().port()).await;
    world.pod("real", "n2", &["c"]).await;
    let folder = world.place.folder.path().to_owned();
    let url = format!("https://localhost:{}", world.place.address.port());
    let pair = world.place.admin();
    world.place.pki.write_kubeconfig(&folder.join("config"), &url, "admin", &pair).unwrap();
    for (minor, binary) in all {
        eprintln!("kubectl 1.{minor}");
        let client = Client { binary, folder: &folder };
        logs_and_commands(&client).await;
        copies(&client, *minor).await;
        forwards(&client).await;
    }
    let (_, said, code) = Client { binary: all.values().next().unwrap(), folder: &folder }
        .say(&["get", "--raw", "/api/v1/nodes/n2/proxy/healthz"], b"")
        .await;
    assert_eq!(code, 0, "{said}");
    serving.stop().await;
}

async fn agent(world: &World, engine: &Engine, pod: serve::Pod) -> serve::Serving {
    let (pki, folder) = (&world.place.pki, world.place.folder.path());
    let url = format!("https://localhost:{}", world.place.address.port());
    let config = folder.join("agent.kubeconfig");
    pki.write_kubeconfig(&config, &url, "agent", &pki.node("n2", now()).unwrap()).unwrap();
    let api = Api::connect(&config).await.unwrap();
    let shown = pki.node_server("n2", vec!["127.0.0.1".to_owned()], now()).unwrap();
    let options = serve::Options {
        address: "127.0.0.1:0".parse().unwrap(),
        node: "n2".to_owned(),
        certificate: shown.certificate,
        key: shown.key,
        client_ca: pki.ca_pem().to_owned(),
        times: berth_cluster_stream::Times::default(),
    };
    let server = serve::Server::bind(options, Arc::new(One(pod)), engine.clone(), api);
    server.await.unwrap().run()
}

/// A pod on the engine, whose container says lines and gives back what port 7777 gets.
async fn real_pod(docker: &testkit::Engine) -> (Engine, serve::Pod) {
    let address = Address::Socket(docker.folder.path().join("sock"));
    let engine = Engine::wait(&address, Agent::new("n2").unwrap(), |_| {}).await.unwrap();
    let tools = ["sh", "cat", "sleep", "tar", "mkdir", "nc", "test", "rm"];
    let image = ImageFiles {
        reference: SHELL.to_owned(),
        files: vec![("bin/busybox".to_owned(), 0o755, std::fs::read("/bin/busybox").unwrap())],
        links: tools.map(|tool| (format!("bin/{tool}"), "busybox".to_owned())).into(),
        folders: vec![("tmp".to_owned(), 0o1777), ("bin".to_owned(), 0o755)],
        env: vec!["PATH=/bin".to_owned()],
        ..ImageFiles::default()
    };
    engine.load_image(image.archive().unwrap()).await.unwrap();
    let network = NetworkSpec {
        subnet: [10, 97, 0, 0].into(),
        prefix: 24,
        gateway: [10, 97, 0, 1].into(),
        bridge: "real".to_owned(),
        mtu: None,
    };
    engine.ensure_network(&network).await.unwrap();
    let sandbox = SandboxSpec {
        hostname: "real".to_owned(),
        network: PodNetwork::Own { address: ADDRESS },
        host_ipc: false,
        sysctls: BTreeMap::new(),
        binds: Vec::new(),
        cgroup_parent: None,
    };
    let pod = PodRef { namespace: "t1".to_owned(), name: "real".to_owned(), uid: "u-1".to_owned() };
    let identity = |part| Identity { pod: pod.clone(), part, attempt: 0 };
    let facts = BTreeMap::new();
    let made = engine.create_sandbox(&identity(Part::Sandbox), &sandbox, &facts).await.unwrap();
    engine.start(&made.id).await.unwrap();
    let line = "echo one; echo two; nc -ll -p 7777 -e cat & while :; do echo more; sleep 0.2; done";
    let command = ["/bin/sh", "-c", line].map(str::to_owned).into();
    let spec = ContainerSpec { command, ..ContainerSpec::plain(SHELL) };
    let part = Part::Container("c".to_owned());
    let id = engine.create_container(&identity(part), &made.id, &spec, &facts).await.unwrap().id;
    engine.start(&id).await.unwrap();
    let run = serve::Run { id, tty: false, stdin: false };
    let state = serve::State::Running(run);
    let pod = serve::Pod {
        namespace: pod.namespace,
        name: pod.name,
        uid: pod.uid,
        sandbox: Some(made.id),
        place: serve::Place::Own(ADDRESS.into()),
        containers: vec![serve::Container { name: "c".to_owned(), state, previous: None }],
    };
    (engine, pod)
}

async fn logs_and_commands(client: &Client<'_>) {
    let (out, said, code) = client.say(&["logs", "real", "--limit-bytes", "8"], b"").await;
    assert_eq!((&*out, code), (&b"one\ntwo\n"[..], 0), "{said}");
    let (_, said, code) = client.say(&["logs", "real", "--previous"], b"").await;
    let words = "previous terminated container \"c\" in pod \"real\" not found";
    assert!(code == 1 && said.contains(words), "{said}");
    let mut following = client.command(&["logs", "-f", "real", "--tail", "1"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    for _ in 0..4 {
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("more"));
    }
    following.kill().await.unwrap();
    let script = "echo out; echo err >&2; exit 3";
    let (out, said, code) = client.say(&["exec", "real", "--", "sh", "-c", script], b"").await;
    assert_eq!((&*out, code), (&b"out\n"[..], 3), "{said}");
    assert!(said.contains("err\n"), "{said}");
    let input: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (out, said, code) = client.say(&["exec", "-i", "real", "--", "cat"], &input).await;
    assert_eq!(code, 0, "{said}");
    assert!(out == input, "{} bytes came back: {said}", out.len());
    let (_, said, code) = client.say(&["exec", "real", "--", "/no/such/command"], b"").await;
    assert!(matches!(code, 126 | 127), "{code}: {said}");
}

async fn copies(client: &Client<'_>, minor: u32) {
    let content: Vec<u8> =
        (0..5_000_000_u32).map(|at| u8::try_from(at * 7 % 253).unwrap()).collect();
    std::fs::write(client.folder.join("big"), &content).unwrap();
    let there = format!("real:/tmp/copied-{minor}");
    let (_, said, code) = client.say(&["cp", "big", &there], b"").await;
    assert_eq!(code, 0, "{said}");
    let back = format!("real-back-{minor}");
    let (_, said, code) = client.say(&["cp", &there, &back], b"").await;
    assert_eq!(code, 0, "{said}");
    assert!(std::fs::read(client.folder.join(back)).unwrap() == content, "{said}");
}

async fn forwards(client: &Client<'_>) {
    let mut child = client.command(&["port-forward", "pod/real", ":7777"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let local = line.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
    let local: u16 = local.parse().unwrap();
    for round in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
        let content = vec![round; 400_000];
        let (mut from, mut to) = stream.split();
        let sending = async {
            to.write_all(&content).await.unwrap();
            // The end of one direction is not the end of the other.
            to.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(sending, from.read_to_end(&mut got));
        read.unwrap();
        assert!(got == content, "round {round}: {} bytes", got.len());
    }
    child.kill().await.unwrap();
}
