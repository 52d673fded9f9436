// SPDX-License-Identifier: Apache-2.0
//! The task of the nodes themselves: they register, renew their leases, and tell that they are well.

use crate::node::{self, Node};
use crate::shared::Shared;
use crate::wheel::Wheel;
use crate::{place, wait};
use berth_cluster_client::{Api, CallError, Change, Item, Media, Subscription};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// How long one call may take: a lease that is renewed later is renewed by its next turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Changes that are taken at once.
const BATCH: usize = 256;

/// What a node has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Register,
    /// Tell all of its status.
    Begin,
    /// Tell that it is well.
    Status,
    Lease,
}

impl Work {
    fn bit(self) -> u8 {
        match self {
            // Of these three one at a time.
            Self::Register | Self::Begin | Self::Status => 1,
            Self::Lease => 2,
        }
    }
}

/// What is kept of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Agent {
    /// It has registered, or found itself registered, since it came up.
    registered: bool,
    /// Its Lease is there.
    leased: bool,
    /// What waits or is under way, by [`Work::bit`].
    busy: u8,
    /// How often it had gone down or come up when it was looked at; none if it was not.
    turns: Option<u32>,
}

/// What became of it.
struct Done {
    node: u32,
    work: Work,
    well: bool,
}

/// The task's state.
pub(crate) struct Agents {
    shared: Arc<Shared>,
    agents: Vec<Agent>,
    waiting: VecDeque<(u32, Work)>,
    again: BTreeMap<(Instant, u32), Work>,
    leases: Wheel,
    statuses: Wheel,
    tasks: JoinSet<Done>,
}

impl Agents {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let options = &shared.options;
        let (count, now) = (options.nodes, Instant::now());
        let active = if options.active { count } else { 0 };
        let leases = Wheel::new(active, options.lease_every, now);
        // A registration tells the status.
        let statuses = Wheel::new(active, options.status_every, now + options.status_every);
        let agents = (0..count).map(|_| Agent::default()).collect();
        Self {
            shared,
            agents,
            waiting: VecDeque::new(),
            again: BTreeMap::new(),
            leases,
            statuses,
            tasks: JoinSet::new(),
        }
    }

    /// Until it is stopped; what is under way is brought to its end.
    pub(crate) async fn run(mut self) {
        let mut stop = self.shared.stop.subscribe();
        let mut risen = self.shared.risen.subscribe();
        if wait::unless(&mut stop, self.shared.nodes.synced()).await.is_none() {
            return;
        }
        let mut changes: Subscription<Node> = self.shared.nodes.subscribe();
        let mut some = Vec::with_capacity(BATCH);
        self.silence();
        self.look_at_all();
        loop {
            self.launch();
            let free = self.tasks.len() < self.shared.options.at_a_time;
            let next = if free { self.next_turn() } else { None };
            tokio::select! {
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => return tracing::error!(%error, "simulated nodes stop"),
                },
                count = changes.next_many(&mut some, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    for change in some.drain(..) {
                        self.changed(&change);
                    }
                }
                _ = risen.changed() => self.look_at_all(),
                _ = stop.changed() => break,
                () = wait::until(next) => {}
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// When somebody's turn is next.
    fn next_turn(&self) -> Option<Instant> {
        let again = self.again.first_key_value().map(|((at, _), _)| *at);
        [self.leases.at(), self.statuses.at(), again].into_iter().flatten().min()
    }

    /// Takes turns that are due, and begins what waits.
    fn launch(&mut self) {
        let now = Instant::now();
        while self.tasks.len() < self.shared.options.at_a_time {
            if let Some((node, work)) = self.waiting.pop_front() {
                self.begin(node, work);
            } else if let Some(node) = self.leases.next(now) {
                self.turn(node, Work::Lease);
            } else if let Some(node) = self.statuses.next(now) {
                self.turn(node, Work::Status);
            } else if let Some(again) = self.again.first_entry().filter(|one| one.key().0 <= now) {
                let ((_, node), work) = again.remove_entry();
                self.turn(node, work);
            } else {
                return;
            }
        }
    }

    fn agent(&mut self, node: u32) -> Option<&mut Agent> {
        usize::try_from(node).ok().and_then(|node| self.agents.get_mut(node))
    }

    /// Wants something of a node, unless it is done already or the node is down.
    fn turn(&mut self, node: u32, work: Work) {
        let up = self.shared.is_up(node);
        let Some(agent) = self.agent(node) else { return };
        let may = agent.registered || work == Work::Register;
        if up && may && agent.busy & work.bit() == 0 {
            agent.busy |= work.bit();
            self.waiting.push_back((node, work));
        }
    }

    fn begin(&mut self, node: u32, work: Work) {
        let leased = self.agent(node).is_some_and(|agent| agent.leased);
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let call = Box::pin(perform(&shared, node, work, leased));
            let well = match timeout(PATIENCE, call).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::info!(node, ?work, %error, "a simulated node tries again later");
                    false
                }
                Err(_) => false,
            };
            Done { node, work, well }
        });
    }

    fn done(&mut self, done: Done) {
        let Done { node, work, well } = done;
        let Some(agent) = self.agent(node) else { return };
        agent.busy &= !work.bit();
        if !well {
            self.again.insert((Instant::now() + AGAIN, node), work);
            return;
        }
        match work {
            Work::Register => {
                agent.registered = true;
                self.shared.registered.send_modify(|count| *count += 1);
            }
            Work::Lease => agent.leased = true,
            Work::Begin | Work::Status => {}
        }
        // It may have been told otherwise meanwhile.
        if work != Work::Lease {
            self.right(node);
        }
    }

    /// Nodes that have come up since they were looked at begin anew.
    fn look_at_all(&mut self) {
        for node in 0..self.shared.options.nodes {
            let turns = self.shared.turns(node);
            let Some(agent) = self.agent(node) else { return };
            let same = agent.turns.replace(turns) == Some(turns);
            if same || !turns.is_multiple_of(2) {
                continue;
            }
            let before = std::mem::replace(&mut agent.registered, false);
            if self.shared.nodes.get("", &self.shared.name(node)).is_none() {
                if before {
                    self.shared.registered.send_modify(|count| *count -= 1);
                }
                self.turn(node, Work::Register);
                continue;
            }
            if let Some(agent) = self.agent(node) {
                agent.registered = true;
            }
            if !before {
                self.shared.registered.send_modify(|count| *count += 1);
            }
            if self.shared.options.active {
                self.turn(node, Work::Begin);
                self.turn(node, Work::Lease);
            }
        }
    }

    /// Nodes that are to be silent are so from the start.
    fn silence(&self) {
        for node in 0..self.shared.options.nodes {
            let known = self.shared.nodes.get("", &self.shared.name(node));
            if known.is_some_and(|known| known.view.silent) {
                self.shared.set(node..node + 1, false);
            }
        }
    }

    fn changed(&mut self, change: &Change<Node>) {
        let Some(item) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let (prefix, count) = (&self.shared.options.prefix, self.shared.options.nodes);
        let Some(node) = place::number(prefix, count, &item.id.name) else { return };
        let silent = |item: &Arc<Item<Node>>| item.view.silent;
        let before = change.before.as_ref().is_some_and(silent);
        // One that is removed while it is silent stays away, as any other.
        if let Some(after) = change.after.as_ref().map(silent).filter(|after| *after != before) {
            self.shared.set(node..node + 1, !after);
        }
        if change.after.is_some() {
            self.right(node);
        } else if let Some(agent) = self.agent(node)
            && agent.registered
        {
            // Somebody has removed it: an agent does not come back before it is begun anew.
            *agent = Agent { registered: false, leased: false, ..*agent };
            self.shared.registered.send_modify(|count| *count -= 1);
        }
    }

    /// A node that is well says so where it is told otherwise.
    fn right(&mut self, node: u32) {
        let known = self.shared.nodes.get("", &self.shared.name(node));
        if self.shared.options.active && known.is_some_and(|node| !node.view.ready) {
            self.turn(node, Work::Status);
        }
    }
}

async fn perform(shared: &Shared, node: u32, work: Work, leased: bool) -> Result<(), CallError> {
    let name = shared.name(node);
    let door = shared.door(&name);
    let known = shared.nodes.get("", &name);
    let turned = known.as_ref().is_some_and(|node| !node.view.ready);
    let (options, now) = (&shared.options, shared.now());
    let status = format!("{NODES}/{name}/status");
    let done = match work {
        Work::Register => {
            let made = door.post(NODES, node::object(options, node, now)).await;
            match made {
                // It was there before.
                Err(CallError::Refused { code: 409, .. }) => {
                    let begun = node::begun(options, node, now, false);
                    door.patch(&status, Media::Strategic, begun).await
                }
                made => made,
            }
        }
        Work::Begin => {
            let begun = node::begun(options, node, now, turned);
            door.patch(&status, Media::Strategic, begun).await
        }
        Work::Status => door.patch(&status, Media::Strategic, node::well(now, turned)).await,
        Work::Lease => return lease(shared, node, &door, leased).await,
    };
    match done {
        // The node is gone: there is nothing to tell.
        Err(CallError::Refused { code: 404, .. }) if work != Work::Register => Ok(()),
        done => done.map(drop),
    }
}

/// Renews a lease, or makes it.
async fn lease(shared: &Shared, node: u32, door: &Api, leased: bool) -> Result<(), CallError> {
    let (name, now) = (shared.name(node), shared.now());
    let path = format!("{LEASES}/{name}");
    if leased {
        match door.patch(&path, Media::Merge, node::renewal(now)).await {
            // Somebody has removed it.
            Err(CallError::Refused { code: 404, .. }) => {}
            renewed => return renewed.map(drop),
        }
    }
    // Its owner is the node, whose uid may not be known yet: then the next turn will do.
    let Some(known) = shared.nodes.get("", &name) else { return Ok(()) };
    let new = node::lease(&shared.options, node, &known.id.uid, now);
    match door.post(LEASES, new).await {
        Err(CallError::Refused { code: 409, .. }) => {
            door.patch(&path, Media::Merge, node::renewal(now)).await.map(drop)
        }
        made => made.map(drop),
    }
}
