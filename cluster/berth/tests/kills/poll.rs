// SPDX-License-Identifier: Apache-2.0
//! Somebody who asks the API again and again whether it is there.

use berth_balancer_testkit::Space;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
const QUESTION: &str =
    "curl -sS -k -m 5 -o /dev/null -w %{http_code} https://127.0.0.1:6443/readyz";

pub(crate) struct Poll {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(u64, Vec<String>)>,
}

impl Poll {
    /// Begins, on a node whose API is there.
    pub(crate) fn start(node: &Space) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        // A thread keeps the namespace of the one that starts it, and so do its processes.
        let asking = node.run(|| std::thread::spawn(move || ask(&told)));
        Self { stop, asking }
    }

    /// How often it was asked, and what was no good answer.
    pub(crate) fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().unwrap()
    }
}

fn ask(stop: &AtomicBool) -> (u64, Vec<String>) {
    let (begun, mut asked, mut failed) = (Instant::now(), 0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        asked += 1;
        let mut words = QUESTION.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        let output = command.args(words).stdin(Stdio::null()).output().expect("curl is installed");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said != "200" {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            failed.push(format!("after {:.1} s: {said} {why}", begun.elapsed().as_secs_f32()));
        }
        std::thread::sleep(PAUSE);
    }
    (asked, failed)
}
