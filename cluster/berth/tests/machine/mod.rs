// SPDX-License-Identifier: Apache-2.0
//! A machine of a test's own that `berth up` makes a cluster of: a network namespace with a Docker Engine, and kubectl in it.

pub(crate) mod process;

use berth_balancer_testkit::{Engine, Space};
use process::Process;
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A machine: an engine in a namespace that has a way out.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    /// What is outside.
    pub(crate) outside: Space,
    /// Where `berth up` keeps its objects.
    pub(crate) data: PathBuf,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// One whose engine has these options of dockerd besides.
    pub(crate) fn with(options: &[&str]) -> Self {
        share_mounts();
        let engine = Engine::start(options);
        let outside = Space::new("o");
        berth_balancer_testkit::link(
            &outside,
            "in",
            "192.168.77.1/24",
            &engine.node,
            "192.168.77.2/24",
        );
        engine.node.sh("ip route add default via 192.168.77.1; sysctl -qw net.ipv4.ip_forward=1");
        let data = engine.folder.path().join("data");
        Self { engine, outside, data }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.engine.folder.path()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("cluster/pki/kubeconfig")
    }

    /// Starts `berth up` there, which keeps its objects, with more flags.
    pub(crate) fn up(&self, more: &[&str]) -> Up {
        let socket = format!("unix://{}", self.folder().join("sock").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command
            .args(["up", "--docker", &socket, "--data"])
            .arg(&self.data)
            .arg("--node-name")
            .arg(&self.engine.node.name)
            .args(more)
            // Its files are its own, as its namespace is.
            .env("XDG_RUNTIME_DIR", self.folder());
        Up::spawn(self, command)
    }

    /// Starts a kubectl there that is not waited for, with streams of this kind.
    #[allow(dead_code, reason = "each test uses what it needs")]
    pub(crate) fn begin(&self, arguments: &[&str], stream: fn() -> Stdio) -> Child {
        let mut command = self.kubectl_with(arguments);
        command.stdin(stream()).stdout(stream()).stderr(stream());
        self.engine.node.run(|| command.spawn().unwrap())
    }

    /// Runs kubectl there; what it prints, if it succeeds.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = self.kubectl_with(arguments);
        self.engine.node.run(|| command.output().unwrap())
    }

    fn kubectl_with(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        command
    }

    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same for a line of words.
    pub(crate) fn tell(&self, line: &str) -> String {
        self.told(&line.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn apply(&self, manifest: &str) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(manifest.as_bytes()).unwrap();
        self.told(&["apply", "-f", file.path().to_str().unwrap()]);
    }
}

/// What is mounted below the folder of nodes' files reaches engines that are started from here on, as it does wherever systemd runs. A mount that
/// is there stays.
fn share_mounts() {
    const LINE: &str = "mkdir -p /var/lib/berth/nodes; cd /var/lib/berth; \
        [ $(findmnt -no PROPAGATION -T nodes) = shared ] || { mount --bind nodes nodes; mount --make-shared nodes; }";
    let made = Command::new("sh").args(["-ec", LINE]).status().unwrap();
    assert!(made.success(), "mounts can be shared");
}

/// A cluster that runs.
pub(crate) struct Up {
    process: Process,
    node: String,
}

impl Up {
    /// Starts `berth up`, as this command says it, on a machine.
    pub(crate) fn spawn(machine: &Machine, command: Command) -> Self {
        let process = Process::spawn(machine, "up", command, Signal::INT);
        Self { process, node: machine.engine.node.name.clone() }
    }

    /// Presses Ctrl-C, and waits for a good end.
    pub(crate) fn interrupt(mut self) {
        self.process.finish();
    }
}

impl Deref for Up {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Up {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.process.stop();
        drop(fs::remove_dir_all(Path::new("/var/lib/berth/nodes").join(&self.node)));
    }
}

/// What the engine has.
pub(crate) fn containers(machine: &Machine) -> Vec<String> {
    let all = machine.engine.docker("ps -a --format {{.Names}}");
    all.lines().map(str::to_owned).collect()
}

/// Debian's static busybox as an image, since there is no registry.
pub(crate) fn busybox(machine: &Machine) {
    let folder = machine.folder().display();
    let line = format!(
        "mkdir -p {folder}/box/bin {folder}/box/tmp {folder}/box/etc; cp $(command -v busybox) {folder}/box/bin/busybox; \
         for tool in $({folder}/box/bin/busybox --list); do ln -s busybox {folder}/box/bin/$tool 2>/dev/null || true; done; \
         tar -C {folder}/box -cf {folder}/box.tar ."
    );
    let made = Command::new("sh").args(["-ec", &line]).status().unwrap();
    assert!(made.success(), "busybox-static is installed");
    machine.engine.docker(&format!("import {folder}/box.tar busybox:test"));
}
