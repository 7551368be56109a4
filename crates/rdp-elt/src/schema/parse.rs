//! Reads a type's text form; every error says where in the text it is and what was meant.

use std::str::FromStr;

use arrow::datatypes::TimeUnit;

use super::DataType;
use super::data_type::{SIMPLE, is_plain_name};
use crate::error::{Error, Result};

impl FromStr for DataType {
    type Err = Error;

    /// Reads the text form. Spaces between its parts do not count.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with the position (in characters, from 1) and the nearest known spelling.
    fn from_str(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0 };
        let data_type = parser.data_type(0)?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.expected("the end", parser.at));
        }
        Ok(data_type)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn data_type(&mut self, depth: usize) -> Result<DataType> {
        if depth > MAX_DEPTH {
            return Err(self
                .expected(&format!("at most {MAX_DEPTH} types inside one another"), self.at)
                .with_help("land the deep part as json"));
        }
        let start = self.start();
        let word = self.word();
        if let Some((_, simple)) = SIMPLE.iter().find(|(name, _)| *name == word) {
            return Ok(simple.clone());
        }
        match word {
            "decimal" => self.decimal(),
            "timestamp" => self.timestamp(),
            "list" => {
                self.take('<')?;
                let item = self.data_type(depth + 1)?;
                self.take('>')?;
                Ok(DataType::List(Box::new(item)))
            }
            "map" => self.map(depth),
            "struct" => self.members(depth),
            _ => Err(self.unknown_type(word, start)),
        }
    }

    fn decimal(&mut self) -> Result<DataType> {
        self.take('(')?;
        let precision = self.digits(1, 38, "a number of digits from 1 to 38")?;
        self.take(',')?;
        let scale = self.digits(0, precision, &format!("a number of fraction digits from 0 to {precision}"))?;
        self.take(')')?;
        Ok(DataType::Decimal { precision, scale })
    }

    fn timestamp(&mut self) -> Result<DataType> {
        self.take('(')?;
        let start = self.start();
        let unit = match self.word() {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" => TimeUnit::Microsecond,
            "ns" => TimeUnit::Nanosecond,
            _ => return Err(self.expected("a unit: s, ms, us or ns", start)),
        };
        let utc = self.eat(',');
        if utc {
            let start = self.start();
            if self.word() != "UTC" {
                return Err(self
                    .expected("the zone UTC", start)
                    .with_help("landed instants are in UTC; a transform can show them in another zone"));
            }
        }
        self.take(')')?;
        Ok(DataType::Timestamp { unit, utc })
    }

    fn map(&mut self, depth: usize) -> Result<DataType> {
        self.take('<')?;
        let start = self.start();
        if self.word() != "utf8" {
            return Err(self.expected("utf8: names in JSON are text", start));
        }
        self.take(',')?;
        let value = self.data_type(depth + 1)?;
        self.take('>')?;
        Ok(DataType::Map(Box::new(value)))
    }

    fn members(&mut self, depth: usize) -> Result<DataType> {
        self.take('<')?;
        let mut members: Vec<(String, DataType)> = Vec::new();
        loop {
            let start = self.start();
            let name = self.name(start)?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err(self.expected(&format!("a name other than `{name}`, which is there already"), start));
            }
            self.take(':')?;
            members.push((name, self.data_type(depth + 1)?));
            if !self.eat(',') {
                self.take('>')?;
                return Ok(DataType::Struct(members));
            }
        }
    }

    fn name(&mut self, start: usize) -> Result<String> {
        if self.text[self.at..].starts_with('"') {
            let mut names = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<String>();
            let Some(Ok(name)) = names.next() else {
                return Err(self.expected("a member's name as a JSON string", start));
            };
            self.at += names.byte_offset();
            return Ok(name);
        }
        match self.word() {
            "" => Err(self.expected("a member's name", start)),
            word => Ok(word.to_owned()),
        }
    }

    fn digits(&mut self, least: u8, most: u8, expected: &str) -> Result<u8> {
        let start = self.start();
        match self.word().parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(self.expected(expected, start)),
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.char_indices().find(|(_, letter)| !is_plain_name(letter.encode_utf8(&mut [0; 4])));
        let word = &rest[..end.map_or(rest.len(), |(index, _)| index)];
        self.at += word.len();
        word
    }

    fn take(&mut self, sign: char) -> Result<()> {
        let start = self.start();
        if self.eat(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"), start)) }
    }

    fn eat(&mut self, sign: char) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    /// Where the next part begins.
    fn start(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expected(&self, what: &str, at: usize) -> Error {
        let position = self.text[..at].chars().count() + 1;
        let shown: String = self.text.chars().take(SHOWN_LETTERS).collect();
        let more = if shown.len() < self.text.len() { "…" } else { "" };
        Error::config(format!("type `{shown}{more}`: expected {what} at position {position}"))
            .with_help(format!("the types are {}", KNOWN.join(", ")))
    }

    fn unknown_type(&self, word: &str, at: usize) -> Error {
        let error = self.expected("a type", at);
        if word.is_empty() {
            return error;
        }
        let meant = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(word));
        let meant = meant.map_or_else(|| nearest(word, KNOWN), |(_, name)| name);
        error.with_help(format!("did you mean `{meant}`? the types are {}", KNOWN.join(", ")))
    }
}

/// The known spelling that is nearest to what was written.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> &'a str {
    let written = written.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&written, name.split(['(', '<']).next().unwrap_or(name));
    known.iter().copied().min_by_key(|name| distance(name)).unwrap_or_default()
}

/// Types inside one another, at most: reading and loading them recurses.
const MAX_DEPTH: usize = 32;

/// How much of a type's text an error repeats.
const SHOWN_LETTERS: usize = 120;

const KNOWN: &[&str] = &[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "decimal(p,s)",
    "utf8",
    "binary",
    "date",
    "timestamp(ms)",
    "timestamp(ms,UTC)",
    "list<T>",
    "struct<a: T>",
    "map<utf8,T>",
    "json",
];

/// What other systems call our types.
const ALIASES: &[(&str, &str)] = &[
    ("string", "utf8"),
    ("str", "utf8"),
    ("text", "utf8"),
    ("varchar", "utf8"),
    ("long", "int64"),
    ("bigint", "int64"),
    ("int", "int32"),
    ("integer", "int32"),
    ("double", "float64"),
    ("float", "float64"),
    ("number", "float64"),
    ("numeric", "decimal(p,s)"),
    ("bytes", "binary"),
    ("array", "list<T>"),
    ("object", "json"),
    ("any", "json"),
    ("datetime", "timestamp(ms,UTC)"),
    ("timestamptz", "timestamp(us,UTC)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_what_it_writes() {
        let texts = [
            "bool",
            "int8",
            "uint64",
            "float32",
            "decimal(38,0)",
            "decimal(10,2)",
            "utf8",
            "binary",
            "date",
            "json",
            "timestamp(s)",
            "timestamp(ns,UTC)",
            "list<list<int8>>",
            "map<utf8,list<json>>",
            r#"struct<a: int64, b-c: struct<"odd name": utf8>, "": bool>"#,
        ];
        for text in texts {
            assert_eq!(text.parse::<DataType>().expect(text).to_string(), text);
        }
        assert_eq!(
            " list < decimal( 5 , 2 ) > ".parse::<DataType>().expect("spaces do not count").to_string(),
            "list<decimal(5,2)>"
        );
    }

    #[test]
    fn an_unknown_type_is_refused_with_its_position_and_the_nearest_one() {
        let error = "struct<a: int64, b: utf88>".parse::<DataType>().expect_err("it is unknown");
        assert!(error.message().contains("position 21"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("`utf8`")), "{error:?}");
        let error = "STRING".parse::<DataType>().expect_err("it is unknown");
        assert!(error.help().is_some_and(|help| help.contains("`utf8`")), "{error:?}");
    }

    #[test]
    fn types_that_cannot_be_are_refused() {
        let deep = format!("{}int8{}", "list<".repeat(100_000), ">".repeat(100_000));
        let texts = [
            "",
            "decimal",
            "decimal(39,0)",
            "decimal(0,0)",
            "decimal(5,6)",
            "decimal(5)",
            "timestamp",
            "timestamp(m)",
            "timestamp(ms,Europe/Paris)",
            "list<>",
            "list<int8",
            "struct<>",
            "struct<a: int8, a: int8>",
            "map<int8,utf8>",
            "int64 x",
            "list<int8>>",
            "struct<\"a: int8>",
            &deep,
        ];
        for text in texts {
            assert!(text.parse::<DataType>().is_err(), "{}", &text[..text.len().min(40)]);
        }
    }
}
