// SPDX-License-Identifier: Apache-2.0
//! From an update to what it changes, in four steps: which services it touches (`touch`), what becomes of them (`resolve`), whether
//! that is right (`judge`), and what the data plane has to be told (`changes`).

use super::changes::Told;
use super::{Entry, State};
use crate::choose::{Available, Cannot, Taken, choose};
use crate::pool::Free;
use crate::problem::Problems;
use crate::wanted::{Common, EndpointUpdate, LastSettings, Origin, Owner, Update, Wish};
use berth_balancer_core::model::{Endpoint, Name, Service, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What an update changes.
#[derive(Debug)]
pub struct Plan {
    /// What the data plane is told.
    pub told: Told,
    /// The same in numbers.
    pub summary: Summary,
    /// The services that are different afterwards; `None` is gone.
    pub(super) entries: Entries,
    pub(super) common: Option<(Owner, Common)>,
    pub(super) given: Given,
}

impl Plan {
    /// Whether the data plane has nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.told, Told::Changes(changes) if changes.is_empty())
    }

    /// Whether what holds for all services is different afterwards.
    #[must_use]
    pub fn is_common(&self) -> bool {
        self.common.is_some()
    }

    /// The services that are different afterwards; `None` is gone.
    pub fn entries(&self) -> impl Iterator<Item = (&Name, Option<&Arc<Entry>>)> {
        self.entries.iter().map(|(name, entry)| (name, entry.as_ref()))
    }
}

/// What an update changes, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Services that are new.
    pub services_added: usize,
    /// Services that are different in something other than their endpoints.
    pub services_changed: usize,
    /// Services that are gone.
    pub services_removed: usize,
    /// Endpoints that are new; those of new services too.
    pub endpoints_added: usize,
    /// Endpoints that are different.
    pub endpoints_changed: usize,
    /// Endpoints that are gone; those of services that are gone too.
    pub endpoints_removed: usize,
}

/// What becomes of services; `None` is gone.
pub(super) type Entries = BTreeMap<Name, Option<Arc<Entry>>>;
/// The addresses out of pools that services get, or give back.
type Given = Vec<(Name, Option<IpAddr>)>;

/// A service that an update touches.
#[derive(Debug)]
pub(super) struct Touched {
    pub(super) owner: Owner,
    pub(super) wish: Arc<Wish>,
    pub(super) origin: Origin,
    pub(super) drained: BTreeSet<Name>,
    /// Where endpoints stand that came by themselves.
    pub(super) endpoint_paths: BTreeMap<Name, String>,
}

/// Everything that an update touches.
#[derive(Debug, Default)]
pub(super) struct Touches {
    pub(super) services: BTreeMap<Name, Touched>,
    pub(super) removed: BTreeSet<Name>,
}

impl Touches {
    pub(super) fn has(&self, name: &str) -> bool {
        self.services.contains_key(name) || self.removed.contains(name)
    }
}

impl State {
    /// What an update changes, if all of it is right.
    ///
    /// # Errors
    /// All problems, in the words of the source.
    pub fn plan(&self, update: Update, available: &Available) -> Result<Plan, Problems> {
        let mut problems = Problems::default();
        let common = self.planned_common(&update, &mut problems);
        let anew = common.is_some();
        let touches = self.touch(update, anew, &mut problems);
        self.planned(touches, common, available, problems)
    }

    /// What follows when endpoints are drained, or take flows again.
    ///
    /// # Errors
    /// The service or the endpoint is not there.
    pub fn plan_drain(
        &self,
        service: &str,
        endpoints: &[Name],
        drain: bool,
        available: &Available,
    ) -> Result<Plan, Problems> {
        let mut problems = Problems::default();
        let mut touches = Touches::default();
        match self.entries.get(service) {
            None => problems.note("service", format!("no service is called \"{service}\"")),
            Some(entry) => {
                let mut touched = touched(entry, service);
                let known: BTreeSet<&Name> =
                    entry.wish.endpoints.iter().map(|endpoint| &endpoint.name).collect();
                for (at, name) in endpoints.iter().enumerate() {
                    if !known.contains(name) {
                        let message = format!("the service has no endpoint \"{name}\"");
                        problems.note(format!("endpoints[{at}]"), message);
                    } else if drain {
                        touched.drained.insert(name.clone());
                    } else {
                        touched.drained.remove(name);
                    }
                }
                touches.services.insert(entry.service.name.clone(), touched);
            }
        }
        self.planned(touches, None, available, problems)
    }

    /// What follows when the host can do other things than before: every service is decided anew.
    ///
    /// # Errors
    /// What services asked for by name and can no longer have.
    pub fn plan_available(&self, available: &Available) -> Result<Plan, Problems> {
        let mut touches = Touches::default();
        for (name, entry) in &self.entries {
            touches.services.insert(name.clone(), touched(entry, name));
        }
        self.planned(touches, None, available, Problems::default())
    }

    fn planned(
        &self,
        touches: Touches,
        common: Option<(Owner, Common)>,
        available: &Available,
        mut problems: Problems,
    ) -> Result<Plan, Problems> {
        let now = common.as_ref().map_or_else(|| self.common(), |(_, common)| common.clone());
        let (entries, given) = self.resolve(&touches, &now, available, &mut problems);
        self.judge(&touches, &entries, &now, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (told, summary) = self.changes(&entries, now.node != self.common().node);
        Ok(Plan { told, summary, entries, common, given })
    }

    /// What holds for all services, if that is different.
    fn planned_common(&self, update: &Update, problems: &mut Problems) -> Option<(Owner, Common)> {
        let wanted = update.common.as_ref()?;
        match &self.common {
            // Who says nothing of the node leaves it to others, whoever comes first.
            Some((owner, common))
                if *owner != update.owner
                    && *owner != Owner::Adopted
                    && common != wanted
                    && (is_nothing(common) || is_nothing(wanted)) =>
            {
                is_nothing(common).then(|| (update.owner, wanted.clone()))
            }
            Some((owner, common))
                if *owner != update.owner && *owner != Owner::Adopted && common != wanted =>
            {
                problems.note_waiting("node", format!("belongs to {owner} already"));
                None
            }
            Some((owner, common)) if common == wanted && *owner != Owner::Adopted => None,
            _ => Some((update.owner, wanted.clone())),
        }
    }

    fn touch(&self, update: Update, anew: bool, problems: &mut Problems) -> Touches {
        let Update { owner, replace, services, remove, endpoints, .. } = update;
        let mut touches = Touches::default();
        let mut named = BTreeSet::new();
        for draft in services {
            let (name, path) = (draft.wish.service.name.clone(), &draft.origin.path);
            if !named.insert(name.clone()) {
                problems.note(format!("{path}.name"), format!("\"{name}\" stands there twice"));
                continue;
            }
            let old = self.entries.get(&name);
            if let Some(other) = old.and_then(|old| foreign(old, owner)) {
                let message = format!("\"{name}\" belongs to {other}");
                problems.note_waiting(format!("{path}.name"), message);
                continue;
            }
            if !anew && old.is_some_and(|old| *old.wish == draft.wish && old.owner == owner) {
                continue;
            }
            let drained = old.map(|old| still_drained(old, &draft.wish));
            let touched = Touched {
                owner,
                wish: Arc::new(draft.wish),
                origin: draft.origin,
                drained: drained.unwrap_or_default(),
                endpoint_paths: BTreeMap::new(),
            };
            touches.services.insert(name, touched);
        }
        for (at, name) in remove.into_iter().enumerate() {
            match self.entries.get(&name) {
                Some(old) if foreign(old, owner).is_some() => {
                    let message = format!("\"{name}\" belongs to {}", old.owner);
                    problems.note_waiting(format!("remove[{at}]"), message);
                }
                _ if named.contains(&name) => {
                    let message = format!("\"{name}\" stands under services too");
                    problems.note(format!("remove[{at}]"), message);
                }
                Some(_) => {
                    touches.removed.insert(name);
                }
                // Gone is gone: who repeats a request gets the same answer.
                None => {}
            }
        }
        if replace {
            let heir = self.heir == Some(owner);
            let own = |old: &Entry| old.owner == owner || (heir && old.owner == Owner::Adopted);
            let gone = self.entries.iter().filter(|(name, old)| own(old) && !named.contains(*name));
            touches.removed.extend(gone.map(|(name, _)| name.clone()));
        }
        if anew {
            for (name, entry) in &self.entries {
                if !named.contains(name) && !touches.removed.contains(name) {
                    touches.services.insert(name.clone(), touched(entry, name));
                }
            }
        }
        let mut indexes = (endpoints.len() > FEW).then(Indexes::default);
        for (at, update) in endpoints.into_iter().enumerate() {
            self.touch_endpoint((at, update), owner, &mut touches, indexes.as_mut(), problems);
        }
        touches
    }

    fn touch_endpoint(
        &self,
        (at, update): (usize, EndpointUpdate),
        owner: Owner,
        touches: &mut Touches,
        indexes: Option<&mut Indexes>,
        problems: &mut Problems,
    ) {
        let name = update.service().clone();
        let path = format!("endpoints[{at}]");
        let known = self.entries.get(&name).filter(|_| !touches.removed.contains(&name));
        if !touches.services.contains_key(&name) {
            let Some(entry) = known else {
                problems
                    .note(format!("{path}.service"), format!("no service is called \"{name}\""));
                return;
            };
            if foreign(entry, owner).is_some() {
                let message = format!("\"{name}\" belongs to {}", entry.owner);
                problems.note_waiting(format!("{path}.service"), message);
                return;
            }
            touches.services.insert(name.clone(), Touched { owner, ..touched(entry, &name) });
        }
        let Some(touched) = touches.services.get_mut(&name) else { return };
        let endpoints = &mut Arc::make_mut(&mut touched.wish).endpoints;
        let mut index = indexes.map(|indexes| indexes.of(&name, endpoints));
        let asked = match &update {
            EndpointUpdate::Set { endpoint, .. } => &endpoint.name,
            EndpointUpdate::Remove { endpoint, .. } => endpoint,
        };
        let found = match &index {
            Some(index) => index.get(asked).copied(),
            None => endpoints.iter().position(|endpoint| endpoint.name == *asked),
        };
        match (update, found) {
            (EndpointUpdate::Set { endpoint, .. }, found) => {
                touched.endpoint_paths.insert(endpoint.name.clone(), format!("{path}.set"));
                if let Some(old) = found.and_then(|found| endpoints.get_mut(found)) {
                    *old = *endpoint;
                } else {
                    if let Some(index) = &mut index {
                        index.insert(endpoint.name.clone(), endpoints.len());
                    }
                    endpoints.push(*endpoint);
                }
            }
            (EndpointUpdate::Remove { endpoint, .. }, Some(found)) => {
                touched.drained.remove(&endpoint);
                match &mut index {
                    // The last one takes its place: where there are many, those behind it do not move.
                    Some(index) => {
                        index.remove(&endpoint);
                        endpoints.swap_remove(found);
                        if let Some(moved) = endpoints.get(found) {
                            index.insert(moved.name.clone(), found);
                        }
                    }
                    None => drop(endpoints.remove(found)),
                }
            }
            (EndpointUpdate::Remove { endpoint, .. }, None) => {
                let message = format!("the service has no endpoint \"{endpoint}\"");
                problems.note(format!("{path}.remove"), message);
            }
        }
    }

    /// What becomes of the services that are touched: addresses out of pools, path and source address.
    fn resolve(
        &self,
        touches: &Touches,
        common: &Common,
        available: &Available,
        problems: &mut Problems,
    ) -> (Entries, Given) {
        let mut entries = BTreeMap::new();
        let mut given = Vec::new();
        let mut pool = Pool::new(self, touches);
        let mut chosen = Chosen::default();
        for name in &touches.removed {
            entries.insert(name.clone(), None);
            given.push((name.clone(), None));
        }
        for (name, touched) in &touches.services {
            let mut service = touched.wish.service.clone();
            let path = &touched.origin.path;
            if !common.external_ips && !service.external_ips.is_empty() {
                let message = "external addresses are off: who may write a service could take any \
                               address that is routed here; allow_external_ips: true allows them";
                problems.note(format!("{path}.external_ips"), message);
            }
            if touched.wish.from_pool {
                match pool.find(name, common) {
                    Some(address) => {
                        service.load_balancer_ips.push(address);
                        given.push((name.clone(), Some(address)));
                    }
                    None => {
                        let message = no_address(common);
                        problems.note_waiting(format!("{path}.load_balancer"), message);
                    }
                }
            } else if self.given.of(name).is_some() {
                given.push((name.clone(), None));
            }
            let own = available.own_of(addresses(&service));
            match chosen.of(&service.settings, own, available) {
                Ok((settings, taken)) => {
                    service.settings = settings;
                    let (owner, wish) = (touched.owner, Arc::clone(&touched.wish));
                    let drained = touched.drained.clone();
                    let entry = Entry { owner, wish, service, taken, drained };
                    entries.insert(name.clone(), Some(Arc::new(entry)));
                }
                Err(cannot) => problems.note(format!("{path}.{}", cannot.field), cannot.because),
            }
        }
        (entries, given)
    }
}

/// All addresses of a service.
pub(super) fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
    lists.into_iter().flatten().map(IpAddr::to_canonical)
}

fn no_address(common: &Common) -> String {
    if common.pools.is_empty() {
        return "there is no pool to give an address from: load_balancer_pools names ranges".into();
    }
    let pools: Vec<String> = common.pools.iter().map(ToString::to_string).collect();
    format!("no address is free in {}", pools.join(", "))
}

/// What was chosen last: services that say the same get the same, and share it.
#[derive(Default)]
struct Chosen {
    wanted: Option<Arc<Settings>>,
    own: Option<IpAddr>,
    settings: LastSettings,
    taken: Option<Taken>,
}

impl Chosen {
    fn of(
        &mut self,
        wanted: &Arc<Settings>,
        own: Option<IpAddr>,
        available: &Available,
    ) -> Result<(Arc<Settings>, Taken), Cannot> {
        let same = self.wanted.as_ref().is_some_and(|last| Arc::ptr_eq(last, wanted));
        let same = same && self.own == own;
        let taken = match self.taken.clone().filter(|_| same) {
            Some(taken) => taken,
            None => choose(wanted, own, available)?,
        };
        (self.wanted, self.taken) = (Some(Arc::clone(wanted)), Some(taken.clone()));
        self.own = own;
        let (path, source) = (taken.path, taken.source);
        Ok((self.settings.share(Settings { path, source, ..Settings::clone(wanted) }), taken))
    }
}

/// Whether nothing is said of the node.
fn is_nothing(common: &Common) -> bool {
    *common == Common::default()
}

/// Whose a service is, if that keeps another source from touching it.
fn foreign(old: &Entry, owner: Owner) -> Option<Owner> {
    Some(old.owner).filter(|other| *other != owner && *other != Owner::Adopted)
}

/// A service that an update touches without saying it anew.
fn touched(entry: &Entry, name: &str) -> Touched {
    Touched {
        owner: entry.owner,
        wish: Arc::clone(&entry.wish),
        origin: Origin::at(format!("service \"{name}\"")),
        drained: entry.drained.clone(),
        endpoint_paths: BTreeMap::new(),
    }
}

/// Changes of endpoints up to which each looks for its endpoint: with more of them there is an index.
const FEW: usize = 16;

/// Where the endpoints of services stand that many changes touch.
#[derive(Default)]
struct Indexes(BTreeMap<Name, BTreeMap<Name, usize>>);

impl Indexes {
    fn of(&mut self, service: &Name, endpoints: &[Endpoint]) -> &mut BTreeMap<Name, usize> {
        self.0.entry(service.clone()).or_insert_with(|| {
            endpoints.iter().enumerate().map(|(at, endpoint)| (endpoint.name.clone(), at)).collect()
        })
    }
}

/// Endpoints that somebody asked to drain and that are still there.
fn still_drained(old: &Entry, wish: &Wish) -> BTreeSet<Name> {
    if old.drained.is_empty() {
        return BTreeSet::new();
    }
    let names = wish.endpoints.iter().map(|endpoint| &endpoint.name);
    names.filter(|name| old.drained.contains(*name)).cloned().collect()
}

/// Addresses that are given while a plan is made.
struct Pool<'a> {
    state: &'a State,
    touches: &'a Touches,
    /// Made when the first service asks.
    working: Option<Working>,
}

struct Working {
    given: crate::pool::Given,
    /// Addresses that touched services ask for by number.
    asked: BTreeSet<IpAddr>,
    free: Free,
}

impl<'a> Pool<'a> {
    fn new(state: &'a State, touches: &'a Touches) -> Self {
        Self { state, touches, working: None }
    }

    fn find(&mut self, name: &Name, common: &Common) -> Option<IpAddr> {
        let (state, touches) = (self.state, self.touches);
        // Places of services that are touched are on the move: what they ask for now is in `asked`.
        let others =
            |address: IpAddr| state.places.of_address(address).any(|other| !touches.has(other));
        if let Some(address) = self.kept(name, common).filter(|address| !others(*address)) {
            return Some(address);
        }
        let working = self.working.get_or_insert_with(|| Working::new(state, touches));
        let Working { given, asked, free } = working;
        let claimed = |address: IpAddr| asked.contains(&address) || others(address);
        let address = given.find(name, &common.pools, free, claimed)?;
        given.give(name, address);
        Some(address)
    }

    /// The address of a service that is touched alone: whoever else there is stays as it is, and no book is copied.
    fn kept(&self, name: &Name, common: &Common) -> Option<IpAddr> {
        let one = self.touches.services.len() == 1 && self.touches.removed.is_empty();
        let service = &self.touches.services.get(name).filter(|_| one)?.wish.service;
        let address = self.state.given.of(name)?;
        let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
        let asked = lists.into_iter().flatten().any(|own| own.to_canonical() == address);
        let still = common.pools.iter().any(|pool| pool.contains(address));
        (still && !asked).then_some(address)
    }
}

impl Working {
    fn new(state: &State, touches: &Touches) -> Self {
        let mut given = state.given.clone();
        for name in &touches.removed {
            given.take(name);
        }
        let mut asked = BTreeSet::new();
        for (name, touched) in &touches.services {
            let service = &touched.wish.service;
            if !touched.wish.from_pool {
                given.take(name);
            } else if let Some(old) = state.entries.get(name).filter(|e| e.owner == Owner::Adopted)
                && let Some(address) = old.service.load_balancer_ips.last()
            {
                // Most likely a pool gave it: the service keeps it, if a pool still has it.
                given.give(name, *address);
            }
            let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
            asked.extend(lists.into_iter().flatten().map(IpAddr::to_canonical));
        }
        Self { given, asked, free: Free::default() }
    }
}
