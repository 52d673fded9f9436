// SPDX-License-Identifier: Apache-2.0
//! Upstreams out of a `resolv.conf`.

use crate::limits::UPSTREAMS_MAX;
use std::net::{IpAddr, SocketAddr};

/// The name servers of a `resolv.conf`. What listens on the loopback is left out: it answers for this machine, often by asking this
/// very server, and a question would go round for ever.
pub fn of_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let first = words.next().filter(|word| *word == "nameserver");
        first.and(words.next()).and_then(|word| word.parse::<IpAddr>().ok())
    };
    let mut servers: Vec<SocketAddr> = Vec::new();
    for address in text.lines().filter_map(server) {
        let mapped = address.to_canonical();
        let address = SocketAddr::new(mapped, 53);
        if !mapped.is_loopback() && !mapped.is_unspecified() && !servers.contains(&address) {
            servers.push(address);
        }
    }
    servers.truncate(UPSTREAMS_MAX);
    servers
}

/// Upstreams that can be asked: each once, and none that is this server itself.
pub(crate) fn without_own(upstreams: &[SocketAddr], own: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut list: Vec<SocketAddr> = Vec::new();
    for upstream in upstreams {
        let upstream = SocketAddr::new(upstream.ip().to_canonical(), upstream.port());
        if !own.contains(&upstream) && !upstream.ip().is_unspecified() && !list.contains(&upstream)
        {
            list.push(upstream);
        }
    }
    list.truncate(UPSTREAMS_MAX);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_and_the_loopback_is_left_out() {
        let text = "# nameserver 1.1.1.1\nsearch a b\nnameserver 127.0.0.53\nnameserver ::1\n nameserver\t9.9.9.9  # x\n\
            nameserver 9.9.9.9\nnameserver fe80::1%eth0\nnameserver\nnameserver 0.0.0.0\n\
            nameserver ::ffff:127.0.0.1\nnameserver 2620:fe::fe\nnameservers 8.8.8.8";
        let want: Vec<SocketAddr> =
            ["9.9.9.9:53", "[2620:fe::fe]:53"].map(|one| one.parse().unwrap()).to_vec();
        assert_eq!(of_resolv_conf(text), want);
        let many: Vec<_> = (0..40).map(|at| format!("nameserver 10.0.0.{at}")).collect();
        assert_eq!(of_resolv_conf(&many.join("\n")).len(), UPSTREAMS_MAX);
    }

    #[test]
    fn a_server_is_not_its_own_upstream() {
        let of = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|one| one.parse().unwrap()).collect()
        };
        let given = of(&[
            "10.0.0.1:53",
            "10.0.0.1:54",
            "[::ffff:10.0.0.1]:53",
            "10.0.0.2:53",
            "10.0.0.2:53",
            "0.0.0.0:53",
        ]);
        assert_eq!(without_own(&given, &of(&["10.0.0.1:53"])), of(&["10.0.0.1:54", "10.0.0.2:53"]));
    }
}
