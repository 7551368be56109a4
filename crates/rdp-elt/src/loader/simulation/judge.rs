//! What is visible in the sink, held against the logs after every turn.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};

use super::world::{State, TOPIC};
use crate::loader::executor::Executor;
use crate::reader::commits_of;
use crate::sink::{LedgerEntry, MemorySink};

/// How much of the sink has been judged: what landed stays as it is, so only what is new is looked at.
#[derive(Default)]
pub(super) struct Judge {
    judged: BTreeMap<i32, (usize, i64)>,
    pub(super) landed_count: u64,
}

impl Judge {
    /// Ranges tile from where reading began; of each, every record that a reader sees is there once and as it was.
    /// `given_up` is what retention took before it could be read.
    pub(super) fn look(&mut self, sink: &MemorySink, state: &State, executor: &Executor) -> Result<(), String> {
        let ledger = executor.block_on(commits_of(sink, TOPIC)).map_err(|error| format!("{error:?}"))?;
        let mut by_partition: BTreeMap<i32, Vec<LedgerEntry>> = BTreeMap::new();
        for entry in ledger {
            by_partition.entry(entry.topic_partition.partition).or_default().push(entry);
        }
        let is_old = |(partition, entries): (&i32, &Vec<LedgerEntry>)| {
            self.judged.get(partition).is_some_and(|(count, _)| *count == entries.len())
        };
        if by_partition.iter().all(is_old) {
            return Ok(());
        }
        let mut rows: BTreeMap<(i32, i64), Vec<Vec<u8>>> = BTreeMap::new();
        for batch in sink.rows(TOPIC) {
            let partitions = batch["_kafka_partition"].as_primitive::<Int32Type>();
            let offsets = batch["_kafka_offset"].as_primitive::<Int64Type>();
            let values = batch["_kafka_value"].as_binary::<i32>();
            for row in 0..batch.num_rows() {
                let place = (partitions.value(row), offsets.value(row));
                rows.entry(place).or_default().push(values.value(row).to_vec());
            }
        }
        for (partition, entries) in by_partition {
            let (count, mut next) = self.judged.get(&partition).copied().unwrap_or((0, entries[0].range.start()));
            let log = &state.logs[partition as usize];
            for entry in &entries[count..] {
                let range = entry.range;
                if range.start() != next {
                    return Err(format!("{TOPIC}[{partition}] landed {range} where {next} was next"));
                }
                next = range.end();
                let wanted: Vec<i64> = log.visible(range.start().max(log.start), range.end()).collect();
                let landed: Vec<i64> =
                    rows.range((partition, range.start())..(partition, range.end())).map(|((_, o), _)| *o).collect();
                if wanted != landed {
                    return Err(format!("{TOPIC}[{partition}] {range}: landed {landed:?}, the log has {wanted:?}"));
                }
                for offset in &landed {
                    let values = &rows[&(partition, *offset)];
                    let value = log.entry(*offset).map(|entry| entry.value.to_vec());
                    if values.len() != 1 || value.as_ref() != values.first() {
                        return Err(format!("{TOPIC}[{partition}]@{offset} is altered or doubled: {values:?}"));
                    }
                }
                self.landed_count += landed.len() as u64;
            }
            self.judged.insert(partition, (entries.len(), next));
        }
        Ok(())
    }
}
