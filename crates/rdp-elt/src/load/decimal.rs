//! Decimals from their literal's digits, never through a float.

/// The value of a JSON number literal, times ten to the `scale`.
///
/// The value counts, not the spelling: `1e2` is 100, and `1.50` fits one fraction digit.
///
/// # Errors
/// What the value has too much of.
#[inline]
pub(crate) fn parse(literal: &[u8], precision: u8, scale: u8) -> Result<i128, Excess> {
    match parse_short(literal, scale) {
        Some(value) if value.unsigned_abs() < SHORT_POWERS[usize::from(precision).min(18)].unsigned_abs() => {
            Ok(i128::from(value))
        }
        _ => parse_long(literal, precision, scale),
    }
}

/// Why a number is no decimal of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    FractionDigits,
    Digits,
}

/// Literals like `-1234.50`: no exponent, few digits, no more fraction digits than the type has.
#[inline]
fn parse_short(literal: &[u8], scale: u8) -> Option<i64> {
    if literal.len() > 18 {
        return None;
    }
    let (negative, digits) = match literal.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, literal),
    };
    let mut value = 0_i64;
    let mut point = digits.len();
    for (place, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'.' => point = place + 1,
            _ => return None,
        }
    }
    let missing = usize::from(scale).checked_sub(digits.len() - point)?;
    let value = value.checked_mul(*SHORT_POWERS.get(missing)?)?;
    Some(if negative { -value } else { value })
}

fn parse_long(literal: &[u8], precision: u8, scale: u8) -> Result<i128, Excess> {
    let (negative, literal) = match literal.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, literal),
    };
    let exponent_at = literal.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(literal.len());
    let (mantissa, exponent) = literal.split_at(exponent_at);
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let fraction_length = mantissa.len().saturating_sub(point + 1);
    let digits = || mantissa.iter().filter(|byte| **byte != b'.').map(|byte| byte - b'0');

    // The value is `digits` without their zeros at either end, times ten to the `power`.
    let trailing_zeros = digits().rev().take_while(|digit| *digit == 0).count();
    let leading_zeros = digits().take_while(|digit| *digit == 0).count();
    let count = (mantissa.len() - usize::from(point < mantissa.len())).saturating_sub(leading_zeros + trailing_zeros);
    if count == 0 {
        return Ok(0);
    }
    let power = exponent_value(exponent).saturating_add(trailing_zeros as i64).saturating_sub(fraction_length as i64);
    let shift = power.saturating_add(i64::from(scale));
    if shift < 0 {
        return Err(Excess::FractionDigits);
    }
    if shift.saturating_add(count as i64) > i64::from(precision) {
        return Err(Excess::Digits);
    }
    // At most `precision` digits in all: 38 nines fit in 127 bits.
    let significant =
        digits().skip(leading_zeros).take(count).fold(0_i128, |value, digit| value * 10 + i128::from(digit));
    let value = (0..shift).fold(significant, |value, _| value * 10);
    Ok(if negative { -value } else { value })
}

/// The number behind `e`; so far out that it cannot matter where 64 bits do not hold it.
fn exponent_value(exponent: &[u8]) -> i64 {
    let Some((_, number)) = exponent.split_first() else {
        return 0;
    };
    let negative = number.starts_with(b"-");
    let size = number.iter().filter(|byte| byte.is_ascii_digit());
    let size = size.fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -size } else { size }
}

const SHORT_POWERS: [i64; 19] = {
    let mut powers = [1_i64; 19];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_its_literal_exactly() {
        let cases: [(&str, u8, u8, Result<i128, Excess>); 21] = [
            ("0", 1, 0, Ok(0)),
            ("-0", 1, 0, Ok(0)),
            ("0e999999999999999999999", 5, 2, Ok(0)),
            ("1e2", 3, 0, Ok(100)),
            ("1E+2", 5, 2, Ok(10_000)),
            ("1.50", 2, 1, Ok(15)),
            ("1.5000000000000000000000000000000000000000000", 2, 1, Ok(15)),
            ("150e-1", 2, 0, Ok(15)),
            ("0.1", 38, 38, Ok(10_i128.pow(37))),
            ("-123.45", 5, 2, Ok(-12_345)),
            ("123.45", 4, 2, Err(Excess::Digits)),
            ("1.005", 5, 2, Err(Excess::FractionDigits)),
            ("1", 2, 2, Err(Excess::Digits)),
            ("0.99", 2, 2, Ok(99)),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10_i128.pow(38) - 1)),
            ("-99999999999999999999999999999999999999", 38, 0, Ok(1 - 10_i128.pow(38))),
            ("100000000000000000000000000000000000000", 38, 0, Err(Excess::Digits)),
            ("1e38", 38, 0, Err(Excess::Digits)),
            ("1e-1", 38, 0, Err(Excess::FractionDigits)),
            ("1e99999999999999999999", 38, 0, Err(Excess::Digits)),
            ("1e-99999999999999999999", 38, 0, Err(Excess::FractionDigits)),
        ];
        for (literal, precision, scale, expected) in cases {
            assert_eq!(
                parse(literal.as_bytes(), precision, scale),
                expected,
                "{literal} as decimal({precision},{scale})"
            );
        }
    }

    #[test]
    fn both_ways_agree_on_short_literals() {
        for number in -2_000_i64..2_000 {
            let literal =
                format!("{}{}.{:02}", if number < 0 { "-" } else { "" }, number.abs() / 100, number.abs() % 100);
            for (precision, scale) in [(4, 2), (3, 1), (18, 4), (19, 4), (38, 20)] {
                let expected = parse_long(literal.as_bytes(), precision, scale);
                assert_eq!(
                    parse(literal.as_bytes(), precision, scale),
                    expected,
                    "{literal} as decimal({precision},{scale})"
                );
            }
        }
    }
}
