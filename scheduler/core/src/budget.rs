// SPDX-License-Identifier: Apache-2.0
//! The byte budget of what classes hold: lanes, and the counts of their signatures. Beyond it, what was not used for longest goes;
//! it is rebuilt when it is wanted again.

use crate::class::{ClassId, Lanes};
use crate::engine::Engine;
use crate::sig::Sig;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Engine {
    /// Bytes of a signature that was rebuilt are counted anew.
    pub(crate) fn account_sig(&mut self, sig: &mut Sig) {
        if sig.accounted_version != sig.version {
            sig.accounted_version = sig.version;
            let resident = sig.resident();
            self.class_bytes += resident;
            self.class_bytes -= core::mem::replace(&mut sig.accounted, resident);
        }
    }

    pub(crate) fn keep_lanes(&mut self, id: ClassId, mut lanes: Box<Lanes>) {
        if lanes.take_rebuilt() || lanes.accounted == 0 {
            let resident = lanes.resident();
            self.class_bytes += resident;
            self.class_bytes -= core::mem::replace(&mut lanes.accounted, resident);
        }
        self.class_mut(id).lanes = Some(lanes);
        if self.class_bytes > self.class_budget {
            self.drop_lanes(id);
        }
    }

    /// Drops the lanes of the least recently used half of the classes, and what their signatures hold, but not of `keep`.
    fn drop_lanes(&mut self, keep: ClassId) {
        let mut used: Vec<(u64, ClassId)> = (0..)
            .zip(&self.classes)
            .filter_map(|(id, class)| {
                let class = class.as_ref()?;
                let holds = class.lanes.is_some() || self.sig(class.key.sig).is_built();
                (holds && ClassId(id) != keep).then_some((class.last_used, ClassId(id)))
            })
            .collect();
        used.sort_unstable();
        let kept_sig = self.class(keep).key.sig;
        for (_, id) in &used[..used.len().div_ceil(2)] {
            let class = self.class_mut(*id);
            class.costs = None;
            let sig = class.key.sig;
            if let Some(lanes) = class.lanes.take() {
                self.class_bytes -= lanes.accounted;
            }
            if sig != kept_sig
                && let Some(mut sig_state) = self.sigs[sig.0 as usize].take()
            {
                self.class_bytes -= sig_state.accounted;
                sig_state.drop_state(&mut self.columns);
                self.sigs[sig.0 as usize] = Some(sig_state);
            }
        }
    }
}
