// SPDX-License-Identifier: Apache-2.0
//! What holds in every life of a pod, worked out from commands and events alone.

use crate::engine::Engine;
use berth_cluster_pod::{
    Action, Answer, CommandId, ContainerSpec, Event, Exit, Instance, Kind, Millis, Outcome,
    ProbeKind, Spec, State,
};
use k8s_openapi::api::core::v1::PodStatus;
use std::collections::BTreeMap;

/// The shortest time between SIGTERM and SIGKILL.
const TERM_MIN: Millis = 2_000;
/// After a run of more than this, waits begin anew.
const FORGIVEN: Millis = 600_000;

#[derive(Debug, Default, Clone)]
struct Seen {
    /// The wait that the newest attempt was made with.
    backoff: Millis,
    attempt: u32,
    /// When its start began, with its image; the waits count from there.
    begun_at: Millis,
    /// When that of the next one did.
    next_begun_at: Option<Millis>,
    /// How the newest attempt ended, and whether it is to be waited for.
    ended: Option<Exit>,
    excused: bool,
    killing_at: Option<Millis>,
    /// After how many commands that was.
    killing_after: u64,
    signalled_at: Option<Millis>,
    prestop: bool,
    /// Bad answers in a row: startup, liveness.
    bad: [u32; 2],
    /// Its probes say that it must go, and it was not ended yet.
    must_go: bool,
    probe_grace: Option<Millis>,
}

/// Keeps books of its own.
pub(crate) struct Checks {
    spec: Spec,
    seen: BTreeMap<String, Seen>,
    questions: BTreeMap<CommandId, (Instance, ProbeKind)>,
    count: u64,
    /// Until when a pod that is deleted has time.
    deadline: Option<Millis>,
    stop_at: Option<Millis>,
    /// After how many commands that was.
    stop_after: u64,
    rotation_over: bool,
    rotation_limit: Millis,
    phase: String,
    concluded: bool,
}

impl Checks {
    pub(crate) fn new(spec: Spec) -> Self {
        let names =
            spec.containers.iter().map(|container| (container.name.clone(), Seen::default()));
        Self {
            seen: names.collect(),
            spec,
            questions: BTreeMap::new(),
            count: 0,
            deadline: None,
            stop_at: None,
            stop_after: 0,
            rotation_over: false,
            rotation_limit: 0,
            phase: String::new(),
            concluded: false,
        }
    }

    fn of(&self, name: &str) -> &ContainerSpec {
        self.spec.containers.iter().find(|container| container.name == name).unwrap()
    }

    fn stop(&mut self, now: Millis, grace: Millis) {
        if self.stop_at.is_none() {
            (self.stop_at, self.stop_after) = (Some(now), self.count);
        }
        let deadline = now + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |known| known.min(deadline)));
    }

    pub(crate) fn agent_restarted(&mut self, now: Millis, deletion: Option<Millis>) {
        self.questions.clear();
        for seen in self.seen.values_mut() {
            seen.bad = [0, 0];
            seen.must_go = false;
            seen.prestop = false;
            seen.next_begun_at = None;
            // The new machine gives the whole grace once more.
            (seen.killing_at, seen.signalled_at) = (None, None);
        }
        (self.deadline, self.stop_at, self.rotation_over) = (None, None, false);
        if let Some(grace) = deletion {
            self.stop(now, grace.max(1_000));
        }
        self.excuse();
    }

    /// The engine was away: what ended with it need not wait.
    pub(crate) fn excuse(&mut self) {
        for seen in self.seen.values_mut() {
            seen.excused = true;
        }
    }

    pub(crate) fn event(&mut self, now: Millis, event: &Event) {
        match event {
            Event::Pod(spec) => {
                self.spec = (**spec).clone();
                if let Some(grace) = spec.deletion {
                    self.stop(now, grace.max(1_000));
                }
            }
            Event::Gone => self.stop(now, 1_000),
            Event::Shutdown { grace } => self.stop(now, (*grace).min(self.spec.grace)),
            Event::ContainerDied { container, attempt, exit } => {
                self.ended(container, *attempt, exit.clone());
            }
            Event::EngineGone | Event::EngineBack(_) => self.excuse(),
            Event::Result { outcome: Outcome::Looked(view), .. } | Event::Seen(view) => {
                for found in &view.containers {
                    if let State::Exited(exit) = &found.state {
                        self.ended(&found.making.container, found.making.attempt, exit.clone());
                    }
                }
            }
            Event::Result { .. } | Event::SandboxDied { .. } | Event::Tick => {}
        }
    }

    fn ended(&mut self, name: &str, attempt: u32, exit: Exit) {
        let Some(seen) = self.seen.get_mut(name).filter(|seen| seen.attempt == attempt) else {
            return;
        };
        if seen.ended.is_none() {
            seen.ended = Some(exit);
        }
        seen.must_go = false;
    }

    pub(crate) fn result(&mut self, id: CommandId, outcome: &Outcome) {
        let Some((instance, kind)) = self.questions.remove(&id) else {
            self.rotation_over |= matches!(outcome, Outcome::RotationLeft { .. });
            return;
        };
        let Outcome::Probed(answer) = outcome else { return };
        let which = kind as usize;
        let stopping = self.stop_at.is_some();
        let probe = self.of(&instance.container).probes[which];
        let seen = self.seen.get_mut(&instance.container).unwrap();
        if which > 1 || seen.attempt != instance.attempt || seen.ended.is_some() {
            return;
        }
        match answer {
            Answer::Good => seen.bad[which] = 0,
            Answer::Bad(_) => seen.bad[which] += 1,
            Answer::Unknown(_) => {}
        }
        let threshold = probe.unwrap().failure_threshold;
        if matches!(answer, Answer::Bad(_))
            && seen.bad[which] == threshold
            && !stopping
            && seen.killing_at.is_none()
        {
            seen.must_go = true;
            seen.probe_grace = probe.unwrap().grace;
        }
    }

    pub(crate) fn command(&mut self, now: Millis, action: &Action, engine: &Engine) {
        assert!(!self.concluded, "{action:?} after the end");
        match action {
            Action::CreateContainer(making) => {
                let seen = self.seen.get_mut(&making.container).unwrap();
                if let Some(exit) = &seen.ended
                    && seen.attempt + 1 == making.attempt
                    && !seen.excused
                {
                    let ran = exit.finished_at.saturating_sub(seen.begun_at);
                    let wait = if ran > FORGIVEN { 0 } else { seen.backoff };
                    assert!(
                        now >= exit.finished_at + wait,
                        "{making:?} comes {} after its end",
                        now - exit.finished_at
                    );
                    let next = if wait == 0 { 10_000 } else { (wait * 2).min(300_000) };
                    assert_eq!(making.backoff, next, "{making:?} after {wait}");
                }
                assert!(engine.running(&making.container) == 0, "{making:?} while one runs");
                let again = seen.attempt == making.attempt && seen.ended.is_none();
                let excused = again && seen.excused;
                let begun_at = seen.next_begun_at.unwrap_or(now);
                let (attempt, backoff) = (making.attempt, making.backoff);
                *seen = Seen { backoff, attempt, begun_at, excused, ..Seen::default() };
            }
            Action::FindImage { container, .. } => {
                self.seen.get_mut(container).unwrap().next_begun_at = Some(now);
            }
            Action::Tell(notice) if notice.reason == "Killing" => {
                self.killing(now, &notice.field_path, &notice.message);
            }
            Action::LeaveRotation { limit } => self.rotation_limit = *limit,
            Action::RunHook { instance, hook: berth_cluster_pod::Hook::PreStop, .. } => {
                let seen = self.seen.get_mut(&instance.container).unwrap();
                assert!(seen.signalled_at.is_none(), "a hook after SIGTERM");
                seen.prestop = true;
                self.is_out(now, instance);
            }
            Action::Signal { instance, .. } => self.signal(now, instance, engine),
            Action::Kill(instance) => self.kill(now, instance),
            Action::Probe { instance, probe, .. } => {
                assert!(
                    self.stop_at.is_none() || *probe == ProbeKind::Readiness,
                    "{probe:?} while it ends"
                );
                let seen = &self.seen[&instance.container];
                assert_eq!(
                    (seen.attempt, seen.ended.is_some()),
                    (instance.attempt, false),
                    "{instance:?} {probe:?}"
                );
            }
            Action::Publish(status) => self.status(status, engine),
            Action::Conclude => {
                self.concluded = true;
                assert!(
                    engine.containers.is_empty() && engine.sandboxes.is_empty() && !engine.volumes,
                    "{engine:?}"
                );
            }
            _ => {}
        }
        self.count += 1;
    }

    /// Questions are known by the number of their command.
    pub(crate) fn asked(&mut self, id: CommandId, action: &Action) {
        if let Action::Probe { instance, probe, .. } = action {
            self.questions.insert(id, (instance.clone(), *probe));
        }
    }

    fn killing(&mut self, now: Millis, path: &str, message: &str) {
        let name = path.split(['{', '}']).nth(1).unwrap().to_owned();
        let (spec, default) = (self.of(&name).clone(), self.spec.grace);
        let seen = self.seen.get_mut(&name).unwrap();
        (seen.killing_at, seen.killing_after) = (Some(now), self.count);
        for (which, title) in ["startup", "liveness"].into_iter().enumerate() {
            if message.contains(&format!("failed {title} probe")) {
                let threshold = spec.probes[which].unwrap().failure_threshold;
                assert_eq!(seen.bad[which], threshold, "{message}");
                assert!(seen.must_go);
            }
        }
        if !message.contains("probe") {
            seen.probe_grace = None;
        }
        if message.starts_with("Stopping") && self.stop_at.is_none() {
            seen.probe_grace = Some(default);
        }
        seen.must_go = false;
    }

    fn is_out(&self, now: Millis, instance: &Instance) {
        if let Some(at) = self.stop_at
            && self.ends_with_its_pod(&instance.container)
        {
            assert!(
                self.rotation_over || now >= at + self.rotation_limit,
                "{instance:?} is told before it is out of rotation"
            );
        }
    }

    /// Whether it is ended because its pod is, and was not before.
    fn ends_with_its_pod(&self, name: &str) -> bool {
        self.stop_at.is_some() && self.seen[name].killing_after >= self.stop_after
    }

    fn signal(&mut self, now: Millis, instance: &Instance, engine: &Engine) {
        self.is_out(now, instance);
        let spec = self.of(&instance.container).clone();
        let deadline = self.grace_over(&instance.container);
        assert!(self.seen[&instance.container].killing_at.is_some(), "Killing is told first");
        if spec.kind == Kind::Sidecar && self.ends_with_its_pod(&instance.container) {
            let position = |name: &str| {
                self.spec.containers.iter().position(|container| container.name == name).unwrap()
            };
            let later = |name: &str| {
                position(name) > position(&instance.container) && self.of(name).kind != Kind::Init
            };
            let runs = engine.containers.values().any(|made| {
                later(&made.making.container) && matches!(made.state, State::Running { .. })
            });
            assert!(!runs || now >= deadline, "the sidecar {instance:?} is told too early");
        }
        let seen = self.seen.get_mut(&instance.container).unwrap();
        assert!(
            !spec.pre_stop || seen.prestop || now >= deadline,
            "{instance:?} is told before its hook has run"
        );
        seen.signalled_at.get_or_insert(now);
    }

    /// When the grace of a container is over, by what is known here: never later than the machine's.
    fn grace_over(&self, name: &str) -> Millis {
        let seen = &self.seen[name];
        let begun = seen.killing_at.unwrap_or(0);
        let own = begun + seen.probe_grace.unwrap_or(self.spec.grace);
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }

    fn kill(&mut self, now: Millis, instance: &Instance) {
        let over = self.grace_over(&instance.container);
        let signalled = self.seen[&instance.container].signalled_at.expect("SIGTERM comes first");
        assert!(
            now >= signalled + TERM_MIN,
            "{instance:?}: SIGKILL {} after SIGTERM",
            now - signalled
        );
        assert!(now >= over, "{instance:?}: SIGKILL {} too early", over - now);
    }

    fn status(&mut self, status: &PodStatus, engine: &Engine) {
        let phase = status.phase.clone().unwrap();
        assert!(!(self.phase == "Running" && phase == "Pending"), "Running became Pending");
        let over = matches!(self.phase.as_str(), "Succeeded" | "Failed");
        assert!(!over || self.phase == phase, "{} became {phase}", self.phase);
        if matches!(phase.as_str(), "Succeeded" | "Failed") {
            assert!(!engine.any_runs(), "{phase} while something runs");
        }
        self.phase = phase;
        for container in
            status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
        {
            for state in [&container.state, &container.last_state].into_iter().flatten() {
                let Some(ended) = &state.terminated else { continue };
                let Some(id) =
                    ended.container_id.as_deref().and_then(|id| id.strip_prefix("docker://"))
                else {
                    continue;
                };
                let Some(code) = engine.ends.get(id) else { continue };
                assert_eq!(ended.exit_code, *code, "the exit code of {id}");
            }
            assert!(
                !container.ready
                    || self.of(&container.name).kind == Kind::Init
                    || container.started == Some(true)
            );
        }
    }

    /// After all commands of one event.
    pub(crate) fn after(&mut self, now: Millis) {
        for (name, seen) in &self.seen {
            assert!(!seen.must_go, "{name} must go, at {now}");
        }
    }
}
