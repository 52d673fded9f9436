// SPDX-License-Identifier: Apache-2.0
//! Watch: counters every so often. A client that does not read gets the next ones later: there is one answer on its way at a time.

use super::{read, write};
use crate::observe::Observer;
use berth_proto::balancer as pb;
use berth_proto_serve::stopped;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Time between two answers, if nothing else is said, and at least.
const INTERVAL: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_millis(100);

/// The answers.
pub(super) type Watching = ReceiverStream<Result<pb::WatchResponse, Status>>;

pub(super) fn begin(
    request: pb::WatchRequest,
    observer: Observer,
    mut stopping: watch::Receiver<bool>,
) -> Result<Watching, Status> {
    let interval = match &request.interval {
        None => INTERVAL,
        Some(interval) => read::nanoseconds(interval)
            .map(Duration::from_nanos)
            .ok_or_else(|| Status::invalid_argument("interval: not a duration from 0 on"))?,
    };
    let interval = interval.max(LEAST);
    let wanted: BTreeSet<String> = request.services.into_iter().collect();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let answer = match observer.stats().await {
                Ok(stats) => Ok(write::stats(&stats, &wanted, request.brief)),
                Err(why) => Err(Status::unavailable(format!("no counters: {why}"))),
            };
            let last = answer.is_err();
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                sent = sender.send(answer) => if sent.is_err() || last { return },
            }
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                () = sender.closed() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}
