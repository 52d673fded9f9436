// SPDX-License-Identifier: Apache-2.0
//! Upstream's floating point, bit for bit: Go's `math.Log` and `math.Round`; and the order of ties.
//!
//! Scores are integers, but kube-scheduler computes some of them through doubles. The same operations in the same order give
//! the same bits; Rust never contracts `a * b + c` into one rounding on its own.

/// `int64(math.Round(x))` of Go: half away from zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Go's conversion: sums of counts are far below 2^63"
)]
pub(crate) fn round(x: f64) -> i64 {
    let whole = x as i64;
    #[expect(clippy::cast_precision_loss, reason = "below 2^53, and exact there")]
    let rest = x - whole as f64;
    if rest >= 0.5 {
        whole + 1
    } else if rest <= -0.5 {
        whole - 1
    } else {
        whole
    }
}

/// Natural logarithm of a positive, normal number with the algorithm and the order of operations of Go's `math.Log`
/// (after FreeBSD's e_log.c): other libraries differ in the last bit.
#[expect(clippy::excessive_precision, reason = "the digits as Go has them")]
pub(crate) fn ln(x: f64) -> f64 {
    const LN2_HI: f64 = 6.931_471_803_691_238_164_90e-01;
    const LN2_LO: f64 = 1.908_214_929_270_587_700_02e-10;
    const L1: f64 = 6.666_666_666_666_735_130e-01;
    const L2: f64 = 3.999_999_999_940_941_908e-01;
    const L3: f64 = 2.857_142_874_366_239_149e-01;
    const L4: f64 = 2.222_219_843_214_978_396e-01;
    const L5: f64 = 1.818_357_216_161_805_012e-01;
    const L6: f64 = 1.531_383_769_920_937_332e-01;
    const L7: f64 = 1.479_819_860_511_658_591e-01;
    debug_assert!(x.is_normal() && x > 0.0, "ln of {x}");
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    let mut fraction = f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52));
    if fraction < core::f64::consts::SQRT_2 / 2.0 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let f = fraction - 1.0;
    let k = f64::from(exponent);
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let t1 = s2 * (L1 + s4 * (L3 + s4 * (L5 + s4 * L7)));
    let t2 = s4 * (L2 + s4 * (L4 + s4 * L6));
    let r = t1 + t2;
    let hfsq = 0.5 * f * f;
    k * LN2_HI - ((hfsq - (s * (hfsq + r) + k * LN2_LO)) - f)
}

/// Mixes 64 bits (the finaliser of splitmix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Where a node stands among nodes of equal total: lower goes first, then by name. Fixed for a run by `seed`, and independent
/// of the order in which nodes arrived.
pub fn tie_hash(seed: u64, name: &str) -> u64 {
    let mut hash = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
    for chunk in name.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word)).wrapping_add(chunk.len() as u64);
    }
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (x, want) in [
            (0.5, 1),
            (1.5, 2),
            (2.5, 3),
            (-0.5, -1),
            (-2.5, -3),
            (0.499_999_999_999_999_94, 0),
            (2.4, 2),
        ] {
            assert_eq!(round(x), want, "{x}");
        }
    }

    #[test]
    fn ln_is_close_to_the_platform_one() {
        for i in 1..5_000_u32 {
            let x = f64::from(i);
            let (ours, theirs) = (ln(x), x.ln());
            assert!(
                (ours - theirs).abs() <= f64::EPSILON * theirs.abs().max(1.0),
                "{x}: {ours} {theirs}"
            );
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn tie_order_depends_on_seed_and_whole_name() {
        assert_ne!(tie_hash(1, "a"), tie_hash(2, "a"));
        assert_ne!(tie_hash(1, "a"), tie_hash(1, "a\0"));
        assert_ne!(tie_hash(1, "node-0001-x"), tie_hash(1, "node-0001-y"));
    }
}
