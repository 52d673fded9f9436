// SPDX-License-Identifier: Apache-2.0
//! Who has which address, port and protocol.

use berth_balancer_core::model::{Name, Node, Protocol, Service};
use berth_balancer_core::{Place, claims};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// All places that are claimed.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// By address first, so that all claims of one address lie together.
    addresses: BTreeMap<(SocketAddr, Protocol), Name>,
    node_ports: BTreeMap<(u16, Protocol), Name>,
}

impl Places {
    pub(super) fn note(&mut self, service: &Service) {
        for claim in claims(service) {
            let name = service.name.clone();
            match claim.at {
                Place::Address(address) => {
                    self.addresses.insert((address, claim.protocol), name);
                }
                Place::Node(port) => {
                    self.node_ports.insert((port, claim.protocol), name);
                }
            }
        }
    }

    /// Forgets what is still the service's own.
    pub(super) fn forget(&mut self, service: &Service) {
        for claim in claims(service) {
            match claim.at {
                Place::Address(address) => {
                    let key = (address, claim.protocol);
                    if self.addresses.get(&key) == Some(&service.name) {
                        self.addresses.remove(&key);
                    }
                }
                Place::Node(port) => {
                    let key = (port, claim.protocol);
                    if self.node_ports.get(&key) == Some(&service.name) {
                        self.node_ports.remove(&key);
                    }
                }
            }
        }
    }

    /// Whose a place is. A port of the node is a place on each of the node's addresses.
    pub(super) fn owner(&self, protocol: Protocol, at: Place, node: &Node) -> Option<&Name> {
        match at {
            Place::Address(address) => {
                let on_node = || node.addresses.iter().any(|a| a.to_canonical() == address.ip());
                let port = || self.node_ports.get(&(address.port(), protocol));
                let exact = self.addresses.get(&(address, protocol));
                exact.or_else(|| if on_node() { port() } else { None })
            }
            Place::Node(port) => {
                let on = |ip: &IpAddr| {
                    self.addresses.get(&(SocketAddr::new(ip.to_canonical(), port), protocol))
                };
                let exact = self.node_ports.get(&(port, protocol));
                exact.or_else(|| node.addresses.iter().find_map(on))
            }
        }
    }

    /// Who claims an address, on any port.
    pub(super) fn of_address(&self, address: IpAddr) -> impl Iterator<Item = &Name> {
        let at = |port| SocketAddr::new(address, port);
        let range = (at(0), Protocol::Tcp)..=(at(u16::MAX), Protocol::Udp);
        self.addresses.range(range).map(|(_, name)| name)
    }
}
