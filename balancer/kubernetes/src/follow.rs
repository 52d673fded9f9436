// SPDX-License-Identifier: Apache-2.0
//! The driver: changes of informers into the books, updates of the books to the control plane, one at a time.
//!
//! While an update is under way, changes go on being read; they are told together by the next one. Nothing waits for quiet. While the API is
//! away nothing changes; what is different when it is back is told, and nothing else.

mod kinds;

use crate::around::{Around, NodePorts, of_host};
use crate::books::{Books, Culprit, Key, Planned, Source};
use crate::condition::{TYPE, help};
use crate::health::{Checks, Own};
use crate::parts::{Note, is_ours};
use crate::source::{Kubernetes, Settings};
use crate::talk::{Talk, Writer};
use crate::view::{Node, PROXY, Service};
use berth_balancer_core::model::Name;
use berth_balancer_service::Problems;
use berth_balancer_service::control::{Control, NotTaken, Taken};
use berth_balancer_service::plane::Unserved;
use berth_balancer_service::wanted::{Owner, Update};
use berth_cluster_client::{Api, Item, Media};
use berth_proto_serve::{pages, stopped};
use kinds::{Changes, Kinds, Subscribed};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often it is looked at what nobody tells: the host's addresses, and addresses that are not served.
const LOOK: Duration = Duration::from_millis(500);
/// Pause before an update is tried again that the control plane could not look at.
const AGAIN: Duration = Duration::from_millis(100);
/// Pause before one is tried again whose fault nobody knows.
const WRONG: Duration = Duration::from_secs(5);

/// Ends a task with what it belongs to.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An update that is under way.
struct Flight {
    planned: Planned,
    since: Instant,
    taken: Pin<Box<dyn Future<Output = Result<Taken, NotTaken>> + Send>>,
}

/// Follows the API until it is told to stop.
pub(crate) async fn follow(of: Kubernetes, control: Control, mut stopping: watch::Receiver<bool>) {
    let work = async {
        // The configuration file speaks first where there is one.
        while !control.shared().is_open() {
            sleep(AGAIN).await;
        }
        let _pages = serve(&of, &control);
        let kinds = Kinds::start(&of.api, &of.settings);
        // Who asks whether an address is out asks the others, too.
        drop(of.table.nodes.set(kinds.nodes.clone()));
        kinds.synced().await;
        Box::pin(Follower::new(&of, control.clone(), kinds).run()).await;
    };
    select! { biased;
        () = stopped(&mut stopping) => {}
        () = work => {}
    }
}

/// Serves the pages about the proxy itself; an address that somebody has is tried again.
fn serve(of: &Kubernetes, control: &Control) -> Option<Task> {
    let at = of.settings.health?;
    let plane = Arc::clone(control.shared());
    let own = Own { table: Arc::clone(&of.table), plane, stats: Arc::clone(&of.stats) };
    Some(Task(tokio::spawn(async move {
        let mut said = false;
        loop {
            match TcpListener::bind(at).await {
                Ok(listener) => {
                    let (_stop, stopping) = watch::channel(false);
                    return pages::serve(own, listener, stopping).await;
                }
                Err(error) if !said => {
                    tracing::warn!(%at, %error, "health is not told there; it is tried again every second");
                    said = true;
                }
                Err(_) => {}
            }
            sleep(Duration::from_secs(1)).await;
        }
    })))
}

struct Follower {
    settings: Settings,
    node_api: Api,
    control: Control,
    kinds: Kinds,
    of: Subscribed,
    books: Books,
    table: Arc<crate::rotation::Table>,
    stats: Arc<crate::Stats>,
    checks: Checks,
    /// Health checks that cannot be served.
    unchecked: BTreeMap<Source, Vec<Note>>,
    /// Those that are to be served, and on which addresses.
    checked: (Vec<(u16, Key, usize)>, Vec<IpAddr>),
    unserved: Vec<Unserved>,
    talk: Talk,
    _talking: Task,
    /// Of which objects it has to be looked at what is said of them.
    speak: BTreeSet<Source>,
    /// When the oldest change came that is not in effect.
    since: Option<Instant>,
    /// Not before then is anything told.
    pause: Option<Instant>,
    released: u64,
    node: Option<Arc<Item<Node>>>,
    announced: Option<Task>,
}

impl Follower {
    fn new(of: &Kubernetes, control: Control, kinds: Kinds) -> Self {
        let subscribed = kinds.subscribe();
        let settings = of.settings.clone();
        let talk = Talk::default();
        let (services, nodes) = (kinds.services.clone(), kinds.nodes.clone());
        let writer = Writer::new(Arc::clone(&settings.node), of.api.clone(), services, nodes);
        let talking = Task(tokio::spawn(talk.clone().run(writer)));
        let around = Around {
            node: Some(Arc::clone(&settings.node)),
            external_ips: settings.external_ips,
            ..Around::default()
        };
        Self {
            node_api: of.node_api.clone().unwrap_or_else(|| of.api.clone()),
            checks: Checks::new(Arc::clone(control.shared())),
            released: control.shared().released(),
            control,
            kinds,
            of: subscribed,
            books: Books::new(around),
            table: Arc::clone(&of.table),
            stats: Arc::clone(&of.stats),
            unchecked: BTreeMap::new(),
            checked: Default::default(),
            unserved: Vec::new(),
            talk,
            _talking: talking,
            speak: BTreeSet::new(),
            since: None,
            pause: None,
            node: None,
            announced: None,
            settings,
        }
    }

    async fn run(mut self) {
        let mut some = Changes::default();
        self.of.rest(&mut some);
        self.take(&mut some);
        self.look_around();
        self.books.leave_behind(self.left_behind().await);
        let mut flight: Option<Flight> = None;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if flight.is_none() && self.pause.is_none_or(|pause| pause <= Instant::now()) {
                self.pause = None;
                flight = self.depart();
            }
            let pause = self.pause.filter(|_| flight.is_none());
            select! { biased;
                taken = landed(flight.as_mut()) => {
                    if let Some(Flight { planned, since, .. }) = flight.take()
                        && !self.landed(taken, planned, since).await
                    {
                        return;
                    }
                }
                more = self.of.next(&mut some) => {
                    if !more {
                        return;
                    }
                    self.take(&mut some);
                }
                () = waited(pause) => {}
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Begins to tell what is different.
    fn depart(&mut self) -> Option<Flight> {
        let since = self.since.take().unwrap_or_else(Instant::now);
        let (update, planned) = self.books.plan()?;
        let control = self.control.clone();
        let taken = send(control, update, since);
        Some(Flight { planned, since, taken })
    }

    /// What came of an update; false if there is nobody to tell any more.
    async fn landed(
        &mut self,
        taken: Result<Taken, NotTaken>,
        planned: Planned,
        since: Instant,
    ) -> bool {
        match taken {
            Ok(taken) => {
                let table = &self.table;
                self.books.commit(planned, |before, after| table.change(before, after));
                self.table.confirmed();
                self.stats.took(since.elapsed());
                self.stats.counts(self.books.counts());
                self.control.shared().first_taken();
                self.unserved(taken.applied.unserved);
                self.check().await;
            }
            Err(NotTaken::Stopping) => return false,
            Err(NotTaken::Refused(problems)) => {
                self.since = Some(since);
                self.refused(&problems, &planned);
            }
            Err(why @ (NotTaken::Overloaded | NotTaken::NoDataPlane(_))) => {
                tracing::info!(%why, "an update is tried again");
                self.stats.retried();
                self.since = Some(since);
                self.pause = Some(Instant::now() + AGAIN);
            }
        }
        self.speak_of_noted();
        true
    }

    /// Leaves out who is at fault; the rest is told anew.
    fn refused(&mut self, problems: &Problems, planned: &Planned) {
        let mut refused: BTreeMap<Name, String> = BTreeMap::new();
        let mut unknown = Vec::new();
        for problem in &problems.list {
            match planned.culprit(&problem.path) {
                Culprit::Service(name) => {
                    let all = refused.entry(name).or_default();
                    if !all.is_empty() {
                        all.push_str("; ");
                    }
                    all.push_str(&problem.to_string());
                }
                Culprit::Node => {
                    tracing::warn!(%problem, "node ports are served as the other source says");
                    self.books.leave_common();
                    return;
                }
                Culprit::Unknown => unknown.push(problem.to_string()),
            }
        }
        self.stats.refused(refused.len());
        if refused.is_empty() {
            let problems = unknown.join("; ");
            tracing::error!(problems, "an update is refused; each service is told by itself");
            self.pause = Some(Instant::now() + WRONG);
            self.books.narrow();
        } else {
            tracing::warn!(?refused, "services are left out");
        }
        self.books.refuse(refused);
    }

    /// Carries changes over into the books.
    fn take(&mut self, some: &mut Changes) {
        self.since.get_or_insert_with(Instant::now);
        for change in some.services.drain(..) {
            let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            let key: Key = (one.id.namespace.clone(), one.id.name.clone());
            self.speak.insert(Source::Service(key.clone()));
            self.books.service(key, change.after.map(|item| item.view.clone()));
        }
        for change in some.slices.drain(..) {
            let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            let (namespace, name) = (one.id.namespace.clone(), one.id.name.clone());
            self.books.slice(namespace, name, change.after.map(|item| item.view.clone()));
        }
        for change in some.pods.drain(..) {
            let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            let key: Key = (one.id.namespace.clone(), one.id.name.clone());
            let pod = change.after.map(|item| item.view.clone());
            self.books.pod(key, pod.filter(|pod| !pod.ports.is_empty()));
        }
        for change in some.nodes.drain(..) {
            let Some(one) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            if *one.id.name == *self.settings.node {
                self.node = change.after;
                self.look_around();
                self.announce();
            } else if change.after.is_none() {
                // What it said of Services is anybody's now.
                let all = self.kinds.services.all();
                let said = all.iter().filter(|one| said_by(&one.view).is_some());
                let said = said.map(|one| (one.id.namespace.clone(), one.id.name.clone()));
                self.speak.extend(said.map(Source::Service));
            }
        }
    }

    /// Looks at what nobody tells.
    async fn look(&mut self) {
        self.look_around();
        self.announce();
        let released = self.control.shared().released();
        if self.released != released && self.books.has_refused() {
            self.books.forgive();
        }
        self.released = released;
        let unserved = self.control.shared().moment().unserved;
        self.unserved(unserved);
        if !self.unchecked.is_empty() {
            self.checked.0.clear();
            self.check().await;
        }
        self.speak_of_noted();
    }

    /// The node as it is.
    fn look_around(&mut self) {
        let view = self.node.as_ref().map(|item| &item.view);
        let known = view.map(|view| view.addresses.as_slice()).unwrap_or_default();
        let host = match self.settings.node_ports {
            NodePorts::Primary => Vec::new(),
            NodePorts::All | NodePorts::Ranges(_) => of_host(),
        };
        let around = Around {
            zone: view.and_then(|view| view.zone.clone()),
            addresses: self.settings.node_ports.choose(&host, known),
            ..self.books.here().clone()
        };
        self.books.around(around);
    }

    /// Writes where other nodes ask this one into its Node, if it does not stand there.
    fn announce(&mut self) {
        let Some(node) = &self.node else { return };
        let Some(at) = self.settings.health else { return };
        let ip = match at.ip() {
            ip if ip.is_unspecified() => node.view.addresses.first().copied(),
            ip => Some(ip),
        };
        let Some(wanted) = ip.map(|ip| SocketAddr::new(ip, at.port())) else { return };
        if node.view.proxy == Some(wanted)
            || self.announced.as_ref().is_some_and(|task| !task.0.is_finished())
        {
            return;
        }
        let patch = json!({ "metadata": { "annotations": { PROXY: wanted.to_string() } } });
        let path = format!("/api/v1/nodes/{}", self.settings.node);
        let api = self.node_api.clone();
        self.announced = Some(Task(tokio::spawn(async move {
            let wrote = api.patch(&path, Media::Merge, patch.to_string().into()).await;
            if let Err(error) = wrote {
                tracing::warn!(%error, "other nodes are not told where this proxy is: they do not wait for it before pods end");
                // Without the right to write it, there is no use in asking every second.
                sleep(Duration::from_mins(1)).await;
            }
            // The watch tells of it soon.
            sleep(LOOK).await;
        })));
    }

    /// Services in the data plane of which nobody says that they are wanted, and that were ours by their names.
    async fn left_behind(&self) -> Vec<Name> {
        let look = |state: &berth_balancer_service::state::State| -> Vec<Name> {
            let all = state.entries().iter().filter(|(_, entry)| entry.owner == Owner::Adopted);
            all.filter(|(name, _)| is_ours(name)).map(|(name, _)| name.clone()).collect()
        };
        self.control.look(look).await.unwrap_or_default()
    }

    /// These addresses are not served now.
    fn unserved(&mut self, now: Vec<Unserved>) {
        if self.unserved == now {
            return;
        }
        let old = std::mem::replace(&mut self.unserved, now);
        for one in old.iter().chain(&self.unserved) {
            self.speak.extend(self.books.source(&one.service).cloned());
        }
    }

    /// Serves the health checks that load balancers ask.
    async fn check(&mut self) {
        let wanted: Vec<(u16, Key, usize)> = self
            .books
            .health_checks()
            .map(|(port, key, ready)| (port, key.clone(), ready))
            .collect();
        let addresses = self.books.here().addresses.clone();
        if self.checked.0 == wanted && self.checked.1 == addresses {
            return;
        }
        self.checked = (wanted.clone(), addresses.clone());
        let failed = self.checks.set(wanted, &addresses).await;
        let mut unchecked: BTreeMap<Source, Vec<Note>> = BTreeMap::new();
        for (key, at, error) in failed {
            let message = format!("health checks at TCP {at} are not answered: {error}");
            let notes = unchecked.entry(Source::Service(key)).or_default();
            notes.push(Note::new("HealthPortNotBound", message));
        }
        if unchecked != self.unchecked {
            self.speak.extend(self.unchecked.keys().chain(unchecked.keys()).cloned());
            self.unchecked = unchecked;
        }
    }

    /// Says what is not served of objects of which that may be different.
    fn speak_of_noted(&mut self) {
        self.speak.extend(self.books.noted());
        for source in std::mem::take(&mut self.speak) {
            let mut notes = self.books.notes(&source);
            for one in &self.unserved {
                if self.books.source(&one.service) == Some(&source) {
                    notes.push(help(&one.protocol.to_string(), one.address, &one.reason));
                }
            }
            notes.extend(self.unchecked.get(&source).into_iter().flatten().cloned());
            let said = match &source {
                Source::Service(key) => self.books.known(key).is_some_and(|s| said_by(s).is_some()),
                Source::Pod(_) => true,
            };
            if said || !notes.is_empty() {
                self.talk.say(source, notes);
            }
        }
    }
}

/// What is said of a Service.
fn said_by(service: &Service) -> Option<&serde_json::Value> {
    service.conditions.iter().find(|one| one["type"] == TYPE)
}

fn send(
    control: Control,
    update: Update,
    since: Instant,
) -> Pin<Box<dyn Future<Output = Result<Taken, NotTaken>> + Send>> {
    Box::pin(async move { control.update(update, since.into_std()).await })
}

async fn landed(flight: Option<&mut Flight>) -> Result<Taken, NotTaken> {
    match flight {
        Some(flight) => flight.taken.as_mut().await,
        None => pending().await,
    }
}

async fn waited(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => pending().await,
    }
}
