// SPDX-License-Identifier: Apache-2.0
//! Load on a full cluster: pods of high priority come, and room is made for them.
//!
//! ```text
//! message:  releases: victims that were told, and placed pods of high priority, drawn at random
//!           pods:     as many of low priority as those leave room for, then the next ones of high priority
//! answer:   each of high priority: a nomination, and its victims
//! later:    it is placed, once its victims are released
//! ```
//!
//! What is measured is a pod of high priority from its request to its placement. Pods of low priority keep the cluster full;
//! they are not counted.

use super::load::Load;
use super::measure::Measure;
use super::phase::{Agenda, Phase};
use super::source::HIGH;
use super::stream::{open, receive};
use super::target::Client;
use crate::books::{PodIx, Rule};
use crate::error::Error;
use berth_proto::raw::request::RequestWriter;
use berth_proto::raw::{StreamRequest, StreamResponse};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_scheduler_model::Str;
use hashbrown::HashMap;
use indicatif::ProgressBar;
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::mpsc;
use tonic::Streaming;

/// A message that is on its way.
#[derive(Debug, Default)]
struct Message {
    id: u64,
    release: Vec<PodIx>,
    pods: Vec<PodIx>,
}

/// A pod of high priority for which room is being made.
#[derive(Debug)]
struct Nominated {
    pod: PodIx,
    due: Instant,
    /// How many pods have to go.
    victims: usize,
}

type BySerial<T> = HashMap<u64, T, foldhash::fast::FixedState>;

/// Pods of both kinds, from one phase to the next.
#[derive(Debug, Default)]
pub struct Preempting {
    /// Pods of low priority that are placed and not told to go.
    low: BySerial<PodIx>,
    /// Pods of high priority that are placed, and how many had to go for each.
    high: Vec<(PodIx, usize)>,
    /// Pods of high priority that wait for their victims to go.
    nominated: BySerial<Nominated>,
    /// When pods of high priority were sent that are not answered yet.
    due: BySerial<Instant>,
    /// Pods that are to go.
    to_release: Vec<PodIx>,
    /// Pods of low priority that there is room for.
    room: usize,
}

struct Line {
    send: mpsc::UnboundedSender<StreamRequest>,
    receive: Streaming<StreamResponse>,
    on_their_way: VecDeque<Message>,
    next_id: u64,
    /// Decisions of the service about nominated pods, which are booked in the order of their revisions.
    held: Vec<v1::PodResult>,
}

impl Preempting {
    /// Of a cluster that was filled.
    pub fn new(load: &mut Load) -> Self {
        let low = load.take_live();
        let low = low.into_iter().map(|pod| (load.books.serial(pod), pod)).collect();
        Self { low, ..Self::default() }
    }

    /// Gives the pods back to the load, to be compared with the service's lists.
    pub fn give_back(&mut self, load: &mut Load) {
        let mut low: Vec<PodIx> = self.low.drain().map(|(_, pod)| pod).collect();
        low.sort_unstable();
        low.into_iter()
            .chain(self.high.drain(..).map(|(pod, _)| pod))
            .for_each(|pod| load.keep(pod));
    }

    /// Runs a phase: `batch` pods of high priority a message, `window` of them on their way or waiting for room.
    pub async fn run(
        &mut self,
        client: &mut Client,
        load: &mut Load,
        phase: &Phase,
        (batch, window): (usize, usize),
        bar: &ProgressBar,
    ) -> Result<Measure, Error> {
        let (send, receiver) = open(client).await?;
        let mut line = Line {
            send,
            receive: receiver,
            on_their_way: VecDeque::new(),
            next_id: 1,
            held: Vec::new(),
        };
        let began = Instant::now();
        let mut measure = Measure::new(began);
        let mut agenda = Agenda::new(began, phase);
        loop {
            let now = Instant::now();
            bar.set_position(agenda.progress(now));
            let mut high = agenda.next(now, batch);
            while high > 0 && self.due.len() + self.nominated.len() + high <= window.max(batch) {
                agenda.sent(high);
                self.send(&mut line, load, high, phase.paired)?;
                high = agenda.next(Instant::now(), batch);
            }
            if !self.to_release.is_empty() || self.room > 0 {
                self.send(&mut line, load, 0, false)?;
            }
            if line.on_their_way.is_empty() && self.nominated.is_empty() {
                return Ok(measure);
            }
            let answer = receive(&mut line.receive).await?;
            self.take(&mut line, load, answer, &mut measure);
        }
    }

    /// Sends a message: everything that is to go, what fills the room, and so many pods of high priority.
    fn send(
        &mut self,
        line: &mut Line,
        load: &mut Load,
        high: usize,
        paired: bool,
    ) -> Result<(), Error> {
        let mut message = Message { id: line.next_id, ..Message::default() };
        line.next_id += 1;
        let mut writer = RequestWriter::stream(message.id);
        message.release.append(&mut self.to_release);
        for _ in 0..if paired { high.min(self.high.len()) } else { 0 } {
            let at = load.below(self.high.len());
            let (pod, victims) = self.high.swap_remove(at);
            self.room += victims;
            message.release.push(pod);
        }
        for pod in &message.release {
            writer.release(load.uid(*pod).as_str());
        }
        for _ in 0..std::mem::take(&mut self.room) {
            message.pods.push(load.next_pod());
        }
        for _ in 0..high {
            let pod = load.pod_of(HIGH);
            self.due.insert(load.books.serial(pod), Instant::now());
            message.pods.push(pod);
        }
        for pod in &message.pods {
            load.write_pod(&mut writer, *pod);
        }
        line.on_their_way.push_back(message);
        line.send.send(StreamRequest(writer.finish())).map_err(|_| Error::StreamEnded)
    }

    fn take(
        &mut self,
        line: &mut Line,
        load: &mut Load,
        mut answer: v1::StreamResponse,
        measure: &mut Measure,
    ) {
        line.held.append(&mut answer.later);
        if answer.id != 0 {
            let message = line.on_their_way.pop_front().unwrap_or_default();
            if message.id != answer.id || message.pods.len() != answer.results.len() {
                let text = || format!("message {} was answered by {}", message.id, answer.id);
                load.books.violate(Rule::Protocol, text);
            }
            message.release.iter().for_each(|pod| load.released(*pod));
            let (before, after) =
                line.held.drain(..).partition(|result| result.revision < answer.revision);
            line.held = after;
            self.later(load, before, measure);
            for (pod, result) in message.pods.iter().zip(&answer.results) {
                self.result(load, *pod, result, measure);
            }
            for uid in answer.unknown {
                let text = || format!("pod {uid} was placed, and is not known at its release");
                load.books.violate(Rule::Protocol, text);
            }
        }
        if line.on_their_way.is_empty() {
            let held = std::mem::take(&mut line.held);
            self.later(load, held, measure);
        }
    }

    /// The answer to a pod's request.
    fn result(
        &mut self,
        load: &mut Load,
        pod: PodIx,
        result: &v1::PodResult,
        measure: &mut Measure,
    ) {
        let serial = load.books.serial(pod);
        match (&result.outcome, self.due.remove(&serial)) {
            (Some(Outcome::Preempting(preempting)), Some(due)) => {
                load.tally.preempting += 1;
                let victims = self.victims(load, pod, preempting);
                self.nominated.insert(serial, Nominated { pod, due, victims });
            }
            (Some(Outcome::Placed(placed)), Some(due)) => {
                // Room was left by one that went: nobody had to go for it, and nobody fills it.
                if load.books.place(pod, &placed.node).is_some() {
                    self.arrived(load, pod, 0, due, measure);
                }
            }
            (Some(Outcome::Placed(placed)), None) => {
                if load.books.place(pod, &placed.node).is_some() {
                    self.low.insert(serial, pod);
                }
            }
            (_, due) => {
                load.result(pod, result);
                if let Some(due) = due {
                    measure.answered(Instant::now(), due, 1);
                }
            }
        }
    }

    /// Notes who has to go for a pod, and checks that they may.
    fn victims(&mut self, load: &mut Load, pod: PodIx, preempting: &v1::Preempting) -> usize {
        let node = Str::from(preempting.node.as_str());
        let priority = load.books.spec(load.books.class_of(pod)).priority;
        for victim in &preempting.victims {
            let known = load.serial(&victim.uid).and_then(|serial| self.low.remove(&serial));
            let Some(known) = known else {
                let text =
                    || format!("pod {} is no pod of low priority, or goes already", victim.uid);
                load.books.violate(Rule::Victim, text);
                continue;
            };
            let lower = load.books.spec(load.books.class_of(known)).priority < priority;
            if !lower || load.books.node_of(known) != Some(&node) {
                let text = || format!("pod {} for one on {node}", victim.uid);
                load.books.violate(Rule::Victim, text);
            }
            self.to_release.push(known);
        }
        if preempting.victims.is_empty() {
            load.books.violate(Rule::Victim, || format!("nobody goes for a pod on {node}"));
        }
        preempting.victims.len()
    }

    /// Decisions about nominated pods.
    fn later(&mut self, load: &mut Load, mut later: Vec<v1::PodResult>, measure: &mut Measure) {
        later.sort_by_key(|result| result.revision);
        for result in later {
            let nominated = load.serial(&result.uid).and_then(|s| self.nominated.remove(&s));
            let Some(Nominated { pod, due, victims }) = nominated else {
                let text = || format!("a decision on pod {}, which does not wait", result.uid);
                load.books.violate(Rule::Protocol, text);
                continue;
            };
            match &result.outcome {
                Some(Outcome::Placed(placed)) => {
                    if load.books.place(pod, &placed.node).is_some() {
                        self.arrived(load, pod, victims, due, measure);
                    }
                }
                // Another nomination: the first one came to nothing.
                Some(Outcome::Preempting(preempting)) => {
                    let victims = self.victims(load, pod, preempting);
                    let serial = load.books.serial(pod);
                    self.nominated.insert(serial, Nominated { pod, due, victims });
                }
                _ => {
                    load.result(pod, &result);
                    measure.answered(Instant::now(), due, 1);
                }
            }
        }
    }

    fn arrived(
        &mut self,
        load: &mut Load,
        pod: PodIx,
        victims: usize,
        due: Instant,
        measure: &mut Measure,
    ) {
        load.tally.placed += 1;
        self.high.push((pod, victims));
        measure.answered(Instant::now(), due, 1);
    }
}
