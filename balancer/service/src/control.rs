// SPDX-License-Identifier: Apache-2.0
//! The control plane's one thread: it owns what is wanted, and tells the data plane.
//!
//! All that changes anything goes through it, in one order. An update is planned (pure), told to the data plane, and committed when
//! that has taken it; who asked has the answer then. Nothing else waits in it: health checks, files and sockets are tokio's.
//!
//! ```text
//!  file ──┐                                             ┌─▶ health checks (what to check)
//!  gRPC ──┼──▶ inbox ──▶ plan ──▶ data plane ──▶ commit ┤
//!  checks ┘                                             └─▶ shared (status for gRPC, metrics, pages)
//! ```

mod shared;
mod thread;

pub use shared::{EFFECT_BOUNDS_NS, Effect, FileStatus, Moment, Shared, Trouble};
pub(crate) use thread::start;

use crate::plane::Applied;
use crate::problem::Problems;
use crate::state::{State, Summary};
use crate::wanted::Update;
use berth_balancer_core::model::Name;
use crossbeam_channel::{Sender, TrySendError};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Requests that wait for the thread. With an endpoint each they are worked off in some 20 ms.
pub(crate) const INBOX: usize = 1_024;

/// What became of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it changed.
    pub summary: Summary,
    /// What the data plane said.
    pub applied: Applied,
    /// From the receipt until every worker used it, in nanoseconds.
    pub took_ns: u64,
}

/// Why an update was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// It is wrong. The running table stays.
    Refused(Problems),
    /// More wait than the service keeps; try again.
    Overloaded,
    /// The service is stopping.
    Stopping,
    /// The data plane cannot be reached: why.
    NoDataPlane(String),
}

impl std::fmt::Display for NotTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(problems) => problems.fmt(f),
            Self::Overloaded => f.write_str("too many requests wait; try again"),
            Self::Stopping => f.write_str("the service is stopping"),
            Self::NoDataPlane(why) => write!(f, "the data plane cannot be reached: {why}"),
        }
    }
}

/// What a plan would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Planned {
    /// In numbers.
    pub summary: Summary,
    /// Names of the services.
    pub services: Vec<Name>,
}

type Reply<T> = oneshot::Sender<Result<T, NotTaken>>;
type Looking = Box<dyn FnOnce(&State) + Send>;

/// What the thread is asked.
pub(crate) enum Request {
    /// Take an update.
    Update { update: Box<Update>, received: Instant, reply: Reply<Taken> },
    /// Say what an update would do.
    Plan { update: Box<Update>, reply: Reply<Planned> },
    /// Drain endpoints, or take them back in.
    Drain {
        service: Name,
        endpoints: Vec<Name>,
        drain: bool,
        received: Instant,
        reply: Reply<Taken>,
    },
    /// What an active check found of an endpoint's port, if that is still the one that was checked.
    Health { found: Vec<crate::health::Found> },
    /// Look at what is wanted.
    Look(Looking),
    /// End. With `true` the data plane ends too.
    Stop { all: bool },
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Update { .. } => "Update",
            Self::Plan { .. } => "Plan",
            Self::Drain { .. } => "Drain",
            Self::Health { .. } => "Health",
            Self::Look(_) => "Look",
            Self::Stop { .. } => "Stop",
        })
    }
}

/// The way to the thread.
#[derive(Debug, Clone)]
pub struct Control {
    inbox: Sender<Request>,
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(inbox: Sender<Request>, shared: Arc<Shared>) -> Self {
        Self { inbox, shared }
    }

    /// What the service shows of itself.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes an update, all or nothing; it is in effect when this returns.
    ///
    /// # Errors
    /// All that is wrong with it, or why it was not looked at.
    pub async fn update(&self, update: Update, received: Instant) -> Result<Taken, NotTaken> {
        let update = Box::new(update);
        self.ask(|reply| Request::Update { update, received, reply }).await
    }

    /// What an update would do.
    ///
    /// # Errors
    /// All that is wrong with it, or why it was not looked at.
    pub async fn plan(&self, update: Update) -> Result<Planned, NotTaken> {
        let update = Box::new(update);
        self.ask(|reply| Request::Plan { update, reply }).await
    }

    /// Takes endpoints out of their service, or back in.
    ///
    /// # Errors
    /// They are not there, or why it was not looked at.
    pub async fn drain(
        &self,
        service: Name,
        endpoints: Vec<Name>,
        drain: bool,
    ) -> Result<Taken, NotTaken> {
        let received = Instant::now();
        self.ask(|reply| Request::Drain { service, endpoints, drain, received, reply }).await
    }

    /// Looks at what is wanted. Short: everything else waits for it.
    ///
    /// # Errors
    /// Why it was not looked at.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, NotTaken> {
        self.ask(|reply: Reply<T>| {
            Request::Look(Box::new(move |state| {
                // Who asked may be gone.
                drop(reply.send(Ok(look(state))));
            }))
        })
        .await
    }

    pub(crate) fn found(&self, found: Vec<crate::health::Found>) -> bool {
        self.inbox.try_send(Request::Health { found }).is_ok()
    }

    pub(crate) fn stop(&self, all: bool) {
        // The thread empties its inbox, so there is room soon; one that has ended needs no telling.
        drop(self.inbox.send(Request::Stop { all }));
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, NotTaken> {
        let (reply, answer) = oneshot::channel();
        match self.inbox.try_send(request(reply)) {
            Ok(()) => answer.await.unwrap_or(Err(NotTaken::Stopping)),
            Err(TrySendError::Full(_)) => {
                self.shared.overloaded();
                Err(NotTaken::Overloaded)
            }
            Err(TrySendError::Disconnected(_)) => Err(NotTaken::Stopping),
        }
    }
}
