// SPDX-License-Identifier: Apache-2.0
//! The thread itself.

use super::{Control, INBOX, NotTaken, Planned, Request, Shared, Taken};
use crate::choose::Available;
use crate::health::{Found, Targets, Verdicts};
use crate::plane::{Applied, DataPlane, Known, PlaneError, Unhealthy};
use crate::problem::Problems;
use crate::state::{Entry, Plan, State, Told};
use crate::wanted::{Common, Draft, Origin, Owner, Update, Wish};
use berth_balancer_core::Change;
use berth_balancer_core::model::{Config, EndpointSet, Name};
use berth_balancer_data::memory::give_back;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the data plane is looked after while nothing else happens.
const REST: Duration = Duration::from_millis(200);
/// How often the data plane is asked what it does not serve, while there is something: it tries every second.
const REFRESH: Duration = Duration::from_secs(1);
/// An update of so many services and endpoints leaves much behind that nobody needs any more.
const LARGE: usize = 1_000;
/// Names of services in one plan's answer.
const NAMES_MAX: usize = 1_000;

/// Starts the thread. `known` is what the data plane had been told before; its services go to `heir`.
pub(crate) fn start(
    plane: Box<dyn DataPlane>,
    known: Known,
    heir: Owner,
    targets: Targets,
) -> io::Result<(Control, JoinHandle<()>)> {
    let (sender, receiver) = bounded(INBOX);
    let shared = Arc::new(Shared::new());
    let control = Control::new(sender, Arc::clone(&shared));
    let mut running = Running {
        state: State::with_heir(heir),
        available: plane.available(),
        plane,
        verdicts: Verdicts::default(),
        targets,
        shared,
        looked: Instant::now(),
        refreshed: Instant::now(),
    };
    running.adopt(known);
    let thread = std::thread::Builder::new().name("balancer-control".into());
    let thread = thread.spawn(move || running.run(&receiver))?;
    Ok((control, thread))
}

struct Running {
    state: State,
    plane: Box<dyn DataPlane>,
    available: Available,
    verdicts: Verdicts,
    targets: Targets,
    shared: Arc<Shared>,
    looked: Instant,
    refreshed: Instant,
}

impl Running {
    fn run(mut self, inbox: &Receiver<Request>) {
        loop {
            match inbox.recv_timeout(REST) {
                Ok(Request::Stop { all }) => {
                    if all {
                        self.plane.stop();
                    }
                    return;
                }
                Ok(request) => self.work(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.looked.elapsed() >= REST {
                self.look_after();
                self.looked = Instant::now();
            }
        }
    }

    /// Takes over what a data plane that ran already has been told. It serves that, so there is nothing to tell it.
    fn adopt(&mut self, known: Known) {
        let Known { config, revision, unhealthy } = known;
        for one in unhealthy {
            let Unhealthy { service, endpoint, port, address } = one;
            self.verdicts.note(&Found { service, endpoint, port, address, healthy: false });
        }
        if !config.services.is_empty() {
            let (services, update) = (config.services.len(), adoption(config));
            match self.state.plan(update, &self.available) {
                Ok(plan) => {
                    self.commit(plan);
                    tracing::info!(services, revision, "the data plane ran already, and goes on");
                }
                // It is as if it had begun from nothing: what the sources want replaces what it has.
                Err(problems) => tracing::warn!(%problems, "what it serves is not taken over"),
            }
        }
        let plane = self.plane.identity();
        self.shared.change(|moment| (moment.plane, moment.revision) = (plane, revision));
    }

    fn work(&mut self, request: Request) {
        // Who asked may be gone, here and below.
        match request {
            Request::Update { update, received, reply } => {
                let large = update.services.len() + update.endpoints.len() >= LARGE;
                let plan = self.state.plan(*update, &self.available);
                drop(reply.send(self.take(plan, received)));
                if large {
                    give_back();
                }
            }
            Request::Drain { service, endpoints, drain, received, reply } => {
                let plan = self.state.plan_drain(&service, &endpoints, drain, &self.available);
                drop(reply.send(self.take(plan, received)));
            }
            Request::Plan { update, reply } => {
                let planned = self.state.plan(*update, &self.available).map(|plan| Planned {
                    summary: plan.summary,
                    services: plan.entries().map(|(n, _)| n.clone()).take(NAMES_MAX).collect(),
                });
                drop(reply.send(planned.map_err(NotTaken::Refused)));
            }
            Request::Health { found } => self.found(found),
            Request::Look(look) => look(&self.state),
            Request::Stop { .. } => {}
        }
    }

    /// Has a plan taken by the data plane, and makes it true.
    fn take(&mut self, plan: Result<Plan, Problems>, received: Instant) -> Result<Taken, NotTaken> {
        let mut plan = plan.map_err(|problems| self.refuse(problems))?;
        let summary = plan.summary;
        let applied = if plan.is_empty() { Ok(self.shared.last()) } else { self.tell(&mut plan) };
        let applied = match applied {
            Ok(applied) => applied,
            Err(PlaneError::Refused(problems)) => return Err(self.refuse(problems)),
            Err(PlaneError::Gone(why)) => {
                self.shared.change(|moment| moment.trouble = Some(why.clone()));
                return Err(NotTaken::NoDataPlane(why));
            }
        };
        let took_ns = u64::try_from(received.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.took(took_ns);
        self.shared.applied(&applied);
        self.commit(plan);
        Ok(Taken { summary, applied, took_ns })
    }

    fn refuse(&self, problems: Problems) -> NotTaken {
        self.shared.refused();
        NotTaken::Refused(problems)
    }

    /// Tells the data plane; once more with everything if it is another one than before.
    fn tell(&mut self, plan: &mut Plan) -> Result<Applied, PlaneError> {
        // What it was told is of no more use here: if it is another one by now, that is told everything.
        let told = match std::mem::replace(&mut plan.told, Told::Everything) {
            Told::Changes(changes) => self.plane.apply(changes),
            Told::Everything => self.plane.replace(self.after(plan)),
        };
        let Err(PlaneError::Gone(_)) = told else { return told };
        self.plane.ensure()?;
        let applied = self.plane.replace(self.after(plan))?;
        self.retold();
        Ok(applied)
    }

    /// Everything as it is after a plan.
    fn after(&self, plan: &Plan) -> Config {
        self.state.config_after(plan)
    }

    fn commit(&mut self, plan: Plan) {
        let mut free = Vec::new();
        let mut released = plan.is_common();
        for (name, entry) in plan.entries() {
            let old = self.state.entry(name);
            for (endpoint, port) in self.verdicts.keep(name, entry.map(|entry| &**entry)) {
                free.push(health(name.clone(), endpoint, port, true));
            }
            let checked = |entry: Option<&Arc<Entry>>| {
                entry.is_some_and(|entry| entry.service.settings.health_check.is_some())
            };
            if checked(entry) || checked(old) {
                self.targets.set(name, entry, &self.verdicts);
            }
            released |= old.is_some_and(|old| match entry {
                Some(entry) => entry.service != old.service || entry.owner != old.owner,
                None => true,
            });
        }
        self.state.commit(plan);
        if released {
            self.shared.release();
        }
        if !free.is_empty()
            && let Err(error) = self.plane.apply(free)
        {
            tracing::warn!(?error, "endpoints that are no longer checked stay unhealthy");
        }
        let (services, endpoints) = self.state.counts();
        let unhealthy = self.verdicts.count();
        self.shared.change(|moment| {
            (moment.services, moment.endpoints) = (services, endpoints);
            moment.unhealthy = unhealthy;
        });
    }

    /// Passes on what active checks found.
    fn found(&mut self, found: Vec<Found>) {
        let mut changes = Vec::new();
        for one in found {
            if self.is_current(&one) && self.verdicts.note(&one) {
                let healthy = one.healthy;
                tracing::info!(
                    service = &*one.service,
                    endpoint = &*one.endpoint,
                    port = &*one.port,
                    "active checks find it {}",
                    if healthy { "healthy again" } else { "unhealthy" }
                );
                changes.push(health(one.service, one.endpoint, one.port, healthy));
            }
        }
        if changes.is_empty() {
            return;
        }
        let unhealthy = self.verdicts.count();
        self.shared.change(|moment| moment.unhealthy = unhealthy);
        match self.plane.apply(changes) {
            Ok(applied) => self.shared.applied(&applied),
            Err(PlaneError::Refused(problems)) => {
                tracing::warn!(%problems, "verdicts were refused");
            }
            // It is told all verdicts when it is back.
            Err(PlaneError::Gone(why)) => self.shared.change(|m| m.trouble = Some(why)),
        }
    }

    /// Whether what was checked is still what is wanted.
    fn is_current(&self, found: &Found) -> bool {
        let Some(entry) = self.state.entry(&found.service) else { return false };
        let same = |address| address == found.address;
        entry.endpoints().any(|e| e.name == found.endpoint && same(e.address))
            && entry.service.ports.iter().any(|port| port.name == found.port)
    }

    /// Starts the data plane anew if it is gone, and tells it everything.
    fn look_after(&mut self) {
        match self.plane.ensure() {
            Ok(false) => {
                if self.shared.is_troubled() {
                    self.shared.change(|moment| moment.trouble = None);
                }
                self.look_at_unserved();
            }
            Ok(true) => self.tell_anew(),
            Err(PlaneError::Refused(problems)) => {
                self.shared.change(|moment| moment.trouble = Some(problems.to_string()));
            }
            Err(PlaneError::Gone(why)) => {
                if !self.shared.is_troubled() {
                    tracing::error!(why, "the data plane cannot be reached");
                }
                self.shared.change(|moment| moment.trouble = Some(why));
            }
        }
    }

    /// The data plane tries by itself what it could not serve: no change tells that it can now.
    fn look_at_unserved(&mut self) {
        if self.refreshed.elapsed() < REFRESH || self.shared.last().unserved.is_empty() {
            return;
        }
        self.refreshed = Instant::now();
        if let Ok(applied) = self.plane.apply(Vec::new()) {
            self.shared.applied(&applied);
        }
    }

    /// Tells a data plane that began from nothing everything.
    fn tell_anew(&mut self) {
        self.reconsider();
        match self.plane.replace(self.state.config()) {
            Ok(applied) => {
                tracing::warn!(
                    revision = applied.revision,
                    "the data plane began anew, and serves again"
                );
                self.shared.applied(&applied);
                self.retold();
            }
            Err(PlaneError::Refused(problems)) => {
                tracing::error!(%problems, "the data plane began anew, and refuses what is wanted");
                self.shared.change(|moment| moment.trouble = Some(problems.to_string()));
            }
            Err(PlaneError::Gone(why)) => self.shared.change(|m| m.trouble = Some(why)),
        }
    }

    /// Decides paths and source addresses anew if the data plane can do other things than the one before.
    fn reconsider(&mut self) {
        let available = self.plane.available();
        if available == self.available {
            return;
        }
        self.available = available;
        match self.state.plan_available(&self.available) {
            Ok(plan) => self.state.commit(plan),
            Err(problems) => {
                tracing::error!(%problems, "the data plane that began anew cannot do what services ask for");
            }
        }
    }

    /// A data plane that began from nothing knows no verdicts.
    fn retold(&mut self) {
        let unhealthy = self.verdicts.unhealthy();
        let changes: Vec<Change> =
            unhealthy.map(|(s, e, p)| health(s.clone(), e.clone(), p.clone(), false)).collect();
        if !changes.is_empty()
            && let Err(error) = self.plane.apply(changes)
        {
            tracing::warn!(?error, "verdicts were not taken");
        }
        let plane = self.plane.identity();
        self.shared.change(|moment| {
            moment.trouble = None;
            moment.plane = plane;
        });
    }
}

/// What the data plane had been told, as if somebody said it.
fn adoption(config: Config) -> Update {
    let mut sets: BTreeMap<Name, EndpointSet> =
        config.endpoints.into_iter().map(|set| (set.service.clone(), set)).collect();
    let mut update = Update::new(Owner::Adopted);
    for service in config.services {
        let path = format!("service \"{}\"", service.name);
        let endpoints = sets.remove(&service.name).map(|set| set.endpoints).unwrap_or_default();
        let wish = Wish { service, from_pool: false, endpoints };
        update.services.push(Draft { wish, origin: Origin::at(path) });
    }
    // What it serves was allowed once; the sources say anew what is.
    update.common = Some(Common { node: config.node, pools: Vec::new(), external_ips: true });
    update
}

fn health(service: Name, endpoint: Name, port: Name, healthy: bool) -> Change {
    Change::Health { service, endpoint, port, healthy }
}
