// SPDX-License-Identifier: Apache-2.0
//! The same with kubectl, in each version that is there: over WebSocket since 1.31, over SPDY before.

use crate::clients;
use crate::fake::World;
use crate::place::bounded;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

pub(crate) struct Client<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) folder: &'a Path,
}

impl Client<'_> {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command
            .current_dir(self.folder)
            .env("KUBECONFIG", self.folder.join("config"))
            .env("HOME", self.folder)
            .args(["-n", "t1"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// What it says with this input, and its code.
    pub(crate) async fn say(&self, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String, i32) {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let feeding = tokio::spawn(async move { stdin.write_all(&input).await });
        let output = child.wait_with_output().await.unwrap();
        let _ = feeding.await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.stdout, said, output.status.code().unwrap_or(-1))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_reads_logs_runs_commands_copies_and_forwards() {
    let all = clients::required();
    if all.is_empty() {
        return;
    }
    let world = World::new().await;
    let folder = world.place.folder.path().to_owned();
    let url = format!("https://localhost:{}", world.place.address.port());
    let pair = world.place.admin();
    world.place.pki.write_kubeconfig(&folder.join("config"), &url, "admin", &pair).unwrap();
    for (minor, binary) in &all {
        eprintln!("kubectl 1.{minor}");
        let client = Client { binary, folder: &folder };
        bounded(logs_and_commands(&client)).await;
        bounded(copies(&client, *minor)).await;
        bounded(forwards(&client)).await;
    }
}

async fn logs_and_commands(client: &Client<'_>) {
    let (out, said, code) = client.say(&["logs", "p"], b"").await;
    assert_eq!((&*out, code), (&b"one\ntwo\n"[..], 0), "{said}");
    let (_, said, code) = client.say(&["logs", "p", "-c", "x"], b"").await;
    assert!(code == 1 && said.contains("container x is not valid for pod p"), "{said}");
    let mut following = client.command(&["logs", "-f", "p"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    for at in 0..5 {
        assert_eq!(lines.next_line().await.unwrap(), Some(format!("line {at}")));
    }
    following.kill().await.unwrap();
    let script = "echo out; echo err >&2; exit 3";
    let (out, said, code) = client.say(&["exec", "p", "--", "sh", "-c", script], b"").await;
    assert_eq!((&*out, code), (&b"out\n"[..], 3), "{said}");
    assert!(
        said.contains("err\n") && said.contains("command terminated with exit code 3"),
        "{said}"
    );
    let input: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (out, said, code) = client.say(&["exec", "-i", "p", "--", "cat"], &input).await;
    assert_eq!(code, 0, "{said}");
    assert!(out == input, "{} bytes came back: {said}", out.len());
    let (_, said, code) = client.say(&["exec", "p", "--", "/no/such/command"], b"").await;
    assert!(code != 0 && said.contains("error executing command in container"), "{said}");
}

async fn copies(client: &Client<'_>, minor: u32) {
    let there = client.folder.join(format!("there-{minor}"));
    std::fs::create_dir(&there).unwrap();
    let content: Vec<u8> =
        (0..5_000_000_u32).map(|at| u8::try_from(at * 7 % 253).unwrap()).collect();
    std::fs::write(client.folder.join("big"), &content).unwrap();
    let pod = format!("p:{}/copied", there.display());
    let (_, said, code) = client.say(&["cp", "big", &pod], b"").await;
    assert_eq!(code, 0, "{said}");
    assert!(std::fs::read(there.join("copied")).unwrap() == content, "{said}");
    let (_, said, code) = client.say(&["cp", &pod, &format!("back-{minor}")], b"").await;
    assert_eq!(code, 0, "{said}");
    assert!(
        std::fs::read(client.folder.join(format!("back-{minor}"))).unwrap() == content,
        "{said}"
    );
}

async fn forwards(client: &Client<'_>) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = target.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let mut child = client.command(&["port-forward", "p", &format!(":{port}")]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let local: u16 =
        line.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    for round in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
        let content = vec![round; 400_000];
        let (mut from, mut to) = stream.split();
        let sending = async {
            to.write_all(&content).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(sending, from.read_to_end(&mut got));
        read.unwrap();
        assert!(got == content, "round {round}: {} bytes", got.len());
    }
    child.kill().await.unwrap();
}
