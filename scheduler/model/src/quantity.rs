// SPDX-License-Identifier: Apache-2.0
//! Kubernetes quantities (`100m`, `1.5Gi`, `2e3`), read exactly and rounded up as `resource.Quantity` does.
//!
//! Source of the grammar: k8s.io/apimachinery `resource.Quantity` ("Serialization Format").

use crate::limits::QUANTITY_MAX;
use core::fmt;

/// Why a text is not a usable quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantityError {
    /// Not of the form number, suffix.
    Malformed,
    /// Below zero: nothing that is scheduled has a negative amount.
    Negative,
    /// Above [`QUANTITY_MAX`] in its base unit.
    TooLarge,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "not a quantity (a number with an optional suffix such as m, k, Mi, Gi, e3)"
            }
            Self::Negative => "a quantity must not be negative",
            Self::TooLarge => "a quantity must not be above 2^53",
        })
    }
}

impl core::error::Error for QuantityError {}

/// Reads a quantity in whole units, rounded up (`0.5` is 1, `1Ki` is 1024).
pub fn units(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 0)
}

/// Reads a quantity in thousandths, rounded up (`0.5` is 500, `100m` is 100).
pub fn milli(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 3)
}

/// `ceil(value * 10^scale)`.
fn scaled(text: &str, scale: i32) -> Result<i64, QuantityError> {
    let (negative, text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, fraction_digits, rest) = digits(text)?;
    let (binary, decimal) = suffix(rest)?;
    if mantissa == 0 {
        return Ok(0);
    }
    if negative {
        return Err(QuantityError::Negative);
    }
    let shifted = mantissa.checked_shl(binary).filter(|v| v >> binary == mantissa);
    let value = shifted.ok_or(QuantityError::TooLarge)?;
    let exponent = decimal + scale - fraction_digits;
    let value = if exponent >= 0 {
        let factor = 10_u128.checked_pow(exponent.unsigned_abs()).ok_or(QuantityError::TooLarge)?;
        value.checked_mul(factor).ok_or(QuantityError::TooLarge)?
    } else {
        match 10_u128.checked_pow(exponent.unsigned_abs()) {
            Some(divisor) => value.div_ceil(divisor),
            None => 1,
        }
    };
    match i64::try_from(value) {
        Ok(value) if value <= QUANTITY_MAX => Ok(value),
        _ => Err(QuantityError::TooLarge),
    }
}

/// Splits the number from its suffix: (all digits as one number, digits after the point, suffix).
fn digits(text: &str) -> Result<(u128, i32, &str), QuantityError> {
    let mut mantissa: u128 = 0;
    let mut seen = 0;
    let mut fraction: Option<i32> = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                // 30 digits hold everything below the limit with all the fraction that can matter.
                if mantissa >= 10_u128.pow(30) {
                    if fraction.is_none() {
                        return Err(QuantityError::TooLarge);
                    }
                    // A further digit of the fraction can only matter for rounding up.
                    if byte != b'0' {
                        mantissa |= 1;
                    }
                    continue;
                }
                mantissa = mantissa * 10 + u128::from(byte - b'0');
                seen += 1;
                fraction = fraction.map(|n| n + 1);
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            _ => {
                return finish(mantissa, seen, fraction, &text[at..]);
            }
        }
    }
    finish(mantissa, seen, fraction, "")
}

fn finish(
    mantissa: u128,
    seen: u32,
    fraction: Option<i32>,
    rest: &str,
) -> Result<(u128, i32, &str), QuantityError> {
    if seen == 0 {
        return Err(QuantityError::Malformed);
    }
    Ok((mantissa, fraction.unwrap_or(0), rest))
}

/// The suffix as (power of two, power of ten).
fn suffix(rest: &str) -> Result<(u32, i32), QuantityError> {
    Ok(match rest {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = rest.strip_prefix(['e', 'E']).ok_or(QuantityError::Malformed)?;
            let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Malformed)?;
            if exponent.abs() > 1_000 {
                return Err(if exponent > 0 {
                    QuantityError::TooLarge
                } else {
                    QuantityError::Malformed
                });
            }
            (0, exponent)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_exactly_and_rounded_up() {
        for (text, want_units, want_milli) in [
            ("0", 0, 0),
            ("1", 1, 1_000),
            ("100m", 1, 100),
            ("0.5", 1, 500),
            (".5", 1, 500),
            ("1.", 1, 1_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("2e3", 2_000, 2_000_000),
            ("2E3", 2_000, 2_000_000),
            ("1E", -1, -1),
            ("1k", 1_000, 1_000_000),
            ("100n", 1, 1),
            ("1e-9", 1, 1),
            ("+3", 3, 3_000),
            ("-0", 0, 0),
            ("0.0000000000000000000000000000000000000001", 1, 1),
            ("1.0000000000000000000000000000000000000001", 2, 1_001),
        ] {
            if want_units >= 0 {
                assert_eq!(units(text), Ok(want_units), "{text}");
            } else {
                assert_eq!(units(text), Err(QuantityError::TooLarge), "{text}");
            }
            if want_milli >= 0 {
                assert_eq!(milli(text), Ok(want_milli), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in
            ["", "m", ".", "1x", "1 Gi", "1ki", "--1", "1.2.3", "0x10", "1e", "e3", "NaN", "1Gib"]
        {
            assert_eq!(units(text), Err(QuantityError::Malformed), "{text}");
        }
        assert_eq!(units("-1"), Err(QuantityError::Negative));
        for text in
            ["9007199254740993", "1e400", "99999999999999999999999999999999999999999", "16Ei"]
        {
            assert_eq!(units(text), Err(QuantityError::TooLarge), "{text}");
        }
    }
}
