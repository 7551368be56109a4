//! Texts that are looked for in every payload: the names of declared fields.

/// A text that is looked for often, with its first and its last eight bytes as words: comparing those takes no call.
pub(crate) struct Token {
    text: Box<[u8]>,
    first: u64,
    first_mask: u64,
    last: u64,
}

impl Token {
    pub(crate) fn new(text: Vec<u8>) -> Self {
        let mut first = [0; 8];
        first.iter_mut().zip(&text).for_each(|(to, from)| *to = *from);
        Token {
            first: u64::from_le_bytes(first),
            first_mask: if text.len() < 8 { (1 << (8 * text.len())) - 1 } else { u64::MAX },
            last: text.last_chunk().map_or(0, |last| u64::from_le_bytes(*last)),
            text: text.into(),
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether this text begins with the token.
    #[inline]
    pub(crate) fn begins(&self, text: &[u8]) -> bool {
        let length = self.text.len();
        let Some(first) = text.first_chunk() else {
            return text.starts_with(&self.text);
        };
        if (u64::from_le_bytes(*first) ^ self.first) & self.first_mask != 0 {
            return false;
        }
        if length <= 8 {
            return true;
        }
        match text.get(length - 8..length).and_then(|last| last.first_chunk()) {
            Some(last) if length <= 16 => u64::from_le_bytes(*last) == self.last,
            _ => text.starts_with(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_it_stands_and_nowhere_else() {
        let text = "\"abcdefghijklmnopqrstuvwxyz\":1";
        for length in 1..=text.len() {
            let token = Token::new(text.as_bytes()[..length].to_vec());
            assert!((length..=text.len()).all(|end| token.begins(&text.as_bytes()[..end])), "{length}");
            assert!((0..length).all(|end| !token.begins(&text.as_bytes()[..end])), "{length}");
            for place in 0..length {
                let mut other = text.as_bytes().to_vec();
                other[place] ^= 1;
                assert!(!token.begins(&other), "{length} bytes differ at {place}");
            }
        }
    }
}
