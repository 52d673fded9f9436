// SPDX-License-Identifier: Apache-2.0
//! A resolver that lists all records there are, as the specification reads, and looks for those with the name. Random clusters on which it and the
//! zone must agree after each change.

use super::*;

const ZONE: &str = "cluster.local.";

#[derive(Clone, Debug)]
enum Sort {
    Own(Vec<String>),
    Headless,
    Alias(String),
}

#[derive(Clone, Debug)]
struct Naive {
    sort: Sort,
    /// Name, protocol, number.
    ports: Vec<(String, String, u16)>,
    eager: bool,
}

#[derive(Clone, Debug)]
struct Part {
    service: String,
    /// Address, host name (or none: empty), ready.
    endpoints: Vec<(String, String, bool)>,
    ports: Vec<(String, String, u16)>,
}

#[derive(Default)]
struct Cluster {
    spaces: BTreeSet<String>,
    services: BTreeMap<(String, String), Naive>,
    slices: BTreeMap<(String, String), Part>,
}

type Records = BTreeSet<(String, String, String)>;

fn ports(list: &[(String, String, u16)]) -> Value {
    list.iter()
        .map(|(name, protocol, port)| json!({"name": name, "protocol": protocol, "port": port}))
        .collect()
}

fn dashed(address: &str) -> String {
    address.replace(['.', ':'], "-")
}

fn family(address: &str) -> &'static str {
    if address.contains(':') { "AAAA" } else { "A" }
}

fn arpa(address: &str) -> String {
    Name::from(address.parse::<IpAddr>().unwrap()).to_ascii()
}

impl Cluster {
    /// Endpoints of a service that count, with their host names, and the ports of their slices.
    fn endpoints(&self, key: &(String, String), eager: bool) -> Vec<(String, String, bool, &Part)> {
        let mut all = Vec::new();
        for ((namespace, _), part) in &self.slices {
            if *namespace == key.0 && part.service == key.1 {
                for (address, host, ready) in &part.endpoints {
                    if *ready || eager {
                        let name = if host.is_empty() { dashed(address) } else { host.clone() };
                        all.push((address.clone(), name, !host.is_empty(), part));
                    }
                }
            }
        }
        all
    }

    /// All records, and all names that are there.
    fn all(&self) -> (Records, BTreeSet<String>) {
        let mut records = Records::new();
        let mut names: BTreeSet<String> = [
            ZONE.to_owned(),
            format!("svc.{ZONE}"),
            format!("pod.{ZONE}"),
            format!("ns.dns.{ZONE}"),
            format!("dns.{ZONE}"),
        ]
        .into();
        records.insert((format!("dns-version.{ZONE}"), "TXT".into(), "1.1.0".into()));
        names.extend(
            self.spaces
                .iter()
                .flat_map(|one| [format!("{one}.svc.{ZONE}"), format!("{one}.pod.{ZONE}")]),
        );
        let mut own = BTreeSet::new();
        for (key, service) in &self.services {
            self.records(key, service, &mut records, &mut own);
        }
        // An address that is a service's own is no endpoint's.
        records.retain(|(name, kind, data)| {
            kind != "PTR" || !own.contains(name) || data.split('.').count() == 6
        });
        for (name, kind, _) in &records {
            let mut rest = name.as_str();
            while kind != "PTR" && rest != ZONE {
                names.insert(rest.to_owned());
                rest = rest.split_once('.').unwrap().1;
            }
            if kind == "PTR" {
                names.insert(name.clone());
            }
        }
        (records, names)
    }

    fn records(
        &self,
        key: &(String, String),
        service: &Naive,
        records: &mut Records,
        own: &mut BTreeSet<String>,
    ) {
        let base = format!("{}.{}.svc.{ZONE}", key.1, key.0);
        let mut add = |name: &str, kind: &str, data: &str| {
            records.insert((name.to_owned(), kind.to_owned(), data.to_owned()));
        };
        let endpoints = self.endpoints(key, service.eager);
        let mut targets = BTreeSet::new();
        match &service.sort {
            Sort::Alias(target) => return add(&base, "CNAME", target),
            Sort::Own(addresses) => {
                for address in addresses {
                    add(&base, family(address), address);
                    add(&arpa(address), "PTR", &base);
                    own.insert(arpa(address));
                }
                targets.extend(service.ports.iter().map(|port| (port.clone(), base.clone())));
            }
            Sort::Headless => {
                for (address, name, _, part) in &endpoints {
                    add(&base, family(address), address);
                    let host = format!("{name}.{base}");
                    targets.extend(part.ports.iter().map(|port| (port.clone(), host.clone())));
                }
            }
        }
        for (address, name, chosen, _) in &endpoints {
            add(&format!("{name}.{base}"), family(address), address);
            if *chosen {
                add(&arpa(address), "PTR", &format!("{name}.{base}"));
            }
        }
        for ((name, protocol, number), target) in targets {
            add(&base, "SRV", &format!("{number} {target}"));
            if !name.is_empty() {
                let owner = format!("_{name}._{}.{base}", protocol.to_lowercase());
                add(&owner, "SRV", &format!("{number} {target}"));
            }
        }
    }
}

/// Records as the naive resolver has them, of a name and what it stands for.
fn wanted(
    all: &Records,
    names: &BTreeSet<String>,
    name: &str,
    kind: &str,
) -> (ResponseCode, Records) {
    let mut found = Records::new();
    let mut name = name.to_owned();
    loop {
        let of = |kind: &str| {
            all.iter().filter(|one| one.0 == name && one.1 == kind).cloned().collect::<Vec<_>>()
        };
        let alias = of("CNAME");
        found.extend(of(kind));
        match alias.first() {
            // Aliases of these clusters lead to services that are none.
            Some(alias) if kind != "CNAME" => {
                found.insert(alias.clone());
                name.clone_from(&alias.2);
            }
            _ => {
                let there = names.contains(&name);
                return (if there { ResponseCode::NoError } else { ResponseCode::NXDomain }, found);
            }
        }
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed >> 33) % u64::try_from(most).unwrap()).unwrap()
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.below(all.len())]
    }
}

const SPACES: [&str; 2] = ["default", "other"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const ADDRESSES: [&str; 6] =
    ["10.1.0.1", "10.1.0.2", "10.96.0.1", "10.96.0.2", "fd00::1", "fd00::2"];

fn some_ports(chance: &mut Chance) -> Vec<(String, String, u16)> {
    let port = |chance: &mut Chance| {
        let number = [80, 81][chance.below(2)];
        (chance.of(&["", "p", "q"]).to_owned(), chance.of(&["TCP", "UDP"]).to_owned(), number)
    };
    (0..chance.below(4)).map(|_| port(chance)).collect()
}

/// One random change, of the cluster and of the world.
fn change(chance: &mut Chance, cluster: &mut Cluster, world: &mut World) {
    let (space, name) = (chance.of(&SPACES), chance.of(&NAMES));
    let key = (space.to_owned(), name.to_owned());
    match chance.below(10) {
        0 => {
            let there = chance.below(2) == 0;
            world.zone.set_namespace(&space.into(), there);
            if there {
                cluster.spaces.insert(space.to_owned())
            } else {
                cluster.spaces.remove(space)
            };
        }
        1 => {
            cluster.services.remove(&key);
            world.service(space, name, None);
        }
        2 => {
            cluster.slices.remove(&key);
            world.slice(space, name, None);
        }
        3..6 => {
            let (ports_, eager) = (some_ports(chance), chance.below(4) == 0);
            let (sort, mut spec) = match chance.below(4) {
                0 => {
                    // Only `a` and `b` are aliases, and only of others: no rings, which have a test of their own.
                    let target = format!("{}.{space}.svc.{ZONE}", chance.of(&["c", "d"]));
                    let spec = json!({"type": "ExternalName", "externalName": target});
                    if "ab".contains(name) {
                        (Sort::Alias(target), spec)
                    } else {
                        (Sort::Headless, json!({"clusterIP": "None"}))
                    }
                }
                1 | 2 => (Sort::Headless, json!({"clusterIP": "None"})),
                _ => {
                    let all =
                        vec![chance.of(&ADDRESSES).to_owned(), chance.of(&ADDRESSES).to_owned()];
                    let spec = json!({"clusterIP": all[0], "clusterIPs": all});
                    (Sort::Own(all), spec)
                }
            };
            spec["ports"] = ports(&ports_);
            spec["publishNotReadyAddresses"] = json!(eager);
            world.service(space, name, Some(&spec));
            cluster.services.insert(key, Naive { sort, ports: ports_, eager });
        }
        _ => {
            let endpoint = |chance: &mut Chance| {
                let host = chance.of(&["", "", "h", "i"]).to_owned();
                (chance.of(&ADDRESSES).to_owned(), host, chance.below(3) > 0)
            };
            let endpoints: Vec<_> = (0..chance.below(4)).map(|_| endpoint(chance)).collect();
            let json_ = endpoints.iter().map(|(address, host, ready)| {
                json!({"addresses": [address], "hostname": host, "conditions": {"ready": ready}})
            });
            let part = Part {
                service: chance.of(&NAMES).to_owned(),
                ports: some_ports(chance),
                endpoints: endpoints.clone(),
            };
            let json_ = json!({"endpoints": json_.collect::<Value>(), "ports": ports(&part.ports)});
            world.slice(space, name, Some((&part.service, &json_)));
            cluster.slices.insert(key, part);
        }
    }
}

/// Answer of the zone in the naive resolver's form: without priorities and weights.
fn answered(zone: &Zone, name: &str, kind: &str, turn: u64) -> (ResponseCode, Records) {
    let Answer::Whole(reply) = ask(zone, name, kind, Choice { turn, most: 1_000 }) else {
        panic!("{name} is ours")
    };
    let record = |record: &Record| {
        let data = match &record.data {
            RData::SRV(srv) => format!("{} {}", srv.port, srv.target),
            data => data.to_string(),
        };
        (record.name.to_ascii(), record.record_type().to_string(), data)
    };
    let records: Records = reply.answers.iter().map(record).collect();
    assert_eq!(records.len(), reply.answers.len(), "each record once: {name} {kind} {reply:?}");
    let ends = reply.answers.iter().any(|one| one.record_type().to_string() == kind);
    assert_eq!(reply.authorities.len(), usize::from(!ends), "{name} {kind} {reply:?}");
    (reply.code, records)
}

#[test]
fn the_zone_agrees_with_a_list_of_all_records_after_each_change() {
    let mut seen = BTreeMap::new();
    for seed in 0..120 {
        let mut chance = Chance(seed);
        let (mut cluster, mut world) = (Cluster::default(), World::new(settings()));
        for step in 0..60 {
            change(&mut chance, &mut cluster, &mut world);
            let (records, names) = cluster.all();
            let mut asked: Vec<String> = names.iter().cloned().collect();
            for _ in 0..8 {
                let labels = [
                    chance.of(&["h", "i", "_tcp", "_p._tcp", "_p._udp", "10-1-0-1", "fd00--1"]),
                    chance.of(&NAMES),
                    chance.of(&SPACES),
                ];
                let from = chance.below(3);
                asked.push(format!("{}.svc.{ZONE}", labels[from..].join(".")));
                asked.push(arpa(chance.of(&ADDRESSES)));
            }
            for name in asked {
                let kind = chance.of(&["A", "AAAA", "SRV", "PTR", "CNAME", "TXT"]);
                if name.starts_with("ns.dns")
                    || name.ends_with("pod.cluster.local.") && name.split('.').count() > 5
                {
                    continue;
                }
                let want = wanted(&records, &names, &name, kind);
                let got = answered(&world.zone, &name, kind, step);
                assert_eq!(
                    got, want,
                    "seed {seed} step {step}: {name} {kind}\n{:#?}\n{:#?}",
                    cluster.services, cluster.slices
                );
                *seen.entry((kind, want.0.to_string(), want.1.is_empty())).or_insert(0) += 1;
            }
        }
    }
    // All kinds of outcome have been there often, or the test says nothing.
    for kind in ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT"] {
        let found = seen.get(&(kind, ResponseCode::NoError.to_string(), false));
        assert!(found.is_some_and(|count| *count > 20), "{kind}: {seen:#?}");
    }
}
