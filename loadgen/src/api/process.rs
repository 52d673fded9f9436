// SPDX-License-Identifier: Apache-2.0
//! `berth apiserver` as a process of its own, in a folder of its own.

use super::kubeconfig::Kubeconfig;
use super::wire::{Ask, Door, Identity, Protocol};
use crate::balance::usage;
use crate::error::Error;
use crate::report::count;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What comes before the URL in the server's first line.
const URL: &str = "API";
/// How long it may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to become ready.
const READY: Duration = Duration::from_mins(5);
/// The user as whom the load is made.
pub const USER: &str = "berth-loadgen";
/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// The folder of a server: store, keys, tokens, log.
#[derive(Debug)]
pub struct Home {
    folder: tempfile::TempDir,
    program: PathBuf,
    token: String,
}

impl Home {
    /// Makes one below `data`, or where temporary files are.
    pub fn new(program: &Path, data: Option<&Path>) -> Result<Self, Error> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("berth-load-");
        let folder = match data {
            Some(data) => {
                std::fs::create_dir_all(data)
                    .map_err(|source| Error::Write { path: data.to_owned(), source })?;
                builder.tempdir_in(data)
            }
            None => builder.tempdir(),
        };
        let folder = folder.map_err(Error::Folder)?;
        let token = token();
        let path = folder.path().join("tokens");
        std::fs::write(&path, format!("{token},{USER},1\n"))
            .map_err(|source| Error::Write { path, source })?;
        Ok(Self { folder, program: program.to_owned(), token })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a server on what is there, and returns when it is ready.
    pub async fn start(&self) -> Result<Process, Error> {
        let began = Instant::now();
        let folder = self.path();
        let store = format!("sled:{}", folder.join("store").display());
        let (pki, tokens) = (folder.join("pki"), self.tokens());
        let flags: [&OsStr; 9] = [
            "apiserver".as_ref(),
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--store".as_ref(),
            store.as_ref(),
            "--pki".as_ref(),
            pki.as_ref(),
            "--token-auth-file".as_ref(),
            tokens.as_ref(),
        ];
        let (mut running, _) = self.launch("log", &flags, URL)?;
        let admin = self.admin()?;
        until_ready(&admin.door()?, began).await?;
        running.ready = began.elapsed();
        Ok(running)
    }

    /// Starts the program with these arguments, and returns when it printed a line that begins with `until`: that line and all
    /// before it. What it says on its standard error is in the file `log` of the folder.
    pub fn launch(
        &self,
        log: &str,
        flags: &[&OsStr],
        until: &str,
    ) -> Result<(Process, Vec<String>), Error> {
        let log = self.path().join(log);
        let file = File::create(&log);
        let file = file.map_err(|source| Error::Write { path: log.clone(), source })?;
        let child = Command::new(&self.program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|source| {
                let program = self.program.display().to_string();
                Error::Start { program, source }
            })?;
        let mut running = Process { child, ready: Duration::ZERO };
        let mut lines: Vec<String> = Vec::new();
        // The pipe stays open in the child's handle: a program whose output nobody takes would fail at its next line.
        if let Some(output) = running.child.stdout.as_mut() {
            for line in BufReader::new(output).lines() {
                lines.push(line.map_err(Error::Spawn)?);
                if lines.last().is_some_and(|line| line.starts_with(until)) {
                    return Ok((running, lines));
                }
            }
        }
        let command = flags.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        Err(running.gone(&command, &log))
    }

    /// The file with the token of the load's user.
    pub fn tokens(&self) -> PathBuf {
        self.path().join("tokens")
    }

    /// What the administrator's kubeconfig says.
    pub fn admin(&self) -> Result<Kubeconfig, Error> {
        Kubeconfig::read(&self.path().join("pki/kubeconfig"))
    }

    /// Who the load's user is.
    pub fn identity(&self) -> Identity {
        Identity::Token(self.token.clone())
    }
}

/// `HOST:PORT` of a URL.
pub fn authority(url: &str) -> &str {
    url.trim_start_matches("https://").trim_end_matches('/')
}

/// Asks `/readyz` until it says so.
pub async fn until_ready(door: &Door, began: Instant) -> Result<(), Error> {
    let mut wire = door.open(Protocol::One).await?;
    let ready = Ask::get("/readyz".to_owned());
    loop {
        match wire.send(&ready).await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > READY => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// A token that nobody else guesses.
fn token() -> String {
    // The hasher's keys are random, and not told.
    let part = || RandomState::new().hash_one(Instant::now());
    format!("{:016x}{:016x}", part(), part())
}

/// A server that runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// How long it took to be ready, from before it was started to the answer of `/readyz`.
    pub ready: Duration,
}

impl Process {
    /// Seconds of CPU so far.
    pub fn cpu_seconds(&self) -> f64 {
        usage::cpu_seconds(self.child.id()).unwrap_or(f64::NAN)
    }

    /// Resident memory.
    pub fn resident_mib(&self) -> f64 {
        usage::resident_bytes(self.child.id()).map_or(f64::NAN, |bytes| count(bytes) / MIB)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> Result<(), Error> {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().map_err(Error::Spawn)? {
                if status.success() {
                    return Ok(());
                }
                return Err(Error::ServerGone { status: status.to_string() });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(Error::ServerGone { status: "it did not stop in time".to_owned() })
    }

    /// Kills it: nothing is said to anybody, and nothing is written any more.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn gone(&mut self, command: &str, log: &Path) -> Error {
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = said.trim_end().lines().rev().take(5).collect();
        let said = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        Error::Command { line: format!("berth {command}"), status, said }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also after an error nothing is left running; what it started itself it alone can end.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
