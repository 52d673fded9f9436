// SPDX-License-Identifier: Apache-2.0
//! Where addresses are, as the kernel's routing says, remembered for a while.
//!
//! The memory is thrown away when routes or interfaces change, and bounded; what it costs to ask again is some microseconds.

use crate::address::Version;
use crate::netlink::{Family, Socket};
use crate::notes::Notes;
use crate::route::{Hop, Link, Routes};
use crate::topology::Place;
use hashbrown::HashMap;
use std::io;
use std::net::IpAddr;

/// Addresses that are remembered: clients from all over the world come once each.
const PLACES_MAX: usize = 1 << 16;

/// Groups of events: interfaces, addresses and routes of both versions.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// Knows where addresses are.
#[derive(Debug)]
pub(crate) struct Ways {
    routes: Routes,
    changes: Socket,
    links: Vec<Link>,
    places: HashMap<IpAddr, Place, foldhash::fast::FixedState>,
    /// Frames between ports of a bridge pass the rules of IPv4, of IPv6.
    calls: (bool, bool),
}

impl Ways {
    pub(crate) fn open() -> io::Result<Self> {
        let changes = Socket::open(Family::Route, GROUPS)?;
        let mut routes = Routes::open()?;
        let links = routes.links()?;
        let places = HashMap::with_hasher(foldhash::fast::FixedState::default());
        Ok(Self { routes, changes, links, places, calls: bridge_calls() })
    }

    /// Forgets what may have changed. Call it every now and then.
    pub(crate) fn refresh(&mut self, buffer: &mut [u8]) {
        let mut changed = false;
        // Lost events are changes too.
        while !matches!(self.changes.try_receive(buffer), Ok(None)) {
            changed = true;
        }
        let calls = bridge_calls();
        changed |= calls != self.calls;
        self.calls = calls;
        if changed {
            self.places.clear();
            if let Ok(links) = self.routes.links() {
                self.links = links;
            }
        }
    }

    /// Where an address is. Without a route it counts as behind a router.
    pub(crate) fn place(&mut self, address: IpAddr) -> Place {
        if let Some(place) = self.places.get(&address) {
            return *place;
        }
        let nowhere = Hop { link: 0, local: false, gateway: true };
        let hop = self.routes.hop(address).unwrap_or(nowhere);
        let kind = self.kind(hop.link);
        let place = Place {
            hop,
            bridge: kind == "bridge",
            inside: matches!(kind, "bridge" | "veth" | "tun" | "netkit"),
        };
        if self.places.len() >= PLACES_MAX {
            self.places.clear();
        }
        self.places.insert(address, place);
        place
    }

    pub(crate) fn bridge_calls(&self, version: Version) -> bool {
        if version == Version::V4 { self.calls.0 } else { self.calls.1 }
    }

    /// The port of a bridge may send back what came through it. Noted before it is switched, so that it is undone whatever happens.
    pub(crate) fn let_hairpin(&mut self, port: u32, notes: &mut Notes) -> Option<()> {
        if !self.links.iter().any(|link| link.index == port) {
            self.links = self.routes.links().unwrap_or_default();
        }
        let link = self.links.iter().find(|link| link.index == port && link.master != 0)?;
        let name = link.name.clone();
        if hairpin(&name) {
            return None;
        }
        notes.add(name).ok()?;
        self.routes.set_hairpin(port, true).ok()
    }

    fn kind(&mut self, link: u32) -> &str {
        self.links.iter().find(|other| other.index == link).map_or("", |link| &link.kind)
    }
}

/// Whether a port's hairpin mode is on.
fn hairpin(name: &str) -> bool {
    let path = format!("/sys/class/net/{name}/brport/hairpin_mode");
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}

fn bridge_calls() -> (bool, bool) {
    let is_on = |name: &str| {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    };
    (is_on("iptables"), is_on("ip6tables"))
}
