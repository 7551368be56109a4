//! Proposes a landing schema from sampled payloads, for `rdp schema`.
//!
//! What the samples hold is read by the same cursor as the load, so that a type is proposed only where every sampled value fits it.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::TimeUnit;

use super::cursor::Cursor;
use super::misfit::Misfit;
use super::temporal::{self, RecentDate};
use crate::error::Result;
use crate::schema::{DataType, Field, RESERVED_PREFIXES, Schema};

/// A landing schema that every sample fits, and what it rests on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InferredSchema {
    /// The schema; its fields come in the order in which the samples had them.
    pub schema: Schema,
    /// Samples that are one JSON object each: the schema rests on these.
    pub sample_count: u64,
    /// Samples that are not; they would be quarantined under any schema.
    pub not_json_count: u64,
    /// Names of payload fields that no column is proposed for: empty ones, and ones that a sample has twice.
    pub left_out: Vec<String>,
}

/// Proposes a schema for payloads like these.
///
/// Types are widened until every sampled value fits: integers to int64, then uint64, decimal(38,0); with fractions
/// among them float64; strings that are all dates or all timestamps to those, else utf8; objects to a struct where most
/// of them have the same members, else json; values of different kinds, and values that were always null, to json. No
/// field is proposed as required.
///
/// # Errors
/// [`Internal`](crate::ErrorKind::Internal) where the proposal is no schema.
pub fn infer_schema<'a>(samples: impl IntoIterator<Item = &'a [u8]>) -> Result<InferredSchema> {
    let mut root = Members::default();
    let mut not_json_count = 0;
    for sample in samples {
        if is_object(sample).is_err() || observe_root(sample, &mut root).is_err() {
            not_json_count += 1;
        }
    }
    let mut fields: Vec<Field> = Vec::new();
    let mut left_out = Vec::new();
    let mut taken: HashSet<String> = root.places.keys().cloned().collect();
    for member in &root.members {
        if member.name.is_empty() || member.repeated {
            left_out.push(member.name.clone());
            continue;
        }
        let field = Field::new(member.name.clone(), member.shape.data_type());
        fields.push(Field { name: landing_name(&member.name, &mut taken), ..field });
    }
    Ok(InferredSchema { schema: Schema::new(fields)?, sample_count: root.count, not_json_count, left_out })
}

/// The field's own name, unless RDP's own columns have such names: then one that no other field has.
fn landing_name(name: &str, taken: &mut HashSet<String>) -> String {
    if !RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return name.to_owned();
    }
    let mut name = format!("payload{name}");
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

fn is_object(sample: &[u8]) -> Result<(), Misfit> {
    let mut cursor = Cursor::new(sample)?;
    if cursor.skip_space() != b'{' {
        return Err(cursor.expected("an object"));
    }
    cursor.value()?;
    cursor.end()
}

fn observe_root(sample: &[u8], root: &mut Members) -> Result<(), Misfit> {
    let mut cursor = Cursor::new(sample)?;
    cursor.skip_space();
    root.observe(&mut cursor, 0).map(drop)
}

/// What the values of one field have been so far.
#[derive(Default)]
enum Shape {
    #[default]
    Unseen,
    Bool,
    Number(Numbers),
    /// Strings; the types that each of them reads as, most wanted first.
    Text(Vec<DataType>),
    List(Box<Shape>),
    Object(Members),
    Any,
}

/// The members of the objects at one place.
#[derive(Default)]
struct Members {
    members: Vec<Observed>,
    places: HashMap<String, usize>,
    /// Objects seen.
    count: u64,
    /// Whether a name could not be decoded.
    odd: bool,
}

struct Observed {
    name: String,
    shape: Shape,
    /// Objects that have it.
    count: u64,
    /// Whether one object has it twice.
    repeated: bool,
}

/// What the numbers of one field have in common.
struct Numbers {
    integers: bool,
    fits_int64: bool,
    fits_uint64: bool,
    fits_decimal: bool,
    /// Every one is finite as a float, and every integer literal is that float exactly.
    fits_float64: bool,
}

impl Shape {
    fn observe(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Misfit> {
        match cursor.peek() {
            b'n' => return cursor.value().map(drop),
            b't' | b'f' => {
                cursor.value()?;
                self.become_or_any(Shape::Bool);
            }
            b'"' => self.observe_text(cursor)?,
            b'[' if depth < MAX_DEPTH => self.observe_list(cursor, depth)?,
            b'{' if depth < MAX_DEPTH => {
                if matches!(self, Shape::Unseen) {
                    *self = Shape::Object(Members::default());
                }
                match self {
                    Shape::Object(members) => members.observe(cursor, depth)?,
                    _ => self.give_up(cursor)?,
                }
            }
            b'[' | b'{' => self.give_up(cursor)?,
            _ => {
                let literal = cursor.number()?;
                if matches!(self, Shape::Unseen) {
                    *self = Shape::Number(Numbers::default());
                }
                match self {
                    Shape::Number(numbers) => numbers.observe(literal),
                    _ => *self = Shape::Any,
                }
            }
        }
        Ok(())
    }

    fn observe_text(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Misfit> {
        let mut text = Vec::new();
        let decodes = cursor.string()?.decode(&mut text);
        if matches!(self, Shape::Unseen) {
            *self = Shape::Text(text_types());
        }
        match self {
            Shape::Text(types) if decodes => types.retain(|data_type| reads_as(&text, data_type)),
            // Half of a surrogate pair lands as json only.
            _ => *self = Shape::Any,
        }
        Ok(())
    }

    fn observe_list(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Misfit> {
        if matches!(self, Shape::Unseen) {
            *self = Shape::List(Box::default());
        }
        let Shape::List(item) = self else {
            return self.give_up(cursor);
        };
        let mut more = cursor.open(b']');
        while more {
            item.observe(cursor, depth + 1)?;
            more = cursor.more(b']')?;
        }
        Ok(())
    }

    fn give_up(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Misfit> {
        *self = Shape::Any;
        cursor.value().map(drop)
    }

    fn become_or_any(&mut self, shape: Shape) {
        let same = std::mem::discriminant(self) == std::mem::discriminant(&shape);
        *self = if same || matches!(self, Shape::Unseen) { shape } else { Shape::Any };
    }

    fn data_type(&self) -> DataType {
        match self {
            Shape::Bool => DataType::Bool,
            Shape::Number(numbers) => numbers.data_type(),
            Shape::Text(types) => types.first().cloned().unwrap_or(DataType::Utf8),
            Shape::List(item) => DataType::List(Box::new(item.data_type())),
            Shape::Object(members) => members.data_type(),
            Shape::Unseen | Shape::Any => DataType::Json,
        }
    }
}

impl Members {
    /// Reads the object that the cursor stands before.
    fn observe(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Misfit> {
        self.count += 1;
        let mut seen = Vec::new();
        let mut more = cursor.open(b'}');
        while more {
            let mut name = Vec::new();
            let decodes = cursor.string()?.decode(&mut name);
            cursor.colon()?;
            match String::from_utf8(name) {
                Ok(name) if decodes => {
                    let place = self.place(name);
                    seen.push(place);
                    self.members[place].shape.observe(cursor, depth + 1)?;
                }
                _ => {
                    self.odd = true;
                    cursor.value()?;
                }
            }
            more = cursor.more(b'}')?;
        }
        seen.sort_unstable();
        for twice in seen.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.members[twice[0]].repeated = true;
        }
        seen.dedup();
        seen.into_iter().for_each(|place| self.members[place].count += 1);
        Ok(())
    }

    fn place(&mut self, name: String) -> usize {
        if let Some(place) = self.places.get(&name) {
            return *place;
        }
        let place = self.members.len();
        self.places.insert(name.clone(), place);
        self.members.push(Observed { name, shape: Shape::Unseen, count: 0, repeated: false });
        place
    }

    /// A struct where the objects are alike, else json: under a struct, members that come later would not land.
    fn data_type(&self) -> DataType {
        let alike = |member: &Observed| !member.repeated && member.count * 2 >= self.count;
        if self.odd || self.members.is_empty() || self.members.len() > MAX_MEMBERS || !self.members.iter().all(alike) {
            return DataType::Json;
        }
        DataType::Struct(self.members.iter().map(|member| (member.name.clone(), member.shape.data_type())).collect())
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers { integers: true, fits_int64: true, fits_uint64: true, fits_decimal: true, fits_float64: true }
    }
}

impl Numbers {
    fn observe(&mut self, literal: &str) {
        let integer = !literal.contains(['.', 'e', 'E']);
        // `-0` is an integer that `u64` does not read.
        let unsigned = if literal == "-0" { "0" } else { literal };
        let float = literal.parse::<f64>().unwrap_or(f64::INFINITY);
        self.integers &= integer;
        self.fits_int64 &= literal.parse::<i64>().is_ok();
        self.fits_uint64 &= unsigned.parse::<u64>().is_ok();
        self.fits_decimal &= literal.trim_start_matches('-').len() <= 38;
        self.fits_float64 &= float.is_finite() && (!integer || float.abs() <= LARGEST_EXACT);
    }

    fn data_type(&self) -> DataType {
        match self {
            Numbers { integers: true, fits_int64: true, .. } => DataType::Int64,
            Numbers { integers: true, fits_uint64: true, .. } => DataType::Uint64,
            Numbers { integers: true, fits_decimal: true, .. } => DataType::Decimal { precision: 38, scale: 0 },
            Numbers { integers: false, fits_float64: true, .. } => DataType::Float64,
            _ => DataType::Json,
        }
    }
}

/// What strings may stand for, most wanted first.
fn text_types() -> Vec<DataType> {
    let units = [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let timestamps = [true, false].into_iter().flat_map(|utc| units.map(|unit| DataType::Timestamp { unit, utc }));
    std::iter::once(DataType::Date).chain(timestamps).collect()
}

fn reads_as(text: &[u8], data_type: &DataType) -> bool {
    let is_timestamp = |unit, utc| temporal::parse_timestamp(text, unit, utc, &mut RecentDate::default()).is_ok();
    match *data_type {
        DataType::Date => temporal::parse_date(text).is_some(),
        DataType::Timestamp { unit, utc: true } => is_timestamp(unit, true),
        // Text with a zone would fit too, and lose it.
        DataType::Timestamp { unit, .. } => is_timestamp(unit, false) && !is_timestamp(unit, true),
        _ => false,
    }
}

/// How deep inside one field types are told apart; deeper values land as json.
const MAX_DEPTH: usize = 6;

/// A struct of more members is likely a map.
const MAX_MEMBERS: usize = 100;

/// Integers up to here are floats without loss.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
