// SPDX-License-Identifier: Apache-2.0
//! A sequencer with a clock, and short words for messages.

use crate::convert::{self, Violation};
use crate::sequencer::{Later, Options, Sequencer};
use berth_proto::raw::ScheduleRequest;
use berth_proto::raw::request::{Parts, PodToWrite, RequestWriter, WhatToWrite};
use berth_proto::raw::result::ResponseWriter;
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use prost::Message;

/// A sequencer; streams are numbers.
pub(crate) struct Fixture {
    pub(crate) sequencer: Sequencer<u32>,
    pub(crate) now: u64,
    /// The batches so far.
    pub(crate) batches: Vec<Vec<u8>>,
    /// Decisions told later, in order.
    pub(crate) later: Vec<Later<u32>>,
}

pub(crate) fn options() -> Options {
    Options { engine: berth_scheduler_core::Options::default(), nomination_hold_ms: 60_000 }
}

impl Fixture {
    pub(crate) fn new(sequencer: Sequencer<u32>) -> Self {
        Self { sequencer, now: 1_700_000_000_000, batches: Vec::new(), later: Vec::new() }
    }

    /// Nodes n0, n1, ... with so much CPU.
    pub(crate) fn with_nodes(count: usize, cpu: &str) -> Self {
        let mut fixture = Self::new(Sequencer::new(options()));
        let nodes =
            (0..count).map(|index| update(v1::update::What::Node(node(&format!("n{index}"), cpu))));
        fixture.apply(nodes.collect(), true);
        fixture
    }

    /// Ends a round.
    pub(crate) fn round(&mut self) {
        let batches = self.sequencer.take_round(Vec::new(), &mut self.later);
        self.batches.extend(batches.into_iter().map(|(_, records)| records));
    }

    pub(crate) fn revision(&self) -> u64 {
        self.sequencer.revision()
    }

    pub(crate) fn apply(
        &mut self,
        updates: Vec<v1::Update>,
        all_or_nothing: bool,
    ) -> v1::ApplyResponse {
        let read = |update: v1::Update| -> Result<_, Violation> {
            Ok((update.clone(), convert::update(update)?))
        };
        let changes = updates.into_iter().map(read).collect();
        let answer = self.sequencer.apply(self.now, changes, all_or_nothing);
        self.tick();
        answer
    }

    pub(crate) fn bind(&mut self, uid: &str, name: &str, node: &str, spec: v1::PodSpec) {
        let what = v1::update::What::Pod(bound(uid, name, node, spec));
        let answer = self.apply(vec![update(what)], true);
        assert_eq!(answer.errors, []);
    }

    fn send(&mut self, message: ScheduleRequest, stream: Option<u32>) -> Vec<v1::PodResult> {
        let mut parts = Parts::default();
        message.read(&mut parts).unwrap();
        let mut writer = ResponseWriter::schedule();
        self.sequencer.schedule(self.now, &message.0, &parts, stream.as_ref(), true, &mut writer);
        let answer = v1::ScheduleResponse::decode(writer.finish(self.revision())).unwrap();
        self.tick();
        assert_eq!(answer.results.len(), parts.pods.len());
        answer.results
    }

    pub(crate) fn schedule(
        &mut self,
        options: v1::ScheduleOptions,
        pods: Vec<v1::PodRequest>,
    ) -> Vec<v1::PodResult> {
        let request = v1::ScheduleRequest { options: Some(options), pods };
        self.send(ScheduleRequest(request.encode_to_vec().into()), Some(7))
    }

    pub(crate) fn place(&mut self, pod: v1::PodRequest) -> v1::PodResult {
        self.schedule(v1::ScheduleOptions::default(), vec![pod]).remove(0)
    }

    pub(crate) fn place_bytes(&mut self, uid: &str, name: &str, spec: &[u8]) -> v1::PodResult {
        let mut writer = RequestWriter::schedule();
        let what = WhatToWrite::Spec(spec);
        writer.pod(&PodToWrite { uid, namespace: "ns", name, what });
        self.send(ScheduleRequest(writer.finish()), None).remove(0)
    }

    pub(crate) fn queue(&mut self, pods: Vec<v1::PodRequest>) -> Vec<v1::PodResult> {
        let mode = Some(v1::schedule_options::Mode::QueueForMs(10_000));
        self.schedule(v1::ScheduleOptions { mode, ..Default::default() }, pods)
    }

    fn uids(
        &mut self,
        uids: &[&str],
        call: impl FnOnce(&mut Sequencer<u32>, &[&str], &mut Vec<String>),
    ) -> Vec<String> {
        let mut unknown = Vec::new();
        call(&mut self.sequencer, uids, &mut unknown);
        self.tick();
        unknown
    }

    pub(crate) fn release(&mut self, uids: &[&str]) -> Vec<String> {
        self.uids(uids, |s, uids, out| s.release(uids.iter().copied(), |u| out.push(u.into())))
    }

    pub(crate) fn confirm(&mut self, uids: &[&str]) -> Vec<String> {
        self.uids(uids, |s, uids, out| s.confirm(uids.iter().copied(), |u| out.push(u.into())))
    }

    pub(crate) fn cancel(&mut self, uids: &[&str]) -> Vec<String> {
        self.uids(uids, |s, uids, out| s.cancel(uids.iter().copied(), |u| out.push(u.into())))
    }

    /// Does what is due now, and ends the round.
    pub(crate) fn tick(&mut self) {
        while self.sequencer.tick(self.now, 1_000) {}
        self.round();
    }

    /// Lets time pass, waking when the sequencer wants to be woken.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(at) = self.sequencer.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.tick();
            if self.sequencer.next_wake() == Some(at) {
                break;
            }
        }
        self.now = end;
        self.tick();
    }

    pub(crate) fn node_of(&self, uid: &str) -> Option<String> {
        self.sequencer.node_of(uid).map(|node| node.as_ref().to_owned())
    }

    /// Takes the decisions told later.
    pub(crate) fn told(&mut self) -> Vec<v1::PodResult> {
        self.later.drain(..).map(|later| later.result).collect()
    }
}

pub(crate) fn update(what: v1::update::What) -> v1::Update {
    v1::Update { what: Some(what) }
}

pub(crate) fn node(name: &str, cpu: &str) -> v1::Node {
    let allocatable = [("cpu", cpu), ("memory", "64Gi"), ("pods", "110")];
    v1::Node {
        name: name.into(),
        labels: [("kubernetes.io/hostname".to_owned(), name.to_owned())].into(),
        allocatable: allocatable.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Default::default()
    }
}

pub(crate) fn spec() -> v1::PodSpec {
    v1::PodSpec::default()
}

/// A spec of one container that requests so much CPU.
pub(crate) fn cpu(amount: &str) -> v1::PodSpec {
    let requests = [("cpu".to_owned(), amount.to_owned())].into();
    let resources = Some(v1::ResourceRequirements { requests, ..Default::default() });
    let container = v1::Container { name: "app".into(), resources, ..Default::default() };
    v1::PodSpec { containers: vec![container], ..Default::default() }
}

pub(crate) fn pod(uid: &str, name: &str, spec: v1::PodSpec) -> v1::PodRequest {
    v1::PodRequest {
        uid: uid.into(),
        namespace: "ns".into(),
        name: name.into(),
        what: Some(v1::pod_request::What::Spec(spec)),
    }
}

pub(crate) fn bound(uid: &str, name: &str, node: &str, spec: v1::PodSpec) -> v1::BoundPod {
    v1::BoundPod {
        uid: uid.into(),
        namespace: "ns".into(),
        name: name.into(),
        what: Some(v1::bound_pod::What::Spec(spec)),
        node: node.into(),
        ..Default::default()
    }
}

/// Where a result says that its pod is.
pub(crate) fn placed_on(result: &v1::PodResult) -> String {
    match &result.outcome {
        Some(Outcome::Placed(placed)) => placed.node.clone(),
        other => panic!("not placed: {other:?}"),
    }
}

pub(crate) fn refused(result: &v1::PodResult) -> &v1::Refused {
    match &result.outcome {
        Some(Outcome::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}
