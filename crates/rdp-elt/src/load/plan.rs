//! Which topic's payloads become rows in which way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{LoadOptions, RecordLoader};
use crate::error::Result;

/// How payloads become rows: one way for all topics, but for those that have their own.
#[derive(Debug, Clone, Default)]
pub struct LoadPlan {
    others: LoadOptions,
    own: BTreeMap<String, LoadOptions>,
}

impl LoadPlan {
    /// One way for all.
    pub fn new(options: LoadOptions) -> Self {
        LoadPlan { others: options, own: BTreeMap::new() }
    }

    /// Another way for one topic.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<String>, options: LoadOptions) -> Self {
        self.own.insert(topic.into(), options);
        self
    }

    /// The way of a topic.
    pub fn of(&self, topic: &str) -> &LoadOptions {
        self.own.get(topic).unwrap_or(&self.others)
    }

    /// The way of all topics that have none of their own.
    pub fn others(&self) -> &LoadOptions {
        &self.others
    }

    /// The topics that have their own way, by name.
    pub fn own(&self) -> impl Iterator<Item = (&str, &LoadOptions)> {
        self.own.iter().map(|(topic, options)| (topic.as_str(), options))
    }

    /// The columns of a topic's rows.
    ///
    /// # Errors
    /// Those of [`RecordLoader::new`].
    pub fn columns(&self, topic: &str) -> Result<SchemaRef> {
        Ok(RecordLoader::new(self.of(topic))?.schema())
    }
}

impl From<LoadOptions> for LoadPlan {
    fn from(options: LoadOptions) -> Self {
        LoadPlan::new(options)
    }
}

/// The loaders of a plan.
pub struct RecordLoaders {
    others: RecordLoader,
    own: HashMap<Arc<str>, RecordLoader>,
}

impl RecordLoaders {
    /// Loaders for this plan.
    ///
    /// # Errors
    /// Those of [`RecordLoader::new`] for any topic.
    pub fn new(plan: &LoadPlan) -> Result<Self> {
        let own = plan.own().map(|(topic, options)| Ok((topic.into(), RecordLoader::new(options)?)));
        let own = own.collect::<Result<_>>()?;
        Ok(RecordLoaders { others: RecordLoader::new(&plan.others)?, own })
    }

    /// The loader of a topic.
    pub fn of(&mut self, topic: &str) -> &mut RecordLoader {
        self.own.get_mut(topic).unwrap_or(&mut self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Format;
    use crate::offset::TopicPartition;
    use crate::record::KafkaStreamRecord;
    use crate::schema::Schema;

    #[test]
    fn each_topic_loads_in_its_own_way() {
        let schema = Schema::from_json(r#"[{"name": "id", "type": "int64"}]"#).expect("a schema");
        let json = LoadOptions { format: Format::Json, schema, ..LoadOptions::default() };
        let plan = LoadPlan::default().with_topic("orders", json);
        let mut loaders = RecordLoaders::new(&plan).expect("sound options");
        for (topic, has_id) in [("orders", true), ("clicks", false)] {
            let columns = plan.columns(topic).expect("sound options");
            assert_eq!(columns.index_of("id").is_ok(), has_id, "{topic}");
            let record = KafkaStreamRecord {
                topic: topic.into(),
                partition: 0,
                offset: 0,
                timestamp: None,
                key: None,
                headers: Vec::new(),
                value: Some(br#"{"id": 7}"#.to_vec()),
            };
            let partition = TopicPartition::new(topic, 0);
            let loaded = loaders.of(topic).load(&partition, &mut std::iter::once(record.as_view())).expect("it loads");
            assert_eq!(loaded.rows.schema(), columns, "{topic}");
            assert_eq!(loaded.quarantined_count, 0, "{topic}");
        }
    }
}
