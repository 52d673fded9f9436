// SPDX-License-Identifier: Apache-2.0
//! The kernel's own NAT by nftables rules, as kube-proxy writes them.

use super::program::{find, scope};
use super::{Column, Running, Service, Subject};
use crate::balance::backend::Protocol;
use crate::balance::place::netns::run;
use crate::balance::place::{Place, Role};
use crate::balance::template::fill;
use crate::error::Error;

/// The rules.
const TEMPLATE: &str = include_str!("../../../peers/nft.ruleset");

/// The rules for these services.
#[derive(Debug)]
pub struct Nft;

/// It, or what to do to have it.
pub fn all() -> Result<Vec<Box<dyn Subject>>, Error> {
    find("nft").ok_or(Error::NoPeer { name: "nft", package: "nftables" })?;
    Ok(vec![Box::new(Nft)])
}

/// The rules as text.
pub fn rules(services: &[Service]) -> String {
    fill(TEMPLATE, &scope(services))
}

impl Subject for Nft {
    fn column(&self) -> Column {
        Column::Nft
    }

    fn variant(&self) -> String {
        String::new()
    }

    fn lacks(&self, _: Protocol) -> Option<&'static str> {
        None
    }

    fn changes(&self) -> bool {
        true
    }

    fn has_processes(&self) -> bool {
        false
    }

    fn start(&self, place: &Place, services: &[Service]) -> Result<Box<dyn Running>, Error> {
        super::program::Program::take_address(place)?;
        nft(place, Some(&rules(services)), &["-f", "-"])?;
        Ok(Box::new(Rules { command: command(place)? }))
    }
}

fn nft(place: &Place, input: Option<&str>, arguments: &[&str]) -> Result<(), Error> {
    place.run(Role::Node, || run("nft", arguments, input).map(drop))
}

/// The command that changes the node's rules, wherever it is run.
fn command(place: &Place) -> Result<Vec<String>, Error> {
    let trio = place.trio().ok_or_else(|| Error::Setup("nft needs namespaces".to_owned()))?;
    let words = ["ip", "netns", "exec", trio.of(Role::Node).name(), "nft"];
    Ok(words.map(str::to_owned).into())
}

#[derive(Debug)]
struct Rules {
    command: Vec<String>,
}

impl Rules {
    fn nft(&self, more: &[&str], input: Option<&str>) -> Result<(), Error> {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let words = [&words, more].concat();
        words.split_first().map_or(Ok(()), |(program, rest)| run(program, rest, input).map(drop))
    }
}

impl Running for Rules {
    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }

    /// One transaction: no packet meets half of the rules.
    fn change(&mut self, services: &[Service]) -> Result<(), Error> {
        let text = format!("delete table ip berth-peer\n{}", rules(services));
        self.nft(&["-f", "-"], Some(&text))
    }

    fn stop(self: Box<Self>) -> Result<(), Error> {
        self.nft(&["delete", "table", "ip", "berth-peer"], None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::Endpoint;

    #[test]
    fn a_service_is_a_map_element_and_a_chain() {
        let endpoint = |index: u32| Endpoint {
            service: 4,
            index,
            address: format!("10.0.0.1:900{index}").parse().unwrap(),
        };
        let service = Service {
            id: 4,
            protocol: Protocol::Datagram,
            front: "10.9.9.9:7001".parse().unwrap(),
            endpoints: vec![endpoint(0), endpoint(2)],
        };
        let text = rules(&[service]);
        assert!(text.contains("10.9.9.9 . udp . 7001 : goto service-4,"), "{text}");
        let draw = "numgen random mod 2 vmap { 0 : goto endpoint-4-0, 1 : goto endpoint-4-2 }";
        assert!(text.contains(draw), "{text}");
        assert!(text.contains("meta l4proto udp dnat to 10.0.0.1:9002"), "{text}");
        assert!(text.contains("vmap @services\n"), "{text}");
    }
}
