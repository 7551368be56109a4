//! Reads JSON (RFC 8259) from a payload's bytes, token by token, where the schema-directed walk asks for it.
//!
//! It keeps no tree and copies nothing. What it accepts is exactly the RFC's grammar: numbers stay their own text, escapes
//! are checked even in strings that nobody lands, and nesting is bounded without recursion. A general deserializer
//! would hide what the landing has to know (`-0` and `-0.0`, `1` and `1.0`, the digits of a decimal).

use std::str;

use super::misfit::Misfit;

/// A place in a payload.
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// A string as it stands between its quotes; its escapes are valid and not decoded yet.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

/// An integer literal of at most 64 bits without its sign.
#[derive(Clone, Copy)]
pub(crate) struct Integer {
    pub(crate) negative: bool,
    pub(crate) magnitude: u64,
}

impl<'a> Cursor<'a> {
    /// Stands before the first byte of a payload, which must be UTF-8.
    pub(crate) fn new(payload: &'a [u8]) -> Result<Self, Misfit> {
        match str::from_utf8(payload) {
            Ok(_) => Ok(Cursor { text: payload, at: 0 }),
            Err(error) => Err(Misfit::not_json(error.valid_up_to(), "UTF-8")),
        }
    }

    /// Where it stands, in bytes.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to where it stands.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    /// Goes back to where it stood before.
    #[inline]
    pub(crate) fn go_back(&mut self, at: usize) {
        debug_assert!(at <= self.at);
        self.at = at;
    }

    /// The byte that it stands before; at the end 0, which begins no token.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Passes white space, and shows the byte behind it.
    #[inline]
    pub(crate) fn skip_space(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                other => return other,
            }
        }
    }

    /// Passes this text if it stands here.
    #[inline]
    pub(crate) fn eat(&mut self, token: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Whether all of the payload is read, but for white space.
    pub(crate) fn end(&mut self) -> Result<(), Misfit> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("nothing after the object")) }
    }

    /// Passes the colon behind a member's name, and white space.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<u8, Misfit> {
        if self.skip_space() != b':' {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(self.skip_space())
    }

    /// Passes the opening bracket that it stands before; whether there is anything inside.
    #[inline]
    pub(crate) fn open(&mut self, close: u8) -> bool {
        self.at += 1;
        let empty = self.skip_space() == close;
        self.at += usize::from(empty);
        !empty
    }

    /// Passes the comma or closing bracket behind a value; whether another value follows.
    #[inline]
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Misfit> {
        match self.skip_space() {
            b',' => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            found if found == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    /// Passes a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Misfit> {
        if self.peek() != b'"' {
            return Err(self.expected("a string"));
        }
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at += plain_length(&self.text[self.at..]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Quoted { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("no control character inside a string")),
                None => return Err(self.expected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Misfit> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') if self.text.get(self.at + 2..self.at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
                self.at += 6;
                Ok(())
            }
            _ => Err(self.expected("an escape")),
        }
    }

    /// Passes an integer literal of at most 64 bits; stays where it is where something else stands there.
    #[inline]
    pub(crate) fn integer(&mut self) -> Option<Integer> {
        let rest = &self.text[self.at..];
        let negative = rest.first() == Some(&b'-');
        let digits = &rest[usize::from(negative)..];
        let mut magnitude = 0_u64;
        let mut length = 0;
        while let Some(digit) = digits.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        let malformed = length == 0 || (length > 1 && digits[0] == b'0');
        if malformed || matches!(digits.get(length), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        // Nineteen digits always fit; twenty may.
        if length > 19 {
            magnitude = str::from_utf8(&digits[..length]).ok()?.parse().ok()?;
        }
        self.at += usize::from(negative) + length;
        Some(Integer { negative, magnitude })
    }

    /// Passes a number literal.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a str, Misfit> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return Err(self.expected("a value")),
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'-' | b'+'));
            self.digits()?;
        }
        str::from_utf8(self.since(start)).map_err(|_| self.expected("a number"))
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Misfit> {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += length;
        if length == 0 { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Passes any value, and returns its text. Takes no stack and no heap for nesting.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Misfit> {
        let start = self.at;
        let mut open = Brackets::default();
        loop {
            match self.peek() {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    if self.open(b'}') {
                        open.push(true).ok_or_else(|| too_deep(self.at))?;
                        self.member_name()?;
                        continue;
                    }
                }
                b'[' => {
                    if self.open(b']') {
                        open.push(false).ok_or_else(|| too_deep(self.at))?;
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                }
                _ if self.eat(b"true") || self.eat(b"false") || self.eat(b"null") => {}
                _ => return Err(self.expected("a value")),
            }
            // A value has ended: so may have what it is in.
            loop {
                let Some(in_object) = open.innermost() else {
                    return Ok(self.since(start));
                };
                if self.more(if in_object { b'}' } else { b']' })? {
                    if in_object {
                        self.member_name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    fn member_name(&mut self) -> Result<(), Misfit> {
        self.string()?;
        self.colon()?;
        Ok(())
    }

    /// The misfit of a value that is not what was expected, or not even JSON.
    #[cold]
    pub(crate) fn mismatch(&mut self, expected: impl std::fmt::Display) -> Misfit {
        match self.value() {
            Ok(found) => Misfit::value(expected, found),
            Err(misfit) => misfit,
        }
    }

    /// The misfit of bytes that are not JSON.
    #[cold]
    pub(crate) fn expected(&self, what: &str) -> Misfit {
        if self.at >= self.text.len() {
            return Misfit::new(format!("the payload is not valid JSON: it ends at byte {}, where {what} was expected", self.at));
        }
        Misfit::not_json(self.at, what)
    }
}

impl Quoted<'_> {
    /// Appends what the string says; false, having appended some of it, where an escape is half of a surrogate pair.
    #[inline]
    pub(crate) fn decode(&self, out: &mut Vec<u8>) -> bool {
        if self.escaped {
            return self.decode_escapes(out).is_some();
        }
        out.extend_from_slice(self.raw);
        true
    }

    fn decode_escapes(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut rest = self.raw;
        while let Some(place) = rest.iter().position(|byte| *byte == b'\\') {
            out.extend_from_slice(&rest[..place]);
            let (plain, length) = match rest.get(place + 1)? {
                b'b' => (0x08, 2),
                b'f' => (0x0C, 2),
                b'n' => (b'\n', 2),
                b'r' => (b'\r', 2),
                b't' => (b'\t', 2),
                b'u' => {
                    let (letter, length) = decode_unicode(&rest[place..])?;
                    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[place + length..];
                    continue;
                }
                other => (*other, 2),
            };
            out.push(plain);
            rest = &rest[place + length..];
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
fn plain_length(text: &[u8]) -> usize {
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

/// The brackets that are open, outermost first: a bit each, set for an object.
#[derive(Default)]
struct Brackets {
    objects: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Brackets {
    fn push(&mut self, object: bool) -> Option<()> {
        let word = self.objects.get_mut(self.depth / 64)?;
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }

    fn innermost(&self) -> Option<bool> {
        let top = self.depth.checked_sub(1)?;
        Some(self.objects[top / 64] >> (top % 64) & 1 == 1)
    }
}

#[cold]
fn too_deep(at: usize) -> Misfit {
    Misfit::new(format!("a value nests deeper than {MAX_DEPTH} levels at byte {at}"))
}

/// How deep a value may nest. RFC 8259, section 9, leaves the limit to us; readers of what landed have theirs.
pub(crate) const MAX_DEPTH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &[u8]) -> Result<&[u8], Misfit> {
        let mut cursor = Cursor::new(text)?;
        cursor.skip_space();
        let value = cursor.value()?;
        cursor.end()?;
        Ok(value)
    }

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
        assert_eq!(decoded(r#""\"\\\/\b\f\n\r\t\u0041\u0000\u00e9\ud83d\ude00 x""#).as_deref(), Some("\"\\/\u{8}\u{c}\n\r\tA\0é😀 x"));
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\ud83d""#, r#""\ud83d\n""#] {
            assert_eq!(decoded(half), None, "{half}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_takes_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(whole(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(whole(nested(MAX_DEPTH + 2).as_bytes()).is_err());
        assert!(whole("[".repeat(100_000).as_bytes()).is_err());
        assert!(whole("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let texts = [
            "", " ", "nul", "tru", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "Infinity", "'a'", "\"a", "\"\\x\"",
            "\"\\u12\"", "\"\\u12g4\"", "\"\t\"", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}",
            "{\"a\":1 \"b\":2}", "[1}", "{\"a\":1]", "1 2", "\u{feff}1", "/**/1",
        ];
        for text in texts {
            assert!(whole(text.as_bytes()).is_err(), "{text}");
        }
        assert!(whole(b"\"\xff\"").is_err());
    }
}
