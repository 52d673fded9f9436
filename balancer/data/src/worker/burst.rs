// SPDX-License-Identifier: Apache-2.0
//! How many datagrams of a socket are asked for at once. Each that is asked for and not there costs: its header is written, and the
//! kernel looks for it in vain. What is left behind makes another event at once.

use crate::limits::DATAGRAMS_MAX;

/// So often in a row all that were asked for must have been there before more are.
const FULL: u8 = 4;

/// Of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Burst {
    most: u8,
    full: u8,
}

impl Burst {
    pub(super) const fn new() -> Self {
        Self { most: 1, full: 0 }
    }

    /// How many are asked for.
    pub(super) fn most(self) -> usize {
        usize::from(self.most)
    }

    /// So many of them were there.
    pub(super) fn got(&mut self, count: usize) {
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        if count < self.most {
            *self = Self { most: count.max(1), full: 0 };
            return;
        }
        self.full += 1;
        // Where few are asked for a vain look is dear; where many are, another call is.
        if self.full >= FULL || self.most > 1 {
            let most = usize::from(self.most) * 2;
            *self = Self { most: u8::try_from(most.min(DATAGRAMS_MAX)).unwrap_or(1), full: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_there_is() {
        let mut burst = Burst::new();
        (0..3).for_each(|_| burst.got(1));
        assert_eq!(burst.most(), 1);
        burst.got(1);
        assert_eq!(burst.most(), 2);
        (0..20).for_each(|_| burst.got(64));
        assert_eq!(burst.most(), DATAGRAMS_MAX);
        burst.got(17);
        assert_eq!(burst.most(), 17);
        burst.got(17);
        assert_eq!(burst.most(), 34);
        burst.got(0);
        assert_eq!(burst, Burst::new());
    }
}
