// SPDX-License-Identifier: Apache-2.0
//! Calls of the engine that are cut off, each in the life of a pod: before the engine hears of it, before its answer is heard, with the
//! engine away for a while, and with the agent killed. Whichever it was, the pod runs once, ends, and leaves nothing; nobody else notices.

use crate::lab::{HANG, Lab, PODS, condition, container, shell, spec};
use crate::tier::Row;
use crate::wire::{Cut, Wire};
use berth_cluster_agent::{Agent, Running, Settings};
use berth_cluster_docker::{Engine, Seen};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// More calls than there are in a pod's life.
const CALLS_MAX: u64 = 120;
/// Of so many calls one is cut for each commit; at night each.
const STEP: u64 = 3;

/// An agent that can be killed: what it does ends in the middle.
struct Mortal {
    runtime: Option<Runtime>,
    /// It is never stopped: its tasks end with the runtime.
    _agent: Running,
}

impl Mortal {
    async fn start(settings: &Settings) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let settings = settings.clone();
        let agent = runtime.spawn(async move { Box::pin(Agent::start(settings)).await.unwrap() });
        let agent = tokio::time::timeout(HANG, agent).await.expect("it starts").unwrap();
        Self { runtime: Some(runtime), _agent: agent }
    }

    async fn kill(mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(HANG));
        ended.await.unwrap();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) async fn a_call_that_is_never_made_is_made_again(lab: &Lab) {
    Box::pin(cut_everywhere(lab, "cut-before", Some(Cut::Before), 0)).await;
}

pub(crate) async fn an_answer_that_is_lost_changes_nothing(lab: &Lab) {
    Box::pin(cut_everywhere(lab, "cut-after", Some(Cut::After), 1)).await;
}

pub(crate) async fn an_engine_that_goes_away_at_any_call_is_waited_for(lab: &Lab) {
    Box::pin(cut_everywhere(lab, "cut-away", Some(Cut::Away), 2)).await;
}

pub(crate) async fn an_agent_that_is_killed_at_any_call_leaves_nothing(lab: &Lab) {
    Box::pin(cut_everywhere(lab, "cut-down", None, 3)).await;
}

/// `cut`: how; none if the agent is killed at the call, which the engine hears of. `first`: of each so many calls, which is taken.
async fn cut_everywhere(lab: &Lab, node: &'static str, cut: Option<Cut>, first: u64) {
    let mut settings = lab.settings(node);
    let sockets = tempfile::tempdir().unwrap();
    let wire = Wire::start(&settings.engine, sockets.path(), node);
    settings.engine = wire.address();
    let engine = lab.engine_of(node).await;
    let mut agent = Mortal::start(&settings).await;
    let beside = format!("beside-{node}");
    lab.pod_on(node, &beside, spec(&[shell("c", "exec sleep 1000")])).await;
    let before = lab.ready(&beside).await;
    let mut row = Row::new(node, CALLS_MAX / STEP, CALLS_MAX);
    let step = if row.goal() < CALLS_MAX { STEP } else { 1 };
    while let Some(turn) = row.next() {
        let at = turn * step + first % step;
        let life = Life { lab, node, wire: &wire, engine: &engine, settings: &settings };
        let (calls, was_cut);
        (agent, calls, was_cut) = Box::pin(life.lead(agent, at, cut)).await;
        if !was_cut {
            assert!(turn > 0 && calls <= at, "{calls} calls, none cut");
            break;
        }
    }
    let after = lab.ready(&beside).await;
    assert_eq!(container(&before, "c")["state"], container(&after, "c")["state"]);
    assert_eq!(container(&after, "c")["restartCount"], 0);
    assert_eq!(since(&before), since(&after), "it was ready all the time");
    lab.delete(&beside).await;
    nothing_is_left(&engine, &settings, "").await;
    agent.kill().await;
    engine.remove_network().await.unwrap();
}

/// Since when a pod is ready.
fn since(pod: &Value) -> Value {
    let all = pod["status"]["conditions"].as_array().unwrap();
    let ready = all.iter().find(|one| one["type"] == "Ready").unwrap();
    ready["lastTransitionTime"].clone()
}

/// What the life of a pod is led by.
struct Life<'a> {
    lab: &'a Lab,
    node: &'a str,
    wire: &'a Wire,
    engine: &'a Engine,
    settings: &'a Settings,
}

impl Life<'_> {
    /// From its creation to its end, with that call cut. Gives how many calls there were, and whether one was cut.
    async fn lead(&self, agent: Mortal, at: u64, cut: Option<Cut>) -> (Mortal, u64, bool) {
        let Self { lab, node, wire, .. } = self;
        let name = format!("{node}-{at}");
        wire.arm(at, cut.unwrap_or(Cut::After));
        let mut one = shell("c", "trap 'exit 0' TERM; while true; do sleep 0.05; done");
        one["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let mut all = spec(&[one]);
        all["volumes"] = json!([{"name": "v", "emptyDir": {"medium": "Memory"}}]);
        let made = lab.pod_on(node, &name, all).await;
        let uid = made["metadata"]["uid"].as_str().unwrap();
        let life = async {
            let pod = lab.ready(&name).await;
            assert_eq!(container(&pod, "c")["restartCount"], 0, "call {at}: {:#}", pod["status"]);
            assert_eq!(condition(&pod, "Ready"), "True");
            self.runs_once(uid, at).await;
            lab.delete(&name).await;
        };
        tokio::pin!(life);
        let mut agent = Some(agent);
        if cut.is_none() {
            tokio::select! {
                () = &mut life => {}
                () = wire.fired() => {
                    agent.take().unwrap().kill().await;
                    agent = Some(Mortal::start(self.settings).await);
                    life.await;
                }
            }
        } else {
            life.await;
        }
        let (calls, was_cut) = wire.disarm();
        if was_cut {
            // Told once for each cut; it may be that nobody waited.
            let _ = tokio::time::timeout(Duration::ZERO, wire.fired()).await;
        }
        nothing_is_left(self.engine, self.settings, uid).await;
        let path = format!("{PODS}/{name}");
        assert!(lab.find(&path).await.is_none());
        (agent.unwrap(), calls, was_cut)
    }

    /// One sandbox and one container are all that the engine has of the pod, in the end.
    async fn runs_once(&self, uid: &str, at: u64) {
        let begun = Instant::now();
        loop {
            let seen = self.engine.list().await.unwrap();
            let of = |all: &[Seen]| {
                let own = all.iter().filter(|seen| seen.identity.pod.uid == uid);
                let running = own.clone().filter(|seen| seen.state.pid > 0);
                (own.count(), running.count())
            };
            let (sandboxes, containers) = (of(&seen.sandboxes), of(&seen.containers));
            assert!(containers.1 <= 1, "call {at}: two run: {:#?}", seen.containers);
            if (sandboxes, containers) == ((1, 1), (1, 1)) {
                return;
            }
            assert!(begun.elapsed() < HANG, "call {at}: {sandboxes:?} {containers:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until neither engine nor files nor mounts have anything of a pod; of any pod, if none is said.
async fn nothing_is_left(engine: &Engine, settings: &Settings, uid: &str) {
    let begun = Instant::now();
    loop {
        let seen = engine.list().await.unwrap();
        let all = seen.sandboxes.iter().chain(&seen.containers);
        let mut left: Vec<String> = all
            .filter(|seen| seen.identity.pod.uid.contains(uid))
            .map(|seen| format!("{:?} {:?}", seen.identity, seen.state))
            .collect();
        let folders = std::fs::read_dir(settings.root.join("pods")).unwrap().flatten();
        let folders = folders.map(|entry| entry.path().display().to_string());
        left.extend(folders.filter(|path| path.contains(uid)));
        let root = settings.root.display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let own = mounts.lines().filter(|line| line.contains(&root) && line.contains(uid));
        left.extend(own.map(str::to_owned));
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < HANG, "left: {left:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
