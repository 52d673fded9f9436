// SPDX-License-Identifier: Apache-2.0
//! The balancer as its user has it: the binary, a file, connections over loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BERTH: &str = env!("CARGO_BIN_EXE_berth");
const PATIENCE: Duration = Duration::from_secs(20);

/// A backend that answers each connection's bytes with its name and the bytes, as long as the connection lives.
fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream, name));
        }
    });
    address
}

fn serve(mut stream: TcpStream, name: &str) {
    let mut bytes = [0; 256];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        let answer = [name.as_bytes(), &bytes[..count]].concat();
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A port that is free now.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn try_ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"!")?;
    let mut answer = [0; 64];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

/// What a connection that must live is answered.
fn ask(stream: &mut TcpStream) -> String {
    try_ask(stream).unwrap()
}

/// What a new connection is answered; empty if there is none, or if the data plane is killed under it.
fn answer(port: u16) -> String {
    TcpStream::connect(("127.0.0.1", port))
        .and_then(|mut stream| try_ask(&mut stream))
        .unwrap_or_default()
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn control_plane(folder: &Path) -> Child {
    Command::new(BERTH)
        .args(["--log", "warn", "balancer", "--workers", "2", "--config"])
        .arg(folder.join("balancer.yaml"))
        .arg("--control")
        .arg(folder.join("control.sock"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A balancer, which ends with the test, and its data plane with it.
struct Balancer {
    child: Child,
    control: std::path::PathBuf,
}

impl Balancer {
    fn start(folder: &Path) -> Self {
        Self { child: control_plane(folder), control: folder.join("control.sock") }
    }

    fn status(&self) -> Output {
        let mut command = Command::new(BERTH);
        command.args(["balancer", "status", "--endpoints", "--control"]).arg(&self.control);
        command.output().unwrap()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Ok(mut client) = berth_balancer_data::control::Client::connect(&self.control) {
            drop(client.stop());
        }
    }
}

fn write(folder: &Path, port: u16, backend: SocketAddr) {
    let text = format!(
        "services:\n- name: web\n  address: 127.0.0.1:{port}\n  endpoints: [\"{backend}\"]\n"
    );
    // As an editor does it: the file is whole at any time.
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), folder.join("balancer.yaml")).unwrap();
}

#[test]
fn a_file_is_served_changed_and_survives_a_killed_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, port) = (backend("one"), backend("two"), free());
    write(folder.path(), port, one);
    let mut balancer = Balancer::start(folder.path());
    until("the service is served", || answer(port) == "one!");
    let mut held = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(ask(&mut held), "one!");

    write(folder.path(), port, two);
    until("new connections go to the new endpoint", || answer(port) == "two!");
    assert_eq!(ask(&mut held), "one!", "and the old ones live");

    // A file that is wrong changes nothing.
    fs::write(folder.path().join("balancer.yaml"), "services: [{name: web}]").unwrap();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(answer(port), "two!");

    // kill -9 of the control plane: connections and new ones go on.
    balancer.child.kill().unwrap();
    balancer.child.wait().unwrap();
    assert_eq!((ask(&mut held), answer(port)), ("one!".into(), "two!".into()));
    let output = balancer.status();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("web") && text.contains(&two.to_string()),
        "{text}"
    );

    // The next one adopts it.
    write(folder.path(), port, one);
    balancer.child = control_plane(folder.path());
    until("the adopted one takes the file", || answer(port) == "one!");
    assert_eq!(ask(&mut held), "one!");

    // The data plane dies: it is started anew and told everything.
    let text = String::from_utf8_lossy(&balancer.status().stdout).into_owned();
    let pid = text.split("process ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    until("a new data plane serves", || answer(port) == "one!");

    // A second one does not disturb it, and says why it does not start.
    let second = control_plane(folder.path()).wait().unwrap();
    assert!(!second.success());
    assert_eq!(answer(port), "one!");
}

#[test]
fn a_check_names_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balancer.yaml");
    let check = || Command::new(BERTH).args(["balancer", "--check"]).arg(&path).output().unwrap();
    fs::write(&path, "services: [{name: a, address: 10.0.0.1:80, endpoints: [10.0.0.2]}]").unwrap();
    let output = check();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("right; 1 services, 1 endpoints"));
    fs::write(&path, "services: [{adress: 10.0.0.1:80}, {name: b, port: x}]\nnodes: 1\n").unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for want in [
        "services[0].name: missing",
        "services[0].adress: unknown",
        "services[1].port: \"x\"",
        "nodes: unknown",
    ] {
        assert!(text.contains(want), "{want} is not in\n{text}");
    }
}

#[test]
fn what_it_needs_is_said() {
    let output = Command::new(BERTH).arg("balancer").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("give --config FILE"));
    let help = Command::new(BERTH).args(["balancer", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("endpoints: [127.0.0.1:9001"));
}
