// SPDX-License-Identifier: Apache-2.0
//! Load on one `ScheduleStream`: messages of pods, each with as many releases, some on their way at any time.
//!
//! The service works on messages in their order: first the releases of a message, then its pods. The books follow in the same
//! order, so that each placement is checked against exactly the state that the service must have seen.

use super::load::Load;
use super::measure::Measure;
use super::pacer::Pacer;
use super::phase::{Agenda, Phase};
use super::target::Client;
use crate::books::{PodIx, Rule};
use crate::error::Error;
use berth_proto::raw::request::RequestWriter;
use berth_proto::raw::result::Answer;
use berth_proto::raw::{StreamRequest, StreamResponse};
use berth_proto::v1;
use berth_proto::wire::{Fields, WireError};
use indicatif::ProgressBar;
use prost::Message as _;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::Stream;

/// Pods on their way in an open loop at most: a service that falls behind is not sent more than this; what waits here counts
/// from when it was due.
const OPEN_WINDOW: usize = 65_536;

/// Pause before pods that were not taken up are sent again.
const PAUSE: Duration = Duration::from_millis(5);

/// Messages from one drawing of the bar to the next.
const DRAWN_EVERY: u64 = 64;

/// Messages for the service, as they are made.
#[derive(Debug)]
struct Outgoing(mpsc::UnboundedReceiver<StreamRequest>);

impl Stream for Outgoing {
    type Item = StreamRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StreamRequest>> {
        self.0.poll_recv(cx)
    }
}

/// A message that is on its way.
#[derive(Debug)]
struct Message {
    id: u64,
    due: Instant,
    release: Vec<PodIx>,
    pods: Vec<PodIx>,
}

/// An open stream.
#[derive(Debug)]
struct Line {
    send: mpsc::UnboundedSender<StreamRequest>,
    receive: Streaming<StreamResponse>,
    next_id: u64,
    on_their_way: VecDeque<Message>,
    pods_on_their_way: usize,
    /// Messages whose lists can be used again.
    spare: Vec<Message>,
    revision: u64,
}

/// Opens a stream: what is sent to the one end goes to the service, whose answers come from the other.
pub async fn open(
    client: &mut Client,
) -> Result<(mpsc::UnboundedSender<StreamRequest>, Streaming<StreamResponse>), Error> {
    let (send, messages) = mpsc::unbounded_channel();
    let opened = client.schedule_stream(Outgoing(messages)).await;
    Ok((send, opened.map_err(Error::call("ScheduleStream"))?.into_inner()))
}

/// The next message of a stream, decoded.
pub async fn receive(stream: &mut Streaming<StreamResponse>) -> Result<v1::StreamResponse, Error> {
    let message = stream.message().await.map_err(Error::call("ScheduleStream"))?;
    let StreamResponse(bytes) = message.ok_or(Error::StreamEnded)?;
    v1::StreamResponse::decode(bytes).map_err(|_| Error::Answer(WireError::Malformed))
}

/// Runs a phase.
pub async fn run(
    client: &mut Client,
    load: &mut Load,
    phase: &Phase,
    (batch, window): (usize, usize),
    bar: &ProgressBar,
) -> Result<Measure, Error> {
    let mut pacer = Pacer::new().map_err(Error::Timer)?;
    let mut line = Line::open(client).await?;
    let began = Instant::now();
    let mut measure = Measure::new(began);
    let mut agenda = Agenda::new(began, phase);
    let window = if phase.rate.is_some() { OPEN_WINDOW } else { window.max(batch) };
    let mut not_before = began;
    loop {
        let now = Instant::now();
        if line.next_id % DRAWN_EVERY == 1 {
            bar.set_position(agenda.progress(now));
        }
        let mut wait = (not_before > now).then_some(not_before);
        while line.pods_on_their_way + batch <= window && wait.is_none() {
            let mut pods = agenda.next(now, batch);
            if phase.paired && pods > load.live() && !line.on_their_way.is_empty() {
                // Each pod comes with the release of another: the ones on their way are waited for.
                pods = load.live();
                if pods == 0 {
                    break;
                }
            }
            let due = agenda.due().unwrap_or(now);
            if pods == 0 || due > now {
                wait = (pods > 0).then_some(due);
                break;
            }
            agenda.sent(pods);
            line.send(load, pods, due, phase.paired)?;
        }
        if line.on_their_way.is_empty() && wait.is_none() {
            if load.waiting() == 0 {
                return Ok(measure);
            }
            // Pods that were not taken up are left over: one more message for them.
            line.send(load, load.waiting().min(batch), now, false)?;
        }
        tokio::select! {
            biased;
            answer = line.receive.message() => {
                let answer = answer.map_err(Error::call("ScheduleStream"))?;
                let before = load.tally.not_accepted;
                line.take(load, answer.ok_or(Error::StreamEnded)?, &mut measure)?;
                if load.tally.not_accepted > before {
                    not_before = Instant::now() + PAUSE;
                }
            }
            waited = async { pacer.until(wait.unwrap_or(now)).await }, if wait.is_some() => {
                waited.map_err(Error::Timer)?;
            }
        }
    }
}

impl Line {
    async fn open(client: &mut Client) -> Result<Self, Error> {
        let (send, receive) = open(client).await?;
        Ok(Self {
            send,
            receive,
            next_id: 1,
            on_their_way: VecDeque::new(),
            pods_on_their_way: 0,
            spare: Vec::new(),
            revision: 0,
        })
    }

    /// Sends a message of so many pods, with as many releases if they are paired.
    fn send(
        &mut self,
        load: &mut Load,
        pods: usize,
        due: Instant,
        paired: bool,
    ) -> Result<(), Error> {
        let id = self.next_id;
        self.next_id += 1;
        let lists = |spare: Message| (spare.release, spare.pods);
        let (mut release, mut list) = self.spare.pop().map(lists).unwrap_or_default();
        release.clear();
        list.clear();
        let mut writer = RequestWriter::stream(id);
        writer.reserve(pods * load.pod_bytes());
        for _ in 0..if paired { pods } else { 0 } {
            if let Some(pod) = load.pick_release() {
                writer.release(load.uid(pod).as_str());
                release.push(pod);
            }
        }
        for _ in 0..pods {
            let pod = load.next_pod();
            load.write_pod(&mut writer, pod);
            list.push(pod);
        }
        self.pods_on_their_way += list.len();
        self.on_their_way.push_back(Message { id, due, release, pods: list });
        self.send.send(StreamRequest(writer.finish())).map_err(|_| Error::StreamEnded)
    }

    /// Takes an answer in: the releases of its message, then its results.
    fn take(
        &mut self,
        load: &mut Load,
        answer: StreamResponse,
        measure: &mut Measure,
    ) -> Result<(), Error> {
        let Some(message) = self.on_their_way.pop_front() else {
            load.books.violate(Rule::Protocol, || "an answer to no message".to_owned());
            return Ok(());
        };
        let (now, postponed) = (Instant::now(), load.tally.not_accepted);
        self.pods_on_their_way -= message.pods.len();
        if taken_up(&answer).map_err(Error::Answer)? {
            message.release.iter().for_each(|pod| load.released(*pod));
        } else {
            message.release.iter().for_each(|pod| load.keep(*pod));
        }
        let mut pods = message.pods.iter();
        let (mut id, mut revision) = (0, 0);
        let mut parts = answer.read();
        while let Some(part) = parts.part().map_err(Error::Answer)? {
            match part {
                Answer::Id(told) => id = told,
                Answer::Revision(told) => revision = told,
                Answer::Placed(placement) => match pods.next() {
                    Some(pod) => {
                        self.advance(load, placement.revision, 1);
                        load.placed(*pod, &placement);
                    }
                    None => surplus(load),
                },
                Answer::Result(result) => match pods.next() {
                    Some(pod) => load.result(*pod, &result),
                    None => surplus(load),
                },
                Answer::Unknown(uid) => {
                    let text = || format!("pod {uid} was placed, and is not known at its release");
                    load.books.violate(Rule::Protocol, text);
                }
                Answer::Later(later) => {
                    let text = || format!("no pod was queued, and {later:?} came");
                    load.books.violate(Rule::Protocol, text);
                }
                // Seen before.
                Answer::NotAccepted(_) => {}
            }
        }
        self.advance(load, revision, 0);
        if id != message.id {
            let text = || format!("message {} was answered with id {id}", message.id);
            load.books.violate(Rule::Protocol, text);
        }
        for pod in pods {
            load.books.violate(Rule::Protocol, || "a pod without a result".to_owned());
            load.books.release(*pod);
        }
        // Pods that were not taken up are answered when they have come again.
        let postponed = load.tally.not_accepted - postponed;
        measure.answered(now, message.due, message.pods.len() as u64 - postponed);
        self.spare.push(message);
        Ok(())
    }

    /// Revisions only grow, by at least `step`.
    fn advance(&mut self, load: &mut Load, revision: u64, step: u64) {
        if revision < self.revision + step {
            let text = || format!("revision {revision} after {}", self.revision);
            load.books.violate(Rule::Protocol, text);
        }
        self.revision = revision;
    }
}

fn surplus(load: &mut Load) {
    load.books.violate(Rule::Protocol, || "more results than pods".to_owned());
}

/// Whether the service took up the releases: the answer says so by the absence of one field.
fn taken_up(answer: &StreamResponse) -> Result<bool, WireError> {
    let mut fields = Fields::new(&answer.0);
    while let Some((number, _)) = fields.field()? {
        if number == 6 {
            return Ok(false);
        }
    }
    Ok(true)
}
