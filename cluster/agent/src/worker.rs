// SPDX-License-Identifier: Apache-2.0
//! The task of one pod: it owns the pod's machine, tells it what happened, and has carried out what it asks for.
//!
//! Commands about the same thing are carried out one after the other, in the order of their numbers (`lanes`); others side by side, so
//! that a pull or a hung probe holds nothing up.

use crate::carry;
use crate::publish::Publisher;
use crate::shared::{Shared, Shown};
use crate::task::Task;
use crate::view;
use berth_cluster_docker::Part;
use berth_cluster_pod::{
    Action, Command, CommandId, Event, Exit, Machine, Millis, Node, Outcome, Output, Spec, View,
};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// How often volumes that are made of objects are brought up to date; upstream's bound is a minute and a half.
const REFRESH: Duration = Duration::from_secs(30);
/// How long the last status may take to arrive when the agent stops.
const LAST: Duration = Duration::from_secs(2);

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// The pod as the API has it.
    Pod(Arc<Pod>),
    /// The API does not have it any more, or the machine is told something else.
    Event(Box<Event>),
    /// The engine has this.
    Seen { found: Arc<berth_cluster_docker::View>, taken_at: Millis, back: bool },
    /// A container or the sandbox has ended.
    Died { part: Part, attempt: u32, id: String, code: i32 },
    /// The agent stops, and leaves the pod as it is.
    Leave,
    /// The pod has so long to end, and goes.
    End(Millis),
}

/// What a command is about: those about the same thing wait for one another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Volumes,
    Sandbox,
    Container(String, u32),
}

fn lane(action: &Action) -> Option<Lane> {
    match action {
        Action::PrepareVolumes | Action::TearDownVolumes => Some(Lane::Volumes),
        Action::CreateSandbox { .. } | Action::RemoveSandbox { .. } => Some(Lane::Sandbox),
        Action::CreateContainer(making) => {
            Some(Lane::Container(making.container.clone(), making.attempt))
        }
        Action::StartContainer(it) | Action::RemoveContainer(it) => {
            Some(Lane::Container(it.container.clone(), it.attempt))
        }
        _ => None,
    }
}

/// Whether a command may be dropped half way: what works on files goes on behind its back.
fn may_be_dropped(action: &Action) -> bool {
    matches!(
        action,
        Action::FindImage { .. }
            | Action::PullImage { .. }
            | Action::RunHook { .. }
            | Action::Probe { .. }
            | Action::LeaveRotation { .. }
    )
}

/// What comes back from tasks.
#[derive(Debug)]
enum Back {
    Result(CommandId, Outcome),
    Event(Event),
}

/// The task of one pod.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    task: Arc<Task>,
    machine: Machine,
    publisher: Publisher,
    inbox: mpsc::UnboundedReceiver<Message>,
    back: (mpsc::UnboundedSender<Back>, mpsc::UnboundedReceiver<Back>),
    lanes: BTreeMap<Lane, oneshot::Receiver<()>>,
    droppable: BTreeMap<CommandId, AbortHandle>,
    refresh_at: Instant,
    concluded: bool,
}

impl Worker {
    /// `found`: what the engine had of it when the agent began.
    pub(crate) async fn new(
        shared: Arc<Shared>,
        task: Arc<Task>,
        found: &berth_cluster_docker::View,
        taken_at: Millis,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let view: View = task.view(found, taken_at).await;
        let newest = view.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt);
        if let Some(sandbox) = newest {
            let mut known = task.known();
            known.addresses.clone_from(&sandbox.addresses);
            known.sandbox = sandbox.running.then(|| sandbox.id.clone());
        }
        let spec = Spec::read(&task.object());
        let node = Node { host_ips: vec![shared.settings.address.to_string()] };
        let publisher = Publisher::start(Arc::clone(&shared), task.pod.clone(), &spec.status);
        let machine = Machine::new(spec, node, view, shared.now());
        Self {
            shared,
            task,
            machine,
            publisher,
            inbox,
            back: mpsc::unbounded_channel(),
            lanes: BTreeMap::new(),
            droppable: BTreeMap::new(),
            refresh_at: Instant::now() + REFRESH,
            concluded: false,
        }
    }

    /// Runs until nothing is left of the pod, or the agent stops.
    pub(crate) async fn run(mut self) {
        let mut wake = self.handle(Event::Tick);
        loop {
            let now = self.shared.now();
            let at = wake.map_or(Duration::from_hours(1), |wake| {
                Duration::from_millis(wake.saturating_sub(now))
            });
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(Message::Leave) | None => {
                        self.publisher.finish(LAST).await;
                        return;
                    }
                    Some(message) => {
                        if let Some(event) = self.understand(message).await {
                            wake = self.handle(event);
                        }
                    }
                },
                Some(back) = self.back.1.recv() => {
                    wake = match back {
                        Back::Result(id, outcome) => {
                            self.droppable.remove(&id);
                            self.handle(Event::Result { id, outcome })
                        }
                        Back::Event(event) => self.handle(event),
                    };
                }
                () = sleep_until(Instant::now() + at) => wake = self.handle(Event::Tick),
                () = sleep_until(self.refresh_at) => self.refresh(),
            }
            if self.concluded {
                // Before the API knows: the next pod that comes for its place has to find it free.
                self.shared.shown().remove(&self.task.pod.uid);
                // Where all of the node goes, the API may be gone already.
                if *self.shared.stop.borrow() {
                    self.publisher.finish(Duration::ZERO).await;
                } else {
                    self.publisher.conclude().await;
                }
                return;
            }
        }
    }

    /// Tells the machine, and has carried out what it asks for. Gives when it wants to be called again.
    fn handle(&mut self, event: Event) -> Option<Millis> {
        let Output { commands, wake } = self.machine.handle(self.shared.now(), event);
        for command in commands {
            self.carry_out(command);
        }
        self.show();
        wake
    }

    fn carry_out(&mut self, Command { id, action }: Command) {
        match action {
            Action::Publish(status) => self.publisher.publish(*status),
            Action::Tell(notice) => {
                let pod = self.task.object();
                let part = &notice.field_path;
                self.shared.tell(&pod, part, notice.warning, notice.reason, notice.message);
            }
            Action::Abandon(id) => {
                if let Some(task) = self.droppable.remove(&id) {
                    task.abort();
                }
            }
            Action::Conclude => self.concluded = true,
            action => self.begin(id, action),
        }
    }

    fn begin(&mut self, id: CommandId, action: Action) {
        let (task, back) = (Arc::clone(&self.task), self.back.0.clone());
        let (done, waits) = oneshot::channel::<()>();
        let before = lane(&action).and_then(|lane| self.lanes.insert(lane, waits));
        let droppable = may_be_dropped(&action);
        let running = tokio::spawn(async move {
            if let Some(before) = before {
                // Its end is all that counts, and that is told by an error.
                drop(before.await);
            }
            let outcome = Box::pin(carry::run(&task, action)).await;
            drop(done);
            // The worker may have ended.
            drop(back.send(Back::Result(id, outcome)));
        });
        if droppable {
            self.droppable.insert(id, running.abort_handle());
        }
        // Those that have ended hold nobody up.
        self.lanes.retain(|_, waits| {
            matches!(waits.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        });
    }

    async fn understand(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Pod(pod) => {
                let spec = Box::new(Spec::read(&pod));
                let before = std::mem::replace(&mut self.task.known().object, Arc::clone(&pod));
                let said =
                    |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
                if said(&before) != said(&pod) {
                    self.refresh();
                }
                Some(Event::Pod(spec))
            }
            Message::Event(event) => Some(*event),
            Message::Seen { found, taken_at, back } => {
                let view = self.task.view(&found, taken_at).await;
                Some(if back { Event::EngineBack(view) } else { Event::Seen(view) })
            }
            Message::Died { part: Part::Sandbox, attempt, .. } => {
                Some(Event::SandboxDied { attempt })
            }
            Message::Died { part: Part::Container(container), attempt, id, code } => {
                self.look_at_the_dead(container, attempt, id, code);
                None
            }
            Message::End(grace) => {
                let mut spec = Spec::read(&self.task.object());
                let limit = spec.deletion.unwrap_or(spec.grace).min(grace);
                spec.deletion = Some(limit);
                Some(Event::Pod(Box::new(spec)))
            }
            Message::Leave => None,
        }
    }

    /// How a container ended is asked of the engine, beside everything else.
    fn look_at_the_dead(&self, container: String, attempt: u32, id: String, code: i32) {
        let (task, back) = (Arc::clone(&self.task), self.back.0.clone());
        tokio::spawn(async move {
            let exit = match task.shared.engine.inspect(&id).await {
                Ok(seen) if view::is_up(&seen) => return,
                Ok(seen) => {
                    let message = task.message(&seen).await;
                    view::exit(&seen, message)
                }
                Err(error) if error.is_not_found() => {
                    let now = task.shared.now();
                    Exit { code, started_at: now, finished_at: now, ..Exit::default() }
                }
                // The next look at all will tell.
                Err(_) => return,
            };
            drop(back.send(Back::Event(Event::ContainerDied { container, attempt, exit })));
        });
    }

    fn refresh(&mut self) {
        self.refresh_at = Instant::now() + REFRESH;
        let task = Arc::clone(&self.task);
        tokio::spawn(async move { Box::pin(carry::refresh(&task)).await });
    }

    /// Lets others see how the pod is.
    fn show(&self) {
        let status: PodStatus = self.machine.status().clone();
        let pod = self.task.object();
        let sandbox = self.task.known().sandbox.clone();
        let shown = Shown { pod, status, sandbox };
        self.shared.shown().insert(self.task.pod.uid.clone(), shown);
    }
}
