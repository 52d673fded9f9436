// SPDX-License-Identifier: Apache-2.0
//! Where a node of this machine finds its place: its name, its address, the addresses of its pods, its folder.

use anyhow::{Context, anyhow};
use berth_cluster_agent_network::Range;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

/// The kernel's routes of IPv4.
const ROUTES: &str = "/proc/net/route";
/// The addresses of all pods, and how many bits those of one node share: as the controllers give them out.
const PODS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 244, 0, 0), 16);
const NODE_BITS: u8 = 24;
/// An address of the block for documentation (RFC 5737), behind the default route. Nothing is sent there.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The place of a node.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// The addresses of its pods.
    pub(crate) pods: Range,
    /// The first of them: the machine's own on the pods' bridge.
    pub(crate) gateway: Ipv4Addr,
    /// The bridge's name.
    pub(crate) bridge: String,
    /// Where its agent keeps files.
    pub(crate) root: PathBuf,
}

impl Place {
    /// The place of the node of this name. `pods`: the addresses that its pods shall have, where somebody says so.
    pub(crate) fn find(name: String, pods: Option<Range>) -> anyhow::Result<Self> {
        let bridge = bridge(&name);
        let pods = match pods {
            Some(pods) => pods,
            None => {
                let routes = fs::read_to_string(ROUTES).unwrap_or_default();
                free(&routes, &bridge).ok_or_else(|| {
                    anyhow!(
                        "no network of {}/{} is free for pods; --pod-network names another one",
                        PODS.0,
                        PODS.1
                    )
                })?
            }
        };
        let gateway = Ipv4Addr::from_bits(pods.first().to_bits() + 1);
        let root = root(&name)?;
        Ok(Self { address: own_address(), gateway, pods, bridge, root, name })
    }

    /// The place of a node that has been told which addresses its pods have.
    pub(crate) fn told(name: String, address: Ipv4Addr, pods: Range, root: PathBuf) -> Self {
        let gateway = Ipv4Addr::from_bits(pods.first().to_bits() + 1);
        Self { address, gateway, pods, bridge: bridge(&name), root, name }
    }
}

/// Where the agent of a node keeps files, where nothing else is said.
pub(crate) fn root(name: &str) -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("nodes").join(name))
}

/// Where agents of this user keep files. Not in memory: volumes are large.
fn folder() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/berth"));
    }
    let set =
        |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("berth"))
        .context("where volumes are to be kept is not known: neither XDG_DATA_HOME nor HOME is set")
}

/// A bridge's name has up to 15 signs; a node's more.
fn bridge(node: &str) -> String {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    format!("berth-{:08x}", hasher.finish() & 0xffff_ffff)
}

/// The address by which this machine sends to others; that of the loopback if it sends to nobody.
pub(crate) fn own_address() -> Ipv4Addr {
    let own = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // This sends nothing: it looks the route up.
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    };
    match own().map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_unspecified() => ip,
        _ => Ipv4Addr::LOCALHOST,
    }
}

/// The host's name, made into a node's as a kubelet does.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_lowercase();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

/// The network that the bridge has already, or else the first that no route leads to.
fn free(routes: &str, bridge: &str) -> Option<Range> {
    let routes: Vec<(&str, Range)> = routes.lines().filter_map(route).collect();
    let nodes = (0..=255_u8).filter_map(|third| {
        let [first, second, ..] = PODS.0.octets();
        Range::new(Ipv4Addr::new(first, second, third, 0), NODE_BITS).ok()
    });
    let own = routes.iter().find(|(link, _)| *link == bridge).map(|(_, range)| *range);
    own.or_else(|| {
        let mut nodes = nodes;
        nodes.find(|range| !routes.iter().any(|(_, taken)| taken.overlaps(*range)))
    })
}

/// A line of the kernel's table: interface, and the network that it leads to. The default route is none.
fn route(line: &str) -> Option<(&str, Range)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok().map(u32::swap_bytes);
    let (network, mask) = (number(1)?, number(7)?);
    let prefix = u8::try_from(mask.leading_ones()).ok()?;
    let range = Range::new(Ipv4Addr::from_bits(network), prefix).ok()?;
    (prefix > 0).then_some((*words.first()?, range))
}

/// Takes the folder for itself until the file is dropped: two agents of one name would end each other's pods.
pub(crate) fn claim(root: &Path) -> anyhow::Result<fs::File> {
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let path = root.join("lock");
    let file =
        fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    file.try_lock().map_err(|_| {
        anyhow!(
            "{} is in use: a node of this name runs already; --node-name gives this one another",
            root.display()
        )
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn line(link: &str, network: [u8; 4], prefix: u32) -> String {
        let number = u32::from_be_bytes(network).swap_bytes();
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0).swap_bytes();
        format!("{link}\t{number:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}\t0\t0\t0\n")
    }

    #[test]
    fn pods_get_the_first_network_that_is_nobodys() {
        let found = |routes: &str| {
            free(&format!("{HEAD}{routes}"), "berth-1").map(|range| range.to_string())
        };
        assert_eq!(found("").unwrap(), "10.244.0.0/24");
        let default = line("eth0", [0, 0, 0, 0], 0);
        assert_eq!(found(&default).unwrap(), "10.244.0.0/24");
        let taken = default.clone()
            + &line("br-x", [10, 244, 0, 0], 24)
            + &line("br-y", [10, 244, 1, 128], 25);
        assert_eq!(found(&taken).unwrap(), "10.244.2.0/24");
        assert_eq!(found(&line("tun0", [10, 244, 0, 0], 16)), None);
        assert_eq!(found(&line("tun0", [10, 0, 0, 0], 8)), None);
        assert_eq!(found("nonsense\n\nx y z\n").unwrap(), "10.244.0.0/24");
    }

    #[test]
    fn a_bridge_that_is_there_keeps_its_network() {
        let routes = line("br-x", [10, 244, 0, 0], 24) + &line("berth-1", [10, 244, 7, 0], 24);
        assert_eq!(free(&routes, "berth-1").unwrap().to_string(), "10.244.7.0/24");
    }

    #[test]
    fn names_of_bridges_fit_the_kernel_and_tell_nodes_apart() {
        let long = "n".repeat(200);
        assert!(bridge(&long).len() <= 15);
        assert_ne!(bridge("a"), bridge("b"));
        assert_eq!(bridge("a"), bridge("a"));
    }

    #[test]
    fn a_folder_is_of_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path()).unwrap();
        let refused = claim(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("--node-name"), "{refused}");
        drop(first);
        claim(folder.path()).unwrap();
    }
}
