// SPDX-License-Identifier: Apache-2.0
//! Upstream's conformance tests of containers and of traffic, on one `berth up` with a Docker Engine of its own: what each does is data, in
//! `conformance/*.yaml` (see `conformance/case.rs`), and what data cannot say is a function in `conformance/own.rs`.
//!
//! `BERTH_CONFORMANCE=part` runs those alone whose name has that part, or one of some with `|` between.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]

#[path = "conformance/api.rs"]
mod api;
#[path = "conformance/case.rs"]
mod case;
#[path = "conformance/expect.rs"]
mod expect;
#[allow(dead_code, reason = "each test uses some of it")]
mod machine;
#[path = "conformance/own.rs"]
mod own;
#[path = "conformance/run.rs"]
mod run;
#[path = "conformance/step.rs"]
mod step;
#[path = "conformance/table.rs"]
mod table;
#[path = "conformance/web_socket.rs"]
mod web_socket;

use api::Cluster;
use berth_balancer_testkit::have_docker;
use case::Case;
use machine::{Machine, busybox};
use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Cases at a time: most of their time they wait.
const SIDE_BY_SIDE: usize = 12;
/// The image of all cases: busybox, and a server that answers in the ways that they ask for.
const IMAGE: &str = "conformance:test";
/// What of busybox there is: each container has a copy of the image, so that what nobody calls costs time.
const TOOLS: &str = "sh cat echo sleep stat env ls wc grep cut chmod cmp head tail tr touch test id ip sed sort uniq nslookup wget timeout \
    hostname ping rm true false xxd sysctl";
/// The same image with a command of its own.
const DEFAULTS: &str = "conformance:defaults";

/// How a case ended.
struct Ended {
    name: String,
    took: Duration,
    /// What is wrong, with all that is known of its pods.
    wrong: Option<String>,
}

#[test]
fn what_upstream_tests_of_containers_and_traffic_holds() {
    if !have_docker() {
        return;
    }
    let wanted = std::env::var("BERTH_CONFORMANCE").unwrap_or_default();
    let mut cases = case::all();
    cases.retain(|case| wanted.split('|').any(|part| case.name.contains(part)));
    assert!(!cases.is_empty(), "no case has {wanted:?} in its name");
    // Those that wait longest begin first.
    cases.sort_by_key(|case| !case.slow);
    let machine = Machine::new();
    images(&machine);
    let mut up = machine.up(&[]);
    let begun = Instant::now();
    up.says(" Ready after ");
    let cluster = Cluster::of(&machine);
    let (alone, together): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.alone);
    let mut ended = all(&cluster, &together, SIDE_BY_SIDE);
    ended.extend(all(&cluster, &alone, 1));
    let failed: Vec<&Ended> = ended.iter().filter(|one| one.wrong.is_some()).collect();
    let mut slowest: Vec<&Ended> = ended.iter().collect();
    slowest.sort_by_key(|one| std::cmp::Reverse(one.took));
    for one in slowest.iter().take(10) {
        println!("{:6.1} s  {}", one.took.as_secs_f64(), one.name);
    }
    for one in &failed {
        println!("FAILED {}\n{}\n", one.name, one.wrong.as_deref().unwrap_or_default());
    }
    println!(
        "{} of {} cases hold, in {:.0?}",
        ended.len() - failed.len(),
        ended.len(),
        begun.elapsed()
    );
    let names: Vec<&str> = failed.iter().map(|one| one.name.as_str()).collect();
    assert!(names.is_empty(), "{names:#?}");
    up.interrupt();
    assert!(machine::containers(&machine).is_empty(), "{:?}", machine::containers(&machine));
}

/// Runs them, so many side by side.
fn all(cluster: &Cluster<'_>, cases: &[Case], at_a_time: usize) -> Vec<Ended> {
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..at_a_time.min(cases.len()) {
            scope.spawn(|| {
                // A thread's sockets and processes are where the node is.
                cluster.enter(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let number = next.load(Ordering::SeqCst);
                        let one = one(cluster, case, number);
                        ended.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    }
                });
            });
        }
    });
    ended.into_inner().unwrap()
}

fn one(cluster: &Cluster<'_>, case: &Case, number: usize) -> Ended {
    let begun = Instant::now();
    let mut run =
        Run::new(cluster, case, format!("case-{number}-{}", begun.elapsed().subsec_nanos()));
    let result = catch_unwind(AssertUnwindSafe(|| run.all()));
    let wrong = match result {
        Ok(Ok(())) => None,
        Ok(Err(wrong)) => Some(format!("{wrong}\n{}", run.described())),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("{}\n{}", said.unwrap_or_default(), run.described()))
        }
    };
    run.end();
    let took = begun.elapsed();
    let word = if wrong.is_none() { "ok" } else { "FAILED" };
    println!("{word:6} {:5.1} s  {}", took.as_secs_f64(), case.name);
    Ended { name: case.name.clone(), took, wrong }
}

/// Busybox with the server, and the same image with defaults of its own.
fn images(machine: &Machine) {
    busybox(machine);
    let folder = machine.folder().display();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/answer.c");
    let line = format!(
        "for tool in {folder}/box/bin/*; do case ' busybox {TOOLS} ' in *\" ${{tool##*/}} \"*) ;; *) rm $tool;; esac; done; \
         cc -O1 -static -w -pthread -o {folder}/box/bin/answer {source}; cd {folder}/box; chmod 1777 tmp; cp bin/answer bin/answer-root; chmod 4755 bin/answer-root; \
         echo 'root:x:0:0::/:/bin/sh' >etc/passwd; tar -cf {folder}/all.tar ."
    );
    let made = Command::new("sh").args(["-ec", &line]).status().unwrap();
    assert!(made.success(), "the server compiles");
    machine.engine.docker(&format!("import {folder}/all.tar {IMAGE}"));
    let changed = Command::new("docker")
        .args(["-H", &format!("unix://{folder}/sock"), "import"])
        .args(["--change", r#"ENTRYPOINT ["/bin/echo","entry"]"#])
        .args(["--change", r#"CMD ["default","arguments"]"#])
        .args([&format!("{folder}/all.tar"), DEFAULTS])
        .status()
        .unwrap();
    assert!(changed.success(), "the image with defaults is made");
}
