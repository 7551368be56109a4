//! Finds which declared member a name in the payload is: nearly always the one that followed last time.

use crate::load::cursor::Cursor;
use crate::load::misfit::Misfit;
use crate::load::quoted::Quoted;
use crate::load::token::Token;

/// The members that the schema declares of one object.
pub(crate) struct Names {
    names: Vec<Name>,
    /// Indexes into `names`, ordered by length, then bytes.
    sorted: Vec<usize>,
    /// By slot (0: the object's beginning; n + 1: behind member n) the member that came next in the last record.
    next: Vec<usize>,
    /// Where a name with escapes is decoded.
    scratch: Vec<u8>,
}

struct Name {
    name: Box<[u8]>,
    /// The name in quotes with its colon, as nearly every producer writes it.
    token: Token,
}

/// A member's name that has been read, colon and all.
pub(crate) enum Member<'a> {
    /// The declared member of this index.
    Declared(usize),
    /// A name that is not declared, as it stands between its quotes.
    Unknown(&'a [u8]),
}

impl Names {
    /// These members, in the order in which they are expected at first.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<Name> = names
            .map(|name| Name {
                name: name.as_bytes().into(),
                token: Token::new(format!("{}:", serde_json::Value::from(name)).into_bytes()),
            })
            .collect();
        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_by(|a, b| order(&names[*a].name).cmp(&order(&names[*b].name)));
        Names { next: (0..=names.len()).collect(), sorted, names, scratch: Vec::new() }
    }

    /// Reads the name that the cursor stands before, its colon and the white space behind it. `slot` is where the last
    /// declared member left off: its index + 1.
    #[inline]
    pub(crate) fn read<'a>(&mut self, cursor: &mut Cursor<'a>, slot: usize) -> Result<Member<'a>, Misfit> {
        let guess = self.next[slot];
        if let Some(name) = self.names.get(guess)
            && cursor.eat_token(&name.token)
        {
            cursor.skip_space();
            return Ok(Member::Declared(guess));
        }
        self.search(cursor, slot)
    }

    fn search<'a>(&mut self, cursor: &mut Cursor<'a>, slot: usize) -> Result<Member<'a>, Misfit> {
        let quoted = cursor.string()?;
        cursor.colon()?;
        match self.find(quoted) {
            Some(index) => {
                self.next[slot] = index;
                Ok(Member::Declared(index))
            }
            None => Ok(Member::Unknown(quoted.raw())),
        }
    }

    fn find(&mut self, quoted: Quoted<'_>) -> Option<usize> {
        let name = if quoted.is_escaped() {
            self.scratch.clear();
            // Half of a surrogate pair is in no declared name.
            if !quoted.decode(&mut self.scratch) {
                return None;
            }
            &self.scratch
        } else {
            quoted.raw()
        };
        let names = &self.names;
        let place = self.sorted.binary_search_by(|index| order(&names[*index].name).cmp(&order(name))).ok()?;
        Some(self.sorted[place])
    }

    /// A member's name in quotes, with its colon.
    pub(super) fn token(&self, index: usize) -> &[u8] {
        self.names[index].token.text()
    }

    /// A member's name.
    pub(crate) fn name(&self, index: usize) -> String {
        String::from_utf8_lossy(&self.names[index].name).into_owned()
    }
}

fn order(name: &[u8]) -> (usize, &[u8]) {
    (name.len(), name)
}
