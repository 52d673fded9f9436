// SPDX-License-Identifier: Apache-2.0
//! What of an agent's work takes root's rights, done by another process where the agent has none: the host's rules and routes for pods, and
//! removing what containers wrote as other users.
//!
//! A unix socket; one connection for each request, a line of JSON each way. The socket is the agent's user's: who may use an engine may do
//! all this anyway, others may not connect.

use berth_cluster_agent_network::{Host, HostError, Wanted};
use berth_cluster_files::Root;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a request: a cluster of 5,000 nodes has 300 KiB of them.
const REQUEST_MAX: u64 = 4 << 20;
/// How long the other side may be silent. Folders of millions of files take their time.
const SILENCE: Duration = Duration::from_mins(2);

#[derive(Serialize, Deserialize)]
enum Request {
    Check(Wanted),
    Remove,
    TearDown { uid: String },
    Sweep { known: BTreeSet<String> },
}

#[derive(Serialize, Deserialize)]
enum Reply {
    /// Done, and what is not as it should be.
    Done(Vec<String>),
    Failed(String),
}

/// What a process with the rights is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node, whose agent is served.
    pub node: String,
    /// Where the agent keeps files.
    pub root: PathBuf,
    /// Where to listen: in a folder of the user's that nobody else may enter.
    pub socket: PathBuf,
    /// The agent's user.
    pub user: u32,
}

/// Serves an agent until the process is ended.
///
/// # Errors
/// It cannot listen.
pub fn serve(options: &Options) -> io::Result<()> {
    match fs::remove_file(&options.socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&options.socket)?;
    fs::set_permissions(&options.socket, Permissions::from_mode(0o600))?;
    chown(&options.socket, Some(options.user), None)?;
    let mut host = None;
    for stream in listener.incoming() {
        let done = stream.and_then(|stream| answer(stream, options, &mut host));
        if let Err(error) = done {
            tracing::debug!(%error, "an agent went before it had its answer");
        }
    }
    Ok(())
}

fn answer(mut stream: UnixStream, options: &Options, host: &mut Option<Host>) -> io::Result<()> {
    let request = receive(&stream)?;
    let done = carry_out(request, options, host);
    let reply = match done {
        Ok(problems) => Reply::Done(problems),
        Err(error) => Reply::Failed(crate::carry::words(error.as_ref())),
    };
    send(&mut stream, &reply)
}

type Failure = Box<dyn std::error::Error>;

// Folders are opened when they are asked for: the agent makes them, and they are its.
fn carry_out(
    request: Request,
    options: &Options,
    host: &mut Option<Host>,
) -> Result<Vec<String>, Failure> {
    match request {
        Request::Check(wanted) => {
            let mut opened = match host.take() {
                Some(host) => host,
                None => Host::open(&options.node)?,
            };
            let checked = opened.check(&wanted)?;
            *host = Some(opened);
            Ok(checked.problems.iter().map(ToString::to_string).collect())
        }
        Request::Remove => {
            *host = None;
            Host::open(&options.node)?.remove()?;
            Ok(Vec::new())
        }
        Request::TearDown { uid } => {
            Root::open(&options.root)?.folder(&uid)?.tear_down()?;
            Ok(Vec::new())
        }
        Request::Sweep { known } => {
            let failed = Root::open(&options.root)?.sweep(&known)?.failed.into_iter();
            Ok(failed.map(|(uid, error)| format!("{uid}: {error}")).collect())
        }
    }
}

/// The way to a process that has the rights.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    socket: PathBuf,
}

impl Hands {
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// As [`Host::check`]: the problems.
    pub(crate) fn check(&self, wanted: &Wanted) -> Result<Vec<String>, HostError> {
        let asked = self.ask(&Request::Check(wanted.clone()));
        asked.map_err(|source| HostError::Elsewhere { source })
    }

    /// As [`Host::remove`].
    pub(crate) fn remove(&self) -> Result<(), HostError> {
        self.ask(&Request::Remove).map(drop).map_err(|source| HostError::Elsewhere { source })
    }

    /// Takes a pod's folder down.
    pub(crate) fn tear_down(&self, uid: &str) -> io::Result<()> {
        self.ask(&Request::TearDown { uid: uid.to_owned() }).map(drop)
    }

    /// Takes down folders of pods that are not known; which are left, and why.
    pub(crate) fn sweep(&self, known: &BTreeSet<String>) -> io::Result<Vec<String>> {
        self.ask(&Request::Sweep { known: known.clone() })
    }

    fn ask(&self, request: &Request) -> io::Result<Vec<String>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        send(&mut stream, request)?;
        match receive(&stream)? {
            Reply::Done(problems) => Ok(problems),
            Reply::Failed(why) => Err(io::Error::other(why)),
        }
    }
}

fn send(stream: &mut UnixStream, said: &impl Serialize) -> io::Result<()> {
    stream.set_write_timeout(Some(SILENCE))?;
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn receive<T: for<'de> Deserialize<'de>>(stream: &UnixStream) -> io::Result<T> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(REQUEST_MAX)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_folder_is_taken_down_and_what_is_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (root, socket) = (folder.path().join("root"), folder.path().join("hands"));
        let user = rustix::process::geteuid().as_raw();
        let options =
            Options { node: "n".to_owned(), root: root.clone(), socket: socket.clone(), user };
        std::thread::spawn(move || serve(&options));
        let end = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "nobody listens");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let made = |uid: &str| {
            fs::create_dir_all(root.join("pods").join(uid).join("volumes/a")).unwrap();
            root.join("pods").join(uid)
        };
        let hands = Hands::new(&socket);
        let (one, two) = (made("u-1"), made("u-2"));
        hands.tear_down("u-1").unwrap();
        assert!(!one.exists() && two.exists());
        assert!(hands.tear_down("../pods").is_err(), "no uid leads out of the folder");
        assert_eq!(hands.sweep(&["u-2".to_owned()].into()).unwrap(), [""; 0]);
        assert!(two.exists());
        hands.sweep(&BTreeSet::new()).unwrap();
        assert!(!two.exists());
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"nonsense\n").unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(answer, "");
        hands.sweep(&BTreeSet::new()).unwrap();
    }
}
