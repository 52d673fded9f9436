// SPDX-License-Identifier: Apache-2.0
//! Services and Endpoints against what a real server answered, with addresses and ports kept as a server keeps them: creations,
//! updates, deletions.
#![allow(clippy::unwrap_used, reason = "a record that cannot be read is a failure of the test")]

mod record;

use berth_cluster_api::field::Errors;
use berth_cluster_api::kinds::service::allocate::{
    Allocation, Ranges, Refused, Taken, plan, release,
};
use berth_cluster_api::kinds::{endpoints, service};
use berth_cluster_api::registry::{Kind, Part};
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::{Value, json};
use core::net::Ipv4Addr;
use record::scenarios;
use std::collections::{BTreeMap, BTreeSet};

/// Scenarios that differ, and why.
const KNOWN: [(&str, &str); 5] = [
    ("invalid/endpoints/ip", "1.33 names the ranges of IPv6, too"),
    ("invalid/service/externalip", "the same"),
    ("invalid/service/targetport", "1.33 asks for a letter, where 1.20 took a number, too"),
    (
        "update/service/status-put-no-rv",
        "since 1.29 only services of type LoadBalancer have a state of load balancers",
    ),
    ("update/put/create-service", "1.33 creates services by PUT; 1.20 answered 404"),
];

/// Those of which 1.33 is known to have other sentences, or other reasons, of the same fields.
const REWORDED: [&str; 4] = [
    "invalid/service/policy",
    "invalid/service/policy-clusterip",
    "invalid/service/healthport",
    "invalid/service/lb-ranges",
];

/// What one scenario has made so far.
#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Map>,
    ips: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<u16>,
    symbols: BTreeMap<String, Value>,
}

impl Server {
    fn book(&mut self, done: &Allocation) {
        self.ips.extend(&done.ips_taken);
        self.ports.extend(&done.ports_taken);
        self.ips.retain(|ip| !done.ips_released.contains(ip));
        self.ports.retain(|port| !done.ports_released.contains(port));
    }

    /// Puts what we gave in the place of the recorded symbols.
    fn bound(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with('$') => {
                self.symbols.get(text.as_str()).cloned().unwrap_or_else(|| value.clone())
            }
            Value::String(text) => {
                let mut text = text.to_string();
                for (symbol, value) in &self.symbols {
                    text = text.replace(symbol, value.as_str().unwrap_or_default());
                }
                text.into()
            }
            Value::Object(map) => map
                .iter()
                .map(|(name, value)| (name.clone(), self.bound(value)))
                .collect::<Map>()
                .into(),
            Value::Array(all) => all.iter().map(|value| self.bound(value)).collect(),
            other => other.clone(),
        }
    }

    /// Learns what the recorded symbols stand for.
    fn learn(&mut self, theirs: &Value, ours: &Value) {
        match theirs {
            Value::String(text) if text.starts_with("$ip") || text.starts_with("$port") => {
                self.symbols.entry(text.to_string()).or_insert_with(|| ours.clone());
            }
            Value::Object(map) => {
                map.iter().for_each(|(name, value)| self.learn(value, &ours[name]));
            }
            Value::Array(all) => {
                all.iter().enumerate().for_each(|(i, value)| self.learn(value, &ours[i]));
            }
            _ => {}
        }
    }

    fn write(
        &mut self,
        kind: &Kind,
        name: Option<&str>,
        part: Part,
        body: &Value,
    ) -> Result<Map, Refusal> {
        let mut new = body.as_object().unwrap().clone();
        let old = name.and_then(|name| self.objects.get(name)).cloned();
        kind.rules.default(&mut new);
        match &old {
            None => kind.rules.prepare_create(&mut new),
            Some(old) => kind.rules.prepare_update(&mut new, old, part),
        }
        let name = new["metadata"]["name"].as_str().unwrap().to_owned();
        let mut done = Allocation::default();
        if &*kind.kind == "Service" && part == Part::Main {
            let (ips, ports) = (&self.ips, &self.ports);
            let taken = Taken { ip: &|ip| ips.contains(&ip), port: &|port| ports.contains(&port) };
            done = plan(&Ranges::default(), old.as_ref(), &mut new, taken, &mut |_| 0)
                .map_err(|refused: Refused| refused.refusal(&name))?;
        }
        let mut errors = Errors::new();
        if let Some(old) = &old {
            kind.rules.validate_update(&new, old, part, &mut errors);
        }
        if part == Part::Main {
            kind.rules.validate(&new, &mut errors);
        }
        if !errors.is_empty() {
            return Err(Refusal::invalid(&kind.group, &kind.kind, &name, &errors));
        }
        self.book(&done);
        self.objects.insert(name, new.clone());
        Ok(new)
    }
}

/// The kind of a path, the object's name, and the part.
fn target<'a>(path: &'a str, kinds: &'a [Kind]) -> Option<(&'a Kind, Option<&'a str>, Part)> {
    let parts: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    let at = parts.iter().position(|part| *part == "namespaces")?;
    let kind = kinds.iter().find(|kind| Some(&&*kind.plural) == parts.get(at + 2))?;
    match &parts[at + 3..] {
        [] => Some((kind, None, Part::Main)),
        [name] => Some((kind, Some(name), Part::Main)),
        [name, "status"] => Some((kind, Some(name), Part::Status)),
        _ => None,
    }
}

/// What is stored beside metadata, without what later releases add.
fn content(object: &Value) -> Value {
    let mut content = json!({});
    for field in ["spec", "status", "subsets"] {
        if object[field].is_object() || object[field].as_array().is_some_and(|all| !all.is_empty())
        {
            content[field] = object[field].clone();
        }
    }
    let later =
        ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", "allocateLoadBalancerNodePorts"];
    if let Some(spec) = content.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|name, value| !later.contains(&name.as_str()) && value != &json!([]));
    }
    let ingress = content.pointer_mut("/status/loadBalancer/ingress").and_then(Value::as_array_mut);
    for one in ingress.into_iter().flatten().filter_map(Value::as_object_mut) {
        one.remove("ipMode");
    }
    without_nulls(&content)
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map>().into()
        }
        Value::Array(all) => all.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// What differs between an answer and ours.
fn difference(
    server: &mut Server,
    step: &Value,
    ours: &Result<Map, Refusal>,
    loose: bool,
) -> Option<String> {
    let (status, body) = (step["response"]["status"].as_u64().unwrap(), &step["response"]["body"]);
    let marked = step.get("differs_in_1_33").is_some();
    match ours {
        Ok(object) => {
            let ours = content(&Value::from(object.clone()));
            server.learn(&content(body), &ours);
            let theirs = server.bound(&content(body));
            let agrees = (status == 200 || status == 201) && theirs == ours;
            (!agrees && !marked).then(|| format!("theirs {status} {theirs}\n  ours {ours}"))
        }
        Err(refusal) => {
            let answer: Value = serde_json::from_str(&refusal.to_json()).unwrap();
            let causes = |body: &Value| {
                let all = body["details"]["causes"].as_array().cloned().unwrap_or_default();
                let metadata = |one: &Value| one["field"].as_str().unwrap().starts_with("metadata");
                all.into_iter().filter(|one| !metadata(one)).collect::<Vec<Value>>()
            };
            let (theirs, ours) = (causes(&server.bound(body)), causes(&answer));
            let agrees = status == u64::from(refusal.code) && (loose || theirs == ours);
            (!agrees && !marked).then(|| format!("theirs {status} {theirs:?}\n  ours {ours:?}"))
        }
    }
}

/// Plays a scenario; gives how many steps were compared, and what differs.
fn play(scenario: &Value, kinds: &[Kind]) -> (usize, Vec<String>) {
    let (mut server, mut count, mut differing) = (Server::default(), 0, Vec::new());
    let name_of = scenario["name"].as_str().unwrap();
    for (number, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let request = &step["request"];
        let path = request["path"].as_str().unwrap();
        let Some((kind, name, part)) = target(path, kinds) else { continue };
        let status = step["response"]["status"].as_u64().unwrap();
        if path.contains("dryRun") || ![200, 201, 404, 422].contains(&status) {
            continue;
        }
        let body = server.bound(&request["body"]);
        match request["method"].as_str().unwrap() {
            "POST" if part == Part::Main => {}
            "PUT" if body.is_object() => {}
            "PATCH" if status < 400 => {
                // patches are another module's: what they made is written as if it had been sent
                let answer = server.bound(&step["response"]["body"]);
                let mut body = answer.clone();
                for port in body["spec"]["ports"].as_array_mut().into_iter().flatten() {
                    if port["nodePort"].is_string() {
                        port.as_object_mut().unwrap().remove("nodePort");
                    }
                }
                if body["spec"]["clusterIP"].as_str().is_some_and(|ip| ip.starts_with('$')) {
                    body["spec"]
                        .as_object_mut()
                        .unwrap()
                        .retain(|name, _| !name.starts_with("clusterIP"));
                }
                let made = server.write(kind, name, part, &body).unwrap();
                server.learn(&content(&step["response"]["body"]), &content(&made.into()));
                continue;
            }
            "DELETE" => {
                let gone = name.and_then(|name| server.objects.remove(name)).unwrap_or_default();
                server.book(&release(&gone));
                continue;
            }
            _ => continue,
        }
        let theirs = &step["response"]["body"]["details"]["causes"];
        let metadata = |one: &Value| one["field"].as_str().unwrap().starts_with("metadata");
        if theirs.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(metadata)) {
            continue; // only the metadata is wrong
        }
        count += 1;
        let ours = server.write(kind, name, part, &body);
        let loose = REWORDED.contains(&name_of);
        if let Some(text) = difference(&mut server, step, &ours, loose) {
            differing.push(format!("{name_of}#{number}\n  {text}"));
        }
    }
    (count, differing)
}

#[test]
fn answers_are_as_recorded() {
    let kinds: Vec<Kind> = service::kinds().into_iter().chain(endpoints::kinds()).collect();
    let (mut total, mut wrong, mut healed) = (0, Vec::new(), Vec::new());
    for scenario in scenarios() {
        let (count, differing) = play(&scenario, &kinds);
        total += count;
        let known = KNOWN.iter().any(|(name, _)| scenario["name"] == **name);
        match (known, differing.is_empty()) {
            (true, true) => healed.push(scenario["name"].clone()),
            (false, false) => wrong.extend(differing),
            _ => {}
        }
    }
    println!("{total} steps");
    assert!(total > 70, "the record holds more steps of these kinds than {total}");
    assert!(wrong.is_empty(), "{} steps differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(healed.is_empty(), "these agree now, take them off the list: {healed:?}");
}

fn object(value: Value) -> Map {
    value.as_object().unwrap().clone()
}

#[test]
fn rows_are_as_kubectl_shows_them() {
    let meta = json!({ "name": "x", "creationTimestamp": "1970-01-01T00:00:00Z" });
    let row = |kinds: &[Kind], plural: &str, mut value: Value| {
        value["metadata"] = meta.clone();
        let kind = kinds.iter().find(|kind| &*kind.plural == plural).unwrap();
        let cells = kind.rules.cells(&object(value), 60);
        assert_eq!(cells.len(), kind.columns.len());
        Value::from(cells)
    };
    let balanced = json!({
        "spec": {
            "type": "LoadBalancer",
            "clusterIPs": ["10.0.0.9"],
            "externalIPs": ["1.2.3.4"],
            "ports": [{ "port": 80, "nodePort": 30000, "protocol": "TCP" }, { "port": 53, "protocol": "UDP" }],
            "selector": { "a": "b" },
        },
        "status": { "loadBalancer": { "ingress": [{ "hostname": "h" }, { "ip": "5.6.7.8" }] } },
    });
    assert_eq!(
        row(&service::kinds(), "services", balanced),
        json!([
            "x",
            "LoadBalancer",
            "10.0.0.9",
            "5.6.7.8,h,1.2.3.4",
            "80:30000/TCP,53/UDP",
            "60s",
            "a=b"
        ])
    );
    let alias = json!({ "spec": { "type": "ExternalName", "externalName": "a.b" } });
    assert_eq!(
        row(&service::kinds(), "services", alias),
        json!(["x", "ExternalName", "<none>", "a.b", "<none>", "60s", "<none>"])
    );
    let subsets = json!({ "subsets": [
        { "addresses": [{ "ip": "10.1.1.1" }, { "ip": "fd00::1" }], "ports": [{ "port": 80 }, { "port": 81 }] },
    ] });
    assert_eq!(
        row(&endpoints::kinds(), "endpoints", subsets),
        json!(["x", "10.1.1.1:80,[fd00::1]:80,10.1.1.1:81 + 1 more...", "60s"])
    );
    let slice = json!({
        "addressType": "IPv4",
        "ports": [{ "name": "web", "port": 80 }, { "name": "any" }],
        "endpoints": [{ "addresses": ["10.1.1.1"] }],
    });
    assert_eq!(
        row(&endpoints::kinds(), "endpointslices", slice),
        json!(["x", "IPv4", "80,any", "10.1.1.1", "60s"])
    );
    assert_eq!(
        row(&endpoints::kinds(), "endpointslices", json!({ "addressType": "IPv4" })),
        json!(["x", "IPv4", "<unset>", "<unset>", "60s"])
    );
}

#[test]
fn slices_count_generations_and_have_limits() {
    let kinds = endpoints::kinds();
    let rules = &kinds.iter().find(|kind| &*kind.plural == "endpointslices").unwrap().rules;
    let slice = |address: &str| {
        object(json!({
            "metadata": { "name": "s", "labels": { "kubernetes.io/service-name": "a" } },
            "addressType": "IPv4",
            "ports": [{ "port": 80 }],
            "endpoints": [{ "addresses": [address], "deprecatedTopology": { "a": "b" } }],
        }))
    };
    let problems = |slice: &Map| {
        let mut errors = Errors::new();
        rules.validate(slice, &mut errors);
        errors.text()
    };
    let mut old = slice("10.1.1.1");
    rules.default(&mut old);
    rules.prepare_create(&mut old);
    assert_eq!(problems(&old), "[]");
    assert_eq!(old["ports"], json!([{ "name": "", "port": 80, "protocol": "TCP" }]));
    assert_eq!(old["endpoints"], json!([{ "addresses": ["10.1.1.1"] }]));
    let update = |mut new: Map| {
        rules.prepare_update(&mut new, &old, Part::Main);
        new["metadata"]["generation"].clone()
    };
    assert_eq!(update(old.clone()), 1);
    assert_eq!(update(slice("10.1.1.2")), 2);
    let mut renamed = old.clone();
    renamed["metadata"]["labels"]["kubernetes.io/service-name"] = "b".into();
    assert_eq!(update(renamed), 2);
    let mut wrong = old.clone();
    wrong["addressType"] = "IPv6".into();
    wrong["ports"] = json!([{ "name": "", "protocol": "X" }, { "name": "", "protocol": "TCP" }]);
    assert_eq!(
        problems(&wrong),
        "[endpoints[0].addresses[0]: Invalid value: \"10.1.1.1\": must be an IPv6 address, ports[0].protocol: Unsupported \
         value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\", ports[1].name: Duplicate value: \"\"]"
    );
    let mut errors = Errors::new();
    rules.validate_update(&wrong, &old, Part::Main, &mut errors);
    assert_eq!(errors.text(), "addressType: Invalid value: \"IPv6\": field is immutable");
    let mut many = old.clone();
    many["endpoints"] = vec![json!({ "addresses": ["10.1.1.1"] }); 1001].into();
    assert_eq!(problems(&many), "endpoints: Too many: 1001: must have at most 1000 items");
}
