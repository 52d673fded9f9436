// SPDX-License-Identifier: Apache-2.0
//! The natural logarithm, bit for bit as Go's `math.Log` computes it (FreeBSD's e_log.c, src/math/log.go).

/// The natural logarithm of a positive, normal number.
#[expect(
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "constants as the source has them"
)]
pub fn ln(x: f64) -> f64 {
    const LN2_HI: f64 = 6.93147180369123816490e-01;
    const LN2_LO: f64 = 1.90821492927058770002e-10;
    const L1: f64 = 6.666666666666735130e-01;
    const L2: f64 = 3.999999999940941908e-01;
    const L3: f64 = 2.857142874366239149e-01;
    const L4: f64 = 2.222219843214978396e-01;
    const L5: f64 = 1.818357216161805012e-01;
    const L6: f64 = 1.531383769920937332e-01;
    const L7: f64 = 1.479819860511658591e-01;
    // x = fraction * 2^exponent with the fraction within [0.5, 1), then within [sqrt(2)/2, sqrt(2)).
    let bits = x.to_bits();
    let mut exponent = f64::from(i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1_022);
    let mut fraction = f64::from_bits((bits & !(0x7ff << 52)) | (1_022 << 52));
    if fraction < core::f64::consts::SQRT_2 / 2.0 {
        fraction *= 2.0;
        exponent -= 1.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let t1 = s2 * (L1 + s4 * (L3 + s4 * (L5 + s4 * L7)));
    let t2 = s4 * (L2 + s4 * (L4 + s4 * L6));
    let r = t1 + t2;
    let hfsq = 0.5 * f * f;
    exponent * LN2_HI - ((hfsq - (s * (hfsq + r) + exponent * LN2_LO)) - f)
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn it_is_within_one_unit_of_the_exact_value() {
        for size in 1..100_000_u32 {
            let x = f64::from(size);
            let (got, want) = (ln(x), x.ln());
            assert!((got - want).abs() <= f64::EPSILON * want.abs(), "ln({x}) = {got}, not {want}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(2.0), core::f64::consts::LN_2);
    }
}
