// SPDX-License-Identifier: Apache-2.0
//! Uids and names of pods, written into buffers that are kept.

use berth_scheduler_core::PodId;
use berth_scheduler_workload::rows;
use std::fmt::Write;

/// The names of the pod at hand.
#[derive(Debug, Default)]
pub(crate) struct Names {
    uid: String,
    name: String,
}

impl Names {
    /// What names the pod of that serial number.
    pub(crate) fn of(&mut self, serial: u64) -> PodId<'_> {
        self.name.clear();
        write!(self.name, "app-{serial:09}").expect("writing to a string");
        self.write_uid(serial);
        PodId { uid: &self.uid, namespace: rows::namespace(), name: &self.name }
    }

    /// Its uid.
    pub(crate) fn uid(&mut self, serial: u64) -> &str {
        self.write_uid(serial);
        &self.uid
    }

    /// A uid of the usual length that tells the serial number.
    fn write_uid(&mut self, serial: u64) {
        self.uid.clear();
        let scattered = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (a, b) = (scattered >> 32, scattered & 0xffff_ffff);
        let (c, d, e) = (b >> 16, b >> 4 & 0xfff, b & 0xfff);
        write!(self.uid, "{a:08x}-{c:04x}-4{d:03x}-8{e:03x}-{serial:012x}")
            .expect("writing to a string");
    }
}

/// The serial number that a uid tells.
pub(crate) fn serial_in(uid: &str) -> Option<u64> {
    u64::from_str_radix(uid.rsplit('-').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_tells_its_serial_number() {
        let mut names = Names::default();
        for serial in [0, 1, 4_711, 123_456_789_012] {
            assert_eq!(names.uid(serial).len(), 36);
            assert_eq!(serial_in(names.uid(serial)), Some(serial));
        }
        assert_eq!(serial_in("no number"), None);
    }
}
