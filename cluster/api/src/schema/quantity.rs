// SPDX-License-Identifier: Apache-2.0
//! Quantities as upstream writes them: `0.5` is `500m`, `1024Ki` is `1Mi`, `1000` is `1k`.

/// The most that a quantity holds, in billionths: upstream caps at what an `int64` counts.
const MAX_NANO: i128 = (i64::MAX as i128) * NANO;
/// Billionths of one.
pub(crate) const NANO: i128 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

/// The canonical text; none if it is no quantity.
pub fn canonical(text: &str) -> Option<String> {
    let (nano, family) = read(text)?;
    let sign = if nano < 0 { "-" } else { "" };
    Some(format!("{sign}{}", write(nano.abs(), family)))
}

/// The amount in billionths, rounded away from zero; none if the text is no quantity.
pub(crate) fn nano(text: &str) -> Option<i128> {
    read(text).map(|(nano, _)| nano)
}

/// The canonical text, rounded away from zero to thousandths; none if there is nothing to round, or no quantity.
pub(crate) fn milli(text: &str) -> Option<String> {
    let (nano, family) = read(text)?;
    let (milli, sign) = (NANO / 1_000, if nano < 0 { "-" } else { "" });
    let rest = nano.abs() % milli;
    (rest != 0).then(|| format!("{sign}{}", write(nano.abs() - rest + milli, family)))
}

/// Billionths, and how they were written.
fn read(text: &str) -> Option<(i128, Family)> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, suffix) = rest.split_at(end.unwrap_or(rest.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let (family, base, power) = read_suffix(suffix)?;
    let nano = magnitude(whole, fraction, base, power);
    Some((if negative { -nano } else { nano }, family))
}

/// Family, base and power of a suffix.
fn read_suffix(suffix: &str) -> Option<(Family, i128, i32)> {
    let decimal = |power| Some((Family::Decimal, 10, power));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => match BINARY.iter().position(|name| *name == suffix) {
            Some(0) | None => {
                let power = suffix.strip_prefix(['e', 'E'])?;
                let digits = power.strip_prefix(['-', '+']).unwrap_or(power);
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                plain.then_some(())?;
                // what is beyond any amount counts as that
                Some((Family::Exponent, 10, power.parse::<i32>().unwrap_or(0).clamp(-1_000, 1_000)))
            }
            Some(power) => Some((Family::Binary, 1024, i32::try_from(power).ok()?)),
        },
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The amount in billionths, rounded away from zero.
fn magnitude(whole: &str, fraction: &str, base: i128, power: i32) -> i128 {
    let digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let mut amount: i128 = 0;
    let mut shift = 9 - i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let mut rest = false;
    for digit in digits {
        let next = amount.checked_mul(10).and_then(|ten| ten.checked_add(i128::from(digit - b'0')));
        // digits beyond what is held only count as "a bit more"
        if rest || amount > MAX_NANO || next.is_none() {
            rest |= digit != b'0';
            shift = shift.saturating_add(1);
        } else {
            amount = next.unwrap_or(amount);
        }
    }
    if amount == 0 {
        return 0;
    }
    if base == 1024 {
        let factor = 1024_i128.pow(power.unsigned_abs());
        match amount.checked_mul(factor) {
            Some(scaled) => amount = scaled,
            // more than is held, unless a long fraction follows
            None if shift > -18 => return MAX_NANO,
            None => {
                amount = amount / 10_i128.pow(18) * factor;
                shift += 18;
            }
        }
    } else {
        shift = shift.saturating_add(power);
    }
    while shift > 0 {
        shift -= 1;
        match amount.checked_mul(10).filter(|amount| *amount <= MAX_NANO) {
            Some(more) => amount = more,
            None => return MAX_NANO,
        }
    }
    while shift < 0 && amount > 0 {
        shift += 1;
        rest |= amount % 10 != 0;
        amount /= 10;
    }
    (amount + i128::from(rest)).min(MAX_NANO)
}

fn write(nano: i128, family: Family) -> String {
    if nano == 0 {
        return "0".to_owned();
    }
    let whole = nano % NANO == 0;
    if family == Family::Binary && whole && nano >= 1024 * NANO {
        let (mut amount, mut power) = (nano / NANO, 0);
        while amount % 1024 == 0 && power + 1 < BINARY.len() {
            amount /= 1024;
            power += 1;
        }
        return format!("{amount}{}", BINARY[power]);
    }
    let (mut amount, mut power) = (nano, 0);
    while amount % 1000 == 0 && power + 1 < DECIMAL.len() {
        amount /= 1000;
        power += 1;
    }
    match i32::try_from(power).unwrap_or(0) * 3 - 9 {
        0 => amount.to_string(),
        exponent if family == Family::Exponent => format!("{amount}e{exponent}"),
        _ => format!("{amount}{}", DECIMAL[power]),
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, milli};

    #[test]
    fn quantities_are_written_as_upstream_does() {
        for (given, wanted) in [
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("100", "100"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1023", "1023"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("100e-3", "100e-3"),
            ("1E", "1E"),
            ("0", "0"),
            ("-0", "0"),
            ("0Gi", "0"),
            ("-2000m", "-2"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.0000000001", "1n"),
            ("99999999999999999999999", "9223372036854775807"),
            ("1Ei", "1Ei"),
            ("100Ei", "9223372036854775807"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(wanted), "{given}");
            assert_eq!(canonical(wanted).as_deref(), Some(wanted), "{wanted} twice");
        }
        for (given, wanted) in [("0.0001", "1m"), ("-1u", "-1m"), ("1.0001", "1001m")] {
            assert_eq!(milli(given).as_deref(), Some(wanted), "{given}");
        }
        assert_eq!(milli("1500m"), None);
        for wrong in ["", "-", "x", "1.2.3", "1 ", "1Xi", "1e", "1ki", ".", "1e1.5", "--1"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }
}
