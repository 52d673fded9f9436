// SPDX-License-Identifier: Apache-2.0
//! Books of a cluster that are kept apart from the engine and from the naive scheduler, and say of a placement what is wrong
//! with it: which hard rule it breaks, which capacity is exceeded.
//!
//! Covered: all filters of the default profile, of volumes those rules that are about claims with a volume. Not covered:
//! scores, nominated pods, claims that wait for their volume, attach limits, disks named in the pod.

use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels, NodeSelector, Operator, Requirement};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{
    HostPort, Pod, PodAffinityTerm, PodSpec, SpreadConstraint, Taint, TaintEffect,
};
use berth_scheduler_model::requests::Resources;
use berth_scheduler_model::volume::{PersistentVolume, PersistentVolumeClaim, PodVolume};
use std::collections::BTreeMap;

/// What is there, in plain lists.
#[derive(Debug, Default)]
pub struct Books {
    nodes: Vec<Node>,
    /// Pods that are bound, also those whose node is gone.
    pods: Vec<Pod>,
    namespaces: BTreeMap<Str, Labels>,
    volumes: BTreeMap<Str, PersistentVolume>,
    claims: BTreeMap<(Str, Str), PersistentVolumeClaim>,
}

impl Books {
    /// Takes in a change of the cluster.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Node(node) => {
                self.nodes.retain(|have| have.name != node.name);
                self.nodes.push((**node).clone());
            }
            Event::NodeGone(name) => self.nodes.retain(|have| have.name != *name),
            Event::Pod(pod) => {
                self.pods.retain(|have| have.uid != pod.uid);
                if pod.node.is_some() {
                    self.pods.push((**pod).clone());
                }
            }
            Event::PodGone { uid } => self.pods.retain(|have| have.uid != *uid),
            Event::Namespace(namespace) => {
                self.namespaces.insert(namespace.name.clone(), namespace.labels.clone());
            }
            Event::NamespaceGone(name) => drop(self.namespaces.remove(name)),
            Event::Volume(volume) => {
                self.volumes.insert(volume.name.clone(), (**volume).clone());
            }
            Event::VolumeGone(name) => drop(self.volumes.remove(name)),
            Event::Claim(claim) => {
                let key = (claim.namespace.clone(), claim.name.clone());
                self.claims.insert(key, (**claim).clone());
            }
            Event::ClaimGone { namespace, name } => {
                self.claims.remove(&(namespace.clone(), name.clone()));
            }
            _ => {}
        }
    }

    /// Names of all nodes.
    pub fn node_names(&self) -> impl Iterator<Item = &Str> {
        self.nodes.iter().map(|node| &node.name)
    }

    /// Nodes that are used beyond what they have, and how.
    #[must_use]
    pub fn overcommitted(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for node in &self.nodes {
            let here: Vec<&Pod> = self.on(&node.name).collect();
            if count(here.len()) > node.pods {
                wrong.push(format!("{}: {} pods of {}", node.name, here.len(), node.pods));
            }
            for (name, used) in used(&here) {
                let all = amount(&node.allocatable, &name);
                if used > all {
                    wrong.push(format!("{}: {used} {name} of {all}", node.name));
                }
            }
            for (at, pod) in here.iter().enumerate() {
                let others = here[at + 1..].iter().flat_map(|other| &other.spec.host_ports);
                let mut twice =
                    others.filter(|port| pod.spec.host_ports.iter().any(|p| same_port(p, port)));
                if let Some(port) = twice.next() {
                    wrong.push(format!("{}: port {} twice", node.name, port.port));
                }
            }
        }
        wrong
    }

    /// Which rules a pod would break on a node.
    #[must_use]
    pub fn objections(&self, pod: &Pod, name: &str) -> Vec<&'static str> {
        let Some(node) = self.nodes.iter().find(|node| *node.name == *name) else {
            return vec!["no such node"];
        };
        let rules: [(&'static str, bool); 16] = [
            ("unsupported", pod.spec.unsupported.is_empty()),
            ("unschedulable", !node.unschedulable || tolerated(&pod.spec, &unschedulable())),
            ("node name", pod.spec.node_name.as_ref().is_none_or(|wish| *wish == node.name)),
            ("taints", tolerates_all(&pod.spec, node)),
            ("node affinity", allowed(&pod.spec, node)),
            ("ports", self.ports_are_free(pod, node)),
            ("places", count(self.on(&node.name).count()) < node.pods),
            ("resources", self.resources_suffice(pod, node)),
            ("claims", self.claims_are_well(pod)),
            ("claims for one pod", self.claims_are_unshared(pod)),
            ("reach of volumes", self.volumes_reach(pod, node)),
            ("zones of volumes", self.zones_match(pod, node)),
            ("spread", self.is_spread(pod, node)),
            ("affinity", self.is_near(pod, node)),
            ("anti-affinity", self.is_far(pod, node)),
            ("features", pod.spec.needs_features.iter().all(|f| node.features.contains(f))),
        ];
        rules.into_iter().filter(|(_, holds)| !holds).map(|(rule, _)| rule).collect()
    }

    fn on<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().filter(move |pod| pod.node.as_deref() == Some(name))
    }

    /// Pods on nodes that are there, with their nodes.
    fn placed(&self) -> impl Iterator<Item = (&Pod, &Node)> {
        self.nodes.iter().flat_map(|node| self.on(&node.name).map(move |pod| (pod, node)))
    }

    fn ports_are_free(&self, pod: &Pod, node: &Node) -> bool {
        let mut used = self.on(&node.name).flat_map(|other| &other.spec.host_ports);
        !used.any(|port| pod.spec.host_ports.iter().any(|wanted| same_port(wanted, port)))
    }

    fn resources_suffice(&self, pod: &Pod, node: &Node) -> bool {
        let mut here: Vec<&Pod> = self.on(&node.name).collect();
        here.push(pod);
        let with = used(&here);
        let asked = used(&[pod]);
        asked
            .iter()
            .all(|(name, asked)| *asked == 0 || with[name] <= amount(&node.allocatable, name))
    }

    fn named_claims(&self, pod: &Pod) -> Vec<Option<&PersistentVolumeClaim>> {
        let names = pod.spec.volumes.iter().filter_map(|volume| match volume {
            PodVolume::Claim { name, .. } => Some(name),
            _ => None,
        });
        names.map(|name| self.claims.get(&(pod.namespace.clone(), name.clone()))).collect()
    }

    fn volumes_of(&self, pod: &Pod) -> impl Iterator<Item = &PersistentVolume> {
        let claims = self.named_claims(pod).into_iter().flatten();
        claims.filter_map(|claim| self.volumes.get(claim.volume.as_ref()?))
    }

    fn claims_are_well(&self, pod: &Pod) -> bool {
        self.named_claims(pod).into_iter().all(|claim| {
            let usable = claim.filter(|c| !c.lost && !c.terminating && c.bind_completed);
            usable.and_then(|c| c.volume.as_ref()).is_some_and(|v| self.volumes.contains_key(v))
        })
    }

    fn claims_are_unshared(&self, pod: &Pod) -> bool {
        let claims = self.named_claims(pod).into_iter().flatten();
        let mut for_one = claims.filter(|claim| claim.access.read_write_once_pod);
        for_one.all(|claim| {
            let uses = |volume: &PodVolume| {
                matches!(volume, PodVolume::Claim { name, .. } if *name == claim.name)
            };
            let user = |other: &Pod| {
                other.namespace == pod.namespace && other.spec.volumes.iter().any(uses)
            };
            !self.placed().any(|(other, _)| user(other))
        })
    }

    fn volumes_reach(&self, pod: &Pod, node: &Node) -> bool {
        self.volumes_of(pod).all(|volume| {
            volume
                .node_affinity
                .as_ref()
                .is_none_or(|selector| selects_node(selector, "", &node.labels))
        })
    }

    fn zones_match(&self, pod: &Pod, node: &Node) -> bool {
        let topologies = ["zone", "region"];
        let beta = |topology: &str| format!("failure-domain.beta.kubernetes.io/{topology}");
        let stable = |topology: &str| format!("topology.kubernetes.io/{topology}");
        let labelled = topologies.iter().any(|topology| {
            node.labels.get(&beta(topology)).is_some()
                || node.labels.get(&stable(topology)).is_some()
        });
        !labelled
            || self.volumes_of(pod).all(|volume| {
                topologies.iter().all(|topology| {
                    let mut of_volume =
                        [(beta(topology), true), (stable(topology), false)].into_iter().filter_map(
                            |(key, old)| Some((volume.labels.get(&key)?.clone(), key, old)),
                        );
                    of_volume.all(|(value, key, old)| {
                        let here = node.labels.get(&key);
                        let here = if old {
                            here.or_else(|| node.labels.get(&stable(topology)))
                        } else {
                            here
                        };
                        here.is_some_and(|here| {
                            value.split("__").any(|zone| *zone.trim() == **here)
                        })
                    })
                })
            })
    }

    fn is_spread(&self, pod: &Pod, node: &Node) -> bool {
        let hard: Vec<&SpreadConstraint> = pod.spec.spread.iter().filter(|c| c.hard).collect();
        hard.iter().all(|constraint| {
            let Some(here) = node.labels.get(&constraint.topology_key) else { return false };
            let selector = with_keys(constraint, &pod.spec.labels);
            let wanted = |other: &Pod| {
                other.namespace == pod.namespace
                    && !other.terminating
                    && selector.as_ref().is_some_and(|s| !s.requirements.is_empty())
                    && selects(selector.as_ref(), &other.spec.labels)
            };
            // Domains are those of nodes that have all the keys, and that the policies let count.
            let mut domains: BTreeMap<&Str, i64> = BTreeMap::new();
            for other in &self.nodes {
                let complete = hard.iter().all(|c| other.labels.get(&c.topology_key).is_some());
                let counts = (!constraint.honor_affinity || allowed(&pod.spec, other))
                    && (!constraint.honor_taints || tolerates_all(&pod.spec, other));
                if let Some(value) = other.labels.get(&constraint.topology_key)
                    && complete
                    && counts
                {
                    let pods = count(self.on(&other.name).filter(|pod| wanted(pod)).count());
                    *domains.entry(value).or_default() += pods;
                }
            }
            let few = count(domains.len()) < i64::from(constraint.min_domains.unwrap_or(1));
            let least = if few { 0 } else { domains.values().copied().min().unwrap_or(0) };
            let own = i64::from(selects(selector.as_ref(), &pod.spec.labels));
            let there = domains.get(here).copied().unwrap_or(0);
            there + own - least <= i64::from(constraint.max_skew)
        })
    }

    fn is_near(&self, pod: &Pod, node: &Node) -> bool {
        let terms = &pod.spec.affinity_required;
        let fits = |other: &Pod| terms.iter().all(|term| self.own_term_means(term, other));
        let labelled = terms.iter().all(|term| node.labels.get(&term.topology_key).is_some());
        let near = |term: &PodAffinityTerm| {
            self.placed().any(|(other, there)| fits(other) && together(term, node, there))
        };
        // The first of its kind may go anywhere.
        let nobody = || {
            let counts =
                |there: &Node| terms.iter().any(|t| there.labels.get(&t.topology_key).is_some());
            fits(pod) && !self.placed().any(|(other, there)| fits(other) && counts(there))
        };
        terms.is_empty() || (labelled && (terms.iter().all(near) || nobody()))
    }

    fn is_far(&self, pod: &Pod, node: &Node) -> bool {
        let own = &pod.spec.anti_affinity_required;
        !self.placed().any(|(other, there)| {
            let theirs = &other.spec.anti_affinity_required;
            own.iter().any(|t| self.own_term_means(t, other) && together(t, node, there))
                || theirs.iter().any(|t| self.their_term_means(t, pod) && together(t, node, there))
        })
    }

    /// A term of the pod that is placed. v1.36 asks a namespace selector of no labels at all too.
    fn own_term_means(&self, term: &PodAffinityTerm, other: &Pod) -> bool {
        let none = Labels::default();
        let chosen = term.namespace_selector.as_ref().is_some_and(|selector| {
            let labels = self.namespaces.get(&other.namespace);
            selects(Some(selector), &none) || labels.is_some_and(|l| selects(Some(selector), l))
        });
        (chosen || term.namespaces.contains(&other.namespace))
            && selects(term.selector.as_ref(), &other.spec.labels)
    }

    /// A term of a pod that is there: a namespace that is not there has no labels.
    fn their_term_means(&self, term: &PodAffinityTerm, pod: &Pod) -> bool {
        let none = Labels::default();
        let labels = self.namespaces.get(&pod.namespace).unwrap_or(&none);
        let chosen = term.namespace_selector.as_ref().is_some_and(|s| selects(Some(s), labels));
        (chosen || term.namespaces.contains(&pod.namespace))
            && selects(term.selector.as_ref(), &pod.spec.labels)
    }
}

fn together(term: &PodAffinityTerm, one: &Node, other: &Node) -> bool {
    let value = |node: &Node| node.labels.get(&term.topology_key).cloned();
    value(one).is_some() && value(one) == value(other)
}

fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// Sums by resource.
fn used(pods: &[&Pod]) -> BTreeMap<Str, i64> {
    let mut sums = BTreeMap::new();
    for pod in pods {
        let plain = &pod.spec.requests.plain;
        let fixed = [("cpu", plain.cpu), ("memory", plain.memory), ("ephemeral", plain.ephemeral)];
        let fixed = fixed.map(|(name, amount)| (Str::from(name), amount));
        for (name, amount) in fixed.into_iter().chain(plain.scalars.iter().cloned()) {
            *sums.entry(name).or_default() += amount;
        }
    }
    sums
}

fn amount(resources: &Resources, name: &str) -> i64 {
    match name {
        "cpu" => resources.cpu,
        "memory" => resources.memory,
        "ephemeral" => resources.ephemeral,
        _ => resources.scalars.iter().find(|(have, _)| **have == *name).map_or(0, |(_, all)| *all),
    }
}

fn same_port(one: &HostPort, other: &HostPort) -> bool {
    let all = |port: &HostPort| port.ip.is_empty() || *port.ip == *"0.0.0.0";
    (one.protocol, one.port) == (other.protocol, other.port)
        && (all(one) || all(other) || one.ip == other.ip)
}

fn unschedulable() -> Taint {
    let key = Str::from("node.kubernetes.io/unschedulable");
    Taint { key, value: Str::from(""), effect: TaintEffect::NoSchedule }
}

fn tolerated(spec: &PodSpec, taint: &Taint) -> bool {
    spec.tolerations.iter().any(|toleration| {
        toleration.key.as_ref().is_none_or(|key| *key == taint.key)
            && toleration.value.as_ref().is_none_or(|value| *value == taint.value)
            && toleration.effect.is_none_or(|effect| effect == taint.effect)
    })
}

fn tolerates_all(spec: &PodSpec, node: &Node) -> bool {
    let soft = TaintEffect::PreferNoSchedule;
    node.taints.iter().all(|taint| taint.effect == soft || tolerated(spec, taint))
}

fn allowed(spec: &PodSpec, node: &Node) -> bool {
    spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && spec
            .node_required
            .as_ref()
            .is_none_or(|selector| selects_node(selector, &node.name, &node.labels))
}

fn selects_node(selector: &NodeSelector, name: &str, labels: &Labels) -> bool {
    selector.terms.iter().any(|term| {
        let named = |r: &Requirement| holds(r, (*r.key == *"metadata.name").then_some(name));
        !(term.expressions.is_empty() && term.fields.is_empty())
            && term.expressions.iter().all(|r| holds(r, labels.get(&r.key).map(|v| &**v)))
            && term.fields.iter().all(named)
    })
}

fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_some_and(|selector| {
        selector.requirements.iter().all(|r| holds(r, labels.get(&r.key).map(|v| &**v)))
    })
}

fn holds(requirement: &Requirement, value: Option<&str>) -> bool {
    let listed = value.is_some_and(|value| requirement.values.iter().any(|v| **v == *value));
    let numbers = || Some((value?.parse::<i64>().ok()?, requirement.values.first()?.parse().ok()?));
    match requirement.operator {
        Operator::In => listed,
        Operator::NotIn => !listed,
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
        Operator::Gt => numbers().is_some_and(|(have, bound)| have > bound),
        Operator::Lt => numbers().is_some_and(|(have, bound)| have < bound),
    }
}

fn with_keys(constraint: &SpreadConstraint, labels: &Labels) -> Option<LabelSelector> {
    let mut selector = constraint.selector.clone();
    for key in &constraint.match_label_keys {
        if let Some(value) = labels.get(key) {
            let (key, operator) = (key.clone(), Operator::In);
            let requirement = Requirement { key, operator, values: vec![value.clone()] };
            selector.get_or_insert_default().requirements.push(requirement);
        }
    }
    selector
}
