// SPDX-License-Identifier: Apache-2.0
//! Calls of an etcd with several members: one is used until it fails, then the next.

use berth_proto::etcd::kv_client::KvClient;
use berth_proto::etcd::watch_client::WatchClient;
use berth_proto::etcd::{CompactionRequest, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use std::error::Error;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Response, Status};

/// How long a transaction may take. A leader that is lost has a successor after one or two seconds.
pub(crate) const TXN: Duration = Duration::from_secs(5);
/// How long a read may take in all.
pub(crate) const READ: Duration = Duration::from_secs(5);
/// Between two tries at the same member.
const PAUSE: Duration = Duration::from_millis(100);
/// A page of objects is bounded where it is asked for, and an answer by what it answers: no need to refuse it here.
const MESSAGE_MAX: usize = usize::MAX;

/// Why a call failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Whether the server may have seen it.
    pub(crate) sent: bool,
    pub(crate) code: Code,
    pub(crate) text: String,
}

impl Failure {
    fn late(within: Duration) -> Self {
        let text = format!("no answer within {within:?}");
        Self { sent: true, code: Code::DeadlineExceeded, text }
    }

    /// Whether the fault is the member's or the way's to it, and not the request's.
    pub(crate) fn elsewhere(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
                | Code::Aborted
        )
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let mut sent = true;
        let mut cause = status.source();
        while let Some(error) = cause {
            sent &= !error.is::<ConnectError>();
            cause = error.source();
        }
        let text = match status.source() {
            Some(source) => format!("{}: {}", status.message(), chain(source)),
            None => status.message().to_owned(),
        };
        Self { sent, code: status.code(), text }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Wrappers repeat what they wrap.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Link {
    channels: Vec<Channel>,
    /// Counts how often the member in use was left; the count says which it is.
    turn: watch::Sender<usize>,
    trouble: Mutex<Option<String>>,
}

impl Link {
    /// Connects when it is used. The connections live on the present runtime.
    pub(crate) fn new(endpoints: &[Endpoint]) -> Self {
        let channels = endpoints.iter().map(Endpoint::connect_lazy).collect();
        Self { channels, turn: watch::Sender::new(0), trouble: Mutex::default() }
    }

    /// What the last call failed of, if it did.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Tells when another member is used, or the same one anew.
    pub(crate) fn turns(&self) -> watch::Receiver<usize> {
        self.turn.subscribe()
    }

    /// The present turn.
    pub(crate) fn turn(&self) -> usize {
        *self.turn.borrow()
    }

    /// Goes on to the next member, if nobody else did meanwhile.
    pub(crate) fn leave(&self, turn: usize) {
        self.turn.send_if_modified(|now| {
            let same = *now == turn;
            *now += usize::from(same);
            same
        });
    }

    fn channel(&self, turn: usize) -> Channel {
        self.channels[turn % self.channels.len()].clone()
    }

    /// A client for watching, at the member of this turn.
    pub(crate) fn watcher(&self, turn: usize) -> WatchClient<Channel> {
        WatchClient::new(self.channel(turn)).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Calls one member once.
    async fn once<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        turn: usize,
        within: Duration,
        call: impl FnOnce(KvClient<Channel>) -> F,
    ) -> Result<T, Failure> {
        let client = KvClient::new(self.channel(turn)).max_decoding_message_size(MESSAGE_MAX);
        let answer = match timeout(within, call(client)).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(Failure::from),
            Err(_) => Err(Failure::late(within)),
        };
        match &answer {
            Err(failure) if failure.elsewhere() => {
                self.note(Some(failure.text.clone()));
                self.leave(turn);
            }
            _ => self.note(None),
        }
        answer
    }

    /// Reads, at whichever member answers. Linearizable, unless the request says otherwise.
    pub(crate) async fn range(
        &self,
        request: RangeRequest,
        within: Duration,
    ) -> Result<RangeResponse, Failure> {
        let begun = Instant::now();
        loop {
            let left = within.saturating_sub(begun.elapsed());
            // Where there is another member, there has to be time for it.
            let most = if self.channels.len() > 1 { within / 2 } else { within };
            let request = request.clone();
            let call = |mut client: KvClient<Channel>| async move { client.range(request).await };
            match self.once(self.turn(), left.min(most), call).await {
                Err(failure) if failure.elsewhere() && begun.elapsed() + PAUSE < within => {
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// Sends a transaction; to another member only if the first cannot have seen it.
    pub(crate) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Failure> {
        let mut tries = self.channels.len();
        loop {
            tries -= 1;
            let request = request.clone();
            let call = |mut client: KvClient<Channel>| async move { client.txn(request).await };
            match self.once(self.turn(), TXN, call).await {
                Err(failure) if !failure.sent && tries > 0 => {}
                answer => return answer,
            }
        }
    }

    /// Lets etcd forget what was before a revision.
    pub(crate) async fn compact(&self, revision: i64) -> Result<(), Failure> {
        let request = CompactionRequest { revision };
        let call = |mut client: KvClient<Channel>| async move { client.compact(request).await };
        self.once(self.turn(), READ, call).await.map(drop)
    }
}
