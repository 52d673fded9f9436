// SPDX-License-Identifier: Apache-2.0
//! Commands on their way out, and those whose result is awaited.

use crate::command::{Action, Command, CommandId, Notice};
use std::collections::BTreeMap;

/// Numbers commands and remembers which are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    last: u64,
    /// Bounded by the pod's spec: for each container at most one step of its life, one hook, three probes and one signal, a removal for
    /// each attempt that the engine still has, and for the pod one command each for volumes, sandbox, rotation and a look.
    open: BTreeMap<CommandId, Action>,
    out: Vec<Command>,
}

impl Books {
    /// Sends out a command whose result is awaited.
    pub(crate) fn ask(&mut self, action: Action) -> CommandId {
        let id = self.send(action.clone());
        self.open.insert(id, action);
        id
    }

    /// Sends out a command without a result.
    pub(crate) fn say(&mut self, action: Action) {
        self.send(action);
    }

    /// An event for users.
    pub(crate) fn tell(
        &mut self,
        field_path: &str,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        self.say(Action::Tell(Notice {
            field_path: field_path.to_owned(),
            warning,
            reason,
            message,
        }));
    }

    fn send(&mut self, action: Action) -> CommandId {
        self.last += 1;
        let id = CommandId(self.last);
        self.out.push(Command { id, action });
        id
    }

    /// How many commands there have been.
    pub(crate) fn count(&self) -> u64 {
        self.last
    }

    /// The command whose result has come; `None` if nobody waits for it any more.
    pub(crate) fn close(&mut self, id: CommandId) -> Option<Action> {
        self.open.remove(&id)
    }

    /// The result is not wanted any more.
    pub(crate) fn abandon(&mut self, id: CommandId) {
        if self.open.remove(&id).is_some() {
            self.say(Action::Abandon(id));
        }
    }

    /// Takes the commands that are to be carried out.
    pub(crate) fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.out)
    }

    /// Commands without a result so far.
    pub(crate) fn open(&self) -> impl Iterator<Item = (CommandId, &Action)> {
        self.open.iter().map(|(id, action)| (*id, action))
    }
}
