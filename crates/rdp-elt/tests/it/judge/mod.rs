//! Judges load from outside: by its public face, against a reading of the same bytes that shares no code with it.
//!
//! Two generators call it: property tests here, and libFuzzer in `fuzz/`.

mod moment;
mod number;
mod reader;
mod value;

use std::borrow::Cow;

use arrow::array::RecordBatch;
use rdp_elt::load::{Format, LoadOptions, OnError, RecordLoader, UnknownFields};
use rdp_elt::schema::RDP_EXTRA;
use rdp_elt::{HeaderVisitor, Headers, RecordView, Schema, TopicPartition};

use self::reader::{Misfit, Reader};
use self::value::Value;

/// Bytes of a key, a payload or a header.
pub(crate) type Bytes<'a> = Cow<'a, [u8]>;

/// A record to load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given<'a> {
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Bytes<'a>>,
    pub(crate) headers: GivenHeaders<'a>,
    pub(crate) payload: Option<Bytes<'a>>,
}

/// Names and values, in their order. Names are bytes: nobody checks them before load.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenHeaders<'a>(pub(crate) Vec<(Bytes<'a>, Option<Bytes<'a>>)>);

/// Load under one schema and one way with unknown fields, and what it is judged by.
pub(crate) struct Judge {
    name: String,
    loader: RecordLoader,
    /// The same, but the first misfit ends it.
    strict: RecordLoader,
    reader: Reader,
    field_count: usize,
    keeps_extra: bool,
}

impl Judge {
    /// One for each of [`SCHEMAS`] and each way with unknown fields.
    pub(crate) fn all() -> Vec<Judge> {
        let ways = [UnknownFields::Ignore, UnknownFields::Keep, UnknownFields::Quarantine];
        let each = SCHEMAS.iter().flat_map(|schema| ways.map(|way| Judge::new(schema, way)));
        each.collect()
    }

    pub(crate) fn new(schema: &str, unknown_fields: UnknownFields) -> Judge {
        let name = format!("{unknown_fields:?} under {schema}");
        let schema = Schema::from_json(schema).expect("it is a schema");
        let options = LoadOptions { format: Format::Json, schema, unknown_fields, ..LoadOptions::default() };
        let strict = LoadOptions { on_error: OnError::Fail, ..options.clone() };
        Judge {
            name,
            reader: Reader::new(&options.schema, unknown_fields),
            field_count: options.schema.fields().len(),
            keeps_extra: unknown_fields == UnknownFields::Keep,
            loader: RecordLoader::new(&options).expect("the options go together"),
            strict: RecordLoader::new(&strict).expect("the options go together"),
        }
    }

    /// This judge over another's load, to see whether it notices.
    pub(crate) fn with_load_of(self, other: Judge) -> Judge {
        Judge { loader: other.loader, strict: other.strict, ..self }
    }

    /// Loads the records as one run, and panics where a row is not what its record must become.
    pub(crate) fn judge(&mut self, records: &[Given<'_>]) {
        let partition = TopicPartition::new("judged", 7);
        let mut views = records.iter().enumerate().map(Given::view);
        let loaded = self.loader.load(&partition, &mut views).expect("a misfit is a row, not an error");
        assert_eq!(loaded.rows.num_rows(), records.len(), "one row per record: {}", self.name);
        let (mut quarantined, mut tombstones) = (0, 0);
        for (row, record) in records.iter().enumerate() {
            let is_quarantined = self.row(&loaded.rows, row, record);
            quarantined += u64::from(is_quarantined);
            tombstones += u64::from(record.payload.is_none());
        }
        assert_eq!((loaded.quarantined_count, loaded.tombstone_count), (quarantined, tombstones), "{}", self.name);

        let mut views = records.iter().enumerate().map(Given::view);
        let strictly = self.strict.load(&partition, &mut views);
        assert_eq!(strictly.is_err(), quarantined > 0, "on_error = fail: {}", self.name);
        if let Ok(strictly) = strictly {
            assert_eq!(strictly.rows, loaded.rows, "on_error changes no row that fits: {}", self.name);
        }
    }

    /// Whether the row is quarantined, which it is rightly.
    fn row(&self, rows: &RecordBatch, row: usize, record: &Given<'_>) -> bool {
        let cell = |name: &str| Value::landed(rows.column_by_name(name).expect("every landing has it"), row);
        let said = || {
            let payload = record.payload.as_deref().map(|payload| payload.escape_ascii().to_string());
            format!("payload {}, {}: {:?}", payload.as_deref().unwrap_or("null"), self.name, cell("_rdp_error"))
        };
        let bytes = |bytes: &Option<Bytes<'_>>| bytes.as_ref().map_or(Value::Null, |it| Value::Bytes(it.to_vec()));
        assert_eq!(cell("_kafka_topic"), Value::Text("judged".to_owned()));
        assert_eq!(cell("_kafka_partition"), Value::Integer(7));
        assert_eq!(cell("_kafka_offset"), Value::Integer(row as i128), "{}", said());
        let timestamp = record.timestamp.map_or(Value::Null, |it| Value::Integer(it.into()));
        assert_eq!(cell("_kafka_timestamp"), timestamp, "{}", said());
        assert_eq!(cell("_kafka_key"), bytes(&record.key), "{}", said());
        assert_eq!(cell("_kafka_tombstone"), Value::Bool(record.payload.is_none()), "{}", said());
        assert_eq!(cell("_kafka_headers"), record.headers.landed(), "{}", said());

        let nothing = vec![Value::Null; self.field_count];
        let reading = record.payload.as_deref().map(|payload| self.reader.read(payload));
        let may_misfit = reading.as_ref().is_some_and(|reading| reading.may_misfit);
        let expected = match reading.map(|reading| reading.fit) {
            _ if !record.headers.have_text_names() => Err(Misfit),
            None => Ok((nothing.clone(), Vec::new())),
            Some(fit) => fit,
        };
        let columns: Vec<Value> =
            rows.columns()[..self.field_count].iter().map(|column| Value::landed(column, row)).collect();
        let extra = if self.keeps_extra { cell(RDP_EXTRA) } else { Value::Null };
        match (cell("_rdp_error"), expected) {
            (Value::Null, Ok((values, kept))) => {
                assert_eq!(columns, values, "{}", said());
                assert_eq!(cell("_kafka_value"), Value::Null, "{}", said());
                let kept = if self.keeps_extra { kept } else { Vec::new() };
                let extra = match &extra {
                    Value::Text(text) => self.reader.extra_of(text),
                    _ => Vec::new(),
                };
                assert_eq!(extra, kept, "{}", said());
                false
            }
            (Value::Null, Err(Misfit)) => panic!("it does not fit, and is not quarantined: {}", said()),
            (Value::Text(_), Ok(_)) if !may_misfit => panic!("it fits, and is quarantined: {}", said()),
            (Value::Text(reason), _) => {
                let place = format!(" (topic judged partition 7 offset {row})");
                assert!(reason.ends_with(&place) && reason.len() > place.len(), "{}", said());
                assert_eq!((columns, extra), (nothing, Value::Null), "{}", said());
                assert_eq!(cell("_kafka_value"), bytes(&record.payload), "{}", said());
                true
            }
            (other, _) => panic!("{other:?} is no reason: {}", said()),
        }
    }
}

impl<'a> Given<'a> {
    /// A record of nothing but a payload.
    pub(crate) fn payload(payload: impl Into<Bytes<'a>>) -> Self {
        Given { payload: Some(payload.into()), ..Given::default() }
    }

    fn view<'b>((offset, record): (usize, &'b Given<'_>)) -> RecordView<'b> {
        RecordView {
            offset: offset as i64,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.payload.as_deref(),
            headers: &record.headers,
        }
    }
}

impl GivenHeaders<'_> {
    fn have_text_names(&self) -> bool {
        self.0.iter().all(|(name, _)| std::str::from_utf8(name).is_ok())
    }

    fn landed(&self) -> Value {
        let header = |(name, value): &(Bytes<'_>, Option<Bytes<'_>>)| {
            let name = match std::str::from_utf8(name) {
                Ok(name) => name.to_owned(),
                Err(_) => name.escape_ascii().to_string(),
            };
            let value = value.as_ref().map_or(Value::Null, |value| Value::Bytes(value.to_vec()));
            Value::Members(vec![("name".to_owned(), Value::Text(name)), ("value".to_owned(), value)])
        };
        Value::List(self.0.iter().map(header).collect())
    }
}

impl Headers for GivenHeaders<'_> {
    fn visit(&self, each: HeaderVisitor<'_>) {
        for (name, value) in &self.0 {
            each(name, value.as_deref());
        }
    }
}

/// Every type, alone and inside the others; dotted paths, odd names, required fields.
pub(crate) const SCHEMAS: [&str; 4] = [
    r#"[{"name":"a","type":"bool"},{"name":"b","type":"int8"},{"name":"c","type":"int16"},
        {"name":"d","type":"int32"},{"name":"e","type":"int64"},{"name":"f","type":"uint8"},
        {"name":"g","type":"uint16"},{"name":"h","type":"uint32"},{"name":"i","type":"uint64"},
        {"name":"j","type":"float32"},{"name":"k","type":"float64"},{"name":"l","type":"utf8"},
        {"name":"m","type":"binary"},{"name":"n","type":"json"},{"name":"o","type":"decimal(9,2)"}]"#,
    r#"[{"name":"a","type":"date"},{"name":"b","type":"timestamp(s)"},{"name":"c","type":"timestamp(ms)"},
        {"name":"d","type":"timestamp(us)"},{"name":"e","type":"timestamp(ns)"},{"name":"f","type":"timestamp(s,UTC)"},
        {"name":"g","type":"timestamp(ms,UTC)"},{"name":"h","type":"timestamp(us,UTC)"},
        {"name":"i","type":"timestamp(ns,UTC)"},{"name":"j","type":"decimal(38,0)"},{"name":"k","type":"decimal(38,38)"},
        {"name":"l","type":"decimal(1,1)"},{"name":"m","type":"decimal(19,4)"}]"#,
    r#"[{"name":"a","type":"list<int8>"},{"name":"b","type":"list<list<utf8>>"},
        {"name":"c","type":"struct<a: int8, b: list<struct<a: decimal(9,2), \"b c\": json>>>"},
        {"name":"d","type":"map<utf8,timestamp(ms,UTC)>"},{"name":"e","type":"map<utf8,map<utf8,binary>>"},
        {"name":"f","type":"list<map<utf8,struct<a: bool, b: float64, c: date>>>"},
        {"name":"g","type":"struct<a: struct<a: struct<a: utf8>>, b: map<utf8,json>>"}]"#,
    r#"[{"name":"a","type":"int64","required":true},{"name":"city","type":"utf8","path":"b.city"},
        {"name":"lat","type":"float64","path":"b.at.lat"},{"name":"items","type":"list<struct<a: int8>>","path":"b.at.a"},
        {"name":"dot","type":"int8","path":"c\\.d"},{"name":"é","type":"json","path":"e.é\"f"},
        {"name":"deep","type":"bool","path":"f.f.f.f.f"}]"#,
];
