// SPDX-License-Identifier: Apache-2.0
//! A network namespace of the data plane's own: service addresses are its addresses and nobody else's.
//!
//! ```text
//!  client ──▶ host: ADDRESS via the pair ──▶ namespace: a listener, or the kernel's refusal
//!                                                 │ accepted
//!             host: a socket to the endpoint ◀── worker
//! ```
//!
//! It has no name. What holds it are its descriptor and its sockets: when the last of them is gone, however the process ended, the
//! kernel removes it, the pair of interfaces and the routes through it. `rules` has what stays until somebody removes it.

mod ledger;
mod obstacle;
mod rules;
mod table;

pub(crate) use ledger::Ports;
pub(crate) use rules::{Begins, Keeper};
pub(crate) use table::loopback;

use berth_balancer_host::address::Version;
use berth_balancer_host::changes::{Changed, Changes};
use berth_balancer_host::route::{Local, Routes, VETH_ROUTE_PROTOCOL};
use berth_balancer_host::veth::{Hardware, INNER_NAME, Pair, Way, host_gateway, inner_gateway};
use rustix::thread::{
    CapabilitySet, LinkNameSpaceType, UnshareFlags, capabilities, move_into_link_name_space,
    unshare_unsafe,
};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

/// Bytes of what the kernel tells of the host's changes; it is read once a second.
const TOLD: usize = 4 << 20;

/// Number of the loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;

/// What the kernel is told of the namespace, under `/proc/sys/net`. Nobody else lives in it.
const SYSCTLS: [(&str, &str); 11] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/tcp_syncookies", "1"),
    ("core/somaxconn", "4096"),
    // Each client that asks in vain is told, not one a second; the bound for all clients together stays.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/icmp/ratelimit", "0"),
    // Of IPv6 no route alone, as of IPv4, makes an address one to bind to.
    ("ipv6/ip_nonlocal_bind", "1"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
];

/// What tells one data plane's traces on a host from another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Metric of its routes.
    pub(crate) number: u32,
    /// Name of the pair's end on the host.
    pub(crate) link: String,
    /// Name of its table of rules, and comment of its rules among those of others.
    pub(crate) table: String,
    /// Mark of packets that the shortcut takes, and number of the table that brings them to this host. No packet has it afterwards, but
    /// bits are left out that others look at on its way: Kubernetes' (0xc000) and Cilium's (0xf00).
    pub(crate) mark: u32,
}

impl Instance {
    /// The one with this control socket.
    pub(crate) fn of(control: &Path) -> Self {
        let path = std::path::absolute(control).unwrap_or_else(|_| control.to_owned());
        // FNV-1a.
        let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let number = path.as_os_str().as_encoded_bytes().iter().fold(0x811c_9dc5, mix).max(1);
        Self {
            number,
            link: format!("berth{number:08x}"),
            table: format!("berth-data-{number:08x}"),
            mark: 0xbf00_0000 | number & 0x00ff_30ff,
        }
    }

    /// Hardware addresses of the pair: of the host's end, of the inner one.
    fn hardware(&self) -> [Hardware; 2] {
        let [a, b, c, d] = self.number.to_be_bytes();
        // Locally administered.
        [[0x02, 0xbe, a, b, c, d], [0x06, 0xbe, a, b, c, d]]
    }
}

/// Why this process can have no namespace; `None` if it may.
pub(crate) fn lacks() -> Option<&'static str> {
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    let has = capabilities(None).is_ok_and(|all| all.effective.contains(needed));
    (!has).then_some("it needs CAP_NET_ADMIN and CAP_SYS_ADMIN")
}

/// A namespace, and the way into it.
#[derive(Debug)]
pub(crate) struct Space {
    namespace: OwnedFd,
    inside: Routes,
    outside: Routes,
    changes: Changes,
    instance: Instance,
    way: Way,
}

impl Space {
    /// A new one. A pair that an earlier process of this instance left is removed.
    pub(crate) fn make(instance: &Instance) -> io::Result<Self> {
        clean_link(&mut Routes::open()?, instance)?;
        let made = thread::Builder::new().name("namespace".to_owned()).spawn(|| {
            // SAFETY: nothing but this thread's view of the network changes, and it has no sockets.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            io::Result::Ok(OwnedFd::from(fs::File::open("/proc/thread-self/ns/net")?))
        })?;
        let namespace = made.join().map_err(|_| io::Error::other("a thread panicked"))??;
        Self::adopt(instance, namespace)
    }

    /// One that there is already, with its pair or without.
    pub(crate) fn adopt(instance: &Instance, namespace: OwnedFd) -> io::Result<Self> {
        let inside = within(&namespace, || {
            for (name, value) in SYSCTLS {
                // Where one cannot be written the namespace works still: it is a bound or a delay.
                let _ = fs::write(Path::new("/proc/sys/net").join(name), value);
            }
            Routes::open()
        })??;
        let mut space = Self {
            namespace,
            inside,
            outside: Routes::open()?,
            changes: Changes::open(TOLD)?,
            instance: instance.clone(),
            way: Way { link: 0, metric: instance.number },
        };
        space.connect()?;
        Ok(space)
    }

    /// Makes the pair, if it is not there, and the way through it.
    fn connect(&mut self) -> io::Result<()> {
        let name = &self.instance.link;
        let [host, inner] = self.instance.hardware();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        if self.outside.find_link(name)?.is_none() {
            let namespace = self.namespace.as_fd();
            self.outside.add_pair(&Pair { name, host, inner, namespace })?;
        }
        self.way.link = self.outside.find_link(name)?.ok_or_else(missing)?;
        let end = self.inside.find_link(INNER_NAME)?.ok_or_else(missing)?;
        self.inside.set_up(LOOPBACK)?;
        self.inside.set_up(end)?;
        self.outside.set_up(self.way.link)?;
        for version in Version::BOTH {
            let known = |space: &mut Self| {
                space.outside.add_neighbour(space.way.link, inner_gateway(version), inner)?;
                space.inside.add_neighbour(end, host_gateway(version), host)?;
                space.inside.add_default(end, version)
            };
            // A host without IPv6 has no such neighbours, and no addresses to serve.
            match known(self) {
                Err(error) if version == Version::V4 => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }

    /// The namespace.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.namespace
    }

    /// Does something inside: sockets that are made there stay there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        within(&self.namespace, work)
    }

    /// Has packets with this instance's mark come to the host, or makes it so again.
    pub(crate) fn divert(&mut self, version: Version) -> io::Result<()> {
        self.outside.divert(version, self.instance.mark)
    }

    /// The host's routes and interfaces.
    pub(crate) fn host(&mut self) -> &mut Routes {
        &mut self.outside
    }

    /// Takes addresses of one version: inside they are the namespace's own, and the host has a route to each.
    pub(crate) fn add(&mut self, version: Version, all: &[Local]) -> io::Result<()> {
        self.inside.add(0, &unsourced(all))?;
        if version == Version::V4 && all.iter().any(|local| local.source.is_none()) {
            // A host without an address of its own still has clients: on itself.
            self.outside.add_address(self.way.link, host_gateway(version))?;
        }
        self.route(all)
    }

    fn route(&mut self, all: &[Local]) -> io::Result<()> {
        self.outside.add_ways(self.way, all).or_else(|_| {
            // The node's address may not be usable yet; the kernel then chooses one.
            self.outside.add_ways(self.way, &unsourced(all))
        })
    }

    /// The address in whose name the namespace's kernel says of IPv6 that nobody has a port. Of IPv4 it takes the address that was
    /// asked; of IPv6 it wants one that an interface has, and a link's own would not leave the host.
    pub(crate) fn speak_as(&mut self, address: Option<IpAddr>) -> io::Result<()> {
        let is_voice = |link: u32, address: IpAddr| {
            link == LOOPBACK && address.is_ipv6() && !address.is_loopback()
        };
        let all = self.inside.addresses()?;
        let voice = all.iter().find(|own| is_voice(own.link, own.destination));
        let voice = voice.map(|own| own.destination);
        if voice == address {
            return Ok(());
        }
        if let Some(address) = address {
            self.inside.add_address(LOOPBACK, address)?;
        }
        voice.map_or(Ok(()), |voice| self.inside.delete_address(LOOPBACK, voice))
    }

    /// Lets addresses go.
    pub(crate) fn remove(&mut self, all: &[Local]) -> io::Result<()> {
        let all = unsourced(all);
        self.outside.delete_ways(self.way, &all)?;
        self.inside.delete(0, &all)
    }

    /// What has changed on the host since the last question.
    pub(crate) fn changed(&mut self) -> Changed {
        let links = [Some(self.way.link), Some(LOOPBACK)];
        self.changes.read(|told| told.protocol == VETH_ROUTE_PROTOCOL && links.contains(&told.link))
    }

    /// Puts back what others removed of the way into the namespace. `all` are the addresses that are taken, in order.
    pub(crate) fn repair(&mut self, all: &[Local]) -> io::Result<()> {
        self.connect()?;
        let mut there = Vec::new();
        for version in Version::BOTH {
            for route in self.outside.routes(version)? {
                let ours = route.protocol == VETH_ROUTE_PROTOCOL && route.link == self.way.link;
                there.extend(ours.then_some(route.destination));
            }
        }
        there.sort_unstable();
        let lost = |local: &&Local| there.binary_search(&local.address).is_err();
        let lost: Vec<Local> = all.iter().filter(lost).copied().collect();
        for version in Version::BOTH {
            let same = |local: &&Local| Version::of(local.address) == version;
            self.route(&lost.iter().filter(same).copied().collect::<Vec<Local>>())?;
        }
        Ok(())
    }
}

fn unsourced(all: &[Local]) -> Vec<Local> {
    all.iter().map(|local| Local { source: None, ..*local }).collect()
}

fn within<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = thread::Builder::new().name("namespace".to_owned());
        let inside = inside.spawn_scoped(scope, || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })?;
        inside.join().map_err(|_| io::Error::other("a thread panicked"))?
    })
}

/// Removes the pair of an instance, and with it all routes through it. True if there was one.
pub(crate) fn clean_link(routes: &mut Routes, instance: &Instance) -> io::Result<bool> {
    let Some(link) = routes.find_link(&instance.link)? else { return Ok(false) };
    match routes.delete_link(link) {
        // The kernel was quicker.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {}
        other => other?,
    }
    Ok(true)
}

/// Removes the rules of an instance: those of nf_tables, then those of routing that need them.
pub(crate) fn clean_rules(routes: &mut Routes, instance: &Instance) -> io::Result<()> {
    rules::remove(instance)?;
    for version in Version::BOTH {
        routes.undivert(version, instance.mark)?;
    }
    Ok(())
}

/// Removes answers to neighbours for addresses to which no data plane on this host has a route.
pub(crate) fn clean_proxies(routes: &mut Routes) -> io::Result<()> {
    let mut left = routes.proxies()?;
    if left.is_empty() {
        return Ok(());
    }
    let mut routed = Vec::new();
    for version in Version::BOTH {
        let all = routes.routes(version)?.into_iter();
        let ways = all.filter(|route| route.protocol == VETH_ROUTE_PROTOCOL && !route.local);
        routed.extend(ways.map(|route| route.destination));
    }
    left.retain(|(_, address)| !routed.contains(address));
    routes.delete_proxies(&left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_known_by_its_control_socket() {
        let (one, two) = (Instance::of(Path::new("/run/a")), Instance::of(Path::new("/run/b")));
        assert_ne!(one.number, two.number);
        assert_eq!(one, Instance::of(Path::new("/run/a")));
        // IFNAMSIZ has room for 15 letters.
        assert_eq!(one.link.len(), 13);
        assert_ne!(one.hardware()[0], one.hardware()[1]);
        assert_ne!(one.mark, two.mark);
        assert_eq!(one.mark & 0xff00_cf00, 0xbf00_0000);
    }
}
