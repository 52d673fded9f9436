// SPDX-License-Identifier: Apache-2.0
//! Uids and names of pods, made from serial numbers, fast: each pod's is written twice, when it comes and when it goes.

/// The namespace that pods come in.
pub const NAMESPACE: &str = "default";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A pod's uid, in the form that an API server gives: 36 characters, from a scattered serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uid([u8; 36]);

impl Uid {
    /// The uid of pod number `serial` in a run.
    pub fn new(run: u32, serial: u64) -> Self {
        // Odd, so that the scattering loses nothing: no two serials have one uid.
        let bits = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut text = *b"00000000-0000-4000-8000-000000000000";
        hex(&mut text[0..8], bits >> 32);
        hex(&mut text[9..13], bits >> 16);
        hex(&mut text[15..18], bits >> 4);
        hex(&mut text[20..23], bits);
        hex(&mut text[24..28], u64::from(run));
        hex(&mut text[28..36], serial);
        Self(text)
    }

    /// The serial number in a uid of a run; nothing in any other text.
    pub fn serial(run: u32, text: &str) -> Option<u64> {
        let serial = u64::from_str_radix(text.get(28..)?, 16).ok()?;
        (Self::new(run, serial).as_str() == text).then_some(serial)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A pod's name, as a ReplicaSet of 2^40 pods would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; 14]);

impl Name {
    /// The name of pod number `serial`.
    pub fn new(serial: u64) -> Self {
        let mut text = *b"app-0000000000";
        hex(&mut text[4..14], serial);
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes the low digits of a number, as many as there is room for.
#[inline]
fn hex(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = HEX[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn uids_have_the_usual_form_and_are_unique() {
        assert_eq!(Uid::new(0xab, 0x12_3456).as_str().len(), 36);
        let uid = Uid::new(0xab, 0x12_3456);
        assert!(uid.as_str().ends_with("-00ab00123456"), "{}", uid.as_str());
        let groups: Vec<usize> = uid.as_str().split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(Uid::serial(0xab, uid.as_str()), Some(0x12_3456));
        assert_eq!(Uid::serial(0xac, uid.as_str()), None, "of another run");
        assert_eq!(Uid::serial(0xab, "no uid"), None);
        let all: BTreeSet<String> =
            (0..50_000).map(|serial| Uid::new(1, serial).as_str().to_owned()).collect();
        assert_eq!(all.len(), 50_000);
    }

    #[test]
    fn names_tell_the_serial_number() {
        assert_eq!(Name::new(0x1f).as_str(), "app-000000001f");
    }
}
