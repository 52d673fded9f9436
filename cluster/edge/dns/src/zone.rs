// SPDX-License-Identifier: Apache-2.0
//! The cluster's names. A change puts one new entry in the place of another; nothing else is touched.

use crate::entry::{Entry, Kind, label};
use crate::settings::{Pods, Settings, SettingsError};
use compact_str::CompactString as Text;
use hickory_proto::rr::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

/// What the names of a cluster mean.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) settings: Settings,
    /// In lower case.
    pub(crate) domain: Name,
    /// All that was there at the beginning is known.
    pub(crate) ready: bool,
    /// Counts changes.
    pub(crate) serial: u32,
    spaces: BTreeMap<Text, Space>,
    reverse: BTreeMap<IpAddr, BTreeSet<Pointer>>,
    /// Of each address, how many pods of which namespaces have it; only where pods' names are verified.
    pods: BTreeMap<IpAddr, BTreeMap<Text, u32>>,
}

/// A namespace that is there, or has services yet.
#[derive(Debug, Default)]
struct Space {
    exists: bool,
    services: BTreeMap<Text, Arc<Entry>>,
}

/// Who has an address. Services come before endpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    /// The endpoint's name; none for the service itself.
    pub(crate) host: Option<Text>,
    pub(crate) namespace: Text,
    pub(crate) service: Text,
}

/// What stands under a name below the domain.
#[derive(Debug)]
pub(crate) enum Found<'z> {
    /// Nothing, and nothing below it.
    Nothing,
    /// Nothing, but something below it.
    Between,
    /// The domain itself.
    Apex,
    /// The version of the specification.
    Version,
    /// This server.
    Server,
    /// Another name.
    Alias(&'z Name),
    /// A service.
    Service(Place<'z>),
    /// Endpoints of a service, or a pod.
    Host(Vec<Ipv4Addr>, Vec<Ipv6Addr>),
    /// A port of a service.
    Port(Place<'z>, Text, Text),
}

/// A service and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'z> {
    pub(crate) entry: &'z Entry,
    pub(crate) namespace: &'z str,
    pub(crate) service: &'z str,
}

impl Zone {
    pub(crate) fn new(settings: Settings) -> Result<Self, Vec<SettingsError>> {
        let domain = settings.check()?;
        let (spaces, reverse, pods) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { settings, domain, ready: false, serial: 1, spaces, reverse, pods })
    }

    /// A namespace is there, or no longer.
    pub(crate) fn set_namespace(&mut self, name: &Text, exists: bool) {
        self.spaces.entry(name.clone()).or_default().exists = exists;
        self.forget_if_empty(name);
        self.serial = self.serial.wrapping_add(1);
    }

    fn forget_if_empty(&mut self, name: &str) {
        if self.spaces.get(name).is_some_and(|space| !space.exists && space.services.is_empty()) {
            self.spaces.remove(name);
        }
    }

    /// A service is so, or has no records (any more). Gives back what was there, for the caller to free after its lock.
    pub(crate) fn set_service(
        &mut self,
        namespace: &Text,
        service: &Text,
        entry: Option<Arc<Entry>>,
    ) -> Option<Arc<Entry>> {
        let space = self.spaces.entry(namespace.clone()).or_default();
        let before = match &entry {
            Some(entry) => space.services.insert(service.clone(), Arc::clone(entry)),
            None => space.services.remove(service),
        };
        self.forget_if_empty(namespace);
        let pointers = |entry: &Entry| -> BTreeSet<(IpAddr, Pointer)> {
            let pointer = |host| {
                let (namespace, service) = (namespace.clone(), service.clone());
                Pointer { host, namespace, service }
            };
            let own = entry.own().map(|address| (address, pointer(None)));
            let chosen = entry.chosen().map(|one| (one.address, pointer(Some(one.host.clone()))));
            own.chain(chosen).collect()
        };
        let old = before.as_deref().map(pointers).unwrap_or_default();
        let new = entry.as_deref().map(pointers).unwrap_or_default();
        for (address, pointer) in old.difference(&new) {
            if let Some(some) = self.reverse.get_mut(address) {
                some.remove(pointer);
                if some.is_empty() {
                    self.reverse.remove(address);
                }
            }
        }
        for (address, pointer) in new.difference(&old) {
            self.reverse.entry(*address).or_default().insert(pointer.clone());
        }
        self.serial = self.serial.wrapping_add(1);
        before
    }

    /// A pod of a namespace has these addresses in the place of those.
    pub(crate) fn set_pod(&mut self, namespace: &Text, before: &[IpAddr], after: &[IpAddr]) {
        for address in before {
            let Some(spaces) = self.pods.get_mut(address) else { continue };
            if let Some(count) = spaces.get_mut(namespace) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    spaces.remove(namespace);
                }
            }
            if spaces.is_empty() {
                self.pods.remove(address);
            }
        }
        for address in after {
            let count = self.pods.entry(*address).or_default().entry(namespace.clone());
            *count.or_default() += 1;
        }
    }

    /// Who has an address.
    pub(crate) fn pointers(&self, address: IpAddr) -> impl Iterator<Item = &Pointer> {
        self.reverse.get(&address).into_iter().flatten()
    }

    /// What stands under a name, given by the labels before the domain in lower case.
    pub(crate) fn find(&self, labels: &[&str]) -> Found<'_> {
        match labels {
            [] => Found::Apex,
            ["svc" | "dns"] => Found::Between,
            ["pod"] if self.settings.pods != Pods::Disabled => Found::Between,
            ["dns-version"] => Found::Version,
            ["ns", "dns"] => Found::Server,
            [above @ .., namespace, "svc"] => self.below_namespace(above, namespace),
            [above @ .., namespace, "pod"] => self.pod(above, namespace),
            _ => Found::Nothing,
        }
    }

    fn below_namespace(&self, labels: &[&str], namespace: &str) -> Found<'_> {
        let Some((namespace, space)) = self.spaces.get_key_value(namespace) else {
            return Found::Nothing;
        };
        let Some((name, above)) = labels.split_last() else { return Found::Between };
        let Some((name, entry)) = space.services.get_key_value(*name) else {
            return Found::Nothing;
        };
        let place = Place { entry, namespace, service: name };
        if let Kind::Alias(target) = &entry.kind {
            return if above.is_empty() { Found::Alias(target) } else { Found::Nothing };
        }
        match above {
            [] => Found::Service(place),
            [port, protocol] => {
                let parts = port.strip_prefix('_').zip(protocol.strip_prefix('_'));
                let parts = parts.filter(|(port, protocol)| {
                    let is =
                        |one: &crate::view::Port| one.name == *port && one.protocol == *protocol;
                    !port.is_empty() && entry.has_port(is)
                });
                parts.map_or(Found::Nothing, |(port, protocol)| {
                    Found::Port(place, port.into(), protocol.into())
                })
            }
            [host] => match host.strip_prefix('_') {
                Some(protocol) => {
                    let is =
                        |one: &crate::view::Port| one.protocol == protocol && !one.name.is_empty();
                    if entry.has_port(is) { Found::Between } else { Found::Nothing }
                }
                None => entry.host(host).map_or(Found::Nothing, |(v4, v6)| Found::Host(v4, v6)),
            },
            _ => Found::Nothing,
        }
    }

    fn pod(&self, labels: &[&str], namespace: &str) -> Found<'_> {
        let exists = self.spaces.get(namespace).is_some_and(|space| space.exists);
        if !exists || self.settings.pods == Pods::Disabled {
            return Found::Nothing;
        }
        match labels {
            [] => Found::Between,
            [host] => {
                let has = |address: &IpAddr| {
                    let pods = self.pods.get(address);
                    self.settings.pods == Pods::Insecure
                        || pods.is_some_and(|spaces| spaces.contains_key(namespace))
                };
                match address(host).filter(has) {
                    Some(IpAddr::V4(address)) => Found::Host(vec![address], Vec::new()),
                    Some(IpAddr::V6(address)) => Found::Host(Vec::new(), vec![address]),
                    None => Found::Nothing,
                }
            }
            _ => Found::Nothing,
        }
    }
}

/// The address that a label says: `10-1-0-7`, `fd00--7`.
fn address(text: &str) -> Option<IpAddr> {
    if text.contains(['.', ':']) {
        return None;
    }
    let four = text.replace('-', ".").parse().ok().map(IpAddr::V4);
    four.filter(|address| label(*address) == text)
        .or_else(|| text.replace('-', ":").parse().ok().map(IpAddr::V6))
}

/// The zone that is answered from, while it changes. Whoever reads holds it for one answer, whoever writes for one service.
#[derive(Debug)]
pub struct Live(RwLock<Zone>);

impl Live {
    /// An empty one, which is not ready: it answers SERVFAIL until it is followed ([`crate::follow()`]).
    pub fn new(settings: Settings) -> Result<Arc<Self>, Vec<SettingsError>> {
        Ok(Arc::new(Self(RwLock::new(Zone::new(settings)?))))
    }

    #[cfg(test)]
    pub(crate) fn of(zone: Zone) -> Arc<Self> {
        Arc::new(Self(RwLock::new(zone)))
    }

    /// Whether all that was there at the beginning is known.
    pub fn is_ready(&self) -> bool {
        self.read(|zone| zone.ready)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Zone) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Zone) -> T) -> T {
        write(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
