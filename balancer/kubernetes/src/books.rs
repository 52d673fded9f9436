// SPDX-License-Identifier: Apache-2.0
//! What the API shows, and what the balancer has been told of it. Pure: views in, the smallest update out.
//!
//! ```text
//!  Service, slices ─┐ made           ┌─ granted ──▶ wanted ─┐
//!  Pod ─────────────┴─ (`parts`) ──▶ ┤  (`places`)          ├─ differ ──▶ Update ──▶ told
//!                                    └─ notes               └─ told
//! ```
//!
//! What is wanted follows from the objects alone, whatever the order in which they came. What was told is what the control plane has
//! confirmed: an update that was not taken is worked out anew.

use crate::around::Around;
use crate::parts::{Made, Note, Shared, of_pod, of_service};
use crate::places::Places;
use crate::view::{Pod, Service, Slice};
use berth_balancer_core::model::{Endpoint, Name};
use berth_balancer_core::validate_parts;
use berth_balancer_service::wanted::{Draft, EndpointUpdate, Origin, Owner, Update, Wish};
use compact_str::CompactString as Text;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Namespace and name.
pub type Key = (Text, Text);

/// An object of which something is served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A Service.
    Service(Key),
    /// A Pod, for its ports on the node.
    Pod(Key),
}

/// Endpoints that differ up to which they are told one by one.
const FEW: usize = 32;

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    around: Around,
    services: BTreeMap<Key, Service>,
    slices: BTreeMap<Key, BTreeMap<Text, Slice>>,
    /// Of each slice by its own name: whose it is.
    owners: BTreeMap<Key, Key>,
    pods: BTreeMap<Key, Pod>,
    /// Slices of other versions of IP.
    others: BTreeSet<Key>,
    made: BTreeMap<Source, Made>,
    /// When an object was made, as its claims say.
    born: BTreeMap<Source, Text>,
    of: BTreeMap<Name, Source>,
    places: Places,
    shared: Shared,
    /// Notes of places that others have, and of what was refused.
    lost: BTreeMap<Name, Vec<Note>>,
    refused: BTreeMap<Name, String>,
    touched: BTreeSet<Source>,
    /// Names of which it is decided anew what others leave them.
    again: BTreeSet<Name>,
    /// Objects with a health check that load balancers ask.
    checked: BTreeSet<Source>,
    wanted: BTreeMap<Name, Arc<Wish>>,
    told: BTreeMap<Name, Arc<Wish>>,
    dirty: BTreeSet<Name>,
    /// Objects whose notes may differ from what was said of them.
    noted: BTreeSet<Source>,
    common: Option<Around>,
    replaced: bool,
    /// What an earlier process left in the data plane.
    left: Vec<Name>,
    /// One service is told at a time: of several, nobody knows whose fault a refusal is.
    is_narrow: bool,
}

/// What the balancer is to be told; and what it will have been told once it has taken that.
#[derive(Debug)]
pub struct Planned {
    now: BTreeMap<Name, Option<Arc<Wish>>>,
    around: Option<Around>,
    replaces: bool,
    /// Of which services single endpoints are told, in order.
    endpoints: Vec<Name>,
}

/// Whose a problem is that the control plane names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Culprit {
    /// A service.
    Service(Name),
    /// What holds for all services.
    Node,
    /// Nobody knows.
    Unknown,
}

impl Planned {
    /// The service that it is about, if it is about one alone.
    fn only(&self) -> Option<&Name> {
        self.now.keys().next().filter(|_| self.now.len() == 1 && self.around.is_none())
    }

    /// Whose a problem is, by the path of its field.
    #[must_use]
    pub fn culprit(&self, path: &str) -> Culprit {
        if path == "node" || path.starts_with("node.") {
            return Culprit::Node;
        }
        let named = path.strip_prefix("service \"").and_then(|rest| rest.split_once('"'));
        let numbered = || {
            let (number, _) = path.strip_prefix("endpoints[")?.split_once(']')?;
            self.endpoints.get(number.parse::<usize>().ok()?)
        };
        match named {
            Some((name, _)) => Culprit::Service(name.into()),
            None => {
                let known = numbered().or_else(|| self.only());
                known.cloned().map_or(Culprit::Unknown, Culprit::Service)
            }
        }
    }
}

impl Books {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(around: Around) -> Self {
        Self { places: Places::new(&around.addresses), around, ..Self::default() }
    }

    /// A Service is so, or gone.
    pub fn service(&mut self, key: Key, service: Option<Service>) {
        put(&mut self.services, key.clone(), service);
        self.touched.insert(Source::Service(key));
    }

    /// A slice is so, or gone.
    pub fn slice(&mut self, namespace: Text, name: Text, slice: Option<Slice>) {
        let own = (namespace.clone(), name.clone());
        if slice.as_ref().is_some_and(|slice| slice.is_other) {
            self.others.insert(own.clone());
        } else {
            self.others.remove(&own);
        }
        if let Some(owner) = self.owners.remove(&own) {
            if let Some(all) = self.slices.get_mut(&owner) {
                all.remove(&name);
                if all.is_empty() {
                    self.slices.remove(&owner);
                }
            }
            self.touched.insert(Source::Service(owner));
        }
        let Some(slice) = slice.filter(|slice| !slice.service.is_empty() && !slice.is_other) else {
            return;
        };
        let owner = (namespace, slice.service.clone());
        self.owners.insert(own, owner.clone());
        self.slices.entry(owner.clone()).or_default().insert(name, slice);
        self.touched.insert(Source::Service(owner));
    }

    /// A Pod is so, or gone.
    pub fn pod(&mut self, key: Key, pod: Option<Pod>) {
        put(&mut self.pods, key.clone(), pod);
        self.touched.insert(Source::Pod(key));
    }

    /// The node is so.
    pub fn around(&mut self, around: Around) {
        if around == self.around {
            return;
        }
        if around.addresses != self.around.addresses {
            self.places = Places::new(&around.addresses);
            let mut nobody = BTreeSet::new();
            for (source, made) in &self.made {
                let born = self.born.get(source).cloned().unwrap_or_default();
                for wish in &made.wishes {
                    self.places.note(&wish.service, &born, &mut nobody);
                }
            }
            self.again.extend(self.of.keys().cloned());
        }
        self.around = around;
        self.touched.extend(self.services.keys().cloned().map(Source::Service));
        self.touched.extend(self.pods.keys().cloned().map(Source::Pod));
    }

    /// What the node is.
    #[must_use]
    pub fn here(&self) -> &Around {
        &self.around
    }

    /// What an earlier process left in the data plane: what of it is not wanted goes first.
    pub fn leave_behind(&mut self, left: Vec<Name>) {
        self.left = left;
    }

    /// Nobody knows whose fault it was that an update was refused: until all is told, each service is told by itself.
    pub fn narrow(&mut self) {
        (self.is_narrow, self.replaced) = (true, true);
        self.dirty.extend(self.wanted.keys().cloned());
    }

    /// How many services and endpoints are told, and how many slices are of another version of IP.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let endpoints = self.told.values().map(|wish| wish.endpoints.len()).sum();
        (self.told.len(), endpoints, self.others.len())
    }

    /// Works out what is wanted.
    fn settle(&mut self) {
        let mut names = std::mem::take(&mut self.again);
        for source in std::mem::take(&mut self.touched) {
            let (made, born) = self.make(&source);
            let old_born = self.born.get(&source).cloned().unwrap_or_default();
            let old = self.made.get(&source);
            if old == Some(&made) && old_born == born {
                continue;
            }
            for wish in old.iter().flat_map(|old| &old.wishes) {
                self.places.forget(&wish.service, &old_born, &mut names);
                self.of.remove(&wish.service.name);
                names.insert(wish.service.name.clone());
            }
            for wish in &made.wishes {
                self.places.note(&wish.service, &born, &mut names);
                self.of.insert(wish.service.name.clone(), source.clone());
                names.insert(wish.service.name.clone());
            }
            self.noted.insert(source.clone());
            if made.health.is_some() {
                self.checked.insert(source.clone());
            } else {
                self.checked.remove(&source);
            }
            if made == Made::default() {
                self.made.remove(&source);
                self.born.remove(&source);
            } else {
                self.made.insert(source.clone(), made);
                self.born.insert(source, born);
            }
        }
        for name in names {
            self.grant(name);
        }
    }

    fn make(&mut self, source: &Source) -> (Made, Text) {
        match source {
            Source::Service(key) => {
                let Some(service) = self.services.get(key) else { return Default::default() };
                let slices = self.slices.get(key).into_iter().flat_map(BTreeMap::values);
                let name = (key.0.as_str(), key.1.as_str());
                let made = of_service(name, service, slices, &self.around, &mut self.shared);
                (made, service.born.clone())
            }
            Source::Pod(key) => {
                let Some(pod) = self.pods.get(key) else { return Default::default() };
                let name = (key.0.as_str(), key.1.as_str());
                (of_pod(name, pod, &self.around, &mut self.shared), pod.born.clone())
            }
        }
    }

    /// Decides what of a name is wanted.
    fn grant(&mut self, name: Name) {
        let source = self.of.get(&name);
        let wish = source.and_then(|source| {
            let all = &self.made.get(source)?.wishes;
            all.iter().find(|wish| wish.service.name == name)
        });
        let born = source.and_then(|source| self.born.get(source));
        let (wish, notes) = match (wish, born) {
            (Some(wish), Some(born)) => {
                let (less, mut notes) = self.places.granted(&wish.service, born);
                let wish = match less {
                    Some(service) => Arc::new(Wish { service, ..Wish::clone(wish) }),
                    None => Arc::clone(wish),
                };
                (self.right(wish, &mut notes), notes)
            }
            _ => (None, Vec::new()),
        };
        if let Some(source) = source {
            self.noted.insert(source.clone());
        }
        put(&mut self.lost, name.clone(), (!notes.is_empty()).then_some(notes));
        let same = match (&wish, self.wanted.get(&name)) {
            (Some(wish), Some(wanted)) => wanted == wish,
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.refused.remove(&name);
            put(&mut self.wanted, name.clone(), wish);
        }
        self.dirty.insert(name);
    }

    /// What can be served at all, by the balancer's own judgement.
    fn right(&self, wish: Arc<Wish>, notes: &mut Vec<Note>) -> Option<Arc<Wish>> {
        let Wish { service, endpoints, .. } = &*wish;
        let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
        let ported = service.ports.iter().any(|port| port.node_port.is_some());
        if !ported && lists.into_iter().all(Vec::is_empty) {
            return None;
        }
        let node = self.around.common().node;
        match validate_parts(&node, &[(service, endpoints)]) {
            Ok(()) => Some(wish),
            Err(problems) => {
                let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                notes.push(Note::new("Invalid", all.join("; ")));
                None
            }
        }
    }

    /// What is to be told, if anything is.
    pub fn plan(&mut self) -> Option<(Update, Planned)> {
        self.settle();
        let mut update = Update::new(Owner::Kubernetes);
        let mut now = BTreeMap::new();
        let around = (self.common.as_ref() != Some(&self.around)).then(|| self.around.clone());
        update.common = around.as_ref().map(Around::common);
        if !self.replaced {
            // Everything, once: what an earlier process left goes, and what it left as it is wanted stays untouched.
            update.replace = true;
            self.dirty = self.wanted.keys().cloned().collect();
        }
        for name in self.left.iter().filter(|name| !self.wanted.contains_key(*name)) {
            update.remove.push(name.clone());
            now.insert(name.clone(), None);
        }
        let most = match (self.is_narrow, now.is_empty() && around.is_none()) {
            (false, _) => usize::MAX,
            (true, alone) => usize::from(alone),
        };
        let mut same = Vec::new();
        for name in &self.dirty {
            if now.len() >= most {
                break;
            }
            let refused = self.refused.contains_key(name);
            let wanted = self.wanted.get(name).filter(|_| !refused);
            let told = self.told.get(name);
            match (wanted, told) {
                (None, None) => {
                    same.push(name.clone());
                    continue;
                }
                (None, Some(_)) => update.remove.push(name.clone()),
                (Some(wish), None) => update.services.push(draft(wish)),
                (Some(wish), Some(told)) if wish == told => {
                    same.push(name.clone());
                    continue;
                }
                (Some(wish), Some(told)) => differ(told, wish, &mut update),
            }
            now.insert(name.clone(), wanted.cloned());
        }
        for name in same {
            self.dirty.remove(&name);
        }
        let nothing = now.is_empty() && around.is_none() && !update.replace;
        let endpoints = update.endpoints.iter().map(|one| one.service().clone()).collect();
        let planned = Planned { now, around, replaces: update.replace, endpoints };
        (!nothing).then_some((update, planned))
    }

    /// The control plane has taken it. What comes in between is not lost: it is dirty still.
    pub fn commit(&mut self, planned: Planned, mut told: impl FnMut(Option<&Wish>, Option<&Wish>)) {
        let Planned { now, around, replaces, .. } = planned;
        self.replaced |= replaces;
        self.left.clear();
        if around.is_some() {
            self.common = around;
        }
        for (name, wish) in now {
            let before = match &wish {
                Some(wish) => self.told.insert(name.clone(), Arc::clone(wish)),
                None => self.told.remove(&name),
            };
            told(before.as_deref(), wish.as_deref());
            let refused = self.refused.contains_key(&name);
            if self.told.get(&name) == self.wanted.get(&name).filter(|_| !refused) {
                self.dirty.remove(&name);
            }
        }
        self.is_narrow &= !self.dirty.is_empty();
    }

    /// The control plane refuses these, and says why: they are left out until they are others, or [`Self::forgive`].
    pub fn refuse(&mut self, refused: BTreeMap<Name, String>) {
        for (name, why) in refused {
            if let Some(source) = self.of.get(&name) {
                self.noted.insert(source.clone());
            }
            self.dirty.insert(name.clone());
            self.refused.insert(name, why);
        }
    }

    /// What was refused is tried again: others have let go of something.
    pub fn forgive(&mut self) {
        for (name, _) in std::mem::take(&mut self.refused) {
            if let Some(source) = self.of.get(&name) {
                self.noted.insert(source.clone());
            }
            self.dirty.insert(name);
        }
    }

    /// Somebody else says what the node is: what holds for all services is not told.
    pub fn leave_common(&mut self) {
        self.common = Some(self.around.clone());
    }

    /// Whether anything is refused.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// What is told.
    #[must_use]
    pub fn told(&self) -> &BTreeMap<Name, Arc<Wish>> {
        &self.told
    }

    /// What is wanted, as far as nobody refuses it.
    pub fn wanted(&mut self) -> BTreeMap<Name, Arc<Wish>> {
        self.settle();
        let all = self.wanted.iter().filter(|(name, _)| !self.refused.contains_key(*name));
        all.map(|(name, wish)| (name.clone(), Arc::clone(wish))).collect()
    }

    /// Objects of which something else may have to be said than before, since it was last asked.
    pub fn noted(&mut self) -> BTreeSet<Source> {
        std::mem::take(&mut self.noted)
    }

    /// Why not all of an object is served.
    #[must_use]
    pub fn notes(&self, source: &Source) -> Vec<Note> {
        let Some(made) = self.made.get(source) else { return Vec::new() };
        let mut notes = made.notes.clone();
        for wish in &made.wishes {
            let name = &wish.service.name;
            notes.extend(self.lost.get(name).into_iter().flatten().cloned());
            let refused = self.refused.get(name);
            notes.extend(refused.map(|why| Note::new("Refused", why.clone())));
        }
        notes.sort_unstable();
        notes.dedup();
        notes
    }

    /// Whose a service of the balancer is.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.of.get(name)
    }

    /// What is known of a Service.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<&Service> {
        self.services.get(key)
    }

    /// Health checks that load balancers ask: port, whose, and how many endpoints of this node are ready.
    pub fn health_checks(&self) -> impl Iterator<Item = (u16, &Key, usize)> {
        self.checked.iter().filter_map(|source| {
            let made = self.made.get(source)?;
            let (port, ready) = made.health?;
            let Source::Service(key) = source else { return None };
            // Who has the port: it may be another's.
            let main = &made.wishes.first()?.service.name;
            let granted = self.wanted.get(main)?.service.settings.health_check_node_port;
            (granted == Some(port)).then_some((port, key, ready))
        })
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

/// Where a service stands, as problems name it.
pub(crate) fn place(name: &str) -> String {
    format!("service \"{name}\"")
}

fn draft(wish: &Wish) -> Draft {
    Draft { wish: wish.clone(), origin: Origin::at(place(&wish.service.name)) }
}

/// Tells what is different of one service: single endpoints if it is few of them and nothing else.
fn differ(told: &Wish, wish: &Wish, update: &mut Update) {
    let of = |wish: &Wish| -> BTreeMap<Name, Endpoint> {
        wish.endpoints.iter().map(|one| (one.name.clone(), one.clone())).collect()
    };
    if told.service != wish.service {
        update.services.push(draft(wish));
        return;
    }
    let (before, after) = (of(told), of(wish));
    let service = &wish.service.name;
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone
        .map(|name| EndpointUpdate::Remove { service: service.clone(), endpoint: name.clone() });
    let set = after.iter().filter(|(name, one)| before.get(*name) != Some(*one));
    let set = set.map(|(_, one)| EndpointUpdate::Set {
        service: service.clone(),
        endpoint: Box::new(one.clone()),
    });
    let all: Vec<EndpointUpdate> = gone.chain(set).collect();
    if all.len() > FEW {
        update.services.push(draft(wish));
    } else {
        update.endpoints.extend(all);
    }
}
