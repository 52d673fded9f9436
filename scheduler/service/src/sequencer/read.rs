// SPDX-License-Identifier: Apache-2.0
//! Reading the state. Nothing changes here.

use super::specs::SpecId;
use super::{Millis, Sequencer, signed, text};
use crate::convert::{Names, Violation, check_length, check_name, reply};
use berth_proto::v1;
use berth_scheduler_core::{NodeVerdict, PodIx, PodState, QueueSizes, Refusal, Slot};
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::{Pod, PodSpec};
use berth_scheduler_model::rules::{Plugin, Reason};
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records that one page may look at, so that a list never holds others up for long.
const LOOKED_AT_MAX: u32 = 8_192;
/// Entries of one page.
const PAGE_MAX: u32 = 1_000;
/// Nodes that are explained by name of the refusal.
const REFUSED_MAX: usize = 10_000;

/// Counts since the start.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// By profile; the last one stands for scheduler names without a profile.
    pub profiles: Vec<ProfileCounts>,
    /// Pods given back.
    pub released: u64,
    /// Nominations by the number of their victims.
    pub victims: Histogram<7>,
    /// Placements by the number of attempts they took.
    pub attempts: Histogram<5>,
    /// Pods put into the queue.
    pub queued: u64,
    /// Attempts after which a pod of the queue waits on.
    pub requeued: u64,
}

/// Observations in buckets of 1, 2, 4, 8, ... and more.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<const BUCKETS: usize> {
    /// Observations in each bucket alone; the last ones are above all bounds.
    pub buckets: [u64; BUCKETS],
    /// Observations above all bounds.
    pub above: u64,
    /// Sum of what was observed.
    pub sum: u64,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], above: 0, sum: 0 }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    fn observe(&mut self, value: u64) {
        self.sum += value;
        let bucket = value.max(1).next_power_of_two().trailing_zeros() as usize;
        match self.buckets.get_mut(bucket) {
            Some(count) => *count += 1,
            None => self.above += 1,
        }
    }
}

/// Counts of one profile.
#[derive(Debug, Clone, Default)]
pub struct ProfileCounts {
    /// Its name.
    pub name: String,
    /// Pods placed.
    pub placed: u64,
    /// Attempts without a node.
    pub refused: u64,
    /// Attempts in which a plugin refused some node, by plugin.
    pub by_plugin: [u64; Plugin::FILTERS],
}

impl Counts {
    pub(super) fn new(names: impl Iterator<Item = Str>) -> Self {
        let named = |name: String| ProfileCounts { name, ..ProfileCounts::default() };
        let mut profiles: Vec<ProfileCounts> =
            names.map(|name| named(name.as_ref().to_owned())).collect();
        profiles.push(named(String::new()));
        Self { profiles, ..Self::default() }
    }

    fn of(&mut self, spec: &PodSpec) -> &mut ProfileCounts {
        let name = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
        let last = self.profiles.len() - 1;
        let at = self.profiles.iter().position(|profile| profile.name == name).unwrap_or(last);
        &mut self.profiles[at]
    }

    #[inline]
    pub(super) fn placed(&mut self, spec: &PodSpec, attempts: u32) {
        self.of(spec).placed += 1;
        self.attempts.observe(u64::from(attempts));
    }

    /// Placed and refused so far.
    pub fn results(&self) -> (u64, u64) {
        let add = |sum: (u64, u64), profile: &ProfileCounts| {
            (sum.0 + profile.placed, sum.1 + profile.refused)
        };
        self.profiles.iter().fold((0, 0), add)
    }

    pub(super) fn refused(&mut self, spec: &PodSpec, refusal: &Refusal) {
        let profile = self.of(spec);
        profile.refused += 1;
        for (count, nodes) in profile.by_plugin.iter_mut().zip(refusal.nodes) {
            *count += u64::from(nodes > 0);
        }
    }

    pub(super) fn preempted(&mut self, victims: usize) {
        self.victims.observe(victims as u64);
    }
}

impl<R: Clone> Sequencer<R> {
    /// Counts since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sizes of the queue.
    pub fn queue_sizes(&self) -> QueueSizes {
        self.engine.queue_sizes()
    }

    /// Waiting pods by the plugins that refused nodes at their last attempt.
    pub fn unschedulable(&self) -> [u64; Plugin::FILTERS] {
        let mut pods = [0; Plugin::FILTERS];
        for refusal in self.books.refusals() {
            for (count, nodes) in pods.iter_mut().zip(refusal.nodes) {
                *count += u64::from(nodes > 0);
            }
        }
        pods
    }

    /// A node.
    pub fn get_node(&self, name: &str) -> Option<v1::GetNodeResponse> {
        let slot = self.engine.find_node(name)?;
        Some(v1::GetNodeResponse { revision: self.revision(), node: self.node_info(slot) })
    }

    fn node_info(&self, slot: Slot) -> Option<v1::NodeInfo> {
        let node = self.engine.node(slot)?;
        let (requested, pods) = self.engine.usage_of(slot);
        Some(v1::NodeInfo {
            node: Some(reply::node(node)),
            requested: reply::resources(&requested),
            pods,
        })
    }

    /// A page of nodes.
    pub fn list_nodes(&self, request: &v1::ListNodesRequest) -> v1::ListNodesResponse {
        // Names are looked through once per page; 100,000 of them take about a millisecond.
        let after = request.page_token.as_str();
        let size = page_size(request.page_size);
        let mut page: BTreeSet<(&str, Slot)> = BTreeSet::new();
        let mut more = false;
        for (slot, node) in self.engine.nodes_iter() {
            if *node.name <= *after && !after.is_empty() {
                continue;
            }
            if page.len() == size && page.last().is_some_and(|last| *node.name > *last.0) {
                more = true;
                continue;
            }
            page.insert((&node.name, slot));
            if page.len() > size {
                page.pop_last();
                more = true;
            }
        }
        let next = page.last().filter(|_| more).map(|last| last.0.to_owned());
        v1::ListNodesResponse {
            revision: self.revision(),
            nodes: page.iter().filter_map(|(_, slot)| self.node_info(*slot)).collect(),
            next_page_token: next.unwrap_or_default(),
        }
    }

    /// A pod.
    pub fn get_pod(&self, uid: &str) -> Option<v1::GetPodResponse> {
        let pod = self.engine.find_pod(uid)?;
        Some(v1::GetPodResponse { revision: self.revision(), pod: Some(self.pod_info(pod)) })
    }

    fn pod_state(&self, pod: PodIx) -> v1::PodState {
        let entry = self.books.get(pod);
        match self.books.waiting(pod) {
            Some(waiting) if waiting.nomination.is_some() => v1::PodState::Nominated,
            Some(_) => v1::PodState::Queued,
            None if entry.bound => v1::PodState::Bound,
            None if entry.lease_until != 0 => v1::PodState::Leased,
            None => v1::PodState::Placed,
        }
    }

    fn pod_info(&self, pod: PodIx) -> v1::PodInfo {
        let (entry, view) = (self.books.get(pod), self.engine.pod(pod));
        let waiting = self.books.waiting(pod);
        let nominated = waiting.and_then(|waiting| waiting.nomination.as_ref());
        let node = nominated.map(|nomination| &nomination.node);
        v1::PodInfo {
            uid: view.id.uid.to_owned(),
            namespace: view.id.namespace.to_owned(),
            name: view.id.name.to_owned(),
            state: self.pod_state(pod).into(),
            node: text(node.or_else(|| self.engine.node_name_of(pod))),
            since_revision: entry.since,
            lease_until_unix_ms: signed(entry.lease_until),
            queued: waiting.map(|_| self.queued(pod)),
            priority: view.spec.priority,
        }
    }

    /// A page of pods. It may be shorter than asked for, even empty, with more to come.
    pub fn list_pods(
        &self,
        request: &v1::ListPodsRequest,
    ) -> Result<v1::ListPodsResponse, Violation> {
        let start = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse::<u32>()
                .map_err(|_| Violation::new("pageToken", "is not from an earlier page"))?,
        };
        let size = page_size(request.page_size);
        let wanted = |pod: PodIx| {
            let id = self.engine.pod_id(pod);
            let state = v1::PodState::try_from(request.state).unwrap_or_default();
            (request.namespace.is_empty() || request.namespace == id.namespace)
                && (state == v1::PodState::Unspecified || state == self.pod_state(pod))
        };
        let mut pods = Vec::new();
        let mut next = String::new();
        if request.node.is_empty() {
            let records = self.engine.pod_records();
            let end = records.min(start.saturating_add(LOOKED_AT_MAX));
            let mut at = start;
            while at < end && pods.len() < size {
                if let Some(pod) = self.engine.pod_at(at).filter(|pod| wanted(*pod)) {
                    pods.push(self.pod_info(pod));
                }
                at += 1;
            }
            if at < records {
                next = at.to_string();
            }
        } else if let Some(slot) = self.engine.find_node(&request.node) {
            let mut on_node: Vec<PodIx> = self.engine.pods_on(slot).collect();
            on_node.sort_unstable();
            for pod in on_node.into_iter().filter(|pod| pod.index() >= start && wanted(*pod)) {
                if pods.len() == size {
                    next = pod.index().to_string();
                    break;
                }
                pods.push(self.pod_info(pod));
            }
        }
        Ok(v1::ListPodsResponse { revision: self.revision(), pods, next_page_token: next })
    }

    /// The largest classes.
    pub fn list_classes(&self, request: &v1::ListClassesRequest) -> v1::ListClassesResponse {
        let mut classes: Vec<_> = self.engine.classes().collect();
        let count = u32::try_from(classes.len()).unwrap_or(u32::MAX);
        classes.sort_by_key(|class| (std::cmp::Reverse(class.bytes), class.id));
        let limit = if request.limit == 0 { 100 } else { request.limit.min(10_000) };
        classes.truncate(limit as usize);
        let class = |class: berth_scheduler_core::ClassView<'_>| v1::ClassInfo {
            class: class.id,
            namespace: class.namespace.as_ref().to_owned(),
            decisions: class.decisions,
            bytes: class.bytes as u64,
            requests: reply::resources(&berth_scheduler_model::requests::Resources {
                cpu: class.cpu,
                memory: class.memory,
                ..Default::default()
            }),
            labels: reply::labels(&class.spec.labels),
            priority: class.priority,
        };
        v1::ListClassesResponse {
            revision: self.revision(),
            classes: classes.into_iter().map(class).collect(),
            count,
            bytes: self.engine.class_bytes() as u64,
        }
    }

    /// What would be decided now.
    pub fn explain(
        &mut self,
        now: Millis,
        request: &v1::ExplainRequest,
    ) -> Result<Option<v1::ExplainResponse>, Violation> {
        let Some((spec, pod)) = self.pod_to_explain(request)? else { return Ok(None) };
        let survey = self.engine.survey(&pod);
        let explanation = self.engine.explain(&pod);
        let feasible = u32::try_from(survey.totals.len()).unwrap_or(u32::MAX);
        let refused = (survey.choice.is_none()).then(|| {
            let id = berth_scheduler_core::PodId {
                uid: &pod.uid,
                namespace: &pod.namespace,
                name: &pod.name,
            };
            self.refused(now, spec, id, &survey.refusal)
        });
        let mut verdicts: Vec<&NodeVerdict> = explanation.nodes.iter().collect();
        let choice = survey.choice.map(|choice| choice.0);
        verdicts.sort_by_key(|verdict| {
            let passes = verdict.objections.is_empty();
            let name = self.engine.node_name(verdict.node);
            (!passes, std::cmp::Reverse(verdict.total), Some(verdict.node) != choice, name)
        });
        let top = if request.top == 0 { 5 } else { request.top.min(1_000) } as usize;
        let asked: BTreeSet<&str> = request.nodes.iter().map(String::as_str).collect();
        let mut refused_shown = 0;
        let mut shown = Vec::new();
        for (place, verdict) in verdicts.into_iter().enumerate() {
            let passes = verdict.objections.is_empty();
            let mut show =
                (passes && place < top) || asked.contains(&**self.engine.node_name(verdict.node));
            if !passes && request.refused_nodes && refused_shown < REFUSED_MAX {
                refused_shown += 1;
                show = true;
            }
            if show {
                shown.push(self.verdict(&pod, verdict));
            }
        }
        Ok(Some(v1::ExplainResponse {
            revision: self.revision(),
            feasible,
            nodes: self.engine.nodes(),
            chosen: choice
                .map_or_else(String::new, |slot| self.engine.node_name(slot).as_ref().to_owned()),
            refused,
            verdicts: shown,
        }))
    }

    fn pod_to_explain(
        &mut self,
        request: &v1::ExplainRequest,
    ) -> Result<Option<(SpecId, Pod)>, Violation> {
        use v1::explain_request::Which;
        let (spec, uid, namespace, name, nominated) = match &request.which {
            None => return Err(Violation::new("uid", "missing (or a pod)")),
            Some(Which::Uid(uid)) => {
                let Some(known) = self.engine.find_pod(uid) else { return Ok(None) };
                let view = self.engine.pod(known);
                let nominated = view.nominated.map(|slot| self.engine.node_name(slot).clone());
                let id = view.id;
                (
                    self.books.get(known).spec,
                    id.uid.into(),
                    id.namespace.into(),
                    id.name.into(),
                    nominated,
                )
            }
            Some(Which::Pod(pod)) => {
                let namespace = if pod.namespace.is_empty() { "default" } else { &pod.namespace };
                check_length("pod.uid", &pod.uid)?;
                check_length("pod.namespace", namespace)?;
                check_name("pod.name", &pod.name)?;
                let names = Names { namespace, name: &pod.name };
                let spec = match &pod.what {
                    None => return Err(Violation::new("pod.spec", "missing (or a template)")),
                    Some(v1::pod_request::What::Template(template)) => {
                        self.resolve_template(names, *template)
                    }
                    Some(v1::pod_request::What::Spec(spec)) => {
                        self.specs.resolve(names, &spec.encode_to_vec())
                    }
                };
                let spec = spec.map_err(|violation| violation.under("pod"))?;
                let uid: Str = pod.uid.as_str().into();
                (spec, uid, namespace.into(), pod.name.as_str().into(), None)
            }
        };
        let read = Arc::clone(self.specs.spec(spec));
        let pod = Pod {
            uid,
            namespace,
            name,
            spec: read,
            node: None,
            nominated,
            started: None,
            terminating: false,
            preempted: false,
        };
        Ok(Some((spec, pod)))
    }

    fn verdict(&self, pod: &Pod, verdict: &NodeVerdict) -> v1::NodeVerdict {
        let weights = self.weights(&pod.spec);
        let first = verdict.objections.first();
        v1::NodeVerdict {
            node: self.engine.node_name(verdict.node).as_ref().to_owned(),
            feasible: first.is_none(),
            total: verdict.total,
            scores: verdict
                .scores
                .iter()
                .map(|(plugin, score)| v1::ScoreTerm {
                    plugin: plugin.name().to_owned(),
                    score: *score,
                    weight: weights[*plugin as usize],
                })
                .collect(),
            plugin: first.map_or_else(String::new, |first| first.plugin.name().to_owned()),
            reasons: first
                .map_or_else(Vec::new, |first| first.reasons.iter().map(Reason::text).collect()),
            code: first.map_or_else(String::new, |first| first.code.name().to_owned()),
        }
    }

    fn weights(&self, spec: &PodSpec) -> [i64; Plugin::COUNT] {
        let name = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
        let profile = self.options.engine.profiles.iter().find(|profile| *profile.name == *name);
        profile.map_or([0; Plugin::COUNT], |profile| profile.weights)
    }

    /// Counts of now and since the start. What the shell knows better it fills in.
    pub fn stats(&self) -> v1::StatsResponse {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sizes = self.engine.queue_sizes();
        let (leased, nominated) = self.books.counts();
        let waiting = sizes.active + sizes.backoff + sizes.unschedulable + sizes.gated;
        v1::StatsResponse {
            revision: self.revision(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nodes: self.engine.nodes(),
            pods: count(self.engine.pods().saturating_sub(waiting)),
            leased: count(leased),
            nominated: count(nominated),
            queued_active: count(sizes.active),
            queued_backoff: count(sizes.backoff),
            queued_unschedulable: count(sizes.unschedulable),
            queued_gated: count(sizes.gated),
            templates: count(self.templates.len()),
            classes: count(self.engine.classes().count()),
            class_bytes: self.engine.class_bytes() as u64,
            placed_total: self.counts.results().0,
            refused_total: self.counts.results().1,
            released_total: self.counts.released,
            ..v1::StatsResponse::default()
        }
    }

    /// Whether the pod of this uid is on a node, and where: for tests and checks.
    pub fn node_of(&self, uid: &str) -> Option<&Str> {
        let pod = self.engine.find_pod(uid)?;
        (self.engine.pod(pod).state != PodState::Pending).then(|| self.engine.node_name_of(pod))?
    }
}

fn page_size(asked: u32) -> usize {
    (if asked == 0 { PAGE_MAX } else { asked.min(PAGE_MAX) }) as usize
}
