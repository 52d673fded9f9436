// SPDX-License-Identifier: Apache-2.0
//! A machine, an engine and an API, under a clock that tests move.

use crate::checks::Checks;
use crate::engine::{Engine, Made};
use berth_cluster_pod::{
    Action, Answer, Command, CommandId, Event, Failure, Hook, Machine, Millis, Node, Outcome,
    Output, ProbeKind, Spec, State,
};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// When all tests begin.
pub(crate) const EPOCH: Millis = 1_700_000_000_000;

/// How a container behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// How long each attempt runs, and its exit code; the last one goes for all that follow. None runs for ever.
    pub(crate) runs: Vec<(Millis, i32)>,
    /// How long after SIGTERM it ends, and with which code; `None` if it does not care.
    pub(crate) term: Option<(Millis, i32)>,
}

/// What is to be said to a command instead of carrying it out, and whether it is carried out nevertheless.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) failure: Failure,
    pub(crate) done: bool,
}

/// Everything around the machine.
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) machine: Machine,
    pub(crate) engine: Engine,
    pub(crate) pod: Value,
    pub(crate) status: PodStatus,
    pub(crate) manners: BTreeMap<String, Manner>,
    pub(crate) images: BTreeSet<String>,
    /// Faults by the first word of a command, in the order in which they come.
    pub(crate) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// How long commands take, by their first word.
    pub(crate) delays: BTreeMap<&'static str, Millis>,
    /// Answers by container and first letter of the probe: `g`, `b` or `?` each; the last one stays.
    pub(crate) answers: BTreeMap<(String, char), VecDeque<char>>,
    pub(crate) pending: Vec<(Millis, Command)>,
    pub(crate) wake: Option<Millis>,
    /// What happened, with the time since the beginning.
    pub(crate) log: Vec<(Millis, String)>,
    pub(crate) published: usize,
    pub(crate) checks: Checks,
    pub(crate) concluded: bool,
    /// Whether the engine answers.
    pub(crate) up: bool,
}

pub(crate) fn spec_of(pod: &Value) -> Spec {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    Spec::read(&pod)
}

/// The first word of a command, and what it is about.
pub(crate) fn word(action: &Action) -> (&'static str, String) {
    let of = |instance: &berth_cluster_pod::Instance| {
        format!("{}-{}", instance.container, instance.attempt)
    };
    match action {
        Action::PrepareVolumes => ("volumes", String::new()),
        Action::CreateSandbox { attempt } => ("sandbox", attempt.to_string()),
        Action::FindImage { image, .. } => ("find", image.clone()),
        Action::PullImage { image, .. } => ("pull", image.clone()),
        Action::CreateContainer(making) => {
            ("create", format!("{}-{}", making.container, making.attempt))
        }
        Action::StartContainer(instance) => ("start", of(instance)),
        Action::RunHook { instance, hook: Hook::PostStart, .. } => ("poststart", of(instance)),
        Action::RunHook { instance, hook: Hook::PreStop, .. } => ("prestop", of(instance)),
        Action::Probe { instance, probe, .. } => ("probe", format!("{} {probe:?}", of(instance))),
        Action::LeaveRotation { .. } => ("rotation", String::new()),
        Action::Signal { instance, .. } => ("term", of(instance)),
        Action::Kill(instance) => ("kill", of(instance)),
        Action::RemoveContainer(instance) => ("remove", of(instance)),
        Action::RemoveSandbox { attempt, .. } => ("unsandbox", attempt.to_string()),
        Action::TearDownVolumes => ("teardown", String::new()),
        Action::Look => ("look", String::new()),
        Action::Publish(status) => ("status", status.phase.clone().unwrap_or_default()),
        Action::Tell(notice) => ("event", format!("{} {}", notice.reason, notice.message)),
        Action::Abandon(id) => ("abandon", id.0.to_string()),
        Action::Conclude => ("conclude", String::new()),
    }
}

impl World {
    /// A pod with this spec; its images are there.
    pub(crate) fn new(spec: Value) -> Self {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u", "generation": 1});
        Self::of(json!({"metadata": metadata, "spec": spec}))
    }

    pub(crate) fn of(pod: Value) -> Self {
        let machine = Machine::new(spec_of(&pod), node(), Engine::default().view(EPOCH), EPOCH);
        let spec = spec_of(&pod);
        Self {
            now: EPOCH,
            machine,
            engine: Engine::default(),
            status: spec.status.clone(),
            manners: BTreeMap::new(),
            images: spec.containers.iter().map(|container| container.image.clone()).collect(),
            faults: BTreeMap::new(),
            delays: BTreeMap::new(),
            answers: BTreeMap::new(),
            pending: Vec::new(),
            wake: Some(EPOCH),
            log: Vec::new(),
            published: 0,
            checks: Checks::new(spec),
            concluded: false,
            up: true,
            pod,
        }
    }

    pub(crate) fn manner(
        mut self,
        name: &str,
        runs: &[(Millis, i32)],
        term: Option<(Millis, i32)>,
    ) -> Self {
        self.manners.insert(name.to_owned(), Manner { runs: runs.to_vec(), term });
        self
    }

    pub(crate) fn answers(mut self, name: &str, probe: char, answers: &str) -> Self {
        self.answers.insert((name.to_owned(), probe), answers.chars().collect());
        self
    }

    pub(crate) fn delay(mut self, word: &'static str, delay: Millis) -> Self {
        self.delays.insert(word, delay);
        self
    }

    pub(crate) fn fault(mut self, word: &'static str, failure: Failure) -> Self {
        self.faults.entry(word).or_default().push_back(Fault { failure, done: false });
        self
    }

    pub(crate) fn since(&self) -> Millis {
        self.now - EPOCH
    }

    /// Tells the machine, and takes its commands.
    pub(crate) fn tell(&mut self, event: Event) {
        if matches!(
            event,
            Event::EngineGone
                | Event::EngineBack(_)
                | Event::SandboxDied { .. }
                | Event::Pod(_)
                | Event::Gone
                | Event::Seen(_)
        ) {
            let text = format!("{event:?}");
            self.log.push((
                self.since(),
                format!("<- {}", text.split([' ', '(']).next().unwrap_or_default()),
            ));
        }
        self.checks.event(self.now, &event);
        let output = self.machine.handle(self.now, event);
        self.take(output);
    }

    fn take(&mut self, output: Output) {
        self.wake = output.wake;
        for command in output.commands {
            let (word, what) = word(&command.action);
            self.log.push((self.since(), format!("{word} {what}").trim_end().to_owned()));
            self.checks.command(self.now, &command.action, &self.engine);
            self.checks.asked(command.id, &command.action);
            match command.action {
                Action::Publish(status) => {
                    self.published += 1;
                    self.status = *status;
                }
                Action::Abandon(id) => self.pending.retain(|(_, pending)| pending.id != id),
                Action::Conclude => self.concluded = true,
                Action::Tell(_) => {}
                _ => {
                    let delay = self.delays.get(word).copied().unwrap_or(0);
                    self.pending.push((self.now + delay, command));
                }
            }
        }
        self.checks.after(self.now);
    }

    /// Lets everything happen until `until` after the beginning.
    pub(crate) fn run_until(&mut self, until: Millis) {
        let until = EPOCH + until;
        for _ in 0..200_000 {
            if self.concluded {
                return;
            }
            let Some(next) = self.next().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.happen();
        }
        assert!(
            self.next().is_none_or(|next| next > until),
            "something goes round in circles: {:?}",
            self.log.iter().rev().take(20)
        );
        self.now = self.now.max(until);
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Millis> {
        let pending = self.pending.iter().map(|(due, _)| *due).min();
        let death =
            self.engine.containers.values().filter_map(|made| made.dies).map(|(at, _)| at).min();
        [pending, death, self.wake].into_iter().flatten().min()
    }

    /// One thing that is due.
    pub(crate) fn happen(&mut self) {
        let now = self.now;
        let dies = |made: &Made| made.dies.filter(|(at, _)| *at <= now);
        let death = self
            .engine
            .containers
            .iter()
            .find_map(|(key, made)| dies(made).map(|(_, code)| (key.clone(), code)));
        if let Some((key, code)) = death {
            return self.die(&key, code);
        }
        if let Some(which) = self.pending.iter().position(|(due, _)| *due <= now) {
            let (_, command) = self.pending.remove(which);
            return self.carry_out(command);
        }
        self.wake = None;
        self.tell(Event::Tick);
    }

    pub(crate) fn die(&mut self, key: &(String, u32), code: i32) {
        let Some(exit) = self.engine.end(key, self.now, code, false) else { return };
        self.log.push((self.since(), format!("died {}-{} {code}", key.0, key.1)));
        if self.up {
            self.tell(Event::ContainerDied { container: key.0.clone(), attempt: key.1, exit });
        }
    }

    pub(crate) fn carry_out(&mut self, command: Command) {
        let (word, _) = word(&command.action);
        let fault = self.faults.get_mut(word).and_then(VecDeque::pop_front);
        let outcome = match fault {
            Some(Fault { failure, done }) => {
                if done {
                    self.effect(&command.action);
                }
                Outcome::Failed(failure)
            }
            None => self.effect(&command.action),
        };
        self.result(command.id, outcome);
    }

    pub(crate) fn result(&mut self, id: CommandId, outcome: Outcome) {
        self.checks.result(id, &outcome);
        self.tell(Event::Result { id, outcome });
    }

    /// Does it.
    pub(crate) fn effect(&mut self, action: &Action) -> Outcome {
        let now = self.now;
        match action {
            Action::PrepareVolumes => self.engine.volumes = true,
            Action::TearDownVolumes => self.engine.volumes = false,
            Action::CreateSandbox { attempt } => {
                self.engine.sandboxes.entry(*attempt).or_insert(true);
                let view = self.engine.view(now);
                let made =
                    view.sandboxes.into_iter().find(|sandbox| sandbox.attempt == *attempt).unwrap();
                return Outcome::SandboxReady { id: made.id, addresses: made.addresses };
            }
            Action::RemoveSandbox { attempt, .. } => {
                self.engine.sandboxes.remove(attempt);
            }
            Action::FindImage { image, .. } => {
                let image_id = format!("sha256:{image}");
                return if self.images.contains(image) {
                    Outcome::ImageFound { image_id }
                } else {
                    Outcome::ImageAbsent
                };
            }
            Action::PullImage { image, .. } => {
                self.images.insert(image.clone());
                return Outcome::ImagePulled { image_id: format!("sha256:{image}"), bytes: 7 };
            }
            Action::CreateContainer(making) => {
                let id = Engine::id(&making.container, making.attempt);
                let made = Made {
                    making: making.clone(),
                    id: id.clone(),
                    state: State::Created,
                    dies: None,
                };
                self.engine
                    .containers
                    .entry((making.container.clone(), making.attempt))
                    .or_insert(made);
                return Outcome::Created { id };
            }
            Action::StartContainer(instance) => {
                return self.start(&instance.container, instance.attempt);
            }
            Action::Signal { instance, .. } => self.signal(&instance.container, instance.attempt),
            Action::Kill(instance) => {
                self.die(&(instance.container.clone(), instance.attempt), 137);
            }
            Action::RemoveContainer(instance) => {
                self.engine.containers.remove(&(instance.container.clone(), instance.attempt));
            }
            Action::Probe { instance, probe, .. } => {
                return Outcome::Probed(self.answer(&instance.container, *probe));
            }
            Action::LeaveRotation { .. } => return Outcome::RotationLeft { late: Vec::new() },
            Action::Look => return Outcome::Looked(self.engine.view(now)),
            Action::RunHook { .. }
            | Action::Publish(_)
            | Action::Tell(_)
            | Action::Abandon(_)
            | Action::Conclude => {}
        }
        Outcome::Done
    }

    fn signal(&mut self, name: &str, attempt: u32) {
        let now = self.now;
        let term = self.manners.get(name).map_or(Some((0, 143)), |manner| manner.term);
        let made = self.engine.containers.get_mut(&(name.to_owned(), attempt));
        if let Some(made) = made.filter(|made| matches!(made.state, State::Running { .. }))
            && let Some((after, code)) = term
        {
            let at = now + after;
            made.dies = Some(made.dies.filter(|(dies, _)| *dies <= at).unwrap_or((at, code)));
        }
    }

    fn start(&mut self, name: &str, attempt: u32) -> Outcome {
        let now = self.now;
        let manner = self.manners.get(name).cloned().unwrap_or_default();
        let Some(made) = self.engine.containers.get_mut(&(name.to_owned(), attempt)) else {
            return Outcome::Failed(Failure::Refused("No such container".to_owned()));
        };
        if made.state == State::Created {
            made.state = State::Running { started_at: now };
            let run = manner.runs.get(attempt as usize).or(manner.runs.last());
            made.dies = run.map(|(after, code)| (now + after, *code));
        }
        let running = self.engine.running(name);
        assert!(running <= 1, "{running} of {name} run at once");
        match self.engine.containers[&(name.to_owned(), attempt)].state {
            State::Running { started_at } => Outcome::Started { at: started_at },
            _ => Outcome::Started { at: now },
        }
    }

    fn answer(&mut self, name: &str, probe: ProbeKind) -> Answer {
        let letter = format!("{probe:?}").to_lowercase().chars().next().unwrap();
        let answers = self.answers.entry((name.to_owned(), letter)).or_default();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        match answer {
            Some('b') => Answer::Bad("no".to_owned()),
            Some('?') => Answer::Unknown("what".to_owned()),
            _ => Answer::Good,
        }
    }

    /// The agent is started again: all that was under way is done or not, and nobody tells.
    pub(crate) fn restart_agent(&mut self, done: impl Fn(usize) -> bool) {
        let pending = std::mem::take(&mut self.pending);
        self.machine =
            Machine::new(self.spec(), node(), Engine::default().view(self.now), self.now);
        for (which, (_, command)) in pending.into_iter().enumerate() {
            if done(which) && self.up {
                self.effect(&command.action);
            }
        }
        // What the effects led the forgotten machine to say counts for nothing.
        self.pending.clear();
        let view = self.engine.view(self.now);
        self.machine = Machine::new(self.spec(), node(), view, self.now);
        let spec = self.spec();
        self.checks.agent_restarted(self.now, spec.deletion);
        self.wake = Some(self.now);
    }

    /// The pod as the API has it.
    pub(crate) fn spec(&self) -> Spec {
        let mut pod = self.pod.clone();
        pod["status"] = serde_json::to_value(&self.status).unwrap();
        spec_of(&pod)
    }

    pub(crate) fn delete(&mut self, grace: i64) {
        self.pod["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z");
        self.pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        let spec = self.spec();
        self.tell(Event::Pod(Box::new(spec)));
    }

    /// Lines of the log that begin with one of these words, as `seconds line`.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        let chosen =
            self.log.iter().filter(|(_, line)| words.iter().any(|word| line.starts_with(word)));
        chosen.map(|(at, line)| format!("{} {line}", seconds(*at))).collect()
    }

    /// Events with one of these reasons.
    pub(crate) fn events(&self, reasons: &[&str]) -> Vec<String> {
        let words: Vec<_> = reasons.iter().map(|reason| format!("event {reason} ")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        self.lines(&words).into_iter().map(|line| line.replacen("event ", "", 1)).collect()
    }

    /// A part of the published status.
    pub(crate) fn shown(&self, pointer: &str) -> Value {
        let status = serde_json::to_value(&self.status).unwrap();
        status.pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// A condition as `status reason message`.
    pub(crate) fn condition(&self, name: &str) -> String {
        let conditions = self.status.conditions.iter().flatten();
        let found = conditions.into_iter().find(|condition| condition.type_ == name);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        found.map_or_else(String::new, |found| {
            format!("{} {} {}", found.status, text(&found.reason), text(&found.message))
                .trim_end()
                .to_owned()
        })
    }
}

/// A life that broke a promise tells how it came to it.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let news: Vec<_> =
                self.log.iter().filter(|(_, line)| !line.starts_with("probe")).collect();
            for (at, line) in &news[news.len().saturating_sub(400)..] {
                eprintln!("{} {line}", seconds(*at));
            }
        }
    }
}

pub(crate) fn seconds(at: Millis) -> String {
    if at.is_multiple_of(1_000) {
        (at / 1_000).to_string()
    } else {
        format!("{}.{:03}", at / 1_000, at % 1_000)
    }
}

pub(crate) fn node() -> Node {
    Node { host_ips: vec!["192.0.2.1".to_owned()] }
}

pub(crate) fn refused(why: &str) -> Failure {
    Failure::Refused(why.to_owned())
}

pub(crate) fn unreachable() -> Failure {
    Failure::Unreachable("gone".to_owned())
}
