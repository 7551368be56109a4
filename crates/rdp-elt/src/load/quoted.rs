//! Strings in a payload: where they end, and what they say once their escapes are decoded.

use std::str;

/// A string as it stands between its quotes; its escapes are valid and not decoded yet.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    /// The payload from behind the opening quote on.
    rest: &'a [u8],
    length: usize,
    escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The first `length` bytes of `rest`, whose escapes have been checked.
    #[inline]
    pub(crate) fn new(rest: &'a [u8], length: usize, escaped: bool) -> Self {
        Quoted { rest, length, escaped }
    }

    /// Whether it has escapes.
    #[inline]
    pub(crate) fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// What stands between the quotes.
    #[inline]
    pub(crate) fn raw(&self) -> &'a [u8] {
        &self.rest[..self.length]
    }

    /// Appends what the string says; false, having appended some of it, where an escape is half of a surrogate pair.
    #[inline]
    pub(crate) fn decode(&self, out: &mut Vec<u8>) -> bool {
        if self.escaped {
            return self.decode_escapes(out).is_some();
        }
        // Copying a fixed length and cutting off what was too much takes no call.
        let end = out.len() + self.length;
        match (self.rest.first_chunk::<16>(), self.rest.first_chunk::<32>()) {
            (Some(short), _) if self.length <= 16 => out.extend_from_slice(short),
            (_, Some(long)) if self.length <= 32 => out.extend_from_slice(long),
            _ => out.extend_from_slice(self.raw()),
        }
        out.truncate(end);
        true
    }

    fn decode_escapes(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut rest = self.raw();
        while let Some(place) = rest.iter().position(|byte| *byte == b'\\') {
            out.extend_from_slice(&rest[..place]);
            let letter = match rest.get(place + 1)? {
                b'b' => 0x08,
                b'f' => 0x0C,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let (letter, length) = decode_unicode(&rest[place..])?;
                    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[place + length..];
                    continue;
                }
                other => *other,
            };
            out.push(letter);
            rest = &rest[place + 2..];
        }
        out.extend_from_slice(rest);
        Some(())
    }
}

/// The letter that `\uXXXX`, or a pair of them, stands for, and how many bytes the escapes take.
fn decode_unicode(escape: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let hex = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(str::from_utf8(hex).ok()?, 16).ok()
    };
    let first = unit(0)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(6).filter(|second| (0xDC00..0xE000).contains(second))?;
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 12))
}

/// How many bytes from here are neither a quote, nor a backslash, nor a control character.
#[inline]
pub(crate) fn plain_length(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(chunk) = text.get(length..).and_then(|rest| rest.first_chunk::<8>()) {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = &text[length..];
    length + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len())
}

/// The high bit of every byte that ends a plain run. Bits above the lowest one may be wrong: a borrow runs upwards only.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let quote = word ^ (LOW * b'"' as u64);
    let backslash = word ^ (LOW * b'\\' as u64);
    let zero_at_quote = quote.wrapping_sub(LOW) & !quote;
    let zero_at_backslash = backslash.wrapping_sub(LOW) & !backslash;
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (zero_at_quote | zero_at_backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::cursor::Cursor;

    fn decoded(text: &str) -> Option<String> {
        let quoted = Cursor::new(text.as_bytes()).ok()?.string().ok()?;
        let mut out = Vec::new();
        quoted.decode(&mut out).then(|| String::from_utf8(out).expect("decoding keeps UTF-8"))
    }

    #[test]
    fn every_byte_that_ends_a_plain_run_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut text = [b'a'; 20];
                text[place] = byte;
                let expected = if byte < 0x20 || byte == b'"' || byte == b'\\' { place } else { 20 };
                assert_eq!(plain_length(&text), expected, "byte {byte} at {place}");
            }
        }
    }

    #[test]
    fn escapes_are_decoded_and_halves_of_pairs_are_refused() {
        assert_eq!(
            decoded(r#""\"\\\/\b\f\n\r\t\u0041\u0000\u00e9\ud83d\ude00 x""#).as_deref(),
            Some("\"\\/\u{8}\u{c}\n\r\tA\0é😀 x")
        );
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\ud83d""#, r#""\ud83d\n""#] {
            assert_eq!(decoded(half), None, "{half}");
        }
    }
}
