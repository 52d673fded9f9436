// SPDX-License-Identifier: Apache-2.0
//! Unmodified kubectls against the binary: every plain client that is found works through the same table of commands.
//!
//! With `BERTH_REQUIRE_KUBECTL=1` there has to be one of 1.32 or newer (whose bodies are protobuf), one of 1.21 to 1.31, and Debian's
//! 1.20, which `.ci/run` unpacks into `target/kubectl-1.20`.

mod apiserver;
mod clients;

use apiserver::Apiserver;
use clients::required;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A command, from which minor version on there is it, and what its output has to have.
type Row = (&'static str, u32, &'static str);

const ROWS: &[Row] = &[
    ("version", 0, "1.33"),
    ("api-versions", 0, "rbac.authorization.k8s.io/v1"),
    ("api-resources", 0, "deployments"),
    ("cluster-info", 20, "control plane"),
    ("get namespaces", 0, "kube-system"),
    ("create namespace t", 0, "namespace/t created"),
    ("-n t create -f objects.yaml", 0, "configmap/c created"),
    ("-n t get configmap c -o yaml", 0, "a: \"1\""),
    ("-n t get configmap c -o jsonpath={.data.a}", 0, "1"),
    ("-n t apply -f applied.yaml", 0, "deployment.apps/d created"),
    ("-n t apply -f applied.yaml", 0, "deployment.apps/d unchanged"),
    ("-n t apply -f changed.yaml", 0, "deployment.apps/d configured"),
    // Of the two containers one is no longer applied: it has to be gone.
    ("-n t get deployment d -o jsonpath={.spec.template.spec.containers[*].name}", 0, "one"),
    ("-n t get deployment d -o wide", 0, "CONTAINERS"),
    ("-n t get deployments", 0, "0/2"),
    ("-n t scale deployment d --replicas=3", 0, "scaled"),
    ("-n t get deployment d -o jsonpath={.spec.replicas}", 0, "3"),
    ("-n t set image deployment/d one=image:2", 0, "image updated"),
    ("-n t rollout pause deployment d", 0, "paused"),
    ("-n t label configmap c x=y", 0, "labeled"),
    ("-n t annotate configmap c x=y", 0, "configmap/c annotate"),
    ("-n t get configmaps -l x=y -o name", 0, "configmap/c"),
    ("-n t get configmaps --field-selector metadata.name=c -o name", 0, "configmap/c"),
    ("-n t patch configmap c --type=merge -p {\"data\":{\"b\":\"2\"}}", 0, "patched"),
    (
        "-n t patch configmap c --type=json -p [{\"op\":\"add\",\"path\":\"/data/e\",\"value\":\"3\"}]",
        0,
        "patched",
    ),
    ("-n t patch configmap c -p {\"data\":{\"f\":\"4\"}}", 0, "patched"),
    ("-n t get configmap c -o custom-columns=D:.data", 0, "f:4"),
    ("-n t replace -f objects.yaml", 0, "configmap/c replaced"),
    ("-n t create deployment generated --image=x", 0, "created"),
    ("-n t create configmap generated --from-literal=a=b", 0, "created"),
    ("-n t create secret generic generated --from-literal=a=b", 0, "created"),
    ("-n t create serviceaccount generated", 0, "created"),
    ("-n t create role generated --verb=get --resource=pods", 0, "created"),
    (
        "-n t create rolebinding generated --role=generated --serviceaccount=t:generated",
        0,
        "created",
    ),
    ("create clusterrole generated --verb=get --resource=pods", 0, "created"),
    ("create clusterrolebinding generated --clusterrole=generated --user=u", 0, "created"),
    ("-n t create service clusterip generated --tcp=80:80", 0, "created"),
    ("-n t expose deployment generated --port=80 --type=NodePort --name=exposed", 0, "exposed"),
    ("-n t get service exposed", 0, "NodePort"),
    ("-n t run p --image=x", 0, "created"),
    ("-n t get pods", 0, "Pending"),
    ("-n t get all", 0, "deployment.apps/generated"),
    ("-n t get pod p -o yaml", 0, "kube-api-access-"),
    ("-n t create token generated", 24, "ey"),
    ("explain deployment.spec.template", 25, "PodTemplateSpec"),
    ("-n t apply --dry-run=server -f applied.yaml", 25, "server dry run"),
    ("-n default apply -f applied.yaml", 0, "deployment.apps/d created"),
    ("-n t wait --for=jsonpath={.data.a}=1 configmap/c", 23, "condition met"),
    ("-n t delete pod p", 0, "deleted"),
    ("-n t delete -f objects.yaml", 0, "deleted"),
    ("-n t delete deployments --all", 0, "deleted"),
    ("delete clusterrole generated", 0, "deleted"),
    ("delete clusterrolebinding generated", 0, "deleted"),
    ("delete namespace t", 0, "deleted"),
    ("get namespaces", 0, "default"),
];

/// What is refused, and the words of it.
const REFUSED: &[(&str, u32, &str)] = &[
    ("-n default get configmap nothing", 0, "configmaps \"nothing\" not found"),
    ("-n default create -f misspelt.yaml", 25, "unknown field \"spec.replicaz\""),
    ("-n nowhere create configmap c", 0, "namespaces \"nowhere\" not found"),
    ("delete namespace kube-system", 0, "this namespace may not be deleted"),
    ("-n default create -f invalid.yaml", 0, "spec.replicas"),
    // What differs is no success.
    ("-n default diff -f changed.yaml", 25, "+  replicas: 2"),
];

const LAST: &[Row] = &[("-n default delete deployment d", 0, "deleted")];

const OBJECTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: \"1\"}\n";

fn deployment(replicas: &str, containers: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  {replicas}\n  selector: {{matchLabels: {{a: b}}}}\n  \
         template:\n    metadata: {{labels: {{a: b}}}}\n    spec:\n      containers: [{containers}]\n"
    )
}

fn write_files(folder: &Path) {
    let two = "{name: one, image: 'image:1'}, {name: two, image: 'image:1'}";
    let one = "{name: one, image: 'image:1'}";
    for (name, text) in [
        ("objects.yaml", OBJECTS.to_owned()),
        ("applied.yaml", deployment("replicas: 1", two)),
        ("changed.yaml", deployment("replicas: 2", one)),
        ("misspelt.yaml", deployment("replicaz: 1", one)),
        ("invalid.yaml", deployment("replicas: -1", one)),
    ] {
        fs::write(folder.join(name), text).expect("a file");
    }
}

struct Client<'a> {
    path: &'a Path,
    minor: u32,
    server: &'a Apiserver,
    folder: PathBuf,
}

impl Client<'_> {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(self.path);
        command
            .current_dir(&self.folder)
            .env("KUBECONFIG", &self.server.kubeconfig)
            .env("HOME", &self.folder)
            .args(line.split(' '));
        command
    }

    /// Whether it succeeded, and all that it said.
    fn run(&self, line: &str) -> (bool, String) {
        let output = self.command(line).output().expect("kubectl runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn rows(&self, rows: &[Row], wanted: bool) {
        for (line, since, words) in rows.iter().filter(|row| row.1 <= self.minor) {
            let (succeeded, text) = self.run(line);
            assert!(
                succeeded == wanted && text.contains(words),
                "kubectl 1.{} {line}: {succeeded}, wanted {words:?} (since 1.{since}):\n{text}",
                self.minor
            );
        }
    }

    /// A proxy of its own passes on what is asked, without a certificate: on a port, and on a socket of the file system.
    fn proxy(&self) {
        let socket = self.folder.join("proxy");
        let on_socket = format!("--unix-socket={}", socket.display());
        for how in ["--port=0", &on_socket] {
            let mut command = self.command(&format!("proxy {how}"));
            let mut child = command.stdout(Stdio::piped()).spawn().expect("kubectl runs");
            let mut line = String::new();
            let output = child.stdout.take().expect("its output");
            BufReader::new(output).read_line(&mut line).expect("a line");
            let place = line.trim().strip_prefix("Starting to serve on ").map(str::to_owned);
            let answer = place.as_deref().map(|place| match place.parse::<SocketAddr>() {
                Ok(address) => ask(TcpStream::connect(address).expect("it listens")),
                Err(_) => ask(UnixStream::connect(place).expect("it listens")),
            });
            drop(child.kill());
            drop(child.wait());
            let answer = answer.unwrap_or_default();
            assert!(answer.contains("APIVersions"), "1.{} {how}: {line} {answer}", self.minor);
        }
    }

    /// A watch tells what comes, and what goes.
    fn watch(&self) {
        let mut watching = self
            .command("-n default get configmaps -w -o name")
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let output = watching.stdout.take().expect("its output");
        let reader = thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.into_iter().take_while(|line| !line.ends_with("/last")).collect::<Vec<_>>()
        });
        // It lists first, and then watches: what is made meanwhile is in either.
        self.rows(
            &[
                ("-n default create configmap watched", 0, "created"),
                ("-n default label configmap watched a=b", 0, "labeled"),
            ],
            true,
        );
        let until = Instant::now() + Duration::from_secs(20);
        while !reader.is_finished() && Instant::now() < until {
            self.run("-n default create configmap last");
            self.run("-n default delete configmap last");
        }
        drop(watching.kill());
        drop(watching.wait());
        let lines = reader.join().expect("lines");
        assert!(
            lines.iter().any(|line| line == "configmap/watched"),
            "1.{}: {lines:?}",
            self.minor
        );
        self.run("-n default delete configmap watched");
    }
}

/// The answer to a request for `/api/`.
fn ask(mut stream: impl Read + Write) -> String {
    let mut answer = String::new();
    let request = b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("it takes a request");
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn every_kubectl_that_is_found_works_through_the_table() {
    let clients = required();
    if clients.is_empty() {
        return;
    }
    let server = Apiserver::start(&[]);
    // Of those between, one of each: the oldest, and all that send protobuf.
    for (minor, path) in clients.iter().filter(|(minor, _)| **minor <= 27 || **minor >= 31) {
        let folder = server.folder().join(format!("client-{minor}"));
        fs::create_dir(&folder).expect("a folder");
        write_files(&folder);
        let client = Client { path, minor: *minor, server: &server, folder };
        client.rows(ROWS, true);
        client.rows(REFUSED, false);
        client.rows(LAST, true);
        client.proxy();
        client.watch();
        eprintln!("kubectl 1.{minor}: {} commands", ROWS.len() + REFUSED.len() + LAST.len());
    }
}
