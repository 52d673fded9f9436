// SPDX-License-Identifier: Apache-2.0
//! What is left on each node, and where it lies.

use super::labels::{Traits, value};
use super::violation::Rule;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::{HostPort, PodSpec};
use hashbrown::HashMap;
use std::fmt::Write;

/// Index of a node.
pub type NodeIx = u32;

/// No domain: the node lacks the label.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What is left of a node. One cache line holds two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Milli-CPU.
    pub cpu: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of ephemeral storage.
    pub ephemeral: i64,
    /// Pods.
    pub pods: i64,
}

/// What a pod takes of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Needs {
    room: Room,
    /// Extended resources: index and amount.
    extended: Vec<(u32, i64)>,
    ports: Vec<HostPort>,
}

/// Nodes by the value of one label.
#[derive(Debug)]
pub(super) struct Column {
    key: Str,
    /// Domain of each node.
    pub(super) domain: Vec<u32>,
    /// The value of each domain.
    pub(super) values: Vec<Str>,
}

/// The nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    by_name: HashMap<Str, NodeIx, foldhash::fast::FixedState>,
    pub(super) traits: Vec<Traits>,
    pub(super) room: Vec<Room>,
    capacity: Vec<Room>,
    /// Names of extended resources.
    extended_names: Vec<Str>,
    /// What is left of them: a row a node.
    extended: Vec<i64>,
    /// Ports in use, where there are any.
    ports: HashMap<NodeIx, Vec<HostPort>, foldhash::fast::FixedState>,
    columns: Vec<Column>,
    /// Whether no node has a taint or is closed.
    pub(super) plain: bool,
}

impl Nodes {
    pub(super) fn new(nodes: &[Node]) -> Self {
        let mut extended_names: Vec<Str> = Vec::new();
        for (name, _) in nodes.iter().flat_map(|node| &node.allocatable.scalars) {
            if !extended_names.contains(name) {
                extended_names.push(name.clone());
            }
        }
        let room: Vec<Room> = nodes.iter().map(room_of).collect();
        let amount = |node: &Node, name: &Str| node.allocatable.scalar(name);
        let extended = nodes.iter().flat_map(|n| extended_names.iter().map(move |e| amount(n, e)));
        Self {
            by_name: (0..).zip(nodes).map(|(ix, node)| (node.name.clone(), ix)).collect(),
            traits: nodes.iter().map(traits_of).collect(),
            capacity: room.clone(),
            room,
            extended: extended.collect(),
            extended_names,
            ports: HashMap::default(),
            columns: Vec::new(),
            plain: nodes.iter().all(|node| node.taints.is_empty() && !node.unschedulable),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.room.len()
    }

    pub(super) fn indices(&self) -> std::ops::Range<NodeIx> {
        0..NodeIx::try_from(self.len()).expect("fewer nodes than 2^32")
    }

    pub(super) fn find(&self, name: &str) -> Option<NodeIx> {
        self.by_name.get(name).copied()
    }

    pub(super) fn capacity(&self, node: NodeIx) -> Room {
        self.capacity[node as usize]
    }

    /// The index of a label's column.
    pub(super) fn column(&mut self, key: &Str) -> usize {
        if let Some(at) = self.columns.iter().position(|column| column.key == *key) {
            return at;
        }
        let mut ids: HashMap<Str, u32, foldhash::fast::FixedState> = HashMap::default();
        let mut values = Vec::new();
        let mut domain = Vec::with_capacity(self.len());
        for traits in &self.traits {
            let id = value(&traits.labels, key).map_or(NOWHERE, |value| {
                let value = Str::from(value);
                *ids.entry(value.clone()).or_insert_with(|| {
                    values.push(value);
                    u32::try_from(values.len() - 1).expect("no more domains than nodes")
                })
            });
            domain.push(id);
        }
        self.columns.push(Column { key: key.clone(), domain, values });
        self.columns.len() - 1
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What a pod takes. `None`: it wants an extended resource that no node has.
    pub(super) fn needs(&self, spec: &PodSpec) -> Option<Needs> {
        let plain = &spec.requests.plain;
        let index = |name: &Str| self.extended_names.iter().position(|have| have == name);
        let mut extended = Vec::new();
        for (name, amount) in &plain.scalars {
            if *amount > 0 {
                let index = u32::try_from(index(name)?).expect("few resources");
                extended.push((index, *amount));
            }
        }
        let room =
            Room { cpu: plain.cpu, memory: plain.memory, ephemeral: plain.ephemeral, pods: 1 };
        Some(Needs { room, extended, ports: spec.host_ports.clone() })
    }

    /// Whether the node has room; the rule that is broken if not.
    #[inline]
    pub(super) fn fits(&self, node: NodeIx, needs: &Needs) -> Result<(), Rule> {
        let (room, need) = (&self.room[node as usize], &needs.room);
        // A pod that wants none of a resource may come to a node that has none left.
        let lacks = |left: i64, want: i64| want > 0 && left < want;
        if lacks(room.cpu, need.cpu) {
            return Err(Rule::Cpu);
        }
        if lacks(room.memory, need.memory) {
            return Err(Rule::Memory);
        }
        if lacks(room.ephemeral, need.ephemeral) {
            return Err(Rule::Ephemeral);
        }
        if lacks(room.pods, need.pods) {
            return Err(Rule::Pods);
        }
        for (index, amount) in &needs.extended {
            if self.extended[self.place(node, *index)] < *amount {
                return Err(Rule::Extended);
            }
        }
        if !needs.ports.is_empty() {
            let used = self.ports.get(&node).map_or(&[][..], Vec::as_slice);
            if needs.ports.iter().any(|port| used.iter().any(|other| clash(port, other))) {
                return Err(Rule::Ports);
            }
        }
        Ok(())
    }

    /// Takes the room, or gives it back.
    #[inline]
    pub(super) fn book(&mut self, node: NodeIx, needs: &Needs, take: bool) {
        let sign = if take { -1 } else { 1 };
        let room = &mut self.room[node as usize];
        room.cpu += sign * needs.room.cpu;
        room.memory += sign * needs.room.memory;
        room.ephemeral += sign * needs.room.ephemeral;
        room.pods += sign;
        for (index, amount) in &needs.extended {
            let place = self.place(node, *index);
            self.extended[place] += sign * amount;
        }
        if !needs.ports.is_empty() {
            self.book_ports(node, &needs.ports, take);
        }
    }

    fn book_ports(&mut self, node: NodeIx, ports: &[HostPort], take: bool) {
        let used = self.ports.entry(node).or_default();
        for port in ports {
            if take {
                used.push(port.clone());
            } else if let Some(at) = used.iter().position(|other| other == port) {
                used.swap_remove(at);
            }
        }
    }

    fn place(&self, node: NodeIx, index: u32) -> usize {
        node as usize * self.extended_names.len() + index as usize
    }

    /// What is left, in words.
    pub(super) fn tell(&self, node: NodeIx) -> String {
        let Room { cpu, memory, ephemeral, pods } = self.room[node as usize];
        let mut text = format!(
            "{} has {cpu}m CPU, {memory} B memory, {ephemeral} B ephemeral storage, {pods} pods left",
            self.traits[node as usize].name
        );
        for (index, name) in (0..).zip(&self.extended_names) {
            let left = self.extended[self.place(node, index)];
            let _ = write!(text, ", {left} {name}");
        }
        text
    }
}

/// Whether two ports cannot be on one host: the same number and protocol, on the same address or on all of them.
fn clash(a: &HostPort, b: &HostPort) -> bool {
    let all = |port: &HostPort| port.ip.is_empty() || &*port.ip == "0.0.0.0";
    (a.port, a.protocol) == (b.port, b.protocol) && (all(a) || all(b) || a.ip == b.ip)
}

fn room_of(node: &Node) -> Room {
    let amounts = &node.allocatable;
    Room { cpu: amounts.cpu, memory: amounts.memory, ephemeral: amounts.ephemeral, pods: node.pods }
}

fn traits_of(node: &Node) -> Traits {
    Traits {
        name: node.name.clone(),
        labels: node.labels.clone(),
        taints: node.taints.clone(),
        unschedulable: node.unschedulable,
    }
}
