//! Reads JSON (RFC 8259) from a payload's bytes, token by token, where the schema-directed walk asks for it.
//!
//! It keeps no tree and copies nothing. What it accepts is exactly the RFC's grammar: numbers stay their own text, escapes
//! are checked even in strings that nobody lands, and nesting is bounded without recursion. A general deserializer
//! would hide what the landing has to know (`-0` and `-0.0`, `1` and `1.0`, the digits of a decimal).

use std::str;

use super::misfit::Misfit;
use super::quoted::{Quoted, plain_length};
use super::token::Token;

/// A place in a payload.
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
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
        if !payload.is_ascii()
            && let Err(error) = str::from_utf8(payload)
        {
            return Err(Misfit::not_json(error.valid_up_to(), "UTF-8"));
        }
        Ok(Cursor { text: payload, at: 0 })
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

    /// Passes this token if it stands here.
    #[inline]
    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        let found = token.begins(&self.text[self.at..]);
        if found {
            self.at += token.text().len();
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

    /// Passes a string. Inlined by force: what it returns would go through memory otherwise, and the reader would wait for it.
    #[inline(always)]
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
                    let length = self.at - start;
                    self.at += 1;
                    return Ok(Quoted::new(&self.text[start..], length, escaped));
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

    #[cold]
    fn escape(&mut self) -> Result<(), Misfit> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u')
                if self.text.get(self.at + 2..self.at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                self.at += 6;
                Ok(())
            }
            _ => Err(self.expected("an escape")),
        }
    }

    /// Passes an integer literal of at most 64 bits; stays where it is where something else stands there. Inlined by
    /// force, as [`Cursor::string`] is.
    #[inline(always)]
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
            return Misfit::new(format!(
                "the payload is not valid JSON: it ends at byte {}, where {what} was expected",
                self.at
            ));
        }
        Misfit::not_json(self.at, what)
    }
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
            "",
            " ",
            "nul",
            "tru",
            "01",
            "-",
            "+1",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "Infinity",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "\u{feff}1",
            "/**/1",
        ];
        for text in texts {
            assert!(whole(text.as_bytes()).is_err(), "{text}");
        }
        assert!(whole(b"\"\xff\"").is_err());
    }
}
