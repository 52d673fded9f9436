// SPDX-License-Identifier: Apache-2.0
//! A kubectl that is driven: each command is told to its end, and what fails says all there is to know.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// After this a walk counts as hung.
const PATIENCE: Duration = Duration::from_mins(15);
/// How often something is asked for again that is to come.
const AGAIN: Duration = Duration::from_millis(200);

/// A client with a cluster.
pub(crate) struct Kubectl {
    path: PathBuf,
    pub(crate) minor: u32,
    kubeconfig: PathBuf,
    folder: PathBuf,
    end: Instant,
    /// Commands so far, those that wait for something once.
    told: RefCell<Vec<String>>,
    count: Cell<u32>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    line: String,
    pub(crate) well: bool,
    pub(crate) out: String,
    err: String,
}

/// A command that runs.
pub(crate) struct Going {
    line: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(path: &Path, minor: u32, kubeconfig: &Path, folder: &Path) -> Self {
        Self {
            path: path.to_owned(),
            minor,
            kubeconfig: kubeconfig.to_owned(),
            folder: folder.to_owned(),
            end: Instant::now() + PATIENCE,
            told: RefCell::default(),
            count: Cell::new(0),
        }
    }

    /// All commands so far.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.borrow().clone()
    }

    /// Begins a command, whose words have no spaces in them.
    pub(crate) fn begin(&self, line: &str) -> Going {
        if self.told.borrow().last().is_none_or(|last| last != line) {
            self.told.borrow_mut().push(line.to_owned());
        }
        self.count.set(self.count.get() + 1);
        let file = |name: &str| self.folder.join(format!("{}-{name}", self.count.get()));
        let (out, err) = (file("out"), file("err"));
        let child = Command::new(&self.path)
            .current_dir(&self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.folder)
            .args(line.split(' '))
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(&err).expect("a file"))
            .spawn()
            .expect("kubectl runs");
        Going { line: format!("kubectl (1.{}) {line}", self.minor), child, out, err }
    }

    /// What it says when it ends.
    pub(crate) fn end(&self, mut going: Going) -> Said {
        loop {
            if let Some(status) = going.child.try_wait().expect("a child") {
                return going.said(status.success());
            }
            if Instant::now() > self.end {
                going.said(false).fail("it hangs");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn run(&self, line: &str) -> Said {
        self.end(self.begin(line))
    }

    /// Runs a command that has to succeed, and to say these words.
    pub(crate) fn ok(&self, line: &str, words: &[&str]) -> Said {
        let said = self.run(line);
        said.check(said.well, "it fails");
        said.has(words)
    }

    /// Runs a command that has to fail, and to say these words.
    pub(crate) fn refused(&self, line: &str, words: &[&str]) {
        let said = self.run(line);
        said.check(!said.well, "it does not fail");
        said.has(words);
    }

    /// Runs a command until it succeeds with what is waited for.
    pub(crate) fn until(
        &self,
        line: &str,
        what: &str,
        mut holds: impl FnMut(&Said) -> bool,
    ) -> Said {
        loop {
            let said = self.run(line);
            if said.well && holds(&said) {
                return said;
            }
            said.check(Instant::now() < self.end, &format!("it does not come to this: {what}"));
            thread::sleep(AGAIN);
        }
    }

    /// A part of an object, as it is now.
    pub(crate) fn part(&self, object: &str, path: &str) -> String {
        self.ok(&format!("get {object} -o jsonpath={path}"), &[]).out
    }
}

impl Going {
    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// What it has said so far.
    pub(crate) fn so_far(&self) -> Said {
        self.said(true)
    }

    fn said(&self, well: bool) -> Said {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        Said { line: self.line.clone(), well, out: read(&self.out), err: read(&self.err) }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Said {
    /// Ends the test with the command and all that it said.
    pub(crate) fn fail(&self, why: &str) -> ! {
        let Self { line, well, out, err } = self;
        let end = if *well { "well" } else { "badly" };
        panic!("{line}: {why}\n(it ended {end})\n--- stdout\n{out}\n--- stderr\n{err}\n---");
    }

    pub(crate) fn check(&self, holds: bool, why: &str) {
        if !holds {
            self.fail(why);
        }
    }

    /// All of these words are in what it said, whatever the spaces between them.
    pub(crate) fn has(self, words: &[&str]) -> Self {
        let text = squeezed(&format!("{}\n{}", self.out, self.err));
        for words in words {
            self.check(text.contains(words), &format!("{words:?} is missing"));
        }
        self
    }

    /// Whether it has said this.
    pub(crate) fn refers_to(&self, words: &str) -> bool {
        self.out.contains(words) || self.err.contains(words)
    }

    /// The rows of a table, without its head: their cells.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        self.out.lines().skip(1).map(|line| line.split_whitespace().collect()).collect()
    }
}

/// With one space where there are several.
fn squeezed(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}
