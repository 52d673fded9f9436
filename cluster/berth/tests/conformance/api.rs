// SPDX-License-Identifier: Apache-2.0
//! The cluster as cases see it: its API over HTTPS, kubectl, and the machine that its node is.

use crate::machine::Machine;
use berth_balancer_testkit::Space;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::cell::RefCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

thread_local! {
    /// A thread's own connection, out of the namespace that the thread is in.
    static CONNECTION: RefCell<Option<(Runtime, Client)>> = const { RefCell::new(None) };
}

/// How long a call may take.
const CALL: Duration = Duration::from_secs(90);

/// The cluster of the test.
pub(crate) struct Cluster<'a> {
    machine: &'a Machine,
    kubeconfig: PathBuf,
    /// The address of its node.
    pub(crate) address: String,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl<'a> Cluster<'a> {
    pub(crate) fn of(machine: &'a Machine) -> Self {
        let address = machine.tell(
            "get nodes -o jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
        );
        Self { machine, kubeconfig: machine.kubeconfig(), address }
    }

    /// Does something where the node is.
    pub(crate) fn enter(&self, work: impl FnOnce() + Send) {
        self.machine.engine.node.run(work);
    }

    /// The name of its node.
    pub(crate) fn node(&self) -> &str {
        &self.machine.engine.node.name
    }

    /// A machine beside the node.
    pub(crate) fn outside(&self) -> &Space {
        &self.machine.outside
    }

    /// Calls the API, on a thread that [entered](Self::enter).
    pub(crate) fn call(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Reply {
        CONNECTION.with_borrow_mut(|connection| {
            let (runtime, client) = connection.get_or_insert_with(|| self.connect());
            let bytes = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header("Content-Type", kind)
                .header("Accept", "application/json")
                .body(Body::from(bytes))
                .unwrap();
            let answer = async {
                let response = client.send(request).await.map_err(|error| format!("{error:?}"))?;
                let code = response.status().as_u16();
                let bytes = response.into_body().collect_bytes().await;
                let bytes = bytes.map_err(|error| error.to_string())?;
                Ok::<_, String>(Reply { code, text: String::from_utf8_lossy(&bytes).into_owned() })
            };
            let answer = runtime.block_on(async { tokio::time::timeout(CALL, answer).await });
            answer
                .unwrap_or_else(|_| panic!("{method} {path} takes too long"))
                .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
        })
    }

    fn connect(&self) -> (Runtime, Client) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let read = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
            let options = KubeConfigOptions::default();
            let mut config = Config::from_custom_kubeconfig(read, &options).await.unwrap();
            // An eviction that is refused for now is an answer.
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        (runtime, client)
    }

    /// kubectl with these words, on a thread that [entered](Self::enter).
    pub(crate) fn kubectl(&self, namespace: &str, words: &[String], stdin: Option<&str>) -> Output {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--namespace").arg(namespace);
        output(command.args(words), stdin)
    }

    /// `kubectl proxy` on a free port, which passes everything; where it is.
    pub(crate) fn proxy(&self) -> (std::process::Child, std::net::SocketAddr) {
        use std::io::{BufRead as _, BufReader};
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["proxy", "--port=0", "--reject-paths=^$"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().parse();
        (child, address.unwrap_or_else(|_| panic!("no address: {line}")))
    }
}

/// A line of commands where the thread is.
pub(crate) fn shell(line: &str) -> Output {
    output(Command::new("sh").args(["-c", line]), None)
}

fn output(command: &mut Command, stdin: Option<&str>) -> Output {
    let mut child = command
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(text) = stdin {
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    }
    child.wait_with_output().unwrap()
}

/// Asks until it is so, or patience ends; the last that was wrong then.
pub(crate) fn until<T>(
    patience: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let (begun, mut pause) = (Instant::now(), Duration::from_millis(40));
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(wrong) if begun.elapsed() > patience => {
                return Err(format!("after {patience:?}: {wrong}"));
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 5 / 4).min(Duration::from_millis(250));
    }
}

/// The resources that cases name, with the paths of their groups.
const RESOURCES: [(&str, &str, &str); 22] = [
    ("pods", "Pod", "/api/v1"),
    ("services", "Service", "/api/v1"),
    ("configmaps", "ConfigMap", "/api/v1"),
    ("secrets", "Secret", "/api/v1"),
    ("endpoints", "Endpoints", "/api/v1"),
    ("events", "Event", "/api/v1"),
    ("serviceaccounts", "ServiceAccount", "/api/v1"),
    ("persistentvolumeclaims", "PersistentVolumeClaim", "/api/v1"),
    ("replicationcontrollers", "ReplicationController", "/api/v1"),
    ("nodes", "Node", "/api/v1"),
    ("namespaces", "Namespace", "/api/v1"),
    ("deployments", "Deployment", "/apis/apps/v1"),
    ("replicasets", "ReplicaSet", "/apis/apps/v1"),
    ("daemonsets", "DaemonSet", "/apis/apps/v1"),
    ("statefulsets", "StatefulSet", "/apis/apps/v1"),
    ("controllerrevisions", "ControllerRevision", "/apis/apps/v1"),
    ("jobs", "Job", "/apis/batch/v1"),
    ("endpointslices", "EndpointSlice", "/apis/discovery.k8s.io/v1"),
    ("poddisruptionbudgets", "PodDisruptionBudget", "/apis/policy/v1"),
    ("evictions", "Eviction", "/apis/policy/v1"),
    ("roles", "Role", "/apis/rbac.authorization.k8s.io/v1"),
    ("rolebindings", "RoleBinding", "/apis/rbac.authorization.k8s.io/v1"),
];

/// The path of `resource/name...` in a namespace; what begins with `/` is one.
pub(crate) fn path(namespace: &str, of: &str) -> String {
    if of.starts_with('/') {
        return of.to_owned();
    }
    let resource = of.split(['/', '?']).next().unwrap_or_default();
    let known = RESOURCES.iter().find(|(plural, ..)| *plural == resource);
    let (_, _, group) = known.unwrap_or_else(|| panic!("no such resource: {of}"));
    match resource {
        "nodes" | "namespaces" => format!("{group}/{of}"),
        _ => format!("{group}/namespaces/{namespace}/{of}"),
    }
}

/// Where objects of a kind are.
pub(crate) fn place(namespace: &str, object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let known = RESOURCES.iter().find(|(_, one, _)| *one == kind);
    let (plural, ..) = known.unwrap_or_else(|| panic!("no such kind: {object}"));
    path(object["metadata"]["namespace"].as_str().unwrap_or(namespace), plural)
}

/// The form of a kind's version.
pub(crate) fn version(kind: &str) -> Option<&'static str> {
    let (.., group) = RESOURCES.iter().find(|(_, one, _)| *one == kind)?;
    Some(group.trim_start_matches("/apis/").trim_start_matches("/api/"))
}
