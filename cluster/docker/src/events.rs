// SPDX-License-Identifier: Apache-2.0
//! What happens to this agent's containers, as it happens.
//!
//! An engine keeps only its last few events, and drops what a slow reader does not take. So a task of its own reads them into a queue with
//! a bound; and whenever anything may have been missed (at the beginning, after the engine was away, when the queue ran over) the agent is
//! told to list. Events that came before the list was made are then told again, or were old: an event says that something changed, what is
//! true is what a container's inspection says.

use crate::engine::{Engine, is_id};
use crate::error::CallError;
use crate::labels::{self, Agent, Identity};
use crate::limits;
use crate::lines::Lines;
use crate::moment::Moment;
use crate::wire::{self, Ask};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

const CALL: &str = "follow events";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// From here on nothing is missed; of what was before, this stream does not know all. List now.
    List,
    /// The engine is away. It is tried again until it answers; then there will be [`Event::List`].
    Gone(CallError),
    /// Something happened to a container.
    Container {
        /// Its id.
        id: String,
        /// Which part of which pod it is.
        identity: Identity,
        /// When, by the engine's clock.
        time: Moment,
        /// What.
        change: Change,
    },
}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Created,
    /// It was started.
    Started,
    /// It ended.
    Died {
        /// With what.
        exit_code: i32,
    },
    /// The kernel killed a process in it for want of memory.
    OutOfMemory,
    /// An exec in it ended.
    ExecDied {
        /// Which.
        exec: String,
        /// With what.
        exit_code: i32,
    },
    /// It was removed.
    Removed,
}

/// Events in their order. It ends what it reads when it is dropped.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Events {
    /// The next one. None never, as long as the runtime lives. It may be dropped half way, and called again.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Follows this agent's events, from `since` on as far as the engine still knows.
    #[must_use]
    pub fn events(&self, since: Option<Moment>) -> Events {
        let (sender, queue) = mpsc::channel(limits::EVENTS_MAX);
        let reader = Reader { engine: self.clone(), last: since, queue: Queue::new(sender) };
        Events { queue, task: tokio::spawn(reader.run()) }
    }
}

/// The queue's near end: when it is full, what comes is dropped, and the agent told to list once there is room.
#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<Event>,
    lost: bool,
}

impl Queue {
    fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, lost: false }
    }

    fn push(&mut self, event: Event) {
        if self.lost && self.sender.try_send(Event::List).is_ok() {
            self.lost = false;
        }
        if self.lost || self.sender.try_send(event).is_err() {
            self.lost = true;
        }
    }
}

struct Reader {
    engine: Engine,
    /// The moment of the last event, from which the next stream begins.
    last: Option<Moment>,
    queue: Queue,
}

impl Reader {
    async fn run(mut self) {
        loop {
            let error = self.follow().await;
            if self.queue.sender.is_closed() {
                return;
            }
            tracing::debug!(%error, "the engine's events ended");
            self.queue.push(Event::Gone(error));
            tokio::time::sleep(limits::AWAY).await;
        }
    }

    /// Reads until the stream breaks.
    async fn follow(&mut self) -> CallError {
        let mut lines = match self.open().await {
            Ok(lines) => lines,
            Err(error) => return error,
        };
        self.queue.push(Event::List);
        loop {
            let Ok(line) = tokio::time::timeout(limits::EVENTS_SILENCE, lines.next()).await else {
                // A connection whose other end vanished is as silent as an engine where nothing happens.
                if let Err(error) = self.engine.ping().await {
                    return error;
                }
                self.flush();
                continue;
            };
            match line {
                Ok(Some(line)) => self.take(&line),
                Ok(None) => {
                    return CallError::Gone {
                        call: CALL,
                        reason: "it closed the stream".to_owned(),
                    };
                }
                Err(error) => return error,
            }
        }
    }

    async fn open(&self) -> Result<Lines, CallError> {
        let ours = format!("{}={}", labels::AGENT, self.engine.agent.name());
        let filters = json!({"type": ["container"], "label": [ours]}).to_string();
        let since = self.last.map(Moment::query).unwrap_or_default();
        let query = wire::query(&[("filters", &filters), ("since", &since)]);
        let ask =
            Ask { call: CALL, method: "GET", path: format!("/events?{query}"), ..Ask::default() };
        let answer = self.engine.wire.send(ask, limits::ASK).await?;
        Ok(Lines::new(CALL, answer.into_body()))
    }

    fn take(&mut self, line: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Message>(line) else { return };
        self.last = self.last.max(Some(Moment(message.time_nano)));
        if let Some(event) = message.event(&self.engine.agent) {
            self.queue.push(event);
        }
    }

    /// Tells of what was lost, if there is room again.
    fn flush(&mut self) {
        if self.queue.lost && self.queue.sender.try_send(Event::List).is_ok() {
            self.queue.lost = false;
        }
    }
}

/// An event in the engine's words.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor", default)]
    actor: Actor,
    #[serde(rename = "timeNano", default)]
    time_nano: i64,
}

#[derive(Debug, Default, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

impl Message {
    /// What it says. None for what nobody needs, and for what is not this agent's.
    fn event(self, agent: &Agent) -> Option<Event> {
        let attributes = self.actor.attributes;
        let get = |key: &str| attributes.get(key).map(String::as_str).unwrap_or_default();
        let exit_code = get("exitCode").parse().unwrap_or(0);
        let change = match self.action.as_str() {
            "create" => Change::Created,
            "start" => Change::Started,
            "die" => Change::Died { exit_code },
            "oom" => Change::OutOfMemory,
            "exec_die" => Change::ExecDied { exec: get("execID").to_owned(), exit_code },
            "destroy" => Change::Removed,
            _ => return None,
        };
        let identity = labels::read(agent, get("name"), &attributes)?.identity;
        let id = Some(self.actor.id).filter(|id| is_id(id))?;
        Some(Event::Container { id, identity, time: Moment(self.time_nano), change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Part, PodRef};

    fn message(agent: &Agent, action: &str, more: &[(&str, &str)]) -> Message {
        let pod = PodRef { namespace: "n".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
        let identity = Identity { pod, part: Part::Container("c".to_owned()), attempt: 0 };
        let mut attributes = identity.labels(agent, "digest", &BTreeMap::new());
        attributes.insert("name".to_owned(), identity.engine_name(agent).unwrap());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let actor = Actor { id: "a".repeat(64), attributes };
        Message { action: action.to_owned(), actor, time_nano: 5 }
    }

    #[test]
    fn events_are_read_and_those_of_others_are_not() {
        let agent = Agent::new("a").unwrap();
        let change = |message: Message, agent: &Agent| match message.event(agent) {
            Some(Event::Container { change, .. }) => Some(change),
            _ => None,
        };
        for (action, more, wanted) in [
            ("create", vec![], Some(Change::Created)),
            ("start", vec![], Some(Change::Started)),
            ("die", vec![("exitCode", "137")], Some(Change::Died { exit_code: 137 })),
            ("die", vec![], Some(Change::Died { exit_code: 0 })),
            ("oom", vec![], Some(Change::OutOfMemory)),
            ("destroy", vec![], Some(Change::Removed)),
            (
                "exec_die",
                vec![("exitCode", "1"), ("execID", "e")],
                Some(Change::ExecDied { exec: "e".to_owned(), exit_code: 1 }),
            ),
            ("exec_start: sh", vec![], None),
            ("top", vec![], None),
            ("die", vec![("name", "foreign")], None),
        ] {
            assert_eq!(change(message(&agent, action, &more), &agent), wanted, "{action}");
        }
        let other = Agent::new("b").unwrap();
        assert_eq!(change(message(&other, "die", &[]), &agent), None);
        let mut hostile = message(&agent, "die", &[]);
        hostile.actor.id = "../x".to_owned();
        assert_eq!(change(hostile, &agent), None);
    }

    #[test]
    fn a_queue_that_ran_over_says_so_before_it_goes_on() {
        let (sender, mut receiver) = mpsc::channel(2);
        let mut queue = Queue::new(sender);
        let gone = |n: u16| {
            Event::Gone(CallError::Refused { call: CALL, status: n, message: String::new() })
        };
        for n in 0..5 {
            queue.push(gone(n));
        }
        assert_eq!(receiver.try_recv().unwrap(), gone(0));
        assert_eq!(receiver.try_recv().unwrap(), gone(1));
        queue.push(gone(5));
        assert_eq!(receiver.try_recv().unwrap(), Event::List);
        assert_eq!(receiver.try_recv().unwrap(), gone(5));
        queue.push(gone(6));
        assert_eq!(receiver.try_recv().unwrap(), gone(6));
        assert!(receiver.try_recv().is_err());
    }
}
