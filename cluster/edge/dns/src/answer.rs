// SPDX-License-Identifier: Apache-2.0
//! A question and the zone: an answer, or whom to ask elsewhere. No IO; which of several records comes first is an argument.

use crate::entry::Entry;
use crate::limits::{CHAIN_MAX, TARGETS_ADDED_MAX};
use crate::reverse::Reverse;
use crate::zone::{Found, Place, Zone};
use compact_str::CompactString as Text;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The version of the specification that the names follow.
const VERSION: &str = "1.1.0";
/// Times of the SOA record, for secondary servers, of which there are none; CoreDNS's.
const TIMES: (i32, i32, i32) = (7_200, 1_800, 86_400);

/// An answer, apart from whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

impl Reply {
    pub(crate) fn of(code: ResponseCode) -> Self {
        let (answers, authorities, additionals) = (Vec::new(), Vec::new(), Vec::new());
        Self { code, authoritative: false, answers, authorities, additionals }
    }

    fn ours(code: ResponseCode) -> Self {
        Self { authoritative: true, ..Self::of(code) }
    }
}

/// What is to be done with a question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// This is the answer.
    Whole(Reply),
    /// Another server knows. These records come before what it says of the name; with none, the name is the question's.
    Elsewhere { before: Vec<Record>, name: Name },
}

/// Which records come first, and how many at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) turn: u64,
    pub(crate) most: usize,
}

impl Choice {
    /// So many of these, from another one at each turn, round to the first.
    fn of<T: Copy>(self, all: &[T]) -> impl Iterator<Item = T> {
        let count = u64::try_from(all.len()).unwrap_or(1).max(1);
        let first = usize::try_from(self.turn % count).unwrap_or(0);
        let (last, beginning) = all.split_at(first.min(all.len()));
        beginning.iter().chain(last).copied().take(self.most)
    }
}

/// What is known of a name.
struct Known {
    name: Name,
    reply: Reply,
    /// The name that it stands for.
    alias: Option<Name>,
}

/// Answers a question of class IN.
pub(crate) fn answer(query: &Query, zone: &Zone, choice: Choice) -> Answer {
    if query.query_type == RecordType::ANY && !is_ours(&query.name, zone) {
        // What there is of all types is of use to nobody but who wants long answers (RFC 8482).
        let mut reply = Reply::of(ResponseCode::NoError);
        reply.answers.push(any(query.name.clone(), zone));
        return Answer::Whole(reply);
    }
    let mut before: Vec<Record> = Vec::new();
    let mut name = query.name.clone();
    for _ in 0..=CHAIN_MAX {
        let Some(Known { name: asked, mut reply, alias }) =
            look(name.clone(), query.query_type, zone, choice)
        else {
            return Answer::Elsewhere { before, name };
        };
        if let Some(target) = alias {
            before.push(record(asked, zone, RData::CNAME(CNAME(target.clone()))));
            name = target;
            continue;
        }
        before.append(&mut reply.answers);
        reply.answers = before;
        return Answer::Whole(reply);
    }
    // Aliases that lead round in a ring.
    let mut reply = Reply::ours(ResponseCode::ServFail);
    reply.answers = before;
    Answer::Whole(reply)
}

fn record(name: Name, zone: &Zone, data: RData) -> Record {
    Record::from_rdata(name, zone.settings.ttl, data)
}

fn any(name: Name, zone: &Zone) -> Record {
    record(name, zone, RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new())))
}

/// Where a name belongs.
enum Where<'n> {
    /// Below the domain, with these labels before it.
    Domain(&'n [&'n str]),
    /// Among names of addresses; and where those begin that are answered here.
    Reverse(Reverse, Name),
    /// Nowhere, as it has labels that are no text.
    Odd,
    Elsewhere,
}

fn is_ours(name: &Name, zone: &Zone) -> bool {
    with_place(name, zone, |place| !matches!(place, Where::Elsewhere))
}

fn with_place<T>(name: &Name, zone: &Zone, then: impl FnOnce(Where<'_>) -> T) -> T {
    let lower = name.to_lowercase();
    let ours = zone.domain.zone_of(&lower);
    let labels: Option<Vec<&str>> =
        lower.iter().map(|label| std::str::from_utf8(label).ok()).collect();
    let Some(labels) = labels else {
        return then(if ours { Where::Odd } else { Where::Elsewhere });
    };
    if ours {
        let count = usize::from(zone.domain.num_labels());
        return then(Where::Domain(&labels[..labels.len().saturating_sub(count)]));
    }
    let reverse = Reverse::of(&labels);
    let begin = reverse.and_then(|one| Some((one, one.zone(name, &zone.settings.ranges)?)));
    then(begin.map_or(Where::Elsewhere, |(one, begin)| Where::Reverse(one, begin)))
}

/// What the zone says of a name; nothing if others know.
fn look(name: Name, wanted: RecordType, zone: &Zone, choice: Choice) -> Option<Known> {
    let place = |place: Where<'_>| -> Option<(Reply, Option<Name>)> {
        if !zone.ready && !matches!(place, Where::Elsewhere) {
            return Some((Reply::of(ResponseCode::ServFail), None));
        }
        let begin = match &place {
            Where::Reverse(_, begin) => begin.clone(),
            _ => zone.domain.clone(),
        };
        let mut look =
            Look { zone, choice, name: &name, wanted, reply: Reply::ours(ResponseCode::NoError) };
        let alias = match place {
            Where::Elsewhere => return None,
            Where::Odd => look.found(Found::Nothing),
            Where::Domain(labels) => look.found(zone.find(labels)),
            Where::Reverse(reverse, begin) => look.reverse(reverse, &begin),
        };
        let mut reply = look.reply;
        if alias.is_none() && reply.answers.is_empty() {
            reply.authorities.push(soa(&begin, zone));
        }
        Some((reply, alias))
    };
    let (reply, alias) = with_place(&name, zone, place)?;
    Some(Known { name, reply, alias })
}

struct Look<'a> {
    zone: &'a Zone,
    choice: Choice,
    name: &'a Name,
    wanted: RecordType,
    reply: Reply,
}

impl Look<'_> {
    fn add(&mut self, data: RData) {
        self.reply.answers.push(record(self.name.clone(), self.zone, data));
    }

    fn addresses(&mut self, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) {
        match self.wanted {
            RecordType::A => self.choice.of(v4).for_each(|address| self.add(RData::from(address))),
            RecordType::AAAA => {
                self.choice.of(v6).for_each(|address| self.add(RData::from(address)));
            }
            _ => {}
        }
    }

    /// Answers by what stands under the name, or tells the name that it stands for.
    fn found(&mut self, found: Found<'_>) -> Option<Name> {
        if matches!(found, Found::Nothing) {
            self.reply.code = ResponseCode::NXDomain;
            return None;
        }
        if self.wanted == RecordType::ANY {
            self.reply.answers.push(any(self.name.clone(), self.zone));
            return None;
        }
        match found {
            Found::Apex => self.apex(),
            Found::Version if self.wanted == RecordType::TXT => {
                self.add(RData::TXT(TXT::new(vec![VERSION.to_owned()])));
            }
            Found::Server => {
                let (v4, v6) = own(self.zone);
                self.addresses(&v4, &v6);
            }
            Found::Alias(target) if self.wanted == RecordType::CNAME => {
                self.add(RData::CNAME(CNAME(target.clone())));
            }
            Found::Alias(target) => return Some(target.clone()),
            Found::Service(place) if self.wanted == RecordType::SRV => {
                self.targets(place, |_| true);
            }
            Found::Service(place) => self.addresses(&place.entry.v4, &place.entry.v6),
            Found::Host(v4, v6) => self.addresses(&v4, &v6),
            Found::Port(place, name, protocol) if self.wanted == RecordType::SRV => {
                self.targets(place, |port| port.name == name && port.protocol == protocol);
            }
            Found::Nothing | Found::Between | Found::Version | Found::Port(..) => {}
        }
        None
    }

    fn apex(&mut self) {
        match self.wanted {
            RecordType::SOA => self.reply.answers.push(soa(&self.zone.domain, self.zone)),
            RecordType::NS => {
                let Some(server) = below(&self.zone.domain, &["ns", "dns"]) else { return };
                self.add(RData::NS(NS(server.clone())));
                let (v4, v6) = own(self.zone);
                self.also(&server, &v4, &v6);
            }
            _ => {}
        }
    }

    /// Addresses of a name that the answer tells of.
    fn also(&mut self, name: &Name, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) {
        let v4 = v4.iter().copied().map(RData::from);
        for data in v4.chain(v6.iter().copied().map(RData::from)).take(TARGETS_ADDED_MAX) {
            self.reply.additionals.push(record(name.clone(), self.zone, data));
        }
    }

    /// SRV records of the ports of which this holds, and the addresses of their targets.
    fn targets(&mut self, place: Place<'_>, holds: impl Fn(&crate::view::Port) -> bool) {
        let Place { entry, namespace, service } = place;
        let targets = entry.targets(holds);
        // The weights of all are a hundred together, as CoreDNS has it; none is without.
        let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(0).max(1);
        let mut told: Vec<Name> = Vec::new();
        for target in self.choice.of(&targets) {
            let host = target.host.map(Text::as_str);
            let Some(name) = service_name(&self.zone.domain, host, service, namespace) else {
                continue;
            };
            self.add(RData::SRV(SRV::new(0, weight, target.number, name.clone())));
            if told.len() < TARGETS_ADDED_MAX && !told.contains(&name) {
                self.also_target(entry, host, &name);
                told.push(name);
            }
        }
    }

    fn also_target(&mut self, entry: &Entry, host: Option<&str>, name: &Name) {
        match host {
            None => self.also(name, &entry.v4, &entry.v6),
            Some(host) => {
                let (v4, v6) = entry.host(host).unwrap_or_default();
                self.also(name, &v4, &v6);
            }
        }
    }

    /// Names of an address: the service's whose own it is, or else those of its endpoints.
    fn reverse(&mut self, reverse: Reverse, begin: &Name) -> Option<Name> {
        let zone = self.zone;
        if *self.name == *begin && self.wanted == RecordType::SOA {
            self.reply.answers.push(soa(begin, zone));
            return None;
        }
        if !reverse.is_whole() {
            // Nobody lists what lies below, and resolvers would take "no such name" for all of it (RFC 8020).
            return self.found(Found::Between);
        }
        let mut pointers: Vec<_> = zone.pointers(reverse.address).collect();
        if pointers.is_empty() || reverse.more {
            return self.found(Found::Nothing);
        }
        if pointers[0].host.is_none() {
            pointers.retain(|pointer| pointer.host.is_none());
        }
        match self.wanted {
            RecordType::PTR => {
                for pointer in self.choice.of(&pointers) {
                    let host = pointer.host.as_deref();
                    let name =
                        service_name(&zone.domain, host, &pointer.service, &pointer.namespace);
                    if let Some(name) = name {
                        self.add(RData::PTR(PTR(name)));
                    }
                }
                None
            }
            _ => self.found(Found::Between),
        }
    }
}

fn own(zone: &Zone) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let addresses = || zone.settings.addresses.iter();
    let v4 = addresses().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
    let v6 = addresses().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
    (v4.collect(), v6.collect())
}

/// Labels before a name; none if that would be too long, which names that the API takes are not.
fn below(domain: &Name, labels: &[&str]) -> Option<Name> {
    let labels = labels.iter().map(|label| label.as_bytes()).chain(domain.iter());
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn service_name(domain: &Name, host: Option<&str>, service: &str, namespace: &str) -> Option<Name> {
    match host {
        Some(host) => below(domain, &[host, service, namespace, "svc"]),
        None => below(domain, &[service, namespace, "svc"]),
    }
}

/// The record that says how long "there is none" holds.
fn soa(begin: &Name, zone: &Zone) -> Record {
    let server = below(&zone.domain, &["ns", "dns"]).unwrap_or_else(|| zone.domain.clone());
    let who = below(&zone.domain, &["hostmaster"]).unwrap_or_else(|| zone.domain.clone());
    let (refresh, retry, expire) = TIMES;
    let ttl = zone.settings.ttl;
    let soa = SOA::new(server, who, zone.serial, refresh, retry, expire, ttl);
    Record::from_rdata(begin.clone(), ttl, RData::SOA(soa))
}

#[cfg(test)]
pub(crate) mod tests;
