// SPDX-License-Identifier: Apache-2.0
//! Which containers are asked, and what follows from their answers.

use super::{Container, Machine};
use crate::command::{Action, CommandId, ProbeKind};
use crate::event::Answer;
use crate::probe::Prober;
use crate::reasons::event;
use crate::spec::Kind;

impl Machine {
    pub(super) fn ask_probes(&mut self) {
        for at in 0..self.containers.len() {
            for kind in ProbeKind::ALL {
                let Some(run) = self.containers[at].run() else { break };
                // One that is being ended holds the first two by itself.
                let wanted = run.up == (kind != ProbeKind::Startup);
                let due =
                    run.probers[kind as usize].as_ref().filter(|_| wanted).and_then(Prober::due);
                if due.is_some_and(|due| self.is_time(due)) {
                    self.ask_probe(at, kind);
                }
            }
        }
    }

    fn ask_probe(&mut self, at: usize, probe: ProbeKind) {
        let instance = self.containers[at].instance();
        let now = self.now;
        let Some(prober) =
            self.containers[at].run_mut().and_then(|run| run.probers[probe as usize].as_mut())
        else {
            return;
        };
        let timeout = prober.spec.timeout;
        let id = self.books.ask(Action::Probe { instance, probe, timeout });
        prober.asked(id, now);
    }

    pub(super) fn probe_answered(
        &mut self,
        at: usize,
        kind: ProbeKind,
        id: CommandId,
        answer: &Answer,
    ) {
        let now = self.now;
        let Some(run) = self.containers[at].run_mut() else { return };
        let Some(prober) =
            run.probers[kind as usize].as_mut().filter(|prober| prober.open() == Some(id))
        else {
            return;
        };
        let verdict = prober.answered(now, answer);
        let grace = prober.spec.grace;
        let failed = verdict == Some(false) && kind != ProbeKind::Readiness;
        if failed {
            prober.hold();
        }
        if kind == ProbeKind::Startup && verdict == Some(true) {
            run.up = true;
        }
        let title = kind.title();
        match answer {
            Answer::Good => {}
            Answer::Bad(why) => {
                self.tell(at, true, event::UNHEALTHY, format!("{title} probe failed: {why}"));
            }
            Answer::Unknown(why) => {
                let message = format!("{title} probe errored and resulted in unknown state: {why}");
                self.tell(at, true, event::UNHEALTHY, message);
            }
        }
        if failed {
            let again = self.restarts_anyway(&self.containers[at]);
            let message = unhealthy(&self.containers[at], kind, again);
            self.containers[at].again = again;
            self.begin_kill(
                at,
                now.saturating_add(grace.unwrap_or(self.spec.grace)),
                message,
                false,
            );
        }
    }
}

fn unhealthy(container: &Container, kind: ProbeKind, again: bool) -> String {
    let (name, probe) = (&container.spec.name, kind.title().to_lowercase());
    match (container.spec.kind, again) {
        (Kind::Regular, true) => {
            format!("Container {name} failed {probe} probe, will be restarted")
        }
        (Kind::Regular, false) => format!("Container {name} failed {probe} probe"),
        (Kind::Init | Kind::Sidecar, _) => format!("Init container {name} failed {probe} probe"),
    }
}
