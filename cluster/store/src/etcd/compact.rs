// SPDX-License-Identifier: Apache-2.0
//! Lets etcd forget the past, which grows for ever otherwise.
//!
//! Each process knows what the key `/berth/compaction` was when it last looked, and what etcd's revision was then. After a while it
//! writes the key, on condition that nobody else did since: so one of several processes wins each round, and compacts at the revision
//! of the round before. What is younger than one round is always kept, so that a process can resume its watch. Processes that
//! were away for longer read everything anew.

use super::link::{Failure, Link};
use super::wire::{self, COMPACTION, number};
use berth_proto::etcd::compare::{CompareTarget, TargetUnion};
use berth_proto::etcd::request_op::Request;
use berth_proto::etcd::{Compare, TxnRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Below this nobody could resume.
const LEAST: Duration = Duration::from_secs(1);

/// Rounds without end.
pub(crate) async fn run(link: Arc<Link>, age: Duration) {
    let mut round = Round::default();
    loop {
        sleep(age.max(LEAST)).await;
        if let Err(failure) = round.turn(&link).await {
            tracing::debug!(trouble = failure.text, "etcd was not compacted");
        }
    }
}

/// What was seen in the last round.
#[derive(Debug, Default)]
struct Round {
    version: i64,
    revision: i64,
}

impl Round {
    async fn turn(&mut self, link: &Link) -> Result<(), Failure> {
        let compare = Compare {
            target: CompareTarget::Version.into(),
            target_union: Some(TargetUnion::Version(self.version)),
            ..wire::is_at(COMPACTION, 0)
        };
        let request = TxnRequest {
            compare: vec![compare],
            success: vec![wire::put(COMPACTION, "")],
            failure: vec![wire::request(Request::RequestRange(wire::get(COMPACTION.into())))],
        };
        let answer = link.txn(request).await?;
        let before = self.revision;
        self.revision = answer.header.unwrap_or_default().revision;
        if !answer.succeeded {
            // Somebody else was first.
            let there = answer.responses.first().and_then(wire::first);
            self.version = there.map_or(0, |kv| kv.version);
            return Ok(());
        }
        self.version += 1;
        if before == 0 {
            return Ok(());
        }
        tracing::debug!(revision = number(before), "compacting etcd");
        match link.compact(before).await {
            // Somebody else's compaction reached further.
            Err(failure) if failure.code == tonic::Code::OutOfRange => Ok(()),
            done => done,
        }
    }
}
