// SPDX-License-Identifier: Apache-2.0
//! A number that stands for all decisions of a run: who makes a bench faster by deciding otherwise changes it.

/// Folds decisions into one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(u64);

impl Digest {
    /// Takes in one number.
    #[inline]
    pub fn add(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// What became of all of them.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}
