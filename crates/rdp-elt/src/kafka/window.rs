//! The poll window: the bounded set of records that one poll cycle takes, and what closes it.

use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};

use crate::error::{Error, Result};
use crate::offset::OffsetRanges;
use crate::record::{KafkaStreamRecord, RecordHeader};
use crate::schema::{
    KAFKA_HEADERS, KAFKA_KEY, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TIMESTAMP, KAFKA_TOPIC, KAFKA_VALUE,
};

/// When a poll window closes: at whichever limit comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLimits {
    /// Records. Default 1,000,000. More: fewer, larger files, and more to read again after a crash.
    pub max_records: usize,
    /// Bytes of keys and values, decompressed. Default 256 MiB.
    pub max_bytes: usize,
    /// Time since the window's first record. Default 60 s. Longer: fewer, larger files, and data later.
    pub max_wait: Duration,
}

impl Default for WindowLimits {
    fn default() -> Self {
        WindowLimits { max_records: 1_000_000, max_bytes: 256 << 20, max_wait: Duration::from_secs(60) }
    }
}

/// Why a poll window closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowEnd {
    /// It holds `max_records`.
    Records,
    /// It holds `max_bytes`.
    Bytes,
    /// Its rows hold as much memory as the loader may use for them.
    Memory,
    /// `max_wait` is over.
    Wait,
    /// Every partition came to the bounded run's end offset.
    EndOffsets,
    /// The run was asked to end.
    Shutdown,
    /// Partitions were taken away.
    Revoked,
}

/// The bounded set of records that one poll cycle took from its topics.
#[derive(Debug, Clone)]
pub struct PollWindow {
    /// One range per partition that moved.
    pub ranges: OffsetRanges,
    /// The records as they came, in raw Arrow columns (`_kafka_*`, the value in `_kafka_value`), slice by slice.
    pub records: Vec<RecordBatch>,
    /// Why it closed.
    pub closed_by: WindowEnd,
}

impl PollWindow {
    /// The records in their friendly, owned form: a copy of every key, value and header.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) where a column is not there or not of its type.
    pub fn to_records(&self) -> Result<Vec<KafkaStreamRecord>> {
        let mut records = Vec::with_capacity(self.records.iter().map(RecordBatch::num_rows).sum());
        for rows in &self.records {
            copy_records(rows, &mut records).ok_or_else(|| {
                Error::internal(format!("read records out of a poll window: columns {}", rows.schema()))
            })?;
        }
        Ok(records)
    }
}

/// `None` where a column is not as the raw format makes it.
fn copy_records(rows: &RecordBatch, records: &mut Vec<KafkaStreamRecord>) -> Option<()> {
    let column = |name: &str| rows.column_by_name(name);
    let topics = column(KAFKA_TOPIC)?.as_string_opt::<i32>()?;
    let partitions = column(KAFKA_PARTITION)?.as_primitive_opt::<Int32Type>()?;
    let offsets = column(KAFKA_OFFSET)?.as_primitive_opt::<Int64Type>()?;
    let timestamps = column(KAFKA_TIMESTAMP)?.as_primitive_opt::<TimestampMillisecondType>()?;
    let keys = column(KAFKA_KEY)?.as_binary_opt::<i32>()?;
    let headers = column(KAFKA_HEADERS)?.as_list_opt::<i32>()?;
    let values = column(KAFKA_VALUE)?.as_binary_opt::<i32>()?;
    for row in 0..rows.num_rows() {
        records.push(KafkaStreamRecord {
            topic: topics.value(row).into(),
            partition: partitions.value(row),
            offset: offsets.value(row),
            timestamp: timestamps.is_valid(row).then(|| timestamps.value(row)),
            key: keys.is_valid(row).then(|| keys.value(row).to_vec()),
            headers: copy_headers(&headers.value(row))?,
            value: values.is_valid(row).then(|| values.value(row).to_vec()),
        });
    }
    Some(())
}

fn copy_headers(of_one: &ArrayRef) -> Option<Vec<RecordHeader>> {
    let headers = of_one.as_struct_opt()?;
    let names = headers.column_by_name("name")?.as_string_opt::<i32>()?;
    let values = headers.column_by_name("value")?.as_binary_opt::<i32>()?;
    let header = |place| RecordHeader {
        name: names.value(place).to_owned(),
        value: values.is_valid(place).then(|| values.value(place).to_vec()),
    };
    Some((0..headers.len()).map(header).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{LoadOptions, RecordLoader};
    use crate::offset::TopicPartition;

    #[test]
    fn records_come_out_of_a_window_as_they_went_in() {
        let header =
            |name: &str, value: Option<&[u8]>| RecordHeader { name: name.into(), value: value.map(<[u8]>::to_vec) };
        let record = |offset, timestamp, key: Option<&[u8]>, value: Option<&[u8]>, headers| KafkaStreamRecord {
            topic: "orders".into(),
            partition: 3,
            offset,
            timestamp,
            key: key.map(<[u8]>::to_vec),
            headers,
            value: value.map(<[u8]>::to_vec),
        };
        let records = vec![
            record(7, Some(1), Some(b"k"), Some(b"v"), vec![header("a", None), header("a", Some(b""))]),
            record(9, None, None, None, vec![]),
            record(10, Some(2), Some(b""), Some(&[0xff, 0]), vec![header("b", Some(&[0xfe]))]),
        ];
        let mut loader = RecordLoader::new(&LoadOptions::default()).expect("raw");
        let rows = loader
            .load(&TopicPartition::new("orders", 3), &mut records.iter().map(KafkaStreamRecord::as_view))
            .expect("they load")
            .rows;
        let window = PollWindow { ranges: OffsetRanges::new(), records: vec![rows], closed_by: WindowEnd::Wait };
        assert_eq!(window.to_records().expect("raw columns"), records);
    }
}
