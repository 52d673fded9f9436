// SPDX-License-Identifier: Apache-2.0
//! Twenty thousand decisions at 5,000 nodes.
//!
//! Each decision about a *plain* class is compared with a brute force over columns, written here after upstream's formulas and
//! nothing else: chosen node, total, number of feasible nodes. Plain classes have requests, required and preferred node
//! affinity by one label, tolerations of one taint, the default spread of a Service, or hard spread over zones or nodes. Every
//! so often *any* class, also those with terms about other pods, is compared with the naive scheduler in all totals and
//! refusals; it takes its time.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small numbers, in formulas as upstream has them"
)]

use berth_scheduler_core::{Engine, Options, Outcome, PodId, tie_hash};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{Event, Group, GroupKind};
use berth_scheduler_model::pod::{
    Pod, PodAffinityTerm, PodSpec, SpreadConstraint, Taint, TaintEffect, Toleration,
};
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::requests::{Requests, Resources};
use berth_scheduler_model::rules::Plugin;
use berth_scheduler_reference::{Scheduler, ln};
use berth_scheduler_simulation::Rng;
use berth_scheduler_testkit::Oracle;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

const NODES: usize = 5_000;
const ZONES: usize = 5;
const PLAIN: usize = 60;
const RICH: usize = 12;
const DECISIONS: usize = 20_000;
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn text(text: &str) -> Str {
    Str::from(text)
}

/// What the brute force knows of a node.
#[derive(Clone)]
struct Row {
    name: String,
    tie: u64,
    capacity: [i64; 2],
    used: [i64; 2],
    places: i64,
    zone: usize,
    ssd: bool,
    /// Keeps pods away, or only would rather.
    taint: Option<bool>,
    /// Pods by app.
    apps: Vec<i64>,
}

/// What the brute force knows of a class.
#[derive(Clone, Default)]
struct Plain {
    app: usize,
    requests: [i64; 2],
    needs_ssd: bool,
    /// Weight.
    likes_ssd: i64,
    tolerates: bool,
    spread: Kind,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    None,
    Service,
    /// With the largest skew.
    Zones(i64),
    Nodes(i64),
}

fn requirement(key: &str, value: &str) -> Requirement {
    Requirement { key: text(key), operator: Operator::In, values: vec![text(value)] }
}

fn selector(key: &str, value: &str) -> LabelSelector {
    LabelSelector { requirements: vec![requirement(key, value)] }
}

fn ssd() -> NodeSelectorTerm {
    NodeSelectorTerm { expressions: vec![requirement("disk", "ssd")], fields: Vec::new() }
}

fn spec(labels: &[(&str, &str)], [cpu, memory]: [i64; 2]) -> PodSpec {
    PodSpec {
        labels: labels.iter().map(|(key, value)| (text(key), text(value))).collect(),
        requests: Requests {
            plain: Resources { cpu, memory, ..Resources::default() },
            non_zero_cpu: cpu,
            non_zero_memory: memory,
            usage_cpu: cpu,
            usage_memory: memory,
        },
        containers: 1,
        ..PodSpec::default()
    }
}

impl Plain {
    fn draw(app: usize, rng: &mut Rng) -> Self {
        let spread = match app % 6 {
            0 | 1 => Kind::Service,
            2 => Kind::Zones(rng.amount(1, 5)),
            3 => Kind::Nodes(rng.amount(1, 2)),
            _ => Kind::None,
        };
        Self {
            app,
            requests: [rng.amount(200, 5_000), rng.amount(200, 20_000) << 20],
            needs_ssd: rng.percent(25),
            likes_ssd: if rng.percent(40) { rng.amount(1, 100) } else { 0 },
            tolerates: rng.percent(30),
            spread,
        }
    }

    fn spec(&self) -> PodSpec {
        let app = format!("app-{}", self.app);
        let mut spec = spec(&[("app", &app)], self.requests);
        if self.needs_ssd {
            spec.node_required = Some(NodeSelector { terms: vec![ssd()] });
        }
        if self.likes_ssd > 0 {
            spec.node_preferred = vec![(i32::try_from(self.likes_ssd).expect("small"), ssd())];
        }
        if self.tolerates {
            spec.tolerations =
                vec![Toleration { key: Some(text("busy")), value: None, effect: None }];
        }
        let (key, skew) = match self.spread {
            Kind::Zones(skew) => (ZONE, skew),
            Kind::Nodes(skew) => (HOSTNAME, skew),
            _ => return spec,
        };
        spec.spread = vec![SpreadConstraint {
            max_skew: i32::try_from(skew).expect("small"),
            topology_key: text(key),
            hard: true,
            selector: Some(selector("app", &app)),
            min_domains: None,
            honor_affinity: true,
            honor_taints: false,
            match_label_keys: Vec::new(),
        }];
        spec
    }
}

/// A class with terms about other pods of its kind, which no plain pod meets.
fn rich(at: usize, rng: &mut Rng) -> PodSpec {
    let team = format!("team-{}", at % 4);
    let mut spec = spec(&[("team", &team)], [rng.amount(50, 400), rng.amount(50, 900) << 20]);
    let other = format!("team-{}", rng.below(4));
    let key = if rng.percent(50) { HOSTNAME } else { ZONE };
    let term = |team: &str, key: &str| PodAffinityTerm {
        selector: Some(selector("team", team)),
        namespaces: vec![text("default")],
        namespace_selector: None,
        topology_key: text(key),
    };
    match at % 4 {
        0 => spec.affinity_required = vec![term(&team, ZONE)],
        1 => spec.anti_affinity_required = vec![term(&team, HOSTNAME)],
        2 => spec.affinity_preferred = vec![(30, term(&other, key))],
        _ => spec.anti_affinity_preferred = vec![(70, term(&other, key))],
    }
    spec
}

impl Row {
    fn draw(at: usize, seed: u64, rng: &mut Rng) -> Self {
        let name = format!("node-{at:04}");
        let size = *rng.pick(&[1, 1, 2, 4]);
        Self {
            tie: tie_hash(seed, &name),
            name,
            capacity: [4_000 * size, size << 34],
            used: [0, 0],
            places: 110,
            zone: at % ZONES,
            ssd: rng.percent(40),
            taint: match rng.below(20) {
                0 => Some(true),
                1 | 2 => Some(false),
                _ => None,
            },
            apps: vec![0; PLAIN],
        }
    }

    fn node(&self) -> Node {
        let zone = format!("zone-{}", self.zone);
        let disk = if self.ssd { "ssd" } else { "hdd" };
        let labels = [(HOSTNAME, &*self.name), (ZONE, &zone), ("disk", disk)];
        let [cpu, memory] = self.capacity;
        Node {
            labels: labels
                .into_iter()
                .map(|(key, value)| (text(key), text(value)))
                .collect::<Labels>(),
            taints: self
                .taint
                .map(|hard| {
                    let effect =
                        if hard { TaintEffect::NoSchedule } else { TaintEffect::PreferNoSchedule };
                    Taint { key: text("busy"), value: text(""), effect }
                })
                .into_iter()
                .collect(),
            allocatable: Resources { cpu, memory, ..Resources::default() },
            pods: 110,
            ..Node::new(&self.name)
        }
    }

    fn book(&mut self, class: &Plain, rich: bool, sign: i64) {
        for (used, asked) in self.used.iter_mut().zip(class.requests) {
            *used += sign * asked;
        }
        self.places -= sign;
        if !rich {
            self.apps[class.app] += sign;
        }
    }
}

fn evenness(row: &Row, used: [i64; 2]) -> i64 {
    let part = |at: usize| (used[at] as f64 / row.capacity[at] as f64).min(1.0);
    ((1.0 - (part(0) - part(1)).abs() / 2.0) * 100.0) as i64
}

/// Total, place in the tie order, place among the rows: the greatest is best.
type Rank<'a> = (i64, Reverse<(u64, &'a str)>, usize);

/// The best node, its total, and the number of feasible ones.
fn decide(rows: &[Row], class: &Plain) -> Option<(usize, i64, usize)> {
    let allowed = |row: &Row| !class.needs_ssd || row.ssd;
    let in_zone = |zone: usize| -> i64 {
        rows.iter().filter(|r| r.zone == zone && allowed(r)).map(|r| r.apps[class.app]).sum()
    };
    let zones: Vec<i64> = (0..ZONES).map(in_zone).collect();
    let least = match class.spread {
        Kind::Zones(_) => zones.iter().copied().min().unwrap_or(0),
        Kind::Nodes(_) => {
            rows.iter().filter(|r| allowed(r)).map(|r| r.apps[class.app]).min().unwrap_or(0)
        }
        _ => 0,
    };
    let feasible: Vec<usize> = (0..rows.len())
        .filter(|at| {
            let row = &rows[*at];
            let fits = |at: usize| row.used[at] + class.requests[at] <= row.capacity[at];
            let spread = match class.spread {
                Kind::Zones(skew) => zones[row.zone] + 1 - least <= skew,
                Kind::Nodes(skew) => row.apps[class.app] + 1 - least <= skew,
                _ => true,
            };
            (row.taint != Some(true) || class.tolerates)
                && allowed(row)
                && fits(0)
                && fits(1)
                && row.places >= 1
                && spread
        })
        .collect();
    let soft = |row: &Row| i64::from(row.taint == Some(false) && !class.tolerates);
    let worst_taint = feasible.iter().map(|at| soft(&rows[*at])).max()?;
    let likes = |row: &Row| if row.ssd { class.likes_ssd } else { 0 };
    let most_liked = feasible.iter().map(|at| likes(&rows[*at])).max()?;
    let found_zones =
        (0..ZONES).filter(|zone| feasible.iter().any(|at| rows[*at].zone == *zone)).count();
    let (per_node, per_zone) = (ln(feasible.len() as f64 + 2.0), ln(found_zones as f64 + 2.0));
    let raw = |row: &Row| {
        let nodes = row.apps[class.app] as f64 * per_node + 2.0;
        (nodes + (zones[row.zone] as f64 * per_zone + 4.0)).round() as i64
    };
    let raws: Vec<i64> = feasible.iter().map(|at| raw(&rows[*at])).collect();
    let (low, high) = (raws.iter().copied().min()?, raws.iter().copied().max()?);
    let mut best: Option<Rank<'_>> = None;
    for (at, raw) in feasible.iter().zip(raws) {
        let row = &rows[*at];
        let with = [row.used[0] + class.requests[0], row.used[1] + class.requests[1]];
        let free = |at: usize| (row.capacity[at] - with[at]) * 100 / row.capacity[at];
        let mut total = i64::midpoint(free(0), free(1));
        total += 50 + (50 + evenness(row, with) - evenness(row, row.used)) / 2;
        total += 3 * if worst_taint == 0 { 100 } else { 100 - 100 * soft(row) / worst_taint };
        if class.likes_ssd > 0 && most_liked > 0 {
            total += 2 * (100 * likes(row) / most_liked);
        }
        if class.spread == Kind::Service {
            total += 2 * if high == 0 { 100 } else { 100 * (high + low - raw) / high };
        }
        let rank = (total, Reverse((row.tie, &*row.name)), *at);
        if best.as_ref().is_none_or(|best| rank > *best) {
            best = Some(rank);
        }
    }
    best.map(|(total, _, at)| (at, total, feasible.len()))
}

/// A pod that is placed.
struct There {
    uid: Str,
    node: usize,
    class: usize,
}

struct Cluster {
    rng: Rng,
    engine: Engine,
    reference: Scheduler,
    rows: Vec<Row>,
    plain: Vec<Plain>,
    specs: Vec<Arc<PodSpec>>,
    pods: Vec<There>,
    serial: usize,
    refused: usize,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rows: Vec<Row> = (0..NODES).map(|at| Row::draw(at, seed, &mut rng)).collect();
        let mut plain: Vec<Plain> = (0..PLAIN).map(|app| Plain::draw(app, &mut rng)).collect();
        let mut specs: Vec<PodSpec> = plain.iter().map(Plain::spec).collect();
        for at in 0..RICH {
            let spec = rich(at, &mut rng);
            let requests = [spec.requests.plain.cpu, spec.requests.plain.memory];
            plain.push(Plain { requests, ..Plain::default() });
            specs.push(spec);
        }
        let vector = berth_scheduler_host::vector();
        let engine = Engine::new(Options { seed, vector, ..Options::default() });
        let mut cluster = Self {
            rng,
            engine,
            reference: Scheduler::new(Profile::default()),
            rows,
            plain,
            specs: specs.into_iter().map(Arc::new).collect(),
            pods: Vec::new(),
            serial: 0,
            refused: 0,
        };
        for at in 0..NODES {
            cluster.apply(Event::Node(Box::new(cluster.rows[at].node())));
        }
        for class in cluster.plain.clone().iter().filter(|class| class.spread == Kind::Service) {
            let app = format!("app-{}", class.app);
            cluster.apply(Event::Group(Group {
                kind: GroupKind::Service,
                namespace: text("default"),
                name: text(&app),
                selector: Some(selector("app", &app)),
            }));
        }
        cluster
    }

    fn apply(&mut self, event: Event) {
        self.engine.apply(event.clone());
        self.reference.apply(event);
    }

    /// Places a pod of any class; one of a plain class must go where the brute force says.
    fn place(&mut self) {
        let class = self.rng.below(self.specs.len());
        self.serial += 1;
        let uid = format!("pod-{}", self.serial);
        let expected = (class < PLAIN).then(|| decide(&self.rows, &self.plain[class]));
        let id = PodId { uid: &uid, namespace: "default", name: &uid };
        let got = match self.engine.place(id, &self.specs[class]) {
            Outcome::Placed(placement) => {
                let name = self.engine.node_name(placement.node);
                let at = name.strip_prefix("node-").and_then(|at| at.parse().ok());
                let at: usize = at.expect("a name given here");
                Some((at, placement.total, placement.feasible as usize))
            }
            _ => None,
        };
        if let Some(expected) = expected {
            assert_eq!(got, expected, "pod {} of class {class}", self.serial);
        }
        let Some((node, ..)) = got else {
            self.refused += 1;
            return;
        };
        let pod = self.pod(&uid, class, Some(text(&self.rows[node].name)));
        self.reference.apply(Event::Pod(Box::new(pod)));
        self.rows[node].book(&self.plain[class], class >= PLAIN, 1);
        self.pods.push(There { uid: text(&uid), node, class });
    }

    fn pod(&self, uid: &str, class: usize, node: Option<Str>) -> Pod {
        Pod {
            uid: text(uid),
            namespace: text("default"),
            name: text(uid),
            spec: self.specs[class].clone(),
            node,
            nominated: None,
            started: None,
            terminating: false,
            preempted: false,
        }
    }

    fn release(&mut self) {
        let at = self.rng.below(self.pods.len());
        let There { uid, node, class } = self.pods.swap_remove(at);
        self.rows[node].book(&self.plain[class], class >= PLAIN, -1);
        self.apply(Event::PodGone { uid });
    }

    fn change_node(&mut self) {
        let at = self.rng.below(NODES);
        let row = &mut self.rows[at];
        match self.rng.below(3) {
            0 => row.ssd = !row.ssd,
            1 => row.taint = *self.rng.pick(&[None, None, Some(false), Some(true)]),
            _ => row.zone = self.rng.below(ZONES),
        }
        let node = row.node();
        self.apply(Event::Node(Box::new(node)));
    }

    /// Everything about a class, by the naive scheduler.
    fn compare_fully(&mut self) {
        let class = self.rng.below(self.specs.len());
        let pod = self.pod("ask", class, None);
        let survey = self.engine.survey(&pod);
        let named = |(slot, total): &(u32, i64)| (self.engine.node_name(*slot).clone(), *total);
        let totals: BTreeMap<Str, i64> = survey.totals.iter().map(named).collect();
        let counts = Plugin::ALL.into_iter().zip(survey.refusal.nodes);
        let counts: BTreeMap<Plugin, usize> =
            counts.filter(|(_, n)| *n > 0).map(|(plugin, n)| (plugin, n as usize)).collect();
        let decision = self.reference.decide(&pod);
        assert!(totals == decision.totals, "the totals of class {class}");
        assert_eq!(counts, decision.rejected_by, "the refusals of class {class}");
    }
}

#[test]
fn twenty_thousand_decisions_at_five_thousand_nodes() {
    let mut cluster = Cluster::new(7);
    let mut full = 0;
    for at in 0..DECISIONS {
        cluster.place();
        if at >= DECISIONS / 2 {
            cluster.release();
        }
        if at % 25 == 0 {
            cluster.change_node();
        }
        if at % 400 == 0 {
            cluster.compare_fully();
            full += 1;
        }
    }
    println!(
        "{DECISIONS} decisions, {} refusals, {} pods at the end, {full} full comparisons",
        cluster.refused,
        cluster.pods.len()
    );
}
