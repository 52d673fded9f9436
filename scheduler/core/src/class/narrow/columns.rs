// SPDX-License-Identifier: Apache-2.0
//! Capacities and usage of nodes as fixed-point fractions of 16 bits, and the kernel over them.
//!
//! How far a number may be off is worked out in [`words_of`]. Nodes to which the reasoning does not apply (no CPU, more used than
//! there is, smaller than the reference) are marked, so that they are computed exactly each time.

#[cfg(test)]
mod tests;

use crate::nodes::{Nodes, split};
use crate::vector::{Vector, dispatch};
use crate::{BLOCK, Slot};

/// One hundredth in fixed point, of capacity that is free.
const POINT: u16 = 512;
/// All of a node's capacity, in hundredths.
const ALL_FREE: u16 = 100 * POINT;
/// All of a node's capacity, in halves of hundredths: two of them differ by at most what a balance of 100 to 0 does.
const ALL_USED: u16 = 50 * POINT;
/// As usage: nothing fits.
const NEVER: u16 = 2 * ALL_USED;
/// Where the reference divided by a capacity has its one.
const INVERSE: f64 = 65_536.0;
/// Far above what doubles are off by, and far below what counts here: what is rounded down is never above the true number.
const GUARD: f64 = 1e-6;
/// What a new reference leaves free for nodes that are smaller still.
const SPARE: f64 = 0.9;

/// Bits of marks in a word, below the bound of the score.
pub(super) const MARKS: u32 = 2;
/// The score may be lower than the bound.
pub(super) const UNSURE: u16 = 1;
/// The requests may not fit; or nothing is known.
pub(super) const MAYBE: u16 = 2;

/// Capacities that others are told in terms of. No node that is computed here has less.
#[derive(Debug, Default)]
pub(super) struct Reference {
    cpu: f64,
    memory: f64,
}

impl Reference {
    /// Chooses those of the smallest nodes.
    pub(super) fn choose(&mut self, nodes: &Nodes) {
        let (mut cpu, mut memory) = (f64::MAX, f64::MAX);
        for block in &nodes.blocks {
            for i in (0..BLOCK).filter(|i| (block.live & !block.odd) >> i & 1 != 0) {
                cpu = cpu.min(block.cpu[i]);
                memory = memory.min(block.memory[i]);
            }
        }
        let smaller = cpu < self.cpu || memory < self.memory;
        let share = if smaller { SPARE } else { 1.0 };
        *self = Self { cpu: cpu * share, memory: memory * share };
    }

    /// Requests (CPU and memory as scoring assumes them, then as filtered) in these terms; `None` if they are larger than the
    /// smallest node by too much.
    pub(super) fn request(&self, amounts: [f64; 4]) -> Option<Request> {
        let [cpu, memory, cpu_booked, memory_booked] = amounts;
        Some(Request {
            cpu: narrow(cpu / self.cpu * f64::from(ALL_FREE))?,
            memory: narrow(memory / self.memory * f64::from(ALL_FREE))?,
            cpu_booked: narrow(cpu_booked / self.cpu * f64::from(ALL_USED))?,
            memory_booked: narrow(memory_booked / self.memory * f64::from(ALL_USED))?,
        })
    }
}

/// What a class requests, in terms of the reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    /// As scoring assumes, in `1 / ALL_FREE`.
    cpu: u16,
    memory: u16,
    /// As filtered, in `1 / ALL_USED`.
    cpu_booked: u16,
    memory_booked: u16,
}

/// 64 nodes.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Columns {
    /// Allocatable less what is assumed to be used, in `1 / ALL_FREE`; rounded down, like all others.
    cpu_free: [u16; BLOCK],
    memory_free: [u16; BLOCK],
    /// Requested, in `1 / ALL_USED`.
    cpu_used: [u16; BLOCK],
    memory_used: [u16; BLOCK],
    /// The reference capacity divided by the node's, in `1 / INVERSE`.
    cpu_inverse: [u16; BLOCK],
    memory_inverse: [u16; BLOCK],
    /// Balance as it is, exact.
    balance: [u16; BLOCK],
}

/// How a node was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// It is smaller than the reference, and computed exactly until there is another one.
    Small,
}

impl Columns {
    pub(super) const EMPTY: Self = Self {
        cpu_free: [0; BLOCK],
        memory_free: [0; BLOCK],
        cpu_used: [NEVER; BLOCK],
        memory_used: [0; BLOCK],
        cpu_inverse: [0; BLOCK],
        memory_inverse: [0; BLOCK],
        balance: [0; BLOCK],
    };

    /// There is no node.
    pub(super) fn clear(&mut self, i: usize) {
        self.cpu_used[i] = NEVER;
        self.memory_used[i] = 0;
        self.cpu_inverse[i] = 0;
        self.memory_inverse[i] = 0;
    }

    /// A node's numbers are now these.
    pub(super) fn take(
        &mut self,
        i: usize,
        reference: &Reference,
        nodes: &Nodes,
        slot: Slot,
    ) -> Taken {
        let (block, at) = split(slot);
        let block = &nodes.blocks[block];
        self.clear(i);
        if block.places[at] < 1 {
            return Taken::Yes;
        }
        let over = block.cpu_used[at] > block.cpu[at] || block.memory_used[at] > block.memory[at];
        let odd = block.odd >> at & 1 != 0 || over;
        let small = block.cpu[at] < reference.cpu || block.memory[at] < reference.memory;
        if odd || small {
            // Whatever is added to it.
            self.cpu_used[i] = ALL_USED;
            return if odd { Taken::Yes } else { Taken::Small };
        }
        let (cpu, memory) = (block.cpu_percent[at] / 100.0, block.memory_percent[at] / 100.0);
        let cpu_free = (block.cpu[at] - block.cpu_assumed[at]) * cpu;
        let memory_free = (block.memory[at] - block.memory_assumed[at]) * memory;
        self.cpu_free[i] = fixed(cpu_free * f64::from(ALL_FREE), ALL_FREE);
        self.memory_free[i] = fixed(memory_free * f64::from(ALL_FREE), ALL_FREE);
        self.cpu_used[i] = fixed(block.cpu_used[at] * cpu * f64::from(ALL_USED), ALL_USED);
        self.memory_used[i] = fixed(block.memory_used[at] * memory * f64::from(ALL_USED), ALL_USED);
        self.cpu_inverse[i] = fixed(reference.cpu * cpu * INVERSE, u16::MAX);
        self.memory_inverse[i] = fixed(reference.memory * memory * INVERSE, u16::MAX);
        self.balance[i] = u16::try_from(block.balance[at]).expect("0..=100");
        Taken::Yes
    }
}

/// A number that is not negative, rounded down, at most `max`.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off at both ends")]
fn fixed(x: f64, max: u16) -> u16 {
    (x - GUARD).clamp(0.0, f64::from(max)) as u16
}

/// The same; `None` if it is too large for 16 bits.
fn narrow(x: f64) -> Option<u16> {
    (x < 65_536.0).then(|| fixed(x, u16::MAX))
}

/// What a look at all nodes has found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The largest word.
    pub(super) best: u16,
    /// Words that are not 0.
    pub(super) fitting: u32,
    /// Of some nodes it is not known whether the requests fit.
    pub(super) maybe: bool,
}

/// The upper 16 bits of a product.
#[inline(always)]
fn share(inverse: u16, amount: u16) -> u16 {
    ((u32::from(inverse) * u32::from(amount)) >> 16) as u16
}

/// The words of a block: bound of the local score plus one, and marks; 0 for nodes that are out.
///
/// Each column is below what it stands for by 1 and [`GUARD`] at most, and never above it. A product of two of them, `share`, is
/// below the true one by a little more than 3 at most: by `(inverse + amount) / 65536 <= 2` and the cut. So with
/// `d = free - share` the true level, rounded down, lies in `d - 4 ..= d + 1`, and with `s = used + share` the true usage in
/// `s ..= s + 5`, a difference of two of them 5 to either side, and 1 more since upstream rounds the balance as a double.
#[inline(always)]
fn words_of(c: &Columns, r: Request, words: &mut [u16; BLOCK], sums: &mut Sums) {
    for (i, word) in words.iter_mut().enumerate() {
        let cpu = c.cpu_free[i].saturating_sub(share(c.cpu_inverse[i], r.cpu)) + 1;
        let memory = c.memory_free[i].saturating_sub(share(c.memory_inverse[i], r.memory)) + 1;
        let levels = (cpu / POINT + memory / POINT) >> 1;

        let cpu_used = c.cpu_used[i].saturating_add(share(c.cpu_inverse[i], r.cpu_booked));
        let memory_used =
            c.memory_used[i].saturating_add(share(c.memory_inverse[i], r.memory_booked));
        let used = cpu_used.max(memory_used);
        let balance = ALL_FREE.saturating_sub(used - cpu_used.min(memory_used)) + 6;
        // At most 100; never negative.
        let with = balance.min(ALL_FREE) / POINT;
        let balanced = (150 + with - c.balance[i]) >> 1;

        let near = (cpu % POINT).min(memory % POINT) < 6 || balance % POINT < 12;
        let maybe = used > ALL_USED - 5;
        let marked = (levels + balanced + 1) << MARKS | u16::from(near) | u16::from(maybe) << 1;
        *word = if used > ALL_USED + 1 { 0 } else { marked };
        sums.best[i] = sums.best[i].max(*word);
        sums.fitting[i] += u16::from(*word != 0);
        sums.marks[i] |= *word;
    }
}

/// One for each place in a block, so that nothing is added up across a register before the end.
struct Sums {
    best: [u16; BLOCK],
    fitting: [u16; BLOCK],
    marks: [u16; BLOCK],
}

#[inline(always)]
fn words(columns: &[Columns], request: Request, words: &mut [[u16; BLOCK]]) -> Found {
    let mut sums = Sums { best: [0; BLOCK], fitting: [0; BLOCK], marks: [0; BLOCK] };
    for (columns, words) in columns.iter().zip(words) {
        words_of(columns, request, words, &mut sums);
    }
    Found {
        best: sums.best.iter().copied().fold(0, u16::max),
        fitting: sums.fitting.iter().map(|fitting| u32::from(*fitting)).sum(),
        maybe: sums.marks.iter().fold(0, |all, marks| all | marks) & MAYBE != 0,
    }
}

dispatch! {
    fn words_fast(columns: &[Columns], request: Request, all: &mut [[u16; BLOCK]]) -> Found = words;
}

/// The words of all nodes.
pub(super) fn all_words(
    vector: Vector,
    columns: &[Columns],
    request: Request,
    words: &mut [[u16; BLOCK]],
) -> Found {
    words_fast(vector, columns, request, words)
}
