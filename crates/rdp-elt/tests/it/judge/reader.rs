//! What a payload must become, read a second time: by serde_json's grammar, and by the exactness table written down again.

use std::collections::HashSet;
use std::fmt;

use arrow::datatypes::TimeUnit;
use rdp_elt::load::UnknownFields;
use rdp_elt::{DataType, Schema};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::value::Value;
use super::{moment, number};

/// What must become of a payload.
pub(crate) struct Reading {
    /// The payload columns and what is kept beside them; or the record must be quarantined.
    pub(crate) fit: Result<(Vec<Value>, Vec<Extra>), Misfit>,
    /// Whether the rules leave it to the engine to quarantine it all the same: nested very deeply, or at the end of time.
    pub(crate) may_misfit: bool,
}

/// The payload does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

/// A member that the schema does not name: its name, and its text or what of it is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    Whole(String, String),
    Inside(String, Vec<Extra>),
}

/// Reads payloads under one schema.
pub(crate) struct Reader {
    schema: Schema,
    unknown_fields: UnknownFields,
    root: Node,
}

/// The declared paths as a tree.
enum Node {
    Field(usize),
    Inner(Vec<(String, Node)>),
}

/// What is noticed while one value is taken.
#[derive(Default)]
struct Notes {
    has_unknown: bool,
    may_misfit: bool,
}

type Fit<T> = Result<T, Misfit>;
type Member<'a> = (&'a RawValue, &'a RawValue);

impl Reader {
    pub(crate) fn new(schema: &Schema, unknown_fields: UnknownFields) -> Self {
        let mut root = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            plant(&mut root, &field.segments().expect("the schema was accepted"), index);
        }
        Reader { schema: schema.clone(), unknown_fields, root: Node::Inner(root) }
    }

    pub(crate) fn read(&self, payload: &[u8]) -> Reading {
        let mut notes = Notes { may_misfit: nests_deeply(payload), ..Notes::default() };
        let fit = self.read_noting(payload, &mut notes);
        Reading { fit, may_misfit: notes.may_misfit }
    }

    fn read_noting(&self, payload: &[u8], notes: &mut Notes) -> Fit<(Vec<Value>, Vec<Extra>)> {
        // Read raw, nothing is decided about what numbers and surrogates mean: whether it is JSON, and no more.
        let raw = serde_json::from_slice::<&RawValue>(payload).map_err(|_| Misfit)?;
        let mut values = vec![None; self.schema.fields().len()];
        let extra = self.walk(&self.root, raw.get(), &mut values, notes)?;
        let columns =
            self.schema.fields().iter().zip(values).map(|(field, value)| match value.unwrap_or(Value::Null) {
                Value::Null if field.required => Err(Misfit),
                value => Ok(value),
            });
        Ok((columns.collect::<Fit<_>>()?, extra))
    }

    fn walk(&self, node: &Node, text: &str, values: &mut [Option<Value>], notes: &mut Notes) -> Fit<Vec<Extra>> {
        let Node::Inner(declared) = node else { return Err(Misfit) };
        let mut extra = Vec::new();
        let mut seen = HashSet::new();
        for (raw_name, value) in members(text)? {
            let name = name_of(raw_name);
            match declared.iter().find(|(declared, _)| Some(declared) == name.as_ref()) {
                None if self.unknown_fields == UnknownFields::Quarantine => return Err(Misfit),
                None => extra.push(Extra::Whole(shown(raw_name), value.get().to_owned())),
                Some((name, _)) if !seen.insert(name) => return Err(Misfit),
                Some((name, Node::Field(index))) => {
                    notes.has_unknown = false;
                    let data_type = &self.schema.fields()[*index].data_type;
                    values[*index] = Some(self.take(data_type, value.get(), notes)?);
                    if notes.has_unknown {
                        extra.push(Extra::Whole(name.clone(), value.get().to_owned()));
                    }
                }
                Some(_) if value.get() == "null" => {}
                Some((name, inner)) => {
                    let inside = self.walk(inner, value.get(), values, notes)?;
                    if !inside.is_empty() {
                        extra.push(Extra::Inside(name.clone(), inside));
                    }
                }
            }
        }
        Ok(extra)
    }

    /// A literal as a value of this type.
    fn take(&self, data_type: &DataType, literal: &str, notes: &mut Notes) -> Fit<Value> {
        if literal == "null" {
            return Ok(Value::Null);
        }
        let value = match data_type {
            DataType::Bool => Some(Value::Bool(serde_json::from_str(literal).map_err(|_| Misfit)?)),
            DataType::Int8 => integer(literal, i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => integer(literal, i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => integer(literal, i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => integer(literal, i64::MIN.into(), i64::MAX.into()),
            DataType::Uint8 => integer(literal, 0, u8::MAX.into()),
            DataType::Uint16 => integer(literal, 0, u16::MAX.into()),
            DataType::Uint32 => integer(literal, 0, u32::MAX.into()),
            DataType::Uint64 => integer(literal, 0, u64::MAX.into()),
            // The standard library's own: serde_json's may be a step off the nearest.
            DataType::Float32 if is_number(literal) => {
                let value = literal.parse::<f32>().ok().filter(|value| value.is_finite());
                value.map(|value| Value::Float(value.to_bits().into()))
            }
            DataType::Float64 if is_number(literal) => {
                let value = literal.parse::<f64>().ok().filter(|value| value.is_finite());
                value.map(|value| Value::Float(value.to_bits()))
            }
            DataType::Decimal { precision, scale } => {
                let text = if is_number(literal) { literal.to_owned() } else { string(literal)? };
                // The text of a string is a number where serde_json takes the whole of it for one.
                let is_one = serde_json::from_str::<&RawValue>(&text).is_ok_and(|raw| raw.get() == text);
                let value = (is_one && is_number(&text))
                    .then(|| number::decimal(&text, usize::from(*precision), usize::from(*scale)));
                value.flatten().map(Value::Integer)
            }
            DataType::Utf8 => Some(Value::Text(string(literal)?)),
            DataType::Binary => number::base64(&string(literal)?).map(Value::Bytes),
            DataType::Date => moment::days(&string(literal)?).map(|days| Value::Integer(days.into())),
            DataType::Timestamp { unit, utc } => {
                let counted = if literal.starts_with('"') {
                    moment::counted(&string(literal)?, *unit, *utc)
                } else {
                    epoch(literal, *unit, notes)
                };
                // Seconds land as milliseconds.
                let step = if *unit == TimeUnit::Second { 1_000 } else { 1 };
                counted.map(|counted| Value::Integer(counted * step))
            }
            DataType::Json => Some(Value::Text(literal.to_owned())),
            DataType::List(item) => {
                let items: Vec<&RawValue> = serde_json::from_str(literal).map_err(|_| Misfit)?;
                let items = items.into_iter().map(|one| self.take(item, one.get(), notes));
                Some(Value::List(items.collect::<Fit<_>>()?))
            }
            DataType::Map(value) => {
                let mut seen = HashSet::new();
                let entries = members(literal)?.into_iter().map(|(name, one)| {
                    let name = name_of(name).filter(|name| seen.insert(name.clone())).ok_or(Misfit)?;
                    Ok((name, self.take(value, one.get(), notes)?))
                });
                Some(Value::Members(entries.collect::<Fit<_>>()?))
            }
            DataType::Struct(declared) => Some(self.members_of(declared, literal, notes)?),
            _ => None,
        };
        value.ok_or(Misfit)
    }

    fn members_of(&self, declared: &[(String, DataType)], literal: &str, notes: &mut Notes) -> Fit<Value> {
        let mut values: Vec<Option<Value>> = vec![None; declared.len()];
        for (raw_name, one) in members(literal)? {
            let name = name_of(raw_name);
            match declared.iter().position(|(declared, _)| Some(declared) == name.as_ref()) {
                Some(place) if values[place].is_some() => return Err(Misfit),
                Some(place) => values[place] = Some(self.take(&declared[place].1, one.get(), notes)?),
                None if self.unknown_fields == UnknownFields::Quarantine => return Err(Misfit),
                None => notes.has_unknown = true,
            }
        }
        let names = declared.iter().map(|(name, _)| name.clone());
        Ok(Value::Members(names.zip(values.into_iter().map(|value| value.unwrap_or(Value::Null))).collect()))
    }

    /// A landed `_rdp_extra`, in the form in which a reading says it.
    pub(crate) fn extra_of(&self, text: &str) -> Vec<Extra> {
        extra_under(Some(&self.root), text)
    }
}

fn extra_under(node: Option<&Node>, text: &str) -> Vec<Extra> {
    let Some(Node::Inner(declared)) = node else { panic!("nothing is kept inside a field: {text}") };
    let found = members(text).unwrap_or_else(|_| panic!("_rdp_extra is no object: {text}"));
    let one = |(raw_name, value): Member<'_>| {
        let name = name_of(raw_name);
        match declared.iter().find(|(declared, _)| Some(declared) == name.as_ref()) {
            Some((name, inner @ Node::Inner(_))) => Extra::Inside(name.clone(), extra_under(Some(inner), value.get())),
            Some((name, Node::Field(_))) => Extra::Whole(name.clone(), value.get().to_owned()),
            None => Extra::Whole(shown(raw_name), value.get().to_owned()),
        }
    };
    found.into_iter().map(one).collect()
}

fn plant(nodes: &mut Vec<(String, Node)>, path: &[String], index: usize) {
    let (first, rest) = path.split_first().expect("a path names something");
    if rest.is_empty() {
        return nodes.push((first.clone(), Node::Field(index)));
    }
    if !nodes.iter().any(|(name, _)| name == first) {
        nodes.push((first.clone(), Node::Inner(Vec::new())));
    }
    if let Some((_, Node::Inner(inner))) = nodes.iter_mut().find(|(name, _)| name == first) {
        plant(inner, rest, index);
    }
}

/// An object's members in their order, repeats kept, each name and value as its own text.
fn members(text: &str) -> Fit<Vec<Member<'_>>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<Member<'de>>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Members).map_err(|_| Misfit)
}

/// A member's name; `None` where it has half of a surrogate pair.
fn name_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A name that is not declared, as it stands in the payload.
fn shown(raw: &RawValue) -> String {
    raw.get().to_owned()
}

fn string(literal: &str) -> Fit<String> {
    serde_json::from_str(literal).map_err(|_| Misfit)
}

fn is_number(literal: &str) -> bool {
    literal.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn integer(literal: &str, least: i128, most: i128) -> Option<Value> {
    let value = whole(literal)?;
    (least..=most).contains(&value).then_some(Value::Integer(value))
}

fn whole(literal: &str) -> Option<i128> {
    (is_number(literal) && !literal.contains(['.', 'e', 'E'])).then(|| literal.parse().ok())?
}

fn epoch(literal: &str, unit: TimeUnit, notes: &mut Notes) -> Option<i128> {
    let value = whole(literal).filter(|value| i64::try_from(*value).is_ok())?;
    let reached = moment::is_reached(value, unit);
    notes.may_misfit |= reached.is_none();
    reached.unwrap_or(true).then_some(value)
}

/// Whether brackets outside of strings nest to about the depth at which the engine gives up.
fn nests_deeply(payload: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in payload {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 500 {
            return true;
        }
    }
    false
}
