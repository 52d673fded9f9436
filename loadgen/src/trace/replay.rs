// SPDX-License-Identifier: Apache-2.0
//! Sends a trace, moment by moment, and keeps the books.
//!
//! One message is on its way at a time, so that a trace is replayed in its order whatever the speed: the next moment is sent
//! when the last one is answered (and, with a speed, when it is due). What goes goes first, then those that wait, then those
//! that come.
//!
//! What becomes of a pod that no node takes:
//! - it waits here, and is sent again once a node would take it by the books (the default at full speed, where the service's own
//!   queue, which counts in seconds of the wall, would come too late);
//! - it waits in the service's queue, and is placed when the service finds room (`--speed`);
//! - it is dropped (`--drop`).

use super::events::{Moment, moments};
use super::read::{Trace, TracePod};
use super::usage::{Amounts, Sample, Usage, add, amounts};
use crate::books::{Books, ClassIx, PodIx, Rule};
use crate::cli::schedule::TraceArgs;
use crate::error::Error;
use crate::report::row::Latency;
use crate::report::trace::{TraceReport, Waits};
use crate::schedule::measure::Measure;
use crate::schedule::names::{NAMESPACE, Uid};
use crate::schedule::pacer::Pacer;
use crate::schedule::stream::{open, receive};
use crate::schedule::target::Client;
use crate::schedule::{encode, session};
use berth_proto::raw::request::{PodToWrite, RequestWriter, WhatToWrite};
use berth_proto::raw::{StreamRequest, StreamResponse};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_proto::v1::schedule_options::Mode;
use berth_scheduler_model::pod::PodSpec;
use bytes::Bytes;
use hashbrown::HashMap;
use indicatif::ProgressBar;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Streaming;

/// What becomes of a pod that no node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusals {
    /// It waits here.
    Retry,
    /// It waits in the service's queue.
    Queue,
    /// It is dropped.
    Drop,
}

/// Where a pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is still to come, or over.
    Absent,
    /// It is on a node.
    Placed(PodIx),
    /// It has none, and waits.
    Waiting(PodIx),
}

/// A replay.
#[derive(Debug)]
pub struct Replay<'a> {
    trace: &'a Trace,
    moments: Vec<Moment>,
    refusals: Refusals,
    speed: Option<f64>,
    run: u32,
    books: Books,
    classes: HashMap<PodSpec, ClassIx, foldhash::fast::FixedState>,
    encoded: Vec<Bytes>,
    standing: Vec<Standing>,
    /// Pods that wait, in the order in which they came.
    waiting: Vec<usize>,
    taken: Amounts,
    asked: Amounts,
    /// Pods that are there, and those of them that are on nodes.
    present: u64,
    running: u64,
    usage: Usage,
    waits: Waits,
    refused: u64,
    reasons: BTreeMap<String, u64>,
    measure: Measure,
    /// The moment of the trace, and when that was on the wall.
    now: u64,
    now_since: Instant,
    seconds: f64,
}

/// An open stream.
struct Line {
    send: tokio::sync::mpsc::UnboundedSender<StreamRequest>,
    receive: Streaming<StreamResponse>,
    pacer: Pacer,
    next_id: u64,
}

impl Line {
    async fn open(client: &mut Client) -> Result<Self, Error> {
        let (send, receive) = open(client).await?;
        Ok(Self { send, receive, pacer: Pacer::new().map_err(Error::Timer)?, next_id: 1 })
    }
}

impl<'a> Replay<'a> {
    /// Of a trace.
    pub fn new(trace: &'a Trace, args: &TraceArgs, run: u32) -> Self {
        let refusals = match (args.drop, args.speed) {
            (true, _) => Refusals::Drop,
            (false, None) => Refusals::Retry,
            (false, Some(_)) => Refusals::Queue,
        };
        let mut replay = Self {
            trace,
            moments: moments(&trace.pods),
            refusals,
            speed: args.speed,
            run,
            books: Books::new(&trace.nodes),
            classes: HashMap::default(),
            encoded: Vec::new(),
            standing: vec![Standing::Absent; trace.pods.len()],
            waiting: Vec::new(),
            taken: [0; 3],
            asked: [0; 3],
            present: 0,
            running: 0,
            usage: Usage::new(&trace.nodes),
            waits: Waits::default(),
            refused: 0,
            reasons: BTreeMap::new(),
            measure: Measure::new(Instant::now()),
            now: 0,
            now_since: Instant::now(),
            seconds: 0.0,
        };
        for pod in &trace.pods {
            replay.class(&pod.spec);
        }
        replay
    }

    fn class(&mut self, spec: &PodSpec) -> ClassIx {
        if let Some(class) = self.classes.get(spec) {
            return *class;
        }
        let class = self.books.class(NAMESPACE, &Arc::new(spec.clone()));
        self.classes.insert(spec.clone(), class);
        self.encoded.push(Bytes::from(encode::spec(spec).encode_to_vec()));
        class
    }

    /// Replays it.
    pub async fn run(&mut self, client: &mut Client, bar: &ProgressBar) -> Result<(), Error> {
        let mut line = Line::open(client).await?;
        let moments = std::mem::take(&mut self.moments);
        let first = moments.first().map_or(0, |moment| moment.at);
        let began = Instant::now();
        self.measure = Measure::new(began);
        for (index, moment) in moments.iter().enumerate() {
            let mut due = Instant::now();
            if let Some(speed) = self.speed {
                due = began + Duration::from_secs(moment.at - first).div_f64(speed);
                self.wait(&mut line, due).await?;
            }
            (self.now, self.now_since) = (moment.at, Instant::now());
            self.happen(&mut line, moment, due).await?;
            self.sample();
            bar.set_position(index as u64 * 1_000 / moments.len() as u64);
        }
        self.seconds = began.elapsed().as_secs_f64();
        self.moments = moments;
        Ok(())
    }

    /// Waits for a moment; decisions of the service about pods in its queue come in meanwhile.
    async fn wait(&mut self, line: &mut Line, due: Instant) -> Result<(), Error> {
        loop {
            tokio::select! {
                biased;
                answer = receive(&mut line.receive) => {
                    self.decided_later(answer?.later);
                }
                waited = line.pacer.until(due) => return waited.map_err(Error::Timer),
            }
        }
    }

    /// Sends what happens at a moment and takes in the answers.
    async fn happen(
        &mut self,
        line: &mut Line,
        moment: &Moment,
        due: Instant,
    ) -> Result<(), Error> {
        let mut gone = moment.gone.clone();
        gone.retain(|pod| self.standing[*pod] != Standing::Absent);
        let mut come = Vec::new();
        if self.refusals == Refusals::Retry {
            // Those that waited until their end are not known to the service.
            self.waiting.retain(|pod| !gone.contains(pod));
            gone.retain(|pod| !self.gives_up(*pod));
            if !self.waiting.is_empty() && !gone.is_empty() {
                // Whether there is room for those that wait shows when what goes is gone.
                self.exchange(line, &std::mem::take(&mut gone), &[], due).await?;
                come = self.fitting();
            }
        }
        come.extend(&moment.come);
        if gone.is_empty() && come.is_empty() {
            Ok(())
        } else {
            self.exchange(line, &gone, &come, due).await
        }
    }

    /// A pod that goes without ever having had a node: true, and it is forgotten.
    fn gives_up(&mut self, pod: usize) -> bool {
        let Standing::Waiting(ix) = self.standing[pod] else { return false };
        self.books.release(ix);
        self.leave(pod);
        self.waits.given_up += 1;
        true
    }

    /// Pods that wait and that a node would take, by the books. They no longer wait.
    fn fitting(&mut self) -> Vec<usize> {
        let mut fitting = Vec::new();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|pod| {
            let Standing::Waiting(ix) = self.standing[*pod] else { return false };
            let fits = self.books.has_room(self.books.class_of(ix));
            if fits {
                fitting.push(*pod);
            }
            !fits
        });
        self.waiting = waiting;
        fitting
    }

    /// One message and its answer.
    async fn exchange(
        &mut self,
        line: &mut Line,
        gone: &[usize],
        come: &[usize],
        due: Instant,
    ) -> Result<(), Error> {
        let id = line.next_id;
        line.next_id += 1;
        let mut writer = RequestWriter::stream(id);
        for pod in gone {
            writer.release(self.uid(*pod).as_str());
        }
        if self.refusals == Refusals::Queue {
            writer.options(&self.patience(come));
        }
        for pod in come {
            self.admit(*pod);
            let TracePod { name, spec, .. } = &self.trace.pods[*pod];
            let class = self.classes[spec] as usize;
            writer.pod(&PodToWrite {
                uid: self.uid(*pod).as_str(),
                namespace: NAMESPACE,
                name,
                what: WhatToWrite::Spec(&self.encoded[class]),
            });
        }
        line.send.send(StreamRequest(writer.finish())).map_err(|_| Error::StreamEnded)?;
        let mut held = Vec::new();
        let answer = loop {
            let mut answer = receive(&mut line.receive).await?;
            held.append(&mut answer.later);
            if answer.id == id {
                break answer;
            }
        };
        self.measure.answered(Instant::now(), due, come.len() as u64);
        // What the service decided before this message is booked before it, but after the releases: so no release is missed.
        let (before, after) =
            held.into_iter().partition(|result: &v1::PodResult| result.revision < answer.revision);
        for pod in gone {
            self.go(*pod);
        }
        self.decided_later(before);
        self.results(come, &answer);
        self.decided_later(after);
        Ok(())
    }

    /// How long pods may wait in the service's queue: until the trace ends them.
    fn patience(&self, come: &[usize]) -> v1::ScheduleOptions {
        let longest = come.iter().map(|pod| self.trace.pods[*pod].deleted).max();
        let left = longest.unwrap_or_default().saturating_sub(self.now).max(1);
        let left = Duration::from_secs(left).div_f64(self.speed.unwrap_or(1.0));
        // The release comes first, then the deadline.
        let left = left + Duration::from_secs(1);
        let ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        v1::ScheduleOptions { mode: Some(Mode::QueueForMs(ms)), ..v1::ScheduleOptions::default() }
    }

    fn uid(&self, pod: usize) -> Uid {
        Uid::new(self.run, pod as u64 + 1)
    }

    /// A pod is sent: for the first time, or again.
    fn admit(&mut self, pod: usize) {
        if self.standing[pod] == Standing::Absent {
            let TracePod { spec, .. } = &self.trace.pods[pod];
            let ix = self.books.admit(self.classes[spec], pod as u64 + 1);
            self.standing[pod] = Standing::Waiting(ix);
            add(&mut self.asked, amounts(&spec.requests.plain), 1);
            self.present += 1;
        }
    }

    /// A pod was released.
    fn go(&mut self, pod: usize) {
        match self.standing[pod] {
            Standing::Absent => return,
            Standing::Placed(ix) => {
                self.books.release(ix);
                add(&mut self.taken, amounts(&self.trace.pods[pod].spec.requests.plain), -1);
                self.running -= 1;
            }
            Standing::Waiting(ix) => {
                self.books.release(ix);
                self.waits.given_up += 1;
            }
        }
        self.leave(pod);
    }

    fn leave(&mut self, pod: usize) {
        self.standing[pod] = Standing::Absent;
        self.present -= 1;
        add(&mut self.asked, amounts(&self.trace.pods[pod].spec.requests.plain), -1);
    }

    fn results(&mut self, come: &[usize], answer: &v1::StreamResponse) {
        if answer.results.len() != come.len() {
            let (want, got) = (come.len(), answer.results.len());
            self.books.violate(Rule::Protocol, || format!("{got} results for {want} pods"));
        }
        for (pod, result) in come.iter().zip(&answer.results) {
            match &result.outcome {
                Some(Outcome::Placed(placed)) => self.placed(*pod, &placed.node),
                Some(Outcome::Refused(refused)) => self.was_refused(*pod, refused),
                Some(Outcome::Queued(queued)) if self.refusals == Refusals::Queue => {
                    self.count_refusal(*pod, queued.why.as_ref());
                }
                other => self.unexpected(*pod, other.as_ref()),
            }
        }
        for uid in &answer.unknown {
            let text = || format!("pod {uid} was placed, and is not known at its release");
            self.books.violate(Rule::Protocol, text);
        }
    }

    fn placed(&mut self, pod: usize, node: &str) {
        let Standing::Waiting(ix) = self.standing[pod] else { return };
        if self.books.place(ix, node).is_none() {
            return;
        }
        self.standing[pod] = Standing::Placed(ix);
        let TracePod { spec, created, .. } = &self.trace.pods[pod];
        add(&mut self.taken, amounts(&spec.requests.plain), 1);
        self.running += 1;
        self.waits.placed(self.now - created);
    }

    /// No node took the pod, which waits or is dropped.
    fn was_refused(&mut self, pod: usize, refused: &v1::Refused) {
        self.count_refusal(pod, Some(refused));
        let Standing::Waiting(ix) = self.standing[pod] else { return };
        self.books.refuse(self.books.class_of(ix));
        if self.refusals == Refusals::Retry {
            self.waiting.push(pod);
            return;
        }
        self.books.release(ix);
        self.leave(pod);
        self.waits.dropped += 1;
    }

    fn count_refusal(&mut self, pod: usize, why: Option<&v1::Refused>) {
        // One that waited here already was counted when it came.
        if self.trace.pods[pod].created == self.now {
            self.refused += 1;
            let reason = why.map_or("(the service did not say why)", |why| &*why.message);
            *self.reasons.entry(reason.to_owned()).or_insert(0) += 1;
        }
    }

    /// The service decided on pods that waited in its queue.
    fn decided_later(&mut self, mut later: Vec<v1::PodResult>) {
        later.sort_by_key(|result| result.revision);
        for result in later {
            let serial = Uid::serial(self.run, &result.uid);
            let pod = serial.and_then(|serial| usize::try_from(serial.checked_sub(1)?).ok());
            let Some(pod) = pod.filter(|pod| *pod < self.standing.len()) else {
                let text = || format!("a decision on pod {}, which nobody sent", result.uid);
                self.books.violate(Rule::Protocol, text);
                continue;
            };
            match &result.outcome {
                Some(Outcome::Placed(placed)) => {
                    let since = self.now_since.elapsed().mul_f64(self.speed.unwrap_or_default());
                    self.now += since.as_secs();
                    self.now_since = Instant::now();
                    self.placed(pod, &placed.node);
                    self.sample();
                }
                // At its deadline, or because the trace took it back in the meantime.
                Some(Outcome::Refused(_) | Outcome::Cancelled(_)) => self.go(pod),
                other => self.unexpected(pod, other.as_ref()),
            }
        }
    }

    fn unexpected(&mut self, pod: usize, outcome: Option<&Outcome>) {
        let name = &self.trace.pods[pod].name;
        let text = || format!("pod {name} was answered by {outcome:?}");
        self.books.violate(Rule::Protocol, text);
        self.go(pod);
    }

    fn sample(&mut self) {
        self.usage.push(Sample {
            at: self.now,
            taken: self.taken,
            asked: self.asked,
            running: self.running,
            waiting: self.present - self.running,
        });
    }

    /// Compares the service's lists with the books.
    pub async fn compare(&mut self, client: &mut Client) -> Result<(), Error> {
        let placed = self.standing.iter().enumerate().filter_map(|(pod, standing)| {
            let Standing::Placed(ix) = standing else { return None };
            Some((self.uid(pod).as_str().to_owned(), self.books.node_of(*ix)?.clone()))
        });
        let placed = placed.collect();
        session::compare_pods(client, &mut self.books, placed).await?;
        session::compare_nodes(client, &mut self.books).await
    }

    /// What came of it.
    pub fn report(self) -> TraceReport {
        let violations = self.books.violations();
        TraceReport {
            name: self.trace.name.clone(),
            nodes: self.trace.nodes.len(),
            pods: self.trace.pods.len(),
            refusals: self.refusals,
            speed: self.speed,
            seconds: self.seconds,
            refused: self.refused,
            reasons: self.reasons,
            waits: self.waits,
            latency: Latency::of(&self.measure),
            curve: self.measure.curve(),
            violations: violations.total(),
            notes: violations.notes(),
            usage: self.usage,
            resident_mib: None,
        }
    }
}
