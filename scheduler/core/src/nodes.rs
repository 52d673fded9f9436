// SPDX-License-Identifier: Apache-2.0
//! The node table: capacity and usage of every node in columns, 64 nodes to a block, and what is rarely read beside it.
//!
//! A node's place is its slot; slots of deleted nodes are reused. Ties are not broken by slots but by `tie`, see [`crate::ties`].

use crate::hash::{Hasher, Table};
use crate::intern::Interner;
use crate::math;
use crate::pods::PodIx;
use crate::{BLOCK, Slot};
use alloc::boxed::Box;
use alloc::vec::Vec;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::{HostPort, Taint};
use berth_scheduler_model::requests::Requests;

/// The columns that every decision reads, for `N` nodes. Amounts are whole numbers below 2^53, exact as doubles.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Columns<const N: usize> {
    /// Allocatable milli-CPU; 1 where there is none (see [`Block::odd`]) or no node, so that it can be divided by.
    pub(crate) cpu: [f64; N],
    /// Allocatable bytes of memory; likewise.
    pub(crate) memory: [f64; N],
    /// 100 divided by `cpu`: a product takes a fraction of the time that a quotient does.
    pub(crate) cpu_percent: [f64; N],
    /// 100 divided by `memory`.
    pub(crate) memory_percent: [f64; N],
    /// Requested milli-CPU.
    pub(crate) cpu_used: [f64; N],
    /// Requested bytes of memory.
    pub(crate) memory_used: [f64; N],
    /// Requested milli-CPU with defaults for containers that request none.
    pub(crate) cpu_assumed: [f64; N],
    /// Requested bytes of memory with defaults.
    pub(crate) memory_assumed: [f64; N],
    /// Places for pods that are left; below 1 nothing fits. A free slot has none.
    pub(crate) places: [i32; N],
    /// Balance of CPU and memory as it is, 0..=100 (the default resources of NodeResourcesBalancedAllocation).
    pub(crate) balance: [i32; N],
}

impl<const N: usize> Columns<N> {
    pub(crate) const EMPTY: Self = Self {
        cpu: [1.0; N],
        memory: [1.0; N],
        cpu_percent: [100.0; N],
        memory_percent: [100.0; N],
        cpu_used: [0.0; N],
        memory_used: [0.0; N],
        cpu_assumed: [0.0; N],
        memory_assumed: [0.0; N],
        places: [0; N],
        balance: [0; N],
    };

    fn set_capacity(&mut self, lane: usize, cpu: f64, memory: f64) {
        self.cpu[lane] = cpu;
        self.memory[lane] = memory;
        self.cpu_percent[lane] = 100.0 / cpu;
        self.memory_percent[lane] = 100.0 / memory;
    }

    /// Copies the columns of one node of a block.
    #[inline(always)]
    pub(crate) fn copy(&mut self, to: usize, block: &Block, from: usize) {
        self.cpu[to] = block.cpu[from];
        self.memory[to] = block.memory[from];
        self.cpu_percent[to] = block.cpu_percent[from];
        self.memory_percent[to] = block.memory_percent[from];
        self.cpu_used[to] = block.cpu_used[from];
        self.memory_used[to] = block.memory_used[from];
        self.cpu_assumed[to] = block.cpu_assumed[from];
        self.memory_assumed[to] = block.memory_assumed[from];
        self.places[to] = block.places[from];
        self.balance[to] = block.balance[from];
    }
}

/// Capacities up to this, 8 TiB of memory, are divided by through their inverse ([`crate::local`] says why that is exact).
pub(crate) const EVEN_MAX: i64 = 1 << 43;

/// 64 nodes.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    columns: Columns<BLOCK>,
    /// A bit for each node.
    pub(crate) live: u64,
    /// A bit for each node that has no CPU or no memory at all, or more than [`EVEN_MAX`]: other arithmetic holds for it.
    pub(crate) odd: u64,
}

impl core::ops::Deref for Block {
    type Target = Columns<BLOCK>;
    #[inline(always)]
    fn deref(&self) -> &Columns<BLOCK> {
        &self.columns
    }
}

impl core::ops::DerefMut for Block {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Columns<BLOCK> {
        &mut self.columns
    }
}

impl Block {
    pub(crate) const EMPTY: Self = Self { columns: Columns::EMPTY, live: 0, odd: 0 };

    /// Copies a node of another block, and whether it is odd.
    #[inline]
    pub(crate) fn copy_node(&mut self, to: usize, block: &Self, from: usize) {
        self.columns.copy(to, block, from);
        self.odd = self.odd & !(1 << to) | (block.odd >> from & 1) << to;
    }
}

/// More places than any node can use.
const PLACES_MAX: i64 = 1 << 30;

/// Amount of an extended resource on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) resource: u32,
    pub(crate) capacity: i64,
    pub(crate) used: i64,
}

/// A host port as numbers, and how many pods of the node use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedPort {
    pub(crate) port: CompactPort,
    pub(crate) users: u32,
}

/// A host port as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CompactPort {
    /// 0 stands for every address.
    pub(crate) address: u32,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

impl CompactPort {
    pub(crate) fn conflicts(self, other: Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == 0 || other.address == 0)
    }
}

/// What is read less often.
#[derive(Debug)]
pub(crate) struct NodeEntry {
    /// `None`: the slot is free.
    pub(crate) node: Option<Box<Node>>,
    pub(crate) first_pod: PodIx,
    pub(crate) pods: u32,
    pub(crate) ephemeral_used: i64,
    /// By resource.
    pub(crate) scalars: Vec<Scalar>,
    pub(crate) ports: Vec<UsedPort>,
    /// Pending pods that are nominated to it.
    pub(crate) nominees: Vec<PodIx>,
    /// Which set of taints it has (the unschedulable mark included).
    pub(crate) taint_set: u32,
    /// Hash that orders it among nodes of equal total.
    pub(crate) tie_hash: u64,
}

/// Taints and mark of a node; few distinct ones, so each rule looks at each of them once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TaintSet {
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) blocks: Vec<Block>,
    /// By slot: place in the tie order, 20 bits, lower goes first. See [`crate::ties`].
    pub(crate) tie: Vec<u32>,
    entries: Vec<NodeEntry>,
    by_name: Table<Slot>,
    hasher: Hasher,
    free: Vec<Slot>,
    live: u32,
    taint_sets: Vec<TaintSet>,
    addresses: Interner,
    seed: u64,
}

impl Nodes {
    pub(crate) fn new(hasher: Hasher, seed: u64) -> Self {
        let mut addresses = Interner::new(hasher.clone());
        addresses.intern("0.0.0.0");
        Self {
            blocks: Vec::new(),
            tie: Vec::new(),
            entries: Vec::new(),
            by_name: Table::new(),
            hasher,
            free: Vec::new(),
            live: 0,
            taint_sets: Vec::new(),
            addresses,
            seed,
        }
    }

    /// Number of nodes.
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Number of slots, free ones included: a multiple of 64.
    pub(crate) fn slots(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// The slot of the node of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Slot> {
        self.by_name.find(self.hasher.hash(name), |slot| self.name(*slot) == name).copied()
    }

    /// The entry of a slot.
    #[inline]
    pub(crate) fn entry(&self, slot: Slot) -> &NodeEntry {
        &self.entries[slot as usize]
    }

    /// The entry of a slot.
    #[inline]
    pub(crate) fn entry_mut(&mut self, slot: Slot) -> &mut NodeEntry {
        &mut self.entries[slot as usize]
    }

    /// The node in a slot that is in use.
    pub(crate) fn node(&self, slot: Slot) -> &Node {
        self.entries[slot as usize].node.as_ref().expect("the slot is in use")
    }

    /// The node in a slot, if there is one.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Node> {
        self.entries.get(slot as usize)?.node.as_deref()
    }

    fn name(&self, slot: Slot) -> &str {
        &self.node(slot).name
    }

    /// Slots in use, with their nodes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Node)> {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| Some((slot, entry.node.as_deref()?)))
    }

    /// A set of taints.
    pub(crate) fn taint_set(&self, id: u32) -> &TaintSet {
        &self.taint_sets[id as usize]
    }

    /// The tie order's hash of a node name.
    pub(crate) fn tie_hash(&self, name: &str) -> u64 {
        math::tie_hash(self.seed, name)
    }

    /// Takes a new node in, without pods. Its name must not be known.
    pub(crate) fn insert(&mut self, node: Box<Node>, resources: &mut Interner) -> Slot {
        let hash = self.hasher.hash(&*node.name);
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let tie_hash = self.tie_hash(&node.name);
        let entry = &mut self.entries[slot as usize];
        entry.tie_hash = tie_hash;
        entry.node = Some(node);
        self.live += 1;
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_name.insert_unique(hash, slot, |slot| {
            let node = entries[*slot as usize].node.as_ref().expect("listed slots are in use");
            hasher.hash(&*node.name)
        });
        self.take_fields(slot, resources);
        slot
    }

    /// Replaces the fields of a node; its pods stay.
    pub(crate) fn replace(&mut self, slot: Slot, node: Box<Node>, resources: &mut Interner) {
        self.entries[slot as usize].node = Some(node);
        self.take_fields(slot, resources);
    }

    /// Frees the slot of a node whose pods were taken off.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let hash = self.hasher.hash(self.name(slot));
        if let Ok(found) = self.by_name.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        let entry = &mut self.entries[slot as usize];
        debug_assert_eq!(entry.pods, 0, "pods are taken off before their node");
        entry.node = None;
        entry.scalars.clear();
        entry.ports.clear();
        entry.ephemeral_used = 0;
        self.live -= 1;
        self.free.push(slot);
        let (block, lane) = split(slot);
        let block = &mut self.blocks[block];
        block.set_capacity(lane, 1.0, 1.0);
        block.places[lane] = 0;
        block.balance[lane] = 0;
        block.live &= !(1 << lane);
        block.odd &= !(1 << lane);
    }

    fn grow(&mut self) -> Slot {
        let first = u32::try_from(self.slots()).expect("nodes are at most NODES_MAX");
        self.blocks.push(Block::EMPTY);
        self.tie.resize(self.slots(), 0);
        for _ in 0..BLOCK {
            self.entries.push(NodeEntry {
                node: None,
                first_pod: PodIx::NONE,
                pods: 0,
                ephemeral_used: 0,
                scalars: Vec::new(),
                ports: Vec::new(),
                nominees: Vec::new(),
                taint_set: 0,
                tie_hash: 0,
            });
        }
        let last = first + u32::try_from(BLOCK).expect("64") - 1;
        self.free.extend((first + 1..=last).rev());
        first
    }

    #[expect(clippy::cast_precision_loss, reason = "capacities are at most CAPACITY_MAX")]
    fn take_fields(&mut self, slot: Slot, resources: &mut Interner) {
        let entry = &mut self.entries[slot as usize];
        let node = entry.node.as_ref().expect("called with a node in place");
        let set = TaintSet { taints: node.taints.clone(), unschedulable: node.unschedulable };
        let at = self.taint_sets.iter().position(|s| *s == set).unwrap_or_else(|| {
            self.taint_sets.push(set);
            self.taint_sets.len() - 1
        });
        entry.taint_set = u32::try_from(at).expect("few sets of taints");
        for scalar in &mut entry.scalars {
            scalar.capacity = 0;
        }
        for (name, capacity) in &node.allocatable.scalars {
            let resource = resources.intern_str(name);
            scalar_mut(&mut entry.scalars, resource).capacity = *capacity;
        }
        let (block, lane) = split(slot);
        let block = &mut self.blocks[block];
        let (cpu, memory) = (node.allocatable.cpu, node.allocatable.memory);
        block.set_capacity(lane, cpu.max(1) as f64, memory.max(1) as f64);
        let places = node.pods.min(PLACES_MAX) - i64::from(entry.pods);
        block.places[lane] = i32::try_from(places).expect("limited on both sides");
        block.live |= 1 << lane;
        let odd = [cpu, memory].iter().any(|amount| !(1..=EVEN_MAX).contains(amount));
        block.odd = block.odd & !(1 << lane) | u64::from(odd) << lane;
        self.rebalance(slot);
    }

    /// A pod came onto (`1.0`) or went off (`-1.0`) a node: books its requests and ports.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "sums of requests are below 2^53")]
    pub(crate) fn book(&mut self, slot: Slot, usage: &Usage, came: bool) {
        let sign = if came { 1.0 } else { -1.0 };
        let (block, lane) = split(slot);
        let block = &mut self.blocks[block];
        block.cpu_used[lane] += sign * usage.cpu as f64;
        block.memory_used[lane] += sign * usage.memory as f64;
        block.cpu_assumed[lane] += sign * usage.cpu_booked as f64;
        block.memory_assumed[lane] += sign * usage.memory_booked as f64;
        block.places[lane] -= if came { 1 } else { -1 };
        let entry = &mut self.entries[slot as usize];
        if came {
            entry.pods += 1;
            entry.ephemeral_used += usage.ephemeral;
        } else {
            entry.pods -= 1;
            entry.ephemeral_used -= usage.ephemeral;
        }
        for (resource, amount) in &usage.scalars {
            let scalar = scalar_mut(&mut entry.scalars, *resource);
            scalar.used += if came { *amount } else { -*amount };
        }
        for port in &usage.ports {
            let found = entry.ports.iter().position(|used| used.port == *port);
            match (found, came) {
                (Some(at), true) => entry.ports[at].users += 1,
                (None, true) => entry.ports.push(UsedPort { port: *port, users: 1 }),
                (Some(at), false) => {
                    entry.ports[at].users -= 1;
                    if entry.ports[at].users == 0 {
                        entry.ports.swap_remove(at);
                    }
                }
                (None, false) => debug_assert!(false, "a port is given back that nobody had"),
            }
        }
        self.rebalance(slot);
    }

    fn rebalance(&mut self, slot: Slot) {
        let (block, lane) = split(slot);
        let block = &mut self.blocks[block];
        block.balance[lane] = crate::local::balance_now(block, lane);
    }

    /// A port as numbers.
    pub(crate) fn compact_port(&mut self, port: &HostPort) -> CompactPort {
        let address = if port.ip.is_empty() { 0 } else { self.addresses.intern(&port.ip) };
        CompactPort { address, protocol: port.protocol as u8, port: port.port }
    }

    /// Bytes held, without labels.
    pub(crate) fn resident(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
            + self.entries.capacity() * (size_of::<NodeEntry>() + size_of::<Node>())
    }
}

fn scalar_mut(scalars: &mut Vec<Scalar>, resource: u32) -> &mut Scalar {
    let at = match scalars.binary_search_by_key(&resource, |s| s.resource) {
        Ok(at) => at,
        Err(at) => {
            scalars.insert(at, Scalar { resource, capacity: 0, used: 0 });
            at
        }
    };
    &mut scalars[at]
}

/// The amounts of an extended resource on a node, zero where it has none.
pub(crate) fn scalar_of(entry: &NodeEntry, resource: u32) -> Scalar {
    match entry.scalars.binary_search_by_key(&resource, |s| s.resource) {
        Ok(at) => entry.scalars[at],
        Err(_) => Scalar { resource, capacity: 0, used: 0 },
    }
}

/// Block and lane of a slot.
#[inline]
pub(crate) fn split(slot: Slot) -> (usize, usize) {
    (slot as usize / BLOCK, slot as usize % BLOCK)
}

/// What a pod takes of its node, with names as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    /// What scoring assumes of the pod when it is the one to be placed.
    pub(crate) cpu_assumed: i64,
    pub(crate) memory_assumed: i64,
    /// What scoring assumes of it once it is on its node.
    pub(crate) cpu_booked: i64,
    pub(crate) memory_booked: i64,
    pub(crate) ephemeral: i64,
    /// By resource, zero amounts left out.
    pub(crate) scalars: Vec<(u32, i64)>,
    pub(crate) ports: Vec<CompactPort>,
}

impl Usage {
    pub(crate) fn new(requests: &Requests, resources: &mut Interner) -> Self {
        let mut scalars: Vec<(u32, i64)> = requests
            .plain
            .scalars
            .iter()
            .filter(|(_, amount)| *amount != 0)
            .map(|(name, amount)| (resources.intern_str(name), *amount))
            .collect();
        scalars.sort_unstable();
        Self {
            cpu: requests.plain.cpu,
            memory: requests.plain.memory,
            cpu_assumed: requests.non_zero_cpu,
            memory_assumed: requests.non_zero_memory,
            cpu_booked: requests.usage_cpu,
            memory_booked: requests.usage_memory,
            ephemeral: requests.plain.ephemeral,
            scalars,
            ports: Vec::new(),
        }
    }
}
