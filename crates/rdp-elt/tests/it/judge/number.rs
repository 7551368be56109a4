//! Decimals by arithmetic on strings, and base64 by hand.

/// A JSON number's digits with `scale` of them behind the point; `None` where it has too many.
pub(crate) fn decimal(literal: &str, precision: usize, scale: usize) -> Option<i128> {
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !mantissa.contains(|digit: char| ('1'..='9').contains(&digit)) {
        return Some(0);
    }
    // No exponent that moves the point further than this leaves a digit where a decimal has room.
    let room = mantissa.len() + 100;
    let exponent: isize = exponent.parse().ok().filter(|exponent: &isize| exponent.unsigned_abs() < room)?;
    let zeros = "0".repeat(room);
    let digits = format!("{zeros}{whole}{fraction}{zeros}");
    let (whole, fraction) = digits.split_at((zeros.len() + whole.len()).checked_add_signed(exponent)?);
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return None;
    }
    let unscaled = format!("{whole}{fraction:0<scale$}");
    let significant = unscaled.trim_start_matches('0');
    if significant.len() > precision {
        return None;
    }
    let value: i128 = significant.parse().ok()?;
    Some(if negative { -value } else { value })
}

/// The bytes that padded base64 of the standard alphabet stands for; `None` for anything else.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let padding = text.len() - text.trim_end_matches('=').len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text[..text.len() - padding].bytes() {
        let place = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 6 | u32::try_from(place).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // Bits that no byte is made of must be zeros, and the padding as long as they ask for.
    (bits == 0 && count == padding * 2).then_some(bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
