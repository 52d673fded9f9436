// SPDX-License-Identifier: Apache-2.0
//! The walk of README.md's section "A cluster of simulated nodes", and what lies beside its way: `berth up --simulate`, driven by the
//! unmodified kubectl, the newest one that is found and the oldest.
//!
//! What is compared is content, never how long something takes. With `BERTH_REQUIRE_KUBECTL=1` the clients have to be there.
#![allow(clippy::panic, reason = "a step that fails says all there is to know")]

mod clients;
mod cluster;
#[path = "walk/kubectl.rs"]
mod kubectl;
#[path = "walk/steps.rs"]
mod steps;

use cluster::Up;
use kubectl::Kubectl;
use std::fs;
use std::path::{Path, PathBuf};

/// Enough for one to be drained, one to fall silent and one to be removed, at least one of each zone left.
const NODES: usize = 6;

/// A cluster, and a client for it.
fn begin(choose: impl Fn(&[(u32, PathBuf)]) -> Option<usize>) -> Option<Walk> {
    let clients: Vec<(u32, PathBuf)> = clients::required().into_iter().collect();
    let (minor, path) = &clients[choose(&clients)?];
    let folder = tempfile::tempdir().expect("a folder");
    // Pods leave a lost node at once, where they would stay five minutes.
    let nodes = NODES.to_string();
    let flags = [
        ["--simulate", &nodes],
        ["--default-not-ready-toleration-seconds", "0"],
        ["--default-unreachable-toleration-seconds", "0"],
    ];
    let up = Up::start(folder.path(), flags.as_flattened());
    let kubectl = Kubectl::new(path, *minor, &up.kubeconfig, folder.path());
    Some(Walk { kubectl, _up: up, _folder: folder })
}

struct Walk {
    kubectl: Kubectl,
    _up: Up,
    _folder: tempfile::TempDir,
}

/// The commands of the section, in order.
fn of_readme() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(path).expect("the README");
    let (_, section) = text.split_once("\n## A cluster of simulated nodes\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("it ends");
    let lines = section.lines().filter(|line| line.starts_with("kubectl "));
    let bare = lines.map(|line| line.split_once(" #").map_or(line, |(line, _)| line).trim_end());
    let commands = bare.flat_map(|line| line.split(" && "));
    commands.map(|one| one.strip_prefix("kubectl ").expect("a kubectl").to_owned()).collect()
}

/// What every client can do.
fn up_to_the_drain(kubectl: &Kubectl) {
    steps::nodes(kubectl, NODES);
    steps::deployment(kubectl);
    steps::service(kubectl);
    steps::pool(kubectl);
    steps::scale(kubectl);
    steps::rollouts(kubectl);
    steps::pause(kubectl);
    steps::descriptions(kubectl);
    steps::refusals(kubectl);
    steps::drain(kubectl);
}

#[test]
fn the_newest_kubectl_goes_all_the_way_of_the_readme() {
    let Some(walk) = begin(|clients| clients.len().checked_sub(1)) else { return };
    let kubectl = &walk.kubectl;
    up_to_the_drain(kubectl);
    steps::budget(kubectl);
    steps::cordon_and_taint(kubectl);
    steps::loss(kubectl);
    steps::events(kubectl);
    steps::deletions(kubectl);
    let told = kubectl.told();
    let mut told_in_order = told.iter();
    let commands = of_readme();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let found = told_in_order.any(|told| *told == command);
        assert!(found, "of the README this was not run, or in another order: {command}\n{told:#?}");
    }
}

#[test]
fn the_oldest_kubectl_goes_as_far_as_it_has_commands() {
    // Where there is one client, it is the newest.
    let Some(walk) = begin(|clients| (clients.len() > 1).then_some(0)) else { return };
    let kubectl = &walk.kubectl;
    up_to_the_drain(kubectl);
    steps::cordon_and_taint(kubectl);
    steps::events(kubectl);
    steps::deletions(kubectl);
}
