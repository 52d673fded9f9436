// SPDX-License-Identifier: Apache-2.0
//! Uids and names of pods, written into buffers that are kept.

use berth_scheduler_core::PodId;
use berth_scheduler_workload::rows;

/// The names of the pod at hand.
#[derive(Debug, Default)]
pub struct Names {
    uid: String,
    name: String,
}

impl Names {
    /// What names the pod of that serial number.
    pub fn of(&mut self, serial: u64) -> PodId<'_> {
        let mut name = *b"app-000000000000";
        let mut rest = serial;
        for digit in name[4..].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        set(&mut self.name, &name);
        self.write_uid(serial);
        PodId { uid: &self.uid, namespace: rows::namespace(), name: &self.name }
    }

    /// Its uid.
    pub fn uid(&mut self, serial: u64) -> &str {
        self.write_uid(serial);
        &self.uid
    }

    /// A uid of the usual length that tells the serial number. Written by hand: what it takes counts as time of the engine.
    fn write_uid(&mut self, serial: u64) {
        let scattered = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut uid = *b"00000000-0000-4000-8000-000000000000";
        hex(&mut uid[..8], scattered >> 32);
        hex(&mut uid[9..13], scattered >> 16);
        hex(&mut uid[15..18], scattered >> 4);
        hex(&mut uid[20..23], scattered);
        hex(&mut uid[24..], serial);
        set(&mut self.uid, &uid);
    }
}

fn set(to: &mut String, ascii: &[u8]) {
    to.clear();
    to.push_str(std::str::from_utf8(ascii).expect("ASCII"));
}

/// The last digits of a number.
fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
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
