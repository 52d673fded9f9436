// SPDX-License-Identifier: Apache-2.0
//! Load by unary calls: one `Schedule` a pod, many side by side. Releases travel in `Release` calls of their own, some uids to
//! a call, as a platform would send them.

use super::ledger::{CallId, Ledger};
use super::load::Load;
use super::measure::Measure;
use super::pacer::Pacer;
use super::phase::{Agenda, Phase};
use super::target::Client;
use crate::books::{PodIx, Rule};
use crate::error::Error;
use berth_proto::raw::request::RequestWriter;
use berth_proto::raw::result::Answer;
use berth_proto::raw::{ScheduleRequest, ScheduleResponse};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use indicatif::ProgressBar;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tonic::{Code, Status};

/// Calls on their way in an open loop at most; what waits here counts from when it was due.
const OPEN_IN_FLIGHT: usize = 4_096;

/// Pause before a pod that was not taken up is sent again.
const PAUSE: Duration = Duration::from_millis(5);

/// Answers from one drawing of the bar to the next.
const DRAWN_EVERY: u64 = 256;

/// A call that came back.
#[derive(Debug)]
enum Done {
    Schedule {
        call: CallId,
        pod: PodIx,
        due: Instant,
        at: Instant,
        answer: Result<ScheduleResponse, Status>,
    },
    Release {
        call: CallId,
        pods: Vec<PodIx>,
        answer: Result<v1::ReleaseResponse, Status>,
    },
}

/// What the service did, in its order.
#[derive(Debug)]
enum Event {
    Result(PodIx, ScheduleResponse),
    Released(Vec<PodIx>, Vec<String>),
}

/// A load by unary calls.
#[derive(Debug)]
struct Calls<'a> {
    client: &'a mut Client,
    load: &'a mut Load,
    ledger: Ledger<Event>,
    done: mpsc::UnboundedSender<Done>,
    scheduling: usize,
    releasing: usize,
    /// Pods whose release is not sent yet.
    to_release: Vec<PodIx>,
    not_before: Instant,
}

/// Runs a phase.
pub async fn run(
    client: &mut Client,
    load: &mut Load,
    phase: &Phase,
    (in_flight, release_batch): (usize, usize),
    bar: &ProgressBar,
) -> Result<Measure, Error> {
    let mut pacer = Pacer::new().map_err(Error::Timer)?;
    let began = Instant::now();
    let mut measure = Measure::new(began);
    let mut agenda = Agenda::new(began, phase);
    let in_flight = if phase.rate.is_some() { OPEN_IN_FLIGHT } else { in_flight };
    let (done, mut answers) = mpsc::unbounded_channel();
    let (ledger, to_release) = (Ledger::default(), Vec::new());
    let mut calls = Calls {
        client,
        load,
        ledger,
        done,
        scheduling: 0,
        releasing: 0,
        to_release,
        not_before: began,
    };
    loop {
        let now = Instant::now();
        let mut wait = (calls.not_before > now).then_some(calls.not_before);
        while calls.scheduling < in_flight && wait.is_none() {
            let due = agenda.due().unwrap_or(now);
            let more = agenda.next(now, 1) > 0;
            if !more || due > now {
                wait = more.then_some(due);
                break;
            }
            if phase.paired && calls.load.live() == 0 && calls.scheduling > 0 {
                // Each pod comes with the release of another: the ones on their way are waited for.
                break;
            }
            agenda.sent(1);
            calls.schedule(due);
            if phase.paired {
                calls.release(release_batch);
            }
        }
        if calls.scheduling == 0 && wait.is_none() {
            if calls.load.waiting() > 0 {
                calls.schedule(now);
            } else if calls.to_release.is_empty() {
                if calls.releasing == 0 {
                    return Ok(measure);
                }
            } else {
                calls.send_releases();
            }
        }
        tokio::select! {
            biased;
            Some(answer) = answers.recv() => {
                calls.take(answer, &mut measure)?;
                if measure.count().is_multiple_of(DRAWN_EVERY) {
                    bar.set_position(agenda.progress(now));
                }
            }
            waited = async { pacer.until(wait.unwrap_or(now)).await }, if wait.is_some() => {
                waited.map_err(Error::Timer)?;
            }
        }
    }
}

impl Calls<'_> {
    /// Sends the next pod.
    fn schedule(&mut self, due: Instant) {
        let pod = self.load.next_pod();
        let mut writer = RequestWriter::schedule();
        self.load.write_pod(&mut writer, pod);
        let request = ScheduleRequest(writer.finish());
        let (mut client, done) = (self.client.clone(), self.done.clone());
        let call = self.ledger.sent();
        self.scheduling += 1;
        tokio::spawn(async move {
            let answer = client.schedule(request).await.map(tonic::Response::into_inner);
            let at = Instant::now();
            // The receiver is only gone when the run is given up.
            let _ = done.send(Done::Schedule { call, pod, due, at, answer });
        });
    }

    /// Picks a pod to be released; sends the releases once they make a batch.
    fn release(&mut self, batch: usize) {
        self.to_release.extend(self.load.pick_release());
        if self.to_release.len() >= batch {
            self.send_releases();
        }
    }

    fn send_releases(&mut self) {
        let pods = std::mem::take(&mut self.to_release);
        let uids = pods.iter().map(|pod| self.load.uid(*pod).as_str().to_owned()).collect();
        let (mut client, done) = (self.client.clone(), self.done.clone());
        let call = self.ledger.sent();
        self.releasing += 1;
        tokio::spawn(async move {
            let request = v1::ReleaseRequest { uids };
            let answer = client.release(request).await.map(tonic::Response::into_inner);
            let _ = done.send(Done::Release { call, pods, answer });
        });
    }

    fn take(&mut self, done: Done, measure: &mut Measure) -> Result<(), Error> {
        match done {
            Done::Schedule { call, pod, due, at, answer } => {
                self.scheduling -= 1;
                match answer {
                    Ok(answer) => {
                        let (revision, kind) = when(&answer)?;
                        if kind != Kind::Postponed {
                            measure.answered(at, due, 1);
                        }
                        let reads = kind != Kind::Changed;
                        let event = Event::Result(pod, answer);
                        self.ledger.answered(call, Some((revision, reads, event)));
                    }
                    Err(status) if status.code() == Code::ResourceExhausted => {
                        self.ledger.answered(call, None);
                        self.load.resend(pod);
                        self.not_before = Instant::now() + PAUSE;
                    }
                    Err(status) => return Err(Error::call("Schedule")(status)),
                }
            }
            Done::Release { call, pods, answer } => {
                self.releasing -= 1;
                match answer {
                    Ok(answer) => {
                        let event = Event::Released(pods, answer.unknown);
                        self.ledger.answered(call, Some((answer.revision, false, event)));
                    }
                    Err(status) if status.code() == Code::ResourceExhausted => {
                        self.ledger.answered(call, None);
                        for pod in pods {
                            self.load.keep(pod);
                        }
                    }
                    Err(status) => return Err(Error::call("Release")(status)),
                }
            }
        }
        while let Some(event) = self.ledger.next_event() {
            self.book(event)?;
        }
        Ok(())
    }

    /// Takes in what the service did next.
    fn book(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Released(pods, unknown) => {
                for pod in pods {
                    self.load.released(pod);
                }
                for uid in unknown {
                    let text = || format!("pod {uid} was placed, and is not known at its release");
                    self.load.books.violate(Rule::Protocol, text);
                }
            }
            Event::Result(pod, answer) => {
                let mut results = 0;
                let mut parts = answer.read();
                while let Some(part) = parts.part().map_err(Error::Answer)? {
                    match part {
                        Answer::Placed(placement) => {
                            results += 1;
                            self.load.placed(pod, &placement);
                        }
                        Answer::Result(result) => {
                            results += 1;
                            let before = self.load.tally.not_accepted;
                            self.load.result(pod, &result);
                            if self.load.tally.not_accepted > before {
                                self.not_before = Instant::now() + PAUSE;
                            }
                        }
                        _ => {}
                    }
                }
                if results != 1 {
                    let text = || format!("{results} results for one pod");
                    self.load.books.violate(Rule::Protocol, text);
                }
            }
        }
        Ok(())
    }
}

/// What an answer's result means for the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It changed it.
    Changed,
    /// It only read it.
    Read,
    /// Nothing: the pod was not taken up.
    Postponed,
}

/// The revision of an answer's result, and what it means.
fn when(answer: &ScheduleResponse) -> Result<(u64, Kind), Error> {
    let mut parts = answer.read();
    while let Some(part) = parts.part().map_err(Error::Answer)? {
        match part {
            Answer::Placed(placement) => return Ok((placement.revision, Kind::Changed)),
            Answer::Result(result) => {
                let postponed = matches!(result.outcome, Some(Outcome::NotAccepted(_)));
                let kind = if postponed { Kind::Postponed } else { Kind::Read };
                return Ok((result.revision, kind));
            }
            _ => {}
        }
    }
    Ok((0, Kind::Read))
}
