// SPDX-License-Identifier: Apache-2.0
//! Watch: the history, as messages, for one client.

use super::cut::Readable;
use super::history::History;
use super::status;
use crate::sequencer::record::{Placed, PodKey, Reader, Record, Why};
use berth_proto::v1;
use berth_proto::v1::list_again::Reason;
use berth_proto_serve::{Switch, stopped};
use bytes::Bytes;
use prost::Message;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::sync::watch as signal;
use tonic::Status;

/// Changes in one message.
const CHANGES: usize = 1_024;

/// Since when a message waits to be taken.
#[derive(Debug, Default)]
pub(super) struct Unread {
    since: Mutex<Option<Instant>>,
    switch: Option<Arc<Switch>>,
}

impl Unread {
    pub(super) fn new(switch: Option<Arc<Switch>>) -> Self {
        Self { since: Mutex::new(None), switch }
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Readable for Unread {
    fn unread_since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        if let Some(switch) = &self.switch {
            switch.cut();
        }
    }
}

type Sender = mpsc::Sender<Result<v1::WatchResponse, Status>>;

/// Sends changes until the client goes, the service stops, or the history is lost.
pub(super) async fn run(
    history: Arc<History>,
    request: v1::WatchRequest,
    send: Sender,
    unread: Arc<Unread>,
    mut stopping: signal::Receiver<bool>,
) {
    let mut follow = history.follow();
    let mut at = request.after_revision.unwrap_or(*follow.borrow_and_update());
    let mut behind = Reason::TooOld;
    let mut first = true;
    loop {
        match history.after(at, behind) {
            Err(again) => {
                let revision = again.current_revision;
                let list_again = Some(again);
                let last = v1::WatchResponse { revision, changes: Vec::new(), list_again };
                let message = "the watch cannot go on from there: list again";
                deliver(&send, &unread, Ok(last)).await;
                deliver(&send, &unread, Err(Status::out_of_range(message))).await;
                return;
            }
            Ok((records, last)) => {
                let from = std::mem::replace(&mut at, last);
                let moved = last > from;
                for response in messages(&request, &records, from..=last, first) {
                    if !deliver(&send, &unread, Ok(response)).await {
                        return;
                    }
                    first = false;
                }
                behind = Reason::TooSlow;
                if moved {
                    continue;
                }
            }
        }
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => {
                let status = status::not_accepted(&status::stopping());
                deliver(&send, &unread, Err(status)).await;
                return;
            }
            () = send.closed() => return,
            changed = follow.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until the message is taken; `false` when the client is gone.
async fn deliver(
    send: &Sender,
    unread: &Unread,
    message: Result<v1::WatchResponse, Status>,
) -> bool {
    unread.set(Some(Instant::now()));
    let sent = send.send(message).await.is_ok();
    unread.set(None);
    sent
}

/// The changes after the first revision that the request asks for, in messages; none where nothing is to be said.
fn messages(
    request: &v1::WatchRequest,
    records: &[Bytes],
    span: RangeInclusive<u64>,
    first: bool,
) -> Vec<v1::WatchResponse> {
    let (from, last) = span.into_inner();
    let mut responses = Vec::new();
    let mut changes = Vec::new();
    for batch in records {
        // What is published was written by this process, or read back by it.
        let Ok(mut reader) = Reader::new(batch) else { continue };
        while let Ok(Some(record)) = reader.record() {
            // The client may have seen a part of the first round.
            let new = |change: &v1::Change| change.revision > from && wanted(request, change);
            let Some(change) = change(&record).filter(new) else { continue };
            changes.push(change);
            if changes.len() == CHANGES {
                let revision = changes.last().map_or(last, |change: &v1::Change| change.revision);
                let changes = std::mem::take(&mut changes);
                responses.push(v1::WatchResponse { revision, changes, list_again: None });
            }
        }
    }
    if first || !changes.is_empty() {
        responses.push(v1::WatchResponse { revision: last, changes, list_again: None });
    }
    responses
}

fn wanted(request: &v1::WatchRequest, change: &v1::Change) -> bool {
    match &change.what {
        Some(v1::change::What::Pod(pod)) => {
            request.namespaces.is_empty() || request.namespaces.contains(&pod.namespace)
        }
        _ => !request.pods_only,
    }
}

fn pod(revision: u64, key: &PodKey<'_>, state: v1::PodState) -> (u64, v1::PodChange) {
    let change = v1::PodChange {
        uid: key.uid.to_owned(),
        namespace: key.namespace.to_owned(),
        name: key.name.to_owned(),
        state: state.into(),
        ..v1::PodChange::default()
    };
    (revision, change)
}

fn placed(placed: &Placed<'_>) -> (u64, v1::PodChange) {
    let state = match (placed.bound, placed.lease_until) {
        (true, _) => v1::PodState::Bound,
        (false, 0) => v1::PodState::Placed,
        (false, _) => v1::PodState::Leased,
    };
    let (revision, change) = pod(placed.revision, &placed.pod, state);
    (revision, v1::PodChange { node: placed.node.to_owned(), ..change })
}

/// What a record means to a client.
fn change(record: &Record<'_>) -> Option<v1::Change> {
    let object = |revision: u64, key: v1::ObjectKey, gone: bool| v1::Change {
        revision,
        what: Some(v1::change::What::Object(v1::ObjectChange { key: Some(key), gone })),
    };
    let (revision, pod) = match record {
        Record::Placed(record) => placed(record),
        Record::Gone { revision, pod: key, why } => pod(
            *revision,
            key,
            match why {
                Why::Released => v1::PodState::Released,
                Why::LeaseEnded => v1::PodState::LeaseEnded,
                Why::Cancelled => v1::PodState::Cancelled,
                Why::DeadlinePassed => v1::PodState::DeadlinePassed,
            },
        ),
        Record::Queued(queued) => pod(queued.revision, &queued.pod, v1::PodState::Queued),
        Record::NominationEnded { revision, pod: key } => pod(*revision, key, v1::PodState::Queued),
        Record::Confirmed { revision, pod: key } => pod(*revision, key, v1::PodState::Placed),
        Record::Nominated(nominated) => {
            let (revision, change) =
                pod(nominated.revision, &nominated.pod, v1::PodState::Nominated);
            let victim = |key: &PodKey<'_>| v1::Victim {
                uid: key.uid.to_owned(),
                namespace: key.namespace.to_owned(),
                name: key.name.to_owned(),
            };
            let preempting = v1::Preempting {
                node: nominated.node.to_owned(),
                victims: nominated.victims.iter().map(victim).collect(),
                budget_violations: u32::try_from(nominated.violations).unwrap_or(u32::MAX),
                hold_until_unix_ms: i64::try_from(nominated.hold_until).unwrap_or(i64::MAX),
            };
            let node = nominated.node.to_owned();
            (revision, v1::PodChange { node, preempting: Some(preempting), ..change })
        }
        Record::Object { revision, update } => {
            return Some(object(*revision, object_key(update)?, false));
        }
        Record::ObjectGone { revision, key } => {
            return Some(object(*revision, v1::ObjectKey::decode(*key).ok()?, true));
        }
        Record::Numbers { .. }
        | Record::Spec { .. }
        | Record::Template { .. }
        | Record::TemplateGone { .. } => return None,
    };
    Some(v1::Change { revision, what: Some(v1::change::What::Pod(pod)) })
}

/// Which object an update is about.
fn object_key(update: &[u8]) -> Option<v1::ObjectKey> {
    use v1::update::What;
    let key = |kind: &str, namespace: String, name: String| v1::ObjectKey {
        kind: kind.to_owned(),
        namespace,
        name,
        group_kind: String::new(),
    };
    let none = String::new;
    Some(match v1::Update::decode(update).ok()?.what? {
        What::Node(node) => key("Node", none(), node.name),
        What::Namespace(namespace) => key("Namespace", none(), namespace.name),
        What::Group(group) => {
            let key = key("Group", group.namespace, group.name);
            v1::ObjectKey { group_kind: group.kind, ..key }
        }
        What::Budget(budget) => key("DisruptionBudget", budget.namespace, budget.name),
        What::Volume(volume) => key("PersistentVolume", none(), volume.name),
        What::Claim(claim) => key("PersistentVolumeClaim", claim.namespace, claim.name),
        What::StorageClass(class) => key("StorageClass", none(), class.name),
        What::CsiNode(node) => key("CSINode", none(), node.name),
        What::CsiDriver(driver) => key("CSIDriver", none(), driver.name),
        What::CsiCapacity(capacity) => key("CSIStorageCapacity", capacity.namespace, capacity.name),
        What::Attachment(attachment) => key("VolumeAttachment", none(), attachment.name),
        What::Pod(_) | What::Gone(_) => return None,
    })
}
