//! The json format: walks one payload along the schema and fills the columns as it goes.
//!
//! There is no tree and no intermediate row: a value goes from the payload's bytes into its column's buffer. A record
//! that turns out not to fit is taken back by cutting every column to the rows before it.

mod extra;
mod value;

#[cfg(test)]
mod exactness;

use arrow::datatypes::Field as ArrowField;

use self::extra::Extra;
use self::value::Walk;
use super::column::Column;
use super::cursor::Cursor;
use super::misfit::Misfit;
use super::{Load, PayloadColumns, UnknownFields};
use crate::error::Result;
use crate::load::names::{Member, Names};
use crate::schema::Schema;

/// Payloads that are one JSON object each.
pub(super) struct JsonLoad {
    root: Node,
    payload: Payload,
}

/// What the schema says of one object on the way to the declared fields.
struct Node {
    names: Names,
    members: Vec<Target>,
}

/// Where a declared member leads.
enum Target {
    /// To a field's column.
    Field(usize),
    /// To an object that has declared fields inside; with the record that it was last seen in.
    Inner { node: Node, seen: u64 },
}

/// The names that lead to a field from here, and the field's index.
type FieldPath<'a> = (&'a [String], usize);

/// The columns, and how far they are.
struct Payload {
    fields: Vec<LandingField>,
    /// Rows that are complete.
    rows: usize,
    /// Fields that the record in hand has had.
    taken: usize,
    /// A number for the record in hand.
    record: u64,
    walk: Walk,
    extra: Option<Extra>,
}

struct LandingField {
    name: String,
    required: bool,
    column: Column,
}

impl JsonLoad {
    pub(super) fn new(schema: &Schema, unknown_fields: UnknownFields) -> Result<Self> {
        let paths = schema.fields().iter().map(|field| field.segments()).collect::<Result<Vec<_>>>()?;
        let fields = schema.fields().iter().map(|field| LandingField {
            name: field.name.clone(),
            required: field.required,
            column: Column::new(&field.data_type),
        });
        let payload = Payload {
            fields: fields.collect(),
            rows: 0,
            taken: 0,
            record: 0,
            walk: Walk::new(unknown_fields),
            extra: (unknown_fields == UnknownFields::Keep).then(Extra::default),
        };
        let leaves = paths.iter().enumerate().map(|(index, path)| (path.as_slice(), index)).collect();
        Ok(JsonLoad { root: Node::new(leaves), payload })
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        let mut cursor = Cursor::new(bytes)?;
        if cursor.skip_space() != b'{' {
            return Err(not_an_object(&mut cursor, bytes));
        }
        self.payload.begin();
        self.root.walk(&mut self.payload, &mut cursor)?;
        cursor.end()?;
        self.payload.complete()
    }
}

impl Load for JsonLoad {
    fn fields(&self) -> Vec<ArrowField> {
        let fields = self.payload.fields.iter();
        fields.map(|field| ArrowField::new(&field.name, field.column.data_type.to_arrow(), true)).collect()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        let outcome = self.read(bytes);
        match outcome {
            Ok(()) => self.payload.rows += 1,
            Err(_) => self.payload.truncate(self.payload.rows),
        }
        outcome
    }

    fn append_null(&mut self) {
        self.payload.fields.iter_mut().for_each(|field| field.column.append_null());
        if let Some(extra) = &mut self.payload.extra {
            extra.append_null();
        }
        self.payload.rows += 1;
    }

    fn clear(&mut self) {
        self.payload.truncate(0);
        self.payload.rows = 0;
    }

    fn finish(&mut self) -> Result<PayloadColumns> {
        self.payload.rows = 0;
        let fields = self.payload.fields.iter_mut().map(|field| field.column.finish()).collect::<Result<_>>()?;
        let extra = self.payload.extra.as_mut().map(Extra::finish).transpose()?;
        Ok(PayloadColumns { fields, extra })
    }
}

impl Node {
    /// The tree of these paths; members come in the order in which the schema lists them.
    fn new(paths: Vec<FieldPath<'_>>) -> Self {
        let mut groups: Vec<(&str, Vec<FieldPath<'_>>)> = Vec::new();
        for (path, index) in paths {
            let Some((first, rest)) = path.split_first() else { continue };
            match groups.iter_mut().find(|(name, _)| name == first) {
                Some((_, group)) => group.push((rest, index)),
                None => groups.push((first, vec![(rest, index)])),
            }
        }
        let names = Names::new(groups.iter().map(|(name, _)| *name));
        let members = groups.into_iter().map(|(_, group)| match group.as_slice() {
            [([], index)] => Target::Field(*index),
            _ => Target::Inner { node: Node::new(group), seen: 0 },
        });
        Node { members: members.collect(), names }
    }

    /// Reads the object that the cursor stands before.
    fn walk(&mut self, payload: &mut Payload, cursor: &mut Cursor<'_>) -> Result<(), Misfit> {
        let mut slot = 0;
        let mut more = cursor.open(b'}');
        while more {
            match self.names.read(cursor, slot)? {
                Member::Declared(index) => {
                    slot = index + 1;
                    match &mut self.members[index] {
                        Target::Field(field) => payload.take(*field, cursor, &self.names, index)?,
                        Target::Inner { node, seen } => {
                            if *seen == payload.record {
                                return Err(Misfit::new("it appears twice").in_member(&self.names.name(index)));
                            }
                            *seen = payload.record;
                            node.enter(payload, cursor, &self.names, index)?;
                        }
                    }
                }
                Member::Unknown(name) => payload.unknown(name, cursor)?,
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    /// Reads the value of a member that must be an object or null.
    fn enter(
        &mut self,
        payload: &mut Payload,
        cursor: &mut Cursor<'_>,
        outer: &Names,
        index: usize,
    ) -> Result<(), Misfit> {
        match cursor.peek() {
            b'{' => {
                if let Some(extra) = &mut payload.extra {
                    extra.open(outer.token(index));
                }
                self.walk(payload, cursor).map_err(|misfit| misfit.in_path(&outer.name(index)))?;
                if let Some(extra) = &mut payload.extra {
                    extra.close();
                }
                Ok(())
            }
            // Its fields are absent then.
            b'n' if cursor.eat(b"null") => Ok(()),
            _ => Err(cursor.mismatch("an object, for the fields inside it").in_member(&outer.name(index))),
        }
    }
}

impl Payload {
    fn begin(&mut self) {
        self.taken = 0;
        self.record += 1;
        if let Some(extra) = &mut self.extra {
            extra.begin();
        }
    }

    #[inline]
    fn take(&mut self, field: usize, cursor: &mut Cursor<'_>, names: &Names, index: usize) -> Result<(), Misfit> {
        let LandingField { name, required, column } = &mut self.fields[field];
        if column.len() > self.rows {
            return Err(Misfit::new("it appears twice").in_field(name));
        }
        let start = cursor.at();
        let has_value = column.take(cursor, &mut self.walk).map_err(|misfit| misfit.in_field(name))?;
        if *required && !has_value {
            return Err(Misfit::value(format_args!("a value of type {}", column.data_type), b"null").in_field(name));
        }
        self.taken += 1;
        if std::mem::take(&mut self.walk.has_unknown)
            && let Some(extra) = &mut self.extra
        {
            extra.push(names.token(index), cursor.since(start));
        }
        Ok(())
    }

    fn unknown(&mut self, name: &[u8], cursor: &mut Cursor<'_>) -> Result<(), Misfit> {
        if self.walk.unknown_fields == UnknownFields::Quarantine {
            return Err(Misfit::new("the schema does not name it").in_member(&String::from_utf8_lossy(name)));
        }
        let value = cursor.value()?;
        if let Some(extra) = &mut self.extra {
            extra.push_raw(name, value);
        }
        Ok(())
    }

    /// Ends the record: what did not come is null.
    #[inline]
    fn complete(&mut self) -> Result<(), Misfit> {
        if self.taken < self.fields.len() {
            for LandingField { name, required, column } in &mut self.fields {
                if column.len() == self.rows {
                    if *required {
                        return Err(Misfit::new(format!("expected a value of type {}, found none", column.data_type))
                            .in_field(name));
                    }
                    column.append_null();
                }
            }
        }
        if let Some(extra) = &mut self.extra {
            extra.end();
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.fields.iter_mut().for_each(|field| field.column.truncate(rows));
        if let Some(extra) = &mut self.extra {
            extra.truncate(rows);
        }
        self.walk.has_unknown = false;
    }
}

#[cold]
fn not_an_object(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Misfit {
    if bytes.is_empty() {
        return Misfit::new("the payload is empty, expected one JSON object");
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return Misfit::new("the payload begins with a byte order mark, which JSON has not; expected one JSON object");
    }
    cursor.mismatch("one JSON object as the payload")
}
